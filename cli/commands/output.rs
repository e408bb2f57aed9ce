//! `output`: what the spec offers to others; secrets only with `--reveal`, read live.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::event::Silent;
use pgferry_engine::plan::Options;
use pgferry_engine::tree::{Handles, KNOWN_AFTER_APPLY, Tree};
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;
use crate::view::json::lines;

pub(super) async fn run(common: &Common, name: Option<&str>, reveal: bool) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let state = project.state()?;
    let options = Options::default();
    let handles = if reveal {
        let resources = project.connect(&state)?;
        let world = project.world(&state, Arc::new(Silent), CancellationToken::new());
        project.plan(&state, &options, &resources, &world).await?.0.handles
    } else {
        let reality = pgferry_engine::plan::Reality::new();
        pgferry_engine::plan::draft(&project.input(&state, &options), &reality).handles
    };
    let values = evaluate(&project, &handles);
    match name {
        Some(name) => {
            let value = values.get(name).ok_or_else(|| {
                Stop::because(format!("the spec has no output `{name}`"))
                    .help("`pgferry output` lists them")
            })?;
            if common.json {
                reveal_or(&shown(value, reveal), reveal);
            } else {
                match shown(value, reveal) {
                    Json::String(text) => out(&text, reveal),
                    other => out(&other.to_string(), reveal),
                }
            }
        }
        None if common.json => {
            let all: Map<String, Json> = values
                .iter()
                .map(|(name, value)| {
                    let sensitive = value.has_secret() || value.has_unknown();
                    (name.clone(), json!({"sensitive": sensitive, "value": shown(value, reveal)}))
                })
                .collect();
            reveal_or(&Json::Object(all), reveal);
        }
        None => {
            for (name, value) in &values {
                out(&format!("{name} = {}", shown(value, reveal)), reveal);
            }
        }
    }
    Ok(Exit::Done)
}

/// The outputs after an apply; nothing where the spec has none.
pub(super) fn after_apply(project: &Project, handles: &Handles, common: &Common) {
    let values = evaluate(project, handles);
    if let Some(line) = lines::outputs(values.iter()) {
        view::tell(&line);
    }
    if common.json || values.is_empty() {
        return;
    }
    let mut text = String::from("\nOutputs:\n");
    for (name, value) in values {
        let value = match value {
            Tree::Secret(_) => "<sensitive>".to_owned(),
            other => shown(&other, false).to_string(),
        };
        text.push_str(&format!("\n{name} = {value}"));
    }
    view::print(&text);
}

fn evaluate(project: &Project, handles: &Handles) -> BTreeMap<String, Tree> {
    let resolve = |address: &Address| handles.get(address);
    let outputs = project.spec.outputs.iter();
    outputs.map(|(name, template)| (name.clone(), template.evaluate(&resolve))).collect()
}

fn shown(value: &Tree, reveal: bool) -> Json {
    match value {
        Tree::Secret(secret) if reveal => Json::String(secret.expose().to_owned()),
        Tree::Unknown if reveal => Json::String(KNOWN_AFTER_APPLY.to_owned()),
        // Without asking anybody, a secret is as unknown as what is not made yet.
        Tree::Unknown => Json::String("(sensitive)".to_owned()),
        other => other.storable(),
    }
}

fn reveal_or(json: &Json, reveal: bool) {
    out(&json.to_string(), reveal);
}

/// The one place where a secret may be printed: the user asked for it by flag.
#[allow(clippy::print_stdout, reason = "`view::print` would blank the secret out")]
fn out(text: &str, reveal: bool) {
    if reveal {
        println!("{text}");
    } else {
        view::print(text);
    }
}
