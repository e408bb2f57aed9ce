//! The promises, attacked one by one: each test is named for what must hold, and failed before it did.

#![allow(clippy::unwrap_used)]

mod elsewhere;
#[allow(dead_code, reason = "each test program uses its own part of it")]
#[path = "../memory/mod.rs"]
mod memory;
mod records;
mod releases;
mod targets;
mod windows;

use std::sync::Arc;

use memory::{Project, block, journey, project, work};
use pgferry_engine::address::Address;
use pgferry_engine::apply::{Outcome, release};
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::plan::{Options, Plan};
use pgferry_engine::spec::Block;
use pgferry_engine::state::journal::{Durability, Journal, Moment, Watch, recover};
use pgferry_engine::state::{Record, State};
use tokio_util::sync::CancellationToken;

fn at(address: &str) -> Address {
    Address::new(address)
}

fn position(log: &[String], line: &str) -> usize {
    log.iter().position(|l| l == line).unwrap_or_else(|| panic!("no `{line}` in {log:?}"))
}

fn nothing() -> Vec<String> {
    Vec::new()
}

fn still_running(project: &Project, address: &str) {
    project.cloud.lock().unwrap().running.insert(address.to_owned(), false);
}

fn has_finished(project: &Project, address: &str) {
    project.cloud.lock().unwrap().running.insert(address.to_owned(), true);
}

fn open(project: &Project) -> Vec<String> {
    project.cloud.lock().unwrap().open.iter().cloned().collect()
}

async fn plan(project: &Project) -> Plan {
    project.plan(&Options::default()).await
}

fn codes(plan: &Plan) -> Vec<String> {
    plan.errors().map(|located| located.finding.code.to_string()).collect()
}

async fn released(project: &Project) -> Outcome {
    released_under(project, None).await
}

async fn released_under(project: &Project, watch: Option<Watch>) -> Outcome {
    let journal =
        Journal::begin(Arc::new(project.place.clone()), project.state(), SystemClock.now(), watch);
    let world = project.world(CancellationToken::new());
    let (spec, graph) = (Arc::new(project.spec.clone()), Arc::new(project.graph.clone()));
    let catalog = Arc::new(project.catalog.clone());
    let (resources, journal) = (project.resources(), journal.unwrap());
    let released = release(&spec, &graph, &catalog, &resources, &world, journal).await.unwrap();
    released.recorded.unwrap();
    released.outcome
}

/// Applies and dies just after the first record of which `here` says so.
async fn dies(
    project: &Project,
    moment: Moment,
    here: impl Fn(&str) -> bool + Send + Sync + 'static,
) {
    let path = project.journal_path();
    let watch: Watch = Arc::new(move |now, _| {
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap_or_default();
        assert!(!(now == moment && here(last)), "crash");
    });
    let options = Options::default();
    let apply = project.apply(&options, Some(watch), CancellationToken::new());
    let died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply)).await;
    assert!(died.is_err(), "the record was not reached");
}

fn with(name: &str, changed: Block) -> Vec<Block> {
    let mut blocks = journey();
    let place = blocks.iter().position(|block| block.address.as_str() == name).unwrap();
    blocks[place] = changed;
    blocks
}
