//! Whether and how a scope is closed, in an apply and by `release`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::act::limit::Limit;
use super::retries::Retries;
use super::walk::{Status, Walk};
use super::{Applying, Failure, Outcome};
use crate::address::Address;
use crate::complete::{all_done, under};
use crate::cx::{Cx, World};
use crate::event::Event;
use crate::fault::Fault;
use crate::graph::Graph;
use crate::handles::rereading;
use crate::info::Catalog;
use crate::plan::{ScopeAction, StepKind};
use crate::refresh::Resources;
use crate::resource::AnyResource;
use crate::spec::Spec;
use crate::state::StateError;
use crate::state::journal::{Durability, Journal, WithoutNotes};
use crate::state::{Outcome as Unsettled, Record, Scope, State};
use crate::tree::Tree;

pub(super) enum Stop {
    Fault(Fault),
    Journal(StateError),
}

impl Walk {
    /// Whether everything that the spec puts under `scope`, direct or not, is done: in this apply, or before. What was
    /// left out on purpose is not done.
    pub(super) fn everything_under_is_done(&self, scope: &Address) -> bool {
        let Applying { spec, graph, catalog, journal, .. } = &*self.applying;
        let below = journal.with_state(|state| under(scope, graph, state));
        // What only was not removed after use has served all the same.
        let counts =
            |address: &Address| below.contains(address) && !self.unremoved.contains(address);
        let failed = self.outcome.failed.iter().any(|failure| counts(&failure.address));
        let skipped = self.outcome.skipped.iter().any(counts);
        !failed && !skipped && journal.with_state(|state| all_done(&below, spec, catalog, state))
    }

    /// Whether the scope of closing step `index` is to be closed now. If not, says why and writes it down.
    pub(super) fn must_close(&mut self, index: usize) -> Result<bool, StateError> {
        let address = self.applying.plan.steps[index].address.clone();
        let scope = self.applying.journal.with_state(|state| state.scopes.get(&address).cloned());
        let Some(scope) = scope.filter(Scope::is_open) else { return Ok(false) };
        let planned = self.applying.plan.scopes.get(&address).map(|change| change.what);
        // A key is of use only to those that it is handed to.
        let epochs = self.applying.catalog.get(&scope.type_name).is_none_or(|i| i.traits.epoch);
        let below = if epochs {
            self.applying.graph.descendants(&address)
        } else {
            self.applying.graph.direct_dependents(&address).cloned().collect()
        };
        if let Some(running) = self.elsewhere.iter().find(|running| below.contains(*running)) {
            let why = format!("`{running}` may still be running elsewhere and needs it");
            let what = self.applying.journal.with_state(|state| {
                let outcome = state.operations.get(running).map(|operation| &operation.outcome);
                match outcome {
                    Some(Unsettled::Unknown { message }) => message.clone(),
                    _ => "its outcome is not known".to_owned(),
                }
            });
            self.applying.world.sink.event(Event::Holding {
                address: address.clone(),
                running: running.clone(),
                what,
            });
            self.outcome.held.push((address, why));
            return Ok(false);
        }
        if planned == Some(ScopeAction::Close) {
            return Ok(true);
        }
        if planned == Some(ScopeAction::TakeOver) && self.is_untouched(&address, &below) {
            let why =
                "nothing under it was tried; the next apply goes on, `pgferry release` closes it";
            self.outcome.held.push((address, why.to_owned()));
            return Ok(false);
        }
        let complete = self.everything_under_is_done(&address);
        let policy = if complete { "on_success" } else { "on_failure" };
        let said = scope.intent.inputs.get(policy).and_then(Tree::as_text);
        if said == Some("hold") || planned == Some(ScopeAction::Hold) {
            self.applying
                .journal
                .append(&Record::Held { address: address.clone(), complete }, Durability::Synced)?;
            let why = format!("`{policy}` is `hold`; `pgferry release` closes it");
            self.outcome.held.push((address, why));
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether a scope that was found open was not taken over, and nothing under it was given up either.
    fn is_untouched(&self, scope: &Address, below: &BTreeSet<Address>) -> bool {
        let mut steps = self.applying.plan.steps.iter().zip(&self.status);
        let taken_over = steps.any(|(step, status)| {
            step.address == *scope && step.what == StepKind::Open && *status == Status::Succeeded
        });
        let given_up = self.outcome.failed.iter().any(|failure| below.contains(&failure.address));
        !taken_over && !given_up && !self.applying.world.cancel.is_cancelled()
    }
}

/// Closes one scope and writes it down. Not stopped by Ctrl-C: a window left open helps nobody.
pub(super) async fn close(
    applying: &Applying,
    cx: &Cx,
    resource: &dyn AnyResource,
    scope: &Scope,
    complete: bool,
) -> Result<(), Stop> {
    let limit = Limit::of(&applying.spec, &cx.address, "delete");
    let (closed, recorded) =
        close_one(&applying.journal, cx, resource, scope, complete, limit).await;
    recorded.map_err(Stop::Journal)?;
    closed.map_err(Stop::Fault)
}

/// Whether it is closed, and whether that, or why not, could be written down.
async fn close_one(
    journal: &Journal,
    cx: &Cx,
    resource: &dyn AnyResource,
    scope: &Scope,
    complete: bool,
    limit: Limit,
) -> (Result<(), Fault>, Result<(), StateError>) {
    // Nothing is written down before it: whoever has the lock by now may have opened it anew.
    if let Err(cause) = journal.confirm() {
        return (Err(Fault::failed(cause.to_string())), Err(cause));
    }
    let mut cx = cx.clone();
    cx.world.cancel = tokio_util::sync::CancellationToken::new();
    let address = cx.address.clone();
    cx.world.sink.event(Event::Started { address: address.clone(), verb: cx.verb, id: None });
    let result = limit.hold(&cx, try_close(&cx, resource, scope)).await;
    let elapsed = cx.elapsed();
    match result {
        Ok(()) => {
            let released = Record::Released { address: address.clone(), at: cx.now(), complete };
            let recorded = journal.append(&released, Durability::Synced);
            cx.world.sink.event(Event::Succeeded { address, verb: cx.verb, elapsed, id: None });
            (Ok(()), recorded)
        }
        Err(fault) => {
            let message = fault.chain();
            let record = Record::CloseFailed { address: address.clone(), message: message.clone() };
            let recorded = journal.append(&record, Durability::Synced);
            let help = Some("`pgferry release` tries again".to_owned());
            cx.world.sink.event(Event::Failed {
                address,
                verb: cx.verb,
                elapsed,
                message,
                help: help.clone(),
            });
            (Err(Fault { help, ..fault }), recorded)
        }
    }
}

async fn try_close(cx: &Cx, resource: &dyn AnyResource, scope: &Scope) -> Result<(), Fault> {
    let mut retries = Retries::default();
    while let Err(fault) = resource.close(cx, &scope.intent).await {
        retries.again(cx, fault).await?;
    }
    Ok(())
}

/// What is open and how it is closed, by address: for who can write nothing down any more.
pub fn left_open(state: &State, resources: &Resources) -> Vec<(Address, String)> {
    let how = |scope: &Scope| {
        let by_hand = resources.get(&scope.type_name).and_then(|it| it.by_hand(&scope.intent));
        match by_hand {
            Some(by_hand) => format!("`pgferry release` closes it; by hand: {by_hand}"),
            None => "`pgferry release` closes it".to_owned(),
        }
    };
    state.open_scopes().map(|(address, scope)| (address.clone(), how(scope))).collect()
}

/// What a release came to.
#[derive(Debug)]
pub struct Released {
    /// What was closed, and what could not be.
    pub outcome: Outcome,
    /// Whether that is remembered.
    pub recorded: Result<(), StateError>,
}

/// Closes every open scope, without a plan: the notes hold all that is needed, but for what no file may hold, which
/// is read anew.
///
/// Scopes are closed in reverse address order. What was done under them in this epoch counts as incomplete, unless it
/// was held after all of it had succeeded, or all that the spec puts there is done. A scope is closed also where that
/// cannot be written down.
///
/// # Errors
/// Another run has the lock by now; nothing more was closed. A scope that cannot be closed is in the outcome.
pub async fn release(
    spec: &Arc<Spec>,
    graph: &Arc<Graph>,
    catalog: &Arc<Catalog>,
    resources: &Resources,
    world: &World,
    journal: Journal,
) -> Result<Released, StateError> {
    let notes = Arc::new(WithoutNotes(journal.clone()));
    let world = World { notes, ..world.clone() };
    let world = rereading(spec, graph, catalog, resources, &world, &journal);
    let (mut outcome, mut recorded) = (Outcome::default(), Ok(()));
    let state = journal.state();
    let open: Vec<_> = state.open_scopes().map(|(a, s)| (a.clone(), s.clone())).collect();
    for (address, scope) in open.into_iter().rev() {
        let cx = Cx::new(world.clone(), address.clone(), "closing");
        let failed = |message: String, help: Option<String>| Failure {
            address: address.clone(),
            message,
            help,
            unknown: false,
        };
        let known = catalog.get(&scope.type_name).is_some();
        let Some(resource) = resources.get(&scope.type_name).filter(|_| known) else {
            let message = format!("no provider is connected for `{}`", scope.type_name);
            outcome.failed.push(failed(message, None));
            continue;
        };
        let limit = Limit::of(spec, &address, "delete");
        let complete =
            scope.complete || all_done(&under(&address, graph, &state), spec, catalog, &state);
        let (closed, kept) =
            close_one(&journal, &cx, resource.as_ref(), &scope, complete, limit).await;
        match closed {
            Ok(()) => outcome.done.push((address, crate::plan::Action::Delete)),
            Err(fault) => outcome.failed.push(failed(fault.chain(), fault.help)),
        }
        match kept {
            Err(cause) if cause.is_of_another() => return Err(cause),
            kept => recorded = recorded.and(kept),
        }
    }
    let recorded = recorded.and_then(|()| journal.finish());
    Ok(Released { outcome, recorded })
}
