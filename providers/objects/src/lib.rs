//! Buckets and objects over S3: the way of a dump from here to a restore elsewhere.
//!
//! It owns endpoints, credentials, single requests, streamed uploads and signed URLs, and keeps states in buckets of
//! any vendor ([`state`]). It knows neither resources nor plans nor the control planes that make buckets and keys.
//! Tested in `tests/`, against the S3 service of the sandbox over real HTTP.

mod bucket;
mod condition;
mod credentials;
mod encryption;
mod endpoint;
mod error;
mod listing;
mod patience;
mod privacy;
pub mod reference;
mod signed_request;
mod signed_url;
pub mod state;
mod uploader;
mod usable;

pub use bucket::{Bucket, ObjectMeta};
pub use credentials::{Credentials, SecretKey};
pub use endpoint::Endpoint;
pub use error::{Cause, Class, ObjectError};
pub use listing::Upload;
pub use privacy::Privacy;
pub use signed_url::{MAX_EXPIRES, Probe, SignedUrl, probe};
pub use uploader::{
    DEFAULT_IN_FLIGHT, DEFAULT_PART_SIZE, Finished, Uploader, part_size_for, part_size_from,
};
