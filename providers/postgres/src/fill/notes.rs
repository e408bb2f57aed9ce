//! What a run that fills a database notes in the journal before it changes the target: enough to tell later whose data are there.

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::{Intent, Remembered};
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::target::Known;

/// All notes under one intent. No secrets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// The database that is being filled.
    pub(crate) target: Option<String>,
    /// Its fingerprint before.
    pub(crate) found: Option<Json>,
    /// What was about to be made there, by [`crate::target::Object::key`].
    pub(crate) brought: Vec<String>,
    /// Its fingerprint after an attempt that failed; none if the attempt was cut short.
    pub(crate) left: Option<Json>,
}

impl Notes {
    /// Those of an intent that was cut short.
    pub(crate) fn of(intent: &Intent) -> Self {
        serde_json::from_value(intent.notes.clone()).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Result<Json, Fault> {
        serde_json::to_value(self)
            .map_err(|cause| Fault::bug("notes that do not serialise").because(cause))
    }

    /// Whether what is in the database at `place` is what an attempt of ours left when it was cut short.
    pub(crate) fn is_ours(&self, place: &str) -> bool {
        self.target.as_deref() == Some(place) && self.left.is_none()
    }

    /// What is known of the database at `place`.
    pub(crate) fn known(&self, place: &str, remembered: Option<&Remembered>) -> Known {
        let done = remembered.and_then(|it| it.memory.get("fingerprint")).map(Tree::storable);
        let accepted = [done, self.found.clone(), self.left.clone()];
        let begun = self.is_ours(place).then(|| self.found.clone().unwrap_or_default());
        let accepted = accepted.into_iter().flatten().collect();
        Known { accepted, begun, brought: self.brought.clone(), ..Known::default() }
    }
}
