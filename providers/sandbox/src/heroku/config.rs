//! Config vars: those set by hand, and those that attachments make, which nobody can set.
//!
//! Tested in `tests/heroku.rs`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::refusal::{Answer, Refusal, body, found};
use super::{AddonState, HerokuAccount};
use crate::world::Shared;

/// The config vars that the attachments of an app make; `port` is that of the target server.
pub(super) fn of_attachments(
    account: &HerokuAccount,
    app: &str,
    port: u16,
) -> BTreeMap<String, String> {
    account
        .attachments_of_app(app)
        .filter_map(|attachment| {
            let addon = account.addon(&attachment.addon).ok()?;
            let database =
                addon.database.as_ref().filter(|_| addon.state == AddonState::Provisioned)?;
            Some((attachment.config_var(), database.url(port)))
        })
        .collect()
}

fn all(account: &HerokuAccount, app: &str, port: u16) -> Answer {
    let app = account.app(app)?;
    let mut vars = app.config.clone();
    vars.extend(of_attachments(account, &app.id, port));
    found(json!(vars))
}

pub(super) async fn show(State(world): State<Shared>, Path(app): Path<String>) -> Answer {
    all(&world.heroku(), &app, world.target.port)
}

pub(super) async fn update(
    State(world): State<Shared>,
    Path(app): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let mut account = world.heroku();
    let id = account.app(&app)?.id.clone();
    if let Some(owned) = fields.keys().find(|name| {
        account.attachments_of_app(&id).any(|attachment| attachment.config_var() == **name)
    }) {
        return Err(Refusal::invalid(format!("Cannot overwrite attachment values {owned}.")));
    }
    let app = account.app_mut(&app)?;
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for (name, value) in &fields {
        match value {
            Value::Null => {
                if app.config.remove(name).is_some() {
                    removed.push(name.as_str());
                }
            }
            Value::String(text) => {
                if app.config.insert(name.clone(), text.clone()).as_ref() != Some(text) {
                    set.push(name.as_str());
                }
            }
            _ => {
                return Err(Refusal::invalid(format!(
                    "Config var {name} must be a string or null"
                )));
            }
        }
    }
    if !set.is_empty() {
        app.release(format!("Set {} config vars", set.join(", ")));
    }
    if !removed.is_empty() {
        app.release(format!("Remove {} config vars", removed.join(", ")));
    }
    all(&account, &id, world.target.port)
}
