//! Filling a database: what a copy and a restore have in common, wherever the rows come from.
//!
//! The claim on the target, the entries of the schema, the indexes and keys behind the rows, and what comes last. It
//! knows neither source nor archive. Tested in `tests/copy.rs` and `tests/restore.rs`.

pub(crate) mod after;
pub(crate) mod attver;
pub(crate) mod builds;
pub(crate) mod carry;
pub(crate) mod claim;
mod empty;
pub(crate) mod ending;
pub(crate) mod guard;
pub(crate) mod hands;
pub(crate) mod keys;
pub(crate) mod meter;
mod notes;
pub(crate) mod outside;
pub(crate) mod pour;
pub(crate) mod script;
pub(crate) mod sessions;
pub(crate) mod written;

/// Connections that carry rows, where nobody says otherwise: enough for a small server, few enough for its limit.
pub(crate) const JOBS: usize = 4;
