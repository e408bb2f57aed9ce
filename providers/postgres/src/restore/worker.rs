//! The hands that carry rows from the archive into a session of the target.
//!
//! Each block is read by ranges, inflated and poured into one `COPY … FROM STDIN`. Tested in `tests/restore.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_archive::Compression;
use pgferry_engine::fault::Fault;

use super::blocks::{Block, Waiting};
use super::contents::{Kind, Table};
use super::objects;
use super::rows::{Cut, Wanted};
use super::stream::{Fetch, Incoming};
use super::together::{Left, Open, Together};
use crate::connect::Session;
use crate::fill::builds::Builds;
use crate::fill::meter::Meter;
use crate::fill::pour::{Broken, pour};
use crate::fill::written::{Written, begin};
use crate::quoting::literal;

/// What all hands share.
pub(super) struct Shared {
    pub(super) fetch: Fetch,
    pub(super) compression: Compression,
    /// Of the rows.
    pub(super) encoding: String,
    pub(super) tables: Vec<Table>,
    /// By the number of their entry of data.
    pub(super) numbered: BTreeMap<i32, usize>,
    /// Of tables of extensions, by name as SQL: the condition that tells users' rows, `WHERE …` or nothing.
    pub(super) conditions: BTreeMap<String, String>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) together: Together,
    /// Blocks of at least this weight are filled together; see [`Block::weight`].
    pub(super) heavy: u64,
    pub(super) builds: Arc<Builds>,
    pub(super) meter: Arc<Meter>,
    pub(super) written: Arc<Written>,
}

/// Carries blocks until there are none; says how many, and gives the session back.
///
/// # Errors
/// Either end failed; what was carried stays, and the restore is to be begun anew.
pub(super) async fn carry(shared: Arc<Shared>, target: Session) -> Result<(usize, Session), Fault> {
    let mut carried = 0;
    loop {
        let blocks = shared.waiting.next().await;
        match blocks.as_slice() {
            [] => break,
            [block] => shared.one(*block, &target).await?,
            blocks => shared.some(blocks, &target).await?,
        }
        carried += blocks.len();
    }
    // No table is left to begin.
    while let Some(open) = shared.together.join() {
        shared.help(&open, &target).await?;
    }
    Ok((carried, target))
}

impl Shared {
    async fn one(&self, block: Block, target: &Session) -> Result<(), Fault> {
        match self.numbered.get(&block.id) {
            Some(at) if self.is_heavy(*at, block) => {
                let rows = self.wanted(block, Some(*at)).rows(Cut::BetweenRows);
                self.help(&self.together.begin(*at, rows), target).await
            }
            Some(at) => {
                let rows = self.fill(*at, block, target).await?;
                self.meter.rows(*at, rows);
                self.loaded(*at);
                Ok(())
            }
            None => objects::fill(target, self.wanted(block, None)).await,
        }
    }

    /// Small neighbours: one request for all, and one transaction for the tables among them. Nobody has put anything into
    /// those: to empty them would only make new files.
    async fn some(&self, blocks: &[Block], target: &Session) -> Result<(), Fault> {
        let (Some(first), Some(end)) = (blocks.first(), blocks.last().and_then(|it| it.end)) else {
            return Ok(());
        };
        let bytes = self.fetch.whole(first.at, end).await?;
        self.meter.passed_otherwise(bytes.len());
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for block in blocks {
            let at = self.numbered.get(&block.id).copied();
            match at.filter(|at| self.tables[*at].kind == Kind::Own) {
                Some(at) => own.push((at, *block)),
                None => others.push(*block),
            }
        }
        for block in others {
            self.one(block, target).await?;
        }
        let said = |cause| target.fault("filling small tables", cause);
        let transaction = begin(target, "").await.map_err(said)?;
        let mut arrived = Vec::with_capacity(own.len());
        for (at, block) in own {
            let (from, to) = (block.at - first.at, block.end.unwrap_or(end) - first.at);
            let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else {
                return Err(Fault::bug("a block larger than memory"));
            };
            let incoming = Incoming::held(block.at, bytes.slice(from..to));
            let object = self.fetch.object.name().to_owned();
            let wanted = Wanted { incoming, compression: self.compression, id: block.id, object };
            let table = &self.tables[at];
            let filling = async {
                let sink =
                    target.copy_in(&self.statement(table, "")).await.map_err(Broken::Target)?;
                pour(wanted.rows(Cut::Anywhere), sink, |_| {}).await
            };
            arrived.push((at, filling.await.map_err(|broken| refused(target, table, broken))?));
        }
        target.batch_execute("commit").await.map_err(said)?;
        for (at, rows) in &arrived {
            self.meter.rows(*at, *rows);
            self.meter.arrived(*at);
            self.written.add(&self.tables[*at].shown, *rows, transaction);
        }
        let tables: Vec<usize> = arrived.into_iter().map(|(at, _)| at).collect();
        self.builds.loaded_at_once(&tables);
        Ok(())
    }

    fn wanted(&self, block: Block, table: Option<usize>) -> Wanted {
        let meter = Arc::clone(&self.meter);
        let end = block.end.unwrap_or(self.fetch.object.size);
        let incoming = self.fetch.stream(block.at, end, move |bytes| match table {
            Some(table) => meter.passed(table, bytes),
            None => meter.passed_otherwise(bytes),
        });
        let object = self.fetch.object.name().to_owned();
        Wanted { incoming, compression: self.compression, id: block.id, object }
    }

    fn loaded(&self, at: usize) {
        self.meter.arrived(at);
        self.builds.loaded(at);
    }

    /// Whether more than one hand is worth its while: they cannot all be in the transaction that empties the table.
    fn is_heavy(&self, at: usize, block: Block) -> bool {
        self.tables[at].kind == Kind::Own && block.weight() >= self.heavy
    }

    async fn help(&self, open: &Arc<Open>, target: &Session) -> Result<(), Fault> {
        let table = &self.tables[open.table];
        let filling = async {
            let transaction = begin(target, "").await.map_err(Broken::Target)?;
            let statement = self.statement(table, "");
            let sink = target.copy_in(&statement).await.map_err(Broken::Target)?;
            let rows = pour(open.rows(), sink, |_| {}).await?;
            target.batch_execute("commit").await.map_err(Broken::Target)?;
            self.written.add(&table.shown, rows, transaction);
            Ok(rows)
        };
        let rows = filling.await.map_err(|broken| refused(target, table, broken))?;
        self.meter.rows(open.table, rows);
        if self.together.leave(open) == Left::Complete {
            self.loaded(open.table);
        }
        Ok(())
    }

    async fn fill(&self, at: usize, block: Block, target: &Session) -> Result<u64, Fault> {
        let table = &self.tables[at];
        let rows = self.wanted(block, Some(at)).rows(Cut::Anywhere);
        let filling = async {
            let condition = self.conditions.get(&table.name);
            let first = match (table.kind, condition) {
                // What the extension's script put there gives way to the source's rows.
                (Kind::Other, Some(condition)) => {
                    format!("delete from {} {condition}", table.name)
                }
                // Filled in the transaction that emptied it, rows are born frozen, which saves a later pass over them.
                (Kind::Own, _) => format!("truncate only {}", table.name),
                _ => String::new(),
            };
            let transaction = begin(target, &first).await.map_err(Broken::Target)?;
            let freeze = if table.kind == Kind::Own { ", freeze" } else { "" };
            let statement = self.statement(table, freeze);
            let sink = target.copy_in(&statement).await.map_err(Broken::Target)?;
            let rows = pour(rows, sink, |_| {}).await?;
            target.batch_execute("commit").await.map_err(Broken::Target)?;
            if table.kind == Kind::Own {
                self.written.add(&table.shown, rows, transaction);
            }
            Ok(rows)
        };
        filling.await.map_err(|broken| refused(target, table, broken))
    }

    fn statement(&self, table: &Table, freeze: &str) -> String {
        let encoding = literal(&self.encoding);
        format!("copy {} from stdin with (format text, encoding {encoding}{freeze})", table.filled)
    }
}

fn refused(target: &Session, table: &Table, broken: Broken<Fault>) -> Fault {
    match broken {
        Broken::Source(fault) => fault,
        Broken::Target(cause) => target.fault(&format!("filling table `{}`", table.shown), cause),
    }
}
