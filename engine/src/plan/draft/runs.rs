//! Whether something done once is to be done, taken up, or done again, and why.

use super::super::Action;
use super::super::question::{Answer, Ask};
use super::staging::NEEDED_AGAIN;
use super::{Drafting, Refresh, Wanted};
use crate::address::Address;
use crate::info::{FieldRole, Kind, TypeInfo};
use crate::resource::Settled;
use crate::spec::Block;
use crate::state::{DoneUnder, Outcome};
use crate::template::Template;
use crate::tree::Tree;

impl Drafting<'_> {
    pub(super) fn run(
        &mut self,
        address: &Address,
        block: &Block,
        info: &TypeInfo,
        wanted: Wanted,
    ) {
        if !self.triggers_read(block) {
            self.wait(address, info, &wanted.tree);
            return;
        }
        let entry = self.input.state.resources.get(address).filter(|e| e.type_name == info.name);
        let mut reasons = Vec::new();
        let mut settled = None;
        let mut takes_up = false;
        let mut under = entry.and_then(|entry| entry.done.as_deref());
        let operation = self.input.state.operations.get(address);
        if let Some(operation) = operation.filter(|op| op.type_name == info.name) {
            match &operation.outcome {
                Outcome::Failed { .. } => reasons.push("failed last time".to_owned()),
                _ if operation.carried => reasons.push("was cut short as it began".to_owned()),
                Outcome::Begun | Outcome::Unknown { .. } => {
                    if !self.lookups_read(address) {
                        self.wait(address, info, &wanted.tree);
                        return;
                    }
                    match self.ask(address, info.name, Ask::Settle, &wanted.tree) {
                        Some(Answer::Settled(Settled::Done(done))) => {
                            settled = Some(done);
                            under = Some(&operation.under);
                        }
                        Some(Answer::Settled(Settled::Running(what))) => {
                            // Begun on what is no longer good, it must not be the end of anything.
                            let stale = !self.outdated(address, &operation.under).is_empty()
                                || !self.triggers(block, &operation.under.replace_when).is_empty()
                                || self.redone.contains_key(address)
                                || self.input.options.replace.contains(address);
                            if stale {
                                under = Some(&operation.under);
                                reasons.push(format!("{what} goes on, but is no longer good"));
                            } else {
                                takes_up = true;
                                reasons.push(format!("takes up {what}, which goes on"));
                            }
                        }
                        Some(Answer::Settled(Settled::Not(why))) => {
                            reasons.push(format!("was cut short: {why}"));
                        }
                        Some(_) => reasons.push("was cut short".to_owned()),
                        None => {
                            self.wait(address, info, &wanted.tree);
                            return;
                        }
                    }
                }
            }
        }
        if let Some(under) = under {
            reasons.extend(self.outdated(address, under));
            reasons.extend(self.triggers(block, &under.replace_when));
        }
        let before = entry.is_some() || settled.is_some();
        if let Some(run) = self.redone.get(address).filter(|_| before) {
            reasons.push(format!("`{run}` runs again"));
        }
        if reasons.is_empty() && self.removal(address).is_some() && self.is_needed_again(address) {
            reasons.push(NEEDED_AGAIN.to_owned());
        }
        if self.input.options.replace.contains(address) {
            reasons.push("requested by --replace".to_owned());
        }
        let always = wanted.tree.get("when").and_then(Tree::as_text) == Some("always");
        if always && under.is_some() && reasons.is_empty() {
            reasons.push("`when` is `always`".to_owned());
        }
        let mut unclear = None;
        if entry.is_some() && settled.is_none() && reasons.is_empty() {
            match self.lost(address, block, info, &wanted.tree) {
                Some(Ok(why)) => reasons.extend(why),
                Some(Err(why)) => unclear = Some(why),
                None => {
                    self.wait(address, info, &wanted.tree);
                    return;
                }
            }
        }
        let done = (entry.is_some() || settled.is_some()) && reasons.is_empty();
        if !done {
            self.set_unknown(address, info, &Tree::Null);
            if !always {
                self.redone.insert(address.clone(), address.clone());
            }
            let change = self.change(address, info, Action::Run, reasons);
            change.takes_up = takes_up;
            change.fields = super::managed::inputs(info, &wanted.tree);
            self.preflight(address, info, &wanted.tree);
            return;
        }
        if let Some(done) = settled {
            self.set(address, Some(done.id.clone()), &done.attrs);
            let reasons = vec!["has finished since".to_owned()];
            self.change(address, info, Action::Settle, reasons);
            return;
        }
        let Some(entry) = entry else { return };
        self.set_remembered(address, info, &entry.remembered);
        let change = self.change(address, info, Action::NoOp, Vec::new());
        if let Some(why) = unclear {
            change.notes.push(format!(
                "whether what it filled is still there could not be found out: {why}"
            ));
        }
        if wanted_differs(info, &wanted.tree, &entry.remembered.inputs) {
            change.notes.push(
                "its fields have changed since it was done; a new `run:` does it again".to_owned(),
            );
        }
        if self.input.options.preflight {
            self.preflight(address, info, &wanted.tree);
        }
    }

    /// Why what a finished run filled is no longer there, or why that could not be found out. `None`: it is being asked.
    fn lost(
        &mut self,
        address: &Address,
        block: &Block,
        info: &TypeInfo,
        want: &Tree,
    ) -> Option<Result<Option<String>, String>> {
        let Some(field) = info.traits.fills else { return Some(Ok(None)) };
        if self.input.options.refresh == Refresh::Never {
            return Some(Ok(None));
        }
        // Only what was filled: the source may be gone.
        let filled = block.fields.get(field).into_iter().flat_map(Template::references);
        let mut all = true;
        for reference in filled {
            let Some(filled) = self.input.spec.resources.get(&reference.address) else { continue };
            let Some(info) = self.input.catalog.get(&filled.type_name) else { continue };
            let wanted = self.wanted(filled, info);
            if info.kind == Kind::Lookup && !wanted.tree.has_unknown() {
                let read = self.ask(&reference.address, &filled.type_name, Ask::Read, &wanted.tree);
                all &= read.is_some();
            }
        }
        if !all {
            return None;
        }
        let Some(tree) = want.get(field).cloned() else { return Some(Ok(None)) };
        let only = Tree::Map([(field.to_owned(), tree)].into());
        match self.ask(address, info.name, Ask::Lost, &only) {
            Some(Answer::Lost(lost)) => Some(lost.clone()),
            Some(_) => Some(Ok(None)),
            None => None,
        }
    }

    fn wait(&mut self, address: &Address, info: &TypeInfo, want: &Tree) {
        self.pending.insert(address.clone());
        self.set_unknown(address, info, want);
    }

    /// Why something done under those circumstances is no longer good.
    fn outdated(&self, address: &Address, under: &DoneUnder) -> Vec<String> {
        let mut reasons = Vec::new();
        let label = &self.input.spec.run;
        if under.run != *label {
            reasons.push(format!("`run` is now `{label}`"));
        }
        for (scope, epoch) in &under.epochs {
            let released = self.input.state.scopes.get(scope).and_then(|s| s.broken.get(epoch));
            if let Some(at) = released {
                let at = at.strftime("%Y-%m-%d %H:%M:%S UTC");
                reasons.push(format!(
                    "`{scope}` was released at {at}, before everything under it was done: the source may have moved"
                ));
            } else if self.left_while_open(scope, *epoch) && !self.all_done_after(address) {
                reasons.push(format!(
                    "`{scope}` left the spec while it was open, and is released before everything under it is done: the source may move"
                ));
            }
        }
        reasons
    }

    /// Whether a scope is still open in that epoch, and no block says so any more.
    fn left_while_open(&self, scope: &Address, epoch: u64) -> bool {
        let known = self.input.state.scopes.get(scope);
        known.is_some_and(|known| {
            let block = self.input.spec.resources.get(scope);
            known.is_open()
                && !known.complete
                && known.epoch == epoch
                && block.is_none_or(|block| block.type_name != known.type_name)
        })
    }

    /// Whether the state holds `address` and everything that depends on it, finished.
    fn all_done_after(&self, address: &Address) -> bool {
        let state = self.input.state;
        let done = |below: &Address| {
            matches!(self.kind(below), Some(Kind::Lookup | Kind::Scoped) | None)
                || (state.resources.contains_key(below) && !state.operations.contains_key(below))
        };
        done(address) && self.input.graph.descendants(address).iter().all(done)
    }

    /// Whether a run that is remembered as done will not be done again. Looks at the state alone, and at whether what it
    /// filled is known to be lost.
    pub(super) fn stays_done(&self, address: &Address) -> bool {
        let state = self.input.state;
        let under = state.resources.get(address).and_then(|entry| entry.done.as_ref());
        !state.operations.contains_key(address)
            && !self.input.options.replace.contains(address)
            && !matches!(
                self.reality.get(&(address.clone(), Ask::Lost)),
                Some(Answer::Lost(Ok(Some(_))))
            )
            && under.is_some_and(|under| {
                self.outdated(address, under).is_empty() && !self.triggered(address, under)
            })
    }
}

/// Whether fields differ from those of the last time. Secrets and unknowns are left out; of whole resources, which one
/// it is counts.
fn wanted_differs(info: &TypeInfo, want: &Tree, inputs: &Tree) -> bool {
    super::managed::wanted_fields(want).any(|(name, tree)| {
        let compared = !matches!(info.role(name), FieldRole::Volatile | FieldRole::Guard);
        let plain = identified(tree) && !tree.has_secret();
        // One that does not exist yet is another one if it is called otherwise.
        let another = |before: &Tree| match (tree, before.get("$address")) {
            (Tree::Resource(now), Some(then)) => then.as_text() != Some(now.address.as_str()),
            _ => false,
        };
        let before = inputs.get(name);
        compared
            && before.is_some_and(|before| another(before) || (plain && *before != tree.stored()))
    })
}

/// Whether all of it is known, of whole resources which one it is.
fn identified(tree: &Tree) -> bool {
    match tree {
        Tree::Unknown => false,
        Tree::Resource(handle) => handle.id.is_some(),
        Tree::List(items) => items.iter().all(identified),
        Tree::Map(map) => map.values().all(identified),
        _ => true,
    }
}
