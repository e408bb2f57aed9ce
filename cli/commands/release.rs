//! `release`: closes all that is open, without a plan.

use std::sync::Arc;

use pgferry_engine::apply::release;
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::state::journal::Journal;
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::{interrupt, view};

pub(super) async fn run(common: &Common) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("release", common.lock_timeout)?;
    let state = project.state()?;
    if state.open_scopes().next().is_none() {
        view::conclude("Nothing is open.");
        return Ok(Exit::Done);
    }
    let resources = project.connect(&state)?;
    let sink = super::apply::sink(common, &project, &state);
    let world = project.world(&state, sink, CancellationToken::new());
    interrupt::watch(world.cancel.clone());
    let state = Arc::unwrap_or_clone(state);
    let journal = Journal::begin(Arc::clone(&project.store), state, SystemClock.now(), None)?;
    let outcome =
        release(&project.spec, &project.graph, &project.catalog, &resources, &world, journal)
            .await?;
    for failure in &outcome.failed {
        view::error(&format!("{}: {}", failure.address, failure.message), failure.help.as_deref());
    }
    view::conclude(&format!(
        "Released: {}. Left open: {}.",
        outcome.done.len(),
        outcome.failed.len()
    ));
    Ok(if outcome.failed.is_empty() { Exit::Done } else { Exit::Error })
}
