//! What users made in a database, one object a line: of every class that emptying it would drop or break.
//!
//! Members of extensions, the system's own objects and what providers put into every database are left out. An object
//! is known by its class and identity, as the server words them. Tested in `tests/target.rs`.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Error};

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// `table`, `function`, `foreign-data wrapper`, as `DROP` takes it.
    pub kind: String,
    /// `public.f(integer)`.
    pub identity: String,
    /// The same object as an archive's table of contents can name it: `routine public.f`. Overloads have one key.
    pub key: String,
    /// Its schema.
    #[serde(default)]
    pub schema: Option<String>,
    /// A relation, a routine or a type: what makes a target count as filled.
    #[serde(default)]
    pub data: bool,
    /// By a statement of its own, by this role. Others go with what they belong to.
    #[serde(default)]
    pub droppable: bool,
    /// Of the object and of its owner; both change where it is dropped and made again.
    #[serde(default)]
    pub oids: (u32, u32),
}

impl Display for Object {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.identity)
    }
}

/// Whose objects are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// All data, and of the rest what this role may drop: what a restore could take away.
    Droppable,
    Everybodys,
}

// `turn`: when it is dropped; 0 for what has no owner to drop it, or goes with what it belongs to. The order matters
// little, since everything is dropped with what depends on it.
const USERS: &str = "
    select 'pg_class'::regclass::oid as class, oid, relnamespace as schema, relowner as owner, 1 as turn,
           'relation' as what, relname::text as name, true as data from pg_class
      where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and relpersistence <> 't'
    union all select 'pg_event_trigger'::regclass, oid, 0, evtowner, 1, 'event trigger', evtname, false from pg_event_trigger
    union all select 'pg_proc'::regclass, oid, pronamespace, proowner, 2, 'routine', proname,
             prorettype <> 'pg_catalog.event_trigger'::regtype from pg_proc
    union all select 'pg_type'::regclass, t.oid, t.typnamespace, t.typowner, 2, 'type', t.typname, true from pg_type t
      where t.typtype in ('e', 'd', 'r', 'b') and not exists (select from pg_type e where e.typarray = t.oid)
         or t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
    union all select 'pg_cast'::regclass, c.oid, 0, case when s.oid >= 16384 then s.typowner else t.typowner end, 2,
             'cast', null, false
      from pg_cast c join pg_type s on s.oid = c.castsource join pg_type t on t.oid = c.casttarget
    union all select 'pg_transform'::regclass, r.oid, 0, t.typowner, 2, 'transform', null, false
      from pg_transform r join pg_type t on t.oid = r.trftype
    union all select 'pg_operator'::regclass, oid, oprnamespace, oprowner, 2, 'operator', oprname, false from pg_operator
    union all select 'pg_opfamily'::regclass, oid, opfnamespace, opfowner, 2, 'operator family', opfname, false from pg_opfamily
    union all select 'pg_opclass'::regclass, oid, opcnamespace, opcowner, 2, 'operator class', opcname, false from pg_opclass
    union all select 'pg_collation'::regclass, oid, collnamespace, collowner, 2, 'collation', collname, false from pg_collation
    union all select 'pg_conversion'::regclass, oid, connamespace, conowner, 2, 'conversion', conname, false from pg_conversion
    union all select 'pg_ts_config'::regclass, oid, cfgnamespace, cfgowner, 2, 'text search configuration', cfgname, false
      from pg_ts_config
    union all select 'pg_ts_dict'::regclass, oid, dictnamespace, dictowner, 2, 'text search dictionary', dictname, false
      from pg_ts_dict
    -- Superusers make these, and nobody owns them.
    union all select 'pg_ts_template'::regclass, oid, tmplnamespace, 10, 3, 'text search template', tmplname, false
      from pg_ts_template
    union all select 'pg_ts_parser'::regclass, oid, prsnamespace, 10, 3, 'text search parser', prsname, false from pg_ts_parser
    union all select 'pg_user_mapping'::regclass, m.umid, 0, s.srvowner, 0, 'user mapping', null, false
      from pg_user_mappings m join pg_foreign_server s on s.oid = m.srvid
    union all select 'pg_foreign_server'::regclass, oid, 0, srvowner, 3, 'server', srvname, false from pg_foreign_server
    union all select 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, 4, 'foreign data wrapper', fdwname, false
      from pg_foreign_data_wrapper
    union all select 'pg_language'::regclass, oid, 0, lanowner, 4, 'language', lanname, false from pg_language
    union all select 'pg_default_acl'::regclass, oid, defaclnamespace, defaclrole, 0, 'default acl', null, false
      from pg_default_acl
    union all select 'pg_namespace'::regclass, n.oid, n.oid, n.nspowner, 5, 'schema', n.nspname, false from pg_namespace n
      where n.nspname <> 'public' and not exists (select from pg_extension e where e.extnamespace = n.oid)";

// `pg_publication` came with Postgres 10. What is published is dropped; that it was published is then forgotten.
const PUBLICATIONS: &str = "
    union all select 'pg_publication'::regclass, oid, 0, pubowner, 0, 'publication', pubname, false from pg_publication";

const LISTED: &str = "
select i.type, i.identity, u.what || coalesce(
         case when u.class <> 'pg_namespace'::regclass then ' ' || n.nspname || '.' || u.name end, ' ' || u.name, ''),
       n.nspname::text, u.data, u.turn > 0 and pg_has_role(u.owner, 'USAGE'), u.oid, u.owner
from users u left join pg_namespace n on n.oid = u.schema, pg_identify_object(u.class, u.oid, 0) i
where u.oid >= 16384 and i.identity is not null and ($1 or u.data or pg_has_role(u.owner, 'USAGE'))
  and coalesce(n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku'), true)
  and not exists (select from pg_depend e where e.classid = u.class and e.objid = u.oid and e.deptype = 'e')
  -- What belongs to something else goes with it: sequences of identity columns, types of tables.
  and not exists (select from pg_depend e where e.classid = u.class and e.objid = u.oid and e.objsubid = 0 and e.deptype = 'i')
order by u.turn, u.oid";

/// Lists them in the order in which they are best dropped: one by one, and schemas last, since a schema of many thousand
/// tables needs more locks than a server has.
///
/// # Errors
/// The statement failed.
pub(crate) async fn inventory(
    client: &Client,
    version_number: i32,
    whose: Whose,
) -> Result<Vec<Object>, Error> {
    let publications = if version_number >= 100_000 { PUBLICATIONS } else { "" };
    let statement = format!("with users as ({USERS} {publications}) {LISTED}");
    let rows = client.query(&statement, &[&(whose == Whose::Everybodys)]).await?;
    let object = |row: &tokio_postgres::Row| Object {
        kind: row.get(0),
        identity: row.get(1),
        key: row.get(2),
        schema: row.get(3),
        data: row.get(4),
        droppable: row.get(5),
        oids: (row.get(6), row.get(7)),
    };
    Ok(rows.iter().map(object).collect())
}

/// The key of what an archive calls `kind`, in `schema` if it has one, by its tag.
pub(crate) fn key(kind: &str, schema: Option<&str>, tag: &str) -> String {
    let lower = kind.to_lowercase();
    let (what, name) = match kind {
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" => ("relation", tag),
        "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
            ("routine", tag.split_once('(').map_or(tag, |(name, _)| name))
        }
        "TYPE" | "DOMAIN" | "SHELL TYPE" => ("type", tag),
        "PROCEDURAL LANGUAGE" => ("language", tag),
        "SCHEMA" => return format!("schema {tag}"),
        "CAST" | "TRANSFORM" | "USER MAPPING" | "DEFAULT ACL" => return lower,
        _ => (lower.as_str(), tag),
    };
    match schema.filter(|schema| !schema.is_empty()) {
        Some(schema) => format!("{what} {schema}.{name}"),
        None => format!("{what} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn an_archive_and_a_catalogue_have_the_same_keys() {
        for (kind, schema, tag, expect) in [
            ("MATERIALIZED VIEW", Some("public"), "m", "relation public.m"),
            ("FUNCTION", Some("a b"), "f(integer, text)", "routine a b.f"),
            ("DOMAIN", Some("public"), "d", "type public.d"),
            ("SCHEMA", Some(""), "app", "schema app"),
            ("SERVER", None, "s", "server s"),
            ("FOREIGN DATA WRAPPER", None, "w", "foreign data wrapper w"),
            ("USER MAPPING", None, "USER MAPPING u SERVER s", "user mapping"),
            (
                "TEXT SEARCH CONFIGURATION",
                Some("public"),
                "t",
                "text search configuration public.t",
            ),
        ] {
            assert_eq!(key(kind, schema, tag), expect);
        }
    }
}
