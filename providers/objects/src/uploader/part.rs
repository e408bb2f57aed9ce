//! One part on its way into an upload, and what the parts' digests amount to.
//!
//! Tested beside it and through [`super::Uploader`].

use std::time::Duration;

use bytes::Bytes;
use md5::Md5;
use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use sha2::{Digest, Sha256};

use crate::bucket::{Bucket, unquoted};
use crate::error::{Class, ObjectError};

/// A part that the store has; its content comes back for its memory to be used again.
pub(super) struct Arrived {
    pub(super) index: usize,
    pub(super) id: PartId,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) content: Bytes,
}

pub(super) type Sent = Result<Arrived, ObjectError>;

pub(super) struct PartSender {
    pub(super) bucket: Bucket,
    pub(super) attempt: String,
    pub(super) path: Path,
    pub(super) upload_id: String,
    /// Whether the part has a digest of its own.
    pub(super) is_hashed: bool,
}

impl PartSender {
    // The library repeats a request as it is; from here it is signed anew, so that an outage may last longer than a
    // signature is good for.
    pub(super) async fn send(&self, index: usize, content: Bytes) -> Sent {
        let digest = self.is_hashed.then(|| Sha256::digest(&content).into());
        let mut pauses = [1, 2, 4, 8, 15, 30, 30].map(Duration::from_secs).into_iter();
        loop {
            let payload = PutPayload::from_bytes(content.clone());
            let sent =
                self.bucket.store.put_part(&self.path, &self.upload_id, index, payload).await;
            let error = match sent {
                Ok(id) => return Ok(Arrived { index, id, digest, content }),
                Err(error) => ObjectError::from_store(&self.attempt, &error),
            };
            match pauses.next() {
                Some(pause) if error.class() == Class::Transient => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }
}

/// The ETag that S3 gives an object of such parts: MD5 of their MD5s, and their number. `None` where the parts' ETags
/// are no digests, as under server-side encryption with a customer's key.
pub(super) fn etag_of_parts(parts: &[PartId]) -> Option<String> {
    let mut digests = Md5::new();
    for part in parts {
        let etag = unquoted(&part.content_id);
        if etag.len() != 32 || !etag.is_ascii() {
            return None;
        }
        for at in (0..32).step_by(2) {
            digests.update([u8::from_str_radix(&etag[at..at + 2], 16).ok()?]);
        }
    }
    Some(format!("{}-{}", hex(&digests.finalize()), parts.len()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_of_parts() {
        let part = |etag: &str| PartId { content_id: etag.to_owned() };
        // md5(unhex("d41d8cd98f00b204e9800998ecf8427e")), as any S3 gives for one empty part.
        assert_eq!(
            etag_of_parts(&[part("\"d41d8cd98f00b204e9800998ecf8427e\"")]).as_deref(),
            Some("59adb24ef3cdbe0297f05b395827453f-1")
        );
        assert_eq!(etag_of_parts(&[part("\"not-a-digest\"")]), None);
    }
}
