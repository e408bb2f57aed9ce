//! The indexes that wait for their tables, the statistics that wait for the indexes, and who may begin which.
//!
//! What takes longest comes first. Small tables come many at once, and are finished by one request. The order is pure;
//! tested beside it and in `tests/copy.rs`.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use pgferry_engine::fault::Fault;

use super::after::analyse;
use super::carry::carry_out_one;
use super::keys::{Task, Work};
use crate::connect::Session;

/// What one table waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) work: Work,
    /// How long its builds will take, in no unit.
    pub(crate) weight: u64,
    /// Its name as SQL, where its statistics can be gathered as soon as its indexes are there.
    pub(crate) analysed: Option<String>,
}

/// What there is to build, shared by those who build and those who analyse.
pub(crate) struct Builds {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    tables: Vec<Table>,
    /// Of each table, how many statements of `together` are still to be done.
    unfinished: Vec<usize>,
    ready: Vec<Build>,
    /// Names of tables that are complete, by weight.
    unanalysed: Vec<(u64, Vec<String>)>,
    /// Tables that are not complete with all their indexes.
    open: usize,
    /// Tables whose rows are not all there.
    unloaded: usize,
    /// Builds under way.
    running: usize,
}

/// Statements for one session, in their order.
#[derive(Debug)]
pub(crate) struct Build {
    tables: Vec<usize>,
    weight: u64,
    pub(crate) tasks: Vec<Task>,
    /// Nothing else is built or loaded beside it, or will be before it.
    pub(crate) lone: bool,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    BesideOthers,
    Last,
    /// All of several tables, by one request.
    AtOnce,
}

impl Builds {
    /// Of all `tables`.
    pub(crate) fn new(tables: Vec<Table>) -> Self {
        let unfinished = tables.iter().map(|table| table.work.together.len()).collect();
        let (open, unloaded) = (tables.len(), tables.len());
        let state = State {
            tables,
            unfinished,
            ready: Vec::new(),
            unanalysed: Vec::new(),
            open,
            unloaded,
            running: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of `table` are all there.
    pub(crate) fn loaded(&self, table: usize) {
        {
            let mut state = self.state();
            state.unloaded -= 1;
            let weight = state.tables[table].weight;
            let together = std::mem::take(&mut state.tables[table].work.together);
            if together.is_empty() {
                state.last(table);
            }
            for task in together {
                let how = How::BesideOthers;
                let build =
                    Build { tables: vec![table], weight, tasks: vec![task], lone: false, how };
                state.put(build);
            }
        }
        self.changed.notify_waiters();
    }

    /// The rows of all of `tables` are there, which are small.
    pub(crate) fn loaded_at_once(&self, tables: &[usize]) {
        {
            let mut state = self.state();
            state.unloaded -= tables.len();
            let take = |at: &usize| std::mem::take(&mut state.tables[*at].work.at_once);
            let tasks = tables.iter().flat_map(take).collect();
            let tables = tables.to_vec();
            state.put(Build { tables, weight: 0, tasks, lone: false, how: How::AtOnce });
        }
        self.changed.notify_waiters();
    }

    /// `build` is done.
    pub(crate) fn built(&self, build: &Build) {
        {
            let mut state = self.state();
            state.running -= 1;
            if build.how == How::BesideOthers {
                for table in &build.tables {
                    state.unfinished[*table] -= 1;
                    if state.unfinished[*table] == 0 {
                        state.last(*table);
                    }
                }
            } else {
                state.complete(&build.tables);
            }
        }
        self.changed.notify_waiters();
    }

    /// The next thing to build, as soon as there is one; `None` when all is built.
    pub(crate) async fn next(&self) -> Option<Build> {
        self.wait(|state| match state.ready.pop() {
            Some(mut build) => {
                build.lone = state.running + state.unloaded + state.ready.len() == 0
                    && build.how != How::AtOnce;
                state.running += 1;
                Some(Some(build))
            }
            None => (state.open == 0).then_some(None),
        })
        .await
    }

    /// The next tables to analyse, as soon as there are some; `None` when all are.
    pub(crate) async fn next_analysis(&self) -> Option<Vec<String>> {
        self.wait(|state| match state.unanalysed.pop() {
            Some((_, names)) => Some(Some(names)),
            None => (state.open == 0).then_some(None),
        })
        .await
    }

    async fn wait<T>(&self, look: impl Fn(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change in between is missed.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

/// Makes indexes and keys until all tables are complete; gives the session back.
///
/// # Errors
/// The target refuses one.
pub(crate) async fn build(builds: &Builds, target: Session) -> Result<Session, Fault> {
    while let Some(build) = builds.next().await {
        if build.lone {
            workers(&target, "reset_val").await?;
        }
        if build.how == How::AtOnce {
            at_once(&target, &build.tasks).await?;
        } else {
            for task in &build.tasks {
                carry_out_one(&target, &task.entry, &task.sql).await?;
            }
        }
        if build.lone {
            workers(&target, "'0'").await?;
        }
        builds.built(&build);
    }
    Ok(target)
}

/// One request is one transaction: refused, nothing of it is there, and each statement is told by itself.
async fn at_once(target: &Session, tasks: &[Task]) -> Result<(), Fault> {
    let all: Vec<&str> = tasks.iter().map(|task| task.sql.as_str()).collect();
    if tasks.is_empty() || target.batch_execute(&all.join("\n")).await.is_ok() {
        return Ok(());
    }
    for task in tasks {
        carry_out_one(target, &task.entry, &task.sql).await?;
    }
    Ok(())
}

/// How many processes may build one index. Several cost more than one, so they are worth their while only where nothing
/// else is to be done: 6 % of the server's time of a whole copy (measured).
pub(super) async fn workers(target: &Session, value: &str) -> Result<(), Fault> {
    target
        .batch_execute(&format!(
            "select set_config(name, {value}, false) from pg_settings where name = 'max_parallel_maintenance_workers'"
        ))
        .await
        .map_err(|cause| target.fault("setting the session up", cause))
}

/// What came of gathering statistics: of which tables, and what was said against others.
#[derive(Debug, Default)]
pub(crate) struct Analysed {
    pub(crate) done: BTreeSet<String>,
    pub(crate) refused: Vec<String>,
}

/// Gathers statistics of tables that are complete, until all are.
///
/// # Errors
/// The session is lost.
pub(crate) async fn analyses(builds: &Builds, target: &Session) -> Result<Analysed, Fault> {
    let mut analysed = Analysed::default();
    while let Some(names) = builds.next_analysis().await {
        analysed.refused.extend(analyse(target, &names).await?);
        analysed.done.extend(names);
    }
    Ok(analysed)
}

impl State {
    /// What takes longest is last, and of those the first that came.
    fn put(&mut self, build: Build) {
        let place = self.ready.partition_point(|other| other.weight < build.weight);
        self.ready.insert(place, build);
    }

    /// All side by side is done: what needs the table for itself.
    fn last(&mut self, table: usize) {
        let tasks = std::mem::take(&mut self.tables[table].work.alone);
        if tasks.is_empty() {
            self.complete(&[table]);
        } else {
            // Before all else: its table waits for nothing more.
            let (tables, weight) = (vec![table], u64::MAX);
            self.put(Build { tables, weight, tasks, lone: false, how: How::Last });
        }
    }

    /// Nothing is to be built of `tables` any more.
    fn complete(&mut self, tables: &[usize]) {
        self.open -= tables.len();
        let weight = tables.iter().map(|at| self.tables[*at].weight).max().unwrap_or_default();
        let names = tables.iter().filter_map(|at| self.tables[*at].analysed.take()).collect();
        let place = self.unanalysed.partition_point(|(other, _)| *other < weight);
        self.unanalysed.insert(place, (weight, names));
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Entry;
    use super::*;

    fn task(name: &str) -> Task {
        let entry =
            Entry { kind: "INDEX".into(), name: name.into(), class: 0, oid: 0, sql: "".into() };
        Task { entry, sql: name.into() }
    }

    fn table(work: Work, weight: u64) -> Table {
        Table { work, weight, analysed: Some(format!("t{weight}")) }
    }

    #[tokio::test]
    async fn what_needs_a_table_for_itself_comes_after_its_other_indexes() {
        let work = Work {
            together: vec![task("a"), task("b")],
            alone: vec![task("key"), task("cluster")],
            at_once: Vec::new(),
        };
        let builds = Builds::new(vec![table(work, 1), Table::default()]);
        builds.loaded(0);
        let (a, b) = (builds.next().await.expect("a"), builds.next().await.expect("b"));
        builds.built(&b);
        let waiting = builds.next();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        builds.built(&a);
        let last = waiting.await.expect("what comes last");
        assert_eq!(last.tasks, [task("key"), task("cluster")]);
        builds.built(&last);
        builds.loaded(1);
        assert!(builds.next().await.is_none());
    }

    #[tokio::test]
    async fn the_heaviest_comes_first_and_the_last_one_is_alone() {
        let work = |names: &[&str]| Work {
            together: names.iter().map(|name| task(name)).collect(),
            ..Work::default()
        };
        let small = Work { at_once: vec![task("s")], ..work(&["never"]) };
        let builds = Builds::new(vec![
            table(work(&["a"]), 1),
            table(work(&["b", "c"]), 9),
            table(small.clone(), 0),
            table(small, 0),
        ]);
        builds.loaded(0);
        builds.loaded_at_once(&[2, 3]);
        builds.loaded(1);
        let mut order = Vec::new();
        for _ in 0..4 {
            let build = builds.next().await.expect("a build");
            order.push((build.tasks.len(), build.lone));
            builds.built(&build);
        }
        assert_eq!(order, [(1, false), (1, false), (1, false), (2, false)]);
        assert!(builds.next().await.is_none());
        let names = ["t9", "t1", "t0"];
        assert_eq!(builds.next_analysis().await.expect("the heaviest"), [names[0]]);
        assert_eq!(builds.next_analysis().await.expect("the next"), [names[1]]);
        assert_eq!(builds.next_analysis().await.expect("small ones"), [names[2], names[2]]);
        assert!(builds.next_analysis().await.is_none());

        let builds = Builds::new(vec![table(work(&["a", "b"]), 1)]);
        builds.loaded(0);
        let (first, second) = (builds.next().await.expect("a"), builds.next().await.expect("b"));
        assert!(!first.lone && !second.lone);
        let builds = Builds::new(vec![table(work(&["a"]), 1)]);
        builds.loaded(0);
        assert!(builds.next().await.expect("the only one").lone);
    }
}
