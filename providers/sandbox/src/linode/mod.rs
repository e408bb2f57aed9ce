//! The Linode API v4, as far as a migration meets it: managed Postgres, buckets, access keys, the account.
//!
//! It owns the account's lists and the manners that all requests share (token, envelope, filter, errors). The data
//! plane of the buckets is `s3`. Tested in `tests/linode.rs`.

mod buckets;
mod databases;
mod keys;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::door::{Door, watch_door};
use crate::world::Shared;

pub(crate) use buckets::Bucket;
pub(crate) use databases::Instance;
pub(crate) use keys::AccessKey;

/// What the customer has at Linode.
#[derive(Default)]
pub(crate) struct LinodeAccount {
    pub(crate) instance: Option<Instance>,
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) keys: Vec<AccessKey>,
    pub(crate) last_id: u64,
}

impl LinodeAccount {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// The whole origin: `/v4` and `/v4beta` serve the same.
pub(crate) fn router(world: &Shared) -> Router {
    let api = Router::new()
        .merge(databases::routes())
        .merge(buckets::routes())
        .merge(keys::routes())
        .route("/account", get(account))
        .route("/regions", get(regions));
    Router::new()
        .nest("/v4", api.clone())
        .nest("/v4beta", api)
        .fallback(nothing_here)
        .method_not_allowed_fallback(nothing_here)
        .layer(middleware::from_fn_with_state(world.clone(), guard))
        .layer(middleware::from_fn_with_state(
            Door { world: world.clone(), service: "linode" },
            watch_door,
        ))
        .with_state(world.clone())
}

/// An error as the API words it.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    reason: String,
    field: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), field: None }
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found")
    }

    fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, reason: reason.into(), field: Some(field) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error = json!({ "reason": self.reason });
        if let Some(field) = self.field {
            error["field"] = json!(field);
        }
        (self.status, Json(json!({ "errors": [error] }))).into_response()
    }
}

type Answer = Result<Json<Value>, Refusal>;

async fn nothing_here() -> Refusal {
    Refusal::not_found()
}

/// Lets in who bears the token, and dresses every answer with the headers of the API.
async fn guard(State(world): State<Shared>, request: Request, next: Next) -> Response {
    let expected = format!("Bearer {}", world.tokens.linode);
    let known = request
        .headers()
        .get("authorization")
        .is_some_and(|value| value.as_bytes() == expected.as_bytes());
    let mut response = if known {
        next.run(request).await
    } else {
        Refusal::new(StatusCode::UNAUTHORIZED, "Invalid Token").into_response()
    };
    let headers = response.headers_mut();
    headers.insert("x-oauth-scopes", HeaderValue::from_static(if known { "*" } else { "unknown" }));
    headers.insert("x-accepted-oauth-scopes", HeaderValue::from_static("*"));
    headers.insert("x-ratelimit-limit", HeaderValue::from_static("1600"));
    headers.insert("x-spec-version", HeaderValue::from_static("4.229.1"));
    response
}

/// A request body; none at all is an empty object.
fn body(bytes: &bytes::Bytes) -> Result<Value, Refusal> {
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(bytes)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "JSON parse error"))
}

/// Puts a list into the envelope of pages, after filtering it by `X-Filter`.
///
/// Only equality is understood, on `filterable` fields, which is what clients of this sandbox send; ordering is ignored.
fn page(uri: &Uri, headers: &HeaderMap, filterable: &[&str], mut items: Vec<Value>) -> Answer {
    if let Some(filter) = headers.get("x-filter") {
        let filter: Value = serde_json::from_slice(filter.as_bytes())
            .map_err(|_| Refusal::invalid("X-Filter", "Cannot parse X-Filter"))?;
        let wanted = filter
            .as_object()
            .ok_or_else(|| Refusal::invalid("X-Filter", "Cannot parse X-Filter"))?;
        for (name, value) in wanted.iter().filter(|(name, _)| !name.starts_with('+')) {
            if !filterable.contains(&name.as_str()) {
                return Err(Refusal::invalid("X-Filter", format!("Cannot filter on {name}")));
            }
            items.retain(|item| &item[name] == value);
        }
    }
    let query = |wanted: &str, default: usize| {
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name == wanted)
            .map_or(Some(default), |(_, value)| value.parse().ok())
    };
    let size = query("page_size", 100).filter(|size| (25..=500).contains(size));
    let size = size.ok_or_else(|| Refusal::invalid("page_size", "Must be 25-500"))?;
    let number = query("page", 1)
        .filter(|number| *number >= 1)
        .ok_or_else(|| Refusal::invalid("page", "Must be 1 or more"))?;
    let results = items.len();
    let pages = results.div_ceil(size).max(1);
    if number > pages {
        return Err(Refusal::not_found());
    }
    let data: Vec<Value> = items.into_iter().skip((number - 1) * size).take(size).collect();
    Ok(Json(json!({ "data": data, "page": number, "pages": pages, "results": results })))
}

async fn account() -> Json<Value> {
    Json(json!({
        "company": "ACME Corporation", "email": "ops@acme.example", "first_name": "Wile", "last_name": "Coyote",
        "country": "US", "balance": 0, "active_since": "2021-05-01T00:00:00", "euuid": "A1B2C3D4-0000-4000-8000-ACMEACMEACME",
        "capabilities": ["Linodes", "Object Storage", "Object Storage Access Key Regions", "Object Storage Endpoint Types", "Managed Databases"],
    }))
}

async fn regions(uri: Uri, headers: HeaderMap) -> Answer {
    let items = buckets::REGIONS
        .iter()
        .map(|(id, label)| json!({ "id": id, "label": label, "country": "us", "status": "ok", "capabilities": ["Object Storage", "Managed Databases"] }))
        .collect();
    page(&uri, &headers, &["id", "label", "country"], items)
}
