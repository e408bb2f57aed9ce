//! Bodies of requests, and the files they become.
//!
//! A body goes to disk as it comes, hashed on the way; memory holds one megabyte of it. A file lives as long as
//! something refers to it. Knows no keys and no buckets. Tested over HTTP in `tests/s3.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::{Body, BodyDataStream};
use base64::Engine;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use md5::Md5;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::failure::Failure;
use super::head::Head;
use super::signature::Payload;

const CHUNK_BYTES: usize = 1 << 20;
const MAX_DOCUMENT_BYTES: usize = 4 << 20;

/// The folder of all blobs.
pub(crate) struct BlobFolder {
    path: PathBuf,
    next: AtomicU64,
}

impl BlobFolder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if path.exists() {
            std::fs::remove_dir_all(path)?;
        }
        std::fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), next: AtomicU64::new(0) })
    }

    fn next_path(&self) -> PathBuf {
        self.path.join(format!("{:08}", self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// One file of content. Dropping the last reference removes it, so a reader of a replaced object finishes in peace.
#[derive(Debug)]
pub(crate) struct Blob {
    path: PathBuf,
    pub(crate) size: u64,
}

impl Drop for Blob {
    fn drop(&mut self) {
        // Whatever stays is removed with the folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A body that was written down whole.
pub(crate) struct Stored {
    pub(crate) blob: Arc<Blob>,
    pub(crate) md5: [u8; 16],
}

/// A body that is still on the wire.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    payload: Payload,
}

impl Incoming {
    pub(crate) fn new(body: Body) -> Self {
        Self { stream: body.into_data_stream(), payload: Payload::Unsigned }
    }

    /// From here on the body must be what was signed.
    pub(crate) fn expect(&mut self, payload: Payload) {
        self.payload = payload;
    }

    /// Writes the body into a new blob of at most `max_bytes`.
    pub(crate) async fn store(
        &mut self,
        head: &Head,
        folder: &BlobFolder,
        max_bytes: u64,
    ) -> Result<Stored, Failure> {
        if head.header("content-length").is_none() {
            return Err(Failure::missing_length());
        }
        let mut blob = Blob { path: folder.next_path(), size: 0 };
        let file = File::create(&blob.path).await.map_err(|_| Failure::internal())?;
        let mut file = BufWriter::with_capacity(CHUNK_BYTES, file);
        let mut md5 = Md5::new();
        let mut sha256 = Sha256::new();
        while let Some(chunk) = self.stream.next().await {
            let chunk = chunk.map_err(|_| Failure::incomplete_body())?;
            blob.size += chunk.len() as u64;
            if blob.size > max_bytes {
                return Err(Failure::entity_too_large());
            }
            md5.update(&chunk);
            if self.payload != Payload::Unsigned {
                sha256.update(&chunk);
            }
            file.write_all(&chunk).await.map_err(|_| Failure::internal())?;
        }
        file.flush().await.map_err(|_| Failure::internal())?;
        let md5: [u8; 16] = md5.finalize().into();
        self.check_digests(head, md5, sha256.finalize().into())?;
        Ok(Stored { blob: Arc::new(blob), md5 })
    }

    /// Reads a small document whole.
    pub(crate) async fn document(&mut self, head: &Head) -> Result<Bytes, Failure> {
        let mut document = BytesMut::new();
        while let Some(chunk) = self.stream.next().await {
            let chunk = chunk.map_err(|_| Failure::incomplete_body())?;
            if document.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(Failure::malformed_xml());
            }
            document.extend_from_slice(&chunk);
        }
        let digests = (Md5::digest(&document).into(), Sha256::digest(&document).into());
        self.check_digests(head, digests.0, digests.1)?;
        Ok(document.freeze())
    }

    fn check_digests(&self, head: &Head, md5: [u8; 16], sha256: [u8; 32]) -> Result<(), Failure> {
        if let Payload::Hashed(signed) = self.payload
            && signed != sha256
        {
            return Err(Failure::payload_mismatch());
        }
        if let Some(expected) = head.header("content-md5") {
            let expected = base64::engine::general_purpose::STANDARD
                .decode(expected)
                .map_err(|_| Failure::invalid_digest())?;
            if expected.len() != md5.len() {
                return Err(Failure::invalid_digest());
            }
            if expected != md5 {
                return Err(Failure::bad_digest());
            }
        }
        Ok(())
    }

    /// Reads what is left and throws it away: a client that is still sending hears a refusal only afterwards.
    pub(crate) async fn drain(&mut self) {
        while let Some(Ok(_)) = self.stream.next().await {}
    }
}

/// Streams `length` bytes from `start` out of blobs that follow each other. Holds one chunk and one open file.
pub(crate) fn read_through(
    blobs: Vec<Arc<Blob>>,
    start: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> {
    struct Reading {
        blobs: std::vec::IntoIter<Arc<Blob>>,
        // The blob is held with its file, so that the file outlives a deletion of the object.
        open: Option<(Arc<Blob>, File)>,
        skip: u64,
        left: u64,
    }
    let reading = Reading { blobs: blobs.into_iter(), open: None, skip: start, left: length };
    stream::try_unfold(reading, |mut reading| async move {
        loop {
            if reading.left == 0 {
                return Ok(None);
            }
            if let Some((_, file)) = &mut reading.open {
                let wanted =
                    usize::try_from(reading.left).unwrap_or(usize::MAX).min(CHUNK_BYTES / 4);
                let mut chunk = BytesMut::with_capacity(wanted);
                let count = file.take(wanted as u64).read_buf(&mut chunk).await?;
                if count > 0 {
                    reading.left -= count as u64;
                    return Ok(Some((chunk.freeze(), reading)));
                }
                reading.open = None;
            }
            let Some(blob) = reading.blobs.next() else {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            };
            if reading.skip >= blob.size {
                reading.skip -= blob.size;
                continue;
            }
            let mut file = File::open(&blob.path).await?;
            file.seek(io::SeekFrom::Start(reading.skip)).await?;
            reading.skip = 0;
            reading.open = Some((blob, file));
        }
    })
}
