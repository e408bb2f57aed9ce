//! What happens during an apply, as facts; the command line turns them into words or JSON lines.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::address::Address;
use crate::finding::Finding;

/// How far a long operation is. Bytes and rows are of the object or table named by `what`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Progress {
    /// "dumping", "restoring", "provisioning", "checking `public.accounts`".
    pub what: String,
    pub done: Option<u64>,
    /// An estimate where the total is not known exactly.
    pub total: Option<u64>,
    /// `bytes`, `rows` or `tables`.
    pub unit: Option<&'static str>,
    /// Rows so far, where `unit` is something else and they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The tables under way at this moment, the largest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// How far one of several tables is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Part {
    /// As displayed: `public.accounts`.
    pub name: String,
    pub bytes: u64,
    /// An estimate of them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// One fact about a running apply.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An effect begins. `verb` is the Terraform word: creating, modifying, destroying, running, opening, closing.
    Started { address: Address, verb: &'static str, id: Option<String> },
    /// Still at it.
    Progress { address: Address, verb: &'static str, elapsed: Duration, progress: Progress },
    /// It is done.
    Succeeded { address: Address, verb: &'static str, elapsed: Duration, id: Option<String> },
    /// We lost sight of it: it goes on elsewhere, or its outcome is not known.
    Unsettled { address: Address, verb: &'static str, elapsed: Duration, message: String },
    /// It failed.
    Failed {
        address: Address,
        verb: &'static str,
        elapsed: Duration,
        message: String,
        help: Option<String>,
    },
    /// A finding that only the gate could make.
    Finding { address: Address, finding: Finding },
    /// Something a provider wants people to read.
    Warning { address: Address, message: String },
    /// A line of output of a command, or a table of a verification.
    Output { address: Address, text: String },
    /// A retry after a passing fault.
    Retrying { address: Address, message: String, after: Duration },
    /// A scope is not closed yet: `running` may go on elsewhere and needs it. `what` is known of that.
    Holding { address: Address, running: Address, what: String },
    /// Reality is asked about a resource, while planning.
    Reading { address: Address },
    /// It has answered; `id` is `None` if nothing is there.
    Read { address: Address, id: Option<String> },
}

/// Where events go. Called from many tasks; must not block for long.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// Drops every event; for reads whose progress nobody watches.
pub struct Silent;

impl Sink for Silent {
    fn event(&self, _: Event) {}
}
