//! The customer's own page, and the catalogues of regions, services and plans.
//!
//! Tested in `tests/heroku.rs`.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::paging::page;
use super::plans::{PLANS, Plan, SERVICE, service_json};
use super::refusal::{Answer, Refusal, found};
use crate::world::Shared;

/// The customer.
pub(super) const OWNER: (&str, &str) = ("01234567-89ab-4cde-8f01-23456789abcd", "ops@acme.example");

pub(super) fn owner() -> Value {
    json!({ "email": OWNER.1, "id": OWNER.0 })
}

pub(super) async fn show() -> Answer {
    found(json!({
        "allow_tracking": false, "beta": false, "country_of_residence": "United States", "created_at": "2019-01-01T00:00:00Z",
        "default_organization": null, "default_team": null, "delinquent_at": null, "email": OWNER.1, "federated": false,
        "id": OWNER.0, "identity_provider": null, "last_login": "2026-01-01T00:00:00Z", "name": "ACME Operations", "sms_number": null,
        "suspended_at": null, "two_factor_authentication": true, "updated_at": "2026-01-01T00:00:00Z", "verified": true,
    }))
}

pub(super) async fn rate_limits(State(world): State<Shared>) -> Answer {
    let used = world.heroku().requests % 4500;
    found(json!({ "remaining": 4500 - used }))
}

pub(super) async fn regions(headers: HeaderMap) -> Response {
    let region = |id: &str, name: &str, description: &str, country: &str, provider: &str| {
        json!({
            "country": country, "created_at": "2012-11-21T20:44:16Z", "description": description, "id": id, "locale": description,
            "name": name, "private_capable": false, "provider": { "name": "amazon-web-services", "region": provider },
            "updated_at": "2012-11-21T20:44:16Z",
        })
    };
    let items = vec![
        region(
            "59accabd-516d-4f0e-83e6-6e3757701145",
            "us",
            "United States",
            "United States",
            "us-east-1",
        ),
        region("ed30241c-ed8c-4bb6-9714-61953675d0b4", "eu", "Europe", "Ireland", "eu-west-1"),
    ];
    page(&headers, &["name", "id"], items)
}

pub(super) async fn services(headers: HeaderMap) -> Response {
    page(&headers, &["name", "id"], vec![service_json()])
}

fn known_service(wanted: &str) -> Result<(), Refusal> {
    if wanted == SERVICE || service_json()["id"] == wanted {
        Ok(())
    } else {
        Err(Refusal::not_found("add_on service"))
    }
}

pub(super) async fn service(Path(service): Path<String>) -> Answer {
    known_service(&service)?;
    found(service_json())
}

pub(super) async fn plans(
    Path(service): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    known_service(&service)?;
    Ok(page(&headers, &["name", "id"], PLANS.iter().map(Plan::json).collect()))
}

pub(super) async fn plan(Path(plan): Path<String>) -> Answer {
    found(Plan::find(&plan).ok_or_else(|| Refusal::not_found("plan"))?.json())
}

pub(super) async fn plan_of_service(Path((service, plan)): Path<(String, String)>) -> Answer {
    known_service(&service)?;
    let named = Plan::find(&plan).or_else(|| Plan::find(&format!("{SERVICE}:{plan}")));
    found(named.ok_or_else(|| Refusal::not_found("plan"))?.json())
}
