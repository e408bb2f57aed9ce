//! A clean start on the target: no session of an earlier attempt of ours, and nothing that users made.
//!
//! It asks nobody whether that may be: whoever calls has made sure. What the role does not own, extensions, and what
//! providers put into every database stay. Tested in `tests/copy.rs`.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use tokio_postgres::Error;

use crate::connect::Session;

/// How often it is asked whether the sessions are gone: half a minute. A server notices between two pages of an index.
const PATIENCE: usize = 300;
const NAP: Duration = Duration::from_millis(100);
/// Dropped by one statement: few enough for its locks.
const AT_ONCE: usize = 50;
const ROUNDS: usize = 4;

/// Ends the sessions of that name in the session's database, and waits until they are gone.
///
/// # Errors
/// One stays for half a minute, or the role may not end it.
pub(crate) async fn end_sessions(cx: &Cx, session: &Session, name: &str) -> Result<(), Fault> {
    const ALIVE: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where application_name = $1 and datname = current_database() and pid <> pg_backend_pid()";
    let fault = |cause| session.fault("ending the sessions of an earlier attempt", cause);
    for _ in 0..PATIENCE {
        let alive: i64 = session.query_one(ALIVE, &[&name]).await.map_err(fault)?.get(0);
        if alive == 0 {
            return Ok(());
        }
        cx.world.clock.sleep(NAP).await;
    }
    let server = session.location.server();
    Err(Fault::new(Class::Conflict, format!("sessions `{name}` at {server} do not end")).help(
        format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'"
        ),
    ))
}

// The order matters little, since everything is dropped with what depends on it. One by one rather than by schema: a
// schema of many thousand tables needs more locks than a server has.
const LEFT: &str = "
with users as (
    select 'pg_class'::regclass::oid as class, oid, relnamespace as schema, relowner as owner, 1 as turn from pg_class
      where relkind in ('r', 'p', 'v', 'm', 'f', 'S') and relpersistence <> 't'
    union all select 'pg_event_trigger'::regclass, oid, 0, evtowner, 1 from pg_event_trigger
    union all select 'pg_proc'::regclass, oid, pronamespace, proowner, 2 from pg_proc
    union all select 'pg_type'::regclass, t.oid, t.typnamespace, t.typowner, 2 from pg_type t
      where t.typtype in ('e', 'd', 'r', 'b') and not exists (select from pg_type e where e.typarray = t.oid)
         or t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
    union all select 'pg_operator'::regclass, oid, oprnamespace, oprowner, 2 from pg_operator
    union all select 'pg_opfamily'::regclass, oid, opfnamespace, opfowner, 2 from pg_opfamily
    union all select 'pg_opclass'::regclass, oid, opcnamespace, opcowner, 2 from pg_opclass
    union all select 'pg_collation'::regclass, oid, collnamespace, collowner, 2 from pg_collation
    union all select 'pg_conversion'::regclass, oid, connamespace, conowner, 2 from pg_conversion
    union all select 'pg_ts_config'::regclass, oid, cfgnamespace, cfgowner, 2 from pg_ts_config
    union all select 'pg_ts_dict'::regclass, oid, dictnamespace, dictowner, 2 from pg_ts_dict
    union all select 'pg_foreign_server'::regclass, oid, 0, srvowner, 3 from pg_foreign_server
    union all select 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, 4 from pg_foreign_data_wrapper
    union all select 'pg_language'::regclass, oid, 0, lanowner, 4 from pg_language
    union all select 'pg_namespace'::regclass, n.oid, n.oid, n.nspowner, 5 from pg_namespace n
      where n.nspname <> 'public' and not exists (select from pg_extension e where e.extnamespace = n.oid)
)
select i.type, i.identity
from users u left join pg_namespace n on n.oid = u.schema, pg_identify_object(u.class, u.oid, 0) i
where u.oid >= 16384 and pg_has_role(u.owner, 'USAGE')
  and coalesce(n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku'), true)
  and not exists (select from pg_depend e where e.classid = u.class and e.objid = u.oid and e.deptype = 'e')
  -- What belongs to something else goes with it: sequences of identity columns, types of tables.
  and not exists (select from pg_depend e where e.classid = u.class and e.objid = u.oid and e.objsubid = 0 and e.deptype = 'i')
order by u.turn, u.oid";

/// Drops all that users made and this role owns.
///
/// # Errors
/// Something cannot be dropped. Some of it may be gone; a retry goes on.
pub(crate) async fn empty(session: &Session) -> Result<(), Fault> {
    let fault = |cause| session.fault("emptying the target", cause);
    for _ in 0..ROUNDS {
        let rows = session.query(LEFT, &[]).await.map_err(fault)?;
        if rows.is_empty() {
            return large_objects(session).await.map_err(fault);
        }
        let drops: Vec<String> = rows
            .iter()
            .map(|row| {
                let kind: &str = row.get(0);
                format!("drop {kind} if exists {} cascade", row.get::<_, &str>(1))
            })
            .collect();
        let mut refused = None;
        for together in drops.chunks(AT_ONCE) {
            refused = dropped(session, together).await.map_err(fault)?.or(refused);
        }
        if let Some(cause) = refused
            && session.query(LEFT, &[]).await.map_err(fault)?.len() == rows.len()
        {
            return Err(fault(cause));
        }
    }
    Err(Fault::failed(format!(
        "emptying database `{}` at {}: something is made there while it is dropped",
        session.location.database,
        session.location.server()
    ))
    .help("keep applications away from it"))
}

/// All of `drops`, or each one that can be; gives the last error of those that cannot, unless the session is lost.
async fn dropped(session: &Session, drops: &[String]) -> Result<Option<Error>, Error> {
    if session.batch_execute(&drops.join(";")).await.is_ok() {
        return Ok(None);
    }
    let mut refused = None;
    for one in drops {
        match session.batch_execute(one).await {
            Err(cause) if cause.code().is_none() => return Err(cause),
            Err(cause) => refused = Some(cause),
            Ok(()) => {}
        }
    }
    Ok(refused)
}

async fn large_objects(session: &Session) -> Result<(), Error> {
    const SOME: &str = "select count(lo_unlink(oid)) from
        (select oid from pg_largeobject_metadata where pg_has_role(lomowner, 'USAGE') order by oid limit 500) o";
    while session.query_one(SOME, &[]).await?.get::<_, i64>(0) > 0 {}
    Ok(())
}
