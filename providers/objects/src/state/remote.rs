//! Small objects in a store of any vendor, put under conditions that the store decides at one instant.
//!
//! An answer that got lost is not guessed at: what is there is read and compared. Ceph's gateway compares `If-Match`
//! with the ETag without its quotes, so after a refusal of something unchanged the other form is tried. Requests are
//! repeated here and not by the library, which would not tell that a refusal is one of its own earlier success. Tested
//! through `tests/state.rs`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};

use crate::bucket::unquoted;
use crate::error::{Class, ObjectError};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const AT_ONCE: usize = 16;

/// What a put makes of an object; the next one may be put over exactly that.
#[derive(Clone, Debug)]
pub(super) struct Version(UpdateVersion);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        let plain = |version: &Self| version.0.e_tag.as_deref().map(unquoted);
        plain(self) == plain(other) && self.0.version == other.0.version
    }
}

/// An object as it is now.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) bytes: Bytes,
    pub(super) version: Version,
    /// By the store's own clock.
    pub(super) modified: Timestamp,
}

/// The store. Clones share everything.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    /// ETags are sent without quotes.
    is_bare: Arc<AtomicBool>,
}

impl Remote {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, is_bare: Arc::default() }
    }

    /// The object, or `None` if it is not there.
    pub(super) async fn get(&self, key: &Path) -> Result<Option<Found>, ObjectError> {
        repeated(|| async {
            let attempt = format!("reading `{key}`");
            let found = in_time(&attempt, async {
                let found = self.store.get(key).await?;
                let (meta, attributes) = (found.meta.clone(), found.bytes().await?);
                Ok((meta, attributes))
            });
            let (meta, bytes) = match found.await {
                Ok(found) => found,
                Err(error) if is_missing_object(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            let modified = Timestamp::from_millisecond(meta.last_modified.timestamp_millis());
            Ok(Some(Found {
                bytes,
                version: Version(UpdateVersion { e_tag: meta.e_tag, version: meta.version }),
                modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
            }))
        })
        .await
    }

    /// Puts an object where none is; `None` if there is another.
    pub(super) async fn create(
        &self,
        key: &Path,
        bytes: Bytes,
    ) -> Result<Option<Version>, ObjectError> {
        self.put(key, bytes, None).await
    }

    /// Puts an object over exactly `former`; `None` if that is there no more.
    pub(super) async fn replace(
        &self,
        key: &Path,
        bytes: Bytes,
        former: &Version,
    ) -> Result<Option<Version>, ObjectError> {
        self.put(key, bytes, Some(former)).await
    }

    async fn put(
        &self,
        key: &Path,
        bytes: Bytes,
        former: Option<&Version>,
    ) -> Result<Option<Version>, ObjectError> {
        let attempt = format!("putting `{key}` under a condition");
        let mut pauses = PAUSES.into_iter();
        // An earlier request of this very put may have been done.
        let mut is_unsure = false;
        loop {
            let mode = match former {
                None => PutMode::Create,
                Some(former) => PutMode::Update(self.condition(former)),
            };
            let put = self.store.put_opts(key, PutPayload::from(bytes.clone()), mode.into());
            let failed = match tokio::time::timeout(REQUEST_TIMEOUT, put).await {
                Ok(Ok(put)) => {
                    let (e_tag, version) = (put.e_tag, put.version);
                    return Ok(Some(Version(UpdateVersion { e_tag, version })));
                }
                Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => None,
                Ok(Err(error)) => Some(ObjectError::from_store(&attempt, &error)),
                Err(_) => Some(too_long(&attempt)),
            };
            match &failed {
                None if former.is_none() && !is_unsure => return Ok(None),
                Some(error) if error.class() != Class::Transient => return Err(error.clone()),
                _ => {}
            }
            is_unsure |= failed.is_some();
            match (self.get(key).await?, former) {
                (Some(found), _) if is_unsure && found.bytes == bytes => {
                    return Ok(Some(found.version));
                }
                (Some(found), Some(former)) if found.version == *former => {}
                (None, None) => {}
                _ => return Ok(None),
            }
            // Nothing has happened. A refusal all the same is a matter of quotes, or of another put at that instant.
            if failed.is_none() && former.is_some() {
                self.is_bare.fetch_xor(true, Ordering::Relaxed);
            }
            let Some(pause) = pauses.next() else {
                let cause = "the condition holds, and was refused".to_owned();
                let refused = || ObjectError::new(Class::Rejected, &attempt, None, cause);
                return Err(failed.unwrap_or_else(refused));
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn condition(&self, former: &Version) -> UpdateVersion {
        let is_bare = self.is_bare.load(Ordering::Relaxed);
        let form = |etag: &String| {
            let plain = unquoted(etag);
            if is_bare { plain } else { format!("\"{plain}\"") }
        };
        UpdateVersion {
            e_tag: former.0.e_tag.as_ref().map(form),
            version: former.0.version.clone(),
        }
    }

    /// Puts an object whatever is there.
    pub(super) async fn overwrite(&self, key: &Path, bytes: Bytes) -> Result<(), ObjectError> {
        repeated(|| async {
            let attempt = format!("putting `{key}`");
            let payload = PutPayload::from(bytes.clone());
            in_time(&attempt, self.store.put(key, payload)).await.map(|_| ())
        })
        .await
    }

    /// Every object below `prefix` with its size, by name.
    pub(super) async fn list(&self, prefix: &Path) -> Result<Vec<(Path, u64)>, ObjectError> {
        repeated(|| async {
            let attempt = format!("listing `{prefix}`");
            let listed = self.store.list(Some(prefix)).map_ok(|meta| (meta.location, meta.size));
            let mut listed: Vec<(Path, u64)> = in_time(&attempt, listed.try_collect()).await?;
            listed.sort();
            Ok(listed)
        })
        .await
    }

    /// The contents of objects that must be there, in their order.
    pub(super) async fn get_all(&self, keys: Vec<Path>) -> Result<Vec<Bytes>, ObjectError> {
        let found = futures_util::stream::iter(keys).map(|key| async move {
            self.get(&key).await?.map(|found| found.bytes).ok_or_else(|| {
                let cause = "it was listed a moment ago".to_owned();
                ObjectError::new(Class::Missing, &format!("reading `{key}`"), None, cause)
            })
        });
        found.buffered(AT_ONCE).try_collect().await
    }

    /// Deletes objects, in any order; those that are not there count as deleted.
    pub(super) async fn delete_all(&self, keys: Vec<Path>) -> Result<(), ObjectError> {
        let deleted = futures_util::stream::iter(keys).map(|key| async move {
            let delete = || async {
                match in_time(&format!("deleting `{key}`"), self.store.delete(&key)).await {
                    Err(error) if !is_missing_object(&error) => Err(error),
                    _ => Ok(()),
                }
            };
            repeated(delete).await
        });
        deleted.buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// Repeats what may be repeated while it fails in passing.
async fn repeated<T, F>(work: impl Fn() -> F) -> Result<T, ObjectError>
where
    F: Future<Output = Result<T, ObjectError>>,
{
    for pause in PAUSES {
        match work().await {
            Err(error) if error.class() == Class::Transient => tokio::time::sleep(pause).await,
            ended => return ended,
        }
    }
    work().await
}

async fn in_time<T>(
    attempt: &str,
    work: impl Future<Output = object_store::Result<T>>,
) -> Result<T, ObjectError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
        Ok(ended) => ended.map_err(|error| ObjectError::from_store(attempt, &error)),
        Err(_) => Err(too_long(attempt)),
    }
}

fn too_long(attempt: &str) -> ObjectError {
    ObjectError::new(Class::Transient, attempt, None, "it took too long".to_owned())
}

/// Without its bucket, nothing is known of an object.
fn is_missing_object(error: &ObjectError) -> bool {
    error.class() == Class::Missing
        && !matches!(error.code(), Some("NoSuchBucket" | "ContainerNotFound"))
}
