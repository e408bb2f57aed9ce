//! A look at both ends before a copy. Read-only statements; it judges nothing.
//!
//! Tested in `tests/copy.rs`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use serde_json::Value as Json;
use tokio_postgres::Error;

use super::notes::{Notes, place};
use super::preflight::{Seen, Writable};
use crate::connect::{Access, Format, Session, connect};
use crate::dump::preflight as dump;
use crate::location::Location;
use crate::target::occupancy;

/// Names by which people may call the target.
pub(super) fn names(endpoint: &Endpoint, location: &Location) -> Vec<String> {
    let mut names: Vec<String> =
        [&endpoint.name, &endpoint.app].into_iter().flatten().cloned().collect();
    names.push(location.database.clone());
    names
}

/// Reads both ends; `None` while one is not known.
pub(super) async fn inspect(
    cx: &Cx,
    want: &Tree,
    remembered: Option<&Remembered>,
) -> Result<Option<Json>, Fault> {
    let (Some(from), Some(into)) = (want.get("from"), want.get("into")) else { return Ok(None) };
    let asked = [("source".to_owned(), from.clone()), ("for".to_owned(), into.clone())]
        .into_iter()
        .collect();
    let (Some(from), Some(into)) = (dump::endpoint(Some(from)), dump::endpoint(Some(into))) else {
        return Ok(None);
    };
    let Some(facts) = dump::inspect(cx, &Tree::Map(asked)).await? else { return Ok(None) };
    let earlier = (cx.world.intent)(&cx.address).as_ref().map(Notes::of).unwrap_or_default();
    let (source, target) = futures_util::try_join!(
        connect(&from, Access::ReadOnly, Format::Own),
        connect(&into, Access::ReadOnly, Format::Own)
    )?;
    let jobs = match want.get("jobs") {
        Some(Tree::Number(jobs)) => jobs.as_i64().unwrap_or(0),
        _ => super::JOBS as i64,
    };
    let at_source = |cause| source.fault("looking at the source", cause);
    let at_target = |cause| target.fault("looking at the target", cause);
    let seen = Seen {
        dump: facts,
        address: into.address.to_string(),
        names: names(&into, &target.location),
        same: same(&source, &target).await?,
        target: writable(&target).await.map_err(at_target)?,
        jobs,
        room: (room(&source).await.map_err(at_source)?, room(&target).await.map_err(at_target)?),
        missing: missing(&source, &target).await?,
        in_tablespaces: in_tablespaces(&source).await.map_err(at_source)?,
        occupancy: occupancy(&into, cx).await?,
        accepted: earlier.accepted(remembered),
        ours: earlier.is_ours(&place(&target.location)),
    };
    serde_json::to_value(&seen)
        .map(Some)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

/// Whether both sessions are in one and the same database, whatever names lead there.
pub(super) async fn same(source: &Session, target: &Session) -> Result<bool, Fault> {
    Ok(which(source).await? == which(target).await?)
}

async fn which(session: &Session) -> Result<(String, u32), Fault> {
    let statement =
        "select pg_postmaster_start_time()::timestamptz(6) at time zone 'UTC' || '', oid
        from pg_database where datname = current_database()";
    let row = session
        .query_one(statement, &[])
        .await
        .map_err(|cause| session.fault("finding out which database it is", cause))?;
    Ok((row.get(0), row.get(1)))
}

async fn writable(session: &Session) -> Result<Writable, Error> {
    let row = session
        .query_one(
            "select pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'),
                    coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), true),
                    (select reset_val = 'on' from pg_settings where name = 'default_transaction_read_only')",
            &[],
        )
        .await?;
    Ok(Writable {
        server: session.location.server(),
        standby: row.get(0),
        may_create_schemas: row.get(1),
        may_create_in_public: row.get(2),
        read_only: row.get(3),
        pooled: crate::facts::pooled(session).await?,
    })
}

async fn room(session: &Session) -> Result<i64, Error> {
    // The session that asks will be gone by then.
    let statement = "
        select 1 + least(
            current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
              - (select count(*) from pg_stat_activity where datname is not null),
            (select case when rolconnlimit < 0 then 1000000 else rolconnlimit
               - (select count(*) from pg_stat_activity where usename = current_user) end
             from pg_roles where rolname = current_user),
            (select case when datconnlimit < 0 then 1000000 else datconnlimit
               - (select count(*) from pg_stat_activity where datname = current_database()) end
             from pg_database where datname = current_database()))";
    Ok(session.query_one(statement, &[]).await?.get(0))
}

async fn missing(source: &Session, target: &Session) -> Result<Vec<String>, Fault> {
    let wanted = crate::facts::extensions(source).await?;
    let wanted: Vec<String> = wanted.into_iter().map(|extension| extension.name).collect();
    let row = target
        .query_one(
            "select coalesce(array_agg(name order by name), '{}') from unnest($1::text[]) name
             where name not in (select a.name::text from pg_available_extensions a)
               and name not in (select extname::text from pg_extension)",
            &[&wanted],
        )
        .await
        .map_err(|cause| target.fault("listing the extensions that it offers", cause))?;
    Ok(row.get(0))
}

async fn in_tablespaces(source: &Session) -> Result<i64, Error> {
    let statement = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.reltablespace <> 0 and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";
    Ok(source.query_one(statement, &[]).await?.get(0))
}
