//! The tables whose rows `pg_dump` would write, as the source's catalogue has them.
//!
//! It owns the statement and what it says of forms and ways. Tested in `tests/copy.rs`.

use pgferry_engine::fault::Fault;

use super::plan::{Form, Hashed, Table};
use crate::checksum::{Kind, MOST_COLUMNS, unlike};
use crate::connect::Session;
use crate::facts::unsafe_partitions;

/// The two servers: bytes mean the same only where they agree on the encoding, and where the target knows every value
/// that the source does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: i32,
    pub(super) target: i32,
    pub(super) utf8: bool,
}

impl Ends {
    /// Postgres 10 is the first whose times are always whole numbers.
    fn agree(self) -> bool {
        self.utf8 && self.source >= 100_000 && self.target / 10_000 >= self.source / 10_000
    }
}

/// Types whose binary form is the same everywhere, by name in `pg_catalog`. Left out on purpose: all that holds numbers
/// of the catalogue (`reg…`), `xml`, geometric and text search types, and what extensions bring.
const PORTABLE: &str = "'bool', 'bytea', 'char', 'name', 'int8', 'int2', 'int4', 'text', 'oid', 'json', 'jsonb', \
    'float4', 'float8', 'money', 'macaddr', 'macaddr8', 'inet', 'cidr', 'bpchar', 'varchar', 'date', 'time', 'timetz', \
    'timestamp', 'timestamptz', 'interval', 'bit', 'varbit', 'numeric', 'uuid'";

/// Reads the tables in the session's snapshot. `standby`: unlogged tables have no rows there.
///
/// # Errors
/// A statement failed; nothing was changed.
pub(super) async fn tables(
    session: &Session,
    ends: Ends,
    standby: bool,
) -> Result<Vec<Table>, Fault> {
    let generated =
        if session.version_number >= 120_000 { "a.attgenerated <> ''" } else { "false" };
    let statement = format!(
        "with recursive portable as (
            select t.oid, t.typarray from pg_type t
            where t.typnamespace = 'pg_catalog'::regnamespace and t.typname in ({PORTABLE})
         ), plain as (
            select oid from (
                select oid from portable union all select typarray from portable where typarray <> 0
                union all select oid from pg_type where typtype = 'e') as base
            union select t.oid from pg_type t join plain p on p.oid = t.typbasetype where t.typtype = 'd'
         ), based (oid, base) as (
            select oid, oid from pg_type where typtype <> 'd'
            union all select t.oid, b.base from pg_type t join based b on b.oid = t.typbasetype where t.typtype = 'd'
         ), told (oid, kind) as (
            select b.oid, case when t.typtype = 'e' then 'text'
              when t.typnamespace = 'pg_catalog'::regnamespace then t.typname::text else '' end
            from based b join pg_type t on t.oid = b.base
         ), configuration as (
            select e.extconfig[i] as oid, e.extcondition[i] as condition
            from pg_extension e, generate_subscripts(e.extconfig, 1) i
         ), listed as (
            select c.oid, n.nspname, c.relname, f.condition
            from pg_class c join pg_namespace n on n.oid = c.relnamespace left join configuration f on f.oid = c.oid
            where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
              and ($1 or c.relpersistence <> 'u')
              and (f.oid is not null or c.oid not in (
                select objid from pg_depend where classid = 'pg_class'::regclass and deptype = 'e'))
         ), typed as (
            select k.oid, k.kind, k.oid in (select oid from plain) as portable from told k
         ), columns as (
            -- Of all tables at once: to ask for those of each costs a server six times what `pg_dump` does.
            select a.attrelid as oid, array_agg(a.attname::text order by a.attnum) filter (where not ({generated})) as names,
                   bool_and(k.portable) as portable, array_agg(k.kind order by a.attnum) as kinds
            from pg_attribute a join typed k on k.oid = a.atttypid
            where a.attnum > 0 and not a.attisdropped and a.attrelid in (select oid from listed) group by 1
         ), indexes as (
            -- One that is no b-tree takes several times as long for its size.
            select i.indrelid as oid, sum(pg_relation_size(i.indexrelid) * case m.amname when 'btree' then 1 else 6 end)::int8
              as bytes
            from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
            where i.indrelid in (select oid from listed) group by 1
         ), {}
         select c.oid, c.nspname::text, c.relname::text, pg_table_size(c.oid),
                pg_relation_size(c.oid) / current_setting('block_size')::int8,
                coalesce(a.names, '{{}}'), coalesce(a.portable, true), c.condition,
                (select array[rn.nspname::text, r.relname::text] from under u join pg_class r on r.oid = u.root
                   join pg_namespace rn on rn.oid = r.relnamespace where u.oid = c.oid
                   order by (select count(*) from under o where o.oid = r.oid) limit 1),
                coalesce(a.kinds, '{{}}'), coalesce(i.bytes, 0)
         from listed c left join columns a on a.oid = c.oid left join indexes i on i.oid = c.oid
         order by 2, 3",
        unsafe_partitions(session.version_number)
    );
    let rows = session
        .query(&statement, &[&!standby])
        .await
        .map_err(|cause| session.fault("listing the tables", cause))?;
    let oids: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    let unlike = unlike(session, &oids).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let columns: Vec<String> = row.get(5);
            let is_portable = row.get::<_, bool>(6) && !columns.is_empty() && ends.agree();
            let through: Option<Vec<String>> = row.get(8);
            let (oid, configuration): (u32, Option<String>) = (row.get(0), row.get(7));
            // As a dump does: before 12, numbers have other digits in text; a server hashes text in its own encoding.
            let is_hashed = ends.utf8
                && ends.source >= 120_000
                && (1..=MOST_COLUMNS).contains(&columns.len())
                && configuration.is_none()
                && !unlike.contains(&oid);
            let (form, hashed) = travel(is_portable, is_hashed, &row.get::<_, Vec<String>>(9));
            Table {
                oid,
                schema: row.get(1),
                name: row.get(2),
                bytes: row.get::<_, i64>(3).unsigned_abs(),
                indexes: row.get::<_, i64>(10).unsigned_abs(),
                pages: row.get::<_, i64>(4).unsigned_abs(),
                form,
                hashed,
                columns,
                configuration,
                through: through
                    .and_then(|names| <[String; 2]>::try_from(names).ok())
                    .map(Into::into),
            }
        })
        .collect())
}

/// In which form a table's rows travel, and how they are hashed, whose columns are of `types`.
///
/// Text where only text can be hashed: it costs no more than to have the source read the table once more afterwards.
fn travel(is_portable: bool, is_hashed: bool, types: &[String]) -> (Form, Option<Hashed>) {
    let kinds = || types.iter().map(|name| Kind::of(name)).collect::<Option<_>>();
    match (is_portable, is_hashed) {
        (true, false) => (Form::Binary, None),
        (true, true) => match kinds() {
            Some(kinds) => (Form::Binary, Some(Hashed::Binary(kinds))),
            None => (Form::Text, Some(Hashed::Lines)),
        },
        (false, _) => (Form::Text, is_hashed.then_some(Hashed::Lines)),
    }
}
