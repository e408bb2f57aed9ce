//! What `pg_dump` does not write and a proof must see: keys that are not enforced, and indexes that are not valid.
//!
//! `ALTER TABLE … DISABLE TRIGGER ALL` turns off the server's own triggers too, which check foreign keys; a `CREATE INDEX
//! CONCURRENTLY` that failed leaves an index that no query uses. A copy brings along neither, so that only what the target
//! has of them, and the source has not, is a difference. Tested in `tests/added.rs`.

use pgferry_engine::fault::Fault;

use super::{Deviation, Outcome, Side};
use crate::facts::USER_RELATIONS;
use crate::quoting::{Tables, display};

/// Schema, table, and what is said of it. What a partitioned index lacks is in a dump; one without an index on a foreign
/// partition is valid until it is restored.
const FOUND: &str = "
select u.nspname::text, u.relname::text,
       format('the server''s own triggers of constraint `%s` of `%s` %s', k.conname, k.conrelid::regclass,
         case t.tgenabled when 'D' then 'are disabled' when 'R' then 'fire only for replicas' else 'always fire' end)
from pg_trigger t join user_relations u on u.oid = t.tgrelid join pg_constraint k on k.oid = t.tgconstraint
where t.tgisinternal and t.tgenabled <> 'O'
union
select u.nspname::text, u.relname::text, format('index `%s` is not valid', c.relname)
from pg_index i join user_relations u on u.oid = i.indrelid join pg_class c on c.oid = i.indexrelid
where not (i.indisvalid and i.indisready) and c.relkind = 'i'
order by 1, 2, 3";

/// Compares both sides, into `outcome`, but the `excluded` tables.
///
/// # Errors
/// A statement failed.
pub(super) async fn compare(
    (expected, actual): (&Side, &Side),
    excluded: &Tables,
    outcome: &mut Outcome,
) -> Result<(), Fault> {
    let (ours, theirs) = futures_util::try_join!(all(expected), all(actual))?;
    for (schema, table, said) in theirs {
        if !ours.contains(&(schema.clone(), table.clone(), said.clone()))
            && !excluded.contains(&schema, &table)
        {
            let table = display(&schema, &table);
            let text = format!("table `{table}`: {said}, on the target only");
            outcome.differences.push(Deviation { text, table: Some(table) });
        }
    }
    Ok(())
}

async fn all(side: &Side) -> Result<Vec<(String, String, String)>, Fault> {
    let session = side.session();
    let rows = session
        .query(&format!("with {USER_RELATIONS} {FOUND}"), &[])
        .await
        .map_err(|cause| session.fault("looking for what is not enforced or not valid", cause))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}
