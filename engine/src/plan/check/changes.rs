//! What may happen to a resource of its kind, and what must happen to those that depend on it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Check, works};
use crate::address::Address;
use crate::info::{FieldRole, Kind, TypeInfo};
use crate::plan::{Action, Change, ScopeAction};
use crate::template::Template;

impl Check<'_> {
    pub(super) fn legal_actions(&mut self) {
        use Action::{Delete, Forget, NoOp, Read, Replace, Run, Settle};
        let plan = self.plan;
        for (address, change) in &plan.changes {
            let legal = match change.kind {
                Kind::Managed => !matches!(change.action, Run | Settle | Read),
                Kind::Run => matches!(change.action, Run | Settle | NoOp | Forget | Delete),
                Kind::Lookup => matches!(change.action, Read | NoOp | Forget),
                Kind::Scoped => change.action == Forget,
            };
            if !legal {
                self.say(format!(
                    "`{address}` is {:?} and cannot {:?}",
                    change.kind, change.action
                ));
            }
            if change.action == Replace && !self.input.options.replace.contains(address) {
                let block = self.input.spec.resources.get(address);
                let watches = block.is_some_and(|b| !b.lifecycle.replace_when.is_empty());
                if !watches {
                    self.say(format!("`{address}` is replaced, and nobody asked for it"));
                }
                // What holds data is never replaced by itself, whatever it watches.
                let info = self.input.catalog.get(&change.type_name);
                let holds = info.is_some_and(|i| i.traits.guarded || i.traits.staging);
                if watches && holds && !self.stopped.contains(address) {
                    self.say(format!("`{address}` holds data and is replaced by itself"));
                }
            }
        }
    }

    /// What is protected stays, and what holds data goes only when it was named today; or the plan says why it stops.
    pub(super) fn deletions(&mut self) {
        let (plan, input) = (self.plan, self.input);
        for (address, change) in &plan.changes {
            if !matches!(change.action, Action::Delete | Action::Replace)
                || self.stopped.contains(address)
            {
                continue;
            }
            let said = input.spec.resources.get(address).map(|b| b.lifecycle.prevent_destroy);
            let known = self.state.resources.get(address).is_some_and(|e| e.prevent_destroy);
            if known || said == Some(true) {
                self.say(format!("`{address}` is protected and would be deleted"));
            }
            let info = input.catalog.get(&change.type_name);
            let named = input.options.confirmed.iter().any(|(known, _)| known == address.as_str());
            if info.is_some_and(|info| info.traits.guarded) && !named {
                self.say(format!("`{address}` would be deleted, and nobody named it"));
            }
        }
    }

    /// A run that is done again takes with it all runs that depend on it.
    pub(super) fn runs_that_follow(&mut self) {
        let graph = self.input.graph;
        let mut again: FxHashSet<&Address> = FxHashSet::default();
        for address in &graph.order {
            let change = self.plan.changes.get(address);
            let follows = graph.direct_dependencies(address).any(|dep| again.contains(dep));
            let runs = change.is_some_and(|c| c.action == Action::Run && !always(c));
            if follows || runs {
                again.insert(address);
            }
            let left = change.is_some_and(|c| {
                c.kind == Kind::Run && matches!(c.action, Action::NoOp | Action::Settle)
            });
            if follows && left {
                self.say(format!("`{address}` is not done again, and what it depends on is"));
            }
        }
    }

    /// Whoever is handed a whole thing that is made anew has work, or the plan says something about it.
    pub(super) fn dependants_of_what_is_new(&mut self) {
        let (plan, input) = (self.plan, self.input);
        for (address, change) in &plan.changes {
            if change.action != Action::NoOp
                || !change.notes.is_empty()
                || self.stopped.contains(address)
            {
                continue;
            }
            let Some(block) = input.spec.resources.get(address) else { continue };
            let info = input.catalog.get(&block.type_name);
            for (name, field) in &block.fields {
                let role = info.map_or(FieldRole::Plain, |info| info.role(name));
                let compared = !matches!(role, FieldRole::Guard | FieldRole::Volatile)
                    && !block.lifecycle.ignore_changes.contains(name);
                let Template::Reference(reference) = field else { continue };
                if !compared || !reference.path.is_empty() {
                    continue;
                }
                let other = &reference.address;
                let anew = plan.changes.get(other).is_some_and(|change| {
                    change.kind == Kind::Managed && change.action.makes_new()
                });
                if anew && !self.stopped.contains(other) {
                    self.say(format!("`{address}` is left as it is, and `{other}` is made anew"));
                }
            }
        }
    }

    /// What has work finds its scopes open.
    pub(super) fn scopes_that_are_needed(&mut self) {
        let (plan, input) = (self.plan, self.input);
        let info = |name: &str| input.catalog.get(name).filter(|info| info.kind == Kind::Scoped);
        let scoped: FxHashMap<&Address, &TypeInfo> = input
            .spec
            .resources
            .iter()
            .filter_map(|(address, block)| Some((address, info(&block.type_name)?)))
            .collect();
        if scoped.is_empty() {
            return;
        }
        for (address, change) in &plan.changes {
            // Windows are not opened for what only goes after use.
            let goes = plan.removals.contains_key(address);
            let has_work = works(change.action);
            if !has_work && !goes {
                continue;
            }
            for scope in input.graph.direct_dependencies(address) {
                let needed = scoped.get(scope).is_some_and(|info| has_work || !info.traits.epoch);
                let opens = plan.scopes.get(scope).is_some_and(|s| s.what.opens());
                if needed && !opens {
                    self.say(format!("`{address}` needs `{scope}`, which is not opened"));
                }
            }
        }
    }

    /// A scope that is opened begins the next epoch; one that is open keeps its own.
    pub(super) fn epochs(&mut self) {
        for (scope, change) in &self.plan.scopes {
            let known = self.state.scopes.get(scope);
            let epoch = known.map_or(0, |known| known.epoch);
            let open = known.is_some_and(crate::state::Scope::is_open);
            let follows = match change.what {
                ScopeAction::OpenAndClose => !open && change.epoch == epoch + 1,
                ScopeAction::TakeOver | ScopeAction::Close | ScopeAction::Hold => {
                    open && change.epoch == epoch
                }
            };
            if !follows {
                self.say(format!("`{scope}` is in epoch {epoch} and cannot go on so"));
            }
        }
    }
}

/// A command that runs in each apply makes nothing that others would have to follow.
fn always(change: &Change) -> bool {
    let when = change.fields.iter().find(|field| field.name == "when");
    when.and_then(|field| field.after.as_ref()?.as_text()) == Some("always")
}
