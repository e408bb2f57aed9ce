//! Why a state cannot be read, written, continued or locked, and what to do next.

use std::io;

use super::FORMAT;

/// The state cannot be read, written or locked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state `{path}` is empty or cut short: {why}")]
    Damaged { path: String, why: String },
    #[error("the state `{path}` has format {found}; this pgferry knows formats up to {FORMAT}")]
    Newer { path: String, found: u64 },
    #[error("{doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the state is locked by {holder}")]
    Locked { holder: String },
    #[error("the journal beside `{path}` cannot be continued: {why}")]
    Journal { path: String, why: String },
}

impl StateError {
    /// What to do next.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Damaged { path, .. } => Some(format!(
                "nothing was changed; put the last good copy back: `cp {path}.backup {path}`, then run `pgferry plan`"
            )),
            Self::Newer { .. } => Some("use the pgferry that wrote it, or a newer one".to_owned()),
            Self::Locked { .. } => Some(
                "wait for it, or give `--lock-timeout 5m`; the lock goes with its process"
                    .to_owned(),
            ),
            Self::Journal { path, .. } => {
                Some(format!("keep `{path}` and its journal, and report this; nothing was changed"))
            }
            Self::Io { source, .. } => {
                use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
                let full = matches!(source.kind(), FileTooLarge | QuotaExceeded | StorageFull);
                full.then(|| {
                    "make room there, then run the same again; what was done until then is recorded"
                        .to_owned()
                })
            }
        }
    }
}
