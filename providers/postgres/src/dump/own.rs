//! What a database says of rights that were taken away, of functions that act as their owner, and of itself.
//!
//! Read-only statements; `losses` tells what of it does not come along. Tested in `tests/rights.rs`.

use pgferry_engine::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::connect::Session;

/// What everybody may do by default, and not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Closed {
    /// A function, which `Facts` lists too.
    Type,
    /// The schema `public`.
    Public,
    Language,
    /// Objects that a role will make.
    Default,
}

/// A function that acts as its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definer {
    pub(super) function: String,
    pub(super) owner: String,
    pub(super) of_superuser: bool,
    #[serde(default)]
    pub(super) schema: String,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Own {
    /// The role that reads the source.
    pub(super) role: String,
    /// What, its name, and whose: `(Type, "type app.mood", "app")`.
    pub(super) closed: Vec<(Closed, String, String)>,
    pub(super) definers: Vec<Definer>,
    /// Of the database itself: `connection limit 50`, `rights of `reader` (CONNECT)`.
    pub(super) database: Vec<String>,
    /// Rights on the database that were taken from everybody: `CONNECT`.
    pub(super) database_closed: Vec<String>,
    /// Tablespaces, and how many relations are in each.
    pub(super) tablespaces: Vec<(String, i64)>,
    /// Who owns the schema `public`, if that is not whom it belongs to in every database.
    #[serde(default)]
    pub(super) public_owner: Option<String>,
    /// Rights on objects of extensions and of the system that are not what they were made with.
    pub(super) changed: Vec<String>,
}

const OURS: &str =
    "n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')";

const CLOSED: &str = "
select 'type', format('type %s', t.oid::regtype), pg_get_userbyid(t.typowner)::text
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where t.typacl is not null and {OURS}
    and not exists (select from aclexplode(t.typacl) a where a.grantee = 0 and a.privilege_type = 'USAGE')
    and not exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')
union all
select 'public', 'schema public', pg_get_userbyid(n.nspowner)::text from pg_namespace n
  where n.nspname = 'public'
    and not exists (select from aclexplode(n.nspacl) a where a.grantee = 0 and a.privilege_type = 'USAGE')
union all
select 'language', format('language %I', l.lanname), pg_get_userbyid(l.lanowner)::text from pg_language l
  where l.lanacl is not null and l.lanpltrusted
    and not exists (select from aclexplode(l.lanacl) a where a.grantee = 0 and a.privilege_type = 'USAGE')
union all
select 'default', format('new %s of %s', case d.defaclobjtype when 'f' then 'functions' else 'types' end,
    pg_get_userbyid(d.defaclrole)), pg_get_userbyid(d.defaclrole)::text from pg_default_acl d
  where d.defaclobjtype in ('f', 'T') and d.defaclnamespace = 0
    and not exists (select from aclexplode(d.defaclacl) a where a.grantee = 0)
order by 2";

const DEFINERS: &str = "
select p.oid::regprocedure::text, pg_get_userbyid(p.proowner)::text,
    coalesce((select r.rolsuper from pg_roles r where r.oid = p.proowner), false), n.nspname::text
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where p.prosecdef and {OURS}
    and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
  order by 1";

// Settings of a role count where it owns something here, may do something here, or has settings here.
const DATABASE: &str = "
with this as (select d.* from pg_database d where d.datname = current_database()),
involved as (
    select s.refobjid as role from pg_shdepend s join this on s.dbid = this.oid
      where s.refclassid = 'pg_authid'::regclass
    union select setrole from pg_db_role_setting s join this on s.setdatabase = this.oid
    union select a.grantee from this, aclexplode(this.datacl) a
    union select oid from pg_roles where rolname = current_user)
select format('its connection limit of %s', datconnlimit) from this where datconnlimit >= 0
union all
select format('its comment') from this where shobj_description(this.oid, 'pg_database') is not null
  and datname not in ('postgres', 'template1')
union all
select format('rights of `%s` on it (%s)', pg_get_userbyid(a.grantee),
    string_agg(a.privilege_type, ', ' order by a.privilege_type))
  from this, aclexplode(this.datacl) a where a.grantee not in (0, this.datdba) group by a.grantee
union all
select format('settings of %s in it (%s)',
    format('`%s`', pg_get_userbyid(s.setrole)),
    (select string_agg(split_part(c, '=', 1), ', ' order by c) from unnest(s.setconfig) c))
  from pg_db_role_setting s join this on s.setdatabase = this.oid where s.setrole <> 0
union all
select format('settings of the role `%s` (%s)', pg_get_userbyid(s.setrole),
    (select string_agg(split_part(c, '=', 1), ', ' order by c) from unnest(s.setconfig) c))
  from pg_db_role_setting s where s.setdatabase = 0 and s.setrole in (select role from involved)
order by 1";

const DATABASE_CLOSED: &str = "
select right_of from unnest(array['CONNECT', 'TEMPORARY']) right_of, pg_database d
  where d.datname = current_database() and d.datacl is not null
    and not exists (select from aclexplode(d.datacl) a where a.grantee = 0 and a.privilege_type = right_of)";

const TABLESPACES: &str = "
select t.spcname::text, count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_tablespace t on t.oid = c.reltablespace where {OURS} group by 1 order by 1";

// Of the superuser that the cluster was made with, or of the database's owner.
const PUBLIC_OWNER: &str = "
select pg_get_userbyid(nspowner)::text from pg_namespace where nspname = 'public' and nspowner not in (10, 6171)";

// Of the system's, those that `pg_dump` looks at (`selectDumpableNamespace`).
const CHANGED: &str = "
with all_of_it as (
    select 'pg_proc'::regclass as class, oid, proacl as acl, proowner as owner, pronamespace as schema, 'f'::\"char\" as kind,
           oid::regprocedure::text as shown from pg_proc
    union all select 'pg_class'::regclass, oid, relacl, relowner, relnamespace, (case relkind when 'S' then 's' else 'r' end)::\"char\",
           oid::regclass::text from pg_class where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all select 'pg_type'::regclass, oid, typacl, typowner, typnamespace, 'T', format('type %s', oid::regtype) from pg_type
    union all select 'pg_namespace'::regclass, oid, nspacl, nspowner, oid, 'n', format('schema %I', nspname) from pg_namespace
      where nspname <> 'public')
select o.shown from all_of_it o
  left join pg_init_privs i on i.classoid = o.class and i.objoid = o.oid and i.objsubid = 0
  where (o.acl is not null or i.initprivs is not null)
    and (o.schema = 'pg_catalog'::regnamespace or exists (select from pg_depend e
      where e.classid = o.class and e.objid = o.oid and e.objsubid = 0 and e.deptype = 'e'))
    and (select array_agg(a::text order by a::text) from unnest(coalesce(o.acl, acldefault(o.kind, o.owner))) a)
      is distinct from
        (select array_agg(a::text order by a::text) from unnest(coalesce(i.initprivs, acldefault(o.kind, o.owner))) a)
  order by 1 limit 20";

impl Own {
    /// Reads it from the session's database.
    ///
    /// # Errors
    /// A statement failed; nothing was changed.
    pub(super) async fn read(session: &Session) -> Result<Self, Fault> {
        let of = |statement: &str| statement.replace("{OURS}", OURS);
        let closed = |row: &tokio_postgres::Row| {
            let kind = match row.get::<_, &str>(0) {
                "type" => Closed::Type,
                "public" => Closed::Public,
                "language" => Closed::Language,
                _ => Closed::Default,
            };
            (kind, row.get(1), row.get(2))
        };
        let definer = |row: &tokio_postgres::Row| Definer {
            function: row.get(0),
            owner: row.get(1),
            of_superuser: row.get(2),
            schema: row.get(3),
        };
        let all = async {
            let role = session.query_one("select current_user::text", &[]).await?;
            Ok(Self {
                role: role.get(0),
                closed: session.query(&of(CLOSED), &[]).await?.iter().map(closed).collect(),
                definers: session.query(&of(DEFINERS), &[]).await?.iter().map(definer).collect(),
                database: texts(&session.query(DATABASE, &[]).await?),
                database_closed: texts(&session.query(DATABASE_CLOSED, &[]).await?),
                tablespaces: session
                    .query(&of(TABLESPACES), &[])
                    .await?
                    .iter()
                    .map(|row| (row.get(0), row.get(1)))
                    .collect(),
                public_owner: session.query_opt(PUBLIC_OWNER, &[]).await?.map(|row| row.get(0)),
                changed: match session.version_number {
                    // The first that remembers what rights an object was made with.
                    90_600.. => texts(&session.query(CHANGED, &[]).await?),
                    _ => Vec::new(),
                },
            })
        };
        all.await.map_err(|cause| session.fault("reading rights and owners", cause))
    }
}

fn texts(rows: &[tokio_postgres::Row]) -> Vec<String> {
    rows.iter().map(|row| row.get(0)).collect()
}
