//! How far a copy is: bytes on their way and rows that have arrived, by table.
//!
//! It knows the clock through the context only. Tested through `tests/copy.rs`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;

const EVERY: Duration = Duration::from_millis(250);

/// Counts.
pub(super) struct Meter {
    total: u64,
    done: AtomicU64,
    tables: Vec<Count>,
    arrived: AtomicUsize,
}

#[derive(Default)]
struct Count {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// `total`: bytes expected.
    pub(super) fn new(total: u64, tables: usize) -> Self {
        let tables = std::iter::repeat_with(Count::default).take(tables).collect();
        Self { total, done: AtomicU64::new(0), tables, arrived: AtomicUsize::new(0) }
    }

    /// Bytes of `table` were handed on.
    pub(super) fn passed(&self, table: usize, bytes: usize) {
        self.passed_otherwise(bytes);
        self.tables[table].bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that belong to no table: large objects.
    pub(super) fn passed_otherwise(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Rows of `table` are there.
    pub(super) fn rows(&self, table: usize, rows: u64) {
        self.tables[table].rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// A table is complete.
    pub(super) fn arrived(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows and bytes of `table` so far.
    pub(super) fn of(&self, table: usize) -> (u64, u64) {
        let count = &self.tables[table];
        (count.rows.load(Ordering::Relaxed), count.bytes.load(Ordering::Relaxed))
    }

    /// All bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Tells it until dropped.
    pub(super) async fn report(&self, cx: &Cx) {
        loop {
            let rows: u64 = (0..self.tables.len()).map(|table| self.of(table).0).sum();
            let (done, all) = (self.bytes(), self.tables.len());
            let what = match self.arrived.load(Ordering::Relaxed) {
                arrived if arrived < all => {
                    format!("copying, {arrived} of {all} tables and {rows} rows there")
                }
                _ => format!("all {rows} rows there, making indexes"),
            };
            cx.progress(Progress {
                what,
                done: Some(done),
                total: Some(self.total.max(done)),
                unit: Some("bytes"),
            });
            cx.world.clock.sleep(EVERY).await;
        }
    }
}
