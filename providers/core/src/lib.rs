//! What needs no service: values with a name, and commands of the user's own.
//!
//! Tested beside the types, commands with real processes.

pub mod command;
pub mod value;

use std::sync::Arc;

use pgferry_engine::info::ProviderInfo;
use pgferry_engine::resource::{Provider, info};

/// The provider `core`. It has no settings.
pub fn provider() -> Provider {
    Provider {
        info: ProviderInfo {
            name: "core",
            settings: serde_json::json!({
                "type": "object", "properties": {}, "additionalProperties": false
            }),
            types: vec![info::<value::Value>(), info::<command::Command>()],
        },
        connect: |_, _| Ok(vec![Arc::new(value::Value), Arc::new(command::Command)]),
    }
}
