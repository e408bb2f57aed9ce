//! Tables that are kept as they are from a snapshot to the last row read in it: what empties, rewrites or drops one is not
//! undone by a snapshot.
//!
//! It locks (`ACCESS SHARE`, as `pg_dump` does) and looks whether it came too late. Tested in `tests/copy.rs` and
//! `tests/parallel.rs`.

use std::collections::BTreeSet;

use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::connect::{Access, Format, Session, connect};

/// How long a lock is waited for: whoever waits for a lock behind `pg_dump` would wait for us, and we for them. Also an
/// argument of `pg_dump`.
pub(crate) const LOCK_TIMEOUT: &str = "30s";
/// Tables locked by one statement.
const AT_ONCE: usize = 200;

/// All tables whose rows `pg_dump` would write, or which it looks at for them; those of extensions only where their rows
/// are users'.
const ALL: &str = "
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and (c.oid in (select unnest(extconfig) from pg_extension)
           or c.oid not in (select objid from pg_depend where classid = 'pg_class'::regclass and deptype = 'e'))";

/// Holds all tables that a copy reads; `session` is in the snapshot, and keeps them as long as it is in it.
///
/// # Errors
/// As [`hold`].
pub(crate) async fn hold_all(session: &Session) -> Result<(), Fault> {
    let rows = session
        .query(ALL, &[])
        .await
        .map_err(|cause| session.fault("listing the tables", cause))?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    hold(session, &oids, "copy").await
}

/// Holds the tables of these numbers. `what` began with the snapshot: a `dump`, a `copy`.
///
/// # Errors
/// Somebody else's lock is in the way for too long: who it is. A table is not what the snapshot sees any more: its name.
pub(crate) async fn hold(session: &Session, oids: &[u32], what: &str) -> Result<(), Fault> {
    let listing = "select format('%I.%I', n.nspname, c.relname) from pg_class c
        join pg_namespace n on n.oid = c.relnamespace where c.oid = any($1) order by 1";
    let rows = session
        .query(listing, &[&oids])
        .await
        .map_err(|cause| session.fault("listing the tables", cause))?;
    let names: Vec<String> =
        rows.iter().map(|row| format!("ONLY {}", row.get::<_, &str>(0))).collect();
    for some in names.chunks(AT_ONCE) {
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", some.join(", "));
        if let Err(cause) = session.batch_execute(&lock).await {
            return Err(refused(session, "locking the tables against changes", cause).await);
        }
    }
    // The catalogue as the snapshot has it, against the files and locks of now.
    let changed = session
        .query(
            "select format('%I.%I', n.nspname, c.relname) from pg_class c
             join pg_namespace n on n.oid = c.relnamespace
             where c.oid = any($1)
               and (c.relfilenode <> 0 and c.relfilenode is distinct from pg_relation_filenode(c.oid)
                    or c.oid not in (select relation from pg_locks where pid = pg_backend_pid() and relation is not null))
             order by 1",
            &[&oids],
        )
        .await
        .map_err(|cause| session.fault("looking for changed tables", cause))?;
    match changed.first() {
        None => Ok(()),
        Some(row) => {
            let name: String = row.get(0);
            Err(Fault::failed(format!("`{name}` was emptied or rewritten while the {what} began"))
                .help("keep writers away from the source (`postgres.freeze`), and apply again"))
        }
    }
}

/// `cause` as a fault of `session`, which gives its transaction up; where it waited for a lock in vain, with whoever had
/// it.
pub(crate) async fn refused(session: &Session, doing: &str, cause: Error) -> Fault {
    let waited = cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
    let gone = cause.code() == Some(&SqlState::UNDEFINED_TABLE);
    let fault = session.fault(doing, cause);
    if gone {
        return fault.help(
            "a table was dropped or renamed meanwhile: keep those who change tables away from the source, and apply again",
        );
    }
    if !waited {
        return fault;
    }
    // Its transaction is given up, or nothing more could be asked.
    let _over = session.batch_execute("rollback").await;
    fault.help(blocked(session, "AccessExclusiveLock").await)
}

/// `cause` of a drop as a fault of `session`; where it waited for a lock in vain, with whoever had one.
pub(crate) async fn refused_to_drop(session: &Session, doing: &str, cause: Error) -> Fault {
    let waited = cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
    let fault = session.fault(doing, cause);
    if waited { fault.help(blocked(session, "%").await) } else { fault }
}

/// `fault` of a `pg_dump` of `endpoint`'s database; where it waited for a lock in vain, with whoever had it.
pub(crate) async fn refused_to_program(endpoint: &Endpoint, fault: Fault) -> Fault {
    // It tells the statement, and nothing else has a time limit.
    if !fault.chain().contains("LOCK TABLE") {
        return fault;
    }
    match connect(endpoint, Access::ReadOnly, Format::Own).await {
        Ok(session) => fault.help(blocked(&session, "AccessExclusiveLock").await),
        Err(_) => fault,
    }
}

/// Who has, or waits for, a lock of a mode like `mode`; and what to do. One for reading waits for one mode only.
async fn blocked(session: &Session, mode: &str) -> String {
    let holders = match holders(session, mode).await {
        Ok(holders) if !holders.is_empty() => holders.into_iter().collect::<Vec<_>>().join("; "),
        _ => "another session changes a table, or waits to do so (see pg_locks)".to_owned(),
    };
    format!("{holders}: wait until it has ended, or end it, and apply again")
}

async fn holders(session: &Session, mode: &str) -> Result<BTreeSet<String>, Error> {
    let statement = "
        select pid, coalesce(usename::text, '?'), coalesce(relation::regclass::text, relation::text), granted,
               coalesce(left(regexp_replace(query, '\\s+', ' ', 'g'), 200), '')
        from (select distinct on (l.pid) l.pid, l.relation, l.granted, a.usename, a.query
              from pg_locks l left join pg_stat_activity a on a.pid = l.pid
              where l.locktype = 'relation' and l.mode like $1 and l.relation >= 16384 and l.pid <> pg_backend_pid()
                and l.database = (select oid from pg_database where datname = current_database())
              order by l.pid, l.granted desc, l.relation) as each
        order by granted desc limit 3";
    let rows = session.query(statement, &[&mode]).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let (pid, user, table): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
            let does = if row.get(3) { "has locked" } else { "waits to lock" };
            let query: &str = row.get(4);
            format!("process {pid} of user `{user}` {does} `{table}`, and says `{query}`")
        })
        .collect())
}
