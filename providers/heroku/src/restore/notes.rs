//! What a restore notes in the journal: enough for whoever comes next to find it and to tell whose data are there.

use jiff::Timestamp;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Tls;
use pgferry_engine::resource::Intent;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// All notes under one intent. No secrets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Notes {
    /// The request may have been sent.
    pub(super) requested: bool,
    /// The uuid of the transfer, once it is known.
    pub(super) transfer: Option<String>,
    /// The target's fingerprint after a transfer that failed.
    pub(super) left: Option<Json>,
    pub(super) app: Option<String>,
    /// The id of the add-on.
    pub(super) database: Option<String>,
    /// The address of the add-on.
    pub(super) target: Option<String>,
    pub(super) tls: Option<Tls>,
    /// The key of the object.
    pub(super) object: Option<String>,
    /// The path of the URL, by which the transfer is known.
    pub(super) object_path: Option<String>,
    /// What tells one dump of that name from another.
    pub(super) dump: Option<String>,
    /// The highest number of a transfer before.
    pub(super) after: Option<u64>,
    /// The target's fingerprint before.
    pub(super) found: Option<Json>,
    pub(super) at: Option<Timestamp>,
}

impl Notes {
    /// Those of an intent that was cut short.
    pub(super) fn of(intent: &Intent) -> Self {
        serde_json::from_value(intent.notes.clone()).unwrap_or_default()
    }

    pub(super) fn json(&self) -> Result<Json, Fault> {
        serde_json::to_value(self)
            .map_err(|cause| Fault::bug("notes that do not serialise").because(cause))
    }
}
