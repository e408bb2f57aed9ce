//! The walk: what is ready starts, in address order; what waits for a failure is skipped.
//!
//! It also settles what a plan's order leaves open: of scopes that would wait for each other, the first opens. Tested
//! with random specs in `tests/convergence.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::act::{Ended, Surroundings, act};
use super::{Applying, Failure, Outcome, found};
use crate::address::Address;
use crate::handles::rereading;
use crate::plan::{Action, Change, StepKind};
use crate::state::StateError;
use crate::state::journal::Journal;
use crate::template::Template;
use crate::tree::{Handle, Handles};

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Waiting,
    Running,
    Succeeded,
    Failed,
    Skipped,
}

pub(super) struct Walk {
    pub(super) applying: Arc<Applying>,
    /// What steps to come and the outputs refer to.
    handles: Handles,
    /// How many of them refer to each.
    uses: BTreeMap<Address, usize>,
    /// What is planned and not begun yet.
    changes: BTreeMap<Address, Change>,
    /// Imports that also change something.
    changing: BTreeSet<Address>,
    pub(super) status: Vec<Status>,
    /// Operations that go on elsewhere or whose outcome is not known.
    pub(super) elsewhere: BTreeSet<Address>,
    pub(super) outcome: Outcome,
    /// Done, and still there against the plan.
    pub(super) unremoved: BTreeSet<Address>,
    /// Every window and freeze of the spec, with all that is under it.
    windows: Vec<(Address, BTreeSet<Address>)>,
    /// How many of its `after` are not over yet, per step.
    waits: Vec<usize>,
    next: Vec<Vec<usize>>,
    ready: BTreeSet<(Address, usize)>,
    /// Openings whose `after` is done and that wait for one of their groups.
    lingering: BTreeSet<usize>,
}

pub(super) async fn walk(mut applying: Applying) -> Result<Outcome, StateError> {
    found::write_down(&applying)?;
    let journal = applying.journal.clone();
    applying.world.notes = Arc::new(journal.clone());
    applying.world.remembered = recall(&applying);
    let intents = journal.clone();
    applying.world.intent =
        Arc::new(move |address| intents.with_state(|state| state.begun(address).cloned()));
    let Applying { spec, graph, catalog, resources, world, .. } = &applying;
    applying.world = rereading(spec, graph, catalog, resources, world, &journal);
    let steps = &applying.plan.steps;
    let mut next = vec![Vec::new(); steps.len()];
    for (index, step) in steps.iter().enumerate() {
        for first in &step.after {
            next[*first].push(index);
        }
    }
    let waits: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
    let windows = windows(&applying);
    let elsewhere = elsewhere(&applying);
    let mut walk = Walk {
        windows,
        handles: std::mem::take(&mut applying.handles),
        uses: uses(&applying),
        changes: std::mem::take(&mut applying.plan.changes),
        changing: BTreeSet::new(),
        status: vec![Status::Waiting; steps.len()],
        elsewhere,
        outcome: Outcome::default(),
        unremoved: BTreeSet::new(),
        ready: BTreeSet::new(),
        lingering: BTreeSet::new(),
        next,
        waits,
        applying: Arc::new(applying),
    };
    for index in 0..walk.status.len() {
        if walk.waits[index] == 0 {
            walk.unblocked(index);
        }
    }
    walk.run().await?;
    let Walk { mut outcome, handles, applying, .. } = walk;
    // A Ctrl-C that came when there was nothing left to stop interrupted nothing.
    outcome.interrupted = applying.world.cancel.is_cancelled() && !outcome.is_success();
    outcome.handles = handles;
    outcome.skipped.sort();
    outcome.skipped.dedup();
    Ok(outcome)
}

impl Walk {
    async fn run(&mut self) -> Result<(), StateError> {
        let mut running: JoinSet<(usize, Ended)> = JoinSet::new();
        loop {
            self.linger();
            while running.len() < self.applying.parallelism {
                let Some((_, index)) = self.ready.pop_first() else { break };
                self.start(index, &mut running)?;
            }
            if let Some(ended) = running.join_next().await {
                let (index, ended) = ended.unwrap_or_else(|panic| {
                    std::panic::resume_unwind(panic.into_panic());
                });
                self.ended(index, ended)?;
            } else if self.ready.is_empty() {
                // What was just started and over at once may have made an opening ready.
                self.linger();
                if self.ready.is_empty() {
                    // Openings that only wait for each other: the first goes ahead.
                    let Some(index) = self.lingering.pop_first() else { return Ok(()) };
                    let address = self.applying.plan.steps[index].address.clone();
                    self.ready.insert((address, index));
                }
            }
        }
    }

    fn start(
        &mut self,
        index: usize,
        running: &mut JoinSet<(usize, Ended)>,
    ) -> Result<(), StateError> {
        let applying = Arc::clone(&self.applying);
        let step = &applying.plan.steps[index];
        let own = matches!(step.what, StepKind::Act | StepKind::Delete | StepKind::Forget);
        let change = if own { self.changes.remove(&step.address) } else { None };
        let closing = matches!(step.what, StepKind::Close);
        let blocked = step.after.iter().any(|first| self.status[*first] != Status::Succeeded);
        if !closing && (blocked || self.applying.world.cancel.is_cancelled()) {
            // Where what it served has failed, nobody expects staging to go.
            if own || (step.what == StepKind::Remove && !blocked) {
                self.outcome.skipped.push(step.address.clone());
            }
            if step.what == StepKind::Remove {
                self.unremoved.insert(step.address.clone());
            }
            self.over(index, Status::Skipped);
            return Ok(());
        }
        match step.what {
            StepKind::Pass => self.over(index, Status::Succeeded),
            StepKind::Close if !self.must_close(index)? => self.over(index, Status::Succeeded),
            _ => {
                self.status[index] = Status::Running;
                let import = change.as_ref().filter(|change| change.action == Action::Import);
                if import.is_some_and(|change| !change.fields.is_empty()) {
                    self.changing.insert(step.address.clone());
                }
                let task = act(Arc::clone(&applying), index, self.surroundings(index, change));
                running.spawn(async move { (index, task.await) });
            }
        }
        Ok(())
    }

    /// The handles that a step can refer to.
    fn surroundings(&self, index: usize, change: Option<Change>) -> Surroundings {
        let address = &self.applying.plan.steps[index].address;
        let dependencies = self.applying.graph.dependencies.get(address).into_iter().flatten();
        let handles = dependencies
            .filter_map(|dep| Some((dep.clone(), self.handles.get(dep)?.clone())))
            .collect();
        Surroundings {
            change,
            handles,
            own: self.handles.get(address).cloned(),
            windows: self
                .windows
                .iter()
                .filter(|(_, below)| below.contains(address))
                .map(|(window, _)| window.clone())
                .collect(),
            complete: self.applying.plan.steps[index].what == StepKind::Close
                && self.everything_under_is_done(address),
        }
    }

    fn ended(&mut self, index: usize, ended: Ended) -> Result<(), StateError> {
        let step = &self.applying.plan.steps[index];
        let (address, what) = (step.address.clone(), step.what);
        match ended {
            Ended::Done { handle, action } => {
                self.remember(handle);
                if what == StepKind::Act {
                    self.elsewhere.remove(&address);
                }
                if let Some(action) = action {
                    self.count(&address, action);
                    self.outcome.done.push((address, action));
                }
                self.over(index, Status::Succeeded);
            }
            Ended::Failed { failure, elsewhere, handle } => {
                self.remember(handle);
                let journal = &self.applying.journal;
                if what == StepKind::Remove {
                    self.unremoved.insert(address);
                } else if elsewhere {
                    self.elsewhere.insert(address);
                } else if what == StepKind::Act
                    && !journal.with_state(|state| state.may_be_running(&address))
                {
                    self.elsewhere.remove(&address);
                }
                self.outcome.failed.push(failure);
                self.over(index, Status::Failed);
            }
            Ended::Journal(cause) => return Err(cause),
        }
        Ok(())
    }

    /// Keeps what a resource is now, if anything to come refers to it.
    fn remember(&mut self, handle: Option<Handle>) {
        if let Some(handle) = handle.filter(|handle| self.uses.contains_key(&handle.address)) {
            self.handles.insert(handle.address.clone(), Arc::new(handle));
        }
    }

    /// One reference less to each of the dependencies of `address`.
    fn used(&mut self, address: &Address) {
        for dependency in self.applying.graph.direct_dependencies(address) {
            if let Some(left) = self.uses.get_mut(dependency) {
                *left -= 1;
                if *left == 0 {
                    self.uses.remove(dependency);
                    self.handles.remove(dependency);
                }
            }
        }
    }

    fn count(&mut self, address: &Address, action: Action) {
        let counts = &mut self.outcome.counts;
        match action {
            Action::Create | Action::Run => counts.add += 1,
            Action::Update => counts.change += 1,
            Action::Delete => counts.destroy += 1,
            Action::Replace => {
                counts.add += 1;
                counts.destroy += 1;
            }
            Action::Import => {
                counts.import += 1;
                counts.change += usize::from(self.changing.contains(address));
            }
            Action::Settle | Action::NoOp | Action::Read | Action::Forget => {}
        }
    }

    /// A step is over; those that waited for it alone are unblocked.
    fn over(&mut self, index: usize, status: Status) {
        self.status[index] = status;
        let applying = Arc::clone(&self.applying);
        self.used(&applying.plan.steps[index].address);
        for later in std::mem::take(&mut self.next[index]) {
            self.waits[later] -= 1;
            if self.waits[later] == 0 {
                self.unblocked(later);
            }
        }
    }

    fn unblocked(&mut self, index: usize) {
        let step = &self.applying.plan.steps[index];
        if step.what == StepKind::Open && !step.any_of.is_empty() {
            self.lingering.insert(index);
        } else {
            self.ready.insert((step.address.clone(), index));
        }
    }

    /// Openings whose first dependent is otherwise ready become ready too.
    fn linger(&mut self) {
        let mut over = Vec::new();
        for index in &self.lingering {
            let step = &self.applying.plan.steps[*index];
            let group = |wanted: &dyn Fn(Status) -> bool| {
                step.any_of
                    .iter()
                    .any(|group| group.iter().all(|first| wanted(self.status[*first])))
            };
            let hopeless = !group(&|status| !matches!(status, Status::Failed | Status::Skipped));
            let blocked = step.after.iter().any(|first| self.status[*first] != Status::Succeeded);
            if hopeless || blocked || group(&|status| status == Status::Succeeded) {
                over.push((*index, hopeless));
            }
        }
        for (index, hopeless) in over {
            self.lingering.remove(&index);
            if hopeless {
                self.over(index, Status::Skipped);
            } else {
                let address = self.applying.plan.steps[index].address.clone();
                self.ready.insert((address, index));
            }
        }
    }
}

/// How many steps, and outputs, refer to each resource.
fn uses(applying: &Applying) -> BTreeMap<Address, usize> {
    let steps = applying.plan.steps.iter();
    let of_steps = steps.flat_map(|step| applying.graph.direct_dependencies(&step.address));
    let outputs = applying.spec.outputs.values().flat_map(Template::references);
    let mut uses = BTreeMap::new();
    for address in of_steps.chain(outputs.map(|reference| &reference.address)) {
        *uses.entry(address.clone()).or_default() += 1;
    }
    uses
}

/// What goes on elsewhere from before: what this plan takes up, and what it leaves out without having asked. Whoever
/// destroys has no use for its end.
fn elsewhere(applying: &Applying) -> BTreeSet<Address> {
    if applying.plan.destroy {
        return BTreeSet::new();
    }
    let changes = &applying.plan.changes;
    applying.journal.with_state(|state| {
        let running = state.operations.keys().filter(|address| state.may_be_running(address));
        running
            .filter(|address| changes.get(*address).is_none_or(|change| change.takes_up))
            .cloned()
            .collect()
    })
}

fn windows(applying: &Applying) -> Vec<(Address, BTreeSet<Address>)> {
    let blocks = applying.spec.resources.iter();
    let scopes = blocks.filter(|(_, block)| {
        applying.catalog.get(&block.type_name).is_some_and(|info| info.traits.epoch)
    });
    scopes.map(|(scope, _)| (scope.clone(), applying.graph.descendants(scope))).collect()
}

pub(super) fn dependencies(applying: &Applying, address: &Address) -> Vec<Address> {
    applying.graph.dependencies.get(address).into_iter().flatten().cloned().collect()
}

/// What the state remembers of an address's dependencies of one type.
fn recall(applying: &Applying) -> crate::cx::Recall {
    let (journal, graph): (Journal, _) = (applying.journal.clone(), Arc::clone(&applying.graph));
    Arc::new(move |address, type_name| {
        journal.with_state(|state| state.recall(&graph, address, type_name))
    })
}

/// A failure at a step, worded for people.
pub(super) fn failure(address: &Address, fault: &crate::fault::Fault) -> Failure {
    use crate::fault::Class;
    Failure {
        address: address.clone(),
        message: fault.chain(),
        help: fault.help.clone(),
        unknown: matches!(fault.class, Class::Unknown | Class::StillRunning),
    }
}
