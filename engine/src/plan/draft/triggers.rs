//! `replace_when`: whether a value that a resource watches has changed since it was last acted on.
//!
//! What is only known after apply may change, so it counts as changed: apply makes no choices. Tested in
//! `tests/planning` of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::super::question::Ask;
use super::{Drafting, Refresh};
use crate::address::Address;
use crate::info::Kind;
use crate::spec::Block;
use crate::state::DoneUnder;
use crate::template::Template;
use crate::tree::{Handle, Tree};

/// Letters of a value that a reason quotes.
const QUOTED: usize = 40;

impl Drafting<'_> {
    /// Asks to read the lookups that `replace_when` refers to. False while one is still unread.
    pub(super) fn triggers_read(&mut self, block: &Block) -> bool {
        if self.input.options.refresh == Refresh::Never {
            return true;
        }
        let mut all = true;
        for reference in block.lifecycle.replace_when.values().flat_map(Template::references) {
            let address = &reference.address;
            if self.kind(address) != Some(Kind::Lookup) {
                continue;
            }
            let Some(watched) = self.input.spec.resources.get(address) else { continue };
            let Some(info) = self.input.catalog.get(&watched.type_name) else { continue };
            let wanted = self.wanted(watched, info);
            if !wanted.tree.has_unknown() {
                all &= self.ask(address, &watched.type_name, Ask::Read, &wanted.tree).is_some();
            }
        }
        all
    }

    /// Why another act is forced, given what the references were; what was not watched then forces nothing.
    pub(super) fn triggers(&self, block: &Block, before: &BTreeMap<String, Json>) -> Vec<String> {
        let mut reasons = Vec::new();
        for (text, template) in &block.lifecycle.replace_when {
            let Some(before) = before.get(text) else { continue };
            let now = template.evaluate(&|address| self.handles.get(address));
            if now.has_unknown() {
                reasons.push(format!("`{text}` of `replace_when` is known after apply"));
            } else if now.storable() != *before {
                let (before, now) = (quoted(before), quoted(&now.storable()));
                reasons.push(format!("`{text}` of `replace_when` was {before}, is {now}"));
            }
        }
        reasons
    }

    /// What the references are, as the state is to know it: of what is not known yet, as it knows it already.
    pub(super) fn triggers_now(
        &self,
        block: &Block,
        before: &BTreeMap<String, Json>,
    ) -> BTreeMap<String, Json> {
        let lifecycle = &block.lifecycle;
        let mut now = lifecycle.known(&|address| self.handles.get(address));
        for (text, value) in
            before.iter().filter(|(text, _)| lifecycle.replace_when.contains_key(*text))
        {
            now.entry(text.clone()).or_insert_with(|| value.clone());
        }
        now
    }

    /// Whether a run that is done is forced by a value that is known to have changed. Of what is not visited yet, the
    /// state tells.
    pub(super) fn triggered(&self, address: &Address, under: &DoneUnder) -> bool {
        let Some(block) = self.input.spec.resources.get(address) else { return false };
        let watched = block.lifecycle.replace_when.values().flat_map(Template::references);
        let unvisited = watched.filter(|r| !self.handles.contains_key(&r.address));
        let remembered: BTreeMap<&Address, Arc<Handle>> = unvisited
            .filter_map(|reference| {
                let address = &reference.address;
                let entry = self.input.state.resources.get(address)?;
                let attrs = match entry.remembered.attrs.recalled() {
                    Tree::Map(attrs) => attrs,
                    _ => Default::default(),
                };
                let id = Some(entry.remembered.id.clone());
                Some((address, Arc::new(Handle { address: address.clone(), id, attrs })))
            })
            .collect();
        let resolve = |address: &Address| self.handles.get(address).or(remembered.get(address));
        let now = block.lifecycle.known(&resolve);
        now.iter().any(|(text, now)| under.replace_when.get(text).is_some_and(|then| then != now))
    }
}

/// A value for a reason, not longer than a line.
fn quoted(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
