//! `heroku.config`: config vars of an app, each set or taken away.
//!
//! API: Platform API v3, `GET|PATCH /apps/{app}/config-vars`: `null` takes one away, each change makes a release. What an
//! add-on brings belongs to it and cannot be set. Values are compared where they are read and go no further; what is
//! there and was not written by us is told as [`ANOTHER`]. Tested beside and against the emulator.

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::secret::{MASK, Secret};
use pgferry_engine::tree::Tree;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::release_phase;
use crate::wire::ConfigVars;

/// Stands for a value that is there and is not the one that is wanted.
const ANOTHER: &str = "(another value)";

/// Config vars of an app.
pub(crate) struct Config {
    api: Arc<Api>,
}

impl Config {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// Config vars of an app of Heroku's. Those that are not listed are left alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The name of the app.
    #[schemars(extend("x-change" = "identity"))]
    app: String,
    /// Values by name; `null` takes the config var away. Secrets are read live, compared live, and stored nowhere.
    #[schemars(length(min = 1))]
    values: IndexMap<Name, Option<Value>>,
}

/// The name of a config var.
#[derive(Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Name(String);

/// What a config var is set to.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Flag(bool),
    Number(serde_json::Number),
    Secret(Secret),
}

impl JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigValue".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"], "x-accepts-secrets": true })
    }
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Secret(secret) => secret.expose().to_owned(),
        }
    }
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    /// The names of those that are set.
    names: Vec<String>,
}

/// What is to be known before a change.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    /// Wanted, and brought by an add-on.
    owned: BTreeMap<String, String>,
    /// There with another value.
    overwritten: Vec<String>,
    /// The latest release: the way back.
    release: Option<u64>,
}

/// The wanted values, by name.
fn wanted(want: &Tree) -> impl Iterator<Item = (&String, &Tree)> {
    match want.get("values") {
        Some(Tree::Map(map)) => Some(map),
        _ => None,
    }
    .into_iter()
    .flatten()
}

/// How the wanted value is told, given what is there: as written or masked where it is the same.
fn told(want: &Tree, there: Option<&str>, last: Option<&Tree>) -> Json {
    let Some(there) = there else { return Json::Null };
    let same = matches!(want, Tree::Secret(secret) if secret.expose() == there)
        || (!matches!(want, Tree::Secret(_) | Tree::Null)
            && want.to_text().as_deref() == Some(there));
    match last.and_then(Tree::as_text) {
        _ if same => want.storable(),
        // Set by ourselves the last time, in clear.
        Some(last) if last == there && last != MASK => Json::from(last),
        _ => Json::from(ANOTHER),
    }
}

impl Config {
    async fn vars(&self, cx: &Cx, app: &str) -> Result<Option<ConfigVars>, Fault> {
        match self.api.config_vars(cx, app).await {
            Ok(vars) => Ok(Some(vars)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.during(format!("reading the config of app `{app}`"))),
        }
    }

    async fn facts(&self, cx: &Cx, app: &str, want: &Tree) -> Result<Option<Facts>, Fault> {
        let Some(vars) = self.vars(cx, app).await? else { return Ok(None) };
        let during = || format!("reading what add-ons bring to app `{app}`");
        let attachments = self.api.attachments(cx, app).await;
        let attachments = attachments.map_err(|error| error.during(during()))?;
        let addons = self.api.addons(cx, app).await.map_err(|error| error.during(during()))?;
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for attachment in attachments.iter().filter(|attachment| attachment.namespace.is_none()) {
            owners.insert(format!("{}_URL", attachment.name), attachment.addon.name.clone());
        }
        for addon in addons {
            owners.extend(addon.config_vars.into_iter().map(|name| (name, addon.name.clone())));
        }
        let mut facts = Facts::default();
        for (name, tree) in wanted(want) {
            if let Some(owner) = owners.get(name) {
                facts.owned.insert(name.clone(), owner.clone());
            } else if vars
                .get(name)
                .is_some_and(|there| told(tree, Some(there.expose()), None) == ANOTHER)
            {
                facts.overwritten.push(name.clone());
            }
        }
        if !facts.overwritten.is_empty() {
            let release = self.api.latest_release(cx, app).await;
            let release = release.map_err(|error| error.during(during()))?;
            facts.release = release.map(|release| release.version);
        }
        Ok(Some(facts))
    }
}

impl Resource for Config {
    const TYPE: &'static str = "heroku.config";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { cutover: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        // Config vars are there as soon as all are as wanted; else this is a change of them.
        let all: Json = wanted(want).map(|(name, tree)| (name.clone(), tree.storable())).collect();
        let live = self.read(cx, want, None).await?;
        let known = want.get("values").is_some_and(|values| !values.has_unknown());
        Ok(live.filter(|live| known && live.fields.get("values") == Some(&all)))
    }

    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let written = want.get("app").and_then(Tree::as_text);
        let app = written.or_else(|| remembered?.inputs.get("app")?.as_text());
        let Some(app) = app else { return Ok(None) };
        let Some(vars) = self.vars(cx, app).await? else { return Ok(None) };
        let last = |name: &str| remembered?.inputs.get("values")?.get(name);
        let (mut values, mut names) = (serde_json::Map::new(), Vec::new());
        for (name, tree) in wanted(want) {
            let there = vars.get(name).map(|value| value.expose());
            values.insert(name.clone(), told(tree, there, last(name)));
            if there.is_some() && *tree != Tree::Null {
                names.push(name.clone());
            }
        }
        names.sort();
        let fields = IndexMap::from([
            ("app".to_owned(), Json::from(app)),
            ("values".to_owned(), Json::Object(values)),
        ]);
        Ok(Some(Live { id: app.to_owned(), attrs: Attrs { names }, fields }))
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(app) = want.get("app").and_then(Tree::as_text) else { return Ok(None) };
        let Some(facts) = self.facts(cx, app, want).await? else { return Ok(None) };
        serde_json::to_value(facts)
            .map(Some)
            .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
    }

    fn judge(want: &Tree, facts: &Json, _confirmed: &[(String, String)]) -> Vec<Finding> {
        let Ok(facts) = serde_json::from_value::<Facts>(facts.clone()) else { return Vec::new() };
        let app = want.get("app").and_then(Tree::as_text).unwrap_or_default();
        let mut findings: Vec<Finding> = facts
            .owned
            .iter()
            .map(|(name, addon)| {
                let message = format!(
                    "config var `{name}` of app `{app}` belongs to add-on `{addon}` and cannot be set"
                );
                Finding::error("PGF1541", message).help(
                    "take it out of `values`; a `heroku.attachment` lets another add-on have the name",
                )
            })
            .collect();
        if !facts.overwritten.is_empty() {
            let names: Vec<String> = facts.overwritten.iter().map(|n| format!("`{n}`")).collect();
            let back = facts.release.map_or_else(String::new, |version| {
                format!("; the way back is `heroku rollback v{version} --app {app}`")
            });
            let message =
                format!("config vars of app `{app}` are overwritten: {}{back}", names.join(", "));
            findings.push(Finding::note("PGF1542", message));
        }
        findings
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Spec { app, values } = change.want;
        let Some(vars) = self.vars(cx, &app).await? else {
            return Err(Fault::new(Class::Gone, format!("there is no app `{app}`")));
        };
        // Only what differs: each change makes a release, and restarts the app.
        let mut patch = serde_json::Map::new();
        for (Name(name), value) in &values {
            let (there, value) = (vars.get(name), value.as_ref().map(Value::text));
            if there.map(|there| there.expose()) != value.as_deref() {
                patch.insert(name.clone(), value.map_or(Json::Null, Json::String));
            }
        }
        if !patch.is_empty() {
            cx.effect("PATCH config-vars")?;
            let _turn = self.api.turn(&app).await;
            let set = self.api.set_config_vars(cx, &app, Json::Object(patch)).await;
            set.map_err(|error| error.during(format!("setting config vars of app `{app}`")))?;
        }
        release_phase::wait(&self.api, cx, &app).await?;
        let set = values.into_iter().filter(|(_, value)| value.is_some());
        let mut names: Vec<String> = set.map(|(Name(name), _)| name).collect();
        names.sort();
        Ok(Done { id: app, attrs: Attrs { names }, memory: Json::Null })
    }

    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        let names = remembered.attrs.get("names").and_then(Tree::as_list);
        let names: Vec<&str> = names.into_iter().flatten().filter_map(Tree::as_text).collect();
        let app = &remembered.id;
        let Some(vars) = self.vars(cx, app).await? else {
            cx.warn(format!(
                "there is no app `{app}`; if it was renamed, its config vars are still set there: {}",
                names.join(", ")
            ));
            return Ok(());
        };
        let there = names.into_iter().filter(|name| vars.contains_key(*name));
        let patch: serde_json::Map<String, Json> =
            there.map(|name| (name.to_owned(), Json::Null)).collect();
        if patch.is_empty() {
            return Ok(());
        }
        cx.effect("PATCH config-vars")?;
        let _turn = self.api.turn(app).await;
        self.api
            .set_config_vars(cx, app, json!(patch))
            .await
            .map_err(|error| error.during(format!("taking config vars away from app `{app}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_and_never_told() {
        let secret = || Tree::Secret(Secret::new("s3cr3t-s3cr3t"));
        for (want, there, last, expect) in [
            (secret(), Some("s3cr3t-s3cr3t"), None, json!(MASK)),
            (secret(), Some("of somebody else"), None, json!(ANOTHER)),
            (secret(), None, Some(json!(MASK)), Json::Null),
            (
                secret(),
                Some("in clear so far"),
                Some(json!("in clear so far")),
                json!("in clear so far"),
            ),
            (Tree::text("debug"), Some("debug"), None, json!("debug")),
            (Tree::text("debug"), Some("info"), None, json!(ANOTHER)),
            (Tree::text("debug"), Some("info"), Some(json!("info")), json!("info")),
            (Tree::text("debug"), Some("info"), Some(json!("warn")), json!(ANOTHER)),
            (Tree::from_json(&json!(5)), Some("5"), None, json!(5)),
            (Tree::Null, None, None, Json::Null),
            (Tree::Null, Some(""), None, json!(ANOTHER)),
        ] {
            let last = last.map(Tree::from);
            assert_eq!(told(&want, there, last.as_ref()), expect, "{want:?} {there:?} {last:?}");
        }
    }

    #[test]
    fn what_belongs_to_an_addon_is_refused_and_the_way_back_is_told() {
        let want = Tree::from_json(&json!({ "app": "acme-web", "values": { "A": "1" } }));
        let facts = json!({ "owned": { "A": "pg-1" }, "overwritten": ["B"], "release": 7 });
        let told: Vec<String> = Config::judge(&want, &facts, &[])
            .into_iter()
            .map(|found| format!("{} {}", found.code, found.message))
            .collect();
        assert_eq!(
            told,
            [
                "PGF1541 config var `A` of app `acme-web` belongs to add-on `pg-1` and cannot be set",
                "PGF1542 config vars of app `acme-web` are overwritten: `B`; the way back is `heroku rollback v7 --app acme-web`",
            ]
        );
    }
}
