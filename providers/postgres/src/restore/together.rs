//! Large tables that several sessions fill at once: one reads and inflates, whoever has nothing else to do takes rows.
//!
//! It connects to nothing. Tested beside it and in `tests/restore.rs`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use pgferry_engine::fault::Fault;

type Rows = Pin<Box<dyn Stream<Item = Result<Bytes, Fault>> + Send>>;

/// The tables under way that take help.
#[derive(Default)]
pub(super) struct Together(Mutex<Vec<Arc<Open>>>);

/// One of them.
pub(super) struct Open {
    /// Which of the tables.
    pub(super) table: usize,
    /// Whole rows.
    rows: tokio::sync::Mutex<Rows>,
    state: Mutex<State>,
}

struct State {
    hands: usize,
    /// Its end was seen.
    exhausted: bool,
}

/// Whether it was the last hand that let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Complete,
    Others,
}

impl Together {
    fn open(&self) -> MutexGuard<'_, Vec<Arc<Open>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins `table`, with one hand.
    pub(super) fn begin(
        &self,
        table: usize,
        rows: impl Stream<Item = Result<Bytes, Fault>> + Send + 'static,
    ) -> Arc<Open> {
        let state = Mutex::new(State { hands: 1, exhausted: false });
        let open =
            Arc::new(Open { table, rows: tokio::sync::Mutex::new(Box::pin(rows.fuse())), state });
        self.open().push(Arc::clone(&open));
        open
    }

    /// One more hand for the table that has the fewest; none where no rows are left to take.
    pub(super) fn join(&self) -> Option<Arc<Open>> {
        let open = self.open();
        let free = open.iter().filter(|open| !open.state().exhausted);
        let open = free.min_by_key(|open| open.state().hands)?;
        open.state().hands += 1;
        Some(Arc::clone(open))
    }

    /// A hand of `open` has put down all that it took, after the last row was taken.
    pub(super) fn leave(&self, open: &Arc<Open>) -> Left {
        let mut all = self.open();
        let mut state = open.state();
        state.exhausted = true;
        state.hands -= 1;
        if state.hands > 0 {
            return Left::Others;
        }
        all.retain(|other| !Arc::ptr_eq(other, open));
        Left::Complete
    }
}

impl Open {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows for one hand, until none are left for any.
    pub(super) fn rows(self: &Arc<Self>) -> impl Stream<Item = Result<Bytes, Fault>> + use<> {
        futures_util::stream::unfold(Arc::clone(self), |open| async {
            let next = open.rows.lock().await.next().await;
            next.map(|rows| (rows, open))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_table_is_complete_when_the_last_hand_leaves() {
        let together = Together::default();
        assert!(together.join().is_none());
        let rows = ["a\n", "b\n", "c\n"].map(|row| Ok(Bytes::from_static(row.as_bytes())));
        let first = together.begin(7, futures_util::stream::iter(rows));
        let second = together.join().expect("it takes help");
        let (mut one, mut other) = (Box::pin(first.rows()), Box::pin(second.rows()));
        let mut taken = Vec::new();
        for _ in 0..2 {
            taken.extend(one.next().await);
            taken.extend(other.next().await);
        }
        let taken: Vec<Bytes> = taken.into_iter().map(|rows| rows.expect("rows")).collect();
        assert_eq!(taken, ["a\n", "b\n", "c\n"].map(Bytes::from));
        assert_eq!(together.leave(&second), Left::Others);
        assert!(together.join().is_none(), "nothing is left to take");
        assert_eq!(together.leave(&first), Left::Complete);
        assert_eq!((together.open().len(), first.table), (0, 7));
    }
}
