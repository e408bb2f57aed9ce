//! `plan` and `preflight`: look, decide, show; change nothing.

use std::path::Path;
use std::sync::Arc;

use pgferry_engine::event::Silent;
use pgferry_engine::plan::Plan;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Common, Planning};
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::saved::Saved;
use crate::view;

pub(super) async fn run(
    common: &Common,
    planning: &Planning,
    out: Option<&Path>,
    detailed: bool,
) -> Result<Exit, Stop> {
    let (project, plan) = made(common, planning, false).await?;
    show(&plan, common);
    refuse_errors(&plan)?;
    let changes = plan.has_changes();
    if let Some(out) = out {
        let (file, spec, variables) = (&common.file, &project.source.text, project.variables);
        Saved::new(file, spec, variables, planning, plan).write(out)?;
        if !common.json {
            let out = out.display();
            view::print(&format!("\nSaved as `{out}`. To do exactly this: pgferry apply {out}"));
        }
    }
    Ok(if detailed && changes { Exit::Changes } else { Exit::Done })
}

pub(super) async fn preflight(common: &Common, planning: &Planning) -> Result<Exit, Stop> {
    let (_, plan) = made(common, planning, true).await?;
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
    preflight: bool,
) -> Result<(Project, Plan), Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("plan", common.lock_timeout)?;
    let state = project.state()?;
    view::summary::leftovers(&state);
    let options = pgferry_engine::plan::Options { preflight, ..project.options(planning, &state)? };
    let resources = project.connect(&state)?;
    let world = project.world(&state, Arc::new(Silent), CancellationToken::new());
    let (draft, _) = project.plan(&state, &options, &resources, &world).await?;
    Ok((project, draft.plan))
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
