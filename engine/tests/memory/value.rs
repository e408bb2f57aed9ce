//! A value with a name, without an effect outside.

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub(crate) struct Value;

#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Any(Json);

impl JsonSchema for Any {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Any".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-accepts-secrets": true })
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ValueSpec {
    input: Any,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ValueAttrs {
    output: Any,
}

impl Resource for Value {
    const TYPE: &'static str = "mem.value";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { internal: true, ..Traits::DEFAULT };
    type Spec = ValueSpec;
    type Attrs = ValueAttrs;
    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<ValueAttrs>>, Fault> {
        let Some(remembered) = remembered else { return Ok(None) };
        let last = remembered.inputs.get("input").map(Tree::storable).unwrap_or_default();
        let output = want.get("input").unwrap().to_typed().unwrap();
        let fields = IndexMap::from([("input".to_owned(), last)]);
        Ok(Some(Live { id: remembered.id.clone(), attrs: ValueAttrs { output }, fields }))
    }
    async fn act(&self, cx: &Cx, change: Change<ValueSpec>) -> Result<Done<ValueAttrs>, Fault> {
        let attrs = ValueAttrs { output: change.want.input };
        Ok(Done { id: cx.address.to_string(), attrs, memory: Json::Null })
    }
}
