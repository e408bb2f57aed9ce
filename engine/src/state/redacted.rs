//! The last net before a record is kept: known secrets are blanked out in text that is for people, and a record that
//! would store one in a value is refused.
//!
//! Values keep secrets out by their type. A net that rewrote them would corrupt what is remembered as soon as a password
//! is also a name. Tested by `tests/attack`.

use std::borrow::Cow;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::{Operation, Outcome, Record};
use crate::address::Address;
use crate::resource::{Intent, Remembered};
use crate::secret::{hidden_in, redact};
use crate::tree::Tree;

/// A secret that a value would store, and the field that it is in.
pub(super) type Betrayed = (String, Zeroizing<String>);

impl Record {
    /// Itself, without any known secret in its text for people.
    pub(super) fn redacted(mut self) -> Self {
        match &mut self {
            Self::Intent { operation, .. } => match &mut operation.outcome {
                Outcome::Unknown { message } | Outcome::Failed { message } => text(message),
                Outcome::Begun => {}
            },
            Self::Failed { message, .. }
            | Self::Unknown { message, .. }
            | Self::NotOpened { message, .. }
            | Self::CloseFailed { message, .. } => text(message),
            _ => {}
        }
        self
    }

    /// Whose it is, of records with values.
    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::Intent { address, .. }
            | Self::Note { address, .. }
            | Self::Succeeded { address, .. }
            | Self::Opening { address, .. } => Some(address),
            _ => None,
        }
    }

    /// The first value that would store a secret.
    pub(super) fn betrays(&self) -> Option<Betrayed> {
        let values = |map: &std::collections::BTreeMap<String, Json>| {
            map.iter().find_map(|(name, value)| in_json(name, value))
        };
        match self {
            Self::Intent { operation, .. } => {
                let Operation { intent, under, .. } = &**operation;
                in_intent(intent).or_else(|| values(&under.replace_when))
            }
            Self::Note { note, .. } => in_json("notes", note),
            Self::Succeeded { entry, .. } => in_remembered(&entry.remembered)
                .or_else(|| {
                    let fields = entry.expanded.iter().flat_map(|expanded| &expanded.fields);
                    fields.into_iter().find_map(|(name, value)| in_json(name, value))
                })
                .or_else(|| values(entry.replace_when())),
            Self::Opening { intent, .. } => in_intent(intent),
            _ => None,
        }
    }
}

fn text(text: &mut String) {
    if let Cow::Owned(blank) = redact(text) {
        *text = blank;
    }
}

fn in_intent(intent: &Intent) -> Option<Betrayed> {
    in_tree("", &intent.inputs)
        .or_else(|| in_json("notes", &intent.notes))
        .or_else(|| intent.before.as_ref().and_then(in_remembered))
}

fn in_remembered(remembered: &Remembered) -> Option<Betrayed> {
    let Remembered { id, inputs, attrs, memory } = remembered;
    let id = hidden_in(id).map(|secret| ("id".to_owned(), secret));
    id.or_else(|| in_tree("", inputs))
        .or_else(|| in_tree("", attrs))
        .or_else(|| in_tree("memory", memory))
}

/// The first secret in a value as it is stored, and where it is: `env.URL`.
pub(crate) fn in_tree(path: &str, stored: &Tree) -> Option<Betrayed> {
    match stored {
        Tree::Text(said) => hidden_in(said).map(|secret| (path.to_owned(), secret)),
        Tree::List(items) => items.iter().find_map(|item| in_tree(path, item)),
        Tree::Map(map) => map.iter().find_map(|(key, item)| in_tree(&below(path, key), item)),
        _ => None,
    }
}

/// The path to the first value that gives a secret away once it is stored.
pub fn given_away(stored: &Json) -> Option<String> {
    in_json("", stored).map(|(path, _)| path)
}

/// As [`in_tree`], of JSON.
fn in_json(path: &str, stored: &Json) -> Option<Betrayed> {
    match stored {
        Json::String(said) => hidden_in(said).map(|secret| (path.to_owned(), secret)),
        Json::Array(items) => items.iter().find_map(|item| in_json(path, item)),
        Json::Object(map) => map.iter().find_map(|(key, item)| in_json(&below(path, key), item)),
        _ => None,
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
