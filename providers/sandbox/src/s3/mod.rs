//! An S3 service on loopback, with the manners of Ceph's gateway: path-style requests, real signature checks,
//! objects as files.
//!
//! It owns buckets, objects, uploads under way and access keys, and forgets them when it is dropped. It knows nothing
//! of the control plane that makes buckets and keys; that one calls [`S3`]. Tested by unit tests of each part here,
//! and over real HTTP, with an independent client, in `tests/s3.rs`.

mod access;
mod answer;
mod body;
mod bucket;
mod bucket_requests;
mod failure;
mod head;
mod listing;
mod object_requests;
mod signature;
mod upload_requests;
mod uri;
mod xml;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use jiff::{SignedDuration, Timestamp};

use access::Keys;
use body::BlobFolder;
use bucket::{Bucket, Heeds};

/// What an access key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grants {
    /// Everything, in every bucket, and making and removing buckets.
    Unlimited,
    /// Objects of the named buckets only; `true` means that it may write, too.
    Limited(Vec<(String, bool)>),
}

/// An access key as the control plane hands it over.
#[derive(Clone)]
pub struct Key {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: String,
    /// What it may do.
    pub grants: Grants,
    /// Until then it is refused, as a key of the real service is for its first half minute.
    pub active_after: Option<Instant>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Key")
            .field("access_key", &self.access_key)
            .field("secret_key", &"(sensitive)")
            .field("grants", &self.grants)
            .field("active_after", &self.active_after)
            .finish()
    }
}

/// A bucket as the control plane shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The sizes of its objects, added up; uploads under way do not count.
    pub bytes: u64,
    /// How many objects it holds.
    pub objects: u64,
}

/// An object as the control plane lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its key.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// When it was completed.
    pub last_modified: Timestamp,
}

/// There is a bucket of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a bucket named `{0}`")]
pub struct BucketExists(pub String);

/// Why a bucket was not removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// It is not there.
    #[error("there is no bucket named `{0}`")]
    Missing(String),
    /// It holds objects or uploads under way.
    #[error("the bucket `{0}` is not empty")]
    NotEmpty(String),
}

/// The service. Clones share everything.
#[derive(Clone)]
pub struct S3 {
    shared: Arc<Shared>,
}

struct Shared {
    host: String,
    blobs: BlobFolder,
    /// How many seconds its clock is ahead, where it tells ages.
    ahead: AtomicI64,
    world: Mutex<World>,
}

#[derive(Default)]
struct World {
    buckets: BTreeMap<String, Bucket>,
    keys: Keys,
}

impl S3 {
    /// Makes an empty service whose objects live in files below `data_dir`; what an earlier service left there is
    /// removed.
    ///
    /// `host` is what clients see in the answers (`127.0.0.1:PORT`).
    ///
    /// # Errors
    /// When the folder cannot be made or cleared.
    pub fn open(data_dir: &Path, host: String) -> io::Result<Self> {
        Ok(Self {
            shared: Arc::new(Shared {
                host,
                blobs: BlobFolder::open(&data_dir.join("blobs"))?,
                ahead: AtomicI64::new(0),
                world: Mutex::default(),
            }),
        })
    }

    /// Every path of one origin: mount it as the whole service of a listener.
    pub fn router(&self) -> Router {
        let service = self.clone();
        Router::new().fallback(move |request: Request| {
            let service = service.clone();
            async move { service.serve(request).await }
        })
    }

    /// Makes a private, empty bucket.
    ///
    /// # Errors
    /// [`BucketExists`].
    pub fn create_bucket(&self, name: &str) -> Result<(), BucketExists> {
        let mut world = self.world();
        if world.buckets.contains_key(name) {
            return Err(BucketExists(name.to_owned()));
        }
        world.buckets.insert(name.to_owned(), Bucket::new(Timestamp::now()));
        Ok(())
    }

    /// Removes an empty bucket; an upload under way makes it non-empty.
    ///
    /// # Errors
    /// [`BucketError`].
    pub fn delete_bucket(&self, name: &str) -> Result<(), BucketError> {
        let mut world = self.world();
        let Some(bucket) = world.buckets.get(name) else {
            return Err(BucketError::Missing(name.to_owned()));
        };
        if !bucket.is_empty() {
            return Err(BucketError::NotEmpty(name.to_owned()));
        }
        world.buckets.remove(name);
        Ok(())
    }

    /// All buckets, by name.
    pub fn buckets(&self) -> Vec<BucketInfo> {
        self.world().buckets.iter().map(|(name, bucket)| bucket.info(name)).collect()
    }

    /// Sets a canned list of a bucket (`private`, `public-read`, …); without effect if there is no such bucket.
    pub fn set_acl(&self, name: &str, acl: &str) {
        if let Some(bucket) = self.world().buckets.get_mut(name) {
            bucket.acl = acl.to_owned();
        }
    }

    /// Makes a bucket keep versions, or not any more: as in Ceph, `If-None-Match` is then ignored. The versions
    /// themselves are not kept.
    pub fn set_versioned(&self, name: &str, is_versioned: bool) {
        if let Some(bucket) = self.world().buckets.get_mut(name) {
            bucket.heeds = if is_versioned { Heeds::IfMatch } else { Heeds::Both };
        }
    }

    /// Makes PUTs to a bucket succeed whatever their conditions, as some stores do.
    pub fn ignore_conditions(&self, name: &str) {
        if let Some(bucket) = self.world().buckets.get_mut(name) {
            bucket.heeds = Heeds::Nothing;
        }
    }

    /// Sets the clock by which objects are put `ahead` of this machine's, so that what is there already has aged.
    pub fn set_clock_ahead(&self, ahead: Duration) {
        let seconds = i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX);
        self.shared.ahead.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.shared.ahead.load(Ordering::Relaxed));
        Timestamp::now().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    /// The canned list of a bucket.
    pub fn acl(&self, name: &str) -> Option<String> {
        self.world().buckets.get(name).map(|bucket| bucket.acl.clone())
    }

    /// The objects of a bucket, by key; none if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> Vec<ObjectInfo> {
        self.world().buckets.get(bucket).map(Bucket::objects).unwrap_or_default()
    }

    /// How many multipart uploads are under way in a bucket.
    pub fn uploads(&self, bucket: &str) -> usize {
        self.world().buckets.get(bucket).map_or(0, |bucket| bucket.uploads.len())
    }

    /// Lets a key in; one of the same public half is replaced.
    pub fn add_key(&self, key: Key) {
        self.world().keys.insert(key);
    }

    /// Refuses a key from now on, with everything it signed before.
    pub fn revoke_key(&self, access_key: &str) {
        self.world().keys.remove(access_key);
    }

    // A panic while the lock is held leaves plain maps that are still whole.
    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
