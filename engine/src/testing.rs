//! Promises as tests, for every implementation of a contract of the engine to run.
//!
//! Only in tests: of this crate, or of another by the feature `testing`. A broken promise panics.

pub mod stores;
