//! Emulators of the Linode API, the Heroku Platform and Data APIs and S3 on loopback, backed by real Postgres servers.
//!
//! It owns the demo, the stage of the end-to-end tests and the user's rehearsal room. It knows nothing of the engine and
//! the providers, and they know nothing of it: they meet over HTTP and the Postgres protocol only. [`up`], [`down`] and
//! [`status`] manage one in the background, which calls [`serve`]; [`Sandbox::start`] runs one inside this process.
//! Tested by unit tests beside the code and over the wire in `tests/`.

#![allow(clippy::disallowed_methods, reason = "an emulator lives in real time")]

mod admin;
mod cluster;
mod daemon;
mod door;
mod environment;
mod error;
mod faults;
mod heroku;
mod installation;
mod linode;
mod moment;
mod random;
mod remains;
pub mod s3;
mod sandbox;
mod seed;
mod tls;
mod world;

pub use daemon::{Status, down, serve, status, up};
pub use environment::Environment;
pub use error::Error;
pub use sandbox::{Options, Sandbox};
