//! Heroku: apps, Postgres add-ons, restores from a bucket, maintenance, attachments and config vars.
//!
//! Owns the settings, the credentials and the list of types; each resource has a file of its own, and [`api`] and
//! [`data`] hold the requests without decisions. Knows no other provider. Tested beside and against the emulator.

mod addon;
mod api;
mod app;
mod attachment;
mod codes;
mod config;
mod credentials;
mod data;
mod hosts;
mod maintenance;
mod patience;
mod plans;
mod release_phase;
mod restore;
mod transfer;
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
pub use plans::{Limits, plan_limits};

/// Settings of the Heroku provider. Left out, credentials are found where Heroku's own tools keep them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// A token with global scope. Default: `HEROKU_API_KEY`, then `~/.netrc`.
    #[serde(default)]
    api_key: Option<Secret>,
}

/// The provider `heroku` and its types.
pub fn provider() -> Provider {
    Provider {
        info: ProviderInfo {
            name: "heroku",
            settings: schemars::generate::SchemaSettings::draft2020_12()
                .with(|settings| settings.inline_subschemas = true)
                .into_generator()
                .into_root_schema_for::<Settings>()
                .to_value(),
            types: vec![
                info::<app::App>(),
                info::<addon::AddOn>(),
                info::<restore::Restore>(),
                info::<maintenance::Maintenance>(),
                info::<attachment::Attachment>(),
                info::<config::Config>(),
            ],
        },
        connect,
    }
}

fn connect(settings: &Tree, env: &BTreeMap<String, String>) -> Result<Connected, Fault> {
    let settings = match settings {
        Tree::Null => Settings::default(),
        settings => settings.to_typed::<Settings>().map_err(|cause| {
            Fault::new(Class::Rejected, "reading the settings of the provider `heroku`")
                .because(cause)
        })?,
    };
    let hosts = hosts::Hosts::from_environment(env)?;
    let token = credentials::token(settings.api_key, &hosts.platform, env)?;
    let api = Arc::new(api::Api::new(&hosts, token)?);
    Ok(vec![
        Arc::new(app::App::new(Arc::clone(&api))),
        Arc::new(addon::AddOn::new(Arc::clone(&api))),
        Arc::new(restore::Restore::new(Arc::clone(&api))),
        Arc::new(maintenance::Maintenance::new(Arc::clone(&api))),
        Arc::new(attachment::Attachment::new(Arc::clone(&api))),
        Arc::new(config::Config::new(api)),
    ])
}
