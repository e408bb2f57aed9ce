//! Requests for multipart uploads.
//!
//! Tested in `tests/s3.rs`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use axum::http::StatusCode;
use jiff::Timestamp;

use super::S3;
use super::access::{Caller, Wish};
use super::answer::{Answer, document, empty, iso, limit, quoted};
use super::body::Incoming;
use super::bucket::{Completion, MAX_PART_BYTES, MAX_PARTS, Part, Upload};
use super::bucket_requests::{owner, with_header};
use super::failure::Failure;
use super::head::Head;
use super::object_requests::labels;
use super::signature::hex;
use super::xml::{self, Element};

impl S3 {
    pub(crate) fn start_upload(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let upload =
            Upload { initiated: Timestamp::now(), labels: labels(head)?, parts: BTreeMap::new() };
        let id = new_upload_id();
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        bucket.uploads.insert((head.key.clone(), id.clone()), upload);
        let mut result = Element::new("InitiateMultipartUploadResult");
        result.text("Bucket", &head.bucket).text("Key", &head.key).text("UploadId", &id);
        Ok(document(&result))
    }

    pub(crate) async fn upload_part(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        if head.header("x-amz-copy-source").is_some() {
            return Err(Failure::not_implemented());
        }
        let number: u32 = head
            .parameter("partNumber")
            .and_then(|number| number.parse().ok())
            .filter(|number| (1..=MAX_PARTS).contains(number))
            .ok_or_else(Failure::invalid_argument)?;
        // Asked before the body is read and again after: an abort may come in between.
        self.with_upload(head, |_| ())?;
        let stored = incoming.store(head, &self.shared.blobs, MAX_PART_BYTES).await?;
        let etag = quoted(&hex(&stored.md5));
        let part = Part { blob: stored.blob, md5: stored.md5, last_modified: Timestamp::now() };
        self.with_upload(head, |upload| upload.parts.insert(number, part))?;
        let mut response = empty(StatusCode::OK);
        with_header(&mut response, "etag", &etag)?;
        Ok(response)
    }

    fn with_upload<T>(
        &self,
        head: &Head,
        change: impl FnOnce(&mut Upload) -> T,
    ) -> Result<T, Failure> {
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let id = head.parameter("uploadId").unwrap_or_default();
        Ok(change(bucket.upload_mut(&head.key, id)?))
    }

    pub(crate) async fn complete_upload(
        &self,
        head: &Head,
        incoming: &mut Incoming,
        caller: &Caller,
    ) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let wanted = xml::parts_to_complete(&incoming.document(head).await?)?;
        let id = head.parameter("uploadId").unwrap_or_default();
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let etag = match bucket.complete(&head.key, id, &wanted, Timestamp::now())? {
            Completion::First => String::new(),
            Completion::Repeated { etag } => quoted(&etag),
        };
        let location = format!("http://{}/{}/{}", self.shared.host, head.bucket, head.key);
        let mut result = Element::new("CompleteMultipartUploadResult");
        result
            .text("Location", &location)
            .text("Bucket", &head.bucket)
            .text("Key", &head.key)
            .text("ETag", &etag);
        Ok(document(&result))
    }

    pub(crate) fn abort_upload(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Write, head)?;
        let mut world = self.world();
        let bucket = world.buckets.get_mut(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let id = head.parameter("uploadId").unwrap_or_default();
        bucket
            .uploads
            .remove(&(head.key.clone(), id.to_owned()))
            .ok_or_else(Failure::no_such_upload)?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) fn list_parts(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Inspect, head)?;
        let max_parts = limit(head, "max-parts", 1000)?;
        let marker = limit(head, "part-number-marker", usize::MAX)?;
        let after = if head.parameter("part-number-marker").is_some() { marker } else { 0 };
        let mut result = Element::new("ListPartsResult");
        result
            .text("Bucket", &head.bucket)
            .text("Key", &head.key)
            .text("UploadId", head.parameter("uploadId").unwrap_or_default())
            .text("MaxParts", &max_parts.to_string())
            .text("PartNumberMarker", &after.to_string());
        self.with_upload(head, |upload| {
            let mut parts =
                upload.parts.iter().filter(|(number, _)| **number as usize > after).peekable();
            let mut last = after;
            for (number, part) in parts.by_ref().take(max_parts) {
                let mut entry = Element::new("Part");
                entry
                    .text("PartNumber", &number.to_string())
                    .text("LastModified", &iso(part.last_modified))
                    .text("ETag", &quoted(&hex(&part.md5)))
                    .text("Size", &part.blob.size.to_string());
                result.child(entry);
                last = *number as usize;
            }
            let is_truncated = parts.next().is_some();
            result.text("IsTruncated", if is_truncated { "true" } else { "false" });
            if is_truncated {
                result.text("NextPartNumberMarker", &last.to_string());
            }
        })?;
        Ok(document(&result))
    }

    pub(crate) fn list_uploads(&self, head: &Head, caller: &Caller) -> Answer {
        self.permit(caller, Wish::Inspect, head)?;
        let text = |name| head.parameter(name).unwrap_or_default();
        let max_uploads = limit(head, "max-uploads", 1000)?;
        let (key_marker, id_marker) = (text("key-marker"), text("upload-id-marker"));
        let is_new = |key: &str, id: &str| {
            // Without an id, the marker leaves out every upload of its key.
            key_marker.is_empty()
                || key > key_marker
                || (key == key_marker && !id_marker.is_empty() && id > id_marker)
        };
        let world = self.world();
        let bucket = world.buckets.get(&head.bucket).ok_or_else(Failure::no_such_bucket)?;
        let mut uploads = bucket
            .uploads
            .iter()
            .filter(|((key, id), _)| key.starts_with(text("prefix")) && is_new(key, id));
        let mut result = Element::new("ListMultipartUploadsResult");
        result
            .text("Bucket", &head.bucket)
            .text("Prefix", text("prefix"))
            .text("KeyMarker", key_marker)
            .text("UploadIdMarker", id_marker)
            .text("MaxUploads", &max_uploads.to_string());
        let mut last = None;
        for ((key, id), upload) in uploads.by_ref().take(max_uploads) {
            let mut entry = Element::new("Upload");
            entry
                .text("Key", key)
                .text("UploadId", id)
                .child(owner("Initiator"))
                .child(owner("Owner"))
                .text("StorageClass", "STANDARD")
                .text("Initiated", &iso(upload.initiated));
            result.child(entry);
            last = Some((key, id));
        }
        let is_truncated = uploads.next().is_some();
        result.text("IsTruncated", if is_truncated { "true" } else { "false" });
        if let Some((key, id)) = last.filter(|_| is_truncated) {
            result.text("NextKeyMarker", key).text("NextUploadIdMarker", id);
        }
        Ok(document(&result))
    }
}

/// An id like Ceph's. Nothing is protected by its secrecy.
fn new_upload_id() -> String {
    let half = || RandomState::new().hash_one(0_u8);
    format!("2~{:016x}{:016x}", half(), half())
}
