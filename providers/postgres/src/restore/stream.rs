//! A part of the archive as a stream of bytes: fetched ahead by ranges, read by a thread that may wait.
//!
//! Memory is three ranges. Tested in `tests/restore.rs`.

use std::io::{Error, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use pgferry_archive::ArchiveError;
use pgferry_engine::fault::Fault;
use tokio::sync::mpsc;

use super::object::Object;

/// Bytes of one range. What all workers hold together does not depend on their number.
const RANGE: usize = 1 << 20;
const ALL_RANGES: usize = 12 << 20;
const SMALLEST_RANGE: usize = 256 << 10;

/// How the archive is fetched.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) object: Object,
    range: u64,
}

impl Fetch {
    /// With ranges for as many readers as `jobs`.
    pub(super) fn new(object: Object, jobs: usize) -> Self {
        let range = (ALL_RANGES / (3 * jobs.max(1))).clamp(SMALLEST_RANGE, RANGE);
        Self { object, range: range as u64 }
    }

    /// The bytes from `from` to before `end`. `passed` is told of what has come.
    pub(super) fn stream(
        &self,
        from: u64,
        end: u64,
        passed: impl Fn(usize) + Send + 'static,
    ) -> Incoming {
        let (sender, receiver) = mpsc::channel(1);
        let fetch = self.clone();
        tokio::spawn(async move {
            let mut at = from;
            while at < end {
                let next = (at + fetch.range).min(end);
                let read = fetch.object.read(at..next).await;
                let failed = read.is_err();
                passed(read.as_ref().map_or(0, Bytes::len));
                // Nobody listens any more: enough was read.
                if sender.send(read).await.is_err() || failed {
                    return;
                }
                at = next;
            }
        });
        Incoming { receiver, at: from, bytes: Bytes::new(), broken: Broken::default() }
    }
}

impl Fetch {
    /// Bytes that are held at once: those from `from` to before `end`.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub(super) async fn whole(&self, from: u64, end: u64) -> Result<Bytes, Fault> {
        self.object.read(from..end).await
    }
}

/// Why reading stopped, beside the reader, which can only say an I/O error.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<Mutex<Option<Fault>>>);

impl Broken {
    /// `cause` as a fault, or what is behind it.
    pub(super) fn fault(&self, object: &str, cause: ArchiveError) -> Fault {
        let behind = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        behind.unwrap_or_else(|| {
            Fault::failed(format!("reading the archive `{object}`"))
                .because(cause)
                .help("dump again: the archive cannot be read")
        })
    }
}

/// The reading end; for threads that may block.
#[derive(Debug)]
pub(super) struct Incoming {
    receiver: mpsc::Receiver<Result<Bytes, Fault>>,
    at: u64,
    bytes: Bytes,
    broken: Broken,
}

impl Incoming {
    /// Nothing but `bytes`, which stand at `at`.
    pub(super) fn held(at: u64, bytes: Bytes) -> Self {
        let (_, receiver) = mpsc::channel(1);
        Self { receiver, at, bytes, broken: Broken::default() }
    }

    /// Where it stands, from the archive's first byte.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn broken(&self) -> Broken {
        self.broken.clone()
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.bytes.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(bytes)) => self.bytes = bytes,
                Some(Err(fault)) => {
                    let why = fault.to_string();
                    *self.broken.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
                    return Err(Error::other(why));
                }
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buffer[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
