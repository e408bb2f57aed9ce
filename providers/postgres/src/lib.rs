//! Postgres itself: databases, dumps, extensions, settings and the proof that two databases are equal.
//!
//! It owns every SQL statement and every `pg_dump` of pgferry. It knows no provider: any resource with a `url` will
//! do. Tested in `tests/` against real servers, which the tests make and stop themselves.

mod checksum;
pub mod codes;
pub mod connect;
pub mod copy;
pub mod counters;
pub mod database;
pub mod dump;
pub mod extensions;
pub mod facts;
mod fill;
pub mod freeze;
mod large_objects;
pub mod location;
mod own;
mod pooler;
pub mod programs;
pub mod quoting;
pub mod restore;
mod scan;
mod sequences;
pub mod settings;
pub mod target;
mod tls;
pub mod verification;

use std::sync::Arc;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::ProviderInfo;
use pgferry_engine::resource::{Provider, info};

/// The provider `postgres`. It has no settings and no credentials of its own.
pub fn provider() -> Provider {
    Provider {
        info: ProviderInfo {
            name: "postgres",
            settings: serde_json::json!({
                "type": "object", "properties": {}, "additionalProperties": false
            }),
            types: vec![
                info::<database::Database>(),
                info::<dump::Dump>(),
                info::<copy::Copy>(),
                info::<restore::Restore>(),
                info::<extensions::Extensions>(),
                info::<settings::Settings>(),
                info::<freeze::Freeze>(),
                info::<verification::Verification>(),
            ],
        },
        connect: |_, _| {
            Ok(vec![
                Arc::new(database::Database),
                Arc::new(dump::Dump),
                Arc::new(copy::Copy),
                Arc::new(restore::Restore),
                Arc::new(extensions::Extensions),
                Arc::new(settings::Settings),
                Arc::new(freeze::Freeze),
                Arc::new(verification::Verification),
            ])
        },
    }
}

/// What an act says that Ctrl-C has stopped.
pub(crate) fn interrupted() -> Fault {
    Fault::new(Class::Interrupted, "stopped on request")
}
