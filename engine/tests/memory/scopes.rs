//! Windows and keys of the small cloud.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Done, Intent, Resource};
use pgferry_engine::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Shared, fails, hangs};

pub(crate) struct Window(pub(super) Shared);
pub(crate) struct Key(pub(super) Shared);

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
