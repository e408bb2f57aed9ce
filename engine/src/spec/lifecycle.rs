//! What a block says about how its thing is kept: `lifecycle`, `on_exists`, `on_remove`, `renamed_from`.
//!
//! Reads and checks; what follows from it is the plan's. Tested by the broken specs in `tests/lifecycle.rs`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::blocks::Blocks;
use super::interpolate::References;
use super::{Lifecycle, OnExists, for_each};
use crate::address::Address;
use crate::check::{Checker, Owner, Place};
use crate::diag::{Diagnostic, Span, suggestion};
use crate::info::{Kind, OnRemove, TypeInfo};
use crate::source::{Entry, Value};
use crate::template::{Template, Templates};
use crate::tree::Tree;

/// Rules for `lifecycle:`; also part of the schema for editors.
pub(crate) static LIFECYCLE: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "prevent_destroy": {
                "type": "boolean",
                "description": "Nothing may delete it: not `destroy`, not `--replace`, not taking this block away. Lifted by `false` and an apply."
            },
            "ignore_changes": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Names of fields that are left as they are once it exists."
            },
            "replace_when": REPLACE_WHEN.clone()
        }
    })
});

/// Of a run, what is left of `lifecycle:`.
pub(crate) static OF_RUNS: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "replace_when": REPLACE_WHEN.clone() }
    })
});

static REPLACE_WHEN: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "type": "array",
        "items": { "type": "string", "pattern": r"\$\{" },
        "description": "References, such as `${app.id}`: when the value of one has changed since the last time, a run is done again and a managed resource is made anew."
    })
});

/// `to` says that it was called `from`.
pub(super) struct Rename {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) span: Span,
}

pub(super) fn lifecycle(
    checker: &mut Checker<'_>,
    field: &Entry,
    info: Option<&TypeInfo>,
    owner: &Owner<'_>,
) -> Lifecycle {
    let replace_when = replace_when(checker, field, owner);
    let label = owner.label.clone();
    let owner = Owner { label, references: References::Refused, schema: &LIFECYCLE, ..*owner };
    let root = Place::root(&owner);
    let run = info.is_some_and(|info| info.kind == Kind::Run);
    match &field.value.value {
        // Of a run, only what keeps it from being deleted or changed has no meaning.
        Value::Map(inner) if run => {
            for inner in inner.iter().filter(|inner| inner.key != "replace_when") {
                only_managed(checker, inner, info, &root);
            }
        }
        Value::Map(_) => only_managed(checker, field, info, &root),
        _ => {}
    }
    let place = root.field("lifecycle", field.key_span);
    let mut value = field.value.clone();
    if let Value::Map(entries) = &mut value.value {
        entries.retain(|inner| inner.key != "replace_when");
    }
    let Template::Value(said) = checker.value(&value, &LIFECYCLE, &place) else {
        return Lifecycle::default();
    };
    let items = match said.get("ignore_changes") {
        Some(Tree::List(items)) => items.as_slice(),
        _ => &[],
    };
    let spans = field
        .value
        .as_map()
        .into_iter()
        .flatten()
        .filter(|inner| inner.key == "ignore_changes")
        .flat_map(|inner| match &inner.value.value {
            Value::Seq(nodes) => nodes.as_slice(),
            _ => &[],
        })
        .map(|node| node.span);
    let mut ignore_changes = Vec::with_capacity(items.len());
    for (name, span) in items.iter().zip(spans) {
        let Some(name) = name.as_text() else { continue };
        if let Some(info) = info.filter(|info| info.field(name).is_none()) {
            let label = &owner.label;
            let message = format!("`ignore_changes` of {label} names no field: `{name}`");
            let fields = info.fields().collect::<Vec<_>>();
            checker.mistakes.push(
                Diagnostic::error("PGF0104", message)
                    .at(span, format!("a `{}` has no such field", info.name))
                    .maybe_help(suggestion(name, fields, "the fields are")),
            );
        }
        ignore_changes.push(name.to_owned());
    }
    let prevent_destroy = said.get("prevent_destroy") == Some(&Tree::Bool(true));
    Lifecycle { prevent_destroy, ignore_changes, replace_when }
}

/// The values whose change forces another act, by the text that was written for each.
fn replace_when(checker: &mut Checker<'_>, lifecycle: &Entry, owner: &Owner<'_>) -> Templates {
    static ANYTHING: Json = Json::Bool(true);
    let mut found = Templates::default();
    let mut inner = lifecycle.value.as_map().into_iter().flatten();
    let Some(field) = inner.find(|inner| inner.key == "replace_when") else { return found };
    let label = owner.label.clone();
    let owner = Owner { label, schema: &ANYTHING, ..*owner };
    let root = Place::root(&owner);
    let place = root.field("lifecycle", lifecycle.key_span);
    let place = place.field("replace_when", field.key_span);
    let Value::Seq(items) = &field.value.value else {
        if field.value.value != Value::Null {
            let kind = field.value.kind();
            let help = field.value.as_str().map(|text| format!("write `[\"{text}\"]`"));
            checker.mistakes.push(
                Diagnostic::error("PGF0106", format!("{place} wants a list, not {kind}"))
                    .at(field.value.span, format!("this is {kind}"))
                    .maybe_help(help),
            );
        }
        return found;
    };
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.as_str().filter(|text| text.contains("${")) else {
            // Another text is another trigger, so one without a reference would never change.
            checker.mistakes.push(
                Diagnostic::error("PGF0106", format!("{place} lists references"))
                    .at(item.span, format!("this is {}, which never changes", item.kind()))
                    .help("write `\"${name.attribute}\"`, or `\"${var.name}\"`"),
            );
            continue;
        };
        let template = checker.value(item, &ANYTHING, &place.element(index, item.span));
        found.insert(text.to_owned(), template);
    }
    found
}

pub(super) fn on_remove(
    checker: &mut Checker<'_>,
    field: &Entry,
    info: Option<&TypeInfo>,
    place: &Place<'_, '_>,
) -> Option<OnRemove> {
    let meant = |word: &str| matches!(word, "delete" | "remove").then_some("destroy");
    let word = word(checker, field, ["keep", "destroy"], meant, place)?;
    only_managed(checker, field, info, place);
    Some(if word == "destroy" { OnRemove::Destroy } else { OnRemove::Keep })
}

pub(super) fn on_exists(
    checker: &mut Checker<'_>,
    field: &Entry,
    info: Option<&TypeInfo>,
    place: &Place<'_, '_>,
) -> Option<OnExists> {
    let meant = |word: &str| match word {
        "import" | "keep" | "take" => Some("adopt"),
        "error" | "stop" | "refuse" => Some("fail"),
        _ => None,
    };
    let word = word(checker, field, ["adopt", "fail"], meant, place)?;
    only_managed(checker, field, info, place);
    Some(if word == "fail" { OnExists::Fail } else { OnExists::Adopt })
}

/// One of two words; `None` if it is neither, which is reported.
fn word(
    checker: &mut Checker<'_>,
    field: &Entry,
    words: [&'static str; 2],
    meant: impl Fn(&str) -> Option<&'static str>,
    place: &Place<'_, '_>,
) -> Option<&'static str> {
    let (owner, key) = (&place.owner.label, &field.key);
    let [first, second] = words;
    let Some(said) = field.value.as_str() else {
        let kind = field.value.kind();
        checker.mistakes.push(
            Diagnostic::error("PGF0106", format!("`{key}` of {owner} wants text, not {kind}"))
                .at(field.key_span, format!("its value is {kind}"))
                .help(format!("write `{first}` or `{second}`")),
        );
        return None;
    };
    let known = words.into_iter().find(|word| *word == said);
    if known.is_none() {
        let help = match meant(said) {
            Some(word) => Some(format!("write `{word}`")),
            None => suggestion(said, words, "write one of them"),
        };
        checker.mistakes.push(
            Diagnostic::error("PGF0107", format!("`{key}` of {owner} cannot be `{said}`"))
                .at(field.value.span, format!("neither `{first}` nor `{second}`"))
                .maybe_help(help),
        );
    }
    known
}

fn only_managed(
    checker: &mut Checker<'_>,
    field: &Entry,
    info: Option<&TypeInfo>,
    place: &Place<'_, '_>,
) {
    let Some(info) = info.filter(|info| info.kind != Kind::Managed) else { return };
    let what = match info.kind {
        Kind::Lookup => "is looked up, never changed",
        Kind::Run => "is something done, which can only be forgotten",
        Kind::Scoped | Kind::Managed => "is opened and closed within an apply",
    };
    let message = format!("`{}` has no meaning for {}", field.key, place.owner.label);
    checker.mistakes.push(
        Diagnostic::error("PGF0129", message)
            .at(field.key_span, format!("a `{}` {what}", info.name))
            .help("leave it out"),
    );
}

/// The former address; `None` if it is none, which is reported.
pub(super) fn renamed_from(
    checker: &mut Checker<'_>,
    field: &Entry,
    place: &Place<'_, '_>,
) -> Option<Address> {
    let owner = &place.owner.label;
    let Some(text) = field.value.as_str() else {
        let kind = field.value.kind();
        checker.mistakes.push(
            Diagnostic::error(
                "PGF0106",
                format!("`renamed_from` of {owner} wants text, not {kind}"),
            )
            .at(field.key_span, format!("its value is {kind}"))
            .help("write the former name: `renamed_from: name`"),
        );
        return None;
    };
    let from = former(checker, text, field.value.span);
    let from = match from {
        Ok(None) => return None,
        Ok(from) => from,
        Err(mistakes) if mistakes.is_empty() => None,
        Err(mistakes) => {
            checker.mistakes.extend(mistakes);
            return None;
        }
    };
    if from.is_none() {
        checker.mistakes.push(
            Diagnostic::error("PGF0132", format!("`renamed_from` of {owner} is no former name"))
                .at(field.value.span, "not the address of a resource")
                .help("write the former name: `renamed_from: name`"),
        );
    }
    from
}

/// The address that `text` says; `None` if that is not known, or nothing.
///
/// # Errors
/// What is wrong with it, as far as there is more to say than that it is none.
fn former(
    checker: &Checker<'_>,
    text: &str,
    span: Span,
) -> Result<Option<Address>, Vec<Diagnostic>> {
    let each = checker.each.as_ref();
    let mut put = text.to_owned();
    if text.contains("${") {
        let mut mistakes = Vec::new();
        let refused = References::Refused;
        let written = checker.scope.interpolate(text, span, refused, each, &mut mistakes);
        match written.map(|written| written.template) {
            None => return Err(mistakes),
            Some(Template::Value(Tree::Text(name))) => put = name,
            Some(Template::Value(Tree::Null | Tree::Unknown)) => return Ok(None),
            Some(_) => return Err(Vec::new()),
        }
    }
    let found = for_each::named(&put).ok_or_else(Vec::new)?;
    match &found.key {
        None => Ok(Some(Address::new(found.root))),
        Some(key) => {
            let key = for_each::key_text(key, each, span).map_err(|mistake| vec![*mistake])?;
            Ok(key.map(|key| for_each::address(&found.root, &key)))
        }
    }
}

/// Former names that are still in use, or claimed twice.
pub(super) fn renames(checker: &mut Checker<'_>, blocks: &Blocks) {
    let mut claimed: HashMap<&Address, &Rename> = HashMap::new();
    for rename in &blocks.renames {
        let Rename { from, to, span } = rename;
        let mistake = if from == to {
            Diagnostic::error("PGF0132", format!("`{to}` cannot have been renamed from itself"))
                .at(*span, "this is its name now")
                .help("write its former name, or leave `renamed_from` out")
        } else if let Some(block) = blocks.resources.get(from) {
            Diagnostic::error(
                "PGF0132",
                format!("`{to}` is renamed from `{from}`, which is still there"),
            )
            .at(*span, "the former name of this resource")
            .context(block.span, "a block of that name")
            .help("take that block away, or leave `renamed_from` out")
        } else if let Some(other) = claimed.insert(from, rename) {
            Diagnostic::error(
                "PGF0132",
                format!("`{}` and `{to}` are both renamed from `{from}`", other.to),
            )
            .at(*span, "the same former name")
            .context(other.span, "claimed here already")
            .help("leave one of them out")
        } else {
            continue;
        };
        checker.mistakes.push(mistake);
    }
}
