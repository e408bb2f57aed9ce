//! Lookups that only outputs refer to: read while nothing is remembered of them.
//!
//! Tested in `tests/output.rs` of this crate.

use super::super::question::Ask;
use super::Drafting;
use crate::address::Address;
use crate::info::Kind;

impl Drafting<'_> {
    /// Asks to read lookups that outputs refer to, itself or through values, and that are not remembered; with `reveal`
    /// also those that are, whose secrets are not. A source may be gone once all is done.
    pub(super) fn lookups_of_outputs(&mut self) {
        let (spec, state) = (self.input.spec, self.input.state);
        for template in spec.outputs.values() {
            if !template.evaluate(&|address: &Address| self.handles.get(address)).has_unknown() {
                continue;
            }
            for reference in template.references() {
                let address = &reference.address;
                let known = state.resources.contains_key(address) && !self.input.options.reveal;
                if known || self.left_out.contains(address) || self.pending.contains(address) {
                    continue;
                }
                let Some(block) = spec.resources.get(address) else { continue };
                let Some(info) = self.input.catalog.get(&block.type_name) else { continue };
                if info.traits.internal {
                    self.lookups_read(address);
                } else if info.kind == Kind::Lookup {
                    let wanted = self.wanted(block, info);
                    if !wanted.tree.has_unknown() {
                        self.ask(address, &block.type_name, Ask::Read, &wanted.tree);
                    }
                }
            }
        }
    }
}
