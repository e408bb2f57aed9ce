//! What the engine knows of a resource type without any credentials: enough to check a spec offline.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::check::shape::mentions_secret;
use crate::tree::{Fields, Tree};

/// How a resource lives.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Created, read, updated, deleted; remembered.
    Managed,
    /// Read if something needs it; never changed.
    Lookup,
    /// Done once; remembered.
    Run,
    /// Opened and closed within an apply.
    Scoped,
}

/// What happens to a remote thing whose block leaves the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRemove {
    /// Forgotten, not deleted.
    Keep,
    /// Deleted.
    Destroy,
}

/// What a change of a field means, from the schema's `x-change`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    /// Updated in place.
    Plain,
    /// Another value means another thing.
    Identity,
    /// A change needs a new thing, which is never planned by itself.
    Replaces,
    /// Used when creating; a change afterwards is only noted.
    CreationOnly,
    /// Never compared.
    Volatile,
    /// A person's confirmation; never compared.
    Guard,
}

/// Constants of a resource type.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// For managed resources whose block leaves the spec.
    pub on_remove: OnRemove,
    /// Its absence is no drift once what it was made for is done (bucket, dump).
    pub staging: bool,
    /// Each opening starts an epoch, and it closes after the last indirect dependent (window, freeze). A scope
    /// without epochs closes after the last direct one (access key).
    pub epoch: bool,
    /// Deleting it needs `--confirm ADDRESS=NAME` (app, add-on).
    pub guarded: bool,
    /// Its act has no effect outside the process (`core.value`): journaled in batches.
    pub internal: bool,
    /// A run that changes nothing and proves something: `pgferry verify` runs it again.
    pub proof: bool,
    /// By it an application reads another database; the state remembers when.
    pub cutover: bool,
    /// For runs: the field that names what they fill. Each plan asks whether that is still what was filled.
    pub fills: Option<&'static str>,
}

impl Traits {
    /// Kept on removal, not staging, no epochs, not guarded, with outward effects.
    pub const DEFAULT: Self = Self {
        on_remove: OnRemove::Keep,
        staging: false,
        epoch: false,
        guarded: false,
        internal: false,
        proof: false,
        cutover: false,
        fills: None,
    };
}

/// One resource type, as data.
#[derive(Clone, Debug)]
pub struct TypeInfo {
    /// `provider.noun`.
    pub name: &'static str,
    pub kind: Kind,
    pub traits: Traits,
    /// JSON Schema (2020-12) of what people write, annotations in `x-change`, `x-secret`, `x-reference`.
    pub spec: Json,
    /// JSON Schema of what others may refer to.
    pub attrs: Json,
}

impl TypeInfo {
    /// The schema of field `name`.
    pub fn field(&self, name: &str) -> Option<&Json> {
        self.spec.get("properties")?.get(name)
    }

    /// Names of the fields, in the order they are declared.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        properties(&self.spec)
    }

    /// Puts the schema's defaults into fields that are not written.
    pub fn put_defaults(&self, fields: &mut Fields) {
        for name in self.fields() {
            let default = self.field(name).and_then(|schema| schema.get("default"));
            if let Some(default) = default.filter(|json| !json.is_null()) {
                fields.entry(name.to_owned()).or_insert_with(|| Tree::from_json(default));
            }
        }
    }

    /// Names of the attributes.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        properties(&self.attrs)
    }

    /// The schema of attribute `name`.
    pub fn attribute(&self, name: &str) -> Option<&Json> {
        self.attrs.get("properties")?.get(name)
    }

    /// Whether attribute `name` is a secret.
    pub fn is_secret(&self, name: &str) -> bool {
        self.attribute(name).is_some_and(mentions_secret)
    }

    /// Whether attribute `name` changes by itself: a price, a time.
    pub fn is_volatile(&self, name: &str) -> bool {
        self.attribute(name)
            .is_some_and(|schema| schema.get("x-change") == Some(&json!("volatile")))
    }

    /// What a change of field `name` means.
    pub fn role(&self, name: &str) -> FieldRole {
        match self.field(name).and_then(|schema| schema.get("x-change")).and_then(Json::as_str) {
            Some("identity") => FieldRole::Identity,
            Some("replaces") => FieldRole::Replaces,
            Some("creation_only") => FieldRole::CreationOnly,
            Some("volatile") => FieldRole::Volatile,
            Some("guard") => FieldRole::Guard,
            _ => FieldRole::Plain,
        }
    }
}

fn properties(schema: &Json) -> impl Iterator<Item = &str> {
    schema
        .get("properties")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
        .map(|(k, _)| k.as_str())
}

/// A provider, as data: its settings and its types.
#[derive(Clone, Debug)]
pub struct ProviderInfo {
    /// The key under `providers:` and the first half of each type name.
    pub name: &'static str,
    /// JSON Schema of its settings.
    pub settings: Json,
    pub types: Vec<TypeInfo>,
}

/// Every provider this build knows.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub providers: Vec<ProviderInfo>,
}

impl Catalog {
    /// The type called `name`.
    pub fn get(&self, name: &str) -> Option<&TypeInfo> {
        let provider = name.split('.').next().unwrap_or(name);
        let types = self.providers.iter().filter(|p| p.name == provider).flat_map(|p| &p.types);
        types.into_iter().find(|t| t.name == name)
    }

    /// All types by name.
    pub fn types(&self) -> BTreeMap<&'static str, &TypeInfo> {
        self.providers.iter().flat_map(|p| &p.types).map(|t| (t.name, t)).collect()
    }
}
