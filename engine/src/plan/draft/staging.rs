//! Staging with `after_use: remove`: when it goes, when it is not missed, and when it is needed again.
//!
//! What it was made for is every run behind it, done and staying done. Needed again is it only by who takes something
//! out of it, not by who comes later. Tested by `tests/staging.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::super::question::{Answer, Ask};
use super::super::{Action, steps};
use super::Drafting;
use crate::address::Address;
use crate::info::{Kind, TypeInfo};
use crate::spec::Block;
use crate::state::Removal;

impl Drafting<'_> {
    /// Removed after use, and nothing takes anything out of it any more.
    pub(super) fn is_used_up(&self, address: &Address, info: &TypeInfo) -> bool {
        info.traits.staging
            && self.removal(address) == Some(Removal::Done)
            && !self.is_needed_again(address)
    }

    pub(super) fn removal(&self, address: &Address) -> Option<Removal> {
        self.input.state.resources.get(address).and_then(|entry| entry.removal)
    }

    /// Whether a run that takes something out of `address`, directly or through other staging, is done today.
    pub(super) fn is_needed_again(&self, address: &Address) -> bool {
        let graph = self.input.graph;
        let (mut next, mut seen) = (vec![address], BTreeSet::new());
        while let Some(staging) = next.pop() {
            for user in graph.direct_dependents(staging) {
                if self.kind(user) != Some(Kind::Run)
                    || self.left_out.contains(user)
                    || !seen.insert(user)
                {
                    continue;
                }
                if !self.stays_done_with_all_before(user) {
                    return true;
                }
                if self.info(user).is_some_and(|info| info.traits.staging) {
                    next.push(user);
                }
            }
        }
        false
    }

    /// Whether a run stays done, and every run before it that would take it along.
    fn stays_done_with_all_before(&self, run: &Address) -> bool {
        let before = self.input.graph.ancestors(run);
        let taking_along = before.iter().filter(|address| {
            self.kind(address) == Some(Kind::Run)
                && !self.left_out.contains(*address)
                && !self.says(address, "when", "always")
        });
        self.stays_done(run) && taking_along.into_iter().all(|address| self.stays_done(address))
    }

    /// What goes once it has served, and the runs that it waits for.
    pub(super) fn find_removals(&mut self) {
        let input = self.input;
        let mut removals = BTreeMap::new();
        // Found in the order written: to look each up in the order of the graph is slow where there are very many.
        let is_staging = |block: &Block| {
            input.catalog.get(&block.type_name).is_some_and(|info| info.traits.staging)
        };
        let blocks = input.spec.resources.iter();
        let staging: BTreeSet<&Address> =
            blocks.filter(|(_, block)| is_staging(block)).map(|(address, _)| address).collect();
        for address in input.graph.order.iter().filter(|address| staging.contains(*address)) {
            if self.left_out.contains(address) || self.is_gone(address) {
                continue;
            }
            let kept_in = || input.graph.direct_dependencies(address);
            // A dump goes with its bucket; and where there is no bucket any more, there is no dump.
            let taken_along = kept_in().any(|kept_in| removals.contains_key(kept_in));
            let nowhere = kept_in().any(|kept_in| self.is_gone(kept_in));
            let asked = taken_along || self.says(address, "after_use", "remove");
            if asked
                && !nowhere
                && let Some(runs) = self.runs_it_serves(address)
            {
                removals.insert(address.clone(), runs);
            }
        }
        for address in removals.keys() {
            self.findings.extend(steps::protected(input, address));
        }
        self.removals = removals;
    }

    /// Every run behind it, if all of them are done by the end of this plan, and nothing else behind it is left out.
    fn runs_it_serves(&self, address: &Address) -> Option<Vec<Address>> {
        let mut runs = Vec::new();
        for dependent in self.input.graph.descendants(address) {
            let kind = self.kind(&dependent);
            if !matches!(kind, Some(Kind::Run | Kind::Managed)) {
                continue;
            }
            let known = self.input.state.resources.contains_key(&dependent)
                && (kind == Some(Kind::Managed) || self.stays_done(&dependent));
            if self.left_out.contains(&dependent) && !known {
                return None;
            }
            if kind == Some(Kind::Run) {
                runs.push(dependent);
            }
        }
        (!runs.is_empty()).then_some(runs)
    }

    /// Staging that is not there, and is not made in this plan either.
    fn is_gone(&self, address: &Address) -> bool {
        let idle = self.changes.get(address).is_none_or(|c| c.action == Action::NoOp);
        let absent = || {
            let key = (address.clone(), Ask::Read);
            matches!(self.reality.get(&key), Some(Answer::Live(None)))
        };
        self.info(address).is_some_and(|info| info.traits.staging)
            && idle
            && (self.removal(address) == Some(Removal::Done) || absent())
    }

    fn info(&self, address: &Address) -> Option<&TypeInfo> {
        let block = self.input.spec.resources.get(address)?;
        self.input.catalog.get(&block.type_name)
    }

    /// Whether a field is plainly `word`.
    fn says(&self, address: &Address, field: &str, word: &str) -> bool {
        let resolve = |address: &Address| self.handles.get(address);
        let block = self.input.spec.resources.get(address);
        let written = block.and_then(|block| block.fields.get(field));
        written.is_some_and(|written| written.evaluate(&resolve).as_text() == Some(word))
    }
}

/// What is said of staging that was removed and is made again.
pub(super) const NEEDED_AGAIN: &str = "was removed after use, and is needed again";
