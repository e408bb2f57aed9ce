//! Resource types of the small cloud, each written as a careful provider is: a note before what could not be found
//! again, a look before a second try, and no effect that cannot be repeated.

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::{Kind, Traits, TypeInfo};
use pgferry_engine::reference::reference_schema;
use pgferry_engine::refresh::Resources;
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource, info};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

use super::cloud::Thing as Made;
use super::disk::CANARY;
use super::{Shared, runs, scopes};

/// A whole resource.
#[derive(Clone, Deserialize)]
pub(super) struct Whole {
    #[serde(rename = "$id")]
    pub(super) id: String,
}

impl JsonSchema for Whole {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Whole".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        reference_schema(&[])
    }
}

pub(super) fn secret(of: &str) -> Secret {
    Secret::new(format!("{CANARY}-of-{of}"))
}

pub(super) struct Database(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(super) struct DatabaseSpec {
    #[schemars(extend("x-change" = "identity"))]
    #[allow(dead_code, reason = "read from the tree")]
    name: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DatabaseAttrs {
    name: String,
    version: String,
    url: Secret,
}

impl Resource for Database {
    const TYPE: &'static str = "sim.database";
    const KIND: Kind = Kind::Lookup;
    type Spec = DatabaseSpec;
    type Attrs = DatabaseAttrs;
    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Live<DatabaseAttrs>>, Fault> {
        let name = want.get("name").and_then(Tree::as_text).unwrap_or_default().to_owned();
        let url = secret(&name);
        let attrs = DatabaseAttrs { name: name.clone(), version: "16".into(), url };
        Ok(Some(Live { id: name, attrs, fields: IndexMap::new() }))
    }
}

pub(super) struct Value;

#[derive(Deserialize, JsonSchema)]
pub(super) struct ValueSpec {
    input: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ValueAttrs {
    output: String,
}

impl Resource for Value {
    const TYPE: &'static str = "sim.value";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { internal: true, ..Traits::DEFAULT };
    type Spec = ValueSpec;
    type Attrs = ValueAttrs;
    async fn act(&self, cx: &Cx, change: Change<ValueSpec>) -> Result<Done<ValueAttrs>, Fault> {
        let (id, output) = (cx.address.to_string(), change.want.input);
        Ok(Done { id, attrs: ValueAttrs { output }, memory: Json::Null })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct ThingSpec {
    #[schemars(extend("x-change" = "identity"))]
    name: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    owner: Option<String>,
    /// It is of use some seconds after it was made.
    #[serde(default)]
    #[schemars(extend("x-change" = "creation_only"))]
    slow: Option<bool>,
    /// Another thing that it is set on.
    #[serde(default)]
    #[allow(dead_code, reason = "which one it is shows in what is remembered")]
    on: Option<Whole>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ThingAttrs {
    name: String,
    id: String,
    url: Secret,
}

fn attrs(id: &str, name: &str) -> ThingAttrs {
    ThingAttrs { name: name.to_owned(), id: id.to_owned(), url: secret(id) }
}

fn live((id, made): (&String, &Made)) -> Live<ThingAttrs> {
    let fields = [("size", json!(made.size)), ("owner", json!(made.owner))];
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
    Live { id: id.clone(), attrs: attrs(id, &made.name), fields }
}

fn look(
    world: &Shared,
    kind: &str,
    want: &Tree,
    remembered: Option<&Remembered>,
) -> Option<Live<ThingAttrs>> {
    let name = want.get("name").and_then(Tree::as_text).unwrap_or_default();
    world.look(|world| match remembered {
        Some(known) => world.cloud.things.get_key_value(&known.id).map(live),
        None => world.cloud.find(kind, name).map(live),
    })
}

async fn make(
    world: &Shared,
    kind: &'static str,
    cx: &Cx,
    change: Change<ThingSpec>,
) -> Result<Done<ThingAttrs>, Fault> {
    let ThingSpec { name, size, owner, slow, .. } = change.want;
    let there = world.look(|world| world.cloud.find(kind, &name).map(|(id, _)| id.clone()));
    let id = match there {
        Some(id) => id,
        None => world.call(cx, "make", |cloud, now| cloud.post(kind, &name, now))?,
    };
    let is = world.look(|world| world.cloud.things.get(&id).map(|t| (t.size, t.owner.clone())));
    if is.as_ref() != Some(&(size, owner.clone())) {
        world.call(cx, "change", |cloud, _| cloud.patch(&id, size, owner))?;
    }
    while slow == Some(true) && world.look(|world| world.cloud.things[&id].ready > world.now) {
        cx.sleep(Duration::from_secs(1)).await?;
    }
    Ok(Done { attrs: attrs(&id, &name), id, memory: Json::Null })
}

fn delete(world: &Shared, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
    if world.look(|world| !world.cloud.things.contains_key(&remembered.id)) {
        return Ok(());
    }
    world.call(cx, "delete", |cloud, _| {
        cloud.things.remove(&remembered.id);
    })
}

macro_rules! thing {
    ($name:ident, $type:literal, $kind:literal, $traits:expr) => {
        pub(super) struct $name(pub(super) Shared);
        impl Resource for $name {
            const TYPE: &'static str = $type;
            const KIND: Kind = Kind::Managed;
            const TRAITS: Traits = $traits;
            type Spec = ThingSpec;
            type Attrs = ThingAttrs;
            async fn find(&self, _: &Cx, want: &Tree) -> Result<Option<Live<ThingAttrs>>, Fault> {
                Ok(look(&self.0, $kind, want, None))
            }
            async fn read(
                &self,
                _: &Cx,
                want: &Tree,
                remembered: Option<&Remembered>,
            ) -> Result<Option<Live<ThingAttrs>>, Fault> {
                Ok(look(&self.0, $kind, want, remembered))
            }
            async fn act(
                &self,
                cx: &Cx,
                change: Change<ThingSpec>,
            ) -> Result<Done<ThingAttrs>, Fault> {
                make(&self.0, $kind, cx, change).await
            }
            async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
                delete(&self.0, cx, remembered)
            }
        }
    };
}

thing!(Thing, "sim.thing", "thing", Traits { guarded: true, ..Traits::DEFAULT });
thing!(Bucket, "sim.bucket", "bucket", Traits { staging: true, ..Traits::DEFAULT });
thing!(Cutover, "sim.cutover", "cutover", Traits::DEFAULT);

pub(super) fn types() -> Vec<TypeInfo> {
    vec![
        info::<Database>(),
        info::<Value>(),
        info::<Thing>(),
        info::<Bucket>(),
        info::<Cutover>(),
        info::<runs::Command>(),
        info::<runs::Dump>(),
        info::<runs::Restore>(),
        info::<runs::Check>(),
        info::<scopes::Window>(),
        info::<scopes::Key>(),
    ]
}

pub(super) fn connect(world: &Shared) -> Resources {
    let w = || world.clone();
    let mut all = Resources::new();
    all.insert(Database::TYPE.into(), Arc::new(Database(w())));
    all.insert(Value::TYPE.into(), Arc::new(Value));
    all.insert(Thing::TYPE.into(), Arc::new(Thing(w())));
    all.insert(Bucket::TYPE.into(), Arc::new(Bucket(w())));
    all.insert(Cutover::TYPE.into(), Arc::new(Cutover(w())));
    all.insert(runs::Command::TYPE.into(), Arc::new(runs::Command(w())));
    all.insert(runs::Dump::TYPE.into(), Arc::new(runs::Dump(w())));
    all.insert(runs::Restore::TYPE.into(), Arc::new(runs::Restore(w())));
    all.insert(runs::Check::TYPE.into(), Arc::new(runs::Check(w())));
    all.insert(scopes::Window::TYPE.into(), Arc::new(scopes::Window(w())));
    all.insert(scopes::Key::TYPE.into(), Arc::new(scopes::Key(w())));
    all
}

/// Nobody can tell, and it goes on.
pub(super) fn goes_on(cx: &Cx) -> Fault {
    Fault::new(Class::StillRunning, format!("`{}` goes on elsewhere", cx.address))
}
