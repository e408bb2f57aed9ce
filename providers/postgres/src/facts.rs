//! What a database says of itself: version, size, encoding, extensions and what a dump of it would meet.
//!
//! Read-only statements only. It judges nothing. Tested against a real server in `tests/`.

use pgferry_engine::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::connect::Session;

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub version: String,
    pub schema: String,
}

/// A role's rights on an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// `public` for everybody.
    pub role: String,
    /// `public.accounts`, `schema audit`, `new tables of app`.
    pub what: String,
    /// Whose objects of the future they are on.
    #[serde(default)]
    pub of: Option<String>,
}

/// Facts about one database.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// `host:port`.
    pub server: String,
    pub database: String,
    /// As `server_version` has it: `15.18`.
    pub version: String,
    pub major: u32,
    /// Bytes on disk, as `pg_database_size` counts.
    pub size_bytes: i64,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    pub in_recovery: bool,
    /// A pooler stands before the server: two statements were answered by two backends.
    pub pooled: bool,
    /// By name, without `plpgsql`.
    pub extensions: Vec<Extension>,
    pub large_objects: i64,
    /// Tables, partitions included.
    pub tables: i64,
    pub unlogged_tables: i64,
    pub foreign_tables: i64,
    pub publications: Vec<String>,
    pub subscriptions: Vec<String>,
    pub event_triggers: Vec<String>,
    /// Rights that others than the owner have.
    pub granted: Vec<Grant>,
    /// Functions that not everybody may run.
    pub closed_functions: Vec<String>,
    /// Security labels, as `provider on table public.accounts`.
    pub labels: Vec<String>,
    /// Roles that own something here, other than the one that asks.
    pub other_owners: Vec<String>,
    /// Who of them owns something in which schema, and whether that role may still make something there.
    #[serde(default)]
    pub owners_in: Vec<(String, String, bool)>,
    pub prepared_transactions: i64,
    /// Tables and sequences that this user may not read; a few names.
    pub unreadable: Vec<String>,
    /// Row security would hide rows from this user in these tables; a few names.
    pub hidden_rows: Vec<String>,
    /// Transactions open for more than an hour.
    pub long_transactions: i64,
}

const FACTS: &str = "
select current_database()::text, current_setting('server_version'), pg_database_size(d.oid),
       pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text, pg_is_in_recovery(),
       (select count(*) from pg_largeobject_metadata),
       (select count(*) from user_relations where relkind = 'r'),
       (select count(*) from user_relations where relkind = 'r' and relpersistence = 'u'),
       (select count(*) from user_relations where relkind = 'f'),
       (select coalesce(array_agg(pubname::text order by 1), '{}') from pg_publication),
       (select coalesce(array_agg(evtname::text order by 1), '{}') from pg_event_trigger where evtname !~ '^(pg_|heroku)'),
       (select coalesce(array_agg(distinct format('%s on %s %s', provider, objtype, objname)), '{}') from pg_seclabels
          where objnamespace is null or objnamespace::regnamespace::text !~ '^pg_'),
       (select coalesce(array_agg(distinct pg_get_userbyid(owner)::text), '{}') from (
          select relowner as owner from user_relations
          union select lomowner from pg_largeobject_metadata
          union select owner from user_objects) as all_of_them
          where owner <> (select oid from pg_roles where rolname = current_user)),
       (select count(*) from pg_prepared_xacts where database = current_database()),
       (select coalesce(array_agg(shown), '{}') from (select format('%I.%I', nspname, relname) as shown
          from user_relations where case relkind
            when 'S' then not has_sequence_privilege(oid, 'SELECT')
            when 'r' then not has_table_privilege(oid, 'SELECT') else false end
          order by 1 limit 10) as t),
       (select coalesce(array_agg(shown), '{}') from (select format('%I.%I', nspname, relname) as shown
          from user_relations where relkind = 'r' and relrowsecurity
            and row_security_active(oid) order by 1 limit 10) as t),
       (select count(*) from pg_stat_activity where datname = current_database()
          and backend_type = 'client backend' and xact_start < now() - interval '1 hour'),
       (select coalesce(array_agg(p.oid::regprocedure::text order by 1), '{}')
          from pg_proc p join pg_namespace n on n.oid = p.pronamespace
          where p.proacl is not null and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
            and not exists (select from aclexplode(p.proacl) a where a.grantee = 0 and a.privilege_type = 'EXECUTE')
            and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid
                              and e.deptype = 'e'))
from pg_database d where d.datname = current_database()";

/// Rights of others than the owner, but for what everybody may do by default.
const GRANTS: &str = "
select distinct case a.grantee when 0 then 'public' else pg_get_userbyid(a.grantee)::text end, acls.what, acls.of from (
  select format('%I.%I', nspname, relname) as what, relowner as owner, relacl as acl, true as public, null::text as of
    from user_relations
  union all select format('%I.%I.%I', u.nspname, u.relname, attname), u.relowner, attacl, true, null
    from user_relations u join pg_attribute on attrelid = u.oid and attnum > 0 and not attisdropped
  union all select format('schema %I', n.nspname), nspowner, nspacl, nspname <> 'public', null from pg_namespace n
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
      and not exists (select from pg_depend e where e.classid = 'pg_namespace'::regclass and e.objid = n.oid and e.deptype = 'e')
  union all select p.oid::regprocedure::text, proowner, proacl, false, null from pg_proc p join pg_namespace n on n.oid = pronamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
      and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
  union all select format('type %s', t.oid::regtype), typowner, typacl, false, null from pg_type t join pg_namespace n on n.oid = typnamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
      and not exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')
  union all select format('large object %s', oid), lomowner, lomacl, true, null from pg_largeobject_metadata
  union all select format('new %s of %s%s', case defaclobjtype when 'r' then 'tables' when 'S' then 'sequences'
      when 'f' then 'functions' when 'T' then 'types' when 'n' then 'schemas' else 'objects' end,
      pg_get_userbyid(defaclrole), coalesce(' in ' || nullif(defaclnamespace, 0)::regnamespace::text, '')),
      defaclrole, defaclacl, defaclobjtype not in ('f', 'T'), pg_get_userbyid(defaclrole)::text from pg_default_acl
) as acls cross join lateral aclexplode(acls.acl) as a
where a.grantee <> acls.owner and (a.grantee <> 0 or acls.public) order by 1, 2";

const OWNERS_IN: &str = "
select pg_get_userbyid(owner)::text, nspname::text, has_schema_privilege(owner, nspname, 'CREATE') from (
  select relowner as owner, nspname from user_relations
  union select owner, nspname from user_objects where not is_schema) as all_of_them
where owner <> (select oid from pg_roles where rolname = current_user) order by 1, 2";

/// Routines, types and schemas of users.
const USER_OBJECTS: &str = "
user_objects as (
    select u.owner, n.nspname, u.oid = n.oid as is_schema from (
        select 'pg_proc'::regclass as class, oid, pronamespace as schema, proowner as owner from pg_proc
        union all select 'pg_type'::regclass, oid, typnamespace, typowner from pg_type
        union all select 'pg_namespace'::regclass, oid, oid, nspowner from pg_namespace) as u
    join pg_namespace n on n.oid = u.schema
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
      and not (u.oid = n.oid and n.nspname = 'public')
      and not exists (select from pg_depend e where e.classid = u.class and e.objid = u.oid and e.deptype in ('e', 'i')))";

/// Relations of users: not the system's, not an extension's, not what providers put into every database.
pub(crate) const USER_RELATIONS: &str = "
user_relations as (
    select c.oid, c.relname, c.relkind, c.relpersistence, c.relowner, c.relacl, c.relrowsecurity, c.reltuples,
           n.nspname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and c.relpersistence <> 't'
      and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
      and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid
                        and e.deptype = 'e'))";

/// Tables and sequences of extensions whose contents are the users' (`pg_extension_config_dump`), with the condition that
/// tells their rows from those that the extension brings; empty for all of them.
pub(crate) const CONFIGURATION: &str = "
configuration as (
    select c.oid, c.relname, c.relkind, c.relpersistence, n.nspname, e.extname, f.condition
    from pg_extension e cross join lateral unnest(e.extconfig, e.extcondition) as f (oid, condition)
    join pg_class c on c.oid = f.oid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')";

/// Partitioned tables whose rows may belong to other partitions on another server, `unsafe`: by a hash of enums or of
/// what may hold them, which are hashed by numbers of the server's own. And what is `under` each of them. Wants `recursive`.
pub(crate) fn unsafe_partitions(version_number: i32) -> &'static str {
    // The first that partitions by hash.
    if version_number < 110_000 {
        return "
unsafe as (select 0::oid as oid where false), under as (select 0::oid as oid, 0::oid as root where false)";
    }
    "
unsafe as (
    select p.partrelid as oid from pg_partitioned_table p where exists (
        select from unnest(p.partclass::oid[]) k join pg_opclass o on o.oid = k join pg_am m on m.oid = o.opcmethod
        where m.amname = 'hash'
          and o.opcname in ('enum_ops', 'array_ops', 'record_ops', 'range_ops', 'multirange_ops'))
), under as (
    select i.inhrelid as oid, u.oid as root from pg_inherits i join unsafe u on u.oid = i.inhparent
    union select i.inhrelid, u.root from pg_inherits i join under u on u.oid = i.inhparent)"
}

impl Facts {
    /// Reads the facts of the session's database.
    ///
    /// # Errors
    /// A statement failed; nothing was changed.
    pub async fn read(session: &Session) -> Result<Self, Fault> {
        let fault = |cause| session.fault("reading the facts", cause);
        let row = session
            .query_one(&format!("with {USER_RELATIONS}, {USER_OBJECTS} {FACTS}"), &[])
            .await
            .map_err(fault)?;
        // Some providers close the catalogue of subscriptions to all but themselves.
        let subscriptions = session
            .query(
                "select subname::text from pg_subscription where subdbid =
                   (select oid from pg_database where datname = current_database()) order by 1",
                &[],
            )
            .await
            .map_or_else(|_| Vec::new(), |rows| rows.iter().map(|row| row.get(0)).collect());
        let granted =
            session.query(&format!("with {USER_RELATIONS} {GRANTS}"), &[]).await.map_err(fault)?;
        let owners_in = format!("with {USER_RELATIONS}, {USER_OBJECTS} {OWNERS_IN}");
        let owners_in = session.query(&owners_in, &[]).await.map_err(fault)?;
        let granted = granted
            .iter()
            .map(|row| Grant { role: row.get(0), what: row.get(1), of: row.get(2) })
            .collect();
        Ok(Self {
            server: session.location.server(),
            database: row.get(0),
            version: plain_version(row.get(1)),
            major: session.major(),
            size_bytes: row.get(2),
            encoding: row.get(3),
            collate: row.get(4),
            ctype: row.get(5),
            in_recovery: row.get(6),
            pooled: pooled(session).await.map_err(fault)?,
            extensions: extensions(session).await?,
            large_objects: row.get(7),
            tables: row.get(8),
            unlogged_tables: row.get(9),
            foreign_tables: row.get(10),
            publications: row.get(11),
            subscriptions,
            event_triggers: row.get(12),
            labels: row.get(13),
            granted,
            other_owners: row.get(14),
            owners_in: owners_in.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
            prepared_transactions: row.get(15),
            unreadable: row.get(16),
            hidden_rows: row.get(17),
            long_transactions: row.get(18),
            closed_functions: row.get(19),
        })
    }
}

/// `16.4 (Ubuntu 16.4-1.pgdg20.04+1)` → `16.4`.
pub(crate) fn plain_version(text: &str) -> String {
    text.split_whitespace().next().unwrap_or(text).to_owned()
}

/// The installed extensions by name, without `plpgsql`, which every database has.
///
/// # Errors
/// The statement failed.
pub async fn extensions(session: &Session) -> Result<Vec<Extension>, Fault> {
    let rows = session
        .query(
            "select extname::text, extversion, nspname::text from pg_extension e
             join pg_namespace n on n.oid = e.extnamespace where extname <> 'plpgsql' order by 1",
            &[],
        )
        .await
        .map_err(|cause| session.fault("listing the extensions", cause))?;
    Ok(rows
        .iter()
        .map(|row| Extension { name: row.get(0), version: row.get(1), schema: row.get(2) })
        .collect())
}

/// A pooler hands statements to any backend; a session then has no settings and no snapshot of its own.
pub(crate) async fn pooled(session: &Session) -> Result<bool, tokio_postgres::Error> {
    let mut first: Option<i32> = None;
    for _ in 0..3 {
        let backend: i32 = session.query_one("select pg_backend_pid()", &[]).await?.get(0);
        if *first.get_or_insert(backend) != backend {
            return Ok(true);
        }
    }
    Ok(false)
}
