//! The fingerprint of version 1, as states of before have it: one digest that goes by the server's counters.
//!
//! Never made for the state any more; what was remembered is compared by the rule it was made by. Tested in
//! `tests/target.rs`.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error};

use crate::facts::USER_RELATIONS;

const RELATIONS: &str = "
select c.oid::int8, c.nspname::text, c.relname::text, c.relkind::text,
       coalesce(pg_relation_filenode(c.oid), 0)::int8,
       coalesce(s.n_tup_ins, 0), coalesce(s.n_tup_upd, 0), coalesce(s.n_tup_del, 0)
from user_relations c left join pg_stat_all_tables s on s.relid = c.oid
order by c.oid";

const ROUTINES: &str = "
select coalesce(md5(string_agg(p.oid || ' ' || p.proname || ' ' || md5(p.prosrc), ',' order by p.oid)), ''), count(*)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
  and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
  and p.prorettype <> 'pg_catalog.event_trigger'::regtype";

// Enums, domains, ranges and composite types; labels of enums count, since one more of them is no new type.
const TYPES: &str = "
select coalesce(md5(string_agg(t.oid || ' ' || t.typname || ' ' || coalesce((select string_agg(e.enumlabel, ',' order by e.oid)
         from pg_enum e where e.enumtypid = t.oid), ''), ',' order by t.oid)), ''), count(*)
from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
  and (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
  and not exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')";

// Columns and the queries of views: what changes without a new file or a counter. Parse trees, since text would depend on
// the session's search path.
const SHAPES: &str = "
select coalesce(md5(string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
         a.attisdropped), ',' order by a.attrelid, a.attnum)), ''),
       (select coalesce(md5(string_agg(r.ev_class || ' ' || md5(r.ev_action::text), ',' order by r.oid)), '')
        from pg_rewrite r where r.ev_class in (select oid from user_relations))
from pg_attribute a where a.attnum > 0 and a.attrelid in (select oid from user_relations)";

const LARGE_OBJECTS: &str = "
select count(*), coalesce(sum(m.oid::int8), 0)::text,
       (select coalesce(max(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0) from pg_stat_all_tables s
         where s.schemaname = 'pg_catalog' and s.relname = 'pg_largeobject')
from pg_largeobject_metadata m";

/// Reads it.
///
/// # Errors
/// A statement failed.
pub(super) async fn fingerprint(client: &Client) -> Result<Json, Error> {
    let rows = client.query(&format!("with {USER_RELATIONS} {RELATIONS}"), &[]).await?;
    let mut digest = Sha256::new();
    let mut sequences = Vec::new();
    for row in &rows {
        let (schema, name, kind): (&str, &str, &str) = (row.get(1), row.get(2), row.get(3));
        let numbers: Vec<String> =
            [0, 4, 5, 6, 7].iter().map(|at| row.get::<_, i64>(*at).to_string()).collect();
        digest.update(format!("{schema}\0{name}\0{kind}\0{}\n", numbers.join(" ")));
        if kind == "S" {
            sequences.push(crate::sequences::from_clause(schema, name));
        }
    }
    for values in crate::sequences::values(client, &sequences).await? {
        digest.update(format!("{} {}\n", values.last_value, values.is_called));
    }
    for statement in [ROUTINES, TYPES] {
        let row = client.query_one(statement, &[]).await?;
        digest.update(format!("{}\n", row.get::<_, &str>(0)));
    }
    let shapes = client.query_one(&format!("with {USER_RELATIONS} {SHAPES}"), &[]).await?;
    digest.update(format!("{} {}\n", shapes.get::<_, &str>(0), shapes.get::<_, &str>(1)));
    let objects = client.query_one(LARGE_OBJECTS, &[]).await?;
    let (count, sum, writes): (i64, String, i64) = (objects.get(0), objects.get(1), objects.get(2));
    digest.update(format!("{count} {sum} {writes}\n"));
    Ok(json!({ "sha256": super::hex(digest) }))
}
