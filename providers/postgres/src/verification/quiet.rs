//! The proof that nothing was written to the source since its dump or copy.
//!
//! Either no transaction has committed in its whole cluster since the snapshot; or no table has a row of a transaction that the
//! snapshot does not see, and each has as many rows as were read. What is committed shows at once; what was rolled back and
//! `VACUUM FULL` do not. Counters of the server stand in where nobody counted rows (a dump by `pg_dump`) or the role may not
//! read them; a standby has none, and then it is not known. Tested in `tests/quiet.rs`.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;

use crate::connect::{Access, Format, Session, connect};
use crate::counters::{Completed, Counter, completed_transactions};
use crate::dump::hold::refused;
use crate::dump::{Baseline, COUNTED, Counted};
use crate::facts::USER_RELATIONS;
use crate::quoting::display;
use crate::scan::{Table, scan, tables};

/// Transactions whose end is looked up one by one.
const ROLLED_BACK: u32 = 100_000;
const LOOKING: &str = "looking for writes since the dump";

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// There is no dump of this database to compare with.
    NotAsked,
    Since(jiff::Timestamp),
    /// These tables were written to.
    Moved {
        since: jiff::Timestamp,
        tables: Vec<String>,
    },
    /// A standby that has taken over transactions, and rows that nobody counted.
    Unknown {
        since: jiff::Timestamp,
    },
}

/// What the dump of `expected`, or the copy of it into `actual`, remembers, if this verification depends on one.
pub(super) fn dump_of(cx: &Cx, expected: &Endpoint, actual: &Endpoint) -> Option<Remembered> {
    let of = |type_name: &str, ends: &[(&str, &Endpoint)]| {
        let is = |remembered: &Remembered, field: &str, end: &Endpoint| {
            let address = remembered.inputs.get(field).and_then(|field| field.get("$address"));
            address.and_then(Tree::as_text) == Some(end.address.as_str())
        };
        (cx.world.remembered)(&cx.address, type_name)
            .into_iter()
            .map(|(_, remembered)| remembered)
            .find(|remembered| ends.iter().all(|(field, end)| is(remembered, field, end)))
    };
    of("postgres.copy", &[("from", expected), ("into", actual)])
        .or_else(|| of("postgres.dump", &[("source", expected)]))
}

/// What the source looked like when it was dumped or copied.
pub(super) fn baseline(dump: &Remembered) -> Option<Baseline> {
    dump.memory.get("baseline")?.to_typed().ok()
}

/// Looks at the source again.
///
/// If a transaction has ended in its cluster since, rows are read: none may be of a transaction that the snapshot does
/// not see, and there must be as many as were read then. That costs a scan of the tables, about a tenth of hashing them.
pub(super) async fn check(expected: &Endpoint, dump: Option<&Remembered>) -> Result<Quiet, Fault> {
    let Some((dump, baseline)) = dump.and_then(|dump| Some((dump, baseline(dump)?))) else {
        return Ok(Quiet::NotAsked);
    };
    let session = connect(expected, Access::ReadOnly, Format::Own).await?;
    let fault = |cause| session.fault(LOOKING, cause);
    let now = completed_transactions(&session).await.map_err(fault)?;
    let since = baseline.taken_at;
    if now == baseline.completed {
        return Ok(Quiet::Since(since));
    }
    let begin = Completed::of(&baseline.completed).map(|seen| seen.begin);
    let Some(first) = baseline.first_unseen.or(begin) else { return Ok(Quiet::Unknown { since }) };
    if nothing_but_rollbacks(&session, first).await.map_err(fault)? {
        return Ok(Quiet::Since(since));
    }
    let standby: bool =
        session.query_one("select pg_is_in_recovery()", &[]).await.map_err(fault)?.get(0);
    let listed = match tables(&session).await {
        Ok(listed) => listed,
        Err(cause) => return Err(refused(&session, LOOKING, cause).await),
    };
    let readable: Vec<&Table> = listed.iter().filter(|table| table.readable).collect();
    // Rows keep the lower half of a number; those of this span are told apart from all that are older, frozen ones too.
    let late = format!(
        "count(*) filter (where ((x - {first}) & 4294967295) <
           (select txid_snapshot_xmax(txid_current_snapshot()) - {first}))"
    );
    let found = scan(expected, &session, &readable, &late).await?;
    let counted: BTreeMap<String, Counted> =
        dump.memory.get(COUNTED).and_then(|it| it.to_typed().ok()).unwrap_or_default();
    let (mut moved, mut untold) = (Vec::new(), false);
    for table in &listed {
        let then = baseline.counters.0.get(&table.shown);
        let rows = counted.get(&table.shown).and_then(|it| i64::try_from(it.rows).ok());
        let is_moved = match (then, found.get(&table.shown), rows) {
            (None, _, _) => true,
            (Some(then), Some((now, late)), Some(rows)) => {
                *late > 0 || *now != rows || came_and_went(*then, table.counter)
            }
            // Nobody counted what was deleted, but the server, which lags and on a standby counts nothing.
            (Some(then), Some((now, late)), None) => {
                untold |= *now > 0;
                let Counter(_, _, deleted, file) = table.counter;
                *late > 0 || then.2 != deleted || then.3 != file
            }
            (Some(then), None, _) => {
                untold = true;
                *then != table.counter
            }
        };
        if is_moved {
            moved.push(table.shown.clone());
        }
    }
    let gone = |name: &&String| !listed.iter().any(|table| table.shown == **name);
    let partitioned = partitioned(&session).await.map_err(fault)?;
    moved.extend(
        baseline.counters.0.keys().filter(gone).filter(|it| !partitioned.contains(*it)).cloned(),
    );
    moved.sort();
    Ok(if !moved.is_empty() {
        Quiet::Moved { since, tables: moved }
    } else if standby && untold {
        Quiet::Unknown { since }
    } else {
        Quiet::Since(since)
    })
}

/// Whether every transaction of the cluster from `first` on was rolled back: counters move by that, and nothing else does.
async fn nothing_but_rollbacks(
    session: &Session,
    first: u64,
) -> Result<bool, tokio_postgres::Error> {
    // The first that tells what became of a transaction.
    if session.version_number < 100_000 {
        return Ok(false);
    }
    // Of so many it is looked up at once; one that is under way, or too old to be known, was not rolled back.
    let statement = format!(
        "select txid_snapshot_xmax(s) - {first} <= {ROLLED_BACK} and not exists (
           select from generate_series({first}, least(txid_snapshot_xmax(s), {first} + {ROLLED_BACK}) - 1) x
           where txid_status(x) is distinct from 'aborted')
         from txid_current_snapshot() s"
    );
    Ok(session.query_one(&statement, &[]).await?.get(0))
}

/// Whether rows were inserted and deleted again, which leaves no trace but in what the server counts. One or the other alone
/// was rolled back, or shows in the rows. Where others have committed something meanwhile, nobody can tell whether both
/// were.
fn came_and_went(then: Counter, now: Counter) -> bool {
    now.0 > then.0 && now.2 > then.2
}

/// Tables without rows of their own, and materialized views that hold none.
async fn partitioned(session: &Session) -> Result<BTreeSet<String>, tokio_postgres::Error> {
    let statement = format!(
        "with {USER_RELATIONS} select u.nspname::text, u.relname::text from user_relations u
         join pg_class c on c.oid = u.oid where u.relkind in ('p', 'm')"
    );
    let rows = session.query(&statement, &[]).await?;
    Ok(rows.iter().map(|row| display(row.get(0), row.get(1))).collect())
}
