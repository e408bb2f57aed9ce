//! Tables of which the servers' own checksum cannot be had from the rows that `COPY` sends.
//!
//! Tested in `tests/parallel.rs` and `tests/copy.rs`.

use std::collections::BTreeSet;

use pgferry_engine::fault::Fault;

use crate::connect::Session;

/// Tables whose rows a dump or a copy does not read as a comparison does: generated columns are left out, and money is
/// in the database's own currency.
pub(crate) async fn unlike(session: &Session, oids: &[u32]) -> Result<BTreeSet<u32>, Fault> {
    // A server before 12 has no generated columns, and no catalogue of them.
    let generated = if session.version_number >= 120_000 { "attgenerated <> ''" } else { "false" };
    // Nor one before 14 multiranges.
    let multirange = if session.version_number >= 140_000 {
        "union all select rngsubtype from pg_range where rngmultitypid = t.oid"
    } else {
        ""
    };
    let statement = format!(
        "with recursive parts(relation, type) as (
           select attrelid, atttypid from pg_attribute where attrelid = any($1) and attnum > 0 and not attisdropped
           union
           select p.relation, part.type from parts p join pg_type t on t.oid = p.type cross join lateral (
             select t.typbasetype union all select t.typelem
             union all select rngsubtype from pg_range where rngtypid = t.oid {multirange}
             union all select atttypid from pg_attribute
               where attrelid = t.typrelid and attnum > 0 and not attisdropped) as part(type)
           where part.type <> 0)
         select relation from parts where type = 'money'::regtype
         union
         select attrelid from pg_attribute where attrelid = any($1) and attnum > 0 and not attisdropped and {generated}"
    );
    let rows = session
        .query(&statement, &[&oids])
        .await
        .map_err(|cause| session.fault("reading the types of columns", cause))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
