//! Drift: reality is not as the state remembers it.
//!
//! Compares what was read with what a resource was last acted on with, field by field. It is told before the changes
//! that follow from it, and decides nothing. Tested in `tests/output.rs` of this crate.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::compare::difference;
use super::{Answer, Ask, Change, FieldChange, Input, Reality};
use crate::address::Address;
use crate::info::{FieldRole, Kind};
use crate::tree::Tree;

/// The reason for making what should be there already. Staging that is gone and not missed is not made.
pub(super) const ABSENT: &str = "absent in reality";

/// What became of one resource behind our back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    #[serde(rename = "type")]
    pub type_name: String,
    pub kind: Kind,
    /// It is not there any more.
    pub gone: bool,
    /// Fields that were set to `before` and are `after` now; of a plan that only looks, attributes too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

/// The drift of everything that was read for this plan.
pub(super) fn drift(
    input: &Input<'_>,
    reality: &Reality,
    changes: &BTreeMap<Address, Change>,
) -> BTreeMap<Address, Drift> {
    let mut found = BTreeMap::new();
    // What was in something that is gone is gone with it, and was not even asked about.
    for (address, change) in changes {
        if change.kind == Kind::Managed && change.reasons.iter().any(|reason| reason == ABSENT) {
            let type_name = change.type_name.clone();
            found.insert(
                address.clone(),
                Drift { type_name, kind: change.kind, gone: true, fields: Vec::new() },
            );
        }
    }
    for ((address, ask), answer) in reality {
        let (Ask::Read, Answer::Live(live)) = (ask, answer) else { continue };
        let (Some(entry), Some(info)) = (
            input.state.resources.get(address),
            changes.get(address).and_then(|change| input.catalog.get(&change.type_name)),
        ) else {
            continue;
        };
        if entry.kind != Kind::Managed || entry.type_name != info.name {
            continue;
        }
        let Some(live) = live else { continue };
        let ignored =
            input.spec.resources.get(address).map(|block| &block.lifecycle.ignore_changes);
        let fields = live.fields.iter().filter_map(|(name, there)| {
            let told = matches!(
                info.role(name),
                FieldRole::Plain | FieldRole::Identity | FieldRole::Replaces
            );
            let left_alone = ignored.is_some_and(|names| names.contains(name));
            let before = entry.remembered.inputs.get(name)?;
            if !told || left_alone || before.get("$address").is_some() {
                return None;
            }
            difference(name, &Tree::from_json(there), Some(before), info.field(name))
        });
        let fields: Vec<FieldChange> = fields.collect();
        if !fields.is_empty() {
            let type_name = entry.type_name.clone();
            found
                .insert(address.clone(), Drift { type_name, kind: info.kind, gone: false, fields });
        }
    }
    found
}
