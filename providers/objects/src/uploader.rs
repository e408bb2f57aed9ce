//! A stream of unknown length into one object, in parts, with bounded memory.
//!
//! Holds one part being filled and at most `in_flight` parts on their way, and the first one where the beginning is
//! known only at the end; hashes what passes. It does not remember uploads: whoever starts one notes its id first, to
//! abort it after a crash. Tested in `tests/uploader.rs`.

mod part;

use bytes::{Bytes, BytesMut};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Attribute, Attributes, PutMultipartOptions};
use sha2::{Digest, Sha256};
use tokio::task::{JoinError, JoinSet};

use self::part::{Arrived, PartSender, Sent, etag_of_parts, hex};
use crate::bucket::{Bucket, MARK};
use crate::error::{Class, ObjectError};
use crate::listing::Upload;

const MIB: u64 = 1 << 20;
const MIN_PART_SIZE: u64 = 5 * MIB;
const MAX_PART_SIZE: u64 = 5 * 1024 * MIB;
const MAX_PARTS: u64 = 10_000;
// Room for an estimate that is too small by a quarter.
const PLANNED_PARTS: u64 = 8_000;

/// 16 MiB: enough for an object of 156 GiB.
pub const DEFAULT_PART_SIZE: u64 = 16 * MIB;

/// Three parts on their way and one being filled: with parts of 16 MiB, a gigabyte was sent with 74 MB in all.
pub const DEFAULT_IN_FLIGHT: usize = 3;

/// The part size (bytes, whole MiB) with which 10,000 parts hold an object of about `estimated_bytes`.
pub fn part_size_for(estimated_bytes: u64) -> u64 {
    part_size_from(DEFAULT_PART_SIZE, estimated_bytes)
}

/// As [`part_size_for`], with parts of `least` bytes (at least 5 MiB) or more.
pub fn part_size_from(least: u64, estimated_bytes: u64) -> u64 {
    let needed = estimated_bytes.div_ceil(PLANNED_PARTS).div_ceil(MIB) * MIB;
    needed.clamp(least.max(MIN_PART_SIZE), MAX_PART_SIZE)
}

/// An upload that became an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Bytes, as sent and as the store tells.
    pub size: u64,
    /// As the store tells, without quotes.
    pub etag: String,
    /// Of the whole object, as lower-case hexadecimal digits. Where room was reserved and there are N > 1 parts: of
    /// the digests of its parts, as S3 composes checksums, with `-N` behind it.
    pub sha256: String,
    /// How many parts it took.
    pub parts: usize,
}

impl Bucket {
    /// Begins an upload. Note its id in a safe place before sending anything: parts cost storage until the upload is
    /// completed or aborted.
    ///
    /// # Errors
    /// Any class. After `Transient` an upload may have begun: [`Bucket::uploads`] tells.
    pub async fn start_upload(&self, key: &str) -> Result<Upload, ObjectError> {
        self.start(key, PutMultipartOptions::default()).await
    }

    /// Like [`Bucket::start_upload`], for an object that [`Bucket::mark_of`] will know again by `mark`, which is stored
    /// beside it in clear.
    ///
    /// # Errors
    /// As [`Bucket::start_upload`].
    pub async fn start_marked_upload(&self, key: &str, mark: &str) -> Result<Upload, ObjectError> {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(MARK.into()), mark.to_owned().into());
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        self.start(key, options).await
    }

    async fn start(&self, key: &str, options: PutMultipartOptions) -> Result<Upload, ObjectError> {
        let attempt = format!("beginning the upload of `{key}` to `{}`", self.name);
        let path = self.path(&attempt, key)?;
        let upload_id = self
            .store
            .create_multipart_opts(&path, options)
            .await
            .map_err(|error| ObjectError::from_store(&attempt, &error))?;
        Ok(Upload { key: key.to_owned(), upload_id, initiated: None })
    }

    /// Ends an upload without an object and drops its parts; one that is gone counts as aborted.
    ///
    /// # Errors
    /// `Denied`, `Transient` (may be repeated), `Rejected`.
    pub async fn abort(&self, key: &str, upload_id: &str) -> Result<(), ObjectError> {
        let attempt = format!("aborting the upload of `{key}` to `{}`", self.name);
        let path = self.path(&attempt, key)?;
        match self.store.abort_multipart(&path, &upload_id.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectError::from_store(&attempt, &error)),
        }
    }
}

/// How the stream is hashed.
#[derive(Debug)]
enum Hashed {
    /// As it passes.
    Whole(Box<Sha256>),
    /// Part by part, since its beginning comes last.
    Parts(Vec<Option<[u8; 32]>>),
}

/// Sends a stream into an upload that was begun. Dropping it stops sending and leaves the upload open.
#[derive(Debug)]
pub struct Uploader {
    bucket: Bucket,
    attempt: String,
    key: String,
    path: Path,
    upload_id: String,
    part_size: usize,
    in_flight: usize,
    buffer: BytesMut,
    /// Memory of parts that were sent. Allocators keep what is freed in pieces of this size, and grow.
    spare: Vec<BytesMut>,
    sending: JoinSet<Sent>,
    parts: Vec<Option<PartId>>,
    hashed: Hashed,
    /// Bytes at the beginning that come last.
    reserved: usize,
    /// The full parts in which they are.
    held: Vec<BytesMut>,
    received: u64,
    acknowledged: u64,
    is_broken: bool,
}

impl Uploader {
    /// `part_size` in bytes, see [`part_size_for`]; `in_flight` parts are sent at once, see
    /// [`DEFAULT_IN_FLIGHT`].
    ///
    /// # Errors
    /// `Rejected` for a part size that S3 does not take, and for no parts in flight.
    pub fn new(
        bucket: &Bucket,
        key: &str,
        upload_id: &str,
        part_size: u64,
        in_flight: usize,
    ) -> Result<Self, ObjectError> {
        let attempt = format!("uploading `{key}` to `{}`", bucket.name);
        let part_size = usize::try_from(part_size)
            .ok()
            .filter(|_| (MIN_PART_SIZE..=MAX_PART_SIZE).contains(&part_size))
            .ok_or_else(|| ObjectError::rejected(&attempt, "a part has 5 MiB to 5 GiB"))?;
        if in_flight == 0 {
            return Err(ObjectError::rejected(&attempt, "at least one part must be in flight"));
        }
        Ok(Self {
            path: bucket.path(&attempt, key)?,
            bucket: bucket.clone(),
            attempt,
            key: key.to_owned(),
            upload_id: upload_id.to_owned(),
            part_size,
            in_flight,
            buffer: BytesMut::new(),
            spare: Vec::new(),
            sending: JoinSet::new(),
            parts: Vec::new(),
            hashed: Hashed::Whole(Box::default()),
            reserved: 0,
            held: Vec::new(),
            received: 0,
            acknowledged: 0,
            is_broken: false,
        })
    }

    /// Leaves room for `length` bytes at the object's beginning, which [`Uploader::finish_with`] is given at the end.
    /// The parts that they are in are held until then. Goes before the first write.
    ///
    /// # Errors
    /// `Rejected` after a write.
    pub async fn reserve(&mut self, length: usize) -> Result<(), ObjectError> {
        if self.received > 0 || length == 0 {
            let cause = "room is reserved before anything is written";
            return Err(ObjectError::rejected(&self.attempt, cause));
        }
        self.hashed = Hashed::Parts(Vec::new());
        self.reserved = length;
        let zeros = Bytes::from_static(&[0; 64 * 1024]);
        let mut left = length;
        while left > 0 {
            let piece = left.min(zeros.len());
            self.write(zeros.slice(..piece)).await?;
            left -= piece;
        }
        Ok(())
    }

    /// Bytes taken in so far, reserved ones included: where the next one comes to stand.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes that the store has confirmed, as of the last write: the honest measure of progress.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes the next bytes of the stream; waits while all parts in flight are unconfirmed.
    ///
    /// # Errors
    /// Of a part that could not be sent, each having been tried for about two minutes. The upload is then good for
    /// [`Uploader::abort`] only.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), ObjectError> {
        self.check_whole()?;
        while let Some(ended) = self.sending.try_join_next() {
            self.take_note(ended)?;
        }
        while !bytes.is_empty() {
            if self.buffer.capacity() == 0 {
                let spare = self.spare.pop();
                self.buffer = spare.unwrap_or_else(|| BytesMut::with_capacity(self.part_size));
            }
            let taken = bytes.split_to(bytes.len().min(self.part_size - self.buffer.len()));
            if let Hashed::Whole(sha256) = &mut self.hashed {
                sha256.update(&taken);
            }
            self.received += taken.len() as u64;
            // Copied, because a slice may keep a much larger buffer of the caller's alive.
            self.buffer.extend_from_slice(&taken);
            if self.buffer.len() == self.part_size {
                self.pass_buffer().await?;
            }
        }
        Ok(())
    }

    /// As [`Uploader::finish`], with the bytes that room was reserved for.
    ///
    /// # Errors
    /// As [`Uploader::finish`]; `Rejected` if they are not as many as were reserved.
    pub async fn finish_with(&mut self, mut head: Bytes) -> Result<Finished, ObjectError> {
        self.check_whole()?;
        if head.len() != self.reserved {
            let (given, room) = (head.len(), self.reserved);
            let cause = format!("{given} bytes were given for the room of {room} at its beginning");
            return Err(ObjectError::rejected(&self.attempt, cause));
        }
        // What is being filled comes after the parts that are held, or is the last of them.
        if !self.buffer.is_empty() {
            self.pass_buffer().await?;
        }
        for (index, mut part) in std::mem::take(&mut self.held).into_iter().enumerate() {
            let piece = head.split_to(head.len().min(part.len()));
            part[..piece.len()].copy_from_slice(&piece);
            self.send(index, part).await?;
        }
        self.reserved = 0;
        self.finish().await
    }

    /// Sends what is left, joins the parts, and has the store tell the size and ETag of the object.
    ///
    /// # Errors
    /// Any class. `Rejected` if the store tells another size than was sent. After `Transient` the object may be
    /// there: [`Bucket::head`] tells.
    pub async fn finish(&mut self) -> Result<Finished, ObjectError> {
        self.check_whole()?;
        if self.reserved > 0 {
            let cause = "the bytes of its beginning are missing";
            return Err(ObjectError::rejected(&self.attempt, cause));
        }
        // An upload of no parts cannot be completed; one of an empty part can.
        if !self.buffer.is_empty() || self.parts.is_empty() {
            self.pass_buffer().await?;
        }
        while !self.sending.is_empty() {
            self.await_one().await?;
        }
        let parts: Vec<PartId> = self.parts.iter().flatten().cloned().collect();
        let count = parts.len();
        let expected_etag = etag_of_parts(&parts);
        let completion =
            self.bucket.store.complete_multipart(&self.path, &self.upload_id, parts).await;
        let object = self.bucket.head(&self.key).await?;
        if let Err(error) = completion {
            // The answer to a completion that took place may have been lost. Only the ETag that these very parts
            // lead to proves that.
            let is_ours = object.as_ref().is_some_and(|object| {
                object.size == self.received && Some(&object.etag) == expected_etag.as_ref()
            });
            if !is_ours {
                self.is_broken = true;
                return Err(ObjectError::from_store(&self.attempt, &error));
            }
        }
        let Some(object) = object else {
            return Err(ObjectError::new(
                Class::Missing,
                &self.attempt,
                None,
                "the upload was completed, but the object is not there".to_owned(),
            ));
        };
        if object.size != self.received {
            let (held, sent) = (object.size, self.received);
            let cause = format!("the store holds {held} bytes of {sent} that were sent");
            return Err(ObjectError::rejected(&self.attempt, cause));
        }
        Ok(Finished { size: object.size, etag: object.etag, sha256: self.digest(), parts: count })
    }

    fn digest(&mut self) -> String {
        match &mut self.hashed {
            Hashed::Whole(sha256) => hex(&sha256.finalize_reset()),
            Hashed::Parts(digests) => match &digests[..] {
                [Some(only)] => hex(only),
                all => {
                    let mut composed = Sha256::new();
                    all.iter().flatten().for_each(|digest| composed.update(digest));
                    format!("{}-{}", hex(&composed.finalize()), all.len())
                }
            },
        }
    }

    /// Whether the part being filled is one of the beginning.
    fn is_held(&self) -> bool {
        self.parts.len() < self.reserved.div_ceil(self.part_size)
    }

    /// Stops sending and ends the upload without an object.
    ///
    /// # Errors
    /// As [`Bucket::abort`].
    pub async fn abort(&mut self) -> Result<(), ObjectError> {
        self.is_broken = true;
        self.buffer = BytesMut::new();
        self.held = Vec::new();
        self.sending.shutdown().await;
        self.bucket.abort(&self.key, &self.upload_id).await
    }

    fn check_whole(&self) -> Result<(), ObjectError> {
        if self.is_broken {
            return Err(ObjectError::rejected(&self.attempt, "a part of it was not sent"));
        }
        Ok(())
    }

    /// Sends the part that was filled, or puts it aside.
    async fn pass_buffer(&mut self) -> Result<(), ObjectError> {
        let index = self.parts.len();
        if index as u64 >= MAX_PARTS {
            self.is_broken = true;
            let cause = "it needs more than 10000 parts; the estimate of its size was too small";
            return Err(ObjectError::rejected(&self.attempt, cause));
        }
        let part = std::mem::take(&mut self.buffer);
        let is_held = self.is_held();
        self.parts.push(None);
        if let Hashed::Parts(digests) = &mut self.hashed {
            digests.push(None);
        }
        if is_held {
            self.held.push(part);
            return Ok(());
        }
        self.send(index, part).await
    }

    async fn send(&mut self, index: usize, part: BytesMut) -> Result<(), ObjectError> {
        while self.sending.len() >= self.in_flight {
            self.await_one().await?;
        }
        let sender = PartSender {
            bucket: self.bucket.clone(),
            attempt: self.attempt.clone(),
            path: self.path.clone(),
            upload_id: self.upload_id.clone(),
            is_hashed: matches!(self.hashed, Hashed::Parts(_)),
        };
        self.sending.spawn(async move { sender.send(index, part.freeze()).await });
        Ok(())
    }

    async fn await_one(&mut self) -> Result<(), ObjectError> {
        match self.sending.join_next().await {
            Some(ended) => self.take_note(ended),
            None => Ok(()),
        }
    }

    fn take_note(&mut self, ended: Result<Sent, JoinError>) -> Result<(), ObjectError> {
        let sent = ended
            .map_err(|error| ObjectError::rejected(&self.attempt, error.to_string()))
            .and_then(|sent| sent);
        match sent {
            Ok(Arrived { index, id, digest, content }) => {
                self.parts[index] = Some(id);
                if let Hashed::Parts(digests) = &mut self.hashed {
                    digests[index] = digest;
                }
                self.acknowledged += content.len() as u64;
                // Nobody else holds it any more, as a rule.
                if let Ok(mut memory) = content.try_into_mut() {
                    memory.clear();
                    self.spare.push(memory);
                }
                Ok(())
            }
            Err(error) => {
                self.is_broken = true;
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_sizes_suffice() {
        const GIB: u64 = 1024 * MIB;
        for (estimate, expected) in [
            (0, 16 * MIB),
            (100 * GIB, 16 * MIB),
            (125 * GIB, 16 * MIB),
            (250 * GIB, 32 * MIB),
            (1024 * GIB, 132 * MIB),
            (5 * 1024 * GIB, 656 * MIB),
        ] {
            let size = part_size_for(estimate);
            assert_eq!(size, expected, "{estimate}");
            assert!(size * MAX_PARTS >= estimate);
        }
    }
}
