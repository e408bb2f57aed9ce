//! One attempt, from an empty target to a full one.
//!
//! It owns the order of the steps. It notes nothing and decides nothing about what was in the target before. Dropping it
//! stops its work; what the servers are still at then is ended by whoever comes next. Tested in `tests/copy.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use super::CopiedTable;
use super::plan::pieces;
use super::schema::{self, Fitted, Section};
use super::tables::{Ends, tables};
use super::worker::{self, Shared};
use super::{details, objects};
use crate::connect::Session;
use crate::dump::hold::hold_all;
use crate::dump::restorer::{Restorer, is_heroku};
use crate::dump::snapshot::Snapshot;
use crate::dump::{Baseline, Counted};
use crate::fill::after;
use crate::fill::builds::{Builds, Table as Waiting};
use crate::fill::carry::{Warnings, carry_out};
use crate::fill::hands::{cores, work};
use crate::fill::keys::{self, Step};
use crate::fill::meter::Meter;
use crate::fill::script::Entry;
use crate::fill::sessions::{Opening, as_many};
use crate::fill::written::Written;
use crate::programs::Program;

/// What is to be done.
pub(super) struct Run<'a> {
    pub(super) cx: &'a Cx,
    pub(super) name: &'a str,
    pub(super) written: &'a Arc<Written>,
    pub(super) from: &'a Endpoint,
    pub(super) into: &'a Endpoint,
    pub(super) program: &'a Program,
    pub(super) jobs: usize,
    /// As many as last time.
    pub(super) expected_bytes: Option<u64>,
}

/// What was done.
pub(super) struct Copied {
    pub(super) baseline: Baseline,
    pub(super) lsn: Option<String>,
    pub(super) tables: Vec<CopiedTable>,
    /// What is known of each, by its displayed name.
    pub(super) counted: BTreeMap<String, Counted>,
    pub(super) bytes: u64,
    pub(super) warnings: Vec<String>,
}

impl Run<'_> {
    /// Copies.
    ///
    /// # Errors
    /// One end failed, or the target refuses an object. The target is half full then.
    pub(super) async fn copy(&self) -> Result<Copied, Fault> {
        let cx = self.cx;
        let opening = Opening { name: self.name, jobs: self.jobs };
        let snapshot = Snapshot::take(cx, self.from).await?;
        self.at("locking the tables against changes");
        hold_all(snapshot.session()).await?;
        self.at("reading the schema");
        let read = |section| schema::read(cx, self.program, self.from, &snapshot.name, section);
        let (before, after) =
            futures_util::try_join!(read(Section::BeforeData), read(Section::AfterData))?;
        let main = opening.maker(self.into).await?;
        let restorer = Restorer::read(&main, is_heroku(self.into)).await?;
        let Fitted { before, after, last } = schema::fit(before, after, &restorer);
        let warnings = Warnings::default();
        cx.effect("make schema")?;
        self.at("making the tables");
        carry_out(&main, &before, &warnings).await?;

        let readers = as_many(self.jobs, || opening.reader(self.from, &snapshot.name)).await?;
        // One of each first: a plan's limit must not be used up by one kind.
        let makers = as_many(self.jobs.min(readers.len()), || opening.builder(self.into)).await?;
        let writers = as_many(readers.len(), || opening.writer(self.into)).await?;
        let fewest = writers.len().min(makers.len());
        if fewest < self.jobs {
            cx.warn(format!("there are sessions for {fewest} of {} jobs", self.jobs));
        }
        let ends = (&readers[0], &main);
        let (shared, mut steps) = self.plan(ends, restorer, after, writers.len()).await?;
        steps.push(Step::InOrder(last));
        cx.effect("copy rows")?;
        let carry = |(from, into)| worker::carry(Arc::clone(&shared), from, into);
        let carriers = readers.into_iter().zip(writers).map(carry).collect();
        let worked = tokio::select! {
            worked = work(&shared.builds, carriers, makers) => worked?,
            () = shared.meter.report(cx) => return Err(Fault::bug("a report that ends")),
        };
        let (readers, idle) = (worked.carried, worked.idle);
        // Before rights, which may take away what it takes.
        let reader = readers.first().ok_or_else(|| Fault::bug("a copy without workers"))?;
        objects::sequences(reader, &main).await?;
        cx.effect("make keys")?;
        self.at("making keys, triggers and views");
        after::make(&main, &idle, steps, &warnings).await?;
        self.at("analysing");
        let analysed = worked.analysers.end().await?;
        if let Some(warning) = after::complete(&main, &idle, analysed).await? {
            cx.warn(warning);
        }

        let lsn = snapshot.lsn.clone();
        let baseline = snapshot.release();
        let tables = shared.tables.iter().enumerate().map(|(at, table)| {
            let (rows, bytes) = shared.meter.of(at);
            CopiedTable { name: table.shown(), rows, bytes }
        });
        let counted = shared.tables.iter().enumerate();
        let counted = counted.map(|(at, table)| (table.shown(), shared.counted(at))).collect();
        let warnings = warnings.take();
        if !warnings.is_empty() {
            cx.warn(format!("the target did without: {}", warnings.join("\n  ")));
        }
        let (tables, bytes) = (tables.collect(), shared.meter.bytes());
        Ok(Copied { baseline, lsn, tables, counted, bytes, warnings })
    }

    /// What there is to carry and to build.
    async fn plan(
        &self,
        (reader, main): (&Session, &Session),
        restorer: Restorer,
        after: Vec<Entry>,
        workers: usize,
    ) -> Result<(Arc<Shared>, Vec<Step>), Fault> {
        let row = reader
            .query_one(
                "select pg_encoding_to_char(encoding)::text, pg_is_in_recovery(), pg_database_size(oid) from pg_database
                 where datname = current_database()",
                &[],
            )
            .await
            .map_err(|cause| reader.fault("reading its encoding", cause))?;
        let (encoding, standby): (String, bool) = (row.get(0), row.get(1));
        self.cx.moved(row.get::<_, i64>(2).unsigned_abs());
        let ends = Ends {
            source: reader.version_number,
            target: main.version_number,
            utf8: encoding == "UTF8",
        };
        let tables = tables(reader, ends, standby).await?;
        let details = details::read(reader, &after).await?;
        let own = |table: &super::plan::Table| table.through.is_none().then_some(table.oid);
        let numbers: Vec<Option<u32>> = tables.iter().map(own).collect();
        let (work, steps) = keys::sort(after, &details, &numbers);
        let objects = (objects::numbers(reader).await?, restorer);
        let pieces = pieces(&tables, workers, cores(), reader.version_number);
        let total = tables.iter().map(|table| table.bytes).sum();
        let sized = tables.iter().map(|table| (table.shown(), table.bytes));
        let meter = Meter::new(self.expected_bytes.unwrap_or(total), sized);
        let analysable = after::analysable(main).await?;
        let waiting = work.into_iter().zip(&tables).map(|(work, table)| {
            let name = analysable.get(&table.shown()).cloned();
            let analysed = name.filter(|name| !keys::is_late(&steps, name));
            Waiting { work, weight: table.bytes + table.indexes, analysed }
        });
        let builds = Arc::new(Builds::new(waiting.collect()));
        Ok((
            Shared::new(tables, encoding, meter, pieces, objects, builds, Arc::clone(self.written)),
            steps,
        ))
    }

    fn at(&self, what: &str) {
        self.cx.progress(Progress { what: what.to_owned(), ..Progress::default() });
    }
}
