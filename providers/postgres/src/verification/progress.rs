//! How far a comparison is: bytes on disk of the tables that were read, on both sides together.
//!
//! Tested through `verification`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pgferry_engine::cx::Cx;
use pgferry_engine::event::{Part, Progress};

use super::contents::Told;

/// Counts.
pub(super) struct Reading<'a> {
    cx: &'a Cx,
    total: u64,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    bytes: u64,
    rows: u64,
    /// How many parts of it are being read at this moment, and what is done of it.
    tables: BTreeMap<String, (usize, Part)>,
}

impl<'a> Reading<'a> {
    /// `tables`: what there is to read, with bytes on disk; one that both sides read comes twice.
    pub(super) fn new(cx: &'a Cx, tables: impl Iterator<Item = (String, u64)>) -> Self {
        let mut so_far = SoFar::default();
        let mut total = 0;
        for (name, bytes) in tables {
            total += bytes;
            let empty = Part { name: name.clone(), rows: Some(0), ..Part::default() };
            let (_, part) = so_far.tables.entry(name).or_insert((0, empty));
            *part.total_bytes.get_or_insert_default() += bytes;
        }
        Self { cx, total, so_far: Mutex::new(so_far) }
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, so_far: &SoFar) {
        let reading = so_far.tables.values().filter(|(readers, _)| *readers > 0);
        let mut parts: Vec<Part> = reading.map(|(_, part)| part.clone()).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.total_bytes));
        self.cx.progress(Progress {
            what: "comparing".to_owned(),
            done: Some(so_far.bytes),
            total: Some(self.total),
            unit: Some("bytes"),
            rows: Some(so_far.rows),
            parts,
        });
    }
}

impl Told for Reading<'_> {
    fn begun(&self, shown: &str, _: u64) {
        let mut so_far = self.so_far();
        if let Some((readers, _)) = so_far.tables.get_mut(shown) {
            *readers += 1;
        }
        self.tell(&so_far);
    }

    fn read(&self, shown: &str, bytes: u64, rows: i64) {
        let mut so_far = self.so_far();
        so_far.bytes += bytes;
        so_far.rows += rows.unsigned_abs();
        if let Some((readers, part)) = so_far.tables.get_mut(shown) {
            *readers = readers.saturating_sub(1);
            part.bytes += bytes;
            *part.rows.get_or_insert_default() += rows.unsigned_abs();
        }
        self.tell(&so_far);
    }
}
