//! The last net before a record is kept: known secrets are blanked out wherever free text or foreign values stand.
//!
//! What gives a record its shape (events, addresses, types, ids) is left alone: a password that is also an ordinary
//! word must not tear the journal. Tested by `tests/attack`.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{Entry, Operation, Outcome, Record};
use crate::resource::{Intent, Remembered};
use crate::secret::redact;
use crate::tree::Tree;

impl Record {
    /// Itself, without any known secret.
    pub(super) fn redacted(mut self) -> Self {
        match &mut self {
            Self::Intent { operation, .. } => {
                let Operation { intent, outcome, under, .. } = &mut **operation;
                of_intent(intent);
                under.replace_when.values_mut().for_each(value);
                match outcome {
                    Outcome::Unknown { message } | Outcome::Failed { message } => text(message),
                    Outcome::Begun => {}
                }
            }
            Self::Note { note, .. } => value(note),
            Self::Succeeded { entry, .. } => {
                let Entry { remembered, expanded, replace_when, done, .. } = &mut **entry;
                of_remembered(remembered);
                expanded.iter_mut().for_each(|e| e.fields.values_mut().for_each(value));
                replace_when.values_mut().for_each(value);
                done.iter_mut().for_each(|done| done.replace_when.values_mut().for_each(value));
            }
            Self::Failed { message, .. }
            | Self::Unknown { message, .. }
            | Self::NotOpened { message, .. }
            | Self::CloseFailed { message, .. } => text(message),
            Self::Opening { intent, .. } => of_intent(intent),
            Self::Begin { .. }
            | Self::Forgot { .. }
            | Self::Removal { .. }
            | Self::Depends { .. }
            | Self::Renamed { .. }
            | Self::Released { .. }
            | Self::Held { .. } => {}
        }
        self
    }
}

fn of_intent(intent: &mut Intent) {
    tree(&mut intent.inputs);
    value(&mut intent.notes);
    intent.before.iter_mut().for_each(of_remembered);
}

fn of_remembered(remembered: &mut Remembered) {
    tree(&mut remembered.inputs);
    tree(&mut remembered.attrs);
    tree(&mut remembered.memory);
}

fn text(text: &mut String) {
    if let Cow::Owned(blank) = redact(text) {
        *text = blank;
    }
}

/// Looks first, so that what is shared and harmless stays shared.
fn tree(stored: &mut Tree) {
    match stored {
        Tree::Text(said) => text(said),
        Tree::List(items) => items.iter_mut().for_each(tree),
        Tree::Map(map) if map.iter().any(|(key, item)| !is_identity(key) && gives_away(item)) => {
            map.iter_mut().filter(|(key, _)| !is_identity(key)).for_each(|(_, item)| tree(item));
        }
        _ => {}
    }
}

fn gives_away(stored: &Tree) -> bool {
    match stored {
        Tree::Text(said) => matches!(redact(said), Cow::Owned(_)),
        Tree::List(items) => items.iter().any(gives_away),
        Tree::Map(map) => map.iter().any(|(key, item)| !is_identity(key) && gives_away(item)),
        _ => false,
    }
}

/// The identity of a whole resource that was handed on.
fn is_identity(key: &str) -> bool {
    matches!(key, "$address" | "$id")
}

fn value(json: &mut Json) {
    match json {
        Json::String(said) => text(said),
        Json::Array(items) => items.iter_mut().for_each(value),
        Json::Object(map) => {
            map.iter_mut().filter(|(key, _)| !is_identity(key)).for_each(|(_, item)| value(item));
        }
        _ => {}
    }
}
