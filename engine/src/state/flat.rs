//! Reads an entry in one go. Serde would first collect every field of a struct with flattened ones, and of a large state
//! that is most of the work of loading it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::{DoneUnder, Entry, Expanded, Removal};
use crate::address::Address;
use crate::info::{Kind, OnRemove};
use crate::pace::Pace;
use crate::resource::Remembered;
use crate::tree::Tree;

/// The fields of an [`Entry`] as they stand beside each other in the file.
#[derive(Deserialize)]
struct Flat {
    #[serde(rename = "type")]
    type_name: String,
    kind: Kind,
    id: String,
    inputs: Tree,
    attrs: Tree,
    memory: Tree,
    #[serde(default)]
    dependencies: Vec<Address>,
    on_remove: OnRemove,
    #[serde(default)]
    prevent_destroy: bool,
    #[serde(default)]
    replace_when: BTreeMap<String, Json>,
    #[serde(default)]
    expanded: Option<Box<Expanded>>,
    #[serde(default)]
    removal: Option<Removal>,
    #[serde(default)]
    cut_over: Option<Timestamp>,
    #[serde(default)]
    done: Option<Box<DoneUnder>>,
    #[serde(default)]
    pace: Option<Pace>,
}

/// Maps that attributes repeat of the fields are held once.
fn hold_once(inputs: &Tree, attrs: &mut Tree) {
    let (Tree::Map(inputs), Tree::Map(attrs)) = (inputs, attrs) else { return };
    for attr in attrs.values_mut().filter(|attr| matches!(attr, Tree::Map(_))) {
        if let Some(same) = inputs.values().find(|input| is_written_as(input, attr)) {
            attr.clone_from(same);
        }
    }
}

/// Whether both are the same, the order of their members included.
fn is_written_as(a: &Tree, b: &Tree) -> bool {
    match (a, b) {
        (Tree::Map(a), Tree::Map(b)) => {
            let same = |((a, one), (b, other))| a == b && is_written_as(one, other);
            a.len() == b.len() && a.iter().zip(b.iter()).all(same)
        }
        (Tree::List(a), Tree::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_written_as(a, b))
        }
        _ => a == b,
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        let Flat { id, inputs, mut attrs, memory, .. } = flat;
        hold_once(&inputs, &mut attrs);
        Ok(Self {
            type_name: flat.type_name,
            kind: flat.kind,
            remembered: Remembered { id, inputs, attrs, memory },
            dependencies: flat.dependencies,
            on_remove: flat.on_remove,
            prevent_destroy: flat.prevent_destroy,
            replace_when: flat.replace_when,
            expanded: flat.expanded,
            removal: flat.removal,
            cut_over: flat.cut_over,
            done: flat.done,
            pace: flat.pace,
        })
    }
}
