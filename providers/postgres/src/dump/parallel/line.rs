//! The line in which pieces of an archive are taken up by several readers and put down by one writer, in their order.
//!
//! Readers run ahead of the writer as far as there is room in memory. The piece whose turn it is has room of its own, so
//! that those behind it can never keep it waiting. Tested beside it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pgferry_archive::deflate::Segment;
use pgferry_engine::fault::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::plan::Piece;

/// Room is counted in these.
const UNIT: usize = 1024;
/// Room of the piece whose turn it is: two chunks.
const RESERVE: usize = 3 << 20;

/// Bytes of the archive that follow one another, with what they were made of.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Where they are a segment of a zlib stream.
    pub(super) segment: Option<Segment>,
    pub(super) rows: u64,
    /// Bytes before they were compressed.
    pub(super) length: u64,
}

/// What comes from a piece.
pub(super) enum Word {
    /// Gives its room back when dropped.
    Chunk(Chunk, OwnedSemaphorePermit),
    /// Nothing is missing; with the checksum of its rows, where it was asked for.
    End(Option<i128>),
}

/// A piece that somebody reads.
pub(super) struct Taken {
    pub(super) piece: Piece,
    pub(super) words: mpsc::UnboundedReceiver<Word>,
}

/// The pieces that nobody reads yet, and the room.
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    shared: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// The number of the piece whose turn it is.
    turn: watch::Sender<u64>,
}

struct Waiting {
    pieces: VecDeque<Piece>,
    /// Gone with the last piece, so that the writer sees the end.
    taken: Option<mpsc::UnboundedSender<Taken>>,
}

/// Where the reader of a piece puts what it read.
pub(super) struct Outlet {
    pub(super) number: u64,
    words: mpsc::UnboundedSender<Word>,
    line: Arc<Line>,
}

impl Line {
    /// A line of `pieces` with room for `bytes`; those taken up come out of the second in their order.
    pub(super) fn new(
        pieces: VecDeque<Piece>,
        bytes: usize,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Taken>) {
        let (taken, takings) = mpsc::unbounded_channel();
        let taken = (!pieces.is_empty()).then_some(taken);
        let line = Self {
            waiting: Mutex::new(Waiting { pieces, taken }),
            shared: Arc::new(Semaphore::new(bytes / UNIT)),
            reserve: Arc::new(Semaphore::new(RESERVE / UNIT)),
            turn: watch::Sender::new(0),
        };
        (Arc::new(line), takings)
    }

    /// Takes up the next piece.
    pub(super) fn next(self: &Arc<Self>) -> Option<(Piece, Outlet)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let piece = waiting.pieces.pop_front()?;
        let (sender, words) = mpsc::unbounded_channel();
        if let Some(taken) = &waiting.taken {
            // Nobody is there to write it: then all are about to stop.
            let _stopped = taken.send(Taken { piece: piece.clone(), words });
        }
        if waiting.pieces.is_empty() {
            waiting.taken = None;
        }
        let outlet = Outlet { number: piece.number, words: sender, line: Arc::clone(self) };
        Some((piece, outlet))
    }

    /// Says whose turn it is.
    pub(super) fn turn_of(&self, number: u64) {
        self.turn.send_replace(number);
    }

    async fn room(&self, number: u64, bytes: usize) -> Result<OwnedSemaphorePermit, Fault> {
        let units = bytes.div_ceil(UNIT).clamp(1, RESERVE / UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let mut turn = self.turn.subscribe();
        let own = async {
            if turn.wait_for(|at| *at >= number).await.is_err() {
                std::future::pending::<()>().await;
            }
            Arc::clone(&self.reserve).acquire_many_owned(units).await
        };
        let room = tokio::select! {
            biased;
            room = Arc::clone(&self.shared).acquire_many_owned(units) => room,
            room = own => room,
        };
        room.map_err(|_| Fault::bug("room that was closed"))
    }
}

impl Outlet {
    /// Puts `chunk` down, once there is room.
    ///
    /// # Errors
    /// Only by a mistake of ours.
    pub(super) async fn pass(&self, chunk: Chunk) -> Result<(), Fault> {
        let room = self.line.room(self.number, chunk.bytes.len()).await?;
        // As above: without a writer, all are about to stop.
        let _stopped = self.words.send(Word::Chunk(chunk, room));
        Ok(())
    }

    /// Says that nothing is missing.
    pub(super) fn end(self, checksum: Option<i128>) {
        let _stopped = self.words.send(Word::End(checksum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::parallel::plan::Work;

    fn pieces(count: u64) -> VecDeque<Piece> {
        let piece = |number| Piece {
            number,
            block: 0,
            work: Work::Objects(Vec::new()),
            is_hashed: false,
            first: number == 0,
            last: number + 1 == count,
        };
        (0..count).map(piece).collect()
    }

    fn chunk(bytes: usize) -> Chunk {
        Chunk { bytes: Bytes::from(vec![7; bytes]), segment: None, rows: 1, length: 0 }
    }

    #[tokio::test]
    async fn those_behind_never_keep_the_first_waiting() {
        const CHUNK: usize = 1 << 20;
        let (line, mut takings) = Line::new(pieces(2), 4 * CHUNK);
        let (_, first) = line.next().expect("a piece");
        let (_, second) = line.next().expect("a piece");
        assert!(line.next().is_none());
        for _ in 0..4 {
            second.pass(chunk(CHUNK)).await.expect("room");
        }
        let mut fifth = Box::pin(second.pass(chunk(CHUNK)));
        assert!(futures_util::poll!(&mut fifth).is_pending(), "all room is taken");
        for _ in 0..RESERVE / CHUNK {
            first.pass(chunk(CHUNK)).await.expect("its own room");
        }
        let mut more = Box::pin(first.pass(chunk(CHUNK)));
        assert!(futures_util::poll!(&mut more).is_pending(), "its own room is taken too");

        let mut taken = takings.recv().await.expect("the first piece");
        assert_eq!(taken.piece.number, 0);
        let Some(Word::Chunk(one, room)) = taken.words.recv().await else { panic!("a chunk") };
        assert_eq!(one.bytes.len(), CHUNK);
        drop(room);
        more.await.expect("room was given back");
        first.end(Some(-5));
        for _ in 0..RESERVE / CHUNK {
            assert!(matches!(taken.words.recv().await, Some(Word::Chunk(..))));
        }
        assert!(matches!(taken.words.recv().await, Some(Word::End(Some(-5)))));
        line.turn_of(1);
        fifth.await.expect("its turn");
        drop(second);
        let mut taken = takings.recv().await.expect("the second piece");
        while let Some(word) = taken.words.recv().await {
            assert!(matches!(word, Word::Chunk(..)), "it was cut short, and said no end");
        }
        assert!(takings.recv().await.is_none(), "there are no more");
    }
}
