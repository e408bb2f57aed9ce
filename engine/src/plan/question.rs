//! What a draft needs to know of reality before it can be a plan.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::address::Address;
use crate::finding::Finding;
use crate::resource::{Intent, Live, Remembered, Settled};
use crate::tree::Tree;

/// The kind of a question; each is asked at most once for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// By id, or a lookup.
    Read,
    /// By natural key.
    Find,
    /// What `like` stands for.
    Expand,
    /// What became of an act that was cut short.
    Settle,
    /// The facts of the preflight.
    Inspect,
    /// Whether what a run filled is still there.
    Lost,
}

/// One question, with all that is needed to answer it.
#[derive(Debug)]
pub struct Question {
    pub address: Address,
    pub type_name: String,
    pub ask: Ask,
    /// The fields as far as they are known.
    pub want: Tree,
    pub remembered: Option<Remembered>,
    pub intent: Option<Intent>,
}

/// The answer.
#[derive(Debug)]
pub enum Answer {
    /// To `Read` and `Find`; `None`: absent.
    Live(Option<Live<Tree>>),
    Expanded(Option<IndexMap<String, Json>>),
    Settled(Settled<Tree>),
    /// `known` is false if the facts must wait for the gate.
    Inspected {
        known: bool,
        findings: Vec<Finding>,
        /// How much a run would move.
        bytes: Option<u64>,
    },
    /// Why what a run filled is no longer there, if so; or why that could not be found out.
    Lost(Result<Option<String>, String>),
    /// It could not be found out; already worded for people.
    Failed(Finding),
}

/// All answers so far.
pub type Reality = BTreeMap<(Address, Ask), Answer>;
