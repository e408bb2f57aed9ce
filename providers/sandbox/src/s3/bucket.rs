//! A bucket: its objects and the uploads under way. Plain data; the caller holds the lock.
//!
//! Knows no HTTP. Tested through `tests/s3.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use md5::{Digest, Md5};

use super::body::Blob;
use super::failure::Failure;
use super::signature::hex;
use super::{BucketInfo, ObjectInfo};

pub(crate) const MIN_PART_BYTES: u64 = 5 << 20;
pub(crate) const MAX_PART_BYTES: u64 = 5 << 30;
pub(crate) const MAX_PARTS: u32 = 10_000;

/// What a writer says of an object besides its content.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    pub(crate) acl: String,
    /// `content-type` and the like, and `x-amz-meta-*`, given back as they came.
    pub(crate) headers: Vec<(String, String)>,
}

/// A finished object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) blobs: Vec<Arc<Blob>>,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) last_modified: Timestamp,
    pub(crate) labels: Labels,
}

/// A part of an upload.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) blob: Arc<Blob>,
    pub(crate) md5: [u8; 16],
    pub(crate) last_modified: Timestamp,
}

/// A multipart upload under way.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) initiated: Timestamp,
    pub(crate) labels: Labels,
    pub(crate) parts: BTreeMap<u32, Part>,
}

/// The conditions of a PUT.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

/// Which conditions of a PUT count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heeds {
    Both,
    /// A bucket that keeps versions.
    IfMatch,
    /// As in stores that are none of Ceph.
    Nothing,
}

/// How a completion went: Ceph tells the ETag only when it is asked again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    First,
    Repeated { etag: String },
}

/// A bucket.
pub(crate) struct Bucket {
    pub(crate) created: Timestamp,
    pub(crate) acl: String,
    pub(crate) heeds: Heeds,
    pub(crate) objects: BTreeMap<String, Object>,
    /// By key and upload id, the order in which they are listed.
    pub(crate) uploads: BTreeMap<(String, String), Upload>,
    /// The key and ETag that each finished upload led to.
    completed: HashMap<String, (String, String)>,
}

impl Bucket {
    pub(crate) fn new(created: Timestamp) -> Self {
        Self {
            created,
            acl: "private".to_owned(),
            heeds: Heeds::Both,
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            completed: HashMap::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.uploads.is_empty()
    }

    pub(crate) fn info(&self, name: &str) -> BucketInfo {
        BucketInfo {
            name: name.to_owned(),
            created: self.created,
            bytes: self.objects.values().map(|object| object.size).sum(),
            objects: self.objects.len() as u64,
        }
    }

    pub(crate) fn objects(&self) -> Vec<ObjectInfo> {
        self.objects
            .iter()
            .map(|(name, object)| ObjectInfo {
                name: name.clone(),
                size: object.size,
                etag: object.etag.clone(),
                last_modified: object.last_modified,
            })
            .collect()
    }

    pub(crate) fn object(&self, key: &str) -> Result<&Object, Failure> {
        self.objects.get(key).ok_or_else(Failure::no_such_key)
    }

    /// Puts an object in place if the conditions hold at this very moment.
    ///
    /// As in Ceph 16: an `If-Match` is compared with the ETag *without* quotes, so a quoted one never matches; and an
    /// `If-None-Match` is ignored where versions are kept.
    pub(crate) fn put(
        &mut self,
        key: &str,
        object: Object,
        conditions: &Conditions,
    ) -> Result<(), Failure> {
        let current = self.objects.get(key).map(|object| object.etag.as_str());
        if let Some(wanted) = &conditions.if_match
            && self.heeds != Heeds::Nothing
        {
            let holds = current.is_some_and(|etag| wanted == "*" || wanted == etag);
            if !holds {
                return Err(Failure::precondition_failed());
            }
        }
        if let Some(unwanted) = &conditions.if_none_match
            && self.heeds == Heeds::Both
            && current.is_some_and(|etag| unwanted == "*" || unwanted == etag)
        {
            return Err(Failure::precondition_failed());
        }
        self.objects.insert(key.to_owned(), object);
        Ok(())
    }

    pub(crate) fn upload_mut(&mut self, key: &str, id: &str) -> Result<&mut Upload, Failure> {
        self.uploads.get_mut(&(key.to_owned(), id.to_owned())).ok_or_else(Failure::no_such_upload)
    }

    /// Joins parts into an object and ends the upload; a repetition of a completion that took place is answered, not
    /// done.
    pub(crate) fn complete(
        &mut self,
        key: &str,
        id: &str,
        wanted: &[(u32, String)],
        now: Timestamp,
    ) -> Result<Completion, Failure> {
        let address = (key.to_owned(), id.to_owned());
        let Some(upload) = self.uploads.get(&address) else {
            return match self.completed.get(id) {
                Some((done, etag))
                    if done == key && self.objects.get(key).is_some_and(|it| it.etag == *etag) =>
                {
                    Ok(Completion::Repeated { etag: etag.clone() })
                }
                _ => Err(Failure::no_such_upload()),
            };
        };
        let object = upload.join(wanted, now)?;
        self.completed.insert(id.to_owned(), (key.to_owned(), object.etag.clone()));
        self.objects.insert(key.to_owned(), object);
        self.uploads.remove(&address);
        Ok(Completion::First)
    }
}

impl Upload {
    fn join(&self, wanted: &[(u32, String)], now: Timestamp) -> Result<Object, Failure> {
        if wanted.is_empty() {
            return Err(Failure::malformed_xml());
        }
        let mut digests = Md5::new();
        let mut blobs = Vec::with_capacity(wanted.len());
        let mut previous = 0;
        for (position, (number, etag)) in wanted.iter().enumerate() {
            if *number <= previous {
                return Err(Failure::invalid_part_order());
            }
            previous = *number;
            let part = self.parts.get(number).ok_or_else(Failure::invalid_part)?;
            if hex(&part.md5) != *etag {
                return Err(Failure::invalid_part());
            }
            if part.blob.size < MIN_PART_BYTES && position + 1 < wanted.len() {
                return Err(Failure::entity_too_small());
            }
            digests.update(part.md5);
            blobs.push(Arc::clone(&part.blob));
        }
        Ok(Object {
            size: blobs.iter().map(|blob| blob.size).sum(),
            blobs,
            etag: format!("{}-{}", hex(&digests.finalize()), wanted.len()),
            last_modified: now,
            labels: self.labels.clone(),
        })
    }
}
