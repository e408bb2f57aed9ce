//! What is remembered between runs.
//!
//! A [`State`] is only ever changed by [`State::fold`], one journal [`Record`] at a time, so that replaying a journal
//! after a crash gives the same state as having lived through it. It holds no secret in any form.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::address::Address;
use crate::graph::Graph;
use crate::info::{Kind, OnRemove};
use crate::pace::Pace;
use crate::resource::{Intent, Remembered, Verb};

pub mod check;
pub mod disk;
mod error;
pub mod file;
mod flat;
pub mod format;
pub mod journal;
mod redacted;
pub(crate) mod rename;
pub mod store;

pub use error::{SECRET_IN_CLEAR, StateError};
pub use redacted::given_away;
pub(crate) use redacted::in_tree;

/// The format this build writes. Older ones load for ever; newer ones are refused.
pub const FORMAT: u32 = 1;

/// Everything remembered of one migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub format: u32,
    /// Random, made once; tells two migrations of the same name apart.
    pub lineage: String,
    /// Grows by one with each write.
    pub serial: u64,
    /// The spec's `name`.
    pub name: String,
    #[serde(default)]
    pub resources: BTreeMap<Address, Entry>,
    /// Scopes that are open, or whose last epoch matters to a run.
    #[serde(default)]
    pub scopes: BTreeMap<Address, Scope>,
    /// Acts that were begun and have not succeeded.
    #[serde(default)]
    pub operations: BTreeMap<Address, Operation>,
}

// Its `Deserialize` is in `flat`.
/// One resource as it was when last acted on or read.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Entry {
    #[serde(rename = "type")]
    pub type_name: String,
    pub kind: Kind,
    #[serde(flatten)]
    pub remembered: Remembered,
    /// Direct dependencies, for the order of a destroy.
    #[serde(default)]
    pub dependencies: Vec<Address>,
    /// What to do when the block leaves the spec; remembered, because the spec can no longer say it.
    pub on_remove: OnRemove,
    /// Nothing may delete it, whether its block is still there or not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub prevent_destroy: bool,
    /// Of managed resources: what the references in `replace_when` were when it was last acted on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replace_when: BTreeMap<String, Json>,
    /// Fields written out from something else (`like`), and the run in which that was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expanded: Option<Box<Expanded>>,
    /// Of staging with `after_use: remove`, and of a source that is retired: that its removal was begun, or done. What
    /// is remembered stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
    /// Of cutovers: when it was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub cut_over: Option<Timestamp>,
    /// Of runs: when and under what it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Box<DoneUnder>>,
    /// Of runs: how fast it was when it last succeeded and that could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
}

/// How far something is with being removed after use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// It may be there still, in part or whole.
    Begun,
    Done,
}

/// The plain fields that stand for a field such as `like`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expanded {
    pub run: String,
    pub fields: IndexMap<String, Json>,
}

/// The circumstances of a finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DoneUnder {
    /// The spec's `run` label of that day.
    pub run: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The epoch of every window and freeze it depends on.
    #[serde(default)]
    pub epochs: BTreeMap<Address, u64>,
    /// What the references in `replace_when` were.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replace_when: BTreeMap<String, Json>,
}

impl Entry {
    /// What the references in `replace_when` were when it was last acted on.
    pub fn replace_when(&self) -> &BTreeMap<String, Json> {
        self.done.as_ref().map_or(&self.replace_when, |done| &done.replace_when)
    }
}

/// A scope and its present or last epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    #[serde(rename = "type")]
    pub type_name: String,
    /// Counts openings, from 1.
    pub epoch: u64,
    /// How it was opened; the notes hold what closing needs.
    pub intent: Intent,
    pub status: ScopeStatus,
    /// Why the last attempt to close it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_failed: Option<String>,
    /// Held although everything under it was done; releasing it breaks no epoch.
    #[serde(default, skip_serializing_if = "is_false")]
    pub complete: bool,
    /// Epochs that were released before everything under them had succeeded, and when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<u64, String>")]
    pub broken: BTreeMap<u64, Timestamp>,
}

impl Scope {
    /// Whether it is open, on purpose or not.
    pub fn is_open(&self) -> bool {
        matches!(self.status, ScopeStatus::Open | ScopeStatus::Held)
    }
}

/// Whether a scope is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum ScopeStatus {
    /// Being opened, or open.
    Open,
    /// Left open on purpose (`on_success: hold`, `on_failure: hold`); `pgferry release` closes it.
    Held,
    /// Closed; `complete` if everything under it had succeeded by then.
    Released {
        #[schemars(with = "String")]
        at: Timestamp,
        complete: bool,
    },
}

/// An act that was begun and has not succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    #[serde(rename = "type")]
    pub type_name: String,
    pub intent: Intent,
    /// The `run` label and epochs it was begun under.
    pub under: DoneUnder,
    pub outcome: Outcome,
    /// All its notes are an earlier attempt's: of use for cleaning up, but no proof of anything done since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub carried: bool,
}

/// What is known of an act that has not succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Outcome {
    /// It was begun; whoever began it may have died.
    Begun,
    /// It ended without an answer, or goes on elsewhere.
    Unknown { message: String },
    /// It definitely failed; the next attempt cleans up after it.
    Failed { message: String },
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Record {
    /// The first line: which state the rest continues.
    Begin { lineage: String, serial: u64, name: String, at: Timestamp },
    /// Before an effect.
    Intent { address: Address, operation: Box<Operation> },
    /// Something an act must not forget.
    Note { address: Address, note: Json },
    /// After an effect, or after a lookup was read.
    Succeeded { address: Address, entry: Box<Entry> },
    /// After an effect that definitely did not happen, or was undone.
    Failed { address: Address, message: String },
    /// After an effect whose outcome is not known, or that goes on elsewhere.
    Unknown { address: Address, message: String },
    /// No longer remembered.
    Forgot { address: Address },
    /// Before and after staging is removed that has served, and a source that was left.
    Removal { address: Address, removal: Removal },
    /// Depends on these from here on, as the spec has it now.
    Depends { address: Address, dependencies: Vec<Address> },
    /// Known by other addresses from here on; from the former to the present one.
    Renamed { moves: BTreeMap<Address, Address> },
    /// Before a scope is opened.
    Opening { address: Address, type_name: String, epoch: u64, intent: Box<Intent> },
    /// A scope was not opened after all.
    NotOpened { address: Address, message: String },
    /// After a scope was closed.
    Released { address: Address, at: Timestamp, complete: bool },
    /// A scope was left open on purpose; `complete` if everything under it had succeeded by then.
    Held {
        address: Address,
        #[serde(default)]
        complete: bool,
    },
    /// A scope could not be closed.
    CloseFailed { address: Address, message: String },
}

/// A record that cannot follow on what is remembered.
#[derive(Debug, thiserror::Error)]
#[error(
    "the journal says `{event}` of `{address}`, which does not follow from what came before it"
)]
pub struct IllegalEvent {
    pub event: &'static str,
    pub address: String,
}

impl State {
    /// Nothing remembered yet.
    pub fn new(name: &str, lineage: String) -> Self {
        Self {
            format: FORMAT,
            lineage,
            serial: 0,
            name: name.to_owned(),
            resources: BTreeMap::new(),
            scopes: BTreeMap::new(),
            operations: BTreeMap::new(),
        }
    }

    /// Takes one record in. Pure; the only way a state changes.
    ///
    /// # Errors
    /// The record does not follow from the state: the journal is damaged or belongs to another state.
    pub fn fold(&mut self, record: Record) -> Result<(), IllegalEvent> {
        let illegal =
            |event, address: &Address| IllegalEvent { event, address: address.to_string() };
        match record {
            Record::Begin { .. } => {}
            Record::Intent { address, operation } => {
                self.operations.insert(address, *operation);
            }
            Record::Note { address, note } => {
                let open = self.scopes.get_mut(&address);
                let open = open.filter(|s| s.is_open()).map(|s| &mut s.intent);
                let intent = open.or(self.operations.get_mut(&address).map(|operation| {
                    operation.carried = false;
                    &mut operation.intent
                }));
                merge(&mut intent.ok_or_else(|| illegal("note", &address))?.notes, note);
            }
            Record::Succeeded { address, entry } => {
                self.operations.remove(&address);
                self.resources.insert(address, *entry);
            }
            Record::Failed { address, message } => {
                // What was noted stays until the next attempt has cleaned up after it.
                let operation = self.operations.get_mut(&address);
                let operation = operation.ok_or_else(|| illegal("failed", &address))?;
                operation.outcome = Outcome::Failed { message };
                if operation.intent.verb == Verb::Update {
                    self.operations.remove(&address);
                }
            }
            Record::Unknown { address, message } => {
                let operation = self.operations.get_mut(&address);
                operation.ok_or_else(|| illegal("unknown", &address))?.outcome =
                    Outcome::Unknown { message };
            }
            Record::Forgot { address } => {
                self.resources.remove(&address);
                self.operations.remove(&address);
            }
            Record::Removal { address, removal } => {
                let entry = self.resources.get_mut(&address);
                entry.ok_or_else(|| illegal("removal", &address))?.removal = Some(removal);
            }
            Record::Depends { address, dependencies } => {
                let entry = self.resources.get_mut(&address);
                entry.ok_or_else(|| illegal("depends", &address))?.dependencies = dependencies;
            }
            Record::Renamed { moves } => self.rename(&moves)?,
            Record::Opening { address, type_name, epoch, intent } => {
                let broken = self.scopes.remove(&address).map(|scope| scope.broken);
                let scope = Scope {
                    broken: broken.unwrap_or_default(),
                    type_name,
                    epoch,
                    intent: *intent,
                    status: ScopeStatus::Open,
                    close_failed: None,
                    complete: false,
                };
                self.scopes.insert(address, scope);
            }
            Record::NotOpened { address, .. } => {
                self.scopes.get(&address).ok_or_else(|| illegal("not_opened", &address))?;
            }
            Record::Released { address, at, complete } => {
                let scope = self.scopes.get_mut(&address);
                let scope = scope.ok_or_else(|| illegal("released", &address))?;
                scope.status = ScopeStatus::Released { at, complete };
                if !complete {
                    scope.broken.insert(scope.epoch, at);
                }
                scope.close_failed = None;
            }
            Record::Held { address, complete } => {
                let scope = self.scopes.get_mut(&address);
                let scope = scope.ok_or_else(|| illegal("held", &address))?;
                (scope.status, scope.complete) = (ScopeStatus::Held, complete);
            }
            Record::CloseFailed { address, message } => {
                let scope = self.scopes.get_mut(&address);
                scope.ok_or_else(|| illegal("close_failed", &address))?.close_failed =
                    Some(message);
            }
        }
        Ok(())
    }

    /// Whether an act on `address` was begun and may still be going on, as far as is known here.
    pub fn may_be_running(&self, address: &Address) -> bool {
        self.operations
            .get(address)
            .is_some_and(|operation| !matches!(operation.outcome, Outcome::Failed { .. }))
    }

    /// What `address` was begun with: an act that has not succeeded, or a scope that is open.
    pub fn begun(&self, address: &Address) -> Option<&Intent> {
        let operation = self.operations.get(address).map(|operation| &operation.intent);
        let open = || self.scopes.get(address).filter(|scope| scope.is_open());
        operation.or_else(|| open().map(|scope| &scope.intent))
    }

    /// What is remembered of the resources of a type that `address` depends on, directly or not.
    pub fn recall(
        &self,
        graph: &Graph,
        address: &Address,
        type_name: &str,
    ) -> Vec<(Address, Remembered)> {
        let entries = graph.ancestors(address).into_iter().filter_map(|ancestor| {
            let entry = self.resources.get(&ancestor)?;
            Some((ancestor, entry))
        });
        entries
            .filter(|(_, entry)| entry.type_name == type_name)
            .map(|(ancestor, entry)| (ancestor, entry.remembered.clone()))
            .collect()
    }

    /// Scopes that are open, held ones included, by address.
    pub fn open_scopes(&self) -> impl Iterator<Item = (&Address, &Scope)> {
        self.scopes.iter().filter(|(_, scope)| scope.is_open())
    }
}

impl PartialEq for Remembered {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.inputs, &self.attrs, &self.memory)
            == (&other.id, &other.inputs, &other.attrs, &other.memory)
    }
}

impl PartialEq for Intent {
    fn eq(&self, other: &Self) -> bool {
        (self.verb, &self.inputs, self.at, &self.notes, &self.before)
            == (other.verb, &other.inputs, other.at, &other.notes, &other.before)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

fn merge(into: &mut Json, note: Json) {
    match (into, note) {
        (Json::Object(map), Json::Object(news)) => map.extend(news),
        (into, note) => *into = note,
    }
}
