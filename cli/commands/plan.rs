//! `plan` and `preflight`: look, decide, show; change nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use pgferry_engine::cx::World;
use pgferry_engine::event::Silent;
use pgferry_engine::plan::destroy::destroy;
use pgferry_engine::plan::{Draft, Options, Plan, Reality};
use pgferry_engine::refresh::Resources;
use pgferry_engine::state::State;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Common, Mode, Planning};
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::saved::Saved;
use crate::view;

pub(super) async fn run(
    common: &Common,
    planning: &Planning,
    mode: &Mode,
    out: Option<&Path>,
    detailed: bool,
) -> Result<Exit, Stop> {
    let (project, plan) = made(common, planning, mode, false).await?;
    show(&plan, common);
    refuse_errors(&plan)?;
    let changes = plan.has_changes();
    if let Some(out) = out {
        let (file, spec, variables) = (&common.file, &project.source.text, project.variables);
        Saved::new(file, spec, variables, planning, mode, plan).write(out)?;
        if !common.json {
            let out = out.display();
            view::print(&format!("\nSaved as `{out}`. To do exactly this: pgferry apply {out}"));
        }
    }
    Ok(if detailed && changes { Exit::Changes } else { Exit::Done })
}

pub(super) async fn preflight(common: &Common, planning: &Planning) -> Result<Exit, Stop> {
    let (_, plan) = made(common, planning, &Mode::default(), true).await?;
    if common.json {
        for line in view::json::plan_lines(&plan) {
            if line["type"] == "finding" {
                view::print_json(&line);
            }
        }
    } else {
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
) -> Result<(Project, Plan), Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("plan", common.lock_timeout)?;
    let state = project.state()?;
    view::summary::leftovers(&state);
    let options = Options { preflight, ..project.options(planning, mode, &state)? };
    let resources = project.connect(&state)?;
    let world = project.world(&state, Arc::new(Silent), CancellationToken::new());
    let (draft, _) = drafted(&project, mode, &state, &options, &resources, &world).await?;
    Ok((project, draft.plan))
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
        let draft = Draft { plan, handles: BTreeMap::new(), questions: Vec::new() };
        return Ok((draft, Reality::new()));
    }
    project.plan(state, options, resources, world).await
}

/// Prints a plan as asked for.
pub(super) fn show(plan: &Plan, common: &Common) {
    for line in view::json::plan_lines(plan) {
        view::record(&line);
    }
    if common.json {
        view::print_json(&view::json::version());
        for line in view::json::plan_lines(plan) {
            view::print_json(&line);
        }
    } else {
        view::print(&view::plan::text(plan, common.verbose));
        if let Some(partial) = view::partial::warning(plan) {
            view::warning(&partial);
            view::talk(&format!("  help: {}", view::partial::HELP));
        }
    }
}

/// Stops where a finding says that it must.
pub(super) fn refuse_errors(plan: &Plan) -> Result<(), Stop> {
    let errors = plan.errors().count();
    if errors == 0 {
        return Ok(());
    }
    let codes: Vec<&str> = plan.errors().map(|located| located.finding.code.as_str()).collect();
    Err(Stop::because(format!("the plan cannot be applied: {}", codes.join(", ")))
        .help("each finding above says what to do about it"))
}
