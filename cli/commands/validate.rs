//! `validate`: every mistake at once, offline.

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;

pub(super) fn run(common: &Common) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    if common.json {
        view::print_json(&view::json::validation(&project.source, &project.warnings));
        return Ok(Exit::Done);
    }
    for warning in &project.warnings {
        view::talk(warning.render_in(&project.source, view::paint()).trim_end());
    }
    let count = project.spec.resources.len();
    let noun = if count == 1 { "resource" } else { "resources" };
    view::print(&format!("Success! `{}` is valid: {count} {noun}.", project.source.name));
    // The system takes back the memory of a large spec faster than it could be freed piece by piece.
    std::mem::forget(project);
    Ok(Exit::Done)
}
