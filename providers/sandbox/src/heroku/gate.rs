//! What every request to Heroku passes: the token, the version it accepts, and the headers of each answer.
//!
//! Tested in `tests/heroku.rs`.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;

use super::refusal::Refusal;
use crate::random;
use crate::world::Shared;

const HOURLY_REQUESTS: u32 = 4500;

pub(super) async fn nothing_here() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), and did you \
         specify your intended version with the `Accept` header?",
    )
}

/// Whether the request proves to come from the customer: by bearer token, or by basic authentication with the token as
/// password.
fn is_known(headers: &HeaderMap, token: &str) -> bool {
    let Some(given) = headers.get("authorization").and_then(|value| value.to_str().ok()) else {
        return false;
    };
    match given.split_once(' ') {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("bearer") => given == token,
        Some((scheme, given)) if scheme.eq_ignore_ascii_case("basic") => {
            base64::engine::general_purpose::STANDARD
                .decode(given)
                .ok()
                .and_then(|pair| String::from_utf8(pair).ok())
                .is_some_and(|pair| {
                    pair.split_once(':').is_some_and(|(_, password)| password == token)
                })
        }
        _ => false,
    }
}

fn accepts_version_3(headers: &HeaderMap) -> bool {
    headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|kind| {
            let kind = kind.replace(' ', "");
            kind.starts_with("application/vnd.heroku+json;version=3")
        })
    })
}

pub(super) async fn guard(State(world): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_data = path.starts_with("/client/")
        || path.starts_with("/postgres/")
        || path.starts_with("/data/");
    let is_own = path.starts_with("/sandbox/");
    let client_id =
        request.headers().get("request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let free = path == "/account/rate-limits" || is_own;
    let remaining = {
        let mut account = world.heroku();
        account.requests += u32::from(!free);
        HOURLY_REQUESTS.saturating_sub(account.requests % HOURLY_REQUESTS)
    };
    let mut response = if !is_known(request.headers(), &world.tokens.heroku) {
        let message = if is_data {
            "Invalid credentials provided."
        } else {
            "Invalid credentials provided. Please check your API key."
        };
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message).into_response()
    } else if !is_data && !is_own && !accepts_version_3(request.headers()) {
        Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "not_acceptable",
            "Accept header must be application/vnd.heroku+json; version=3",
        )
        .into_response()
    } else {
        next.run(request).await
    };
    let ids = client_id.into_iter().chain([random::uuid()]).collect::<Vec<_>>().join(",");
    let headers = response.headers_mut();
    if let Ok(ids) = HeaderValue::from_str(&ids) {
        headers.insert("request-id", ids);
    }
    headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
    headers.insert("ratelimit-multiplier", HeaderValue::from_static("1"));
    headers.insert("oauth-scope", HeaderValue::from_static("global"));
    headers.insert(
        "oauth-scope-accepted",
        HeaderValue::from_static("global read read-protected write write-protected"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_proof_are_taken() {
        let check = |value: &str| {
            let headers = HeaderMap::from_iter([(
                "authorization".parse().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )]);
            is_known(&headers, "secret")
        };
        assert_eq!(
            [
                check("Bearer secret"),
                check("Basic OnNlY3JldA=="),
                check("Bearer other"),
                check("Basic c2VjcmV0"),
                check("secret")
            ],
            [true, true, false, false, false]
        );
    }

    #[test]
    fn the_version_is_asked_for() {
        let check = |value: &str| {
            accepts_version_3(&HeaderMap::from_iter([(
                "accept".parse().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )]))
        };
        assert_eq!(
            [
                check("application/vnd.heroku+json; version=3"),
                check("application/vnd.heroku+json; version=3.sdk"),
                check("application/json")
            ],
            [true, true, false]
        );
    }
}
