//! Whether and how a scope is closed, in an apply and by `release`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::act::limit::Limit;
use super::retries::Retries;
use super::walk::Walk;
use super::{Applying, Failure, Outcome};
use crate::address::Address;
use crate::cx::{Cx, World};
use crate::event::Event;
use crate::fault::Fault;
use crate::graph::Graph;
use crate::handles::rereading;
use crate::info::{Catalog, Kind};
use crate::plan::ScopeAction;
use crate::refresh::Resources;
use crate::resource::AnyResource;
use crate::spec::Spec;
use crate::state::StateError;
use crate::state::journal::{Durability, Journal};
use crate::state::{DoneUnder, Outcome as Unsettled, Record, Scope, State};
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
        let complete = self.everything_under_is_done(&address);
        let policy = if complete { "on_success" } else { "on_failure" };
        let said = scope.intent.inputs.get(policy).and_then(Tree::as_text);
        if said == Some("hold") {
            self.applying
                .journal
                .append(&Record::Held { address: address.clone(), complete }, Durability::Synced)?;
            let why = format!("`{policy}` is `hold`; `pgferry release` closes it");
            self.outcome.held.push((address, why));
            return Ok(false);
        }
        Ok(true)
    }
}

/// What the spec puts under `scope`, and what was done under its present epoch, wherever the spec puts that now.
fn under(scope: &Address, graph: &Graph, state: &State) -> BTreeSet<Address> {
    let mut below = graph.descendants(scope);
    let Some(epoch) = state.scopes.get(scope).map(|scope| scope.epoch) else { return below };
    for (address, entry) in &state.resources {
        let here = entry.done.as_ref().is_some_and(|d| d.epochs.get(scope) == Some(&epoch));
        if here && !below.contains(address) {
            below.extend(graph.descendants(address));
            below.insert(address.clone());
        }
    }
    below
}

/// Whether all that acts among `below` is finished and will stay so: what was left out, of an earlier `run` or of a
/// broken epoch, will be done again.
fn all_done(below: &BTreeSet<Address>, spec: &Spec, catalog: &Catalog, state: &State) -> bool {
    let acts = |address: &Address| {
        let info = spec.resources.get(address).and_then(|block| catalog.get(&block.type_name));
        info.is_some_and(|info| matches!(info.kind, Kind::Managed | Kind::Run))
    };
    let broken = |(scope, epoch): (&Address, &u64)| {
        state.scopes.get(scope).is_some_and(|scope| scope.broken.contains_key(epoch))
    };
    let good = |done: &DoneUnder| done.run == spec.run && !done.epochs.iter().any(broken);
    below.iter().filter(|address| acts(address)).all(|address| {
        let entry = state.resources.get(address);
        entry.is_some_and(|entry| entry.done.as_deref().is_none_or(good))
            && !state.operations.contains_key(address)
    })
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
    close_one(&applying.journal, cx, resource, scope, complete, limit).await
}

async fn close_one(
    journal: &Journal,
    cx: &Cx,
    resource: &dyn AnyResource,
    scope: &Scope,
    complete: bool,
    limit: Limit,
) -> Result<(), Stop> {
    let mut cx = cx.clone();
    cx.world.cancel = tokio_util::sync::CancellationToken::new();
    let address = cx.address.clone();
    cx.world.sink.event(Event::Started { address: address.clone(), verb: cx.verb, id: None });
    let result = limit.hold(&cx, try_close(&cx, resource, scope)).await;
    let elapsed = cx.elapsed();
    match result {
        Ok(()) => {
            let released = Record::Released { address: address.clone(), at: cx.now(), complete };
            journal.append(&released, Durability::Synced).map_err(Stop::Journal)?;
            cx.world.sink.event(Event::Succeeded { address, verb: cx.verb, elapsed, id: None });
            Ok(())
        }
        Err(fault) => {
            let message = fault.chain();
            let record = Record::CloseFailed { address: address.clone(), message: message.clone() };
            journal.append(&record, Durability::Synced).map_err(Stop::Journal)?;
            let help = Some("`pgferry release` tries again".to_owned());
            cx.world.sink.event(Event::Failed {
                address,
                verb: cx.verb,
                elapsed,
                message,
                help: help.clone(),
            });
            Err(Stop::Fault(Fault { help, ..fault }))
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

/// Closes every open scope, without a plan: the notes hold all that is needed, but for what no file may hold, which
/// is read anew.
///
/// Scopes are closed in reverse address order. What was done under them in this epoch counts as incomplete, unless it
/// was held after all of it had succeeded, or all that the spec puts there is done.
///
/// # Errors
/// The journal or the state cannot be written. A scope that cannot be closed is in the outcome.
pub async fn release(
    spec: &Arc<Spec>,
    graph: &Arc<Graph>,
    catalog: &Arc<Catalog>,
    resources: &Resources,
    world: &World,
    journal: Journal,
) -> Result<Outcome, StateError> {
    let world = rereading(spec, graph, catalog, resources, world, &journal);
    let mut outcome = Outcome::default();
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
        match close_one(&journal, &cx, resource.as_ref(), &scope, complete, limit).await {
            Ok(()) => outcome.done.push((address, crate::plan::Action::Delete)),
            Err(Stop::Journal(cause)) => return Err(cause),
            Err(Stop::Fault(fault)) => {
                outcome.failed.push(failed(fault.chain(), fault.help));
            }
        }
    }
    journal.finish()?;
    Ok(outcome)
}
