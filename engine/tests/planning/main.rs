//! Ways to plan besides the plain one, and what a block says of when and how long: from the text of a spec to the end
//! of an apply, on a cloud in memory.

#![allow(clippy::unwrap_used)]

mod adopt;
mod destroy;
mod drift;
#[allow(dead_code, reason = "each test program uses its own part of it")]
#[path = "../memory/mod.rs"]
mod memory;
mod timeouts;
mod times;
mod triggers;
mod unseen;

use std::collections::BTreeMap;

use memory::{Project, project};
use pgferry_engine::address::Address;
use pgferry_engine::apply::Outcome;
use pgferry_engine::plan::check::violations as violations_of;
use pgferry_engine::plan::{Input, Options, Plan, Refresh};
use pgferry_engine::source::Source;
use pgferry_engine::spec::{Inputs, load};
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

/// A project whose spec says `resources`.
fn with(resources: &str) -> Project {
    let mut project = project(Vec::new());
    says(&mut project, resources);
    project
}

fn says(project: &mut Project, resources: &str) {
    says_with(project, resources, &[]);
}

/// Also declares these variables, with these values.
fn says_with(project: &mut Project, resources: &str, variables: &[(&str, &str)]) {
    let declared: String = variables
        .iter()
        .map(|(name, value)| format!("  {name}: {{ default: {value} }}\n"))
        .collect();
    let text = format!(
        "pgferry: 1\nname: m\nrun: night-1\nvariables:\n{declared}\nresources:\n{resources}"
    );
    let source = Source::new("spec.yaml", text);
    let inputs = Inputs { base: project.folder.path().to_owned(), ..Inputs::default() };
    let loaded = load(&source, &inputs, &project.catalog).unwrap_or_else(|found| {
        panic!("{}", found.iter().map(|one| one.render(&source)).collect::<String>())
    });
    (project.spec, project.graph) = (loaded.spec, loaded.graph);
}

fn at(address: &str) -> Address {
    Address::new(address)
}

fn refresh(refresh: Refresh) -> Options {
    Options { refresh, ..Options::default() }
}

/// What the checker says of a plan.
fn violations(project: &Project, plan: &Plan, options: &Options) -> Vec<String> {
    let Project { spec, graph, catalog, .. } = project;
    let (state, now) = (project.state(), jiff::Timestamp::UNIX_EPOCH);
    violations_of(plan, &Input { spec, graph, catalog, state: &state, options, now })
}

async fn planned(project: &Project) -> Plan {
    project.plan(&Options::default()).await
}

async fn applied(project: &Project, options: &Options) -> Outcome {
    project.apply(options, None, CancellationToken::new()).await.unwrap()
}

fn findings(plan: &Plan) -> Vec<String> {
    plan.findings
        .iter()
        .map(|l| format!("{} {}: {}", l.finding.code, l.address, l.finding.message))
        .collect()
}

/// What the plan says of an address: the action, then the reasons.
fn said(plan: &Plan, address: &str) -> (String, Vec<String>) {
    let change = &plan.changes[&at(address)];
    (format!("{:?}", change.action), change.reasons.clone())
}

/// Changes a thing of the cloud behind everybody's back.
fn tamper(project: &Project, name: &str, change: impl FnOnce(&mut BTreeMap<String, Json>)) {
    let mut cloud = project.cloud.lock().unwrap();
    let things = cloud.things.entry("thing".into()).or_default();
    assert!(things.contains_key(name), "there is no `{name}`");
    change(things);
}
