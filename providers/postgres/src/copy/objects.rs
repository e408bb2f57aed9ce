//! What is neither a table's row nor in the schema: large objects, and where sequences stand.
//!
//! Large objects keep their numbers, and come a batch to a request. Tested in `tests/copy.rs`.

use pgferry_engine::fault::Fault;
use tokio_postgres::Error;

use crate::connect::Session;
use crate::dump::restorer::Restorer;
use crate::fill::meter::Meter;
use crate::large_objects::{JOINS, LargeObject, columns};
use crate::quoting::literal;
use crate::sequences;

/// Large objects in one request, and the bytes of each that come with it: 8 MiB at most.
const AT_ONCE: usize = 32;
const PART: i32 = 256 << 10;
/// Sequences set by one statement.
const SEQUENCES: usize = 100;

/// Numbers of all large objects in the session's snapshot, in batches.
pub(super) async fn numbers(session: &Session) -> Result<Vec<Vec<u32>>, Fault> {
    let rows = session
        .query("select oid from pg_largeobject_metadata order by oid", &[])
        .await
        .map_err(|cause| session.fault("listing the large objects", cause))?;
    let all: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    Ok(all.chunks(AT_ONCE).map(<[u32]>::to_vec).collect())
}

/// Copies those of `numbers`, with all that `restorer` may make of what else they have.
///
/// # Errors
/// One may not be read, or cannot be made.
pub(super) async fn copy(
    source: &Session,
    target: &Session,
    numbers: &[u32],
    restorer: &Restorer,
    meter: &Meter,
) -> Result<(), Fault> {
    let read = format!(
        "select {}, lo_get(o.oid, 0, $2) from unnest($1::oid[]) as o (oid) {JOINS}",
        columns()
    );
    let rows = source
        .query(&read, &[&numbers, &PART])
        .await
        .map_err(|cause| source.fault("reading large objects", cause))?;
    let (mut made, mut contents, mut statements) = (Vec::new(), Vec::new(), String::new());
    for row in &rows {
        let (object, content) = (LargeObject::of(row), row.get::<_, &[u8]>(6));
        meter.passed_otherwise(content.len());
        made.push(object.number);
        contents.push(content);
        statements.push_str(&object.statements(restorer));
    }
    let fault = |cause| target.fault("making large objects", cause);
    let make = "select count(lo_from_bytea(o, b)) from unnest($1::oid[], $2::bytea[]) as t (o, b)";
    target.query_one(make, &[&made, &contents]).await.map_err(fault)?;
    for (number, content) in made.iter().zip(&contents) {
        if content.len() == PART as usize {
            rest(source, target, *number, meter).await?;
        }
    }
    if statements.is_empty() {
        return Ok(());
    }
    // Last: rights may take away what it takes to write them.
    target.batch_execute(&statements).await.map_err(fault)
}

/// What comes after the first part of a large object.
async fn rest(source: &Session, target: &Session, number: u32, meter: &Meter) -> Result<(), Fault> {
    let mut at = i64::from(PART);
    loop {
        let row = source
            .query_one("select lo_get($1, $2, $3)", &[&number, &at, &PART])
            .await
            .map_err(|cause| source.fault("reading a large object", cause))?;
        let content: &[u8] = row.get(0);
        if content.is_empty() {
            return Ok(());
        }
        target
            .query("select lo_put($1, $2, $3)", &[&number, &at, &content])
            .await
            .map_err(|cause| target.fault("writing a large object", cause))?;
        meter.passed_otherwise(content.len());
        at += content.len() as i64;
    }
}

/// Sets the sequences of the target to where those of the source stand now. They take no part in snapshots, so they
/// are never behind the rows. `source` leaves its snapshot: in a transaction, each sequence that is read stays locked.
///
/// # Errors
/// One may not be read, or is missing on the target.
pub(super) async fn sequences(source: &Session, target: &Session) -> Result<(), Fault> {
    let statement = "
        select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
          and (c.relpersistence <> 'u' or not pg_is_in_recovery())
          and (c.oid in (select unnest(extconfig) from pg_extension)
               or not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid
                                and e.deptype = 'e'))
        order by 1, 2";
    let read = async {
        let rows = source.query(statement, &[]).await?;
        let names: Vec<String> =
            rows.iter().map(|row| sequences::from_clause(row.get(0), row.get(1))).collect();
        source.batch_execute("commit").await?;
        let values = sequences::values(source, &names).await?;
        Ok::<_, Error>(names.into_iter().zip(values).collect::<Vec<_>>())
    };
    let all = read.await.map_err(|cause| source.fault("reading the sequences", cause))?;
    for some in all.chunks(SEQUENCES) {
        let set: Vec<String> = some
            .iter()
            .map(|(name, values)| {
                let (last, called) = (values.last_value, values.is_called);
                format!("pg_catalog.setval({}, {last}, {called})", literal(name))
            })
            .collect();
        target
            .batch_execute(&format!("select {}", set.join(", ")))
            .await
            .map_err(|cause| target.fault("setting the sequences", cause))?;
    }
    Ok(())
}
