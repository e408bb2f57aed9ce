//! What comes once all rows are there: foreign keys and the rest of the schema, statistics, and the last commit.
//!
//! It owns the order in which sessions work side by side. Tested in `tests/copy.rs` and `tests/restore.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use pgferry_engine::fault::Fault;

use super::builds::Analysed;
use super::carry::{Warnings, carry_out, carry_out_one};
use super::keys::{Step, Task};
use crate::connect::{Said, Session};
use crate::facts::USER_RELATIONS;
use crate::quoting::display;

/// Takes `steps` in their order on `main`; keys are checked on `idle`, side by side. Statistics may
/// be gathered meanwhile: one table at a time, so that neither waits for the other for long.
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

/// Gathers what the planner must know of all tables that `analysed` lacks, and then has everything on the server's disk.
/// What was said against gathering it is given back: everything is there without it.
///
/// # Errors
/// A session is lost, or the last commit fails.
pub(crate) async fn complete(
    main: &Session,
    idle: &[Session],
    analysed: Analysed,
) -> Result<Option<String>, Fault> {
    let refused = Mutex::new(analysed.refused);
    let rest = roots(main).await?.into_iter();
    let rest = rest.filter(|(name, again)| *again || !analysed.done.contains(name));
    let rest: Vec<String> = rest.map(|(name, _)| name).collect();
    let all = &refused;
    side_by_side(idle, rest, |session, name| async move {
        let mut said = analyse(session, std::slice::from_ref(&name)).await?;
        if !said.is_empty() {
            // One that cannot be read, as a foreign one may be, keeps the others from it.
            said.extend(analyse(session, &below(session, &name).await?).await?);
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).extend(said);
        Ok(())
    })
    .await?;
    // Commits were not waited for; this one is, and with it all before it.
    main.batch_execute(
        "set synchronous_commit = on; select pg_logical_emit_message(true, 'pgferry', 'filled')",
    )
    .await
    .map_err(|cause| main.fault("writing everything to its disk", cause))?;
    let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((!refused.is_empty()).then(|| unanalysed(&refused)))
}

fn unanalysed(refused: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut lines = refused[..refused.len().min(SHOWN)].to_vec();
    if refused.len() > SHOWN {
        lines.push(format!("and {} more", refused.len() - SHOWN));
    }
    format!(
        "the rows are all there, but no statistics could be gathered of {} tables, which makes queries of them slow: run \
         ANALYZE once what stands in its way is gone\n  {}",
        refused.len(),
        lines.join("\n  ")
    )
}

/// Gathers statistics of the relations of these names, and gives back what was said against it.
///
/// # Errors
/// The session is lost.
pub(crate) async fn analyse(session: &Session, names: &[String]) -> Result<Vec<String>, Fault> {
    let mut refused = Vec::new();
    if names.is_empty() {
        return Ok(refused);
    }
    let all = format!("analyze {}", names.join(", "));
    if session.batch_execute(&all).await.is_ok() {
        return Ok(refused);
    }
    for name in names {
        let Err(cause) = session.batch_execute(&format!("analyze {name}")).await else { continue };
        if cause.as_db_error().is_none() {
            return Err(session.fault(&format!("analysing `{name}`"), cause));
        }
        refused.push(format!("`{name}`: {}", Said::of(cause)));
    }
    Ok(refused)
}

/// The tables whose statistics can be gathered as soon as their own indexes are there, by their displayed names, with those
/// that SQL has: not those that have partitions or children, which are looked at together.
///
/// # Errors
/// A statement failed.
pub(crate) async fn analysable(main: &Session) -> Result<BTreeMap<String, String>, Fault> {
    let statement = format!(
        "with {USER_RELATIONS}
         select u.nspname::text, u.relname::text, format('%I.%I', u.nspname, u.relname) from user_relations u join pg_class c on c.oid = u.oid
         where u.relkind = 'r' and not c.relispartition and not c.relhassubclass and pg_has_role(c.relowner, 'USAGE')"
    );
    let rows = main
        .query(&statement, &[])
        .await
        .map_err(|cause| main.fault("listing the tables", cause))?;
    Ok(rows.iter().map(|row| (display(row.get(0), row.get(1)), row.get(2))).collect())
}

/// What has rows of its own below the relation of this name, by names as SQL.
async fn below(session: &Session, name: &str) -> Result<Vec<String>, Fault> {
    let statement = "
        with recursive below(oid) as (
            select inhrelid from pg_inherits where inhparent = $1::text::regclass
            union select i.inhrelid from pg_inherits i join below b on b.oid = i.inhparent)
        select format('%I.%I', n.nspname, c.relname) from below b join pg_class c on c.oid = b.oid
        join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' order by 1";
    let rows = session
        .query(statement, &[&name])
        .await
        .map_err(|cause| session.fault("listing the partitions", cause))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn check_key(session: &Session, task: Task) -> Result<(), Fault> {
    carry_out_one(session, &task.entry, &task.sql).await
}

/// All relations with rows, partitions through their ancestors; the largest first. And whether they must be looked at
/// after all else: statistics over several columns are made late.
async fn roots(session: &Session) -> Result<Vec<(String, bool)>, Fault> {
    let late = match session.version_number >= 100_000 {
        true => "exists (select from pg_statistic_ext where stxrelid = c.oid)",
        false => "false",
    };
    let statement = format!(
        "with {USER_RELATIONS}
         select format('%I.%I', u.nspname, u.relname), {late}
         from user_relations u join pg_class c on c.oid = u.oid
         where u.relkind in ('r', 'p', 'm') and not c.relispartition and pg_has_role(c.relowner, 'USAGE')
         order by pg_table_size(c.oid) desc"
    );
    let rows = session
        .query(&statement, &[])
        .await
        .map_err(|cause| session.fault("listing the tables", cause))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
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
