//! What a JSON Schema says about one value, as far as our own schemas say it: kinds, alternatives, secrecy, words.
//!
//! The subset is what `schemars` writes for our types: `type`, `enum`, `const`, `anyOf`, `oneOf`, `allOf` of one,
//! `$ref` into `$defs`, and our annotations.

use std::fmt;

use serde_json::Value as Json;

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const TEXT: Self = Self(1);
    pub(crate) const INTEGER: Self = Self(2);
    pub(crate) const FRACTION: Self = Self(4);
    pub(crate) const BOOLEAN: Self = Self(8);
    pub(crate) const LIST: Self = Self(16);
    pub(crate) const MAP: Self = Self(32);
    pub(crate) const ANY: Self = Self(63);
    pub(crate) const NUMBER: Self = Self(2 | 4);

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a value of `self` may do where `wanted` is wanted.
    pub(crate) fn fits(self, wanted: Self) -> bool {
        // A number that turns out to be whole fits an integer.
        let number = |kinds: Self| if kinds.0 & Self::NUMBER.0 == 0 { 0 } else { Self::NUMBER.0 };
        (self.0 | number(self)) & (wanted.0 | number(wanted)) != 0
    }

    /// Whether a value whose only kind is `one` is among them.
    pub(crate) fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    fn named(name: &str) -> Self {
        match name {
            "string" => Self::TEXT,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "boolean" => Self::BOOLEAN,
            "array" => Self::LIST,
            "object" => Self::MAP,
            _ => Self::NONE,
        }
    }

    fn of_value(value: &Json) -> Self {
        match value {
            Json::Null => Self::NONE,
            Json::Bool(_) => Self::BOOLEAN,
            Json::Number(number) if number.is_f64() => Self::FRACTION,
            Json::Number(_) => Self::INTEGER,
            Json::String(_) => Self::TEXT,
            Json::Array(_) => Self::LIST,
            Json::Object(_) => Self::MAP,
        }
    }
}

/// `text or a list`, with articles.
impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match (self.has(Self::INTEGER), self.has(Self::FRACTION)) {
            (_, true) => Some("a number"),
            (true, false) => Some("a whole number"),
            _ => None,
        };
        let words: Vec<&str> = [
            self.has(Self::TEXT).then_some("text"),
            number,
            self.has(Self::BOOLEAN).then_some("`true` or `false`"),
            self.has(Self::LIST).then_some("a list"),
            self.has(Self::MAP).then_some("a map"),
        ]
        .into_iter()
        .flatten()
        .collect();
        f.write_str(&words.join(" or "))
    }
}

/// The alternatives of a schema, `null` set apart.
pub(crate) struct Shape<'a> {
    pub(crate) branches: Vec<&'a Json>,
    pub(crate) nullable: bool,
    /// The value is a secret.
    pub(crate) secret: bool,
}

impl<'a> Shape<'a> {
    /// `root` is the schema that `$ref` starts from.
    pub(crate) fn of(schema: &'a Json, root: &'a Json) -> Self {
        let mut shape = Self { branches: Vec::new(), nullable: false, secret: false };
        shape.collect(schema, root, 0);
        shape
    }

    fn collect(&mut self, schema: &'a Json, root: &'a Json, depth: usize) {
        // A schema that refers to itself without a value in between says nothing.
        if depth > 16 {
            return;
        }
        self.secret |= flag(schema, "x-secret");
        if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
            let pointer = target.strip_prefix('#').unwrap_or(target);
            if let Some(found) = root.pointer(pointer) {
                self.collect(found, root, depth + 1);
            }
            return;
        }
        // An object's `oneOf` of `required` lists is about its fields; see `check::object`.
        if schema.get("properties").is_none() {
            let alternatives = ["anyOf", "oneOf", "allOf"].into_iter().find_map(|word| {
                schema.get(word).and_then(Json::as_array).filter(|list| !list.is_empty())
            });
            if let Some(alternatives) = alternatives {
                for branch in alternatives {
                    self.collect(branch, root, depth + 1);
                }
                return;
            }
        }
        let kinds = kinds(schema);
        self.nullable |= kinds == Kinds::ANY || allows_null(schema);
        if kinds != Kinds::NONE {
            self.branches.push(schema);
        }
    }

    /// All kinds that are accepted, whole resources aside.
    pub(crate) fn kinds(&self) -> Kinds {
        let values = self.branches.iter().filter(|branch| branch.get("x-reference").is_none());
        values.fold(Kinds::NONE, |all, branch| all.with(kinds(branch)))
    }

    /// The attributes that a resource must have to be handed over here: `x-reference`.
    pub(crate) fn reference(&self) -> Option<Vec<&'a str>> {
        self.branches.iter().find_map(|branch| {
            let needs = branch.get("x-reference")?.as_array()?;
            Some(needs.iter().filter_map(Json::as_str).collect())
        })
    }

    /// Whether nothing but a whole resource will do.
    pub(crate) fn only_reference(&self) -> bool {
        !self.branches.is_empty()
            && self.branches.iter().all(|branch| branch.get("x-reference").is_some())
    }

    /// Whether any text at all will do, so that a `${…}` needs no alternative of its own.
    pub(crate) fn takes_any_text(&self) -> bool {
        self.accepting(Kinds::TEXT).any(|branch| {
            ["pattern", "enum", "const", "format", "maxLength"]
                .iter()
                .all(|rule| branch.get(rule).is_none())
        })
    }

    /// The words of an enumeration, if all alternatives of kind `kind` are constants.
    pub(crate) fn words(&self, kind: Kinds) -> Option<Vec<&'a Json>> {
        let mut words = Vec::new();
        for branch in self.accepting(kind) {
            if let Some(list) = branch.get("enum").and_then(Json::as_array) {
                words.extend(list.iter().filter(|word| !word.is_null()));
            } else {
                words.push(branch.get("const")?);
            }
        }
        (!words.is_empty()).then_some(words)
    }

    /// The alternatives that accept `kind`, whole resources aside.
    pub(crate) fn accepting(&self, kind: Kinds) -> impl Iterator<Item = &'a Json> {
        self.branches
            .iter()
            .copied()
            .filter(move |branch| kinds(branch).has(kind) && branch.get("x-reference").is_none())
    }
}

/// Whether annotation `name` is `true`.
pub(crate) fn flag(schema: &Json, name: &str) -> bool {
    schema.get(name).and_then(Json::as_bool).unwrap_or(false)
}

/// Whether a secret is anywhere in a value of `schema`.
pub(crate) fn mentions_secret(schema: &Json) -> bool {
    match schema {
        Json::Object(map) => flag(schema, "x-secret") || map.values().any(mentions_secret),
        Json::Array(items) => items.iter().any(mentions_secret),
        _ => false,
    }
}

fn kinds(schema: &Json) -> Kinds {
    match schema.get("type") {
        Some(Json::String(name)) => return Kinds::named(name),
        Some(Json::Array(names)) => {
            return names
                .iter()
                .filter_map(Json::as_str)
                .fold(Kinds::NONE, |all, name| all.with(Kinds::named(name)));
        }
        _ => {}
    }
    if let Some(value) = schema.get("const") {
        return Kinds::of_value(value);
    }
    if let Some(values) = schema.get("enum").and_then(Json::as_array) {
        return values.iter().fold(Kinds::NONE, |all, value| all.with(Kinds::of_value(value)));
    }
    if schema.get("properties").is_some() { Kinds::MAP } else { Kinds::ANY }
}

fn allows_null(schema: &Json) -> bool {
    match schema.get("type") {
        Some(Json::String(name)) => name == "null",
        Some(Json::Array(names)) => names.iter().any(|name| name == "null"),
        _ => schema.get("const").is_some_and(Json::is_null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alternatives() {
        let check = |schema: Json, kinds: &str, nullable: bool| {
            let shape = Shape::of(&schema, &schema);
            assert_eq!((shape.kinds().to_string().as_str(), shape.nullable), (kinds, nullable));
        };
        check(json!({"type": ["string", "null"]}), "text", true);
        check(json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), "a whole number", true);
        check(json!({"enum": ["a", 1]}), "text or a whole number", false);
        check(json!({"type": "number"}), "a number", false);
        check(json!({"$ref": "#/$defs/x", "$defs": {"x": {"type": "array"}}}), "a list", false);
        check(json!({"$ref": "#"}), "", false);
        assert!(Shape::of(&json!(true), &json!(true)).nullable);
    }

    #[test]
    fn words_of_documented_variants() {
        let schema = json!({"anyOf": [
            {"oneOf": [{"const": "a", "type": "string"}, {"const": "b", "type": "string"}]},
            {"type": "null"},
        ]});
        let shape = Shape::of(&schema, &schema);
        assert_eq!(shape.words(Kinds::TEXT), Some(vec![&json!("a"), &json!("b")]));
    }
}
