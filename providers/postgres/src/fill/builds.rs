//! The indexes that wait for their tables, and who may begin which.
//!
//! The order is pure; tested beside it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use pgferry_engine::fault::Fault;

use super::carry::carry_out_one;
use super::keys::{Task, Work};
use crate::connect::Session;

/// What there is to build, shared by those who build.
pub(crate) struct Builds {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    work: Vec<Work>,
    /// Of each table, how many statements of `together` are still to be done.
    unfinished: Vec<usize>,
    ready: VecDeque<Build>,
    /// Tables that are not complete with all their indexes.
    open: usize,
}

/// Statements for one session, in their order.
#[derive(Debug)]
pub(crate) struct Build {
    table: usize,
    pub(crate) tasks: Vec<Task>,
    last: bool,
}

impl Builds {
    /// `work` of each table.
    pub(crate) fn new(work: Vec<Work>) -> Self {
        let unfinished = work.iter().map(|work| work.together.len()).collect();
        let state = State { open: work.len(), work, unfinished, ready: VecDeque::new() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of `table` are all there.
    pub(crate) fn loaded(&self, table: usize) {
        {
            let mut state = self.state();
            let together = std::mem::take(&mut state.work[table].together);
            if together.is_empty() {
                state.last(table);
            }
            let each = |task| Build { table, tasks: vec![task], last: false };
            state.ready.extend(together.into_iter().map(each));
        }
        self.changed.notify_waiters();
    }

    /// `build` is done.
    pub(crate) fn built(&self, build: &Build) {
        {
            let mut state = self.state();
            if build.last {
                state.open -= 1;
            } else {
                state.unfinished[build.table] -= 1;
                if state.unfinished[build.table] == 0 {
                    state.last(build.table);
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// The next thing to build, as soon as there is one; `None` when all is built.
    pub(crate) async fn next(&self) -> Option<Build> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before the look, so that no change in between is missed.
            changed.as_mut().enable();
            {
                let mut state = self.state();
                if let Some(build) = state.ready.pop_front() {
                    return Some(build);
                }
                if state.open == 0 {
                    return None;
                }
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
        for task in &build.tasks {
            carry_out_one(&target, &task.entry, &task.sql).await?;
        }
        builds.built(&build);
    }
    Ok(target)
}

impl State {
    /// All side by side is done: what needs the table for itself.
    fn last(&mut self, table: usize) {
        let tasks = std::mem::take(&mut self.work[table].alone);
        if tasks.is_empty() {
            self.open -= 1;
        } else {
            self.ready.push_back(Build { table, tasks, last: true });
        }
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

    #[tokio::test]
    async fn what_needs_a_table_for_itself_comes_after_its_other_indexes() {
        let work = Work {
            together: vec![task("a"), task("b")],
            alone: vec![task("key"), task("cluster")],
        };
        let builds = Builds::new(vec![work, Work::default()]);
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
}
