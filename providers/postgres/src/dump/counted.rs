//! What a dump or a copy knows of a table besides its name: how many rows it holds, and the checksum of their contents.
//!
//! Remembered with it, a line a table, so that a verification need not read the source again. Tested in
//! `tests/parallel.rs`, `tests/copy.rs` and `tests/verification.rs`.

use std::collections::BTreeMap;

use pgferry_engine::resource::Remembered;
use serde::{Deserialize, Serialize};

/// A table as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) rows: u64,
    /// Where the checksum is the one that a server would give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contents: Option<Contents>,
}

/// What is in its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// In the order in which they were hashed.
    pub(crate) columns: Vec<String>,
    /// Decimal; may need more than 64 bits. By another name than those that were made otherwise once.
    #[serde(rename = "digest")]
    pub(crate) checksum: String,
}

/// Where they are remembered.
pub(crate) const COUNTED: &str = "counted";

/// What a `dump` or copy remembers of its tables, by their displayed names; nothing if it was made otherwise.
pub(crate) fn counted(dump: &Remembered) -> BTreeMap<String, Counted> {
    dump.memory.get(COUNTED).and_then(|known| known.to_typed().ok()).unwrap_or_default()
}
