//! `graph`: who waits for whom, in the DOT language.

use std::fmt::Write;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;

pub(super) fn run(common: &Common) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let mut out = String::from("digraph {\n  rankdir = \"RL\"\n  node [shape = box]\n");
    for address in &project.graph.order {
        let Some(block) = project.spec.resources.get(address) else { continue };
        let name = quoted(address.as_str());
        let label = quoted(&format!("{address}\n{}", block.type_name));
        let _ = writeln!(out, "  {name} [label = {label}]");
    }
    for (address, dependencies) in &project.graph.dependencies {
        for dependency in dependencies {
            let (from, to) = (quoted(address.as_str()), quoted(dependency.as_str()));
            let _ = writeln!(out, "  {from} -> {to}");
        }
    }
    out.push('}');
    view::print(&out);
    Ok(Exit::Done)
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}
