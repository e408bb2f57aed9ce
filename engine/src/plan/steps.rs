//! What apply does, and what each part waits for: the order of a plan as plain data.
//!
//! Apply follows it and decides nothing. Scopes open as late and close as early as their dependents allow; every
//! gate comes before any window.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::{Action, Change, Input, Located, ScopeChange, Step, StepKind};
use crate::address::Address;
use crate::finding::Finding;
use crate::info::Kind;
use crate::state::State;
use crate::tree::Tree;

/// The steps of a plan, in an order in which each comes after all that it waits for.
pub(super) fn steps(
    input: &Input<'_>,
    changes: &BTreeMap<Address, Change>,
    removals: &BTreeMap<Address, Vec<Address>>,
    scopes: &BTreeMap<Address, ScopeChange>,
    deferred: &BTreeSet<Address>,
) -> Vec<Step> {
    let mut builder = Builder {
        input,
        changes,
        scopes,
        steps: Vec::with_capacity(changes.len()),
        main: FxHashMap::default(),
        gates: BTreeMap::new(),
        removals,
        endings: BTreeMap::new(),
    };
    let epochs: BTreeSet<&Address> =
        scopes.keys().filter(|scope| builder.has_epochs(scope)).collect();
    let mut under = BTreeSet::new();
    for scope in &epochs {
        under.extend(input.graph.descendants(scope));
    }
    // Everything that comes before any window, then the gates, the windows, and what is under them.
    let (before, after): (Vec<_>, Vec<_>) = input
        .graph
        .order
        .iter()
        .partition(|address| !under.contains(*address) && !epochs.contains(address));
    for address in &before {
        builder.main_step(address, deferred);
    }
    for change in after.iter().filter_map(|address| changes.get(*address)) {
        builder.gate(change, deferred);
    }
    for address in &after {
        builder.main_step(address, deferred);
    }
    builder.wait_for_gates(&epochs);
    builder.closings();
    builder.departures();
    builder.steps
}

struct Builder<'a> {
    input: &'a Input<'a>,
    changes: &'a BTreeMap<Address, Change>,
    scopes: &'a BTreeMap<Address, ScopeChange>,
    steps: Vec<Step>,
    /// The step others wait for.
    main: FxHashMap<Address, usize>,
    gates: BTreeMap<Address, usize>,
    removals: &'a BTreeMap<Address, Vec<Address>>,
    /// What comes last of each: the closing of a scope, the removal of staging.
    endings: BTreeMap<Address, usize>,
}

impl Builder<'_> {
    fn push(&mut self, address: &Address, what: StepKind, after: Vec<usize>) -> usize {
        self.steps.push(Step { address: address.clone(), what, after, any_of: Vec::new() });
        self.steps.len() - 1
    }

    fn has_epochs(&self, scope: &Address) -> bool {
        self.scopes.get(scope).is_some_and(|change| {
            self.input.catalog.get(&change.type_name).is_some_and(|info| info.traits.epoch)
        })
    }

    fn dependencies(&self, address: &Address) -> impl Iterator<Item = &Address> {
        self.input.graph.dependencies.get(address).into_iter().flatten()
    }

    fn opens(&self, address: &Address) -> bool {
        self.scopes.get(address).is_some_and(|scope| scope.what.opens())
    }

    /// The step that stands for `address`: an act, an opening, or nothing but order.
    fn main_step(&mut self, address: &Address, deferred: &BTreeSet<Address>) {
        let change = self.changes.get(address);
        let mut after: Vec<usize> =
            self.dependencies(address).filter_map(|dep| self.main.get(dep).copied()).collect();
        if self.opens(address) {
            let step = self.push(address, StepKind::Open, after);
            self.main.insert(address.clone(), step);
            return;
        }
        let acts = change.is_some_and(|change| change.action != Action::NoOp);
        if acts {
            let gated = self.gates.get(address).copied();
            let gate = gated.or_else(|| self.gate(change?, deferred));
            after.extend(gate);
            let step = self.push(address, StepKind::Act, after);
            self.main.insert(address.clone(), step);
        } else if !after.is_empty() {
            let step = self.push(address, StepKind::Pass, after);
            self.main.insert(address.clone(), step);
        }
    }

    /// A gate for what acts and could not be judged at plan, and for every run: reality may have moved since.
    fn gate(&mut self, change: &Change, deferred: &BTreeSet<Address>) -> Option<usize> {
        let address = &change.address;
        let asks = change.action == Action::Run
            || (deferred.contains(address)
                && change.kind == Kind::Managed
                && change.action.is_work());
        if !asks {
            return None;
        }
        let after = self
            .dependencies(address)
            .filter(|dep| {
                let kind = self.changes.get(*dep).map(|change| change.kind);
                matches!(kind, Some(Kind::Managed | Kind::Lookup))
            })
            .filter_map(|dep| self.main.get(dep).copied())
            .collect();
        let gate = self.push(address, StepKind::Gate, after);
        self.gates.insert(address.clone(), gate);
        Some(gate)
    }

    /// Openings wait for their first direct dependent to be otherwise ready; windows also for every gate.
    fn wait_for_gates(&mut self, epochs: &BTreeSet<&Address>) {
        let openings: Vec<usize> =
            (0..self.steps.len()).filter(|i| self.steps[*i].what == StepKind::Open).collect();
        for opening in openings {
            let scope = self.steps[opening].address.clone();
            let windows = epochs.contains(&scope);
            let below = self.input.graph.descendants(&scope);
            let mut groups = Vec::new();
            for dependent in self.input.graph.dependents.get(&scope).into_iter().flatten() {
                let works =
                    self.changes.get(dependent).is_some_and(|change| change.action.is_work());
                if !works || self.dependencies(dependent).any(|dep| below.contains(dep)) {
                    continue;
                }
                let group = self
                    .dependencies(dependent)
                    .filter(|dep| **dep != scope)
                    // A key is made before a window opens; nothing else waits for another scope.
                    .filter(|dep| !self.opens(dep) || (windows && !epochs.contains(dep)))
                    .filter_map(|dep| self.main.get(dep).copied())
                    .collect();
                groups.push(group);
            }
            if groups.is_empty() && windows {
                groups = self.first_runs(&scope, &below, epochs);
            }
            self.steps[opening].any_of = groups;
            if windows {
                self.steps[opening].after.extend(self.gates.values());
            }
        }
    }

    /// What the first runs behind a window wait for besides it, where nothing directly under it has work.
    fn first_runs(
        &self,
        scope: &Address,
        below: &BTreeSet<Address>,
        epochs: &BTreeSet<&Address>,
    ) -> Vec<Vec<usize>> {
        let works = |address: &Address| {
            let change = self.changes.get(address);
            change.is_some_and(|c| c.kind == Kind::Run && c.action.is_work())
        };
        let first = below.iter().filter(|address| {
            works(address)
                && !self.dependencies(address).any(|dep| below.contains(dep) && works(dep))
        });
        first
            .map(|run| {
                self.dependencies(run)
                    .filter(|dep| *dep != scope && !below.contains(*dep) && !epochs.contains(dep))
                    .filter_map(|dep| self.main.get(dep).copied())
                    .collect()
            })
            .collect()
    }

    /// Scopes close and staging goes, dependents before what they depend on.
    fn closings(&mut self) {
        let mut left = self.scopes.clone();
        let input = self.input;
        for address in input.graph.order.iter().rev() {
            if let Some(change) = left.remove(address) {
                self.closing(address, &change);
            }
            if self.removals.contains_key(address) {
                self.removal(address);
            }
        }
        for (scope, change) in &left {
            self.closing(scope, change);
        }
    }

    /// Staging goes after all that depends on it, as long as the keys that it needs are there.
    fn removal(&mut self, address: &Address) {
        let mut after: Vec<usize> = self.main.get(address).copied().into_iter().collect();
        after.extend(
            self.dependencies(address)
                .filter(|dep| self.opens(dep))
                .filter_map(|dep| self.main.get(dep).copied()),
        );
        for dependent in self.input.graph.descendants(address) {
            after.extend(self.main.get(&dependent).copied());
            after.extend(self.endings.get(&dependent).copied());
        }
        after.sort_unstable();
        after.dedup();
        let step = self.push(address, StepKind::Remove, after);
        self.endings.insert(address.clone(), step);
    }

    fn closing(&mut self, scope: &Address, change: &ScopeChange) {
        let mut after = Vec::new();
        if !change.what.opens() {
            // What finished elsewhere is taken down first, so that the epoch counts as complete.
            let below = self.input.graph.descendants(scope);
            let settled = below.iter().filter(|dependent| {
                self.changes.get(dependent).is_some_and(|c| c.action == Action::Settle)
            });
            after.extend(settled.filter_map(|dependent| self.main.get(dependent).copied()));
        } else {
            let dependents = if self.has_epochs(scope) {
                self.input.graph.descendants(scope)
            } else {
                self.input.graph.direct_dependents(scope).cloned().collect()
            };
            after.extend(self.main.get(scope).copied());
            after.extend(dependents.iter().filter_map(|dep| self.main.get(dep).copied()));
            // A window is not kept open for a removal.
            if !self.has_epochs(scope) {
                let removed = dependents.iter().filter(|dep| self.removals.contains_key(*dep));
                after.extend(removed.filter_map(|dep| self.endings.get(dep).copied()));
            }
        }
        let step = self.push(scope, StepKind::Close, after);
        self.endings.insert(scope.clone(), step);
    }

    /// What left the spec goes last, dependents before what they depend on.
    fn departures(&mut self) {
        let gone: BTreeSet<Address> = self
            .changes
            .values()
            .filter(|change| matches!(change.action, Action::Delete | Action::Forget))
            .map(|change| change.address.clone())
            .collect();
        if gone.is_empty() {
            return;
        }
        let acts: Vec<usize> =
            (0..self.steps.len()).filter(|i| self.steps[*i].what == StepKind::Act).collect();
        let state = self.input.state;
        let dependents = Dependents::of(state);
        let mut all_acts = None;
        for (address, what) in departures(state, &dependents, &gone, self.changes) {
            let mut after: Vec<usize> = dependents
                .on(&address)
                .filter_map(|dependent| self.main.get(dependent).copied())
                .collect();
            if what == StepKind::Delete {
                // One step that stands for all acts, so that many deletions do not list each of them.
                let passed =
                    all_acts.unwrap_or_else(|| self.push(&address, StepKind::Pass, acts.clone()));
                all_acts = Some(passed);
                after.push(passed);
            }
            let step = self.push(&address, what, after);
            self.main.insert(address, step);
        }
    }
}

/// Who depends directly on whom, as the state remembers it.
pub(super) struct Dependents<'s>(BTreeMap<&'s Address, Vec<&'s Address>>);

impl<'s> Dependents<'s> {
    pub(super) fn of(state: &'s State) -> Self {
        let mut dependents: BTreeMap<&Address, Vec<&Address>> = BTreeMap::new();
        for (address, entry) in &state.resources {
            for dependency in &entry.dependencies {
                dependents.entry(dependency).or_default().push(address);
            }
        }
        Self(dependents)
    }

    /// In address order.
    pub(super) fn on(&self, address: &Address) -> impl Iterator<Item = &'s Address> {
        self.0.get(address).into_iter().flatten().copied()
    }
}

/// `gone` in an order in which dependents come first.
pub(super) fn departures(
    state: &State,
    dependents: &Dependents<'_>,
    gone: &BTreeSet<Address>,
    changes: &BTreeMap<Address, Change>,
) -> Vec<(Address, StepKind)> {
    let mut waiting: BTreeMap<&Address, usize> = gone
        .iter()
        .map(|address| (address, dependents.on(address).filter(|d| gone.contains(*d)).count()))
        .collect();
    let mut ready: BTreeSet<&Address> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(address, _)| *address).collect();
    let mut order = Vec::new();
    while let Some(address) = ready.pop_first() {
        waiting.remove(address);
        let delete = changes.get(address).is_some_and(|change| change.action == Action::Delete);
        let what = if delete { StepKind::Delete } else { StepKind::Forget };
        order.push((address.clone(), what));
        let dependencies = state.resources.get(address).map(|entry| &entry.dependencies);
        for dependency in dependencies.into_iter().flatten() {
            if let Some((dependency, count)) =
                waiting.get_mut(dependency).map(|count| (dependency, count))
            {
                *count -= 1;
                if *count == 0
                    && let Some((known, _)) = waiting.get_key_value(dependency)
                {
                    ready.insert(known);
                }
            }
        }
    }
    order
}

/// The finding that stops the deletion of something protected, by its block or by what its block said last.
pub(super) fn protected(input: &Input<'_>, address: &Address) -> Option<Located> {
    let said = input.spec.resources.get(address).map(|block| block.lifecycle.prevent_destroy);
    let remembered = input.state.resources.get(address).is_some_and(|e| e.prevent_destroy);
    if !remembered && said != Some(true) {
        return None;
    }
    let first = match said {
        Some(true) => "write `lifecycle: { prevent_destroy: false }` in its block and apply",
        Some(false) => "apply without deleting it, so that the state learns of it",
        None => "put its block back with `lifecycle: { prevent_destroy: false }` and apply",
    };
    let finding = Finding::error(
        "PGF0206",
        format!("`{address}` would be deleted, and `prevent_destroy` protects it"),
    )
    .help(format!(
        "if it is to go, first {first}; to let go of it without deleting it: `pgferry state rm '{address}'`"
    ));
    Some(Located { address: address.clone(), finding })
}

/// The finding that stops the deletion of something guarded, unless it was confirmed today by name.
pub(super) fn unconfirmed_delete(input: &Input<'_>, address: &Address) -> Option<Finding> {
    let entry = input.state.resources.get(address)?;
    let names: Vec<&str> = ["name", "label"]
        .iter()
        .filter_map(|key| entry.remembered.attrs.get(key).and_then(Tree::as_text))
        .collect();
    let confirmed = input
        .options
        .confirmed
        .iter()
        .any(|(known, name)| known == address.as_str() && names.contains(&name.as_str()));
    let name = names.first().copied().unwrap_or(entry.remembered.id.as_str());
    (!confirmed).then(|| {
        Finding::error("PGF0205", format!("`{address}` would be deleted, with everything in it"))
            .help(format!("if that is meant, say so today: `--confirm {address}={name}`"))
    })
}
