//! A dump by several sessions at once, which is one ordinary archive in the end.
//!
//! `pg_dump` supplies the table of contents and then stands still; N sessions read the tables in its snapshot, all
//! cores compress, one writer puts the archive together in order. The beginning, with the places of all blocks, goes to
//! the bucket last. Version 1.14 comes out whatever `pg_dump` there is: every `pg_restore` from 12 on reads it, from a
//! pipe, from a file and with jobs. Only zstd takes 1.15, the first that can say so. Tested in `tests/parallel.rs`.

mod compressors;
mod line;
mod objects;
mod plan;
mod rewrite;
mod rows;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use pgferry_archive::{ArchiveError, Compression, Version};
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use pgferry_objects::Uploader;
use tokio::task::JoinSet;

use self::compressors::Compressors;
use self::line::Line;
use self::plan::{Block, Plan, Work};
use self::writer::Writer;
use super::compression::{Choice, Method};
use super::counted::{Contents, Counted};
use super::destination::final_fault;
use super::hold::LOCK_TIMEOUT;
use super::process::Process;
use super::progress::Meter;
use super::restorer::Restorer;
use super::snapshot::Snapshot;
use crate::checksum::Checksum;
use crate::connect::{Access, Format, Session, connect};
use crate::fill::hands::cores;

/// More sessions than this read no faster from a server of ordinary size.
const MOST_JOBS: usize = 8;
/// Bytes of the archive that may be ready before their turn, for each session.
const ROOM: usize = 3 << 20;

/// What to dump, and how.
pub(super) struct Order<'a> {
    pub(super) source: &'a Endpoint,
    pub(super) snapshot: &'a Snapshot,
    /// Sessions at most; as many as cores if left out, and no more than [`MOST_JOBS`].
    pub(super) jobs: Option<u8>,
    /// `None` to leave everything as it is.
    pub(super) choice: Option<Choice>,
    /// Whom the table of contents is written for.
    pub(super) restorer: Option<&'a Restorer>,
}

/// An archive that lacks its beginning yet.
pub(super) struct Outcome {
    /// The beginning, for [`Uploader::finish_with`].
    pub(super) head: Bytes,
    /// `1.14`.
    pub(super) archive_version: String,
    /// `none`, `zlib 4`, `zstd 1 to 3`.
    pub(super) compression: String,
    /// By the table's displayed name.
    pub(super) tables: BTreeMap<String, Counted>,
    /// What `restorer` cannot take.
    pub(super) left_out: Vec<String>,
}

impl Order<'_> {
    /// Dumps into `uploader`. `process` is a `pg_dump` that was just started without compression; it is ended.
    ///
    /// # Errors
    /// Whatever a session, `pg_dump` or the upload says. All stop then; the upload is left to the caller to abort.
    pub(super) async fn run(
        self,
        cx: &Cx,
        process: &mut Process,
        uploader: &mut Uploader,
        meter: Meter,
    ) -> Result<Outcome, Fault> {
        let opened = Mutex::default();
        let control = self.snapshot.session();
        let outcome = tokio::select! {
            outcome = self.dump(cx, process, uploader, meter, &opened) => outcome,
            () = cx.world.cancel.cancelled() => Err(crate::interrupted()),
        };
        if outcome.is_err() {
            let opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
            cancel(control, &opened).await;
        }
        outcome
    }

    async fn dump(
        self,
        cx: &Cx,
        process: &mut Process,
        uploader: &mut Uploader,
        meter: Meter,
        opened: &Mutex<Vec<Arc<Session>>>,
    ) -> Result<Outcome, Fault> {
        let mut toc = process.contents().await?;
        let control = self.snapshot.session();
        prepare(control).await?;
        let plan = Plan::make(control, &mut toc).await?;
        let (version, compression) = match self.choice.as_ref().map(|choice| choice.method) {
            None => (Version::V1_14, Compression::None),
            Some(Method::Zlib) => (Version::V1_14, Compression::Zlib { level: -1 }),
            Some(Method::Zstd) => (Version::V1_15, Compression::Zstd),
        };
        toc.convert(version).map_err(unwritable)?;
        rewrite::strip(&mut toc);
        let left_out = match self.restorer {
            Some(restorer) => rewrite::rewrite(&mut toc, restorer).map_err(unwritable)?,
            None => Vec::new(),
        };
        toc.header.compression = compression;
        uploader.reserve(toc.to_bytes().map_err(unwritable)?.len()).await.map_err(final_fault)?;

        let cores = cores();
        let jobs = self.jobs.map_or(cores.min(MOST_JOBS), usize::from);
        let jobs = jobs.clamp(1, plan.pieces.len().max(1));
        // Not before `pg_dump` has its own: where few are allowed, it would have none.
        let sessions = self.sessions(jobs).await?;
        opened.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&sessions);
        let compressors = Compressors::new(self.choice, cores);
        let (line, takings) = Line::new(plan.pieces, ROOM * (sessions.len() + 1));
        let names: Arc<[String]> = plan.blocks.iter().map(|block| block.shown.clone()).collect();
        // Dropped when anything fails, and with it all of them.
        let mut readers = JoinSet::new();
        for session in sessions {
            let (line, compressors, names) =
                (Arc::clone(&line), Arc::clone(&compressors), Arc::clone(&names));
            readers.spawn(async move { read(&session, &line, &compressors, &names).await });
        }
        let blocks = &plan.blocks;
        let writer = Writer { cx, uploader, blocks, line: &line, compressors: &compressors, meter };
        let mut writing = std::pin::pin!(writer.write(takings));
        let written = loop {
            tokio::select! {
                biased;
                Some(ended) = readers.join_next() => {
                    ended.map_err(|cause| Fault::bug("a reader's task").because(cause))??;
                }
                written = &mut writing => break written?,
            }
        };
        let said = process.stop().await;
        if !said.is_empty() {
            cx.warn(format!("`pg_dump` says: {}", said.join("\n  ")));
        }
        toc.place(&written.offsets);
        let counted = |block: &Block| {
            let rows = *written.rows.get(&block.id)?;
            let contents = block.columns.clone().map(|columns| Contents {
                columns,
                checksum: written.sums.get(&block.id).copied().unwrap_or_default().to_string(),
            });
            Some((block.shown.clone(), Counted { rows, contents }))
        };
        let tables = blocks.iter().filter_map(counted).collect();
        Ok(Outcome {
            head: toc.to_bytes().map_err(unwritable)?.into(),
            archive_version: toc.header.version.to_string(),
            compression: compressors.used(),
            tables,
            left_out,
        })
    }

    /// Up to `count` sessions in the snapshot; fewer where the server's limit allows no more.
    async fn sessions(&self, count: usize) -> Result<Vec<Arc<Session>>, Fault> {
        let mut sessions = Vec::new();
        while sessions.len() < count {
            let session = match connect(self.source, Access::ReadOnly, Format::Own).await {
                Ok(session) => session,
                Err(cause) if sessions.is_empty() => return Err(cause),
                Err(_) => break,
            };
            prepare(&session).await?;
            let begin = format!(
                "begin isolation level repeatable read read only; set transaction snapshot '{}'",
                self.snapshot.name
            );
            session
                .batch_execute(&begin)
                .await
                .map_err(|cause| session.fault("taking up the snapshot", cause))?;
            sessions.push(Arc::new(session));
        }
        Ok(sessions)
    }
}

/// Sets a session up as `pg_dump` does (`setup_connection`): values in a form that every server reads alike, the whole
/// table or none, rows in their order. `timezone` is ours; text in another one names the same instants.
///
/// Waits for locks are bounded: whoever waits for a lock behind `pg_dump` would wait for us, and we for them.
async fn prepare(session: &Session) -> Result<(), Fault> {
    session
        .batch_execute(&format!(
            "select set_config(name, value, false) from (values
               ('datestyle', 'ISO'), ('intervalstyle', 'postgres'), ('extra_float_digits', '3'),
               ('timezone', 'UTC'), ('bytea_output', 'hex'), ('search_path', ''), ('row_security', 'off'),
               ('quote_all_identifiers', 'off'), ('synchronize_seqscans', 'off'), ('jit', 'off'),
               ('lock_timeout', '{LOCK_TIMEOUT}'))
               as wanted(name, value)
             where exists (select from pg_settings s where lower(s.name) = wanted.name)"
        ))
        .await
        .map_err(|cause| session.fault("setting the session up", cause))
}

/// Stops what the server does for us: it would notice that we are gone only once it has something to say.
async fn cancel(control: &Session, readers: &[Arc<Session>]) {
    let all = readers.iter().map(Arc::as_ref).chain([control]).map(Session::cancel);
    // A server that does not answer does nothing for us either.
    let _silent = tokio::time::timeout(Duration::from_secs(5), join_all(all)).await;
}

/// Reads one piece after the other until none are left.
async fn read(
    session: &Session,
    line: &Arc<Line>,
    compressors: &Arc<Compressors>,
    names: &[String],
) -> Result<(), Fault> {
    while let Some((piece, outlet)) = line.next() {
        let mut checksum = piece.is_hashed.then(Checksum::default);
        match &piece.work {
            Work::Copy { statement } => {
                let shown = &names[piece.block];
                rows::copy(session, shown, statement, compressors, &outlet, checksum.as_mut())
                    .await?;
            }
            Work::Objects(numbers) => {
                objects::read(session, numbers, compressors, &outlet).await?;
            }
        }
        outlet.end(checksum.map(|checksum| checksum.sum));
    }
    Ok(())
}

fn unwritable(cause: ArchiveError) -> Fault {
    Fault::failed("putting the table of contents together").because(cause)
}
