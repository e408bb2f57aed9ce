//! Whether a store does what locks need: tried with every use, because a bucket's settings can be changed.
//!
//! Ceph ignores `If-None-Match` in buckets that keep versions, other stores ignore conditions altogether; both answer
//! with success, so only trying tells. Tested through `tests/state.rs`.

use bytes::Bytes;
use jiff::Timestamp;
use object_store::path::Path;

use super::remote::Remote;
use crate::error::ObjectError;

/// Puts four times under conditions, two of which do not hold; `None` if all went as it must, else what did not.
pub(super) async fn probe(
    remote: &Remote,
    scratch: &Path,
) -> Result<Option<&'static str>, ObjectError> {
    let verdict = tried(remote, scratch).await;
    // Of no use to anybody, in the way of nobody.
    let _ = remote.delete_all(vec![scratch.clone()]).await;
    verdict
}

async fn tried(remote: &Remote, scratch: &Path) -> Result<Option<&'static str>, ObjectError> {
    let put = |text: &'static str| Bytes::from_static(text.as_bytes());
    let Some(first) = remote.create(scratch, put("1")).await? else {
        return Ok(Some("the store says that there is an object where none can be"));
    };
    if remote.create(scratch, put("2")).await?.is_some() {
        return Ok(Some(
            "the store ignores `If-None-Match`: it replaced an object that was to be put only if absent. Ceph does so \
             in buckets that keep versions",
        ));
    }
    if remote.replace(scratch, put("3"), &first).await?.is_none() {
        return Ok(Some("the store refuses `If-Match` although the object is unchanged"));
    }
    if remote.replace(scratch, put("4"), &first).await?.is_some() {
        return Ok(Some(
            "the store ignores `If-Match`: it replaced an object that had changed meanwhile",
        ));
    }
    Ok(None)
}

/// What the store's own clock says: the age of what others put there is told by it alone.
pub(super) async fn store_now(remote: &Remote, scratch: &Path) -> Result<Timestamp, ObjectError> {
    remote.overwrite(scratch, Bytes::from_static(b"now")).await?;
    let found = remote.get(scratch).await?;
    remote.delete_all(vec![scratch.clone()]).await?;
    Ok(found.map_or(Timestamp::UNIX_EPOCH, |found| found.modified))
}
