//! Resources that were renamed in the spec: what the state knows under a former name is planned under the new one.
//!
//! The draft works on a copy of the state in which the moves are done already; apply writes them down before all else.
//! All of them, whatever `--target` and `--exclude` say: otherwise the former name would count as removed.

use std::collections::BTreeMap;

use super::Located;
use crate::address::Address;
use crate::finding::Finding;
use crate::spec::Spec;
use crate::state::{Record, State};

/// The moves of a spec that the state has not seen yet.
#[derive(Default)]
pub(crate) struct Moves {
    /// From the former to the present address.
    pub(crate) moves: BTreeMap<Address, Address>,
    pub(crate) findings: Vec<Located>,
}

impl Moves {
    pub(crate) fn of(spec: &Spec, state: &State) -> Self {
        let mut found = Self::default();
        for (to, block) in &spec.resources {
            let Some(from) = block.renamed_from.as_ref().filter(|from| state.knows(from)) else {
                continue;
            };
            let (entry, scope, operation) =
                (state.resources.get(from), state.scopes.get(from), state.operations.get(from));
            let former = entry
                .map(|entry| &entry.type_name)
                .or(scope.map(|scope| &scope.type_name))
                .or(operation.map(|operation| &operation.type_name));
            let finding = if state.knows(to) {
                let message = format!(
                    "`{from}` and `{to}` are both in the state, so one cannot have become the other"
                );
                Finding::error("PGF0208", message).help(format!(
                    "leave `renamed_from` out, or forget the one that is wrong: `pgferry state rm '{to}'`"
                ))
            } else if let Some(former) = former.filter(|former| **former != block.type_name) {
                let now = &block.type_name;
                let message =
                    format!("`{from}` is a `{former}`, so it cannot have become `{to}`, a `{now}`");
                Finding::error("PGF0208", message).help("leave `renamed_from` out")
            } else {
                found.moves.insert(from.clone(), to.clone());
                continue;
            };
            found.findings.push(Located { address: to.clone(), finding });
        }
        found
    }

    /// `state` with the moves done; `None` if there are none.
    pub(crate) fn done(&self, state: &State) -> Option<State> {
        if self.moves.is_empty() {
            return None;
        }
        let mut state = state.clone();
        let folded = state.fold(Record::Renamed { moves: self.moves.clone() });
        // Each was found in the state, and nothing under its new name; what does not follow moves nothing.
        folded.is_ok().then_some(state)
    }
}
