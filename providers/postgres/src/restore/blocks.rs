//! The blocks of data that wait for a worker: those that are known, those that take longest first.
//!
//! Where the archive does not say where they are, they come one by one from whoever looks for them. Tested beside it.

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

/// What a row costs a server beside its bytes, in bytes of an archive: some of them shrink to next to nothing.
const ROW: u64 = 16;

impl Block {
    /// Bytes in the archive.
    pub(super) fn size(self) -> Option<u64> {
        self.end.map(|end| end - self.at)
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
    complete: bool,
}

impl Waiting {
    /// With all of `found`, which are all there are if `complete`.
    pub(super) fn new(mut found: Vec<Block>, complete: bool) -> Self {
        found.sort_by_key(|block| block.weight());
        Self { state: Mutex::new(State { found, complete }), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub(super) fn add(&self, block: Block) {
        {
            let mut state = self.state();
            let place = state.found.partition_point(|other| other.weight() < block.weight());
            state.found.insert(place, block);
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

    /// The one that takes longest, as soon as there is one; none once all are taken.
    pub(super) async fn next(&self) -> Option<Block> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change in between is missed.
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(block) = state.found.pop() {
                    return Some(block);
                }
                if state.complete {
                    return None;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_longest_comes_first() {
        let block = |id, size: Option<u64>| {
            let end = size.map(|size| 10 + size);
            Block { id, at: 10, end, rows: 0 }
        };
        let long = Block { rows: 100, ..block(5, Some(4)) };
        let waiting = Waiting::new(vec![block(1, Some(5)), long, block(2, Some(9))], false);
        assert_eq!(waiting.next().await.map(|block| block.id), Some(5));
        assert_eq!(waiting.next().await.map(|block| block.id), Some(2));
        waiting.add(block(3, Some(1)));
        waiting.add(block(4, None));
        for expect in [4, 1, 3] {
            assert_eq!(waiting.next().await.map(|block| block.id), Some(expect));
        }
        let none = waiting.next();
        tokio::pin!(none);
        assert!(futures_util::poll!(none.as_mut()).is_pending());
        waiting.complete();
        assert_eq!(none.await, None);
    }
}
