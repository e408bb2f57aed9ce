//! `show`: what is remembered, without asking anybody.

use std::fmt::Write;
use std::path::Path;

use pgferry_engine::state::{Entry, Outcome, Removal, State};
use pgferry_engine::tree::Tree;
use serde_json::Value as Json;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::place::Place;
use crate::saved::Saved;
use crate::view;
use crate::view::json::document::document;

pub(super) fn run(common: &Common) -> Result<Exit, Stop> {
    let state = Place::find(common)?.state()?;
    if common.json {
        let json = serde_json::to_value(&state)
            .map_err(|cause| Stop::because(format!("writing the state as JSON: {cause}")))?;
        view::print_json(&json);
        return Ok(Exit::Done);
    }
    view::summary::leftovers(&state);
    view::print(text(&state).trim_end());
    Ok(Exit::Done)
}

/// A saved plan, as it was shown; as JSON in the shape that policy tools read.
pub(super) fn saved(common: &Common, path: &Path) -> Result<Exit, Stop> {
    let saved = Saved::read(path)?;
    if common.json {
        view::print_json(&document(&saved.parts()));
    } else {
        view::print_pieces(|to| view::plan::text(&saved.plan, common.verbose, to));
    }
    Ok(Exit::Done)
}

fn text(state: &State) -> String {
    if state.resources.is_empty() {
        return "Nothing is remembered yet.".to_owned();
    }
    let mut out = String::new();
    for (address, entry) in &state.resources {
        let _ = writeln!(out, "{}", block(address.as_str(), entry));
    }
    for (address, operation) in &state.operations {
        let what = match &operation.outcome {
            Outcome::Begun => "was begun and cut short".to_owned(),
            Outcome::Unknown { message } => format!("is not settled: {message}"),
            Outcome::Failed { message } => format!("failed: {message}"),
        };
        let _ = writeln!(out, "# {address} ({}) {what}", operation.type_name);
    }
    out
}

/// One resource, its attributes one a line.
pub(super) fn block(address: &str, entry: &Entry) -> String {
    let mut out = format!("# {address}:\n{address}: {}\n", entry.type_name);
    let _ = writeln!(out, "    id = {}", Json::String(entry.remembered.id.clone()));
    if let Tree::Map(attrs) = &entry.remembered.attrs {
        for (name, value) in attrs.iter().filter(|(name, _)| *name != "id") {
            let _ = writeln!(out, "    {name} = {}", value.storable());
        }
    }
    match entry.removal {
        Some(Removal::Done) => out.push_str("    # removed after use\n"),
        Some(Removal::Begun) => out.push_str("    # its removal after use was begun\n"),
        None => {}
    }
    if let Some(done) = &entry.done {
        let _ = writeln!(out, "    # done at {} in run `{}`", done.at, done.run);
    }
    out
}
