//! What is open for a while: windows, which keep users from writing, and keys.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::reference_schema;
use pgferry_engine::resource::{Done, Intent, Resource};
use pgferry_engine::secret::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Shared;
use super::types::secret;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ScopeSpec {
    name: String,
    #[serde(default)]
    #[allow(dead_code, reason = "it must be there, with all its members")]
    of: Option<Connected>,
    #[serde(default)]
    #[allow(dead_code, reason = "for the engine")]
    on_success: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "for the engine")]
    on_failure: Option<String>,
}

/// What a window is put on, with what is needed to get there.
#[derive(Deserialize)]
struct Connected {
    #[serde(rename = "url")]
    _url: Secret,
}

impl JsonSchema for Connected {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Connected".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference_schema(&["url"])
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ScopeAttrs {
    token: Secret,
}

pub(super) struct Window(pub(super) Shared);

impl Resource for Window {
    const TYPE: &'static str = "sim.window";
    const KIND: Kind = Kind::Scoped;
    const TRAITS: Traits = Traits { epoch: true, ..Traits::DEFAULT };
    type Spec = ScopeSpec;
    type Attrs = ScopeAttrs;
    async fn open(
        &self,
        cx: &Cx,
        want: ScopeSpec,
        prior: Option<&Intent>,
    ) -> Result<Done<ScopeAttrs>, Fault> {
        let name = want.name;
        let is = self.0.look(|world| world.cloud.windows.get(&name).copied().unwrap_or(false));
        if !is && prior.is_some_and(|prior| prior.notes["opened"] == true) {
            return Err(Fault::new(Class::Gone, format!("`{name}` was closed by somebody")));
        }
        // What was before us is asked once; afterwards it may be our own doing.
        if prior.is_none_or(|prior| prior.notes["was"].is_null()) {
            cx.note(json!({ "name": name, "was": is }))?;
        }
        if !is {
            self.0.call(cx, "open", |cloud, _| cloud.windows.insert(name.clone(), true))?;
        }
        cx.note(json!({ "opened": true }))?;
        let attrs = ScopeAttrs { token: secret(&name) };
        Ok(Done { id: name, attrs, memory: Json::Null })
    }
    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        let Some(name) = intent.notes["name"].as_str() else { return Ok(()) };
        let is = self.0.look(|world| world.cloud.windows.get(name).copied().unwrap_or(false));
        if is && intent.notes["was"] == false {
            self.0.call(cx, "close", |cloud, _| cloud.windows.insert(name.to_owned(), false))?;
        }
        Ok(())
    }
}

pub(super) struct Key(pub(super) Shared);

impl Key {
    /// Deletes every key of that label: a secret that was told once is of no use to anybody else.
    fn sweep(&self, cx: &Cx, label: &str) -> Result<(), Fault> {
        let known: Vec<String> = self.0.look(|world| {
            let known = world.cloud.keys.iter().filter(|(_, known)| *known == label);
            known.map(|(id, _)| id.clone()).collect()
        });
        for id in known {
            self.0.call(cx, "revoke", |cloud, _| cloud.keys.remove(&id).is_some())?;
        }
        Ok(())
    }
}

impl Resource for Key {
    const TYPE: &'static str = "sim.key";
    const KIND: Kind = Kind::Scoped;
    type Spec = ScopeSpec;
    type Attrs = ScopeAttrs;
    async fn open(
        &self,
        cx: &Cx,
        want: ScopeSpec,
        _: Option<&Intent>,
    ) -> Result<Done<ScopeAttrs>, Fault> {
        let label = format!("{}-{}", want.name, cx.natural_key());
        cx.note(json!({ "label": label }))?;
        self.sweep(cx, &label)?;
        let id = self.0.call(cx, "make", |cloud, _| cloud.make_key(&label))?;
        Ok(Done { attrs: ScopeAttrs { token: secret(&id) }, id, memory: Json::Null })
    }
    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        match intent.notes["label"].as_str() {
            Some(label) => self.sweep(cx, label),
            None => Ok(()),
        }
    }
}
