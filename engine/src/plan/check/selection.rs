//! Nothing is touched that `--target` and `--exclude` leave out.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Check;
use crate::address::Address;
use crate::plan::{Options, ScopeAction};

impl<'a> Check<'a> {
    pub(super) fn selection(&mut self) {
        let Options { targets, excludes, .. } = self.input.options;
        if targets.is_empty() && excludes.is_empty() {
            return;
        }
        let graph = self.input.graph;
        // A destroy takes dependents along, and leaves what is depended on.
        let (wanted, without) = if self.plan.destroy {
            let state = self.state;
            let mut dependents: FxHashMap<&Address, Vec<&Address>> = FxHashMap::default();
            for (address, entry) in &state.resources {
                for dependency in &entry.dependencies {
                    dependents.entry(dependency).or_default().push(address);
                }
            }
            let remembered = |address: &Address| {
                let entry = state.resources.get(address);
                entry.into_iter().flat_map(|entry| &entry.dependencies)
            };
            let after = |address: &'a Address| {
                let known = dependents.get(address).into_iter().flatten().copied();
                known.chain(graph.direct_dependents(address)).collect::<Vec<_>>().into_iter()
            };
            let before = |address: &'a Address| {
                remembered(address).chain(graph.direct_dependencies(address))
            };
            (all(targets.iter(), after), all(excludes.iter(), before))
        } else {
            let wanted = all(targets.iter(), |address| graph.direct_dependencies(address));
            let without = all(excludes.iter(), |address| graph.direct_dependents(address));
            (wanted, without)
        };
        let left_out = |address: &Address| {
            (!targets.is_empty() && !wanted.contains(address)) || without.contains(address)
        };
        let changes = self.plan.changes.iter().filter(|(_, change)| change.action.is_work());
        let opened =
            self.plan.scopes.iter().filter(|(_, scope)| scope.what == ScopeAction::OpenAndClose);
        let touched = changes.map(|(address, _)| address).chain(opened.map(|(address, _)| address));
        let wrong: Vec<&Address> = touched.filter(|address| left_out(address)).collect();
        for address in wrong {
            self.found.push(format!("`{address}` was left out and has work"));
        }
    }
}

/// `from` and all that is reached from there.
fn all<'g, I: Iterator<Item = &'g Address>>(
    from: impl Iterator<Item = &'g Address>,
    edges: impl Fn(&'g Address) -> I,
) -> FxHashSet<&'g Address> {
    let mut next: Vec<&Address> = from.collect();
    let mut seen: FxHashSet<&Address> = next.iter().copied().collect();
    while let Some(address) = next.pop() {
        next.extend(edges(address).filter(|other| seen.insert(other)));
    }
    seen
}
