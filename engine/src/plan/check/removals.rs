//! Staging goes only where it is asked for, only once it has served, and while the key that it needs is there.

use super::order::{Before, reach};
use super::{Check, Places};
use crate::address::Address;
use crate::info::Kind;
use crate::plan::{Action, StepKind};
use crate::tree::Tree;

impl<'a> Check<'a> {
    pub(super) fn removals(&mut self) {
        let plan = self.plan;
        for (address, runs) in &plan.removals {
            let block = self.input.spec.resources.get(address);
            let info = block.and_then(|block| self.input.catalog.get(&block.type_name));
            let staging = info.is_some_and(|info| info.traits.staging);
            if !staging || plan.left_out.contains(address) || plan.destroy {
                self.say(format!("`{address}` is no staging that could go after use"));
            }
            let mut kept_in = self.input.graph.direct_dependencies(address);
            if !self.asks(address) && !kept_in.any(|kept_in| plan.removals.contains_key(kept_in)) {
                self.say(format!("`{address}` goes after use, and nobody asked for it"));
            }
            if matches!(self.action(address), None | Some(Action::Delete | Action::Forget)) {
                self.say(format!("`{address}` goes after use, and goes anyway"));
            }
            if self.places(address).remove.is_none() {
                self.say(format!("`{address}` is to go after use and has no step"));
            }
            let said = block.is_some_and(|block| block.lifecycle.prevent_destroy);
            if said && !self.stopped.contains(address) {
                self.say(format!("`{address}` is protected and would go after use"));
            }
            self.has_served(address, runs);
        }
    }

    fn asks(&self, address: &Address) -> bool {
        let block = self.input.spec.resources.get(address);
        let field = block.and_then(|block| block.fields.get("after_use"));
        field.is_some_and(|field| field.evaluate(&|_| None) == Tree::text("remove"))
    }

    /// There are runs behind it, all of them are named, and each is done by then.
    fn has_served(&mut self, address: &Address, runs: &[Address]) {
        let (plan, graph) = (self.plan, self.input.graph);
        let kind = |address: &Address| {
            let block = self.input.spec.resources.get(address)?;
            Some(self.input.catalog.get(&block.type_name)?.kind)
        };
        let below = reach(|address| graph.direct_dependents(address), address);
        let mut served: Vec<&Address> =
            below.iter().filter(|below| kind(below) == Some(Kind::Run)).copied().collect();
        served.sort();
        if served.is_empty() || served.iter().copied().ne(runs) {
            self.say(format!("`{address}` goes after use by others than those behind it"));
        }
        for dependent in below {
            if !matches!(kind(dependent), Some(Kind::Run | Kind::Managed)) {
                continue;
            }
            let known = self.state.resources.contains_key(dependent);
            let done = match self.action(dependent) {
                Some(Action::NoOp) => known,
                Some(_) => true,
                None => known && plan.left_out.contains(dependent),
            };
            if !done {
                self.say(format!("`{address}` would go before `{dependent}` is done"));
            }
        }
    }

    /// It goes after everything behind it; a key that it needs is open, and closes later. A window may close before.
    pub(super) fn removals_in_order(&mut self, before: &mut Before<'a>) {
        let (plan, graph) = (self.plan, self.input.graph);
        for address in plan.removals.keys() {
            let Places { main, remove: Some(remove), .. } = self.places(address) else { continue };
            let mut wanted: Vec<(usize, &Address)> =
                main.map(|main| (main, address)).into_iter().collect();
            for dependent in reach(|address| graph.direct_dependents(address), address) {
                let places = self.places(dependent);
                let all = [places.main, places.remove, places.close];
                wanted.extend(all.into_iter().flatten().map(|step| (step, dependent)));
            }
            for scope in graph.direct_dependencies(address) {
                let Some(change) = plan.scopes.get(scope) else { continue };
                let Places { main, close, .. } = self.places(scope);
                let opening = main.filter(|step| plan.steps[*step].what == StepKind::Open);
                wanted.extend(opening.map(|open| (open, scope)));
                if let Some(close) = close.filter(|_| !self.has_epochs(&change.type_name))
                    && !before.missing(close, &[(remove, address)]).is_empty()
                {
                    self.say(format!("`{scope}` may be closed before `{address}` has gone"));
                }
            }
            for missing in before.missing(remove, &wanted) {
                self.say(format!("`{address}` may go before `{missing}`"));
            }
        }
    }
}
