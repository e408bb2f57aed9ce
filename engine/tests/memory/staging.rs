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

/// A box by its name, and what is put into boxes or taken out of parcels: whatever `needs` names must be there.
pub(crate) struct Shelf(pub(super) Shared);
pub(crate) struct Parcel(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Needing {
    #[schemars(extend("x-change" = "identity"))]
    name: String,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    #[schemars(extend("x-change" = "volatile"))]
    #[allow(dead_code)]
    after_use: Option<String>,
}

fn store(cloud: &Shared, cx: &Cx, want: Needing) -> Result<Done<Attrs>, Fault> {
    fails(cloud, cx)?;
    let mut cloud = cloud.lock().unwrap();
    let stored = cloud.things.entry("stored".into()).or_default();
    if let Some(missing) = want.needs.iter().find(|needed| !stored.contains_key(*needed)) {
        return Err(Fault::failed(format!("`{missing}` is not there")));
    }
    stored.insert(want.name.clone(), json!({}));
    Ok(done(&want.name))
}

fn unstore(cloud: &Shared, known: &Remembered) -> Result<(), Fault> {
    cloud.lock().unwrap().things.entry("stored".into()).or_default().remove(&known.id);
    Ok(())
}

impl Resource for Shelf {
    const TYPE: &'static str = "mem.shelf";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = STAGING;
    type Spec = Needing;
    type Attrs = Attrs;
    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        self.read(cx, want, None).await
    }
    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let name = want.get("name").and_then(Tree::as_text).unwrap_or_default();
        let cloud = self.0.lock().unwrap();
        let there = cloud.things.get("stored").is_some_and(|all| all.contains_key(name));
        let Done { id, attrs, .. } = done(name);
        Ok(there.then(|| Live { id, attrs, fields: IndexMap::new() }))
    }
    async fn act(&self, cx: &Cx, change: Change<Needing>) -> Result<Done<Attrs>, Fault> {
        store(&self.0, cx, Needing { needs: Vec::new(), ..change.want })
    }
    async fn delete(&self, cx: &Cx, known: &Remembered) -> Result<(), Fault> {
        fails(&self.0, cx)?;
        unstore(&self.0, known)
    }
}

impl Resource for Parcel {
    const TYPE: &'static str = "mem.parcel";
    const KIND: Kind = Kind::Run;
    const TRAITS: Traits = STAGING;
    type Spec = Needing;
    type Attrs = Attrs;
    async fn act(&self, cx: &Cx, change: Change<Needing>) -> Result<Done<Attrs>, Fault> {
        store(&self.0, cx, change.want)
    }
    async fn settle(&self, _: &Cx, _: &Intent) -> Result<Settled<Attrs>, Fault> {
        Ok(Settled::Not("it was cut short".to_owned()))
    }
    async fn delete(&self, cx: &Cx, known: &Remembered) -> Result<(), Fault> {
        fails(&self.0, cx)?;
        unstore(&self.0, known)
    }
}
