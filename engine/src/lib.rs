//! The engine: from a spec to a plan, from a plan to a changed world, and the memory of it.
//!
//! `Spec → Graph → (refresh) → Plan → Apply → State`, each stage a value. The engine knows no provider and no
//! network: resources reach it through [`resource::Resource`], the world through [`cx::Cx`]. Tested with in-memory
//! resources beside each module, and end to end by the root package.

pub mod address;
pub mod adopt;
pub mod apply;
mod check;
pub mod codes;
mod complete;
pub mod cx;
pub mod diag;
pub mod event;
pub mod expr;
pub mod fault;
pub mod finding;
mod foreign;
pub mod graph;
pub mod handles;
pub mod info;
pub mod pace;
pub mod plan;
pub mod reference;
pub mod refresh;
pub mod resource;
pub mod schema;
pub mod secret;
pub mod source;
pub mod spec;
pub mod state;
pub mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tree;
