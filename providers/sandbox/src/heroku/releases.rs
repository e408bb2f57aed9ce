//! Releases: each change of an app's configuration makes one.
//!
//! Tested in `tests/heroku.rs`.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::owner;
use super::paging::page;
use super::refusal::{Answer, Refusal, body, created, found, named};
use super::{App, config};
use crate::world::Shared;
use crate::{moment, random};

/// One release of an app.
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) version: usize,
    pub(crate) description: String,
    pub(crate) created_at: Timestamp,
    /// The config vars set by hand, as they were.
    config: BTreeMap<String, String>,
}

impl Release {
    pub(crate) fn new(
        version: usize,
        description: String,
        config: BTreeMap<String, String>,
    ) -> Self {
        Self { id: random::uuid(), version, description, created_at: Timestamp::now(), config }
    }

    fn json(&self, app: &App) -> Value {
        json!({
            "addon_plan_names": [], "app": app.brief(), "created_at": moment::platform(self.created_at),
            "current": self.version == app.releases.len(), "description": self.description, "eligible_for_rollback": true, "id": self.id,
            "output_stream_url": null, "slug": null, "status": "succeeded", "updated_at": moment::platform(self.created_at),
            "user": owner(), "version": self.version,
        })
    }
}

/// The release of that id or version.
fn release<'a>(app: &'a App, wanted: &str) -> Result<&'a Release, Refusal> {
    let version = wanted.trim_start_matches('v');
    let release = app
        .releases
        .iter()
        .find(|release| release.id == wanted || release.version.to_string() == version);
    release.ok_or_else(|| Refusal::not_found("release"))
}

pub(super) async fn list(
    State(world): State<Shared>,
    Path(app): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let account = world.heroku();
    let app = account.app(&app)?;
    let items = app.releases.iter().map(|release| release.json(app)).collect();
    Ok(page(&headers, &["version", "id"], items))
}

pub(super) async fn show(
    State(world): State<Shared>,
    Path((app, wanted)): Path<(String, String)>,
) -> Answer {
    let account = world.heroku();
    let app = account.app(&app)?;
    found(release(app, &wanted)?.json(app))
}

pub(super) async fn config(
    State(world): State<Shared>,
    Path((app, wanted)): Path<(String, String)>,
) -> Answer {
    let account = world.heroku();
    let app = account.app(&app)?;
    let mut vars = config::of_attachments(&account, &app.id, world.target.port);
    vars.extend(release(app, &wanted)?.config.clone());
    found(json!(vars))
}

pub(super) async fn roll_back(
    State(world): State<Shared>,
    Path(app): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let fields = body(&bytes)?;
    let wanted =
        named(&fields, "release").ok_or_else(|| Refusal::bad_request("release is required"))?;
    let mut account = world.heroku();
    let app = account.app_mut(&app)?;
    let (version, config) =
        release(app, wanted).map(|release| (release.version, release.config.clone()))?;
    app.config = config;
    app.release(format!("Rollback to v{version}"));
    let latest = app.releases.last().map(|release| release.json(app));
    created(json!(latest))
}
