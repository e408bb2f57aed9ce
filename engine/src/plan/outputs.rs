//! Outputs that will have another value than they have by what is remembered.
//!
//! Nothing stores outputs: both sides follow from the spec's own text, evaluated with what the state remembers and
//! with what the plan expects. Tested in `tests/output.rs` of this crate.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Action, Change, Input};
use crate::address::Address;
use crate::state::Entry;
use crate::template::Template;
use crate::tree::{Handle, Handles, Tree};

/// One output, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputChange {
    /// `None`: it has no value yet.
    pub before: Option<Json>,
    pub after: Option<Json>,
    /// Known after apply.
    #[serde(default)]
    pub unknown: bool,
    #[serde(default)]
    pub sensitive: bool,
}

/// Outputs that are new or change.
pub(super) fn outputs(
    input: &Input<'_>,
    changes: &BTreeMap<Address, Change>,
    handles: &Handles,
) -> BTreeMap<String, OutputChange> {
    let mut found = BTreeMap::new();
    for (name, template) in &input.spec.outputs {
        if let Some(change) = change(input, changes, handles, template) {
            found.insert(name.clone(), change);
        }
    }
    found
}

fn change(
    input: &Input<'_>,
    changes: &BTreeMap<Address, Change>,
    handles: &Handles,
    template: &Template,
) -> Option<OutputChange> {
    let references = template.references();
    let entry = |address: &Address| input.state.resources.get(address);
    let moves = references.iter().any(|reference| {
        changes
            .get(&reference.address)
            .is_some_and(|c| !matches!(c.action, Action::NoOp | Action::Forget))
    });
    let sensitive = references.iter().any(|reference| {
        let Some(crate::template::Step::Member(name)) = reference.path.first() else {
            return false;
        };
        let info = changes.get(&reference.address).and_then(|c| input.catalog.get(&c.type_name));
        info.is_some_and(|info| info.is_secret(name))
    });
    let after = template.evaluate(&|address| handles.get(address));
    let known = references.iter().all(|reference| entry(&reference.address).is_some());
    let before = known.then(|| {
        let recalled: BTreeMap<&Address, Arc<Handle>> = references
            .iter()
            .filter_map(|r| Some((&r.address, recalled(&r.address, entry(&r.address)?))))
            .collect();
        template.evaluate(&|address| recalled.get(address))
    });
    let sensitive = sensitive || after.has_secret();
    let unknown = after.has_unknown();
    let (was, will) = (before.as_ref().map(Tree::storable), after.shown().storable());
    // What cannot be compared changes only with what it comes from.
    let same = if unknown || sensitive { known && !moves } else { was.as_ref() == Some(&will) };
    if same {
        return None;
    }
    Some(OutputChange { before: was, after: Some(will), unknown, sensitive })
}

fn recalled(address: &Address, entry: &Entry) -> Arc<Handle> {
    let attrs = match entry.remembered.attrs.recalled() {
        Tree::Map(map) => map,
        _ => Default::default(),
    };
    let id = Some(entry.remembered.id.clone());
    Arc::new(Handle { address: address.clone(), id, attrs })
}
