//! A client for JSON over HTTP: who we are, how often we try, and what an answer that is no success means.
//!
//! Knows no service: paths, bodies and the meaning of error ids are the callers'. Bodies are never logged, and errors
//! hold neither URLs nor credentials. Tested beside each module and, over real sockets, in `tests/`.

mod answer;
mod call;
mod client;
mod error;
mod origin;
mod retry;

pub use answer::Answer;
pub use call::Call;
pub use client::{Client, Service};
pub use error::{Error, Refused};
pub use origin::{is_loopback, origin};
pub use reqwest::Method;
