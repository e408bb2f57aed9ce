//! The journal: one object a synced record with the batched ones before it, created only where none is.
//!
//! Its pieces are named by the serial that the journal continues and a number without gaps. Whoever goes on where
//! another has died puts an empty piece at the end, so that nothing can be added any more, whatever the clocks say:
//! the next piece of whoever wakes up late finds its place taken. Tested in `tests/state.rs`.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use pgferry_engine::state::StateError;
use pgferry_engine::state::store::{Durability, Lines};

use super::lease::{Lease, chain};
use super::remote::Remote;
use super::worker::Worker;
use crate::error::ObjectError;

/// Batched lines are handed on when they are so many bytes, so that memory stays small.
const MOST_HELD_BACK: usize = 1 << 20;

/// Where the pieces are.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) remote: Remote,
    pub(super) folder: Path,
}

/// What was found of a journal.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) serial: u64,
    /// How many pieces there are; where the next one would be.
    pub(super) next: u64,
    pub(super) lines: Vec<u8>,
}

struct Piece {
    serial: u64,
    number: u64,
    path: Path,
    is_seal: bool,
}

/// Why a journal cannot be read.
pub(super) enum Unread {
    Failed(ObjectError),
    /// In words.
    Gap(String),
}

impl From<ObjectError> for Unread {
    fn from(error: ObjectError) -> Self {
        Self::Failed(error)
    }
}

impl Shelf {
    fn piece(&self, serial: u64, number: u64) -> Path {
        self.folder.clone().join(format!("{serial:012}-{number:08}"))
    }

    /// All pieces, by serial and number; other objects are none of ours.
    async fn pieces(&self) -> Result<Vec<Piece>, ObjectError> {
        let listed = self.remote.list(&self.folder).await?;
        let mut pieces: Vec<Piece> = listed
            .into_iter()
            .filter_map(|(path, size)| {
                let (serial, number) = path.filename()?.split_once('-')?;
                let (serial, number) = (serial.parse().ok()?, number.parse().ok()?);
                Some(Piece { serial, number, path, is_seal: size == 0 })
            })
            .collect();
        pieces.sort_by_key(|piece| (piece.serial, piece.number));
        Ok(pieces)
    }

    /// The newest journal that continues `since` or later.
    pub(super) async fn read(&self, since: u64) -> Result<Option<Left>, Unread> {
        let mut pieces = self.pieces().await?;
        let Some(serial) = pieces.last().map(|last| last.serial).filter(|last| *last >= since)
        else {
            return Ok(None);
        };
        pieces.retain(|piece| piece.serial == serial);
        let gap = (0..).zip(&pieces).find(|(number, piece)| piece.number != *number);
        if let Some((number, _)) = gap {
            let of = pieces.last().map_or(0, |last| last.number);
            return Err(Unread::Gap(format!(
                "its piece {number} of {of} is gone, which continues serial {serial}"
            )));
        }
        let next = pieces.len() as u64;
        let written = pieces.iter().filter(|piece| !piece.is_seal);
        let contents = self.remote.get_all(written.map(|piece| piece.path.clone()).collect());
        let lines = contents.await?.concat();
        Ok(Some(Left { serial, next, lines }))
    }

    /// Ends a journal where it was read to; `false` if somebody has added to it since.
    pub(super) async fn seal(&self, left: &Left) -> Result<bool, ObjectError> {
        let end = self.piece(left.serial, left.next);
        if self.remote.create(&end, Bytes::new()).await?.is_some() {
            return Ok(true);
        }
        Ok(self.remote.get(&end).await?.is_some_and(|found| found.bytes.is_empty()))
    }

    /// Deletes the journals that continue serials up to `last`. The newest seal stays: who is to be kept out by it may
    /// be frozen for long.
    pub(super) async fn clear(&self, last: u64) -> Result<(), ObjectError> {
        let pieces = self.pieces().await?;
        let seal = pieces.iter().rposition(|piece| piece.is_seal);
        let old = pieces.into_iter().enumerate();
        let old = old.filter(|(at, piece)| piece.serial <= last && Some(*at) != seal);
        self.remote.delete_all(old.map(|(_, piece)| piece.path).collect()).await
    }
}

/// A journal being written.
pub(super) struct Pieces {
    pub(super) shelf: Shelf,
    pub(super) lease: Arc<Lease>,
    pub(super) worker: Arc<Worker>,
    pub(super) place: String,
    pub(super) serial: u64,
    pub(super) next: u64,
    pub(super) held_back: Vec<u8>,
}

impl Pieces {
    fn put(&mut self) -> Result<(), StateError> {
        let bytes = Bytes::from(std::mem::take(&mut self.held_back));
        if bytes.is_empty() {
            // An empty piece would be a seal.
            return Ok(());
        }
        let (shelf, lease) = (self.shelf.clone(), Arc::clone(&self.lease));
        let path = self.shelf.piece(self.serial, self.next);
        let put = self.worker.wait(async move {
            lease.ensure().await.map_err(Unput::Lost)?;
            match shelf.remote.create(&path, bytes).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Err(Unput::Lost("another run has ended its journal".to_owned()));
                }
                Err(error) => {
                    lease.be_unsure().await;
                    return Err(Unput::Failed(error));
                }
            }
            // Once more: an effect may follow, and putting may have taken long.
            lease.ensure().await.map_err(Unput::Lost)
        });
        let path = self.place.clone();
        put.map_err(|unput| match unput {
            Unput::Lost(why) => StateError::Fenced { path, why },
            Unput::Failed(error) => StateError::Io {
                doing: "writing the journal beside",
                path,
                source: std::io::Error::other(chain(&error)),
            },
        })?;
        self.next += 1;
        Ok(())
    }
}

enum Unput {
    Lost(String),
    Failed(ObjectError),
}

impl Lines for Pieces {
    fn append(&mut self, lines: &[u8], durability: Durability) -> Result<(), StateError> {
        self.held_back.extend_from_slice(lines);
        if durability == Durability::Synced || self.held_back.len() >= MOST_HELD_BACK {
            self.put()?;
        }
        Ok(())
    }
}
