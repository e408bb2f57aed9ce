//! Staging of the small cloud: a bucket, a dump in it that needs a key to go, and a restore that needs the dump.

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Intent, Live, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Shared, fails};

pub(crate) struct Bucket(pub(super) Shared);
pub(crate) struct Dump(pub(super) Shared);
pub(crate) struct Restore(pub(super) Shared);

const STAGING: Traits = Traits { staging: true, ..Traits::DEFAULT };

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Spec {
    #[serde(default)]
    #[allow(dead_code)]
    with: Option<Json>,
    #[serde(default)]
    #[schemars(extend("x-change" = "volatile"))]
    #[allow(dead_code)]
    after_use: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Attrs {
    place: String,
}

fn done(place: &str) -> Done<Attrs> {
    Done { id: place.into(), attrs: Attrs { place: place.into() }, memory: Json::Null }
}

impl Resource for Bucket {
    const TYPE: &'static str = "mem.bucket";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = STAGING;
    type Spec = Spec;
    type Attrs = Attrs;
    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        self.read(cx, want, None).await
    }
    async fn read(
        &self,
        cx: &Cx,
        _: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("look for {}", cx.address));
        let there = cloud.things.get("bucket").is_some_and(|all| all.contains_key("b"));
        let Done { id, attrs, .. } = done("b");
        Ok(there.then(|| Live { id, attrs, fields: IndexMap::new() }))
    }
    async fn act(&self, cx: &Cx, _: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        fails(&self.0, cx)?;
        let mut cloud = self.0.lock().unwrap();
        cloud.things.entry("bucket".into()).or_default().insert("b".into(), json!({}));
        cloud.log.push(format!("make {}", cx.address));
        Ok(done("b"))
    }
    async fn delete(&self, cx: &Cx, _: &Remembered) -> Result<(), Fault> {
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("remove {}", cx.address));
        for kind in ["object", "bucket"] {
            cloud.things.entry(kind.into()).or_default().clear();
        }
        Ok(())
    }
}

impl Resource for Dump {
    const TYPE: &'static str = "mem.dump";
    const KIND: Kind = Kind::Run;
    const TRAITS: Traits = STAGING;
    type Spec = Spec;
    type Attrs = Attrs;
    async fn act(&self, cx: &Cx, _: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        fails(&self.0, cx)?;
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("run {}", cx.address));
        if cloud.things.get("bucket").is_none_or(|all| all.is_empty()) {
            return Err(Fault::failed("there is no bucket"));
        }
        cloud.things.entry("object".into()).or_default().insert("b/o".into(), json!({}));
        Ok(done("b/o"))
    }
    async fn settle(&self, _: &Cx, _: &Intent) -> Result<Settled<Attrs>, Fault> {
        Ok(Settled::Not("it was cut short".to_owned()))
    }
    async fn remove_after_use(&self, cx: &Cx, _: Spec, known: &Remembered) -> Result<(), Fault> {
        let mut cloud = self.0.lock().unwrap();
        if cloud.failing.remove(&format!("remove {}", cx.address)) {
            return Err(Fault::failed(format!("removing `{}` was made to fail", cx.address)));
        }
        if !cloud.open.contains("k") {
            return Err(Fault::failed("there is no key"));
        }
        cloud.log.push(format!("remove {}", cx.address));
        cloud.things.entry("object".into()).or_default().remove(&known.id);
        Ok(())
    }
}

impl Resource for Restore {
    const TYPE: &'static str = "mem.restore";
    const KIND: Kind = Kind::Run;
    type Spec = Spec;
    type Attrs = Attrs;
    async fn act(&self, cx: &Cx, _: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        fails(&self.0, cx)?;
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("run {}", cx.address));
        if cloud.things.get("object").is_none_or(|all| all.is_empty()) {
            return Err(Fault::failed("there is no dump"));
        }
        Ok(done("t"))
    }
}
