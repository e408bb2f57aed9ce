//! The blocks of data that wait for a worker: those that are known, those that take longest first.
//!
//! Where the archive does not say where they are, they come one by one from whoever looks for them. Tested beside it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Where the data of an entry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) id: i32,
    /// From the archive's first byte.
    pub(super) at: u64,
    /// Before which it ends; none where that is not known yet.
    pub(super) end: Option<u64>,
    /// How many rows are in it; 0 where nobody knows.
    pub(super) rows: u64,
}

/// A block of less weight goes with its neighbours: as many of them as this in one request, and bytes.
const SMALL: u64 = 48 << 10;
const TOGETHER: usize = 32;
const BYTES: u64 = 512 << 10;
/// Of what is left, the share of one hand.
const HANDS: usize = 4;

/// What a row costs a server beside its bytes, in bytes of an archive: some of them shrink to next to nothing.
const ROW: u64 = 16;

impl Block {
    /// Bytes in the archive.
    pub(super) fn size(self) -> Option<u64> {
        self.end.map(|end| end - self.at)
    }

    /// Whether it goes with others.
    pub(super) fn is_small(self) -> bool {
        self.weight() < SMALL
    }

    /// How long it will take, in no unit.
    pub(super) fn weight(self) -> u64 {
        self.size().map_or(u64::MAX, |size| size + self.rows * ROW)
    }
}

/// Shared by those who find and those who take.
pub(super) struct Waiting {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// What takes longest last.
    found: Vec<Block>,
    /// Of little weight, by their places.
    small: BTreeMap<u64, Block>,
    complete: bool,
}

impl Waiting {
    /// With all of `found`, which are all there are if `complete`.
    pub(super) fn new(found: Vec<Block>, complete: bool) -> Self {
        let (small, mut found): (Vec<Block>, Vec<Block>) =
            found.into_iter().partition(|block| block.is_small());
        found.sort_by_key(|block| block.weight());
        let small = small.into_iter().map(|block| (block.at, block)).collect();
        Self { state: Mutex::new(State { found, small, complete }), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub(super) fn add(&self, block: Block) {
        {
            let mut state = self.state();
            if block.is_small() {
                state.small.insert(block.at, block);
            } else {
                let place = state.found.partition_point(|other| other.weight() < block.weight());
                state.found.insert(place, block);
            }
        }
        self.changed.notify_waiters();
    }

    /// Whether there will be no more than are known.
    pub(super) fn is_complete(&self) -> bool {
        self.state().complete
    }

    /// There will be no more.
    pub(super) fn complete(&self) {
        self.state().complete = true;
        self.changed.notify_waiters();
    }

    /// The one that takes longest, or several small neighbours, as soon as there are any; none once all are taken.
    pub(super) async fn next(&self) -> Vec<Block> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change in between is missed.
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(block) = state.found.pop() {
                    return vec![block];
                }
                if !state.small.is_empty() || state.complete {
                    return state.neighbours();
                }
            }
            changed.await;
        }
    }
}

impl State {
    /// Takes small blocks that follow one another, the first ones.
    fn neighbours(&mut self) -> Vec<Block> {
        // Not all that are left, or others would have nothing to do.
        let most = (self.small.len() / HANDS).clamp(1, TOGETHER);
        let mut some: Vec<Block> = Vec::new();
        while let Some((_, block)) = self.small.first_key_value() {
            let follows = some.first().zip(some.last()).is_none_or(|(first, last)| {
                let end = block.end.unwrap_or(u64::MAX);
                last.end == Some(block.at) && end - first.at <= BYTES
            });
            if some.len() == most || !follows {
                break;
            }
            some.extend(self.small.pop_first().map(|(_, block)| block));
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: i32, at: u64, size: Option<u64>) -> Block {
        Block { id, at, end: size.map(|size| at + size), rows: 0 }
    }

    fn ids(blocks: &[Block]) -> Vec<i32> {
        blocks.iter().map(|block| block.id).collect()
    }

    #[tokio::test]
    async fn what_takes_longest_comes_first() {
        let size = |size: u64| Some(SMALL + size);
        let long = Block { rows: 100, ..block(5, 10, size(4)) };
        let found = vec![block(1, 10, size(5)), long, block(2, 10, size(9))];
        let waiting = Waiting::new(found, false);
        assert_eq!(ids(&waiting.next().await), [5]);
        assert_eq!(ids(&waiting.next().await), [2]);
        waiting.add(block(3, 10, size(1)));
        waiting.add(block(4, 10, None));
        for expect in [4, 1, 3] {
            assert_eq!(ids(&waiting.next().await), [expect]);
        }
        let none = waiting.next();
        tokio::pin!(none);
        assert!(futures_util::poll!(none.as_mut()).is_pending());
        waiting.complete();
        assert!(none.await.is_empty());
    }

    #[tokio::test]
    async fn small_neighbours_come_together_and_last() {
        let mut found: Vec<Block> =
            (0..20).map(|n| block(n, 100 + 10 * n.unsigned_abs() as u64, Some(10))).collect();
        found.remove(3);
        found.push(block(99, 0, Some(SMALL)));
        let waiting = Waiting::new(found, true);
        assert_eq!(ids(&waiting.next().await), [99]);
        // Up to where one is missing; then a fourth of what is left.
        assert_eq!(ids(&waiting.next().await), [0, 1, 2]);
        assert_eq!(ids(&waiting.next().await), [4, 5, 6, 7]);
        assert_eq!(ids(&waiting.next().await), [8, 9, 10]);
    }
}
