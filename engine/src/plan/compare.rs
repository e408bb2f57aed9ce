//! Whether a field differs, on value trees, by the annotations of its type.

use serde_json::Value as Json;

use super::FieldChange;
use crate::secret::MASK;
use crate::tree::Tree;

/// Compares what is wanted with what is there.
///
/// `None`: no difference. Numbers are compared by value; lists whose schema says `uniqueItems` as sets. What is secret
/// is never here: whoever reads a thing compares its secrets with what is wanted, and leaves the mask where they are the
/// same. Any other text there is another value, and where nothing is, it is missing.
pub fn difference(
    name: &str,
    want: &Tree,
    there: Option<&Tree>,
    schema: Option<&Json>,
) -> Option<FieldChange> {
    let change = |after: Option<Tree>, unknown| FieldChange {
        name: name.to_owned(),
        before: there.filter(|there| **there != Tree::Null).map(Tree::stored),
        after,
        unknown,
        sensitive: want.has_secret(),
        forces: false,
    };
    if let Tree::Resource(handle) = want {
        let same = there.is_some_and(|there| {
            there.get("$address").and_then(Tree::as_text) == Some(handle.address.as_str())
                && there.get("$id").and_then(Tree::as_text) == handle.id.as_deref()
                && handle.id.is_some()
        });
        return (!same).then(|| change(Some(want.stored()), handle.id.is_none()));
    }
    if want.has_unknown() {
        let partly = matches!(want, Tree::Map(_) | Tree::List(_));
        return Some(change(partly.then(|| want.shown()), true));
    }
    let there = there.unwrap_or(&Tree::Null);
    (!same(want, there, is_set(want, schema))).then(|| change(Some(want.stored()), false))
}

/// Whether two stored values of a field say the same.
pub fn equal(a: &Tree, b: &Tree, schema: Option<&Json>) -> bool {
    same(a, b, is_set(a, schema))
}

fn is_set(value: &Tree, schema: Option<&Json>) -> bool {
    matches!(value, Tree::List(_))
        && schema.is_some_and(|s| s.get("uniqueItems") == Some(&Json::Bool(true)))
}

/// Whether what is wanted says the same as what is stored.
fn same(want: &Tree, there: &Tree, as_set: bool) -> bool {
    match (want, there) {
        (Tree::List(want), Tree::List(there)) if as_set => {
            want.len() == there.len()
                && want.iter().all(|item| there.iter().any(|other| same(item, other, false)))
        }
        (Tree::List(want), Tree::List(there)) => {
            want.len() == there.len() && want.iter().zip(there).all(|(a, b)| same(a, b, false))
        }
        (Tree::Map(want), Tree::Map(there)) => {
            let null = Tree::Null;
            want.iter().all(|(key, item)| same(item, there.get(key).unwrap_or(&null), false))
                && there.iter().all(|(key, item)| want.contains_key(key) || *item == null)
        }
        (Tree::Number(a), Tree::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        // What was blanked out when it was stored cannot be compared any more, or was found to be the same.
        (Tree::Text(_) | Tree::Secret(_), Tree::Text(there)) if there.contains(MASK) => true,
        (Tree::Secret(_) | Tree::Resource(_), there) => same(&want.stored(), there, false),
        _ => want == there,
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
            let found = difference("f", &Tree::from_json(&want), Some(&there.clone().into()), None);
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
            let found = difference("f", &secret, Some(&there.clone().into()), None);
            assert_eq!(found.as_ref().map(|f| f.sensitive), differs.then_some(true), "{there}");
            assert!(!format!("{found:?}").contains("s3cr3t"));
        }
        let unique = json!({"uniqueItems": true});
        let want = Tree::from_json(&json!(["a", "b"]));
        assert_eq!(difference("f", &want, Some(&json!(["b", "a"]).into()), Some(&unique)), None);
    }
}
