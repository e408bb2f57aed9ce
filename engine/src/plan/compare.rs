//! Whether a field differs, on value trees, by the annotations of its type.

use serde_json::Value as Json;

use super::FieldChange;
use crate::tree::Tree;

/// Compares what is wanted with what is there.
///
/// `None`: no difference. Numbers are compared by value; lists whose schema says `uniqueItems` as sets. What is secret
/// is never here: whoever reads a thing compares its secrets with what is wanted, and leaves the mask where they are the
/// same. Any other text there is another value, and where nothing is, it is missing.
pub fn difference(
    name: &str,
    want: &Tree,
    there: Option<&Json>,
    schema: Option<&Json>,
) -> Option<FieldChange> {
    let change = |after: Option<Json>, unknown| FieldChange {
        name: name.to_owned(),
        before: there.filter(|json| !json.is_null()).cloned(),
        after,
        unknown,
        sensitive: want.has_secret(),
        forces: false,
    };
    if let Tree::Resource(handle) = want {
        let same = there.is_some_and(|json| {
            json.get("$address").and_then(Json::as_str) == Some(handle.address.as_str())
                && json.get("$id").and_then(Json::as_str) == handle.id.as_deref()
                && handle.id.is_some()
        });
        return (!same).then(|| change(Some(want.storable()), handle.id.is_none()));
    }
    if want.has_unknown() {
        let partly = matches!(want, Tree::Map(_) | Tree::List(_));
        return Some(change(partly.then(|| want.shown()), true));
    }
    let wanted = want.storable();
    let there = there.unwrap_or(&Json::Null);
    (!equal(&wanted, there, schema)).then(|| change(Some(wanted), false))
}

/// Whether two stored values of a field say the same.
pub fn equal(a: &Json, b: &Json, schema: Option<&Json>) -> bool {
    let as_set = schema.is_some_and(|s| s.get("uniqueItems") == Some(&Json::Bool(true)));
    same(a, b, as_set)
}

fn same(a: &Json, b: &Json, as_set: bool) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) if as_set => {
            a.len() == b.len()
                && a.iter().all(|item| b.iter().any(|other| same(item, other, false)))
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, false))
        }
        (Json::Object(a), Json::Object(b)) => {
            let null = Json::Null;
            a.keys()
                .chain(b.keys())
                .all(|key| same(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), false))
        }
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        // What was blanked out when it was stored cannot be compared any more, or was found to be the same.
        (Json::String(_), Json::String(there)) if there.contains(crate::secret::MASK) => true,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use serde_json::json;

    #[test]
    fn differences() {
        let check = |want: Json, there: Json, differs: bool| {
            let found = difference("f", &Tree::from_json(&want), Some(&there), None);
            assert_eq!(found.is_some(), differs, "{want} against {there}");
        };
        check(json!("a"), json!("a"), false);
        check(json!("a"), json!("b"), true);
        check(json!(1), json!(1.0), false);
        check(json!({"a": 1}), json!({"a": 1, "b": null}), false);
        check(json!(["a", "b"]), json!(["b", "a"]), true);
        let secret = Tree::Map(
            [("a".into(), Tree::Secret(Secret::new("s3cr3t"))), ("b".into(), Tree::text("c"))]
                .into(),
        );
        for (there, differs) in [
            (json!({"a": "(sensitive)", "b": "c"}), false),
            (json!({"a": "(another value)", "b": "c"}), true),
            (json!({"a": "(sensitive)", "b": "d"}), true),
            (json!({"b": "c"}), true),
        ] {
            let found = difference("f", &secret, Some(&there), None);
            assert_eq!(found.as_ref().map(|f| f.sensitive), differs.then_some(true), "{there}");
            assert!(!format!("{found:?}").contains("s3cr3t"));
        }
        let unique = json!({"uniqueItems": true});
        let want = Tree::from_json(&json!(["a", "b"]));
        assert_eq!(difference("f", &want, Some(&json!(["b", "a"])), Some(&unique)), None);
    }
}
