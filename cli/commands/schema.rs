//! `schema`: JSON Schemas of specs, for editors, and of the files and lines that pgferry writes.

use pgferry_engine::schema::{spec_schema, state_schema};

use crate::arguments::SchemaOf;
use crate::outcome::{Exit, Stop};
use crate::view;

pub(super) fn run(of: SchemaOf) -> Result<Exit, Stop> {
    let schema = match of {
        SchemaOf::Spec => spec_schema(&crate::catalog::catalog()),
        SchemaOf::State => state_schema(),
        SchemaOf::Plan => crate::saved::schema(),
        SchemaOf::Events => {
            let mut schema = schemars::schema_for!(view::json::shape::Line);
            schema.insert("title".to_owned(), "A JSON line of pgferry".into());
            schema.to_value()
        }
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|cause| Stop::because(format!("writing the schema: {cause}")))?;
    view::print(&text);
    Ok(Exit::Done)
}
