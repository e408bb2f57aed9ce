//! Add-ons: ordering, looking, changing the plan, giving back.
//!
//! It owns the account's side; `provision` makes and drops the databases. Tested in `tests/heroku.rs`.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::attachments::{attach, place};
use super::paging::page;
use super::plans::{Plan, service_brief, service_json};
use super::refusal::{Answer, Refusal, body, created, found, named};
use super::{Addon, AddonState, App, HerokuAccount, provision};
use crate::world::Shared;
use crate::{moment, random};

const PROPERTIES: [&str; 2] = ["id", "name"];

fn expands(headers: &HeaderMap, what: &str) -> bool {
    let text =
        headers.get("accept-expansion").and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').any(|part| part.trim() == what)
}

impl Addon {
    fn json(&self, account: &HerokuAccount, headers: &HeaderMap) -> Value {
        let app = account.app(&self.app).map(App::brief).unwrap_or_default();
        let state = match self.state {
            AddonState::Provisioning => "provisioning",
            AddonState::Provisioned => "provisioned",
            AddonState::Deprovisioned => "deprovisioned",
        };
        let vars: Vec<String> = match self.state {
            AddonState::Provisioned => {
                let own = account
                    .attachments_of_app(&self.app)
                    .filter(|attachment| attachment.addon == self.id);
                own.map(super::Attachment::config_var).collect()
            }
            _ => Vec::new(),
        };
        json!({
            "actions": [], "addon_service": if expands(headers, "addon_service") { service_json() } else { service_brief() }, "app": app,
            "billed_price": { "cents": self.plan.cents, "contract": false, "unit": "month" },
            "billing_entity": { "id": app["id"], "name": app["name"], "type": "app" }, "config_vars": vars,
            "created_at": moment::platform(self.created_at), "id": self.id, "name": self.name,
            "plan": if expands(headers, "plan") { self.plan.json() } else { self.plan.brief() },
            "provider_id": self.id, "provision_message": "Database should be available soon", "state": state,
            "updated_at": moment::platform(self.updated_at),
            "web_url": format!("https://addons-sso.heroku.com/apps/{}/addons/{}", self.app, self.id),
        })
    }
}

/// Holds an app for one add-on request; others of the same app are refused meanwhile.
struct Busy {
    world: Shared,
    app: String,
}

impl Busy {
    fn hold(world: &Shared, app: &str) -> Result<Self, Refusal> {
        let mut account = world.heroku();
        let app = account.app(app)?.id.clone();
        if account.busy_apps.contains(&app) {
            let message =
                "Another add-on request of this app is in progress. Try again when it is done.";
            return Err(Refusal::new(StatusCode::CONFLICT, "conflict", message));
        }
        account.busy_apps.push(app.clone());
        Ok(Self { world: world.clone(), app })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.world.heroku().busy_apps.retain(|busy| *busy != self.app);
    }
}

fn plan_of(wanted: &str) -> Result<&'static Plan, Refusal> {
    if let Some(retired) = ["mini", "basic", "hobby-dev", "hobby-basic"]
        .iter()
        .find(|plan| wanted.ends_with(&format!(":{plan}")))
    {
        return Err(Refusal::invalid(format!(
            "The {retired} plan has reached end-of-life and can't be provisioned."
        )));
    }
    Plan::find(wanted).ok_or_else(|| {
        Refusal::invalid(format!(
            "Couldn't find either the add-on service or the add-on plan of \"{wanted}\"."
        ))
    })
}

fn free_name(account: &HerokuAccount, name: Option<&str>) -> Result<String, Refusal> {
    let Some(name) = name else {
        return Ok(format!("postgresql-{}-{}", random::name(8), random::number(10_000, 99_999)));
    };
    let shaped = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if !shaped || name.len() > 256 {
        return Err(Refusal::invalid(
            "Name must start with a letter and can only contain letters, digits, dashes and underscores",
        ));
    }
    if account.addons.iter().any(|addon| addon.name == name) {
        return Err(Refusal::invalid(format!("Name {name} is already taken")));
    }
    Ok(name.to_owned())
}

pub(super) async fn create(
    State(world): State<Shared>,
    Path(app): Path<String>,
    headers: HeaderMap,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let _busy = Busy::hold(&world, &app)?;
    // Long enough that requests sent side by side do meet.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let plan =
        plan_of(named(&fields, "plan").ok_or_else(|| Refusal::bad_request("plan is required"))?)?;
    let major = world.target.installation.major.to_string();
    if let Some(version) = fields.get("config").and_then(|config| config.get("version")) {
        let version = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
        if version != major {
            return Err(Refusal::invalid(format!(
                "Unsupported version: {version}. We support the following versions: {major}"
            )));
        }
    }
    let answer = {
        let mut account = world.heroku();
        let app = account.app(&app)?.id.clone();
        let name = free_name(&account, fields.get("name").and_then(Value::as_str))?;
        let wanted = fields
            .get("attachment")
            .and_then(|attachment| attachment.get("name"))
            .and_then(Value::as_str);
        let id = random::uuid();
        let placement = place(&account, &app, &id, wanted, named(&fields, "confirm"))?;
        let now = Timestamp::now();
        account.addons.push(Addon {
            id: id.clone(),
            name,
            app: app.clone(),
            plan,
            state: AddonState::Provisioning,
            created_at: now,
            updated_at: now,
            database: None,
        });
        attach(&mut account, &app, &id, placement, Value::Null);
        let addon = account.addon(&id)?;
        tokio::spawn(provision::provision(world.clone(), id.clone()));
        addon.json(&account, &headers)
    };
    created(answer)
}

pub(super) async fn list(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let account = world.heroku();
    let items = account.addons.iter().map(|addon| addon.json(&account, &headers)).collect();
    page(&headers, &PROPERTIES, items)
}

pub(super) async fn list_of_app(
    State(world): State<Shared>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let account = world.heroku();
    let app = account.app(&app)?;
    // Those that others pay for are listed where they are attached, too.
    let here = |addon: &&Addon| {
        addon.app == app.id
            || account.attachments_of_app(&app.id).any(|attachment| attachment.addon == addon.id)
    };
    let items =
        account.addons.iter().filter(here).map(|addon| addon.json(&account, &headers)).collect();
    Ok(page(&headers, &PROPERTIES, items))
}

pub(super) async fn show(
    State(world): State<Shared>,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let account = world.heroku();
    found(account.addon(&addon)?.json(&account, &headers))
}

/// The add-on of that id or name, if it belongs to that app.
fn of_app<'a>(account: &'a HerokuAccount, app: &str, addon: &str) -> Result<&'a Addon, Refusal> {
    let app = account.app(app)?;
    let addon = account.addon(addon)?;
    if addon.app == app.id { Ok(addon) } else { Err(Refusal::not_found("add_on")) }
}

pub(super) async fn show_of_app(
    State(world): State<Shared>,
    Path((app, addon)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let account = world.heroku();
    found(of_app(&account, &app, &addon)?.json(&account, &headers))
}

pub(super) async fn config(State(world): State<Shared>, Path(addon): Path<String>) -> Answer {
    let account = world.heroku();
    let addon = account.addon(&addon)?;
    let url = addon.database.as_ref().map(|database| database.url(world.target.port));
    found(json!(
        url.map(|url| json!({ "name": "url", "value": url })).into_iter().collect::<Vec<_>>()
    ))
}

pub(super) async fn update(
    State(world): State<Shared>,
    Path((app, addon)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let _busy = Busy::hold(&world, &app)?;
    let (id, role) = {
        let mut account = world.heroku();
        let found = of_app(&account, &app, &addon)?;
        if found.state != AddonState::Provisioned {
            return Err(Refusal::invalid(format!("{} is still being provisioned", found.name)));
        }
        let id = found.id.clone();
        if let Some(wanted) = named(&fields, "plan") {
            let plan = plan_of(wanted)?;
            if plan.is_essential() != found.plan.is_essential() {
                let message = "The database can't move between the Essential tier and others by a plan change. Create a new add-on instead.";
                return Err(Refusal::invalid(message));
            }
            let app = found.app.clone();
            let addon = account.addon_mut(&id)?;
            addon.plan = plan;
            addon.updated_at = Timestamp::now();
            let text = format!("Update {} by changing its plan to {}", addon.name, plan.slug);
            account.app_mut(&app)?.release(text);
        }
        if let Some(name) = fields.get("name").and_then(Value::as_str) {
            let name = free_name(&account, Some(name))?;
            account.addon_mut(&id)?.name = name;
        }
        let addon = account.addon(&id)?;
        (
            id,
            addon
                .database
                .as_ref()
                .map(|database| (database.login.user.clone(), addon.plan.connections)),
        )
    };
    if let Some((role, connections)) = role {
        provision::limit_connections(&world, &role, connections).await;
    }
    let account = world.heroku();
    found(account.addon(&id)?.json(&account, &headers))
}

pub(super) async fn delete(
    State(world): State<Shared>,
    Path((app, addon)): Path<(String, String)>,
    headers: HeaderMap,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let force = fields.get("force").and_then(Value::as_bool).unwrap_or(false);
    let _busy = Busy::hold(&world, &app)?;
    let (id, mut answer) = {
        let account = world.heroku();
        let addon = of_app(&account, &app, &addon)?;
        let elsewhere = account
            .attachments
            .iter()
            .any(|attachment| attachment.addon == addon.id && attachment.app != addon.app);
        if elsewhere && !force {
            return Err(Refusal::invalid(format!(
                "{} is attached to other apps. Detach it there first, or use force.",
                addon.name
            )));
        }
        (addon.id.clone(), addon.json(&account, &headers))
    };
    provision::remove(&world, &id);
    answer["state"] = json!("deprovisioned");
    found(answer)
}

pub(super) async fn resolve(
    State(world): State<Shared>,
    headers: HeaderMap,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let wanted =
        named(&fields, "addon").ok_or_else(|| Refusal::bad_request("addon is required"))?;
    let account = world.heroku();
    let app = named(&fields, "app").map(|app| account.app(app)).transpose()?;
    let matches: Vec<Value> = account
        .addons
        .iter()
        .filter(|addon| {
            let attached = app.is_some_and(|app| {
                account.attachments_of_app(&app.id).any(|attachment| {
                    attachment.addon == addon.id
                        && (attachment.name.eq_ignore_ascii_case(wanted)
                            || attachment.config_var().eq_ignore_ascii_case(wanted))
                })
            });
            attached || addon.id == wanted || addon.name == wanted
        })
        .map(|addon| addon.json(&account, &headers))
        .collect();
    if matches.is_empty() {
        return Err(Refusal::not_found("add_on"));
    }
    Ok((StatusCode::OK, axum::Json(json!(matches))))
}
