//! What comes once all rows are there: foreign keys and the rest of the schema, statistics, and the last commit.
//!
//! It owns the order in which sessions work side by side. Tested in `tests/copy.rs` and `tests/restore.rs`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use pgferry_engine::fault::Fault;

use super::carry::{Warnings, carry_out, carry_out_one};
use super::keys::{Step, Task};
use crate::connect::Session;
use crate::facts::USER_RELATIONS;
use crate::quoting::identifier;

/// Takes `steps` in their order on `main`; keys are checked on `idle`, side by side.
///
/// # Errors
/// The target refuses an object, and that costs something.
pub(crate) async fn make(
    main: &Session,
    idle: &[Session],
    steps: Vec<Step>,
    warnings: &Warnings,
) -> Result<(), Fault> {
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
    Ok(())
}

/// Gathers what the planner must know of all tables, and then has everything on the server's disk.
///
/// # Errors
/// A statement failed.
pub(crate) async fn complete(main: &Session, idle: &[Session]) -> Result<(), Fault> {
    side_by_side(idle, roots(main).await?, analyze).await?;
    // Commits were not waited for; this one is, and with it all before it.
    main.batch_execute(
        "set synchronous_commit = on; select pg_logical_emit_message(true, 'pgferry', 'filled')",
    )
    .await
    .map_err(|cause| main.fault("writing everything to its disk", cause))
}

async fn check_key(session: &Session, task: Task) -> Result<(), Fault> {
    carry_out_one(session, &task.entry, &task.sql).await
}

/// All relations with rows, partitions through their ancestors; the largest first.
async fn roots(session: &Session) -> Result<Vec<String>, Fault> {
    let statement = format!(
        "with {USER_RELATIONS}
         select u.nspname::text, u.relname::text from user_relations u join pg_class c on c.oid = u.oid
         where u.relkind in ('r', 'p', 'm') and not c.relispartition and pg_has_role(c.relowner, 'USAGE')
         order by pg_table_size(c.oid) desc"
    );
    let rows = session
        .query(&statement, &[])
        .await
        .map_err(|cause| session.fault("listing the tables", cause))?;
    Ok(rows
        .iter()
        .map(|row| format!("{}.{}", identifier(row.get(0)), identifier(row.get(1))))
        .collect())
}

async fn analyze(session: &Session, relation: String) -> Result<(), Fault> {
    session
        .batch_execute(&format!("analyze {relation}"))
        .await
        .map_err(|cause| session.fault(&format!("analysing `{relation}`"), cause))
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
