//! Managed databases: the one instance that plays the source, and the catalogues around it.
//!
//! Deleting the instance stops its server. Creating, resizing and forking are not emulated. Tested in `tests/linode.rs`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Answer, Refusal, body, page};
use crate::moment;
use crate::world::Shared;

const FILTERABLE: [&str; 7] =
    ["engine", "label", "platform", "region", "status", "type", "version"];

/// A managed database as the account knows it.
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) label: String,
    pub(crate) allow_list: Vec<String>,
    pub(crate) created: Timestamp,
}

impl Instance {
    /// The instance that the story starts with.
    pub(crate) fn story() -> Self {
        let created = Timestamp::now() - SignedDuration::from_hours(24 * 400);
        Self {
            id: 232_051,
            label: "acme-prod".into(),
            allow_list: vec!["127.0.0.1/32".into(), "0.0.0.0/0".into()],
            created,
        }
    }

    fn json(&self, world: &Shared) -> Value {
        let port = world.source.cluster.port;
        let now = Timestamp::now();
        json!({
            "id": self.id, "label": self.label, "engine": "postgresql", "version": world.source.cluster.installation.version,
            "region": "us-ord", "type": "g6-dedicated-2", "status": "active", "cluster_size": 1,
            "port": port, "connection_pool_port": null,
            "hosts": {
                "primary": "127.0.0.1", "standby": null,
                "endpoints": [{ "role": "primary", "address": "127.0.0.1", "port": port, "public_access": true }],
            },
            "members": { "127.0.0.1": "primary" }, "allow_list": self.allow_list, "ssl_connection": true, "encrypted": true,
            "platform": "rdbms-default", "total_disk_size_gb": 59, "used_disk_size_gb": 3,
            "oldest_restore_time": moment::linode(now - SignedDuration::from_hours(24 * 7)),
            "created": moment::linode(self.created), "updated": moment::linode(self.created),
            "updates": { "frequency": "weekly", "duration": 4, "hour_of_day": 9, "day_of_week": 3, "pending": [] },
            "engine_config": {}, "fork": null, "private_network": null,
        })
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/databases/instances", get(list_all))
        .route("/databases/engines", get(engines))
        .route("/databases/types", get(types))
        .route("/databases/postgresql/instances", get(list).post(create))
        .route("/databases/postgresql/instances/{id}", get(show).put(update).delete(delete))
        .route("/databases/postgresql/instances/{id}/credentials", get(credentials))
        .route("/databases/postgresql/instances/{id}/credentials/reset", post(reset))
        .route("/databases/postgresql/instances/{id}/ssl", get(ssl))
}

/// Does something with the instance of that id.
fn with<T>(world: &Shared, id: &str, act: impl FnOnce(&mut Instance) -> T) -> Result<T, Refusal> {
    let mut account = world.linode();
    let instance = account.instance.as_mut().filter(|instance| instance.id.to_string() == id);
    instance.map(act).ok_or_else(Refusal::not_found)
}

async fn list(State(world): State<Shared>, uri: Uri, headers: HeaderMap) -> Answer {
    let items = world.linode().instance.iter().map(|instance| instance.json(&world)).collect();
    page(&uri, &headers, &FILTERABLE, items)
}

async fn list_all(State(world): State<Shared>, uri: Uri, headers: HeaderMap) -> Answer {
    let items = world
        .linode()
        .instance
        .iter()
        .map(|instance| {
            let mut whole = instance.json(&world);
            whole["instance_uri"] =
                json!(format!("/v4/databases/postgresql/instances/{}", instance.id));
            whole
        })
        .collect();
    page(&uri, &headers, &FILTERABLE, items)
}

async fn create() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "The sandbox has one managed database and makes no others",
    )
}

async fn show(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    with(&world, &id, |instance| Json(instance.json(&world)))
}

async fn update(
    State(world): State<Shared>,
    Path(id): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let wanted = body(&bytes)?;
    with(&world, &id, |instance| {
        if let Some(label) = wanted["label"].as_str() {
            instance.label = label.to_owned();
        }
        if let Some(list) = wanted["allow_list"].as_array() {
            instance.allow_list = list.iter().filter_map(Value::as_str).map(with_mask).collect();
        }
        Json(instance.json(&world))
    })
}

fn with_mask(address: &str) -> String {
    if address.contains('/') { address.to_owned() } else { format!("{address}/32") }
}

async fn delete(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    with(&world, &id, |_| ())?;
    world.linode().instance = None;
    match world.source.cluster.stop().await {
        Ok(()) => Ok(Json(json!({}))),
        Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn credentials(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    let login = &world.source.login;
    with(&world, &id, |_| Json(json!({ "username": login.user, "password": login.password })))
}

async fn reset(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    with(&world, &id, |_| ())?;
    Err(Refusal::new(StatusCode::BAD_REQUEST, "The sandbox does not reset credentials"))
}

async fn ssl(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    let encoded = base64::engine::general_purpose::STANDARD.encode(&world.source.authority);
    with(&world, &id, |_| Json(json!({ "ca_certificate": encoded })))
}

async fn engines(State(world): State<Shared>, uri: Uri, headers: HeaderMap) -> Answer {
    let major = world.source.cluster.installation.major.to_string();
    let items = vec![
        json!({ "id": format!("postgresql/{major}"), "engine": "postgresql", "version": major }),
    ];
    page(&uri, &headers, &["engine", "version"], items)
}

async fn types(uri: Uri, headers: HeaderMap) -> Answer {
    let items = vec![json!({
        "id": "g6-dedicated-2", "label": "DBaaS - Dedicated 4GB", "class": "dedicated", "vcpus": 2, "memory": 4096, "disk": 81920,
        "engines": { "postgresql": [{ "quantity": 1, "price": { "hourly": 0.0975, "monthly": 65.0 } }] },
    })];
    page(&uri, &headers, &["id", "class"], items)
}
