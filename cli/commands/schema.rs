//! `schema`: the JSON Schema of specs.

use crate::outcome::{Exit, Stop};
use crate::view;

pub(super) fn run() -> Result<Exit, Stop> {
    let schema = pgferry_engine::schema::spec_schema(&crate::catalog::catalog());
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|cause| Stop::because(format!("writing the schema: {cause}")))?;
    view::print(&text);
    Ok(Exit::Done)
}
