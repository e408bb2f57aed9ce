//! Whether everything that a scope was opened for is done.
//!
//! Looks at spec and state alone. Used when a scope is planned, closed and released; tested through all three
//! (`tests/attack/windows.rs`, `tests/crash`).

use std::collections::BTreeSet;

use crate::address::Address;
use crate::graph::Graph;
use crate::info::{Catalog, Kind};
use crate::spec::Spec;
use crate::state::{DoneUnder, State};

/// What the spec puts under `scope`, and what was done under its present epoch, wherever the spec puts that now.
pub(crate) fn under(scope: &Address, graph: &Graph, state: &State) -> BTreeSet<Address> {
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
pub(crate) fn all_done(
    below: &BTreeSet<Address>,
    spec: &Spec,
    catalog: &Catalog,
    state: &State,
) -> bool {
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
