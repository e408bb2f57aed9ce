//! Apps: making, maintenance mode, process formation, removal with everything they pay for.
//!
//! Tested in `tests/heroku.rs`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::account::owner;
use super::paging::page;
use super::refusal::{Answer, Refusal, body, created, found, named};
use super::releases::Release;
use super::{App, HerokuAccount, provision};
use crate::world::Shared;
use crate::{moment, random};

/// The processes of one type.
pub(crate) struct Dynos {
    pub(crate) id: String,
    pub(crate) quantity: u32,
    /// How many were scaled away; they run on while the switch `hold_dynos` says so.
    pub(crate) stopping: u32,
    pub(crate) size: String,
    pub(crate) command: String,
}

impl Dynos {
    pub(crate) fn new(quantity: u32, command: &str) -> Self {
        let (id, size) = (random::uuid(), "Basic".into());
        Self { id, quantity, stopping: 0, size, command: command.into() }
    }
}

impl App {
    pub(crate) fn new(name: String, region: String, stack: String) -> Self {
        let now = Timestamp::now();
        // The host has a random part: it cannot be told from the name.
        let web_url = format!("https://{name}-{}.herokuapp.com/", random::name(12));
        let mut app = Self {
            id: random::uuid(),
            name,
            region,
            stack,
            maintenance: false,
            web_url,
            created_at: now,
            updated_at: now,
            formation: BTreeMap::new(),
            config: BTreeMap::new(),
            releases: Vec::new(),
        };
        app.release("Initial release");
        app.release("Enable Logplex");
        app
    }

    /// The app that the story starts with, reading `database_url`.
    pub(crate) fn story(database_url: String) -> Self {
        let mut app = Self::new("acme-web".into(), "us".into(), "heroku-24".into());
        app.formation.insert("web".into(), Dynos::new(1, "bin/web"));
        app.formation.insert("worker".into(), Dynos::new(2, "bin/worker"));
        app.config.insert("DATABASE_URL".into(), database_url);
        app.config.insert("RACK_ENV".into(), "production".into());
        app.release("Deploy 1a2b3c4d");
        app.release("Set DATABASE_URL, RACK_ENV config vars");
        app
    }

    pub(crate) fn release(&mut self, description: impl Into<String>) {
        let version = self.releases.len() + 1;
        self.releases.push(Release::new(version, description.into(), self.config.clone()));
    }

    pub(crate) fn brief(&self) -> Value {
        json!({ "id": self.id, "name": self.name })
    }

    fn json(&self) -> Value {
        let stack = json!({ "id": "2e3f5cf3-86cf-4f83-b03d-bd1cd6d25d7b", "name": self.stack });
        json!({
            "acm": false, "archived_at": null, "build_stack": stack, "buildpack_provided_description": "Ruby",
            "created_at": moment::platform(self.created_at), "generation": { "id": "69a4c6f1-0000-4000-8000-000000000001", "name": "cedar" },
            "git_url": format!("https://git.heroku.com/{}.git", self.name), "id": self.id, "internal_routing": null,
            "maintenance": self.maintenance, "name": self.name, "organization": null, "owner": owner(),
            "region": { "id": if self.region == "eu" { "ed30241c-ed8c-4bb6-9714-61953675d0b4" } else { "59accabd-516d-4f0e-83e6-6e3757701145" }, "name": self.region },
            "released_at": self.releases.last().map(|release| moment::platform(release.created_at)), "repo_size": null, "slug_size": null,
            "space": null, "stack": stack, "team": null, "updated_at": moment::platform(self.updated_at), "web_url": self.web_url,
        })
    }

    fn process_json(&self, kind: &str, dynos: &Dynos) -> Value {
        json!({
            "app": self.brief(), "command": dynos.command, "created_at": moment::platform(self.created_at),
            "dyno_size": { "id": "3f4a1c2e-0000-4000-8000-000000000001", "name": dynos.size }, "id": dynos.id, "quantity": dynos.quantity,
            "size": dynos.size, "type": kind, "updated_at": moment::platform(self.updated_at),
        })
    }

    fn dyno_json(&self, kind: &str, dynos: &Dynos, number: u32, state: &str) -> Value {
        json!({
            "app": self.brief(), "attach_url": null, "command": dynos.command, "created_at": moment::platform(self.created_at),
            "id": format!("{}-{number}", dynos.id), "name": format!("{kind}.{number}"), "size": dynos.size, "state": state,
            "type": kind, "updated_at": moment::platform(self.updated_at),
        })
    }

    fn formation_json(&self) -> Vec<Value> {
        self.formation.iter().map(|(kind, dynos)| self.process_json(kind, dynos)).collect()
    }
}

fn well_named(name: &str) -> bool {
    (3..=30).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A new name, checked for its shape and for being free.
fn free_name(account: &HerokuAccount, name: &str) -> Result<String, Refusal> {
    if !well_named(name) {
        return Err(Refusal::invalid(
            "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes.",
        ));
    }
    if account.apps.iter().any(|app| app.name == name) {
        return Err(Refusal::invalid(format!("Name {name} is already taken")));
    }
    Ok(name.to_owned())
}

pub(super) async fn list(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let items = world.heroku().apps.iter().map(App::json).collect();
    page(&headers, &["name", "id", "updated_at"], items)
}

pub(super) async fn create(State(world): State<Shared>, bytes: bytes::Bytes) -> Answer {
    let fields = body(&bytes)?;
    let mut account = world.heroku();
    let name = match fields.get("name").and_then(Value::as_str) {
        Some(name) => free_name(&account, name)?,
        None => {
            format!("{}-{}-{}", random::name(6), random::name(5), random::number(10_000, 99_999))
        }
    };
    let region = named(&fields, "region").unwrap_or("us");
    if !matches!(region, "us" | "eu") {
        return Err(Refusal::invalid(format!("Couldn't find that region: {region}")));
    }
    let stack = named(&fields, "stack").unwrap_or("heroku-24");
    let app = App::new(name, region.to_owned(), stack.to_owned());
    let answer = app.json();
    account.apps.push(app);
    created(answer)
}

pub(super) async fn show(State(world): State<Shared>, Path(app): Path<String>) -> Answer {
    found(world.heroku().app(&app)?.json())
}

pub(super) async fn update(
    State(world): State<Shared>,
    Path(app): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let mut account = world.heroku();
    let current = account.app(&app)?.name.clone();
    let name = match fields.get("name").and_then(Value::as_str).filter(|name| *name != current) {
        Some(name) => Some(free_name(&account, name)?),
        None => None,
    };
    let app = account.app_mut(&app)?;
    if let Some(maintenance) = fields.get("maintenance") {
        app.maintenance = maintenance
            .as_bool()
            .ok_or_else(|| Refusal::invalid("maintenance must be true or false"))?;
    }
    if let Some(name) = name {
        app.name = name;
    }
    app.updated_at = Timestamp::now();
    found(app.json())
}

pub(super) async fn delete(State(world): State<Shared>, Path(app): Path<String>) -> Answer {
    let (answer, addons) = {
        let mut account = world.heroku();
        let (id, answer) = account.app(&app).map(|app| (app.id.clone(), app.json()))?;
        let addons: Vec<String> = account
            .addons
            .iter()
            .filter(|addon| addon.app == id)
            .map(|addon| addon.id.clone())
            .collect();
        account.attachments.retain(|attachment| attachment.app != id);
        account.apps.retain(|app| app.id != id);
        (answer, addons)
    };
    for addon in addons {
        provision::remove(&world, &addon);
    }
    found(answer)
}

pub(super) async fn formation(
    State(world): State<Shared>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let items = world.heroku().app(&app)?.formation_json();
    Ok(page(&headers, &["type", "id", "updated_at"], items))
}

/// What runs now: what the formation says, and what was scaled away and has not stopped yet.
pub(super) async fn dynos(
    State(world): State<Shared>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let switches = world.faults.now();
    // 0 is no status: all is as it should be.
    if let Ok(status) = StatusCode::from_u16(switches.dynos_status) {
        return Err(Refusal::new(status, "unavailable", "Processes cannot be listed right now."));
    }
    let account = world.heroku();
    let app = account.app(&app)?;
    let run = app.formation.iter().flat_map(|(kind, dynos)| {
        let stopping = if switches.hold_dynos { dynos.stopping } else { 0 };
        (1..=dynos.quantity + stopping).map(move |number| {
            let state = if number > dynos.quantity { "stopping" } else { "up" };
            app.dyno_json(kind, dynos, number, state)
        })
    });
    Ok(page(&headers, &["name", "id", "updated_at"], run.collect()))
}

pub(super) async fn process(
    State(world): State<Shared>,
    Path((app, kind)): Path<(String, String)>,
) -> Answer {
    let account = world.heroku();
    let app = account.app(&app)?;
    let dynos = app.formation.get(&kind).ok_or_else(|| Refusal::not_found("formation"))?;
    found(app.process_json(&kind, dynos))
}

/// Applies one update to the processes of a type.
fn rescale(app: &mut App, kind: &str, update: &Map<String, Value>) -> Result<(), Refusal> {
    let dynos = app.formation.get_mut(kind).ok_or_else(|| Refusal::not_found("formation"))?;
    if let Some(quantity) = update.get("quantity") {
        // The official command-line tool sends text.
        let wanted = match quantity {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|wanted| u32::try_from(wanted).ok()),
        };
        let wanted =
            wanted.ok_or_else(|| Refusal::invalid("Quantity must be a number of 0 or more"))?;
        dynos.stopping = dynos.quantity.saturating_sub(wanted);
        dynos.quantity = wanted;
    }
    if let Some(size) = named(update, "size").or_else(|| named(update, "dyno_size")) {
        dynos.size = size.to_owned();
    }
    app.updated_at = Timestamp::now();
    Ok(())
}

pub(super) async fn scale_all(
    State(world): State<Shared>,
    Path(app): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let updates = fields
        .get("updates")
        .and_then(Value::as_array)
        .ok_or_else(|| Refusal::bad_request("updates is required"))?;
    let mut account = world.heroku();
    let app = account.app_mut(&app)?;
    let kind = |update: &Value| update["type"].as_str().unwrap_or_default().to_owned();
    if updates.iter().any(|update| !app.formation.contains_key(&kind(update))) {
        return Err(Refusal::not_found("formation"));
    }
    for update in updates {
        rescale(app, &kind(update), update.as_object().unwrap_or(&Map::new()))?;
    }
    found(json!(app.formation_json()))
}

pub(super) async fn scale(
    State(world): State<Shared>,
    Path((app, kind)): Path<(String, String)>,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let mut account = world.heroku();
    let app = account.app_mut(&app)?;
    rescale(app, &kind, &fields)?;
    let dynos = app.formation.get(&kind).ok_or_else(|| Refusal::not_found("formation"))?;
    found(app.process_json(&kind, dynos))
}
