//! Scopes of the small cloud: windows, keys, and freezes, which need a secret to be closed.

use pgferry_engine::address::Address;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Done, Intent, Resource};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Shared, fails, hangs};

pub(crate) struct Window(pub(super) Shared);
pub(crate) struct Key(pub(super) Shared);
pub(crate) struct Freeze(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct WindowSpec {
    pub(crate) name: String,
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) on_success: Option<String>,
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) on_failure: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ScopeAttrs {
    token: Secret,
}

fn open(cloud: &Shared, cx: &Cx, name: &str) -> Result<Done<ScopeAttrs>, Fault> {
    cx.note(json!({"name": name}))?;
    fails(cloud, cx)?;
    let mut cloud = cloud.lock().unwrap();
    cloud.open.insert(name.to_owned());
    cloud.log.push(format!("open {}", cx.address));
    let attrs = ScopeAttrs { token: Secret::new(format!("token-of-{name}")) };
    Ok(Done { id: name.to_owned(), attrs, memory: Json::Null })
}

fn close(cloud: &Shared, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
    let mut cloud = cloud.lock().unwrap();
    if cloud.failing.remove(&format!("close {}", cx.address)) {
        return Err(Fault::failed(format!("closing `{}` was made to fail", cx.address)));
    }
    if let Some(name) = intent.notes["name"].as_str() {
        cloud.open.remove(name);
    }
    cloud.log.push(format!("close {}", cx.address));
    Ok(())
}

impl Resource for Window {
    const TYPE: &'static str = "mem.window";
    const KIND: Kind = Kind::Scoped;
    const TRAITS: Traits = Traits { epoch: true, ..Traits::DEFAULT };
    type Spec = WindowSpec;
    type Attrs = ScopeAttrs;
    async fn open(
        &self,
        cx: &Cx,
        want: WindowSpec,
        _: Option<&Intent>,
    ) -> Result<Done<ScopeAttrs>, Fault> {
        hangs(&self.0, cx, cx.address.as_str()).await?;
        open(&self.0, cx, &want.name)
    }
    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        hangs(&self.0, cx, &format!("close {}", cx.address)).await?;
        close(&self.0, cx, intent)
    }
}

impl Resource for Key {
    const TYPE: &'static str = "mem.key";
    const KIND: Kind = Kind::Scoped;
    type Spec = WindowSpec;
    type Attrs = ScopeAttrs;
    async fn open(
        &self,
        cx: &Cx,
        want: WindowSpec,
        _: Option<&Intent>,
    ) -> Result<Done<ScopeAttrs>, Fault> {
        hangs(&self.0, cx, cx.address.as_str()).await?;
        open(&self.0, cx, &want.name)
    }
    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        hangs(&self.0, cx, &format!("close {}", cx.address)).await?;
        close(&self.0, cx, intent)
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct FreezeSpec {
    database: Endpoint,
}

/// Closed only by who brings the connection string of the database.
impl Resource for Freeze {
    const TYPE: &'static str = "mem.freeze";
    const KIND: Kind = Kind::Scoped;
    const TRAITS: Traits = Traits { epoch: true, ..Traits::DEFAULT };
    type Spec = FreezeSpec;
    type Attrs = ScopeAttrs;
    async fn open(
        &self,
        cx: &Cx,
        want: FreezeSpec,
        _: Option<&Intent>,
    ) -> Result<Done<ScopeAttrs>, Fault> {
        open(&self.0, cx, want.database.url.expose().rsplit('/').next().unwrap_or_default())
    }
    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        let address = intent.inputs.get("database").and_then(|it| it.get("$address"));
        let address = address.and_then(Tree::as_text).unwrap_or_default();
        let handle = cx.reread(&Address::new(address)).await?;
        let url = handle.as_ref().and_then(|handle| match handle.attrs.get("url") {
            Some(Tree::Secret(url)) => Some(url.expose().to_owned()),
            _ => None,
        });
        let name = intent.notes["name"].as_str().unwrap_or_default();
        if url != Some(format!("postgres://u:secret-of-{name}@h/{name}")) {
            return Err(Fault::failed(format!("`{address}` cannot be connected to")));
        }
        close(&self.0, cx, intent)
    }
}
