//! Specs against a small catalogue: what a good one becomes, and what is said of broken ones, word for word.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Inputs, Loaded, load};
use crate::diag::Source;
use crate::info::{Catalog, Kind, ProviderInfo};
use crate::reference::Endpoint;
use crate::resource::{Resource, info};
use crate::secret::Secret;

mod for_each;
mod good;
mod head;
mod lifecycle;
mod references;
mod secrets;
mod values;
mod variables;

macro_rules! resource {
    ($name:ident, $type:literal, $kind:ident, $spec:ty, $attrs:ty) => {
        struct $name;
        impl Resource for $name {
            const TYPE: &'static str = $type;
            const KIND: Kind = Kind::$kind;
            type Spec = $spec;
            type Attrs = $attrs;
        }
    };
}

resource!(Database, "linode.database", Lookup, DatabaseSpec, DatabaseAttrs);
resource!(App, "heroku.app", Managed, AppSpec, AppAttrs);
resource!(Addon, "heroku.addon", Managed, AddonSpec, AddonAttrs);
resource!(Dump, "postgres.dump", Run, DumpSpec, DumpAttrs);
resource!(Verification, "postgres.verification", Run, VerificationSpec, Nothing);
resource!(Command, "core.command", Run, CommandSpec, CommandAttrs);
resource!(Value, "core.value", Managed, ValueSpec, ValueAttrs);

#[derive(Serialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["label"]}, {"required": ["id"]}]))]
#[allow(dead_code)]
struct DatabaseSpec {
    /// As the console shows it.
    label: Option<String>,
    id: Option<u64>,
    database: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct DatabaseAttrs {
    host: String,
    port: u16,
    ca_certificate: Option<String>,
    password: Secret,
    url: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct AppSpec {
    /// Globally unique.
    #[schemars(extend(
        "pattern" = "^[a-z][a-z0-9-]{2,29}$",
        "x-pattern-help" = "3 to 30 of `a-z`, `0-9` and `-`, beginning with a letter"
    ))]
    name: String,
    region: Option<Region>,
}

/// Where it runs.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Region {
    /// Virginia.
    Us,
    /// Dublin.
    Eu,
}

#[derive(Serialize, JsonSchema)]
struct AppAttrs {
    id: String,
    name: String,
    region: Region,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct AddonSpec {
    app: String,
    plan: String,
    config: Option<BTreeMap<String, String>>,
}

#[derive(Serialize, JsonSchema)]
struct AddonAttrs {
    name: String,
    plan: String,
    url: Secret,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct DumpSpec {
    source: Endpoint,
    #[serde(rename = "for")]
    target: Option<Endpoint>,
    to: Destination,
    #[schemars(range(min = 1, max = 16))]
    jobs: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Destination {
    Bucket(Bucket),
    Url(Url),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Bucket {
    bucket: String,
    object: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Url {
    url: Secret,
}

#[derive(Serialize, JsonSchema)]
struct DumpAttrs {
    object: String,
    size: u64,
    tables: Vec<Table>,
}

#[derive(Serialize, JsonSchema)]
struct Table {
    name: String,
    rows: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct VerificationSpec {
    expected: Endpoint,
    actual: Endpoint,
    #[serde(default)]
    rows: Rows,
    #[serde(default)]
    queries: Vec<String>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Rows {
    #[default]
    Exact,
    Estimate,
    None,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct CommandSpec {
    #[schemars(length(min = 1))]
    command: Vec<String>,
    #[schemars(extend("x-accepts-secrets" = true))]
    env: Option<BTreeMap<String, String>>,
    timeout: Option<u32>,
    shell: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
struct CommandAttrs {
    exit_code: i32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct ValueSpec {
    #[schemars(extend("x-accepts-secrets" = true))]
    input: serde_json::Value,
}

#[derive(Serialize, JsonSchema)]
struct ValueAttrs {
    #[schemars(extend("x-accepts-secrets" = true))]
    output: serde_json::Value,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Settings {
    token: Option<Secret>,
    url: Option<String>,
}

pub(crate) fn catalog() -> Catalog {
    let settings = schemars::schema_for!(Settings).to_value();
    let provider = |name, types| ProviderInfo { name, settings: settings.clone(), types };
    Catalog {
        providers: vec![
            provider("core", vec![info::<Command>(), info::<Value>()]),
            provider("heroku", vec![info::<App>(), info::<Addon>()]),
            provider("linode", vec![info::<Database>()]),
            provider("postgres", vec![info::<Dump>(), info::<Verification>()]),
        ],
    }
}

fn inputs() -> Inputs {
    let pairs = [("LINODE_TOKEN", "l-token-of-test"), ("STAGE", "prod"), ("COUNT", "3")];
    Inputs {
        env: pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..Inputs::default()
    }
}

fn read(text: &str, inputs: &Inputs) -> Result<Loaded, String> {
    let source = Source::new("spec.yaml", text);
    load(&source, inputs, &catalog())
        .map_err(|found| found.iter().map(|one| one.render(&source)).collect::<Vec<_>>().join("\n"))
}

/// A spec without `pgferry:` and `name:`, and all that is said of it.
fn broken(text: &str, expect: &str) {
    let text = format!("pgferry: 1\nname: test\n{text}");
    let said = read(&text, &inputs()).expect_err("a mistake");
    assert_eq!(said, expect, "\n{said}");
}

#[test]
fn every_code_said_is_explained() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let mut folders = vec![std::path::PathBuf::from(root)];
    let mut said = std::collections::BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("is there") {
            let path = entry.expect("is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(path) {
                let codes =
                    text.match_indices("\"PGF0").filter_map(|(at, _)| text.get(at + 1..at + 8));
                let codes = codes.filter(|code| code[4..].parse::<u16>().is_ok_and(|n| n < 1000));
                said.extend(codes.map(str::to_owned));
            }
        }
    }
    let known = crate::codes::CODES.iter().map(|(code, ..)| (*code).to_owned()).collect();
    assert_eq!(said, known);
}
