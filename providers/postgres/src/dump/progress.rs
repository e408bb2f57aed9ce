//! How far a dump is, told a few times a second.
//!
//! Tested through [`super::Dump`].

use std::time::Duration;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::{Part, Progress};

const PAUSE: Duration = Duration::from_millis(250);

/// Counts the bytes of an archive against an estimate.
pub(super) struct Meter {
    estimate: u64,
    told: Timestamp,
    rows: Option<u64>,
    /// The table whose rows are put down.
    table: Option<Part>,
}

impl Meter {
    pub(super) fn new(cx: &Cx, estimate: u64) -> Self {
        Self { estimate, told: cx.now(), rows: None, table: None }
    }

    /// The rows of `name` come next, of about so many bytes; of what is no table, `None`.
    pub(super) fn begin(&mut self, name: &str, total_bytes: Option<u64>) {
        let part = Part { name: name.to_owned(), total_bytes, rows: Some(0), ..Part::default() };
        self.table = total_bytes.map(|_| part);
    }

    /// So many more bytes and rows of it are there, before compression.
    pub(super) fn passed(&mut self, bytes: u64, rows: u64) {
        *self.rows.get_or_insert_default() += rows;
        if let Some(table) = &mut self.table {
            table.bytes += bytes;
            *table.rows.get_or_insert_default() += rows;
        }
    }

    /// Tells it, unless it was told just now.
    pub(super) fn tell(&mut self, cx: &Cx, done: u64) {
        let now = cx.now();
        if now.duration_since(self.told).unsigned_abs() >= PAUSE {
            self.told = now;
            self.report(cx, done, self.estimate.max(done));
        }
    }

    /// Tells that all of it is there.
    pub(super) fn end(&self, cx: &Cx, done: u64) {
        self.report(cx, done, done);
    }

    fn report(&self, cx: &Cx, done: u64, total: u64) {
        cx.progress(Progress {
            what: "dumping".to_owned(),
            done: Some(done),
            total: Some(total),
            unit: Some("bytes"),
            rows: self.rows,
            parts: self.table.iter().cloned().collect(),
        });
    }
}
