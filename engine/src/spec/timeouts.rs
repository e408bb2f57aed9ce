//! `timeouts:` of a block: how long an act on it may take.
//!
//! Reads and checks; the limits are held by [`crate::apply`]. Tested by the broken specs in `tests/lifecycle.rs`.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::interpolate::References;
use crate::check::{Checker, Owner, Place};
use crate::diag::Diagnostic;
use crate::info::{Kind, TypeInfo};
use crate::source::Entry;
use crate::template::Template;
use crate::tree::Tree;

/// The longest time of each act; `None`: as long as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Creating; running; opening.
    pub create: Option<Duration>,
    pub update: Option<Duration>,
    /// Deleting; closing.
    pub delete: Option<Duration>,
}

static ALL: LazyLock<Json> = LazyLock::new(|| object(&["create", "update", "delete"]));

/// The keys that mean something for a kind.
fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Managed => &["create", "update", "delete"],
        Kind::Run => &["create"],
        Kind::Scoped => &["create", "delete"],
        Kind::Lookup => &[],
    }
}

/// The schema for editors; `None` where it has no meaning.
pub(crate) fn schema(kind: Kind) -> Option<Json> {
    let keys = keys(kind);
    (!keys.is_empty()).then(|| object(keys))
}

fn object(keys: &[&str]) -> Json {
    let time = json!({
        "type": "string",
        "pattern": "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$",
        "x-pattern-help": "hours, minutes and seconds, such as `30m` or `1h30m`",
        "minLength": 2
    });
    let properties: Map<String, Json> =
        keys.iter().map(|key| ((*key).to_owned(), time.clone())).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "description": "How long an act may take, such as `30m`. One that takes longer is stopped, its outcome unknown, and settled by the next run."
    })
}

pub(super) fn read(
    checker: &mut Checker<'_>,
    field: &Entry,
    info: Option<&TypeInfo>,
    owner: &Owner<'_>,
) -> Timeouts {
    let label = owner.label.clone();
    let owner = Owner { label, references: References::Refused, schema: &ALL, ..*owner };
    let root = Place::root(&owner);
    let place = root.field("timeouts", field.key_span);
    let Template::Value(said) = checker.value(&field.value, &ALL, &place) else {
        return Timeouts::default();
    };
    let known = info.map_or(keys(Kind::Managed), |info| keys(info.kind));
    if known.is_empty() {
        let message = format!("`timeouts` has no meaning for {}", owner.label);
        checker.mistakes.push(
            Diagnostic::error("PGF0129", message)
                .at(field.key_span, "what is looked up is only read")
                .help("leave it out"),
        );
        return Timeouts::default();
    }
    for inner in field.value.as_map().into_iter().flatten() {
        let key = inner.key.as_str();
        if keys(Kind::Managed).contains(&key) && !known.contains(&key) {
            let listed = known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>();
            let message = format!("`timeouts.{key}` has no meaning for {}", owner.label);
            checker.mistakes.push(
                Diagnostic::error("PGF0129", message)
                    .at(inner.key_span, "there is no such act")
                    .help(format!("it has {}", listed.join(" and "))),
            );
        }
        let written = said.get(key).and_then(Tree::as_text).unwrap_or_default();
        if time(written) == Some(Duration::ZERO) {
            let place = place.field(key, inner.key_span);
            checker.mistakes.push(
                Diagnostic::error("PGF0109", format!("{place} cannot be `{written}`"))
                    .at(inner.value.span, "at least one second"),
            );
        }
    }
    let limit = |key: &str| said.get(key).and_then(Tree::as_text).and_then(time);
    Timeouts { create: limit("create"), update: limit("update"), delete: limit("delete") }
}

/// `1h30m`; `None` if it is not written so, which the schema reports.
fn time(text: &str) -> Option<Duration> {
    let (mut seconds, mut rest) = (0_u64, text);
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds = number.parse::<u64>().ok()?.checked_mul(length)?.checked_add(seconds)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(time(text), seconds.map(Duration::from_secs), "{text}");
        };
        check("30m", Some(1800));
        check("1h30m", Some(5400));
        check("2h5s", Some(7205));
        check("0s", Some(0));
        check("90", None);
        check("5m1h", None);
        check("", None);
    }
}
