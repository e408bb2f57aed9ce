//! A spec, read and checked: what should be true, with every mistake already reported.
//!
//! [`load`] is the whole way from text to [`Spec`] and [`crate::graph::Graph`], offline. Tested by broken specs with
//! their full messages in `spec/tests.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde_json::Value as Json;

use crate::address::Address;
use crate::diag::Span;
use crate::info::OnRemove;
use crate::template::{Reference, Template, Templates};
use crate::tree::{Handle, Tree};

mod blocks;
mod edges;
pub(crate) mod for_each;
pub(crate) mod interpolate;
mod lifecycle;
mod read;
pub(crate) mod scope;
mod secrecy;
#[cfg(test)]
pub(crate) mod tests;
mod timeouts;
mod validation;
mod variables;

pub(crate) use lifecycle::{LIFECYCLE, OF_RUNS};
pub(crate) use read::HEADER;
pub use read::{Inputs, Loaded, load};
pub use timeouts::Timeouts;
pub(crate) use timeouts::schema as timeouts_schema;
pub(crate) use variables::DECLARATION;

/// What every resource takes besides its type's own fields.
pub(crate) const COMMON_FIELDS: &[&str] = &[
    "type",
    "for_each",
    "depends_on",
    "on_remove",
    "lifecycle",
    "on_exists",
    "renamed_from",
    "timeouts",
];

/// Names that begin references of their own.
pub(crate) const RESERVED_NAMES: &[&str] = &["var", "env", "each"];

/// One migration, as its file says it. Variables and environment are already put in.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Names the migration in state, locks and labels.
    pub name: String,
    /// The label that makes runs happen again when it changes.
    pub run: String,
    /// Where the state is; a path relative to the spec's folder. `None`: `pgferry.state.json` beside the spec.
    pub state: Option<String>,
    /// The spec's folder; relative paths start there.
    pub base: PathBuf,
    /// Settings by provider name; only constants, variables and environment.
    pub providers: IndexMap<String, Tree>,
    /// In the order written.
    pub resources: Blocks,
    pub outputs: Templates,
}

/// Blocks by address, in the order written.
pub type Blocks = IndexMap<Address, Block, FxBuildHasher>;

/// One resource as written.
#[derive(Clone, Debug)]
pub struct Block {
    pub address: Address,
    /// A type of the catalogue.
    pub type_name: String,
    /// The type's own fields.
    pub fields: Templates,
    pub depends_on: Vec<Address>,
    pub on_remove: Option<OnRemove>,
    /// Blocks that say nothing of it share one.
    pub lifecycle: Arc<Lifecycle>,
    pub on_exists: OnExists,
    /// What it was called when the state last heard of it.
    pub renamed_from: Option<Address>,
    pub timeouts: Timeouts,
    /// Of the block's name, for messages.
    pub span: Span,
}

/// `lifecycle:` of a managed resource; of a run, `replace_when` alone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Nothing may delete it: no removal of its block, no `--replace`, no `destroy`. The state remembers.
    pub prevent_destroy: bool,
    /// Names of fields that are left as they are once it exists.
    pub ignore_changes: Vec<String>,
    /// Values by the reference that was written: a change of one since the last act forces another.
    pub replace_when: Templates,
}

impl Lifecycle {
    /// What was written; else the one that all blocks share.
    fn of(written: Option<Self>) -> Arc<Self> {
        static NONE: LazyLock<Arc<Lifecycle>> = LazyLock::new(Arc::default);
        written.map_or_else(|| Arc::clone(&NONE), Arc::new)
    }

    /// What the references in `replace_when` are, as it is stored; what is not known yet is left out.
    pub fn known<'h>(
        &self,
        resolve: &dyn Fn(&Address) -> Option<&'h Arc<Handle>>,
    ) -> BTreeMap<String, Json> {
        let known = |(text, template): (&String, &Template)| {
            let tree = template.evaluate(resolve);
            (!tree.has_unknown()).then(|| (text.clone(), tree.storable()))
        };
        self.replace_when.iter().filter_map(known).collect()
    }
}

impl Block {
    /// What its fields refer to, and what `replace_when` does, in the order written.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        let templates = self.fields.values().chain(self.lifecycle.replace_when.values());
        templates.flat_map(Template::references)
    }
}

/// What is done about a thing that exists already and is not in the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExists {
    /// It is taken into the state, and brought to what the spec says.
    #[default]
    Adopt,
    /// The plan stops.
    Fail,
}
