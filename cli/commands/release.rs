//! `release`: closes all that is open, without a plan.

use std::sync::Arc;

use pgferry_engine::apply::{Released, release};
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::state::StateError;
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
    let (store, now) = (Arc::clone(&project.store), SystemClock.now());
    let journal = match Journal::begin(Arc::clone(&store), state.clone(), now, None) {
        // What is open is closed all the same: whoever reads the state later finds it closed already.
        Err(cause @ (StateError::Io { .. } | StateError::Unfit { .. })) => {
            Journal::unwritable(store, state, &cause)
        }
        begun => begun?,
    };
    let Project { spec, graph, catalog, .. } = &project;
    let released = release(spec, graph, catalog, &resources, &world, journal).await?;
    let Released { outcome, recorded } = released;
    for failure in &outcome.failed {
        view::error(&format!("{}: {}", failure.address, failure.message), failure.help.as_deref());
    }
    view::conclude(&format!(
        "Released: {}. Left open: {}.",
        outcome.done.len(),
        outcome.failed.len()
    ));
    let is_recorded = recorded.is_ok();
    if let Err(cause) = recorded {
        let message =
            format!("what was closed is closed, but could not be recorded: {}", cause.chain());
        let help = "the state says that it is still open; when it can be written again, `pgferry release` once more";
        view::error(&message, Some(help));
    }
    Ok(if outcome.failed.is_empty() && is_recorded { Exit::Done } else { Exit::Error })
}
