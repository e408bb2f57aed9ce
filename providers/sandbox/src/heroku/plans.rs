//! The Heroku Postgres plans that the sandbox sells, with the limits the service gives them.
//!
//! Prices in US cents a month, as the catalogue showed them in 2026. Tested through `tests/heroku.rs`.

use serde_json::{Value, json};

/// One plan of `heroku-postgresql`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) id: &'static str,
    pub(crate) slug: &'static str,
    pub(crate) cents: u32,
    pub(crate) connections: u32,
    pub(crate) storage_bytes: u64,
}

const GIGABYTE: u64 = 1 << 30;

#[rustfmt::skip]
pub(crate) const PLANS: [Plan; 7] = [
    Plan { id: "5ad0a002-0000-4000-8000-000000000000", slug: "essential-0", cents: 500,    connections: 20,  storage_bytes: GIGABYTE },
    Plan { id: "5ad0a002-0000-4000-8000-000000000001", slug: "essential-1", cents: 900,    connections: 20,  storage_bytes: 10 * GIGABYTE },
    Plan { id: "5ad0a002-0000-4000-8000-000000000002", slug: "essential-2", cents: 2_000,  connections: 40,  storage_bytes: 32 * GIGABYTE },
    Plan { id: "5ad0a002-0000-4000-8000-000000000010", slug: "standard-0",  cents: 5_000,  connections: 120, storage_bytes: 64 * GIGABYTE },
    Plan { id: "5ad0a002-0000-4000-8000-000000000012", slug: "standard-2",  cents: 20_000, connections: 400, storage_bytes: 256 * GIGABYTE },
    Plan { id: "5ad0a002-0000-4000-8000-000000000020", slug: "premium-0",   cents: 20_000, connections: 120, storage_bytes: 64 * GIGABYTE },
    Plan { id: "5ad0a002-0000-4000-8000-000000000022", slug: "premium-2",   cents: 35_000, connections: 400, storage_bytes: 256 * GIGABYTE },
];

/// The add-on service all plans belong to.
pub(crate) const SERVICE: &str = "heroku-postgresql";
const SERVICE_ID: &str = "6c67493d-8fc2-4cd4-9161-4f1ec11cbe69";

impl Plan {
    /// By id, by `heroku-postgresql:SLUG`, or the default one by `heroku-postgresql`.
    pub(crate) fn find(wanted: &str) -> Option<&'static Self> {
        let slug = match wanted.split_once(':') {
            Some((SERVICE, slug)) => slug,
            Some(_) => return None,
            None if wanted == SERVICE => "essential-0",
            None => return PLANS.iter().find(|plan| plan.id == wanted),
        };
        PLANS.iter().find(|plan| plan.slug == slug)
    }

    pub(crate) fn name(&self) -> String {
        format!("{SERVICE}:{}", self.slug)
    }

    /// `essential`, `standard` or `premium`.
    pub(crate) fn tier(&self) -> &'static str {
        self.slug.split('-').next().unwrap_or(self.slug)
    }

    pub(crate) fn is_essential(&self) -> bool {
        self.tier() == "essential"
    }

    pub(crate) fn brief(&self) -> Value {
        json!({ "id": self.id, "name": self.name() })
    }

    pub(crate) fn price(&self) -> Value {
        json!({ "cents": self.cents, "contract": false, "metered": false, "unit": "month" })
    }

    pub(crate) fn json(&self) -> Value {
        let mut human_name = self.slug.replace('-', " ");
        human_name[..1].make_ascii_uppercase();
        json!({
            "addon_service": service_brief(), "compliance": null, "created_at": "2024-05-01T00:00:00Z",
            "default": self.slug == "essential-0", "description": format!("Heroku Postgres {human_name}"), "human_name": human_name,
            "id": self.id, "installable_inside_private_network": false, "installable_outside_private_network": true,
            "name": self.name(), "price": self.price(), "space_default": false, "state": "public",
            "updated_at": "2024-05-01T00:00:00Z", "visible": true,
        })
    }
}

pub(crate) fn service_brief() -> Value {
    json!({ "id": SERVICE_ID, "name": SERVICE })
}

pub(crate) fn service_json() -> Value {
    json!({
        "cli_plugin_name": "heroku-postgresql", "created_at": "2010-01-01T00:00:00Z", "human_name": "Heroku Postgres", "id": SERVICE_ID,
        "name": SERVICE, "state": "ga", "supports_multiple_installations": true, "supports_sharing": true,
        "updated_at": "2024-05-01T00:00:00Z",
    })
}
