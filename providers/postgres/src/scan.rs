//! Every table of users read once, by several sessions, for what `xmin` tells of it; and who may read it.
//!
//! It knows how tables are read, not what for. Of tables that the role may not read whole there are only the server's
//! counters and the number of the file. Tested in `tests/guard.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use tokio_postgres::Error;

use crate::connect::{Access, Format, Session, connect};
use crate::counters::Counter;
use crate::dump::hold::refused;
use crate::facts::USER_RELATIONS;
use crate::quoting::{display, identifier};

/// Tables read by one statement: few enough for its locks.
const AT_ONCE: usize = 50;
/// Bytes of tables from which more sessions read.
const HEAVY: i64 = 64 << 20;
const SESSIONS: usize = 4;

/// A table with rows of its own; the last one listed is that of large objects.
pub(crate) struct Table {
    /// `public.accounts`.
    pub(crate) shown: String,
    /// As a `FROM` clause names it.
    from: String,
    pub(crate) bytes: i64,
    /// All its rows, and by this role.
    pub(crate) readable: bool,
    /// What the server counts, which lags.
    pub(crate) counter: Counter,
}

const TABLES: &str = "
select c.nspname::text, c.relname::text, pg_relation_size(c.oid),
       has_table_privilege(c.oid, 'SELECT') and not row_security_active(c.oid)
         and not (c.relpersistence = 'u' and pg_is_in_recovery()),
       coalesce(pg_relation_filenode(c.oid), 0)::int8, coalesce(s.n_tup_ins, 0), coalesce(s.n_tup_upd, 0),
       coalesce(s.n_tup_del, 0)
from user_relations c left join pg_stat_all_tables s on s.relid = c.oid
where c.relkind in ('r', 'm') and (select p.relispopulated from pg_class p where p.oid = c.oid)
order by 3 desc, 1, 2";

const LARGE_OBJECTS: &str = "
select 'pg_catalog'::text, 'pg_largeobject'::text, pg_relation_size('pg_catalog.pg_largeobject'),
       has_table_privilege('pg_catalog.pg_largeobject', 'SELECT'),
       coalesce(pg_relation_filenode('pg_catalog.pg_largeobject'::regclass), 0)::int8,
       coalesce(max(n_tup_ins), 0), coalesce(max(n_tup_upd), 0), coalesce(max(n_tup_del), 0)
from pg_stat_all_tables where schemaname = 'pg_catalog' and relname = 'pg_largeobject'";

/// A row's `xmin` as `int8`: by its age, since to print it takes twice as long as to read the row. The age of the few numbers
/// that stand for no transaction is the largest there is.
const NUMBER: &str = "case when age(xmin) = 2147483647 then xmin::text::int8
    else ((select age('3'::xid)) + 3::int8 - age(xmin)) & 4294967295 end";

/// Lists them.
///
/// # Errors
/// A statement failed.
pub(crate) async fn tables(session: &Session) -> Result<Vec<Table>, Error> {
    let mut rows = session.query(&format!("with {USER_RELATIONS} {TABLES}"), &[]).await?;
    rows.push(session.query_one(LARGE_OBJECTS, &[]).await?);
    let table = |row: &tokio_postgres::Row| {
        let (schema, name): (&str, &str) = (row.get(0), row.get(1));
        Table {
            shown: display(schema, name),
            from: format!("{}.{}", identifier(schema), identifier(name)),
            bytes: row.get(2),
            readable: row.get(3),
            counter: Counter(row.get(5), row.get(6), row.get(7), row.get(4)),
        }
    };
    Ok(rows.iter().map(table).collect())
}

/// Counts the rows of `tables`, and reads `number` of each, an aggregate over `x`, the `xmin` of its rows as `int8`. By
/// `session`, and where there is much to read by more sessions at `endpoint`.
///
/// # Errors
/// A table could not be read.
pub(crate) async fn scan(
    endpoint: &Endpoint,
    session: &Session,
    tables: &[&Table],
    number: &str,
) -> Result<BTreeMap<String, (i64, i64)>, Fault> {
    let (heavy, light): (Vec<&Table>, Vec<&Table>) =
        tables.iter().partition(|table| table.bytes > HEAVY / 16);
    let mut work: VecDeque<&[&Table]> = heavy.chunks(1).collect();
    work.extend(light.chunks(AT_ONCE));
    let bytes: i64 = tables.iter().map(|table| table.bytes).sum();
    let mut more = Vec::new();
    while bytes > HEAVY && more.len() + 1 < SESSIONS.min(work.len()) {
        // A plan's limit, most likely; one session suffices.
        let Ok(session) = connect(endpoint, Access::ReadOnly, Format::Own).await else { break };
        more.push(session);
    }
    let queue = Mutex::new(work);
    let reading = more.iter().chain([session]).map(|session| drain(session, &queue, number));
    let mut all = BTreeMap::new();
    for part in futures_util::future::try_join_all(reading).await? {
        all.extend(part);
    }
    Ok(all)
}

type Found = Vec<(String, (i64, i64))>;

async fn drain(
    session: &Session,
    queue: &Mutex<VecDeque<&[&Table]>>,
    number: &str,
) -> Result<Found, Fault> {
    let mut found = Vec::new();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(tables) = next() {
        let first = tables.first().map_or("", |table| &table.shown);
        let what = format!("looking for rows that were written to `{first}` and others");
        match measure(session, tables, number).await {
            Ok(read) => found.extend(read),
            Err(cause) => return Err(refused(session, &what, cause).await),
        }
    }
    Ok(found)
}

async fn measure(session: &Session, tables: &[&Table], number: &str) -> Result<Found, Error> {
    let one = |(at, table): (usize, &&Table)| {
        let from = &table.from;
        format!(
            "select {at} as at, count(*), coalesce(({number})::int8, 0)
             from (select {NUMBER} as x from only {from}) as t"
        )
    };
    let all: Vec<String> = tables.iter().enumerate().map(one).collect();
    let found = session.query(&format!("{} order by at", all.join(" union all ")), &[]).await?;
    let named = tables.iter().zip(&found);
    Ok(named.map(|(table, row)| (table.shown.clone(), (row.get(1), row.get(2)))).collect())
}
