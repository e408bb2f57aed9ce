//! `retire`: deletes the database that was left, a week after a verified cutover, when a person says its name.

use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::apply::retire;
use pgferry_engine::cx::{Clock, Cx, SystemClock};
use pgferry_engine::plan::retire::retirement;
use pgferry_engine::plan::{Action, Options};
use pgferry_engine::state::journal::Journal;
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::{interrupt, view};

pub(super) async fn run(
    common: &Common,
    address: &str,
    confirm: Option<&str>,
) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("retire", common.lock_timeout)?;
    let state = project.state()?;
    view::summary::leftovers(&state);
    let (address, options) = (Address::new(address), Options::default());
    let judged = retirement(&project.input(&state, &options), &address);
    let retiring = judged.map_err(|no| Stop::because(no.message).help(no.help))?;
    let resources = project.connect(&state)?;
    let world = project.world(
        &state,
        super::apply::sink(common, &project, &state),
        CancellationToken::new(),
    );
    // What is remembered must still be so: whoever rolled back since needs the source.
    let (draft, _) = project.plan(&state, &options, &resources, &world).await?;
    super::plan::refuse_errors(&draft.plan)?;
    let moved = retiring.rests_on.iter().find(|rest| {
        draft.plan.changes.get(*rest).is_none_or(|change| change.action != Action::NoOp)
    });
    if let Some(moved) = moved {
        return Err(Stop::because(format!(
            "`{moved}` is not as it was when `{address}` was cut over from; nothing was deleted"
        ))
        .help("`pgferry plan` shows what moved"));
    }
    let since = retiring.since.strftime("%Y-%m-%d %H:%M UTC");
    let Some(name) = confirm else {
        return Err(Stop::because(format!(
            "`{address}` was cut over from at {since}; retiring it deletes it with all that is in it and its backups, and nothing was deleted"
        ))
        .help(format!("if that is meant, type its name: `pgferry retire {address} --confirm NAME`")));
    };
    let entry = state.resources.get(&address).cloned();
    let known =
        entry.and_then(|entry| Some((resources.get(&entry.type_name).cloned()?, entry.remembered)));
    let Some((resource, remembered)) = known else {
        return Err(Stop::because(format!("no provider is connected for `{address}`")));
    };
    interrupt::watch(world.cancel.clone());
    let cx = Cx::new(world.forgetful(), address.clone(), "destroying");
    let state = Arc::unwrap_or_clone(state);
    let journal = Journal::begin(Arc::clone(&project.store), state, SystemClock.now(), None)?;
    let retired = retire(resource.as_ref(), &cx, &remembered, name, &journal).await?;
    journal.finish()?;
    retired?;
    view::conclude(&format!("Retired: {address}. It was cut over from at {since}."));
    Ok(Exit::Done)
}
