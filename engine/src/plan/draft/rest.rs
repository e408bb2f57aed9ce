//! What follows once every resource is decided: blocks that left, scopes, and data that went with its target.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Action, Change, Keeping, ScopeAction, ScopeChange, steps};
use super::{Drafting, Input, mentions};
use crate::address::Address;
use crate::complete::{all_done, under};
use crate::finding::Finding;
use crate::info::{Kind, OnRemove};
use crate::state::{Scope, ScopeStatus};
use crate::template::Template;
use crate::tree::Tree;

impl Drafting<'_> {
    /// Resources of the state whose block is no longer in the spec.
    pub(super) fn removed_blocks(&mut self) {
        self.cut_short_and_removed();
        for (address, entry) in &self.input.state.resources {
            let left_out = self.left_out.contains(address);
            if left_out || self.input.spec.resources.contains_key(address) {
                continue;
            }
            let (action, reason) = match (entry.kind, entry.on_remove) {
                (Kind::Managed, OnRemove::Destroy) => {
                    (Action::Delete, "is not in the spec, and `on_remove` was `destroy`")
                }
                _ => (Action::Forget, "is not in the spec; what it stands for is kept"),
            };
            let change = Change {
                address: address.clone(),
                type_name: entry.type_name.clone(),
                kind: entry.kind,
                action,
                reasons: vec![reason.to_owned()],
                fields: Vec::new(),
                unchanged: 0,
                id: None,
                notes: Vec::new(),
                takes_up: false,
            };
            let guarded =
                self.input.catalog.get(&entry.type_name).is_some_and(|i| i.traits.guarded);
            if action == Action::Delete {
                self.findings.extend(steps::protected(self.input, address));
            }
            if action == Action::Delete && guarded {
                self.require_confirmation(address);
            }
            self.changes.insert(address.clone(), change);
        }
    }

    /// What was begun, whose end nobody has seen, and which no block stands for any more: it may still be running.
    fn cut_short_and_removed(&mut self) {
        let input = self.input;
        for (address, operation) in &input.state.operations {
            let block = input.spec.resources.get(address);
            let there = block.is_some_and(|block| block.type_name == operation.type_name);
            let run =
                input.catalog.get(&operation.type_name).is_none_or(|info| info.kind == Kind::Run);
            let remembered = input.state.resources.contains_key(address) && !run;
            if there
                || remembered
                || self.left_out.contains(address)
                || !input.state.may_be_running(address)
            {
                continue;
            }
            let message =
                format!("`{address}` was begun and its end is not known, but its block is gone");
            let finding = Finding::error("PGF0209", message).help(format!(
                "put the block back and apply, or give its new one `renamed_from: {address}`; if nothing of it can be going on: `pgferry state rm '{address}'`"
            ));
            self.find(address, finding);
        }
    }

    fn require_confirmation(&mut self, address: &Address) {
        if let Some(finding) = steps::unconfirmed_delete(self.input, address) {
            self.find(address, finding);
        }
    }

    /// What the spec says about the end of what is otherwise left alone, where the state does not know it yet.
    pub(super) fn keeping(&self) -> BTreeMap<Address, Keeping> {
        let mut keeping = BTreeMap::new();
        for (address, change) in &self.changes {
            let idle =
                matches!(change.kind, Kind::Managed | Kind::Run) && change.action == Action::NoOp;
            let (Some(entry), Some(block), Some(info)) = (
                self.input.state.resources.get(address).filter(|_| idle),
                self.input.spec.resources.get(address),
                self.input.catalog.get(&change.type_name),
            ) else {
                continue;
            };
            let said = Keeping {
                on_remove: block.on_remove.unwrap_or(info.traits.on_remove),
                prevent_destroy: block.lifecycle.prevent_destroy,
                replace_when: self.triggers_now(block, entry.replace_when()),
            };
            if said != Keeping::of(entry) {
                keeping.insert(address.clone(), said);
            }
        }
        keeping
    }

    /// Which scopes open, are taken over, or only close.
    pub(super) fn scopes(&mut self) {
        let input = self.input;
        for (address, scope) in &input.state.scopes {
            // What is open already also serves what is only indirectly under it.
            let epochs = input.catalog.get(&scope.type_name).is_some_and(|info| info.traits.epoch);
            let below = if epochs { input.graph.descendants(address) } else { Default::default() };
            let work = self.has_first_work(address, epochs)
                || below.iter().any(|dependent| self.has_work(dependent));
            if !work && self.needed_elsewhere(address) {
                continue;
            }
            if scope.is_open() && (work || scope.status == ScopeStatus::Open) {
                let what = match work {
                    true => ScopeAction::TakeOver,
                    false if self.is_to_be_held(address, scope) => ScopeAction::Hold,
                    false => ScopeAction::Close,
                };
                if work {
                    self.lookups_read(address);
                }
                let type_name = scope.type_name.clone();
                self.scopes
                    .insert(address.clone(), ScopeChange { type_name, what, epoch: scope.epoch });
            }
        }
        for (address, block) in &input.spec.resources {
            let Some(info) = input.catalog.get(&block.type_name) else { continue };
            if info.kind != Kind::Scoped
                || self.scopes.contains_key(address)
                || self.left_out.contains(address)
                || input.state.scopes.get(address).is_some_and(Scope::is_open)
            {
                continue;
            }
            let work = self.has_first_work(address, info.traits.epoch);
            if work {
                let epoch = input.state.scopes.get(address).map_or(0, |scope| scope.epoch) + 1;
                let change = ScopeChange {
                    type_name: block.type_name.clone(),
                    what: ScopeAction::OpenAndClose,
                    epoch,
                };
                self.scopes.insert(address.clone(), change);
            }
            if (work || input.options.preflight) && !self.pending.contains(address) {
                let wanted = self.wanted(block, info);
                self.preflight(address, info, &wanted.tree);
            }
        }
    }

    /// Whether a scope that was left open with nothing left to do under it is to stay open: a run died between its last
    /// act and the record that the scope is held.
    fn is_to_be_held(&self, address: &Address, scope: &Scope) -> bool {
        let Input { spec, graph, catalog, state, .. } = self.input;
        let block = spec.resources.get(address);
        let block = block.filter(|block| block.type_name == scope.type_name);
        let (Some(block), Some(info)) = (block, catalog.get(&scope.type_name)) else {
            return false;
        };
        let wanted = self.wanted(block, info);
        let holds = wanted.tree.get("on_success").and_then(Tree::as_text) == Some("hold");
        let mut below = under(address, graph, state);
        below.retain(|b| self.changes.get(b).is_none_or(|c| c.action != Action::Settle));
        holds && scope.close_failed.is_none() && all_done(&below, spec, catalog, state)
    }

    /// Whether what comes first under a scope has work: a direct dependent (to a key, its removal after use counts), or, under a window or freeze, the first run
    /// behind resources that are made already. What is copied there must not be copied without it.
    fn has_first_work(&self, scope: &Address, epochs: bool) -> bool {
        let (graph, mut seen) = (self.input.graph, BTreeSet::new());
        let mut next: Vec<&Address> = graph.direct_dependents(scope).collect();
        let removed = |dependent: &Address| !epochs && self.removals.contains_key(dependent);
        if next.iter().any(|dependent| self.has_work(dependent) || removed(dependent)) {
            return true;
        }
        while let Some(address) = next.pop().filter(|_| epochs) {
            if !seen.insert(address) {
                continue;
            }
            match self.kind(address) {
                Some(Kind::Run) if self.has_work(address) => return true,
                Some(Kind::Run) => {}
                _ => next.extend(graph.direct_dependents(address)),
            }
        }
        false
    }

    /// Whether something that was left out today may still be running and need the scope.
    fn needed_elsewhere(&self, scope: &Address) -> bool {
        let below = self.input.graph.descendants(scope);
        below.iter().any(|address| {
            self.left_out.contains(address) && self.input.state.may_be_running(address)
        })
    }

    fn has_work(&self, address: &Address) -> bool {
        let change = self.changes.get(address);
        change.is_some_and(|c| c.action.is_work() && c.action != Action::Settle)
    }

    /// Whether the thing at `target` is not the one it was: made anew in an apply of its own. Staging whose work is done
    /// is not missed.
    fn is_another(&self, target: &Address, id: Option<&str>) -> bool {
        let info = self.changes.get(target).and_then(|c| self.input.catalog.get(&c.type_name));
        let now = self.handles.get(target).and_then(|handle| handle.id.as_deref());
        info.is_some_and(|info| {
            info.kind == Kind::Managed
                && !info.traits.internal
                && !(info.traits.staging && self.purpose_is_served(target))
        }) && matches!((id, now), (Some(then), Some(now)) if then != now)
    }

    /// Runs that count as done although what they were done to is gone: nothing may be built on them.
    pub(super) fn lost_data(&mut self) {
        let mut lost = BTreeMap::<Address, Vec<String>>::new();
        for (address, change) in &self.changes {
            if change.kind != Kind::Run || change.action != Action::NoOp {
                continue;
            }
            let Some(entry) = self.input.state.resources.get(address) else { continue };
            let mut found = Vec::new();
            mentions(&entry.remembered.inputs, &mut found);
            for (target, id) in found {
                let target = Address::new(target);
                let made_anew = |c: &Change| c.kind == Kind::Managed && c.action.makes_new();
                if self.changes.get(&target).is_some_and(made_anew) || self.is_another(&target, id)
                {
                    lost.entry(target).or_default().push(format!("`{address}`"));
                }
            }
        }
        for (target, runs) in lost {
            let runs = runs.join(", ");
            let finding = Finding::error(
                "PGF0204",
                format!("`{target}` is gone, and with it what was done to it: {runs}"),
            )
            .help(format!(
                "to move the data again, into a new `{target}`, change `run:` (now `{}`) in a reviewed commit; if the former one can be brought back at the provider, do that instead",
                self.input.spec.run
            ));
            self.find(&target, finding);
        }
        self.done_to_another();
    }

    /// Runs that count as done, but to another resource than the spec has in that place now: what has work and depends
    /// on them would be built on data that are elsewhere.
    fn done_to_another(&mut self) {
        let mut found = Vec::new();
        for (address, change) in &self.changes {
            let (Some(entry), Some(block)) =
                (self.input.state.resources.get(address), self.input.spec.resources.get(address))
            else {
                continue;
            };
            if change.kind != Kind::Run || change.action != Action::NoOp {
                continue;
            }
            for (name, field) in &block.fields {
                let Template::Reference(reference) = field else { continue };
                let now = &reference.address;
                let then = entry.remembered.inputs.get(name).and_then(|was| was.get("$address"));
                let Some(then) = then.and_then(Tree::as_text) else { continue };
                let info = self.changes.get(now).and_then(|c| self.input.catalog.get(&c.type_name));
                let holds_data = info.is_some_and(|info| {
                    info.kind == Kind::Managed && !info.traits.internal && !info.traits.staging
                });
                if !reference.path.is_empty() || then == now.as_str() || !holds_data {
                    continue;
                }
                let below = self.input.graph.descendants(address);
                if let Some(next) = below.iter().find(|below| self.has_work(below)) {
                    let message = format!(
                        "`{address}` was done to `{then}`, not to `{now}`, and `{next}` would go on from there"
                    );
                    found.push((address.clone(), message));
                }
            }
        }
        for (address, message) in found {
            let finding = Finding::error("PGF0204", message).help(format!(
                "to move the data there, change `run:` (now `{}`) in a reviewed commit; if it is the same under another name, give its block `renamed_from`",
                self.input.spec.run
            ));
            self.find(&address, finding);
        }
    }
}
