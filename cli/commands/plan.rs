//! `plan` and `preflight`: look, decide, show; change nothing.

use std::path::Path;
use std::sync::Arc;

use pgferry_engine::cx::World;
use pgferry_engine::plan::destroy::destroy;
use pgferry_engine::plan::{Draft, Options, Plan, Reality};
use pgferry_engine::refresh::Resources;
use pgferry_engine::state::{State, StateError};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Common, Mode, Planning};
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::saved::Saved;
use crate::view;
use crate::view::json::lines;

pub(super) async fn run(
    common: &Common,
    planning: &Planning,
    mode: &Mode,
    out: Option<&Path>,
    detailed: bool,
) -> Result<Exit, Stop> {
    let (project, state, draft, reality) = made(common, planning, mode, false).await?;
    show(&draft.plan, common);
    refuse_errors(&draft.plan)?;
    let changes = draft.plan.has_changes();
    if let Some(out) = out {
        let options = project.options(planning, mode, &state)?;
        let input = project.input(&state, &options);
        Saved::new(common, &project, planning, mode, &input, draft, &reality).write(out)?;
        if !common.json {
            let out = out.display();
            view::print(&format!("\nSaved as `{out}`. To do exactly this: pgferry apply {out}"));
        }
    } else {
        // The system takes back the memory of a large plan faster than it could be freed piece by piece.
        std::mem::forget((project, state, draft, reality));
    }
    Ok(if detailed && changes { Exit::Changes } else { Exit::Done })
}

pub(super) async fn preflight(common: &Common, planning: &Planning) -> Result<Exit, Stop> {
    let (_, _, draft, _) = made(common, planning, &Mode::default(), true).await?;
    let plan = draft.plan;
    for located in &plan.findings {
        view::tell(&lines::finding(&located.address, &located.finding));
    }
    if !common.json {
        let mut text = String::new();
        view::plan::findings(&mut text, &plan);
        view::print(if text.is_empty() {
            "Nothing found that stands in the way."
        } else {
            text.trim()
        });
    }
    refuse_errors(&plan)?;
    Ok(Exit::Done)
}

async fn made(
    common: &Common,
    planning: &Planning,
    mode: &Mode,
    preflight: bool,
) -> Result<(Project, Arc<State>, Draft, Reality), Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("plan", common.lock_timeout)?;
    let state = project.state()?;
    project.warn_if_not_shared();
    view::summary::leftovers(&state);
    let options = Options { preflight, ..project.options(planning, mode, &state)? };
    let resources = project.connect(&state)?;
    let sink = super::apply::sink(common, &project, &state);
    let world = project.world(&state, sink, CancellationToken::new());
    let (draft, reality) = drafted(&project, mode, &state, &options, &resources, &world).await?;
    Ok((project, state, draft, reality))
}

/// Plans what `mode` says. A destroy follows from the state alone: each deletion looks at reality itself.
pub(super) async fn drafted(
    project: &Project,
    mode: &Mode,
    state: &State,
    options: &Options,
    resources: &Resources,
    world: &World,
) -> Result<(Draft, Reality), Stop> {
    if mode.destroy {
        let plan = destroy(&project.input(state, options));
        let draft = Draft { plan, handles: Default::default(), questions: Vec::new() };
        return Ok((draft, Reality::new()));
    }
    project.plan(state, options, resources, world).await
}

/// Shows a plan to whoever looks.
pub(super) fn show(plan: &Plan, common: &Common) {
    if view::somebody_listens() {
        view::tell_all(|to| lines::plan(plan, to));
    }
    if !common.json {
        view::print_pieces(|to| view::plan::text(plan, common.verbose, to));
        if let Some(partial) = view::partial::warning(plan) {
            view::talk_warning(&partial, Some(view::partial::HELP));
        }
    }
}

/// Stops where a finding says that it must, and where a secret would be stored in clear.
pub(super) fn refuse_errors(plan: &Plan) -> Result<(), Stop> {
    let codes: Vec<&str> = plan.errors().map(|located| located.finding.code.as_str()).collect();
    if !codes.is_empty() {
        return Err(Stop::because(format!("the plan cannot be applied: {}", codes.join(", ")))
            .help("each finding above says what to do about it"));
    }
    match plan.gives_away() {
        Some((address, field)) => {
            Err(StateError::GivesAway { address: address.to_string(), field }.into())
        }
        None => Ok(()),
    }
}
