//! The JSON Schema of a whole spec, for editors: completion, documentation on hover, most mistakes while typing.
//!
//! Made from the catalogue alone, so it always says what [`crate::spec::load`] checks; what needs more than one place
//! of the file (references, cycles) is left to that. The same catalogue gives the same text.

use serde_json::{Map, Value as Json, json};

use crate::info::{Catalog, Kind, TypeInfo};
use crate::spec::{DECLARATION, HEADER, LIFECYCLE, OF_RUNS, timeouts_schema};

/// The schema of specs, JSON Schema 2020-12.
pub fn spec_schema(catalog: &Catalog) -> Json {
    let types = catalog.types();
    let mut definitions = Map::new();
    for (name, info) in &types {
        definitions.insert((*name).to_owned(), block(info));
    }
    definitions.insert("name".to_owned(), json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$" }));
    let choices: Vec<Json> = types
        .values()
        .map(|info| json!({ "const": info.name, "description": summary(info) }))
        .collect();
    let dispatch: Vec<Json> = types
        .keys()
        .map(|name| {
            json!({
                "if": { "properties": { "type": { "const": name } }, "required": ["type"] },
                "then": { "$ref": format!("#/$defs/{name}") },
            })
        })
        .collect();
    let mut properties = json!({
        "pgferry": { "const": 1, "description": "The format of this file." },
    });
    let mut providers: Vec<_> = catalog.providers.iter().collect();
    providers.sort_by_key(|provider| provider.name);
    let settings = providers.iter().map(|provider| {
        let mut settings = loosened(&provider.settings, &provider.settings, 0);
        close(&mut settings);
        let settings = nullable(&settings);
        (provider.name.to_owned(), settings)
    });
    let settings: Map<String, Json> = settings.collect();
    if let (Some(map), Some(header)) =
        (properties.as_object_mut(), HEADER["properties"].as_object())
    {
        for (name, schema) in header {
            map.insert(name.clone(), loosened(schema, &HEADER, 0));
        }
        map.insert(
            "variables".to_owned(),
            json!({
                "type": ["object", "null"],
                "description": "Values that change from run to run: `${var.name}`.",
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": nullable(&DECLARATION),
            }),
        );
        map.insert(
            "providers".to_owned(),
            json!({
                "type": ["object", "null"],
                "description": "Settings and credentials by provider. Left out, credentials are found where the official tools keep them.",
                "properties": settings,
                "additionalProperties": false,
            }),
        );
        map.insert(
            "resources".to_owned(),
            json!({
                "type": ["object", "null"],
                "description": "What should be true: a map from a name of your own to a typed block.",
                "propertyNames": { "$ref": "#/$defs/name" },
                "additionalProperties": {
                    "type": "object",
                    "required": ["type"],
                    "properties": { "type": { "description": "provider.noun", "oneOf": choices } },
                    "allOf": dispatch,
                },
            }),
        );
        map.insert(
            "outputs".to_owned(),
            json!({
                "type": ["object", "null"],
                "description": "Values that `pgferry output` prints; secrets only with `--reveal`.",
                "propertyNames": { "$ref": "#/$defs/name" },
            }),
        );
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pgferry spec",
        "type": "object",
        "required": ["pgferry", "name"],
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// The schema of state files, JSON Schema 2020-12, made from the types that read and write them.
pub fn state_schema() -> Json {
    let mut schema = schemars::schema_for!(crate::state::State).to_value();
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".to_owned(), json!("pgferry state"));
    }
    if let Some(format) = schema.pointer_mut("/properties/format") {
        *format =
            json!({ "const": crate::state::FORMAT, "description": "The format of this file." });
    }
    schema
}

/// The schema of one block: its type's fields and what every resource takes.
fn block(info: &TypeInfo) -> Json {
    let mut schema = loosened(&info.spec, &info.spec, 0);
    close(&mut schema);
    let Some(map) = schema.as_object_mut() else { return schema };
    map.insert("title".to_owned(), json!(info.name));
    map.insert("description".to_owned(), json!(summary(info)));
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("type".to_owned(), json!({ "const": info.name }));
        properties.insert(
            "depends_on".to_owned(),
            json!({
                "type": ["array", "null"],
                "items": { "type": "string" },
                "description": "Names of resources that come first though nothing here refers to them.",
            }),
        );
        common(properties, "for_each", crate::spec::for_each::schema);
        common(properties, "renamed_from", || {
            json!({
                "type": ["string", "null"],
                "description": "What it was called before: what the state knows under that name is this.",
            })
        });
        if let Some(timeouts) = timeouts_schema(info.kind) {
            common(properties, "timeouts", || nullable(&loosened(&timeouts, &timeouts, 0)));
        }
        if info.kind == Kind::Run {
            common(properties, "lifecycle", || {
                let mut lifecycle = nullable(&loosened(&OF_RUNS, &OF_RUNS, 0));
                lifecycle["description"] = json!("What makes it happen again.");
                lifecycle
            });
        }
        if info.kind == Kind::Managed {
            common(properties, "lifecycle", || {
                let mut lifecycle = nullable(&loosened(&LIFECYCLE, &LIFECYCLE, 0));
                lifecycle["description"] = json!("What must not happen to it, and what must.");
                lifecycle
            });
            common(properties, "on_exists", || {
                json!({
                    "enum": ["adopt", "fail", null],
                    "description": "What is done about one that exists already and is not in the state: it is taken over (`adopt`, if left out), or the plan stops (`fail`).",
                })
            });
            let default = match info.traits.on_remove {
                crate::info::OnRemove::Keep => "keep",
                crate::info::OnRemove::Destroy => "destroy",
            };
            properties.insert(
                "on_remove".to_owned(),
                json!({
                    "enum": ["keep", "destroy", null],
                    "description": format!("What happens to it when this block leaves the spec; `{default}` if left out."),
                }),
            );
        }
    }
    schema
}

/// A key that every resource takes, unless its type has a field of that name.
fn common(properties: &mut Map<String, Json>, name: &str, schema: impl FnOnce() -> Json) {
    properties.entry(name).or_insert_with(schema);
}

/// What the type is for, and what kind it is.
fn summary(info: &TypeInfo) -> String {
    let kind = match info.kind {
        Kind::Managed => "Managed: created, read, updated and deleted.",
        Kind::Lookup => "Lookup: read, never changed.",
        Kind::Run => "Run: done once and remembered.",
        Kind::Scoped => "Scoped: opened and closed within an apply.",
    };
    let attributes: Vec<String> = info.attributes().map(|name| format!("`{name}`")).collect();
    let offers = match attributes.is_empty() {
        true => String::new(),
        false => format!(" Refer to {}.", attributes.join(", ")),
    };
    match info.spec.get("description").and_then(Json::as_str) {
        Some(text) => format!("{text}\n\n{kind}{offers}"),
        None => format!("{kind}{offers}"),
    }
}

/// An object that takes no fields but its own.
fn close(schema: &mut Json) {
    if let Some(map) = schema.as_object_mut() {
        map.shift_remove("$schema");
        map.entry("type").or_insert_with(|| json!("object"));
        map.entry("additionalProperties").or_insert_with(|| json!(false));
    }
}

fn nullable(schema: &Json) -> Json {
    let mut schema = schema.clone();
    if let Some(map) = schema.as_object_mut() {
        map.insert("type".to_owned(), json!(["object", "null"]));
    }
    schema
}

/// A schema as people may write it: every value may also be text with a `${…}` in it, a secret must be. References
/// into `root` are written out; our own annotations go.
fn loosened(schema: &Json, root: &Json, depth: usize) -> Json {
    let Some(map) = schema.as_object() else { return schema.clone() };
    // A type that contains itself is written out so far and then left open.
    if depth > 12 {
        return json!({});
    }
    if let Some(found) = map
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|target| root.pointer(target.strip_prefix('#').unwrap_or(target)))
    {
        return loosened(found, root, depth + 1);
    }
    let mut out = Map::new();
    for (key, value) in map {
        let inner = |value: &Json| open(value, root, depth + 1);
        let value = match (key.as_str(), value) {
            ("$defs" | "default", _) => continue,
            (key, _) if key.starts_with("x-") => continue,
            ("properties", Json::Object(fields)) => {
                fields.iter().map(|(name, field)| (name.clone(), inner(field))).collect()
            }
            ("items" | "additionalProperties", Json::Object(_)) => inner(value),
            ("anyOf" | "oneOf" | "allOf", Json::Array(branches)) => {
                branches.iter().map(|branch| loosened(branch, root, depth + 1)).collect()
            }
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Json::Object(out)
}

/// A value's schema, opened for `${…}`.
fn open(schema: &Json, root: &Json, depth: usize) -> Json {
    let flat = loosened(schema, root, depth);
    let Some(map) = flat.as_object() else { return flat };
    let reference = || json!({ "type": "string", "pattern": r"\$\{" });
    let shape = crate::check::shape::Shape::of(schema, root);
    let description = map.get("description").cloned();
    let mut opened = if shape.secret {
        let mut kinds = vec![reference(), json!({ "const": "" })];
        if shape.nullable {
            kinds.push(json!({ "type": "null" }));
        }
        json!({ "anyOf": kinds })
    } else if shape.takes_any_text() || shape.only_reference() {
        return flat;
    } else {
        json!({ "anyOf": [flat, reference()] })
    };
    if let (Some(map), Some(description)) = (opened.as_object_mut(), description) {
        map.insert("description".to_owned(), description);
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::catalog;

    #[test]
    fn fields_are_open_for_references_and_closed_for_passwords() {
        let schema = spec_schema(&catalog());
        assert_eq!(
            schema["$defs"]["heroku.app"]["properties"]["name"],
            json!({
                "anyOf": [
                    {
                        "description": "Globally unique.",
                        "type": "string",
                        "pattern": "^[a-z][a-z0-9-]{2,29}$"
                    },
                    { "type": "string", "pattern": "\\$\\{" }
                ],
                "description": "Globally unique."
            })
        );
        assert_eq!(
            schema["properties"]["providers"]["properties"]["linode"]["properties"]["token"],
            json!({ "anyOf": [
                { "type": "string", "pattern": "\\$\\{" }, { "const": "" }, { "type": "null" }
            ] })
        );
        assert_eq!(schema["$defs"]["postgres.dump"]["additionalProperties"], json!(false));
        assert_eq!(schema["$defs"]["core.command"]["properties"].get("on_remove"), None);
    }

    #[test]
    fn it_is_the_same_every_time_and_holds_nothing_of_ours() {
        let text = || serde_json::to_string_pretty(&spec_schema(&catalog())).expect("serialises");
        assert_eq!(text(), text());
        assert!(!text().contains("\"x-"));
    }
}
