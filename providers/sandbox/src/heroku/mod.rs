//! The Heroku Platform API and Data API on one origin, so that the official command-line tool can be pointed at it.
//!
//! It owns the account's lists and the routes; what requests do is in the modules by noun. Databases of add-ons are
//! real ones on the target server. Tested in `tests/heroku.rs` and `tests/restore.rs`.

mod account;
mod addons;
mod apps;
mod attachments;
mod config;
mod data;
mod gate;
mod paging;
mod plans;
mod provision;
mod refusal;
mod releases;
mod restore;
mod transfers;

use std::collections::BTreeMap;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::Value;

use crate::admin;
use crate::cluster::Login;
use crate::door::{Door, watch_door};
use crate::world::Shared;

pub(crate) use apps::Dynos;
pub(crate) use plans::Plan;
pub(crate) use transfers::Transfer;

/// What the customer has at Heroku.
#[derive(Default)]
pub(crate) struct HerokuAccount {
    pub(crate) apps: Vec<App>,
    pub(crate) addons: Vec<Addon>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) transfers: Vec<Transfer>,
    /// Apps with an add-on request in progress.
    pub(crate) busy_apps: Vec<String>,
    pub(crate) requests: u32,
}

/// An application.
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) stack: String,
    pub(crate) maintenance: bool,
    pub(crate) web_url: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) formation: BTreeMap<String, Dynos>,
    /// Config vars set by hand; those of attachments are computed.
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) releases: Vec<releases::Release>,
}

/// An add-on.
pub(crate) struct Addon {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The app that pays for it.
    pub(crate) app: String,
    pub(crate) plan: &'static Plan,
    pub(crate) state: AddonState,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// None until the server has made it.
    pub(crate) database: Option<TargetDatabase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddonState {
    Provisioning,
    Provisioned,
    Deprovisioned,
}

/// The database of an add-on on the target server.
#[derive(Clone)]
pub(crate) struct TargetDatabase {
    pub(crate) name: String,
    pub(crate) login: Login,
}

impl TargetDatabase {
    /// The connection string as Heroku shows it; it holds the password.
    pub(crate) fn url(&self, port: u16) -> String {
        let Login { user, password } = &self.login;
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{}", self.name)
    }
}

/// The tie between an add-on and an app; named N it makes the config var `N_URL`.
pub(crate) struct Attachment {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) app: String,
    pub(crate) addon: String,
    pub(crate) namespace: Value,
    pub(crate) created_at: Timestamp,
}

impl Attachment {
    pub(crate) fn config_var(&self) -> String {
        format!("{}_URL", self.name)
    }
}

impl HerokuAccount {
    /// The app of that id or name.
    fn app(&self, wanted: &str) -> Result<&App, refusal::Refusal> {
        let app = self.apps.iter().find(|app| app.id == wanted || app.name == wanted);
        app.ok_or_else(|| refusal::Refusal::not_found("app"))
    }

    fn app_mut(&mut self, wanted: &str) -> Result<&mut App, refusal::Refusal> {
        let app = self.apps.iter_mut().find(|app| app.id == wanted || app.name == wanted);
        app.ok_or_else(|| refusal::Refusal::not_found("app"))
    }

    /// The add-on of that id or name.
    fn addon(&self, wanted: &str) -> Result<&Addon, refusal::Refusal> {
        let addon = self.addons.iter().find(|addon| addon.id == wanted || addon.name == wanted);
        addon.ok_or_else(|| refusal::Refusal::not_found("add_on"))
    }

    fn addon_mut(&mut self, wanted: &str) -> Result<&mut Addon, refusal::Refusal> {
        let addon = self.addons.iter_mut().find(|addon| addon.id == wanted || addon.name == wanted);
        addon.ok_or_else(|| refusal::Refusal::not_found("add_on"))
    }

    fn attachments_of_app<'a>(&'a self, app: &'a str) -> impl Iterator<Item = &'a Attachment> {
        self.attachments.iter().filter(move |attachment| attachment.app == app)
    }
}

/// The whole origin.
pub(crate) fn router(world: &Shared) -> Router {
    Router::new()
        .route("/account", get(account::show))
        .route("/account/rate-limits", get(account::rate_limits))
        .route("/regions", get(account::regions))
        .route("/plans/{plan}", get(account::plan))
        .route("/addon-services", get(account::services))
        .route("/addon-services/{service}", get(account::service))
        .route("/addon-services/{service}/plans", get(account::plans))
        .route("/addon-services/{service}/plans/{plan}", get(account::plan_of_service))
        .route("/apps", get(apps::list).post(apps::create))
        .route("/apps/{app}", get(apps::show).patch(apps::update).delete(apps::delete))
        .route("/apps/{app}/dynos", get(apps::dynos))
        .route("/apps/{app}/formation", get(apps::formation).patch(apps::scale_all))
        .route("/apps/{app}/formation/{kind}", get(apps::process).patch(apps::scale))
        .route("/apps/{app}/config-vars", get(config::show).patch(config::update))
        .route("/apps/{app}/releases", get(releases::list).post(releases::roll_back))
        .route("/apps/{app}/releases/{release}", get(releases::show))
        .route("/apps/{app}/releases/{release}/config-vars", get(releases::config))
        .route("/apps/{app}/addons", get(addons::list_of_app).post(addons::create))
        .route(
            "/apps/{app}/addons/{addon}",
            get(addons::show_of_app).patch(addons::update).delete(addons::delete),
        )
        .route("/apps/{app}/addon-attachments", get(attachments::list_of_app))
        .route("/apps/{app}/addon-attachments/{name}", get(attachments::show_of_app))
        .route("/addons", get(addons::list))
        .route("/addons/{addon}", get(addons::show))
        .route("/addons/{addon}/config", get(addons::config))
        .route("/addons/{addon}/addon-attachments", get(attachments::list_of_addon))
        .route("/addon-attachments", get(attachments::list).post(attachments::create))
        .route(
            "/addon-attachments/{attachment}",
            get(attachments::show).delete(attachments::delete),
        )
        .route("/actions/addons/resolve", post(addons::resolve))
        .route("/actions/addon-attachments/resolve", post(attachments::resolve))
        .route("/client/v11/databases/{database}", get(data::show))
        .route("/client/v11/databases/{database}/wait_status", get(data::wait_status))
        .route("/client/v11/databases/{database}/restores", post(transfers::restore))
        .route("/client/v11/apps/{app}/transfers", get(transfers::list))
        .route(
            "/client/v11/apps/{app}/transfers/{transfer}",
            get(transfers::show).delete(transfers::delete),
        )
        .route(
            "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel",
            post(transfers::cancel),
        )
        .route("/postgres/v0/databases/{database}/credentials", get(data::credentials))
        .route("/postgres/v0/databases/{database}/credentials/{name}", get(data::credential))
        .merge(admin::routes())
        .fallback(gate::nothing_here)
        .method_not_allowed_fallback(gate::nothing_here)
        .layer(middleware::from_fn_with_state(world.clone(), gate::guard))
        .layer(middleware::from_fn_with_state(
            Door { world: world.clone(), service: "heroku" },
            watch_door,
        ))
        .with_state(world.clone())
}
