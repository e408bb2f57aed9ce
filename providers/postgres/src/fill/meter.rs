//! How far a run is: bytes on their way and rows that have arrived, by table.
//!
//! It knows the clock through the context only. Tested through `tests/copy.rs` and `tests/restore.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::{Part, Progress};

const EVERY: Duration = Duration::from_millis(250);

/// Counts.
pub(crate) struct Meter {
    total: u64,
    done: AtomicU64,
    tables: Vec<Count>,
    arrived: AtomicUsize,
}

struct Count {
    name: String,
    /// 0 where nobody knows.
    expected: u64,
    rows: AtomicU64,
    bytes: AtomicU64,
    complete: AtomicBool,
}

impl Meter {
    /// `total`: bytes expected; `tables`: their names, and about how many bytes they have.
    pub(crate) fn new(total: u64, tables: impl Iterator<Item = (String, u64)>) -> Self {
        let tables = tables.map(|(name, expected)| Count {
            name,
            expected,
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        });
        let tables = tables.collect();
        Self { total, done: AtomicU64::new(0), tables, arrived: AtomicUsize::new(0) }
    }

    /// Bytes of `table` were handed on.
    pub(crate) fn passed(&self, table: usize, bytes: usize) {
        self.passed_otherwise(bytes);
        self.tables[table].bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that belong to no table: large objects.
    pub(crate) fn passed_otherwise(&self, bytes: usize) {
        self.done.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Rows of `table` are there.
    pub(crate) fn rows(&self, table: usize, rows: u64) {
        self.tables[table].rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// A table is complete.
    pub(crate) fn arrived(&self, table: usize) {
        self.tables[table].complete.store(true, Ordering::Relaxed);
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows and bytes of `table` so far.
    pub(crate) fn of(&self, table: usize) -> (u64, u64) {
        let count = &self.tables[table];
        (count.rows.load(Ordering::Relaxed), count.bytes.load(Ordering::Relaxed))
    }

    /// All bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The tables that have begun to arrive and are not complete, the largest first. Rows are known of whole pieces.
    fn under_way(&self) -> Vec<Part> {
        let begun = self.tables.iter().filter(|table| {
            table.bytes.load(Ordering::Relaxed) > 0 && !table.complete.load(Ordering::Relaxed)
        });
        let mut parts: Vec<Part> = begun
            .map(|table| Part {
                name: table.name.clone(),
                bytes: table.bytes.load(Ordering::Relaxed),
                total_bytes: Some(table.expected).filter(|bytes| *bytes > 0),
                rows: Some(table.rows.load(Ordering::Relaxed)).filter(|rows| *rows > 0),
            })
            .collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.total_bytes));
        parts
    }

    /// Tells it until dropped.
    pub(crate) async fn report(&self, cx: &Cx) {
        loop {
            let rows: u64 = (0..self.tables.len()).map(|table| self.of(table).0).sum();
            let (done, all) = (self.bytes(), self.tables.len());
            // How long indexes take, bytes do not tell.
            let arrived = self.arrived.load(Ordering::Relaxed);
            let (what, total) = if arrived < all {
                (format!("copying, {arrived} of {all} tables there"), self.total.max(done))
            } else {
                ("making indexes".to_owned(), done)
            };
            cx.progress(Progress {
                what,
                done: Some(done),
                total: Some(total),
                unit: Some("bytes"),
                rows: Some(rows),
                parts: self.under_way(),
            });
            cx.world.clock.sleep(EVERY).await;
        }
    }
}
