//! The hands that carry rows from a session of the source to one of the target.
//!
//! Each piece is one `COPY … TO STDOUT` poured into one `COPY … FROM STDIN`. The rows are nowhere but in between. Tested
//! in `tests/copy.rs`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt;
use pgferry_engine::fault::Fault;
use tokio_postgres::Error;

use super::objects;
use super::plan::{Piece, Table};
use crate::checksum::Checksum;
use crate::connect::Session;
use crate::dump::hold::refused;
use crate::dump::restorer::Restorer;
use crate::dump::{Contents, Counted};
use crate::fill::builds::Builds;
use crate::fill::meter::Meter;
use crate::fill::pour::{Broken, pour};
use crate::fill::written::{Written, begin};

/// Small tables filled by one transaction, which holds a lock on each; and of those that are left, the share of one hand.
const TOGETHER: usize = 32;
const HANDS: usize = 4;

/// What all hands share.
pub(super) struct Shared {
    pub(super) tables: Vec<Table>,
    pub(super) meter: Meter,
    /// Name of the source's encoding.
    encoding: String,
    pieces: Mutex<VecDeque<Piece>>,
    /// Numbers of large objects, a batch each.
    objects: Mutex<Vec<Vec<u32>>>,
    /// Whom they can be given to.
    restorer: Restorer,
    /// Pieces of each table that are still to come.
    missing: Vec<AtomicUsize>,
    /// Checksum of each table as far as it has arrived, where it has one.
    sums: Mutex<Vec<Option<i128>>>,
    pub(super) builds: Arc<Builds>,
    written: Arc<Written>,
}

impl Shared {
    pub(super) fn new(
        tables: Vec<Table>,
        encoding: String,
        meter: Meter,
        pieces: Vec<Piece>,
        (objects, restorer): (Vec<Vec<u32>>, Restorer),
        builds: Arc<Builds>,
        written: Arc<Written>,
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
            restorer,
            missing,
            sums,
            builds,
            written,
        })
    }

    /// A piece, or several that are small.
    fn next_pieces(&self) -> Vec<Piece> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = pieces.pop_front() else { return Vec::new() };
        let is_small = |piece: &Piece| self.tables[piece.table].is_small(piece);
        let mut some = vec![first];
        // Not all that are left, or others would have nothing to do.
        let most = (pieces.len() / HANDS).min(TOGETHER);
        while some.len() <= most && is_small(&first) && pieces.front().is_some_and(is_small) {
            some.extend(pieces.pop_front());
        }
        some
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

    fn arrived_at_once(&self, pieces: &[Piece]) {
        let tables: Vec<usize> = pieces.iter().map(|piece| piece.table).collect();
        for table in &tables {
            self.meter.arrived(*table);
        }
        self.builds.loaded_at_once(&tables);
    }
}

/// Carries pieces until there are none, then large objects; gives both sessions back.
///
/// # Errors
/// Either end failed; what was carried stays, and the copy is to be begun anew.
pub(super) async fn carry(
    shared: Arc<Shared>,
    source: Session,
    target: Session,
) -> Result<(Session, Session), Fault> {
    loop {
        let pieces = shared.next_pieces();
        match pieces.as_slice() {
            [] => break,
            [piece] => {
                let rows = copy(&shared, piece, &source, &target).await?;
                shared.meter.rows(piece.table, rows);
                shared.arrived(piece);
            }
            pieces => copy_together(&shared, pieces, &source, &target).await?,
        }
    }
    while let Some(numbers) = shared.next_objects() {
        let Shared { restorer, meter, .. } = shared.as_ref();
        objects::copy(&source, &target, &numbers, restorer, meter).await?;
    }
    Ok((source, target))
}

/// Fills small tables in one transaction. Nobody has put anything into them: to empty them would only make new files.
async fn copy_together(
    shared: &Shared,
    pieces: &[Piece],
    source: &Session,
    target: &Session,
) -> Result<(), Fault> {
    let said = |cause| target.fault("filling small tables", cause);
    let transaction = begin(target, "").await.map_err(said)?;
    let mut rows = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match pass(shared, piece, source, target, false).await {
            Ok(count) => rows.push(count),
            Err(broken) => return Err(blamed(shared, piece, source, target, broken).await),
        }
    }
    target.batch_execute("commit").await.map_err(said)?;
    for (piece, rows) in pieces.iter().zip(rows) {
        shared.meter.rows(piece.table, rows);
        shared.written.add(&shared.tables[piece.table].shown(), rows, transaction);
    }
    shared.arrived_at_once(pieces);
    Ok(())
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
        let first = match &table.configuration {
            // What the extension's script put there gives way to the source's rows.
            Some(condition) => format!("delete from {} {condition}", table.into()),
            None if freeze => format!("truncate only {}", table.into()),
            None => String::new(),
        };
        let transaction = begin(target, &first).await.map_err(Broken::Target)?;
        let rows = pass(shared, piece, source, target, freeze).await?;
        target.batch_execute("commit").await.map_err(Broken::Target)?;
        if table.is_own() {
            shared.written.add(&table.shown(), rows, transaction);
        }
        Ok(rows)
    };
    match copied.await {
        Ok(rows) => Ok(rows),
        Err(broken) => Err(blamed(shared, piece, source, target, broken).await),
    }
}

/// Passes the rows of `piece` on, and adds up their checksum.
async fn pass(
    shared: &Shared,
    piece: &Piece,
    source: &Session,
    target: &Session,
    freeze: bool,
) -> Result<u64, Broken<Error>> {
    let table = &shared.tables[piece.table];
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
    Ok(rows)
}

async fn blamed(
    shared: &Shared,
    piece: &Piece,
    source: &Session,
    target: &Session,
    broken: Broken<Error>,
) -> Fault {
    let shown = shared.tables[piece.table].shown();
    match broken {
        Broken::Source(cause) => refused(source, &format!("reading table `{shown}`"), cause).await,
        Broken::Target(cause) => target.fault(&format!("filling table `{shown}`"), cause),
    }
}
