//! Transfers: the Data API's record of restores, asked for, watched and cancelled.
//!
//! It owns the record; `restore` does the work. Tested in `tests/restore.rs`.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::refusal::{Answer, Refusal, body, created, found};
use super::{HerokuAccount, restore};
use crate::world::Shared;
use crate::{moment, random};

/// One restore, from the request to its end.
pub(crate) struct Transfer {
    pub(crate) uuid: String,
    pub(crate) num: usize,
    /// The id of the app that pays for the database.
    pub(crate) app: String,
    pub(crate) addon: String,
    from_url: String,
    to_url: String,
    pub(crate) processed_bytes: u64,
    pub(crate) succeeded: Option<bool>,
    pub(crate) warnings: u64,
    created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) canceled_at: Option<Timestamp>,
    pub(crate) updated_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
    deleted_at: Option<Timestamp>,
    logs: Vec<(Timestamp, String)>,
    pub(crate) cancelled: CancellationToken,
}

impl Transfer {
    fn json(&self, verbose: bool) -> Value {
        let time = |at: Option<Timestamp>| at.map(moment::data);
        let mut whole = json!({
            "uuid": self.uuid, "num": self.num, "from_name": "BACKUP", "from_type": "htcat", "from_url": self.from_url,
            "to_name": "DATABASE", "to_type": "pg_restore", "to_url": self.to_url, "options": {}, "source_bytes": null,
            "processed_bytes": self.processed_bytes, "succeeded": self.succeeded, "warnings": self.warnings,
            "created_at": moment::data(self.created_at), "started_at": time(self.started_at), "canceled_at": time(self.canceled_at),
            "updated_at": moment::data(self.updated_at), "finished_at": time(self.finished_at), "deleted_at": time(self.deleted_at),
            "purged_at": null, "num_keep": 5,
        });
        if verbose {
            let lines = self.logs.iter().map(|(at, message)| json!({ "created_at": moment::data(*at), "level": "info", "message": message }));
            whole["logs"] = lines.collect();
        }
        whole
    }

    pub(crate) fn is_over(&self) -> bool {
        self.finished_at.is_some() || self.canceled_at.is_some()
    }

    pub(crate) fn log(&mut self, message: impl Into<String>) {
        let now = Timestamp::now();
        self.updated_at = now;
        self.logs.push((now, message.into()));
    }
}

/// An extension as a restore names it: `name` or `schema.name`.
fn extension(text: &Value) -> Result<restore::Extension, Refusal> {
    let refusal = || Refusal::invalid(format!("Extension {text} is not valid"));
    let text = text.as_str().ok_or_else(refusal)?;
    let (schema, name) =
        text.split_once('.').map_or((None, text), |(schema, name)| (Some(schema.to_owned()), name));
    let plain = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if !plain(name) || schema.as_deref().is_some_and(|schema| !plain(schema)) {
        return Err(refusal());
    }
    Ok(restore::Extension { schema, name: name.to_owned() })
}

fn extensions(fields: &Map<String, Value>) -> Result<Vec<restore::Extension>, Refusal> {
    match fields.get("extensions") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(extension).collect(),
        Some(_) => Err(Refusal::invalid("extensions must be a list")),
    }
}

pub(super) async fn restore(
    State(world): State<Shared>,
    Path(wanted): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let url = fields.get("backup_url").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (answer, order) = {
        let mut account = world.heroku();
        let addon = account.addon(&wanted).map_err(|_| Refusal::unknown_database())?;
        let database = addon.database.clone().ok_or_else(Refusal::unknown_database)?;
        let (addon, app) = (addon.id.clone(), addon.app.clone());
        if !url::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(Refusal::bad_request(
                "backup_url must be a publicly accessible http or https URL",
            ));
        }
        let extensions = extensions(&fields)?;
        if account.transfers.iter().any(|transfer| transfer.addon == addon && !transfer.is_over()) {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "conflict",
                "a transfer is currently in progress",
            ));
        }
        let now = Timestamp::now();
        let transfer = Transfer {
            uuid: random::uuid(),
            num: account.transfers.iter().filter(|transfer| transfer.app == app).count() + 1,
            app,
            addon,
            from_url: url.clone(),
            to_url: database.url(world.target.port),
            processed_bytes: 0,
            succeeded: None,
            warnings: 0,
            created_at: now,
            started_at: None,
            canceled_at: None,
            updated_at: now,
            finished_at: None,
            deleted_at: None,
            logs: Vec::new(),
            cancelled: CancellationToken::new(),
        };
        let order = restore::Order {
            uuid: transfer.uuid.clone(),
            database,
            url,
            extensions,
            cancelled: transfer.cancelled.clone(),
        };
        let answer = transfer.json(false);
        account.transfers.push(transfer);
        (answer, order)
    };
    tokio::spawn(restore::run(world, order));
    created(answer)
}

#[derive(Deserialize)]
pub(super) struct Detail {
    #[serde(default)]
    verbose: bool,
}

/// The transfer of that number or uuid in that app.
fn transfer<'a>(
    account: &'a mut HerokuAccount,
    app: &str,
    wanted: &str,
) -> Result<&'a mut Transfer, Refusal> {
    let app = account.app(app)?.id.clone();
    let mut of_app = account
        .transfers
        .iter_mut()
        .filter(|transfer| transfer.app == app && transfer.deleted_at.is_none());
    of_app
        .find(|transfer| transfer.uuid == wanted || transfer.num.to_string() == wanted)
        .ok_or_else(|| Refusal::not_found("transfer"))
}

pub(super) async fn list(State(world): State<Shared>, Path(app): Path<String>) -> Answer {
    let account = world.heroku();
    let app = account.app(&app)?;
    let of_app = account
        .transfers
        .iter()
        .filter(|transfer| transfer.app == app.id && transfer.deleted_at.is_none());
    found(of_app.map(|transfer| transfer.json(false)).collect())
}

pub(super) async fn show(
    State(world): State<Shared>,
    Path((app, wanted)): Path<(String, String)>,
    detail: Query<Detail>,
) -> Answer {
    found(transfer(&mut world.heroku(), &app, &wanted)?.json(detail.verbose))
}

pub(super) async fn cancel(
    State(world): State<Shared>,
    Path((app, wanted)): Path<(String, String)>,
) -> Answer {
    let mut account = world.heroku();
    let transfer = transfer(&mut account, &app, &wanted)?;
    if transfer.is_over() {
        return Err(Refusal::invalid("the transfer has already finished"));
    }
    transfer.cancelled.cancel();
    transfer.canceled_at = Some(Timestamp::now());
    transfer.log("canceled by the owner");
    Ok((StatusCode::CREATED, Json(transfer.json(false))))
}

pub(super) async fn delete(
    State(world): State<Shared>,
    Path((app, wanted)): Path<(String, String)>,
) -> Answer {
    let mut account = world.heroku();
    let transfer = transfer(&mut account, &app, &wanted)?;
    if !transfer.is_over() {
        return Err(Refusal::invalid("the transfer is still running"));
    }
    transfer.deleted_at = Some(Timestamp::now());
    found(transfer.json(false))
}
