//! Linode (Akamai): managed Postgres as a source, buckets, and the keys to them.
//!
//! Owns the settings, the credentials and the list of types; each resource has a file of its own, and [`api`] holds the
//! requests without decisions. Knows no other provider. Tested beside and against the emulator.

mod access_key;
mod api;
mod bucket;
mod codes;
mod credentials;
mod database;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::ProviderInfo;
use pgferry_engine::resource::{Connected, Provider, info};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::Deserialize;

pub use codes::CODES;

/// Settings of the Linode provider. Left out, credentials are found where Linode's own tools keep them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A personal access token that may read databases and read and write Object Storage. Default: `LINODE_TOKEN`,
    /// then the configuration of `linode-cli`.
    #[serde(default)]
    token: Option<Secret>,
}

/// The provider `linode` and its types.
pub fn provider() -> Provider {
    Provider {
        info: ProviderInfo {
            name: "linode",
            settings: schemars::generate::SchemaSettings::draft2020_12()
                .with(|settings| settings.inline_subschemas = true)
                .into_generator()
                .into_root_schema_for::<Settings>()
                .to_value(),
            types: vec![
                info::<database::Database>(),
                info::<bucket::Bucket>(),
                info::<access_key::AccessKey>(),
            ],
        },
        connect,
    }
}

fn connect(settings: &Tree, env: &BTreeMap<String, String>) -> Result<Connected, Fault> {
    let settings = match settings {
        Tree::Null => Settings::default(),
        settings => settings.to_typed::<Settings>().map_err(|cause| {
            Fault::new(Class::Rejected, "reading the settings of the provider `linode`")
                .because(cause)
        })?,
    };
    let base = api::base(env)?;
    let token = credentials::token(settings.token, env)?;
    let api = Arc::new(api::Api::new(base, token)?);
    Ok(vec![
        Arc::new(database::Database::new(Arc::clone(&api))),
        Arc::new(bucket::Bucket::new(Arc::clone(&api))),
        Arc::new(access_key::AccessKey::new(api)),
    ])
}
