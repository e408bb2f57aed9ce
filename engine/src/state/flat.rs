//! Reads an entry in one go. Serde would first collect every field of a struct with flattened ones, and of a large state
//! that is most of the work of loading it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::{DoneUnder, Entry, Expanded, Removal};
use crate::address::Address;
use crate::info::{Kind, OnRemove};
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
    expanded: Option<Expanded>,
    #[serde(default)]
    removal: Option<Removal>,
    #[serde(default)]
    cut_over: Option<Timestamp>,
    #[serde(default)]
    done: Option<DoneUnder>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let flat = Flat::deserialize(deserializer)?;
        let Flat { id, inputs, attrs, memory, .. } = flat;
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
        })
    }
}
