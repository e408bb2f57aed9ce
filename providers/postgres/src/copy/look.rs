//! A look at both ends before a copy. Read-only statements; it judges nothing.
//!
//! Tested in `tests/copy.rs`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use serde_json::Value as Json;

use super::preflight::Seen;
use crate::connect::{Access, Format, Session, connect};
use crate::dump::preflight as dump;
use crate::fill::JOBS;
use crate::fill::claim::earlier;
use crate::fill::guard::{missing_extensions, names, room, writable};
use crate::target::{Look, occupancy};

/// Reads both ends; `None` while one is not known.
pub(super) async fn inspect(
    cx: &Cx,
    want: &Tree,
    remembered: Option<&Remembered>,
) -> Result<Option<Json>, Fault> {
    let (Some(from), Some(into)) = (want.get("from"), want.get("into")) else { return Ok(None) };
    // As of a dump that is written for its target: what does not come along is the same.
    let asked = [("source".to_owned(), from.clone()), ("for".to_owned(), into.clone())].into();
    let (Some(from), Some(into)) = (dump::endpoint(Some(from)), dump::endpoint(Some(into))) else {
        return Ok(None);
    };
    let Some(facts) = dump::inspect(cx, &Tree::Map(asked)).await? else { return Ok(None) };
    let (source, target) = futures_util::try_join!(
        connect(&from, Access::ReadOnly, Format::Own),
        connect(&into, Access::ReadOnly, Format::Own)
    )?;
    let jobs = match want.get("jobs") {
        Some(Tree::Number(jobs)) => jobs.as_i64().unwrap_or(0),
        _ => JOBS as i64,
    };
    let at_source = |cause| source.fault("looking at the source", cause);
    let at_target = |cause| target.fault("looking at the target", cause);
    let known = earlier(cx, &target, remembered);
    let occupancy = occupancy(&into, cx, &known, Look::Judge).await?;
    let extensions = crate::facts::extensions(&source).await?;
    let extensions: Vec<String> = extensions.into_iter().map(|it| it.name).collect();
    let seen = Seen {
        dump: facts,
        address: into.address.to_string(),
        names: names(&into, &target.location),
        same: same(&source, &target).await?,
        target: writable(&target).await.map_err(at_target)?,
        jobs,
        room: (room(&source).await.map_err(at_source)?, room(&target).await.map_err(at_target)?),
        missing: missing_extensions(&target, &extensions).await?,
        ours: occupancy.is_begun(&known),
        occupancy,
        accepted: known.accepted,
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
