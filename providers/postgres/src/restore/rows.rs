//! The data in one block of the archive, inflated: a table's rows, or parts of large objects.
//!
//! A thread of its own reads and inflates, some hundred kilobytes ahead of who takes them. Tested in
//! `tests/restore.rs`.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use pgferry_archive::block::{Block, Blocks};
use pgferry_archive::{ArchiveError, Compression, frame};
use pgferry_engine::fault::Fault;
use tokio::sync::mpsc;

use super::stream::Incoming;

/// Bytes handed on at once. Above 64 KiB, the allocator takes megabytes for each thread and size.
const BATCH: usize = 48 << 10;
/// Batches ahead.
const AHEAD: usize = 8;

/// A block that is to be read.
pub(super) struct Wanted {
    pub(super) incoming: Incoming,
    pub(super) compression: Compression,
    /// Its entry's number.
    pub(super) id: i32,
    /// The archive's name, for people.
    pub(super) object: String,
}

/// Where a stream of rows may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Anywhere,
    /// So that each piece can be put down by another session.
    BetweenRows,
}

/// A part of a large object.
pub(super) struct Part {
    pub(super) number: u32,
    /// Where it belongs.
    pub(super) at: i64,
    pub(super) bytes: Bytes,
}

impl Wanted {
    /// The rows, without the mark at their end. One that breaks off ends with an error. Cut between rows, the longest one
    /// must fit into memory.
    pub(super) fn rows(self, cut: Cut) -> impl Stream<Item = Result<Bytes, Fault>> {
        self.read(move |blocks, compression, send| {
            let end = frame::ROWS_END;
            let mut held = BytesMut::new();
            let mut wanted = BATCH + end.len();
            let mut data = blocks.data(compression)?;
            while fill(&mut *data, &mut held, wanted)? {
                let most = held.len() - end.len();
                let at = match cut {
                    Cut::Anywhere => most,
                    // No value holds a newline: `COPY` writes it as two other characters.
                    Cut::BetweenRows => {
                        held[..most].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
                    }
                };
                if at == 0 {
                    wanted += BATCH;
                } else if !send(held.split_to(at).freeze()) {
                    return Ok(());
                } else {
                    wanted = BATCH + end.len();
                }
            }
            match held.strip_suffix(end) {
                Some([]) => {}
                Some(rest) => {
                    let rest = rest.len();
                    send(held.split_to(rest).freeze());
                }
                None => return Err(ArchiveError::Short { within: "a table's rows" }),
            }
            Ok(())
        })
    }

    /// The contents of large objects; an empty one has no part.
    pub(super) fn parts(self) -> impl Stream<Item = Result<Part, Fault>> {
        self.read(|blocks, compression, send| {
            while let Some(number) = blocks.next_object()? {
                let mut data = blocks.data(compression)?;
                let (mut held, mut at) = (BytesMut::new(), 0);
                loop {
                    let more = fill(&mut *data, &mut held, BATCH)?;
                    let bytes = held.split().freeze();
                    let length = bytes.len() as i64;
                    if length > 0 && !send(Part { number, at, bytes }) {
                        return Ok(());
                    }
                    if !more {
                        break;
                    }
                    at += length;
                }
            }
            Ok(())
        })
    }

    fn read<T: Send + 'static>(
        self,
        take: impl FnOnce(
            &mut Blocks<Incoming>,
            Compression,
            &mut dyn FnMut(T) -> bool,
        ) -> Result<(), ArchiveError>
        + Send
        + 'static,
    ) -> impl Stream<Item = Result<T, Fault>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let Self { incoming, compression, id, object } = self;
        let broken = incoming.broken();
        tokio::task::spawn_blocking(move || {
            let mut blocks = Blocks::new(incoming);
            let reading = || {
                match blocks.next_block()? {
                    Some(Block::Table(of) | Block::LargeObjects(of)) if of == id => {}
                    other => {
                        let what = format!("where the data of entry {id} should be is {other:?}");
                        return Err(ArchiveError::Damaged { what });
                    }
                }
                take(&mut blocks, compression, &mut |it| sender.blocking_send(Ok(it)).is_ok())
            };
            if let Err(cause) = reading() {
                // Nobody listens: then all are about to stop.
                let _stopped = sender.blocking_send(Err(broken.fault(&object, cause)));
            }
        });
        futures_util::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|item| (item, receiver))
        })
    }
}

/// Reads until `held` has `wanted` bytes; false at the end of the data.
fn fill(data: &mut dyn Read, held: &mut BytesMut, wanted: usize) -> Result<bool, ArchiveError> {
    while held.len() < wanted {
        let before = held.len();
        held.resize(wanted, 0);
        let read = data.read(&mut held[before..]);
        held.truncate(before + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ArchiveError::Io { doing: "inflating", source }),
        }
    }
    Ok(true)
}
