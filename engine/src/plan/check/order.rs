//! Who has to come before whom, looked up among the steps.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Check, Places};
use crate::address::Address;
use crate::plan::{Action, Plan, Step, StepKind};

impl<'a> Check<'a> {
    pub(super) fn order(&mut self) {
        let mut before = match Before::of(self.plan) {
            Ok(before) => before,
            Err(violation) => return self.say(violation.to_owned()),
        };
        if !self.plan.destroy {
            self.dependencies_first(&mut before);
            self.gates_before_windows(&mut before);
        }
        self.scopes_around(&mut before);
        self.removals_in_order(&mut before);
        self.dependents_leave_first(&mut before);
    }

    /// Everything waits for what it depends on, also through what has no step.
    fn dependencies_first(&mut self, before: &mut Before<'a>) {
        let graph = self.input.graph;
        let has_main = |address: &Address| self.places(address).main.is_some();
        let mut passes_on: FxHashSet<&Address> = FxHashSet::default();
        for address in &graph.order {
            let needs = |dep: &Address| has_main(dep) || passes_on.contains(dep);
            if !has_main(address) && graph.direct_dependencies(address).any(needs) {
                passes_on.insert(address);
            }
        }
        for address in &graph.order {
            let Places { main: Some(main), gate, .. } = self.places(address) else { continue };
            let mut wanted: Vec<(usize, &Address)> = Vec::new();
            let mut next: Vec<&Address> = graph.direct_dependencies(address).collect();
            let mut through: FxHashSet<&Address> = FxHashSet::default();
            while let Some(dependency) = next.pop() {
                match self.places(dependency).main {
                    Some(first) => wanted.push((first, dependency)),
                    None if passes_on.contains(dependency) && through.insert(dependency) => {
                        next.extend(graph.direct_dependencies(dependency));
                    }
                    None => {}
                }
            }
            wanted.extend(gate.map(|gate| (gate, address)));
            for missing in before.missing(main, &wanted) {
                self.say(format!("`{address}` does not wait for `{missing}`"));
            }
        }
    }

    /// What may fail early fails while users still work.
    fn gates_before_windows(&mut self, before: &mut Before<'a>) {
        let steps = self.plan.steps.iter().enumerate();
        let gates: Vec<(usize, &Address)> = steps
            .filter(|(_, step)| step.what == StepKind::Gate)
            .map(|(index, step)| (index, &step.address))
            .collect();
        for (scope, change) in &self.plan.scopes {
            if !change.what.opens() || !self.has_epochs(&change.type_name) {
                continue;
            }
            let Some(open) = self.places(scope).main else { continue };
            for missing in before.missing(open, &gates) {
                self.say(format!("`{scope}` may be opened before `{missing}` was judged"));
            }
        }
    }

    /// A scope is opened, then used, then closed: a window after all that is under it, a key after what it is handed to.
    fn scopes_around(&mut self, before: &mut Before<'a>) {
        let graph = self.input.graph;
        for (scope, change) in &self.plan.scopes {
            let places = self.places(scope);
            let Some(close) = places.close else {
                self.say(format!("`{scope}` is opened and never closed"));
                continue;
            };
            let opened = places.main.filter(|s| self.plan.steps[*s].what == StepKind::Open);
            let only_closes = !change.what.opens();
            if opened.is_none() && !only_closes {
                self.say(format!("`{scope}` is closed and never opened"));
                continue;
            }
            let below = if only_closes || self.has_epochs(&change.type_name) {
                reach(|address| graph.direct_dependents(address), scope)
            } else {
                graph.direct_dependents(scope).collect()
            };
            let mut wanted: Vec<(usize, &Address)> =
                opened.map(|open| (open, scope)).into_iter().collect();
            for dependent in below {
                let Some(main) = self.places(dependent).main else { continue };
                // One that only closes waits for what it finds done, so that its epoch counts as complete.
                let uses = match self.plan.steps[main].what {
                    StepKind::Pass => false,
                    _ if only_closes => self.action(dependent) == Some(Action::Settle),
                    _ => true,
                };
                if uses {
                    wanted.push((main, dependent));
                }
            }
            for missing in before.missing(close, &wanted) {
                self.say(format!("`{scope}` may be closed before `{missing}` is done"));
            }
        }
    }

    /// What leaves does so after what depended on it, and in a destroy after all scopes are closed.
    fn dependents_leave_first(&mut self, before: &mut Before<'a>) {
        let leaves = |step: &Step| matches!(step.what, StepKind::Delete | StepKind::Forget);
        if !self.plan.steps.iter().any(leaves) {
            return;
        }
        let mut dependents: FxHashMap<&Address, Vec<&Address>> = FxHashMap::default();
        for (address, entry) in &self.state.resources {
            for dependency in &entry.dependencies {
                dependents.entry(dependency).or_default().push(address);
            }
        }
        let closings = self.plan.scopes.keys().filter(|_| self.plan.destroy);
        let closings: Vec<(usize, &Address)> =
            closings.filter_map(|scope| Some((self.places(scope).close?, scope))).collect();
        for step in &self.plan.steps {
            let Some(leave) = self.places(&step.address).leave else { continue };
            if !leaves(step) {
                continue;
            }
            let mut wanted = closings.clone();
            for dependent in dependents.get(&step.address).into_iter().flatten() {
                let first = self.places(dependent).leave.or_else(|| self.acts(dependent));
                wanted.extend(first.map(|first| (first, *dependent)));
            }
            for missing in before.missing(leave, &wanted) {
                self.say(format!("`{}` may go before `{missing}`", step.address));
            }
        }
    }
}

/// All that is reached from `from`, without itself.
pub(super) fn reach<'g, I: Iterator<Item = &'g Address>>(
    edges: impl Fn(&'g Address) -> I,
    from: &'g Address,
) -> Vec<&'g Address> {
    let (mut seen, mut next) = (FxHashSet::default(), vec![from]);
    let mut reached = Vec::new();
    while let Some(address) = next.pop() {
        for other in edges(address) {
            if seen.insert(other) {
                reached.push(other);
                next.push(other);
            }
        }
    }
    reached
}

/// Which steps come before which.
pub(super) struct Before<'a> {
    plan: &'a Plan,
    /// Where each step is in an order that respects all `after`.
    position: Vec<usize>,
    /// In which search a step was seen last.
    seen: Vec<usize>,
    searches: usize,
}

impl<'a> Before<'a> {
    fn of(plan: &'a Plan) -> Result<Self, &'static str> {
        let count = plan.steps.len();
        let mut next = vec![Vec::new(); count];
        for (index, step) in plan.steps.iter().enumerate() {
            if step.any_of.iter().flatten().any(|first| *first >= count) {
                return Err("a step waits for one that is not there");
            }
            for first in &step.after {
                match next.get_mut(*first) {
                    Some(later) => later.push(index),
                    None => return Err("a step waits for one that is not there"),
                }
            }
        }
        let mut waits: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
        let mut ready: Vec<usize> = (0..count).filter(|index| waits[*index] == 0).collect();
        let mut position = vec![usize::MAX; count];
        let mut placed = 0;
        while let Some(index) = ready.pop() {
            position[index] = placed;
            placed += 1;
            for later in &next[index] {
                waits[*later] -= 1;
                if waits[*later] == 0 {
                    ready.push(*later);
                }
            }
        }
        if placed < count {
            return Err("the steps wait for each other in a circle");
        }
        Ok(Self { plan, position, seen: vec![0; count], searches: 0 })
    }

    /// Those of `wanted` that `later` does not wait for. Most are found among what it waits for directly; only for the
    /// rest is searched, and never further back than the first of them.
    pub(super) fn missing<'w>(
        &mut self,
        later: usize,
        wanted: &[(usize, &'w Address)],
    ) -> Vec<&'w Address> {
        self.searches += 1;
        let steps = &self.plan.steps;
        for first in &steps[later].after {
            self.seen[*first] = self.searches;
        }
        let unseen = wanted.iter().filter(|(first, _)| self.seen[*first] != self.searches);
        let Some(earliest) = unseen.map(|(first, _)| self.position[*first]).min() else {
            return Vec::new();
        };
        let mut next: Vec<usize> = steps[later].after.clone();
        while let Some(index) = next.pop() {
            if self.position[index] < earliest {
                continue;
            }
            for first in &steps[index].after {
                if self.seen[*first] != self.searches {
                    self.seen[*first] = self.searches;
                    next.push(*first);
                }
            }
        }
        let missing = wanted.iter().filter(|(first, _)| self.seen[*first] != self.searches);
        missing.map(|(_, address)| *address).collect()
    }
}
