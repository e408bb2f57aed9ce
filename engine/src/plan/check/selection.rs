//! Nothing is touched that `--target` and `--exclude` leave out.

use std::collections::{HashMap, HashSet};

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
        // Whoever is destroyed takes along what stands on it; the other way round, nothing can do without its ground.
        let (wanted, without) = if self.plan.destroy {
            let above = self.dependents_to_destroy();
            let mut below: HashMap<&Address, Vec<&Address>> = HashMap::new();
            for (first, others) in &above {
                others.iter().for_each(|other| below.entry(other).or_default().push(first));
            }
            let next = |edges: &HashMap<&Address, Vec<&'a Address>>, address| {
                edges.get(address).cloned().unwrap_or_default().into_iter()
            };
            let wanted = all(targets.iter(), |address| next(&above, address));
            (wanted, all(excludes.iter(), |address| next(&below, address)))
        } else {
            let wanted = all(targets.iter(), |address| graph.direct_dependencies(address));
            (wanted, all(excludes.iter(), |address| graph.direct_dependents(address)))
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

    /// Who depends on whom, as the state and as the spec has it.
    fn dependents_to_destroy(&self) -> HashMap<&'a Address, Vec<&'a Address>> {
        let mut above: HashMap<&Address, Vec<&Address>> = HashMap::new();
        for (address, entry) in &self.input.state.resources {
            entry.dependencies.iter().for_each(|dep| above.entry(dep).or_default().push(address));
        }
        for (address, others) in &self.input.graph.dependents {
            above.entry(address).or_default().extend(others);
        }
        above
    }
}

/// `from` and all that is reached from there.
fn all<'g, I: Iterator<Item = &'g Address>>(
    from: impl Iterator<Item = &'g Address>,
    edges: impl Fn(&'g Address) -> I,
) -> HashSet<&'g Address> {
    let mut next: Vec<&Address> = from.collect();
    let mut seen: HashSet<&Address> = next.iter().copied().collect();
    while let Some(address) = next.pop() {
        next.extend(edges(address).filter(|other| seen.insert(other)));
    }
    seen
}
