//! Buckets and endpoints: the control plane of Object Storage.
//!
//! It owns where a bucket is said to live; its content is in `s3`, where all endpoints of the sandbox meet, so that
//! names are unique over all regions here. Tested in `tests/linode.rs`.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refusal, body, page};
use crate::moment;
use crate::world::Shared;

/// The regions of the sandbox; the last one has no Object Storage server yet.
pub(super) const REGIONS: [(&str, &str); 3] =
    [("us-ord", "Chicago, IL"), ("us-east", "Newark, NJ"), ("us-lax", "Los Angeles, CA")];

/// Region, type, and whether it is there yet.
const ENDPOINTS: [(&str, &str, bool); 4] = [
    ("us-ord", "E1", true),
    ("us-ord", "E3", true),
    ("us-east", "E0", true),
    ("us-lax", "E1", false),
];

const ACLS: [&str; 4] = ["private", "public-read", "authenticated-read", "public-read-write"];

/// Where a bucket is said to live.
pub(crate) struct Bucket {
    pub(crate) label: String,
    pub(crate) region: String,
    pub(crate) endpoint_type: String,
    pub(crate) created: Timestamp,
    pub(crate) cors_enabled: bool,
}

impl Bucket {
    fn json(&self, world: &Shared) -> Value {
        let content = world.s3.buckets().into_iter().find(|content| content.name == self.label);
        json!({
            "hostname": format!("{}.{}", self.label, world.s3_host), "label": self.label, "created": moment::linode(self.created),
            "region": self.region, "cluster": format!("{}-1", self.region),
            "size": content.as_ref().map_or(0, |content| content.bytes), "objects": content.as_ref().map_or(0, |content| content.objects),
            "endpoint_type": self.endpoint_type, "s3_endpoint": world.s3_host,
        })
    }

    fn is_in(&self, region: &str) -> bool {
        self.region == region || region == format!("{}-1", self.region)
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/object-storage/endpoints", get(endpoints))
        .route("/object-storage/buckets", get(list).post(create))
        .route("/object-storage/buckets/{region}", get(list_region))
        .route("/object-storage/buckets/{region}/{label}", get(show).delete(delete))
        .route(
            "/object-storage/buckets/{region}/{label}/access",
            get(access).put(set_access).post(set_access),
        )
        .route("/object-storage/buckets/{region}/{label}/object-list", get(objects))
        .route("/object-storage/transfer", get(transfer))
}

/// The endpoints of a region as the API lists them; the type of each and the host, null where there is none yet.
pub(super) fn endpoints_json(world: &Shared) -> Vec<Value> {
    let host = |there: bool| if there { json!(world.s3_host) } else { Value::Null };
    ENDPOINTS
        .iter()
        .map(|(region, kind, there)| json!({ "region": region, "endpoint_type": kind, "s3_endpoint": host(*there) }))
        .collect()
}

async fn endpoints(State(world): State<Shared>, uri: Uri, headers: HeaderMap) -> Answer {
    page(&uri, &headers, &["region", "endpoint_type"], endpoints_json(&world))
}

async fn list(State(world): State<Shared>, uri: Uri, headers: HeaderMap) -> Answer {
    let items = world.linode().buckets.iter().map(|bucket| bucket.json(&world)).collect();
    page(&uri, &headers, &["label", "region", "cluster"], items)
}

async fn list_region(
    State(world): State<Shared>,
    Path(region): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    if !REGIONS.iter().any(|(id, _)| region == *id || region == format!("{id}-1")) {
        return Err(no_region());
    }
    let items = world
        .linode()
        .buckets
        .iter()
        .filter(|bucket| bucket.is_in(&region))
        .map(|bucket| bucket.json(&world))
        .collect();
    page(&uri, &headers, &["label"], items)
}

fn no_region() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "The specified region was not found or does not support Object Storage.",
    )
}

fn well_named(label: &str) -> bool {
    (3..=63).contains(&label.len())
        && label.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-'
        })
        && label.starts_with(|first: char| first.is_ascii_alphanumeric())
        && label.ends_with(|last: char| last.is_ascii_alphanumeric())
}

async fn create(State(world): State<Shared>, bytes: bytes::Bytes) -> Answer {
    let wanted = body(&bytes)?;
    let label =
        wanted["label"].as_str().ok_or_else(|| Refusal::invalid("label", "label is required"))?;
    if !well_named(label) {
        return Err(Refusal::invalid(
            "label",
            "Label must be 3-63 characters of lowercase letters, digits, dots and dashes",
        ));
    }
    let region = wanted["region"].as_str().or(wanted["cluster"].as_str()).unwrap_or_default();
    let region = region.strip_suffix("-1").unwrap_or(region);
    let wanted_kind = wanted["endpoint_type"].as_str();
    let kind = ENDPOINTS
        .iter()
        .find(|(place, kind, there)| {
            *place == region && *there && wanted_kind.is_none_or(|wanted| wanted == *kind)
        })
        .map(|(_, kind, _)| *kind);
    let Some(kind) = kind else {
        let known = ENDPOINTS.iter().any(|(place, _, there)| *place == region && *there);
        return Err(if known {
            Refusal::invalid("endpoint_type", "endpoint_type is not valid")
        } else {
            Refusal::invalid("region", "region is not valid")
        });
    };
    let acl = wanted["acl"].as_str().unwrap_or("private");
    if !ACLS.contains(&acl) {
        return Err(Refusal::invalid("acl", "acl is not valid"));
    }
    let mut account = world.linode();
    // Making one's own bucket again succeeds and changes nothing.
    if let Some(own) =
        account.buckets.iter().find(|bucket| bucket.label == label && bucket.region == region)
    {
        return Ok(Json(own.json(&world)));
    }
    if world.faults.now().taken_buckets.iter().any(|taken| taken == label)
        || world.s3.create_bucket(label).is_err()
    {
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests"));
    }
    world.s3.set_acl(label, acl);
    let bucket = Bucket {
        label: label.to_owned(),
        region: region.to_owned(),
        endpoint_type: kind.to_owned(),
        created: Timestamp::now(),
        cors_enabled: wanted["cors_enabled"].as_bool().unwrap_or(false),
    };
    let answer = bucket.json(&world);
    account.buckets.push(bucket);
    Ok(Json(answer))
}

/// Does something with the bucket of that name in that region.
fn with<T>(
    world: &Shared,
    region: &str,
    label: &str,
    act: impl FnOnce(&mut Bucket) -> T,
) -> Result<T, Refusal> {
    let mut account = world.linode();
    let bucket =
        account.buckets.iter_mut().find(|bucket| bucket.label == label && bucket.is_in(region));
    bucket.map(act).ok_or_else(Refusal::not_found)
}

async fn show(
    State(world): State<Shared>,
    Path((region, label)): Path<(String, String)>,
) -> Answer {
    with(&world, &region, &label, |bucket| Json(bucket.json(&world)))
}

async fn delete(
    State(world): State<Shared>,
    Path((region, label)): Path<(String, String)>,
) -> Answer {
    with(&world, &region, &label, |_| ())?;
    if let Err(crate::s3::BucketError::NotEmpty(_)) = world.s3.delete_bucket(&label) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "Bucket is not empty"));
    }
    world.linode().buckets.retain(|bucket| bucket.label != label);
    Ok(Json(json!({})))
}

async fn access(
    State(world): State<Shared>,
    Path((region, label)): Path<(String, String)>,
) -> Answer {
    let acl = world.s3.acl(&label);
    with(&world, &region, &label, |bucket| {
        let flexible = matches!(bucket.endpoint_type.as_str(), "E2" | "E3");
        Json(json!({
            "acl": acl,
            "acl_xml": "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></AccessControlPolicy>",
            "cors_enabled": if flexible { Value::Null } else { json!(bucket.cors_enabled) },
            "cors_xml": null,
        }))
    })
}

async fn set_access(
    State(world): State<Shared>,
    Path((region, label)): Path<(String, String)>,
    bytes: bytes::Bytes,
) -> Answer {
    let wanted = body(&bytes)?;
    let acl = wanted["acl"].as_str();
    if acl.is_some_and(|acl| !ACLS.contains(&acl)) {
        return Err(Refusal::invalid("acl", "acl is not valid"));
    }
    with(&world, &region, &label, |bucket| {
        if wanted["cors_enabled"].is_boolean()
            && matches!(bucket.endpoint_type.as_str(), "E2" | "E3")
        {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "CORS not allowed for this endpoint",
            ));
        }
        bucket.cors_enabled = wanted["cors_enabled"].as_bool().unwrap_or(bucket.cors_enabled);
        Ok(())
    })??;
    if let Some(acl) = acl {
        world.s3.set_acl(&label, acl);
    }
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct Listing {
    marker: Option<String>,
    delimiter: Option<String>,
    #[serde(default)]
    prefix: String,
    page_size: Option<usize>,
}

async fn objects(
    State(world): State<Shared>,
    Path((region, label)): Path<(String, String)>,
    Query(query): Query<Listing>,
) -> Answer {
    with(&world, &region, &label, |_| ())?;
    let mut data: Vec<Value> = Vec::new();
    let mut last_folder = None;
    for object in world.s3.objects(&label) {
        let marked = query.marker.as_deref().is_some_and(|marker| object.name.as_str() <= marker);
        let Some(rest) = object.name.strip_prefix(&query.prefix).filter(|_| !marked) else {
            continue;
        };
        let folder = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()).and_then(
            |delimiter| {
                rest.find(delimiter)
                    .map(|at| object.name[..query.prefix.len() + at + delimiter.len()].to_owned())
            },
        );
        match folder {
            Some(folder) if last_folder.as_ref() == Some(&folder) => {}
            Some(folder) => {
                data.push(json!({ "name": folder, "size": null, "last_modified": null, "etag": null, "owner": null }));
                last_folder = Some(folder);
            }
            None => data.push(json!({
                "name": object.name, "size": object.size, "last_modified": moment::linode_object(object.last_modified),
                "etag": object.etag, "owner": "acme",
            })),
        }
    }
    let size = query.page_size.unwrap_or(100).max(1);
    let is_truncated = data.len() > size;
    data.truncate(size);
    let next_marker = if is_truncated {
        data.last().map_or(Value::Null, |last| last["name"].clone())
    } else {
        Value::Null
    };
    Ok(Json(json!({ "data": data, "next_marker": next_marker, "is_truncated": is_truncated })))
}

async fn transfer() -> Json<Value> {
    Json(json!({ "used": 0 }))
}
