//! Attachments: which add-on an app reads under which name.
//!
//! It owns the rules of naming, overwriting and detaching. Tested in `tests/heroku.rs`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::paging::page;
use super::refusal::{Answer, Refusal, body, created, found, named};
use super::{Attachment, HerokuAccount};
use crate::world::Shared;
use crate::{moment, random};

const COLOURS: [&str; 16] = [
    "AMBER", "AQUA", "BLACK", "BLUE", "BRONZE", "BROWN", "CHARCOAL", "COBALT", "COPPER", "CRIMSON",
    "CYAN", "GOLD", "GREEN", "MAROON", "PURPLE", "TEAL",
];

const PROPERTIES: [&str; 2] = ["id", "name"];

/// Whether the request asks for the plan of the add-on and the names of config vars, too.
fn wants_more(headers: &HeaderMap) -> bool {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text("accept").contains("version=3.sdk") && text("accept-inclusion").contains("config_vars")
}

impl Attachment {
    fn json(&self, account: &HerokuAccount, more: bool) -> Value {
        let app = account.app(&self.app).map(super::App::brief).unwrap_or_default();
        let addon = account.addon(&self.addon).ok();
        let mut addon_json = json!({
            "app": addon.and_then(|addon| account.app(&addon.app).ok()).map(super::App::brief),
            "id": self.addon, "name": addon.map(|addon| addon.name.clone()),
        });
        if more {
            addon_json["plan"] = json!(addon.map(|addon| addon.plan.brief()));
        }
        let mut whole = json!({
            "addon": addon_json, "app": app, "created_at": moment::platform(self.created_at), "id": self.id, "log_input_url": null,
            "name": self.name, "namespace": self.namespace, "updated_at": moment::platform(self.created_at),
            "web_url": format!("https://addons-sso.heroku.com/apps/{}/addons/{}", self.app, self.addon),
        });
        if more {
            whole["config_vars"] = json!([self.config_var()]);
        }
        whole
    }
}

/// What is to happen when a new attachment is made.
pub(super) struct Placement {
    pub(super) name: String,
    /// The attachment of that name, which gives way.
    pub(super) replaced: Option<String>,
}

/// Decides the name of a new attachment of `addon` to the app `app` (an id), and whether it may have it.
///
/// Without a name it is `DATABASE` if nothing uses that, else one with a colour. A name whose config var exists is
/// taken over only with the app's name as confirmation.
pub(super) fn place(
    account: &HerokuAccount,
    app: &str,
    addon: &str,
    name: Option<&str>,
    confirm: Option<&str>,
) -> Result<Placement, Refusal> {
    let app = account.app(app)?;
    let taken = |name: &str| {
        app.config.contains_key(&format!("{name}_URL"))
            || account.attachments_of_app(&app.id).any(|other| other.name == name)
    };
    let Some(name) = name else {
        let colours = COLOURS.iter().map(|colour| format!("HEROKU_POSTGRESQL_{colour}"));
        let free = ["DATABASE".to_owned()].into_iter().chain(colours).find(|name| !taken(name));
        let name =
            free.unwrap_or_else(|| format!("HEROKU_POSTGRESQL_{}", random::name(6).to_uppercase()));
        return Ok(Placement { name, replaced: None });
    };
    if !name.starts_with(|first: char| first.is_ascii_alphabetic())
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(Refusal::invalid(
            "Name must start with a letter and can only contain letters, digits and underscores",
        ));
    }
    let name = name.to_uppercase();
    if !taken(&name) {
        return Ok(Placement { name, replaced: None });
    }
    if confirm != Some(app.name.as_str()) {
        let message = format!(
            "Adding this attachment would overwrite the config var {name}_URL of {}. Send the app's name in confirm to go on.",
            app.name
        );
        return Err(Refusal::confirmation_required(&app.name, message));
    }
    let replaced = account.attachments_of_app(&app.id).find(|other| other.name == name);
    if let Some(other) = replaced.filter(|other| other.addon != addon) {
        keeps_billing(account, other)?;
    }
    Ok(Placement { replaced: replaced.map(|other| other.id.clone()), name })
}

/// Refuses to take the last attachment of an add-on from the app that pays for it.
fn keeps_billing(account: &HerokuAccount, attachment: &Attachment) -> Result<(), Refusal> {
    let Ok(addon) = account.addon(&attachment.addon) else { return Ok(()) };
    let others = account
        .attachments_of_app(&addon.app)
        .filter(|other| other.addon == addon.id && other.id != attachment.id)
        .count();
    if attachment.app != addon.app || others > 0 {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "Cannot remove the last billing attachment of {}. Attach it under another name first, or destroy the add-on.",
        addon.name
    )))
}

/// Carries out a placement; the caller makes the releases known.
pub(super) fn attach(
    account: &mut HerokuAccount,
    app: &str,
    addon: &str,
    placement: Placement,
    namespace: Value,
) -> String {
    let Placement { name, replaced } = placement;
    account.attachments.retain(|other| Some(&other.id) != replaced.as_ref());
    if let Ok(app) = account.app_mut(app) {
        app.config.remove(&format!("{name}_URL"));
    }
    let id = random::uuid();
    account.attachments.push(Attachment {
        id: id.clone(),
        name,
        app: app.to_owned(),
        addon: addon.to_owned(),
        namespace,
        created_at: Timestamp::now(),
    });
    id
}

pub(super) async fn list(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let account = world.heroku();
    let items = account
        .attachments
        .iter()
        .map(|attachment| attachment.json(&account, wants_more(&headers)))
        .collect();
    page(&headers, &PROPERTIES, items)
}

pub(super) async fn list_of_app(
    State(world): State<Shared>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let account = world.heroku();
    let app = account.app(&app)?;
    let items = account
        .attachments_of_app(&app.id)
        .map(|attachment| attachment.json(&account, wants_more(&headers)))
        .collect();
    Ok(page(&headers, &PROPERTIES, items))
}

pub(super) async fn list_of_addon(
    State(world): State<Shared>,
    Path(addon): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let account = world.heroku();
    let addon = account.addon(&addon)?;
    let of_addon = account.attachments.iter().filter(|attachment| attachment.addon == addon.id);
    let items =
        of_addon.map(|attachment| attachment.json(&account, wants_more(&headers))).collect();
    Ok(page(&headers, &PROPERTIES, items))
}

pub(super) async fn show(
    State(world): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let account = world.heroku();
    let attachment = account.attachments.iter().find(|attachment| attachment.id == id);
    found(
        attachment
            .ok_or_else(|| Refusal::not_found("add_on attachment"))?
            .json(&account, wants_more(&headers)),
    )
}

pub(super) async fn show_of_app(
    State(world): State<Shared>,
    Path((app, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let account = world.heroku();
    let app = account.app(&app)?;
    let attachment = account
        .attachments_of_app(&app.id)
        .find(|attachment| attachment.name == name || attachment.id == name);
    found(
        attachment
            .ok_or_else(|| Refusal::not_found("add_on attachment"))?
            .json(&account, wants_more(&headers)),
    )
}

pub(super) async fn create(
    State(world): State<Shared>,
    headers: HeaderMap,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let text = |key: &str| named(&fields, key).map(str::to_owned);
    let mut account = world.heroku();
    let app = account
        .app(&text("app").ok_or_else(|| Refusal::bad_request("app is required"))?)?
        .id
        .clone();
    let addon =
        account.addon(&text("addon").ok_or_else(|| Refusal::bad_request("addon is required"))?)?;
    let (addon, addon_name) = (addon.id.clone(), addon.name.clone());
    let placement =
        place(&account, &app, &addon, text("name").as_deref(), text("confirm").as_deref())?;
    let name = placement.name.clone();
    let namespace = fields.get("namespace").cloned().unwrap_or(Value::Null);
    let replaced = placement.replaced.is_some();
    let id = attach(&mut account, &app, &addon, placement, namespace);
    let app = account.app_mut(&app)?;
    if replaced {
        app.release(format!("Detach {name} (@{addon_name})"));
    }
    app.release(format!("Attach {name} (@{addon_name})"));
    let attachment = account.attachments.iter().find(|attachment| attachment.id == id);
    created(
        attachment
            .map(|attachment| attachment.json(&account, wants_more(&headers)))
            .unwrap_or_default(),
    )
}

pub(super) async fn delete(
    State(world): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let mut account = world.heroku();
    let attachment = account.attachments.iter().find(|attachment| attachment.id == id);
    let attachment = attachment.ok_or_else(|| Refusal::not_found("add_on attachment"))?;
    keeps_billing(&account, attachment)?;
    let answer = attachment.json(&account, wants_more(&headers));
    let (app, name) = (attachment.app.clone(), attachment.name.clone());
    account.attachments.retain(|attachment| attachment.id != id);
    account.app_mut(&app)?.release(format!(
        "Detach {name} (@{})",
        answer["addon"]["name"].as_str().unwrap_or_default()
    ));
    found(answer)
}

/// Finds attachments by name, config var or id, or by the add-on they belong to.
pub(super) async fn resolve(
    State(world): State<Shared>,
    headers: HeaderMap,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let wanted = named(&fields, "addon_attachment")
        .ok_or_else(|| Refusal::bad_request("addon_attachment is required"))?;
    let account = world.heroku();
    let (app, wanted) = match wanted.split_once("::") {
        Some((app, wanted)) => (Some(app), wanted),
        None => (named(&fields, "app"), wanted),
    };
    let app = app.map(|app| account.app(app)).transpose()?;
    let addon = account.addon(wanted).ok().map(|addon| addon.id.as_str());
    let matches: Vec<Value> = account
        .attachments
        .iter()
        .filter(|attachment| app.is_none_or(|app| app.id == attachment.app))
        .filter(|attachment| {
            let by_name = app.is_some()
                && (attachment.name.eq_ignore_ascii_case(wanted)
                    || attachment.config_var().eq_ignore_ascii_case(wanted));
            by_name || attachment.id == wanted || Some(attachment.addon.as_str()) == addon
        })
        .map(|attachment| attachment.json(&account, wants_more(&headers)))
        .collect();
    if matches.is_empty() {
        return Err(Refusal::not_found("add_on attachment"));
    }
    Ok((StatusCode::OK, axum::Json(json!(matches))))
}
