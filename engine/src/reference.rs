//! Fields that want a whole resource rather than a value: `source: ${prod}`.
//!
//! A provider's own reference types follow [`Endpoint`]: a struct decoded from the attributes of whatever is
//! referred to, whose schema names the attributes that it must have (`x-reference`).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::address::Address;
use crate::secret::Secret;

/// How a connection proves whom it talks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// The chain and the host name are checked.
    #[default]
    VerifyFull,
    /// Encrypted, the other side is not checked.
    Require,
    /// Clear text; accepted for loopback only.
    None,
}

/// A database that can be connected to: any resource with a `url!`.
#[derive(Clone, Debug, Deserialize)]
pub struct Endpoint {
    /// Where it comes from, for messages.
    #[serde(rename = "$address")]
    pub address: Address,
    /// The remote id of that resource.
    #[serde(rename = "$id", default)]
    pub id: Option<String>,
    /// `postgres://user:password@host:port/database`.
    pub url: Secret,
    #[serde(default)]
    pub tls: Option<Tls>,
    /// PEM of the authority to trust instead of the machine's own.
    #[serde(default)]
    pub ca_certificate: Option<String>,
    #[serde(default)]
    pub database: Option<String>,
    /// As the provider tells it, e.g. `16.4`.
    #[serde(default)]
    pub version: Option<String>,
    /// The provider's plan, where it has one (`heroku-postgresql:essential-1`).
    #[serde(default)]
    pub plan: Option<String>,
    /// The app it belongs to, where it has one.
    #[serde(default)]
    pub app: Option<String>,
    /// Its own name at the provider.
    #[serde(default)]
    pub name: Option<String>,
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference_schema(&["url"])
    }
}

/// The schema of a field that wants a whole resource with the attributes `needs`.
pub fn reference_schema(needs: &[&str]) -> Schema {
    json_schema!({ "type": "string", "pattern": r"^\$\{[^}]+\}$", "x-reference": needs })
}
