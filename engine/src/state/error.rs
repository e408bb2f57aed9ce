//! Why a state cannot be read, written, continued or locked, and what to do next.

use std::io;

use super::FORMAT;

/// What to do about a value that would give a secret away.
pub const SECRET_IN_CLEAR: &str = "hand it on as what it is, into a field that takes secrets: by a `sensitive` variable, or one of the environment \
     with TOKEN, SECRET, PASSWORD or KEY in its name; if it is a name that happens to be the same as a password, change \
     the password, or write the name out in the spec";

/// The state cannot be read, written or locked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state `{path}` is empty or cut short: {why}")]
    Damaged { path: String, why: String },
    /// It can be read, and says what cannot be.
    #[error("the state `{path}` contradicts itself: {why}")]
    Invalid { path: String, why: String },
    #[error("the state `{path}` has format {found}; this pgferry knows formats up to {FORMAT}")]
    Newer { path: String, found: u64 },
    /// `pgferry state migrate` left this behind.
    #[error("the state that was at `{path}` has moved to `{to}`")]
    MovedAway { path: String, to: String },
    #[error("{doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the state is locked by {holder}")]
    Locked {
        holder: String,
        /// What names the lock to `pgferry force-unlock`; `None` where a lock dies with its process.
        id: Option<String>,
    },
    /// The lock was held, and is not any more.
    #[error("the lock on the state `{path}` is lost: {why}; nothing more is done")]
    Fenced { path: String, why: String },
    /// Somebody else has written since it was read.
    #[error("the state `{path}` was changed by somebody else meanwhile: {why}")]
    Overtaken { path: String, why: String },
    /// The store cannot keep what a state needs.
    #[error("a state cannot be kept at `{path}`: {why}")]
    Unfit { path: String, why: String, help: String },
    /// A value to be stored holds a secret, though its type says that it is none.
    #[error("`{field}` of `{address}` holds a secret, and would be stored in clear")]
    GivesAway { address: String, field: String },
    #[error("the journal beside `{path}` cannot be continued: {why}")]
    Journal { path: String, why: String },
}

impl StateError {
    /// The same once more, for those who failed after it and for the same reason.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Io { doing, path, source } => {
                let source = io::Error::new(source.kind(), source.to_string());
                Self::Io { doing, path: path.clone(), source }
            }
            Self::Fenced { path, why } => Self::Fenced { path: path.clone(), why: why.clone() },
            Self::Overtaken { path, why } => {
                Self::Overtaken { path: path.clone(), why: why.clone() }
            }
            other => Self::Io {
                doing: "writing the journal of",
                path: "the state".to_owned(),
                source: io::Error::other(other.to_string()),
            },
        }
    }

    /// What happened and its cause, on one line.
    pub fn chain(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// Whether somebody else has the state by now, and may be working in what is open.
    pub fn is_of_another(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::Overtaken { .. } | Self::Locked { .. })
    }

    /// What to do next.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Damaged { .. } => {
                "nothing was changed; `pgferry state repair` tells what is left, and puts the last good copy back"
                    .to_owned()
            }
            Self::Invalid { .. } => {
                "nothing was changed; `pgferry state repair` shows all that is wrong, and what it can put right"
                    .to_owned()
            }
            Self::Newer { .. } => "use the pgferry that wrote it, or a newer one".to_owned(),
            Self::MovedAway { to, .. } => {
                format!("write `state: {to}` in the spec, or give `--state {to}`")
            }
            Self::Locked { id: None, .. } => {
                "wait for it, or give `--lock-timeout 5m`; the lock goes with its process".to_owned()
            }
            Self::Locked { id: Some(id), .. } => format!(
                "wait for it, or give `--lock-timeout 5m`; if you know that its process is gone: \
                 `pgferry force-unlock {id}`"
            ),
            Self::Fenced { .. } => {
                "what was begun is in the journal; when the other run has ended, `pgferry apply` goes on"
                    .to_owned()
            }
            Self::Overtaken { .. } => {
                "nothing of it was overwritten; run the command again".to_owned()
            }
            Self::Unfit { help, .. } => help.clone(),
            Self::GivesAway { .. } => SECRET_IN_CLEAR.to_owned(),
            Self::Journal { .. } => {
                "nothing was changed; `pgferry state repair` shows how far it can be read".to_owned()
            }
            Self::Io { source, .. } => {
                use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
                if !matches!(source.kind(), FileTooLarge | QuotaExceeded | StorageFull) {
                    return None;
                }
                "make room there, then run the same again; what was done until then is recorded"
                    .to_owned()
            }
        })
    }
}
