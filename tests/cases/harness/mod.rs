//! Reads cases, makes their databases and specs, runs the binary, and judges what came of it.

pub(crate) mod case;
pub(crate) mod outcome;
pub(crate) mod specs;
pub(crate) mod world;
