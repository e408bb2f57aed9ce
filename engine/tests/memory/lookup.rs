//! The database of the small cloud that is looked up, and retired in the end.

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::Kind;
use pgferry_engine::resource::{Live, Remembered, Resource};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Shared, fails};

pub(crate) struct Lookup(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct LookupSpec {
    #[schemars(extend("x-change" = "identity"))]
    #[allow(dead_code)]
    pub(crate) name: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct LookupAttrs {
    name: String,
    size: u64,
    url: Secret,
}

impl Resource for Lookup {
    const TYPE: &'static str = "mem.lookup";
    const KIND: Kind = Kind::Lookup;
    type Spec = LookupSpec;
    type Attrs = LookupAttrs;
    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Live<LookupAttrs>>, Fault> {
        let name = want.get("name").and_then(Tree::as_text).unwrap_or_default().to_owned();
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("look up {}", cx.address));
        let Some(thing) = cloud.things["db"].get(&name) else { return Ok(None) };
        let size = thing["size"].as_u64().unwrap_or(0);
        let url = Secret::new(format!("postgres://u:secret-of-{name}@h/{name}"));
        Ok(Some(Live {
            id: name.clone(),
            attrs: LookupAttrs { name, size, url },
            fields: IndexMap::new(),
        }))
    }
    async fn retire(&self, cx: &Cx, remembered: &Remembered, name: &str) -> Result<(), Fault> {
        if remembered.id != name {
            return Err(Fault::failed(format!("it is not called `{name}`")));
        }
        fails(&self.0, cx)?;
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("retire {}", cx.address));
        cloud.things.entry("db".into()).or_default().remove(name);
        Ok(())
    }
}
