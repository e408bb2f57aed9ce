//! What the source's catalogue says of its indexes and keys.
//!
//! Tested in `tests/copy.rs`.

use pgferry_engine::fault::Fault;

use crate::connect::Session;
use crate::fill::keys::{Detail, Details, PG_CLASS, PG_CONSTRAINT};
use crate::fill::script::Entry;

/// Reads the details of all indexes and keys in `entries`.
///
/// # Errors
/// A statement failed; nothing was changed.
pub(super) async fn read(session: &Session, entries: &[Entry]) -> Result<Details, Fault> {
    let of = |class: u32| -> Vec<u32> {
        entries.iter().filter(|entry| entry.class == class).map(|entry| entry.oid).collect()
    };
    let statement = "
        select 'pg_class'::regclass::oid, i.indexrelid, i.indrelid, format('%I.%I', n.nspname, t.relname),
               ''::text, ''::text, false, null::text
        from pg_index i join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace
        where i.indexrelid = any($1)
        union all
        select 'pg_constraint'::regclass::oid, c.oid, c.conrelid, format('%I.%I', n.nspname, t.relname),
               c.conname::text, c.contype::text,
               not c.condeferrable and c.convalidated and t.relkind = 'r'
                 and coalesce((select r.relkind = 'r' from pg_class r where r.oid = c.confrelid), true),
               case when c.contype in ('p', 'u') then pg_get_indexdef(c.conindid) end
        from pg_constraint c join pg_class t on t.oid = c.conrelid join pg_namespace n on n.oid = t.relnamespace
        where c.oid = any($2)";
    let rows = session
        .query(statement, &[&of(PG_CLASS), &of(PG_CONSTRAINT)])
        .await
        .map_err(|cause| session.fault("reading indexes and keys", cause))?;
    Ok(rows
        .iter()
        .map(|row| {
            let detail = Detail {
                table: row.get(2),
                qualified: row.get(3),
                name: row.get(4),
                kind: row.get(5),
                plain: row.get(6),
                index: row.get(7),
            };
            ((row.get(0), row.get(1)), detail)
        })
        .collect())
}
