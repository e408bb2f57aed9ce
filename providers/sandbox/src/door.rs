//! What every request passes on its way into a service: it is recorded, and the faults that strike all alike happen.
//!
//! It owns the record; it does not know the services beyond their names and the shape of their errors. Tested in
//! `tests/faults.rs`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::world::Shared;

/// One request that reached a service.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    service: &'static str,
    method: String,
    /// Without the query, which may hold a signature.
    path: String,
    /// None while it is being answered, or if the answer was lost.
    status: Option<u16>,
    at: String,
}

/// All requests, in the order they came in.
#[derive(Default)]
pub(crate) struct RequestLog(Mutex<Vec<Entry>>);

impl RequestLog {
    pub(crate) fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // A panic while the lock is held leaves a plain list that is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, service: &'static str, request: &Request) -> usize {
        let mut entries = self.entries();
        entries.push(Entry {
            service,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            status: None,
            at: Timestamp::now().to_string(),
        });
        entries.len() - 1
    }

    fn end(&self, number: usize, status: StatusCode) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(number) {
            entry.status = Some(status.as_u16());
        }
    }
}

/// Which service a request reached, and the world it lives in.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) world: Shared,
    pub(crate) service: &'static str,
}

/// Records every request to a service, and lets the API faults happen to those of Linode and Heroku.
pub(crate) async fn watch_door(State(door): State<Door>, request: Request, next: Next) -> Response {
    let world = &door.world;
    if request.uri().path().starts_with("/sandbox/") {
        return next.run(request).await;
    }
    let number = world.log.begin(door.service, &request);
    if door.service == "s3" {
        if world.faults.take(|switches| &mut switches.s3_drop_next) {
            return hang_up();
        }
        let response = if world.faults.take(|switches| &mut switches.s3_503_next) {
            let body =
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code></Error>";
            (StatusCode::SERVICE_UNAVAILABLE, [("content-type", "application/xml")], body)
                .into_response()
        } else {
            next.run(request).await
        };
        world.log.end(number, response.status());
        return response;
    }
    let slow = world.faults.now().slow_ms;
    if slow > 0 {
        tokio::time::sleep(Duration::from_millis(slow)).await;
    }
    let reads = request.method() == Method::GET;
    if world.faults.take(|switches| &mut switches.drop_next) {
        return hang_up();
    }
    let disturbed = if reads && world.faults.take(|switches| &mut switches.http_503_next) {
        Some(unavailable(door.service))
    } else if reads && world.faults.take(|switches| &mut switches.http_429_next) {
        Some(too_many(door.service))
    } else {
        None
    };
    let response = match disturbed {
        Some(response) => response,
        None => next.run(request).await,
    };
    if !reads && world.faults.take(|switches| &mut switches.lose_answer_next) {
        return hang_up();
    }
    world.log.end(number, response.status());
    response
}

/// An answer whose body breaks: the client sees its connection closed.
fn hang_up() -> Response {
    let broken = futures_util::stream::once(async {
        Err::<bytes::Bytes, _>(std::io::Error::other("the sandbox hung up"))
    });
    let mut response = Response::new(Body::from_stream(broken));
    response.headers_mut().insert("content-length", axum::http::HeaderValue::from_static("1024"));
    response
}

fn unavailable(service: &str) -> Response {
    let body = match service {
        "linode" => json!({ "errors": [{ "reason": "Service unavailable" }] }),
        _ => {
            json!({ "id": "service_unavailable", "message": "The service is temporarily unavailable." })
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

fn too_many(service: &str) -> Response {
    let body = match service {
        "linode" => json!({ "errors": [{ "reason": "Too many requests" }] }),
        _ => json!({ "id": "rate_limit", "message": "Your account reached the API rate limit" }),
    };
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], Json(body)).into_response()
}
