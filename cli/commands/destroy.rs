//! `destroy`: staging goes, what says so goes, data only when named today; the rest is forgotten.

use std::collections::BTreeMap;

use pgferry_engine::plan::destroy::destroy;
use pgferry_engine::plan::{Draft, Reality};
use tokio_util::sync::CancellationToken;

use super::apply::{approve, carry_out, ended, sink};
use crate::arguments::{Common, Planning};
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;

pub(super) async fn run(
    common: &Common,
    confirm: Vec<String>,
    auto_approve: bool,
) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("destroy", common.lock_timeout)?;
    let state = project.state()?;
    view::summary::leftovers(&state);
    let options = project.options(&Planning { confirm, ..Planning::default() }, &state)?;
    let resources = project.connect(&state)?;
    let plan = destroy(&project.input(&state, &options));
    super::plan::show(&plan, common);
    super::plan::refuse_errors(&plan)?;
    if !plan.has_changes() {
        return Ok(Exit::Done);
    }
    approve("Do you really want to destroy and forget all this?", auto_approve)?;
    let draft = Draft { plan, handles: BTreeMap::new(), questions: Vec::new() };
    let sink = sink(common, &project, &state);
    let world = project.world(&state, sink, CancellationToken::new());
    let reality = Reality::new();
    let outcome =
        carry_out(&project, common, state, draft, reality, resources, &options, world).await?;
    Ok(ended(&outcome, common, true))
}
