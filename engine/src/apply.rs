//! Makes a plan true: walks its steps, records around every effect, and tells what was done and what was not.
//!
//! Decides nothing: order, actions and scopes are the plan's. A failure skips what waits for it and nothing else;
//! closings always happen, unless something that still runs elsewhere needs the scope.

use std::sync::Arc;

use crate::address::Address;
use crate::cx::World;
use crate::graph::Graph;
use crate::info::Catalog;
use crate::plan::{Action, Counts, Plan, Reality};
use crate::refresh::Resources;
use crate::spec::Spec;
use crate::state::StateError;
use crate::state::journal::Journal;
use crate::tree::Handles;

mod act;
mod closing;
mod found;
mod prove;
mod retire;
mod retries;
mod walk;

pub(crate) use act::without_secrets;
pub use closing::{Released, left_open, release};
pub use prove::{proofs, prove};
pub use retire::retire;

/// Everything an apply works with.
pub struct Applying {
    pub spec: Arc<Spec>,
    pub graph: Arc<Graph>,
    pub catalog: Arc<Catalog>,
    pub plan: Plan,
    /// What was found when planning: lookups, imports, expansions, settled runs.
    pub reality: Reality,
    /// What each resource is so far, secrets included.
    pub handles: Handles,
    pub resources: Resources,
    pub world: World,
    pub journal: Journal,
    /// How many steps run at once.
    pub parallelism: usize,
    /// `--confirm ADDRESS=NAME`.
    pub confirmed: Vec<(String, String)>,
}

/// What became of an apply.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done, in the order it ended.
    pub done: Vec<(Address, Action)>,
    /// Original causes, never their consequences.
    pub failed: Vec<Failure>,
    /// What was not attempted.
    pub skipped: Vec<Address>,
    /// Scopes that stay open, and the reason.
    pub held: Vec<(Address, String)>,
    /// The user asked to stop.
    pub interrupted: bool,
    pub counts: Counts,
    /// What the outputs refer to, as it is now, secrets included.
    pub handles: Handles,
}

/// One original cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub address: Address,
    /// The whole chain, secrets blanked out.
    pub message: String,
    pub help: Option<String>,
    /// It may still have happened, or goes on elsewhere.
    pub unknown: bool,
}

impl Outcome {
    /// Whether everything that was planned is verified done.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && self.skipped.is_empty() && !self.interrupted
    }
}

/// Applies a plan and saves the state.
///
/// # Errors
/// The journal or the state cannot be written, or another run has the lock by now: what runs is then dropped where it
/// is. What was done so far is in the journal and is folded by the next run. Failures of resources are no errors here;
/// they are in the [`Outcome`].
pub async fn apply(applying: Applying) -> Result<Outcome, StateError> {
    let journal = applying.journal.clone();
    let outcome = tokio::select! {
        biased;
        outcome = walk::walk(applying) => outcome?,
        cause = journal.lost() => return Err(cause),
    };
    journal.finish()?;
    Ok(outcome)
}
