//! What a person should know of the target before a restore. The dump may not be there yet; it has a preflight of its own.
//!
//! Codes and remedies are listed in [`crate::codes`]. Judging is pure. Tested in `tests/restore.rs`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::connect::{Access, Format, connect};
use crate::dump::endpoint;
use crate::fill::JOBS;
use crate::fill::claim::earlier;
use crate::fill::guard::{self, Sessions, Writable, names, room, writable};
use crate::target::{Emptying, Look, Occupancy, judge_occupancy, occupancy};

/// Sessions besides the workers': the one that makes the schema and the one that looks.
const BESIDES: i64 = 2;

/// Facts.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    /// Of the target in the spec.
    address: String,
    names: Vec<String>,
    target: Writable,
    jobs: i64,
    room: i64,
    occupancy: Occupancy,
    accepted: Vec<Json>,
    ours: bool,
}

/// Reads the target; `None` while it is not known.
pub(super) async fn inspect(
    cx: &Cx,
    want: &Tree,
    remembered: Option<&Remembered>,
) -> Result<Option<Json>, Fault> {
    let Some(into) = endpoint(want.get("into")) else { return Ok(None) };
    let target = connect(&into, Access::ReadOnly, Format::Own).await?;
    let fault = |cause| target.fault("looking at the target", cause);
    let jobs = match want.get("jobs") {
        Some(Tree::Number(jobs)) => jobs.as_i64().unwrap_or(0),
        _ => JOBS as i64,
    };
    let known = earlier(cx, &target, remembered);
    let occupancy = occupancy(&into, cx, &known, Look::Judge).await?;
    let seen = Seen {
        address: into.address.to_string(),
        names: names(&into, &target.location),
        target: writable(&target).await.map_err(fault)?,
        jobs,
        room: room(&target).await.map_err(fault)?,
        ours: occupancy.is_begun(&known),
        occupancy,
        accepted: known.accepted,
    };
    serde_json::to_value(&seen)
        .map(Some)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

/// The findings.
pub(super) fn judge(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
    // Facts of another shape are not ours to judge: nothing was looked at yet.
    let Ok(seen) = serde_json::from_value::<Seen>(facts.clone()) else { return Vec::new() };
    let mut findings = Vec::new();
    let confirm = want.get("confirm").and_then(Tree::as_text).unwrap_or_default();
    findings.extend(guard::misnamed(confirm, &seen.address, &seen.names));
    guard::unfit(&seen.target, &seen.address, &mut findings);
    let (room, jobs) = (seen.room, seen.jobs);
    let sessions = Sessions { end: "target", room, besides: BESIDES, for_each_job: 2, jobs };
    findings.extend(sessions.finding());
    let named = (seen.address.as_str(), seen.names.as_slice());
    let (found, ours) = (&seen.occupancy, seen.ours);
    findings.extend(judge_occupancy(found, &seen.accepted, ours, Emptying::Ours, named, confirmed));
    findings
}
