//! The sandbox's own routes on the Heroku origin, for tests and rehearsals.
//!
//! `POST /sandbox/faults` sets switches and `GET` shows them; `GET /sandbox/log` lists the requests that came in and
//! `DELETE` forgets them; `GET /sandbox/state` counts what is left at the services. Tested in `tests/faults.rs`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::door::Entry;
use crate::faults::Switches;
use crate::world::Shared;

/// The routes under `/sandbox`, for tests and rehearsals; the caller guards them with the token.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/sandbox/faults", get(show).post(set))
        .route("/sandbox/log", get(log).delete(forget))
        .route("/sandbox/state", get(state))
}

async fn show(State(world): State<Shared>) -> Json<Switches> {
    Json(world.faults.now())
}

async fn set(State(world): State<Shared>, Json(wanted): Json<Value>) -> Response {
    match world.faults.merge(&wanted) {
        Ok(switches) => {
            let ahead = Duration::from_secs(switches.s3_clock_ahead_seconds.into());
            world.s3.set_clock_ahead(ahead);
            Json(switches).into_response()
        }
        Err(error) => (
            StatusCode::BAD_REQUEST,
            Json(json!({ "id": "bad_request", "message": error.to_string() })),
        )
            .into_response(),
    }
}

async fn log(State(world): State<Shared>) -> Json<Vec<Entry>> {
    Json(world.log.entries().clone())
}

async fn forget(State(world): State<Shared>) -> Json<Value> {
    world.log.entries().clear();
    Json(json!({}))
}

/// What is left at the services; names and counts, no secrets.
async fn state(State(world): State<Shared>) -> Json<Value> {
    let buckets: Vec<Value> = world
        .s3
        .buckets()
        .into_iter()
        .map(|bucket| json!({ "name": bucket.name, "objects": bucket.objects, "bytes": bucket.bytes, "uploads": world.s3.uploads(&bucket.name) }))
        .collect();
    let linode = world.linode();
    let heroku = world.heroku();
    Json(json!({
        "buckets": buckets,
        "keys": linode.keys.iter().map(|key| key.label.clone()).collect::<Vec<_>>(),
        "instances": linode.instance.iter().map(|instance| instance.label.clone()).collect::<Vec<_>>(),
        "apps": heroku.apps.iter().map(|app| app.name.clone()).collect::<Vec<_>>(),
        "addons": heroku.addons.iter().map(|addon| addon.name.clone()).collect::<Vec<_>>(),
        "transfers": heroku.transfers.len(),
    }))
}
