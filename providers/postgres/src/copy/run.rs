//! One attempt, from an empty target to a full one.
//!
//! It owns the order of the steps. It notes nothing and decides nothing about what was in the target before. Dropping it
//! stops its work; what the servers are still at then is ended by whoever comes next. Tested in `tests/copy.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use tokio::task::JoinSet;

use super::CopiedTable;
use super::builds::Builds;
use super::carry::{Warnings, carry_out, carry_out_one};
use super::keys::{self, Step, Task};
use super::meter::Meter;
use super::objects;
use super::plan::pieces;
use super::schema::{self, Section};
use super::script::Entry;
use super::sessions::{Opening, as_many};
use super::tables::{Ends, tables};
use super::worker::{self, Shared};
use crate::connect::Session;
use crate::dump::Baseline;
use crate::dump::snapshot::Snapshot;
use crate::programs::Program;

/// What is to be done.
pub(super) struct Run<'a> {
    pub(super) cx: &'a Cx,
    pub(super) name: &'a str,
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
        self.at("reading the schema");
        let read = |section| schema::read(cx, self.program, self.from, &snapshot.name, section);
        let (before, after) =
            futures_util::try_join!(read(Section::BeforeData), read(Section::AfterData))?;
        let main = opening.maker(self.into).await?;
        let warnings = Warnings::default();
        cx.effect("make schema")?;
        self.at("making the tables");
        carry_out(&main, &before, &warnings).await?;

        let readers = as_many(self.jobs, || opening.reader(self.from, &snapshot.name)).await?;
        // One of each first: a plan's limit must not be used up by one kind.
        let makers = as_many(self.jobs.min(readers.len()), || opening.maker(self.into)).await?;
        let writers = as_many(readers.len(), || opening.writer(self.into)).await?;
        let fewest = writers.len().min(makers.len());
        if fewest < self.jobs {
            cx.warn(format!("there are sessions for {fewest} of {} jobs", self.jobs));
        }
        let (shared, steps) = self.plan(&readers[0], &main, after, writers.len()).await?;
        cx.effect("copy rows")?;
        let working = work(&shared, readers, writers, makers);
        let (reader, idle) = tokio::select! {
            worked = working => worked?,
            () = shared.meter.report(cx) => return Err(Fault::bug("a report that ends")),
        };
        cx.effect("make keys")?;
        self.finish(&main, &reader, &idle, steps, &warnings).await?;

        let lsn = snapshot.lsn.clone();
        let baseline = snapshot.release();
        let tables = shared.tables.iter().enumerate().map(|(at, table)| {
            let (rows, bytes) = shared.meter.of(at);
            CopiedTable { name: table.shown(), rows, bytes }
        });
        let warnings = warnings.take();
        if !warnings.is_empty() {
            cx.warn(format!("the target did without: {}", warnings.join("\n  ")));
        }
        let (tables, bytes) = (tables.collect(), shared.meter.bytes());
        Ok(Copied { baseline, lsn, tables, bytes, warnings })
    }

    /// What there is to carry and to build.
    async fn plan(
        &self,
        reader: &Session,
        main: &Session,
        after: Vec<Entry>,
        workers: usize,
    ) -> Result<(Arc<Shared>, Vec<Step>), Fault> {
        let row = reader
            .query_one(
                "select pg_encoding_to_char(encoding)::text, pg_is_in_recovery() from pg_database
                 where datname = current_database()",
                &[],
            )
            .await
            .map_err(|cause| reader.fault("reading its encoding", cause))?;
        let (encoding, standby): (String, bool) = (row.get(0), row.get(1));
        let ends = Ends {
            source: reader.version_number,
            target: main.version_number,
            utf8: encoding == "UTF8",
        };
        let tables = tables(reader, ends, standby).await?;
        let details = keys::details(reader, &after).await?;
        let (work, steps) = keys::sort(after, &details, &tables);
        let objects = objects::numbers(reader).await?;
        let pieces = pieces(&tables, workers, reader.version_number);
        let total = tables.iter().map(|table| table.bytes).sum();
        let meter = Meter::new(self.expected_bytes.unwrap_or(total), tables.len());
        Ok((Shared::new(tables, encoding, meter, pieces, objects, Builds::new(work)), steps))
    }

    /// Everything that comes once all rows are there.
    async fn finish(
        &self,
        main: &Session,
        reader: &Session,
        idle: &[Session],
        steps: Vec<Step>,
        warnings: &Warnings,
    ) -> Result<(), Fault> {
        self.at("making keys, triggers and views");
        for step in steps {
            match step {
                Step::InOrder(entries) => carry_out(main, &entries, warnings).await?,
                Step::Keys { add, check } => {
                    for task in &add {
                        carry_out_one(main, &task.entry, &task.sql).await?;
                    }
                    side_by_side(idle, check, check_key).await?;
                }
            }
        }
        objects::sequences(reader, main).await?;
        self.at("analysing");
        side_by_side(idle, objects::roots(main).await?, analyze).await?;
        // Commits were not waited for; this one is, and with it all before it.
        main.batch_execute(
            "set synchronous_commit = on; select pg_logical_emit_message(true, 'pgferry', 'copied')",
        )
        .await
        .map_err(|cause| main.fault("writing everything to its disk", cause))
    }

    fn at(&self, what: &str) {
        self.cx.progress(Progress { what: what.to_owned(), ..Progress::default() });
    }
}

async fn check_key(session: &Session, task: Task) -> Result<(), Fault> {
    carry_out_one(session, &task.entry, &task.sql).await
}

async fn analyze(session: &Session, relation: String) -> Result<(), Fault> {
    objects::analyze(session, &relation).await
}

/// Carries and builds. Gives back a session of the source, and those of the target that can build.
async fn work(
    shared: &Arc<Shared>,
    readers: Vec<Session>,
    writers: Vec<Session>,
    makers: Vec<Session>,
) -> Result<(Session, Vec<Session>), Fault> {
    enum Hand {
        Carried(Session),
        Built(Session),
    }
    let mut hands = JoinSet::new();
    for (source, target) in readers.into_iter().zip(writers) {
        let shared = Arc::clone(shared);
        hands.spawn(async move { worker::carry(shared, source, target).await.map(Hand::Carried) });
    }
    for target in makers {
        let shared = Arc::clone(shared);
        hands.spawn(async move { worker::build(shared, target).await.map(Hand::Built) });
    }
    let (mut reader, mut idle) = (None, Vec::new());
    while let Some(ended) = hands.join_next().await {
        // Dropping the set stops the others.
        match ended.map_err(|cause| Fault::bug("a worker that does not end").because(cause))?? {
            Hand::Carried(session) => reader = Some(session),
            Hand::Built(session) => idle.push(session),
        }
    }
    let reader = reader.ok_or_else(|| Fault::bug("a copy without workers"))?;
    Ok((reader, idle))
}

/// Does `act` for each of `tasks`, one at a time on each of `sessions`.
async fn side_by_side<'a, T, F>(
    sessions: &'a [Session],
    tasks: Vec<T>,
    act: impl Fn(&'a Session, T) -> F,
) -> Result<(), Fault>
where
    F: Future<Output = Result<(), Fault>>,
{
    let tasks = Mutex::new(VecDeque::from(tasks));
    let (tasks, act) = (&tasks, &act);
    let next = move || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    try_join_all(sessions.iter().map(|session| async move {
        while let Some(task) = next() {
            act(session, task).await?;
        }
        Ok(())
    }))
    .await
    .map(drop)
}
