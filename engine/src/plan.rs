//! What would change, as one immutable value: shown, checked, and run as it is.
//!
//! [`draft`] is a pure function of spec, state and what is known of reality. Where it would need to know more, it
//! asks ([`Question`]); [`crate::refresh`] answers and drafts again, until nothing is left to ask.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::address::Address;
use crate::finding::{Finding, Severity};
use crate::info::{Kind, OnRemove};
use crate::state::{Entry, in_tree};
use crate::tree::Tree;

pub mod check;
pub mod compare;
pub mod destroy;
pub mod draft;
mod drift;
pub(crate) mod moves;
mod outputs;
pub mod question;
pub mod retire;
pub mod steps;
mod times;
pub mod values;

pub use draft::{Draft, Input, Options, Refresh, draft};
pub use drift::Drift;
pub use outputs::OutputChange;
pub use question::{Answer, Ask, Question, Reality};
pub use times::Expected;

/// A plan, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The spec's `name` and `run`.
    pub name: String,
    pub run: String,
    /// The state it was made against.
    pub lineage: String,
    pub serial: u64,
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Whether it was made to tear down.
    pub destroy: bool,
    /// Whether it was made to look and to take down what was seen, and to do nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refresh_only: bool,
    /// Resources of the spec that `--target` and `--exclude` leave out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<Address>,
    /// Every resource of the spec, and of the state what left the spec.
    pub changes: BTreeMap<Address, Change>,
    /// Resources that went by another address so far: the present address, then the former one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved: BTreeMap<Address, Address>,
    /// What the state is to know of resources that are otherwise left alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keeping: BTreeMap<Address, Keeping>,
    /// Staging that is removed once it has served, and the runs that it waits for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removals: BTreeMap<Address, Vec<Address>>,
    /// What was changed in reality since the state last heard of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<Address, Drift>,
    /// Outputs of the spec that will have another value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, OutputChange>,
    /// Scopes that will be opened, taken over or closed.
    pub scopes: BTreeMap<Address, ScopeChange>,
    /// How long runs are expected to take, and windows to be open. A run of which nothing is known has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expected: BTreeMap<Address, Expected>,
    pub findings: Vec<Located>,
    /// What apply does, and what each part waits for.
    pub steps: Vec<Step>,
}

/// One resource's part of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    pub address: Address,
    pub type_name: String,
    pub kind: Kind,
    pub action: Action,
    /// Why, each a clause: "absent in reality", "`run` is now `night-2`".
    pub reasons: Vec<String>,
    /// What differs; of what is made or run, all that is written or follows from it.
    pub fields: Vec<FieldChange>,
    /// How many more fields were compared and are the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unchanged: usize,
    /// Of an import: the provider's own id of what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Facts that change nothing: "`version` is used only when creating".
    pub notes: Vec<String>,
    /// A run that goes on elsewhere is followed, not begun again.
    #[serde(default)]
    pub takes_up: bool,
}

/// What the spec says about the end of a resource; remembered, because the spec cannot say it once the block is gone.
/// And what the references in `replace_when` are, so that a change is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keeping {
    pub on_remove: OnRemove,
    pub prevent_destroy: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replace_when: BTreeMap<String, Json>,
}

impl Keeping {
    /// What `entry` keeps so far.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            on_remove: entry.on_remove,
            prevent_destroy: entry.prevent_destroy,
            replace_when: entry.replace_when().clone(),
        }
    }

    /// `entry`, with this kept of it.
    pub(crate) fn put_into(&self, mut entry: Entry) -> Entry {
        (entry.on_remove, entry.prevent_destroy) = (self.on_remove, self.prevent_destroy);
        let replace_when = self.replace_when.clone();
        match &mut entry.done {
            Some(done) => done.replace_when = replace_when,
            None => entry.replace_when = replace_when,
        }
        entry
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What happens to a resource.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    NoOp,
    Create,
    /// It exists already and is taken into the state as it is, or changed.
    Import,
    Update,
    /// Deleted, then created; only on request.
    Replace,
    Delete,
    /// Leaves the state, stays in reality.
    Forget,
    /// A lookup that can only be read during apply.
    Read,
    /// A run is done, or done again.
    Run,
    /// A run that was cut short has finished elsewhere; only the state learns of it.
    Settle,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    pub name: String,
    /// `None`: not there before.
    #[schemars(with = "Option<Json>")]
    pub before: Option<Tree>,
    /// `None` and not `unknown`: not there afterwards.
    #[schemars(with = "Option<Json>")]
    pub after: Option<Tree>,
    /// Known after apply.
    #[serde(default)]
    pub unknown: bool,
    #[serde(default)]
    pub sensitive: bool,
    /// Whether it is what forces a replacement.
    #[serde(default)]
    pub forces: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What happens to a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeChange {
    pub type_name: String,
    pub what: ScopeAction,
    /// The epoch that it begins or continues.
    pub epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScopeAction {
    /// Opened before its first dependent with work, closed after its last.
    OpenAndClose,
    /// Found open; taken over, then closed as usual.
    TakeOver,
    /// Found open with nothing left to do under it.
    Close,
    /// Found open with everything under it done, and `on_success` is `hold`: it stays open on purpose.
    Hold,
}

impl ScopeAction {
    /// Whether it is opened, or taken over as open, for something that is done under it.
    pub fn opens(self) -> bool {
        matches!(self, Self::OpenAndClose | Self::TakeOver)
    }
}

/// A finding and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Located {
    pub address: Address,
    #[serde(flatten)]
    pub finding: Finding,
}

/// One node of the walk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub address: Address,
    pub what: StepKind,
    /// Indexes of steps that come first; this one is skipped if one of them did not succeed, unless it is a close.
    pub after: Vec<usize>,
    /// Of an opening: it waits until one of these groups has succeeded as a whole. Empty: for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<Vec<usize>>,
}

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// No effect; keeps the order through a resource that has nothing to do.
    Pass,
    /// Checks that need what exists only now, before any window opens.
    Gate,
    /// Create, update, import, run, read, settle: the change's action.
    Act,
    Open,
    Close,
    Delete,
    Forget,
    /// Staging that has served goes.
    Remove,
}

impl Plan {
    /// Whether apply would do anything at all.
    pub fn has_changes(&self) -> bool {
        !self.scopes.is_empty()
            || !self.moved.is_empty()
            || (self.refresh_only && !self.drift.is_empty())
            || !self.keeping.is_empty()
            || !self.removals.is_empty()
            || self.changes.values().any(|change| change.action.is_work())
    }

    /// Findings that stop it.
    pub fn errors(&self) -> impl Iterator<Item = &Located> {
        self.findings.iter().filter(|located| located.finding.severity == Severity::Error)
    }

    /// The first field of what has work that would give a secret away once it is stored.
    pub fn gives_away(&self) -> Option<(&Address, String)> {
        let works = self.changes.values().filter(|change| change.action.is_work());
        let mut fields = works.flat_map(|c| c.fields.iter().map(move |field| (&c.address, field)));
        fields.find_map(|(address, field)| {
            let (path, _) = in_tree(&field.name, field.after.as_ref()?)?;
            Some((address, path))
        })
    }

    /// Resources to add, change, destroy, import, in Terraform's sense: managed and run resources are counted.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { destroy: self.removals.len(), ..Counts::default() };
        for change in self.changes.values() {
            match change.action {
                Action::Create | Action::Run => counts.add += 1,
                Action::Update => counts.change += 1,
                Action::Delete => counts.destroy += 1,
                Action::Replace => {
                    counts.add += 1;
                    counts.destroy += 1;
                }
                Action::Import => {
                    counts.import += 1;
                    counts.change += usize::from(!change.fields.is_empty());
                }
                Action::Settle | Action::NoOp | Action::Read | Action::Forget => {}
            }
        }
        counts
    }
}

/// The numbers of a summary line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    pub import: usize,
    pub add: usize,
    pub change: usize,
    pub destroy: usize,
}

impl Action {
    /// Whether apply has something to do or to write down for it.
    pub fn is_work(self) -> bool {
        !matches!(self, Self::NoOp | Self::Read)
    }

    /// Whether the thing will be another one, or filled anew, so that what depends on it cannot know it yet.
    pub fn makes_new(self) -> bool {
        matches!(self, Self::Create | Self::Replace | Self::Run)
    }
}
