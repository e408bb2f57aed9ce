//! What follows once every resource is decided: blocks that left, scopes, and data that went with its target.

use std::collections::BTreeMap;

use super::super::{Action, Change, Keeping, ScopeAction, ScopeChange, steps};
use super::{Drafting, mentions};
use crate::address::Address;
use crate::finding::Finding;
use crate::info::{Kind, OnRemove};
use crate::state::{Entry, Scope, ScopeStatus};

impl Drafting<'_> {
    /// Resources of the state whose block is no longer in the spec.
    pub(super) fn removed_blocks(&mut self) {
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

    fn require_confirmation(&mut self, address: &Address) {
        if let Some(finding) = steps::unconfirmed_delete(self.input, address) {
            self.find(address, finding);
        }
    }

    /// What the spec says about the end of what is otherwise left alone, where the state does not know it yet.
    pub(super) fn keeping(&self) -> BTreeMap<Address, Keeping> {
        let mut keeping = BTreeMap::new();
        for (address, change) in &self.changes {
            let idle = change.kind == Kind::Managed && change.action == Action::NoOp;
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
            };
            let Entry { on_remove, prevent_destroy, .. } = *entry;
            if said != (Keeping { on_remove, prevent_destroy }) {
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
            let work = self.has_direct_work(address)
                || below.iter().any(|dependent| self.has_work(dependent));
            if scope.is_open() && (work || scope.status == ScopeStatus::Open) {
                let what = if work { ScopeAction::TakeOver } else { ScopeAction::Close };
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
            let work = self.has_direct_work(address);
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

    fn has_direct_work(&self, scope: &Address) -> bool {
        let direct = self.input.graph.dependents.get(scope);
        direct.into_iter().flatten().any(|dependent| self.has_work(dependent))
    }

    fn has_work(&self, address: &Address) -> bool {
        let change = self.changes.get(address);
        change.is_some_and(|c| c.action.is_work() && c.action != Action::Settle)
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
            for (target, _) in found {
                let target = Address::new(target);
                let gone = self.changes.get(&target).is_some_and(|c| {
                    c.kind == Kind::Managed
                        && c.action.makes_new()
                        && c.reasons.iter().any(|r| r != "was begun and cut short")
                });
                if gone {
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
    }
}
