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
            // As they are written, not as they could be read: what is left out is not required.
            let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
            let mut schema =
                settings.into_generator().into_root_schema_for::<view::json::shape::Line>();
            schema.insert("title".to_owned(), "A JSON line of pgferry".into());
            schema.to_value()
        }
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|cause| Stop::because(format!("writing the schema: {cause}")))?;
    view::print(&text);
    Ok(Exit::Done)
}
