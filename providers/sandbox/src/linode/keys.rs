//! Access keys of Object Storage.
//!
//! It owns what the account shows of a key; the store itself checks signatures and grants. The secret is answered once,
//! at creation. Tested in `tests/linode.rs`.

use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Answer, Refusal, body, buckets, page};
use crate::random;
use crate::s3::{Grants, Key};
use crate::world::Shared;

/// A key as the account shows it.
pub(crate) struct AccessKey {
    pub(crate) id: u64,
    pub(crate) label: String,
    pub(crate) access_key: String,
    /// None means all buckets.
    pub(crate) bucket_access: Option<Vec<Value>>,
    pub(crate) regions: Vec<String>,
}

impl AccessKey {
    fn json(&self, world: &Shared, secret: &str) -> Value {
        let endpoints = buckets::endpoints_json(world);
        let regions: Vec<Value> = endpoints
            .into_iter()
            .filter(|endpoint| self.regions.iter().any(|region| endpoint["region"] == region.as_str()))
            .map(|endpoint| json!({ "id": endpoint["region"], "s3_endpoint": endpoint["s3_endpoint"], "endpoint_type": endpoint["endpoint_type"] }))
            .collect();
        json!({
            "id": self.id, "label": self.label, "access_key": self.access_key, "secret_key": secret,
            "limited": self.bucket_access.is_some(), "bucket_access": self.bucket_access, "regions": regions,
        })
    }

    fn redacted(&self, world: &Shared) -> Json<Value> {
        Json(self.json(world, "[REDACTED]"))
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/object-storage/keys", get(list).post(create))
        .route("/object-storage/keys/{id}", get(show).put(update).delete(delete))
}

async fn list(State(world): State<Shared>, uri: Uri, headers: HeaderMap) -> Answer {
    let items = world.linode().keys.iter().map(|key| key.json(&world, "[REDACTED]")).collect();
    page(&uri, &headers, &["label"], items)
}

/// What a `bucket_access` list allows, after a check of each entry.
fn grants(world: &Shared, entries: &[Value]) -> Result<Vec<(String, bool)>, Refusal> {
    let account = world.linode();
    entries
        .iter()
        .map(|entry| {
            let label = entry["bucket_name"].as_str().unwrap_or_default();
            let region = entry["region"].as_str().or(entry["cluster"].as_str()).unwrap_or_default();
            let region = region.strip_suffix("-1").unwrap_or(region);
            if !account
                .buckets
                .iter()
                .any(|bucket| bucket.label == label && bucket.region == region)
            {
                return Err(Refusal::invalid(
                    "bucket_access",
                    format!("Bucket {label} not found in {region}"),
                ));
            }
            match entry["permissions"].as_str() {
                Some("read_write") => Ok((label.to_owned(), true)),
                Some("read_only") => Ok((label.to_owned(), false)),
                _ => Err(Refusal::invalid(
                    "bucket_access",
                    "permissions must be one of read_only, read_write",
                )),
            }
        })
        .collect()
}

async fn create(State(world): State<Shared>, bytes: bytes::Bytes) -> Answer {
    let wanted = body(&bytes)?;
    let label = wanted["label"].as_str().filter(|label| !label.is_empty() && label.len() <= 50);
    let label = label
        .ok_or_else(|| Refusal::invalid("label", "Length must be 1-50 characters"))?
        .to_owned();
    let mut regions: Vec<String> = wanted["regions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let (bucket_access, allowed) = match wanted["bucket_access"].as_array() {
        None => (None, Grants::Unlimited),
        Some(entries) => {
            regions.extend(
                entries.iter().filter_map(|entry| entry["region"].as_str()).map(str::to_owned),
            );
            (Some(entries.clone()), Grants::Limited(grants(&world, entries)?))
        }
    };
    regions.sort();
    regions.dedup();
    if bucket_access.is_none() && regions.is_empty() {
        return Err(Refusal::invalid("regions", "regions is required"));
    }
    if let Some(unknown) =
        regions.iter().find(|region| !buckets::REGIONS.iter().any(|(id, _)| id == region))
    {
        return Err(Refusal::invalid("regions", format!("region {unknown} is not valid")));
    }
    let secret = random::secret(40);
    let delay = Duration::from_millis(world.faults.now().key_delay_ms);
    let mut account = world.linode();
    if account.keys.len() >= 100 {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "You have reached the maximum number of access keys",
        ));
    }
    let key = AccessKey {
        id: account.next_id(),
        label,
        access_key: random::access_key(),
        bucket_access,
        regions,
    };
    world.s3.add_key(Key {
        access_key: key.access_key.clone(),
        secret_key: secret.clone(),
        grants: allowed,
        active_after: Some(Instant::now() + delay),
    });
    let answer = key.json(&world, &secret);
    account.keys.push(key);
    Ok(Json(answer))
}

/// Does something with the key of that id.
fn with<T>(world: &Shared, id: &str, act: impl FnOnce(&mut AccessKey) -> T) -> Result<T, Refusal> {
    let mut account = world.linode();
    let key = account.keys.iter_mut().find(|key| key.id.to_string() == id);
    key.map(act).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "The specified access key was not found.")
    })
}

async fn show(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    with(&world, &id, |key| key.redacted(&world))
}

async fn update(
    State(world): State<Shared>,
    Path(id): Path<String>,
    bytes: bytes::Bytes,
) -> Answer {
    let wanted = body(&bytes)?;
    with(&world, &id, |key| {
        if let Some(label) = wanted["label"].as_str() {
            key.label = label.to_owned();
        }
        if let Some(regions) = wanted["regions"].as_array() {
            key.regions = regions.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        key.redacted(&world)
    })
}

async fn delete(State(world): State<Shared>, Path(id): Path<String>) -> Answer {
    let access_key = with(&world, &id, |key| key.access_key.clone())?;
    world.s3.revoke_key(&access_key);
    world.linode().keys.retain(|key| key.access_key != access_key);
    Ok(Json(json!({})))
}
