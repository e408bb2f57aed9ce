//! Requests of Heroku's Platform API v3, typed and without decisions.
//!
//! Paths and bodies as the official command-line tool sends them. Tested through the resources.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::secret::Secret;
use pgferry_http::{Call, Client, Error, Service};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::hosts::Hosts;
use crate::wire::{Account, AddOn, App, Attachment, ConfigVars, Dyno, Plan, Process, Release};

const ACCEPT: &str = "application/vnd.heroku+json; version=3";
/// A list that never ends is no list.
const MOST_PAGES: usize = 100;

/// Both APIs, and whose turn it is at each app.
pub(crate) struct Api {
    platform: Client,
    pub(crate) data: Client,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Api {
    pub(crate) fn new(hosts: &Hosts, token: Secret) -> Result<Self, Fault> {
        let service = |name, base: &url::Url, accept: &str| Service {
            name,
            base: base.clone(),
            token: Some(token.clone()),
            headers: vec![("accept", accept.to_owned())],
            busy: |_| false,
        };
        Ok(Self {
            platform: Client::new(service("Heroku", &hosts.platform, ACCEPT))?,
            data: Client::new(service("Heroku Data", &hosts.data, "application/json"))?,
            turns: Mutex::default(),
        })
    }

    /// Waits for the turn at `app`: an app takes one add-on request at a time.
    pub(crate) async fn turn(&self, app: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(app.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    async fn one<T: DeserializeOwned>(&self, cx: &Cx, call: Call) -> Result<T, Error> {
        self.platform.send(cx, call).await?.json()
    }

    async fn maybe<T: DeserializeOwned>(&self, cx: &Cx, call: Call) -> Result<Option<T>, Error> {
        self.platform.find(cx, call).await?.map(|answer| answer.json()).transpose()
    }

    /// All pages of a list, or none: what is not in a part of it would count as absent.
    async fn list<T: DeserializeOwned>(&self, cx: &Cx, call: Call) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut next = call.clone();
        for _ in 0..MOST_PAGES {
            let answer = self.platform.send(cx, next).await?;
            let range = answer.header("next-range").map(str::to_owned);
            all.extend(answer.json::<Vec<T>>()?);
            match range {
                Some(range) if answer.status() == 206 => next = call.clone().header("range", range),
                _ => return Ok(all),
            }
        }
        Err(Error::TooLong { service: "Heroku" })
    }

    pub(crate) async fn account(&self, cx: &Cx) -> Result<Account, Error> {
        self.one(cx, Call::get(&["account"])).await
    }

    pub(crate) async fn app(&self, cx: &Cx, app: &str) -> Result<Option<App>, Error> {
        self.maybe(cx, Call::get(&["apps", app])).await
    }

    pub(crate) async fn create_app(&self, cx: &Cx, body: Json, team: bool) -> Result<App, Error> {
        let path: &[&str] = if team { &["teams", "apps"] } else { &["apps"] };
        self.one(cx, Call::post(path).json(body)).await
    }

    /// Changes settings of an app to given values, so it may be repeated.
    pub(crate) async fn update_app(&self, cx: &Cx, app: &str, body: Json) -> Result<App, Error> {
        self.one(cx, Call::patch(&["apps", app]).json(body).repeatable()).await
    }

    pub(crate) async fn delete_app(&self, cx: &Cx, app: &str) -> Result<(), Error> {
        self.platform.find(cx, Call::delete(&["apps", app])).await.map(drop)
    }

    pub(crate) async fn formation(&self, cx: &Cx, app: &str) -> Result<Vec<Process>, Error> {
        self.list(cx, Call::get(&["apps", app, "formation"])).await
    }

    /// Sets the quantity of each `(type, quantity)`.
    pub(crate) async fn scale(
        &self,
        cx: &Cx,
        app: &str,
        quantities: &[(String, u32)],
    ) -> Result<(), Error> {
        let updates: Vec<Json> = quantities
            .iter()
            .map(|(kind, quantity)| json!({ "type": kind, "quantity": quantity }))
            .collect();
        let call = Call::patch(&["apps", app, "formation"]).json(json!({ "updates": updates }));
        self.platform.send(cx, call.repeatable()).await.map(drop)
    }

    /// What runs now, which lags behind the formation while processes stop.
    pub(crate) async fn dynos(&self, cx: &Cx, app: &str) -> Result<Vec<Dyno>, Error> {
        self.list(cx, Call::get(&["apps", app, "dynos"])).await
    }

    pub(crate) async fn addon(
        &self,
        cx: &Cx,
        app: &str,
        addon: &str,
    ) -> Result<Option<AddOn>, Error> {
        let call = Call::get(&["apps", app, "addons", addon])
            .header("accept-expansion", "addon_service,plan");
        self.maybe(cx, call).await
    }

    /// An add-on by its own id, whatever its app is called by now.
    pub(crate) async fn addon_by_id(&self, cx: &Cx, id: &str) -> Result<Option<AddOn>, Error> {
        let call = Call::get(&["addons", id]).header("accept-expansion", "addon_service,plan");
        self.maybe(cx, call).await
    }

    /// Every add-on of an app's own.
    pub(crate) async fn addons(&self, cx: &Cx, app: &str) -> Result<Vec<AddOn>, Error> {
        self.list(cx, Call::get(&["apps", app, "addons"])).await
    }

    pub(crate) async fn create_addon(
        &self,
        cx: &Cx,
        app: &str,
        body: Json,
    ) -> Result<AddOn, Error> {
        let call = Call::post(&["apps", app, "addons"]).header("accept-expansion", "plan");
        self.one(cx, call.json(body)).await
    }

    pub(crate) async fn change_plan(
        &self,
        cx: &Cx,
        app: &str,
        addon: &str,
        plan: &str,
    ) -> Result<AddOn, Error> {
        let call = Call::patch(&["apps", app, "addons", addon]).json(json!({ "plan": plan }));
        self.one(cx, call).await
    }

    pub(crate) async fn delete_addon(&self, cx: &Cx, app: &str, addon: &str) -> Result<(), Error> {
        let call = Call::delete(&["apps", app, "addons", addon]).json(json!({ "force": false }));
        self.platform.find(cx, call).await.map(drop)
    }

    pub(crate) async fn plan(&self, cx: &Cx, plan: &str) -> Result<Option<Plan>, Error> {
        self.maybe(cx, Call::get(&["plans", plan])).await
    }

    pub(crate) async fn config_vars(&self, cx: &Cx, app: &str) -> Result<ConfigVars, Error> {
        self.one(cx, Call::get(&["apps", app, "config-vars"])).await
    }

    pub(crate) async fn remove_config_var(
        &self,
        cx: &Cx,
        app: &str,
        name: &str,
    ) -> Result<(), Error> {
        self.set_config_vars(cx, app, json!({ name: null })).await
    }

    /// `null` takes one away; those that are not named stay.
    pub(crate) async fn set_config_vars(
        &self,
        cx: &Cx,
        app: &str,
        vars: Json,
    ) -> Result<(), Error> {
        let call = Call::patch(&["apps", app, "config-vars"]).json(vars);
        self.platform.send(cx, call.repeatable()).await.map(drop)
    }

    /// Every attachment of an add-on, on whichever app.
    pub(crate) async fn attachments_of(
        &self,
        cx: &Cx,
        addon: &str,
    ) -> Result<Vec<Attachment>, Error> {
        self.list(cx, Call::get(&["addons", addon, "addon-attachments"])).await
    }

    pub(crate) async fn attachments(&self, cx: &Cx, app: &str) -> Result<Vec<Attachment>, Error> {
        self.list(cx, Call::get(&["apps", app, "addon-attachments"])).await
    }

    pub(crate) async fn attachment(
        &self,
        cx: &Cx,
        app: &str,
        name: &str,
    ) -> Result<Option<Attachment>, Error> {
        self.maybe(cx, Call::get(&["apps", app, "addon-attachments", name])).await
    }

    pub(crate) async fn attach(&self, cx: &Cx, body: Json) -> Result<Attachment, Error> {
        self.one(cx, Call::post(&["addon-attachments"]).json(body)).await
    }

    pub(crate) async fn detach(&self, cx: &Cx, id: &str) -> Result<(), Error> {
        self.platform.find(cx, Call::delete(&["addon-attachments", id])).await.map(drop)
    }

    /// The latest release, if the app has any.
    pub(crate) async fn latest_release(
        &self,
        cx: &Cx,
        app: &str,
    ) -> Result<Option<Release>, Error> {
        let call =
            Call::get(&["apps", app, "releases"]).header("range", "version ..; order=desc,max=1");
        let releases: Vec<Release> = self.one(cx, call).await?;
        Ok(releases.into_iter().max_by_key(|release| release.version))
    }
}
