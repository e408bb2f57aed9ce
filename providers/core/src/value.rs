//! `core.value` — a value with a name: put together once, referred to often.
//!
//! Nothing outside changes by it. Whether it is a secret follows from what is put in. Tested beside it.

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// The type.
pub struct Value;

/// Any value, secrets in it marked. It has no `Debug`, and is serialised by the engine only.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Any(Json);

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

/// A value to hand on, made anew when it changes; of use in tests and as a constant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Any value: text, number, list or map.
    input: Any,
}

/// What others may refer to.
#[derive(Serialize, JsonSchema)]
pub struct Attrs {
    /// The value; secret if anything in it is.
    pub output: Any,
}

impl Resource for Value {
    const TYPE: &'static str = "core.value";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { internal: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(remembered) = remembered else { return Ok(None) };
        let last = remembered.inputs.get("input").map(Tree::storable).unwrap_or_default();
        // Secrets are not remembered: they come from where they came from the last time.
        let output = match want.get("input") {
            Some(input) if !input.has_unknown() && input.storable() == last => any(input)?,
            _ => Any(remembered.attrs.get("output").map(Tree::storable).unwrap_or_default()),
        };
        Ok(Some(Live {
            id: remembered.id.clone(),
            attrs: Attrs { output },
            fields: IndexMap::from([("input".to_owned(), last)]),
        }))
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        Ok(Done {
            id: cx.address.to_string(),
            attrs: Attrs { output: change.want.input },
            memory: Json::Null,
        })
    }
}

fn any(tree: &Tree) -> Result<Any, Fault> {
    tree.to_typed().map_err(|cause| Fault::bug("a value that does not decode").because(cause))
}

#[cfg(test)]
mod tests {
    use pgferry_engine::secret::Secret;

    use super::*;

    #[test]
    fn secrets_pass_through() {
        let input = Tree::List(vec![Tree::text("a"), Tree::Secret(Secret::new("s3cr3t-s3cr3t"))]);
        let attrs = Attrs { output: any(&input).unwrap() };
        let out = Tree::from_typed(&attrs).unwrap();
        assert_eq!(out.get("output"), Some(&input));
        assert_eq!(serde_json::to_string(&out).unwrap(), r#"{"output":["a","(sensitive)"]}"#);
    }
}
