//! The hands that carry rows from a session of the source to one of the target.
//!
//! Each piece is one `COPY … TO STDOUT` poured into one `COPY … FROM STDIN`. The rows are nowhere but in between. Tested
//! in `tests/copy.rs`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use pgferry_engine::fault::Fault;

use super::objects;
use super::plan::{Piece, Table};
use crate::checksum::Checksum;
use crate::connect::Session;
use crate::dump::{Contents, Counted};
use crate::fill::builds::Builds;
use crate::fill::meter::Meter;
use crate::fill::pour::{Broken, pour};

/// What all hands share.
pub(super) struct Shared {
    pub(super) tables: Vec<Table>,
    pub(super) meter: Meter,
    /// Name of the source's encoding.
    encoding: String,
    pieces: Mutex<VecDeque<Piece>>,
    /// Numbers of large objects, a batch each.
    objects: Mutex<Vec<Vec<u32>>>,
    /// Pieces of each table that are still to come.
    missing: Vec<AtomicUsize>,
    /// Checksum of each table as far as it has arrived, where it has one.
    sums: Mutex<Vec<Option<i128>>>,
    pub(super) builds: Arc<Builds>,
}

impl Shared {
    pub(super) fn new(
        tables: Vec<Table>,
        encoding: String,
        meter: Meter,
        pieces: Vec<Piece>,
        objects: Vec<Vec<u32>>,
        builds: Arc<Builds>,
    ) -> Arc<Self> {
        let missing: Vec<AtomicUsize> = tables.iter().map(|_| AtomicUsize::new(0)).collect();
        for piece in &pieces {
            missing[piece.table].fetch_add(1, Ordering::Relaxed);
        }
        let sums = Mutex::new(tables.iter().map(|it| it.hashed.as_ref().map(|_| 0)).collect());
        Arc::new(Self {
            tables,
            meter,
            encoding,
            pieces: Mutex::new(pieces.into()),
            objects: Mutex::new(objects),
            missing,
            sums,
            builds,
        })
    }

    fn next_piece(&self) -> Option<Piece> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn next_objects(&self) -> Option<Vec<u32>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Takes in the checksum of a piece.
    fn sum(&self, piece: &Piece, part: Option<i128>) {
        let sum = &mut self.sums.lock().unwrap_or_else(PoisonError::into_inner)[piece.table];
        *sum = sum.zip(part).map(|(sum, part)| sum + part);
    }

    /// What is known of the table at this place, which has arrived.
    pub(super) fn counted(&self, at: usize) -> Counted {
        let sum = self.sums.lock().unwrap_or_else(PoisonError::into_inner)[at];
        let columns = &self.tables[at].columns;
        let contents =
            sum.map(|sum| Contents { columns: columns.clone(), checksum: sum.to_string() });
        Counted { rows: self.meter.of(at).0, contents }
    }

    fn arrived(&self, piece: &Piece) {
        if self.missing[piece.table].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.meter.arrived(piece.table);
            self.builds.loaded(piece.table);
        }
    }
}

/// Carries pieces until there are none, then large objects; gives the source's session back.
///
/// # Errors
/// Either end failed; what was carried stays, and the copy is to be begun anew.
pub(super) async fn carry(
    shared: Arc<Shared>,
    source: Session,
    target: Session,
) -> Result<Session, Fault> {
    while let Some(piece) = shared.next_piece() {
        let rows = copy(&shared, &piece, &source, &target).await?;
        shared.meter.rows(piece.table, rows);
        shared.arrived(&piece);
    }
    while let Some(numbers) = shared.next_objects() {
        objects::copy(&source, &target, &numbers, &shared.meter).await?;
    }
    Ok(source)
}

async fn copy(
    shared: &Shared,
    piece: &Piece,
    source: &Session,
    target: &Session,
) -> Result<u64, Fault> {
    let table = &shared.tables[piece.table];
    let copied = async {
        let freeze = table.is_filled_at_once(piece);
        let begin = match &table.configuration {
            // What the extension's script put there gives way to the source's rows.
            Some(condition) => Some(format!("begin; delete from {} {condition}", table.into())),
            None if freeze => Some(format!("begin; truncate only {}", table.into())),
            None => None,
        };
        if let Some(begin) = &begin {
            target.batch_execute(begin).await.map_err(Broken::Target)?;
        }
        let into = table.copy_in(&shared.encoding, freeze);
        let from = table.copy_out(piece, &shared.encoding);
        let out = source.copy_out(&from).await.map_err(Broken::Source)?;
        let mut hashed = table.hashed.as_ref().map(|how| (how, Checksum::default()));
        let out = out.inspect_ok(|row| {
            let added = hashed.as_mut().map(|(how, checksum)| how.add(row, checksum));
            if added == Some(None) {
                hashed = None;
            }
        });
        let sink = target.copy_in(&into).await.map_err(Broken::Target)?;
        let rows = pour(out, sink, |bytes| shared.meter.passed(piece.table, bytes)).await?;
        shared.sum(piece, hashed.map(|(_, checksum)| checksum.sum));
        if begin.is_some() {
            target.batch_execute("commit").await.map_err(Broken::Target)?;
        }
        Ok(rows)
    };
    copied.await.map_err(|broken| {
        let shown = table.shown();
        match broken {
            Broken::Source(cause) => source.fault(&format!("reading table `{shown}`"), cause),
            Broken::Target(cause) => target.fault(&format!("filling table `{shown}`"), cause),
        }
    })
}
