//! Puts that happen only under a condition, decided by the store at one instant: the ground of locks and of
//! compare-and-swap.
//!
//! Small objects only. Never retried by themselves: after `Transient` the caller reads what is there. Tested in
//! `tests/bucket.rs`.

use bytes::Bytes;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload, UpdateVersion};

use crate::bucket::{Bucket, unquoted};
use crate::error::{Class, ObjectError};

impl Bucket {
    /// Puts an object where none is; gives its ETag without quotes.
    ///
    /// A store that ignores the condition cannot be told from one that heeds it by a single put.
    ///
    /// # Errors
    /// `Conflict` if there is one; `Transient` may mean that it is there now.
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<String, ObjectError> {
        self.put_under(key, bytes, PutMode::Create).await
    }

    /// Replaces an object that still has the ETag `etag` (without quotes); gives the new one.
    ///
    /// Ceph compares the header with the ETag without quotes and so refuses the standard, quoted form. After such a
    /// refusal, if the object still has that ETag, the bare form is tried once.
    ///
    /// # Errors
    /// `Conflict` if it is gone or another; `Transient` may mean that it was replaced.
    pub async fn put_if_match(
        &self,
        key: &str,
        bytes: Bytes,
        etag: &str,
    ) -> Result<String, ObjectError> {
        let mode =
            |etag: String| PutMode::Update(UpdateVersion { e_tag: Some(etag), version: None });
        let refused = match self.put_under(key, bytes.clone(), mode(format!("\"{etag}\""))).await {
            Err(error) if error.class() == Class::Conflict => error,
            outcome => return outcome,
        };
        match self.head(key).await? {
            Some(current) if current.etag == etag => {
                self.put_under(key, bytes, mode(etag.to_owned())).await
            }
            _ => Err(refused),
        }
    }

    async fn put_under(
        &self,
        key: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<String, ObjectError> {
        let attempt = format!("putting `{key}` into `{}` under a condition", self.name);
        let path = self.path(&attempt, key)?;
        let put = self
            .store
            .put_opts(&path, PutPayload::from_bytes(bytes), PutOptions::from(mode))
            .await
            .map_err(|error| ObjectError::from_store(&attempt, &error))?;
        Ok(unquoted(put.e_tag.as_deref().unwrap_or_default()))
    }
}
