//! The JSON lines as types: what `schema/events.schema.json` is made from.
//!
//! One object a line. Readers ignore types and members they do not know; within one major version of `ui`, members are
//! added and never change their meaning.

use std::collections::BTreeMap;

use pgferry_engine::address::Address;
use pgferry_engine::event::Progress;
use pgferry_engine::finding::Finding;
use pgferry_engine::plan::{Counts, Expected};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

/// One line.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Line {
    #[serde(rename = "@level")]
    pub(crate) level: Level,
    /// The line in words.
    #[serde(rename = "@message")]
    pub(crate) message: String,
    /// Always `pgferry.ui`.
    #[serde(rename = "@module")]
    pub(crate) module: &'static str,
    /// RFC 3339.
    #[serde(rename = "@timestamp")]
    pub(crate) timestamp: String,
    #[serde(flatten)]
    pub(crate) told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// What a line tells.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Told {
    /// The first line of every stream.
    Version {
        pgferry: &'static str,
        ui: &'static str,
    },
    /// Reality is asked about a resource.
    RefreshStart {
        hook: Hook,
    },
    RefreshComplete {
        hook: Hook,
    },
    /// A resource is not as it was left.
    ResourceDrift {
        change: Planned,
    },
    PlannedChange {
        change: Planned,
    },
    /// What the preflight or the gate found.
    Finding {
        finding: Found,
    },
    /// After a plan, and after an apply or destroy that did all of it.
    ChangeSummary {
        changes: Changes,
    },
    Outputs {
        outputs: BTreeMap<String, Output>,
    },
    ApplyStart {
        hook: Hook,
    },
    /// Again and again while an act goes on, at least every ten seconds.
    ApplyProgress {
        hook: Hook,
        progress: Progress,
        /// Units a second at present, as a rule bytes. Left out while it is not known.
        #[serde(skip_serializing_if = "Option::is_none")]
        rate: Option<u64>,
        /// How long it takes until all is done, at this rate.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_left: Option<u64>,
    },
    ApplyComplete {
        hook: Hook,
    },
    ApplyErrored {
        hook: Hook,
        #[serde(skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// Whether it happened is not known, or it goes on elsewhere; the next apply settles it.
    ApplyUnsettled {
        hook: Hook,
    },
    /// A line of output of a command, or a table of a verification.
    ProvisionProgress {
        hook: Hook,
        output: String,
    },
    Diagnostic {
        diagnostic: Diagnostic,
    },
    /// Anything else that people are told.
    Log {
        #[serde(skip_serializing_if = "Option::is_none")]
        hook: Option<Hook>,
    },
    /// The last line of an apply or destroy that did not do all of it.
    ApplyIncomplete {
        /// What was done, in numbers.
        changes: Changes,
        done: Vec<Address>,
        failed: Vec<Failed>,
        not_attempted: Vec<Address>,
        /// Scopes that stay open, and why.
        held: BTreeMap<Address, String>,
        interrupted: bool,
    },
}

/// A resource, in the terms of Terraform's readers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Resource {
    pub(crate) addr: Address,
    /// Always empty: there are no modules.
    pub(crate) module: &'static str,
    pub(crate) resource: Address,
    pub(crate) implied_provider: String,
    pub(crate) resource_type: String,
    pub(crate) resource_name: String,
    /// The key of one of several, by `for_each`.
    pub(crate) resource_key: Option<String>,
}

/// A resource that something happens to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Hook {
    pub(crate) resource: Resource,
    /// `create`, `update`, `replace`, `delete`, `read`, `run`, `open`, `close` or `check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) elapsed_seconds: Option<u64>,
}

/// One planned change.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Planned {
    pub(crate) resource: Resource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_resource: Option<Resource>,
    /// `noop`, `move`, `remove` (forget), `create`, `read`, `update`, `replace`, `delete`, `import`, `run`; of scopes
    /// `open`, `renew` (take over), `close` and `hold`.
    pub(crate) action: &'static str,
    /// Terraform's reason, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// All reasons in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reasons: Vec<String>,
    /// How long a run is expected to take, or a window to be open. Left out where nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<Expected>,
}

/// The numbers of a summary.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Changes {
    pub(crate) add: usize,
    pub(crate) change: usize,
    pub(crate) import: usize,
    pub(crate) remove: usize,
    pub(crate) operation: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Plan,
    Apply,
    Destroy,
}

impl Changes {
    pub(crate) fn of(counts: Counts, operation: Operation) -> Self {
        let Counts { import, add, change, destroy: remove } = counts;
        Self { add, change, import, remove, operation }
    }
}

/// One output.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    pub(crate) sensitive: bool,
    /// After a plan: `create`, `update` or `noop`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'static str>,
    /// Left out while it is not known, and of secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Json>,
}

/// A finding and whose it is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Found {
    pub(crate) address: Address,
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

/// An error or a warning, in the shape of `terraform validate -json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Diagnostic {
    /// `error` or `warning`.
    pub(crate) severity: String,
    pub(crate) summary: String,
    /// What to do about it.
    pub(crate) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<Address>,
    /// A code for `pgferry explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// The place in the spec: `filename`, `start` and `end`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) snippet: Option<Json>,
}

/// What failed, and whether it may have happened all the same.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Failed {
    pub(crate) address: Address,
    pub(crate) message: String,
    /// It may have happened, or goes on elsewhere.
    pub(crate) unknown: bool,
}
