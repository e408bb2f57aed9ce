//! Errors in the words of the Heroku APIs, and the reading of what clients send.
//!
//! Tested through `tests/heroku.rs`.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A request that is answered with an error.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    /// None where the service answers with a page instead of JSON.
    body: Option<Value>,
}

/// What handlers return.
pub(crate) type Answer = Result<(StatusCode, Json<Value>), Refusal>;

pub(crate) fn found(value: Value) -> Answer {
    Ok((StatusCode::OK, Json(value)))
}

pub(crate) fn created(value: Value) -> Answer {
    Ok((StatusCode::CREATED, Json(value)))
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, id: &str, message: impl Into<String>) -> Self {
        Self { status, body: Some(json!({ "id": id, "message": message.into() })) }
    }

    /// Something is not there; `resource` in the words of the API: `app`, `add_on`, `add_on attachment`.
    pub(crate) fn not_found(resource: &str) -> Self {
        let message = format!("Couldn't find that {}.", resource.replace("add_on", "add-on"));
        Self {
            status: StatusCode::NOT_FOUND,
            body: Some(json!({ "id": "not_found", "message": message, "resource": resource })),
        }
    }

    /// The Data API's answer for a database it does not know (yet): a page that claims to be JSON.
    pub(crate) fn unknown_database() -> Self {
        Self { status: StatusCode::NOT_FOUND, body: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn confirmation_required(app: &str, message: impl Into<String>) -> Self {
        let body = json!({ "id": "confirmation_required", "message": message.into(), "app": { "name": app } });
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body: Some(body) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self.body {
            Some(body) => (self.status, Json(body)).into_response(),
            None => (self.status, [(CONTENT_TYPE, "application/json")], "<h1>Not Found</h1>")
                .into_response(),
        }
    }
}

/// A request body; none at all is an empty object.
pub(crate) fn body(bytes: &bytes::Bytes) -> Result<Map<String, Value>, Refusal> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        _ => Err(Refusal::bad_request("Unable to parse the JSON request.")),
    }
}

/// A thing that requests may name by text or by an object with `id` or `name`.
pub(crate) fn named<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    let value = fields.get(key)?;
    value.as_str().or_else(|| value.get("id")?.as_str()).or_else(|| value.get("name")?.as_str())
}
