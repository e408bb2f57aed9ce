//! Whether rows were written: their number, and the transactions that wrote them.
//!
//! A committed `INSERT` or `UPDATE` leaves rows of a transaction that left none before, a `DELETE` or `TRUNCATE` leaves
//! fewer; so the count of a table's rows and the sum of their `xmin` tell at once, and whatever the server counts. A
//! frozen row keeps its `xmin` (PostgreSQL 9.4 and later), so `VACUUM`, `VACUUM FULL` and `CLUSTER` change neither, and
//! a write that was rolled back does not count. Of tables that the role may not read whole, the server's counters and the
//! number of the file stand in. Reads each table once. Tested in `tests/target.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use tokio_postgres::Error;

use crate::connect::{Access, Format, Session, connect};
use crate::facts::USER_RELATIONS;
use crate::quoting::identifier;

/// By table: rows and the sum of their transactions, or what the server counts.
pub(crate) type Rows = BTreeMap<String, Vec<i64>>;

/// Tables read by one statement: few enough for its locks.
const AT_ONCE: usize = 50;
/// Bytes of tables from which more sessions read.
const HEAVY: i64 = 64 << 20;
const SESSIONS: usize = 4;

const TABLES: &str = "
select c.nspname::text, c.relname::text, pg_relation_size(c.oid),
       has_table_privilege(c.oid, 'SELECT') and not row_security_active(c.oid),
       coalesce(pg_relation_filenode(c.oid), 0)::int8, coalesce(s.n_tup_ins, 0), coalesce(s.n_tup_upd, 0),
       coalesce(s.n_tup_del, 0)
from user_relations c left join pg_stat_all_tables s on s.relid = c.oid
where c.relkind in ('r', 'm') and (select p.relispopulated from pg_class p where p.oid = c.oid)
order by 3 desc, 1, 2";

const LARGE_OBJECTS: &str = "
select 'pg_catalog'::text, 'pg_largeobject'::text, pg_relation_size('pg_catalog.pg_largeobject'),
       has_table_privilege('pg_catalog.pg_largeobject', 'SELECT'), 0::int8,
       coalesce(max(n_tup_ins), 0), coalesce(max(n_tup_upd), 0), coalesce(max(n_tup_del), 0)
from pg_stat_all_tables where schemaname = 'pg_catalog' and relname = 'pg_largeobject'";

/// Reads all tables of the session's database, of large ones several at a time.
///
/// # Errors
/// As [`connect`], or a table could not be read.
pub(super) async fn read(cx: &Cx, endpoint: &Endpoint, session: &Session) -> Result<Rows, Fault> {
    let fault = |cause| session.fault("looking for rows that were written", cause);
    let mut tables =
        session.query(&format!("with {USER_RELATIONS} {TABLES}"), &[]).await.map_err(fault)?;
    tables.push(session.query_one(LARGE_OBJECTS, &[]).await.map_err(fault)?);
    let mut rows = Rows::new();
    let (mut work, mut together, mut bytes, mut count) = (VecDeque::new(), Vec::new(), 0, 0);
    for table in &tables {
        let (schema, name): (&str, &str) = (table.get(0), table.get(1));
        let (size, readable): (i64, bool) = (table.get(2), table.get(3));
        let shown = crate::quoting::display(schema, name);
        if !readable {
            rows.insert(shown, (4..8).map(|at| table.get(at)).collect());
            continue;
        }
        (bytes, count) = (bytes + size, count + 1);
        let from = format!("{}.{}", identifier(schema), identifier(name));
        if size > HEAVY / 16 {
            work.push_back(vec![(shown, from)]);
            continue;
        }
        together.push((shown, from));
        if together.len() == AT_ONCE {
            work.push_back(std::mem::take(&mut together));
        }
    }
    if !together.is_empty() {
        work.push_back(together);
    }
    let megabytes = bytes >> 20;
    cx.progress(Progress {
        what: format!(
            "reading {count} tables of `{}` ({megabytes} MB) for rows that were written",
            endpoint.address
        ),
        ..Progress::default()
    });
    let mut more = Vec::new();
    while bytes > HEAVY && more.len() + 1 < SESSIONS.min(work.len()) {
        // A plan's limit, most likely; one session suffices.
        let Ok(session) = connect(endpoint, Access::ReadOnly, Format::Own).await else { break };
        more.push(session);
    }
    let queue = Mutex::new(work);
    let reading = more.iter().chain([session]).map(|session| drain(session, &queue));
    for part in futures_util::future::try_join_all(reading).await? {
        rows.extend(part);
    }
    Ok(rows)
}

type Queue = Mutex<VecDeque<Vec<(String, String)>>>;

async fn drain(session: &Session, queue: &Queue) -> Result<Rows, Fault> {
    let mut rows = Rows::new();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(tables) = next() {
        let first = tables.first().map_or("", |(shown, _)| shown);
        let what = format!("looking for rows that were written to `{first}` and others");
        let read = measure(session, &tables).await;
        rows.extend(read.map_err(|cause| session.fault(&what, cause))?);
    }
    Ok(rows)
}

async fn measure(session: &Session, tables: &[(String, String)]) -> Result<Rows, Error> {
    let one = |(at, (_, from)): (usize, &(String, String))| {
        format!(
            "select {at} as at, count(*), coalesce(sum(xmin::text::int8), 0)::int8 from only {from}"
        )
    };
    let all: Vec<String> = tables.iter().enumerate().map(one).collect();
    let found = session.query(&format!("{} order by at", all.join(" union all ")), &[]).await?;
    let named = tables.iter().zip(&found);
    Ok(named.map(|((shown, _), row)| (shown.clone(), vec![row.get(1), row.get(2)])).collect())
}
