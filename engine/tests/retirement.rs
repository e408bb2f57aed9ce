//! When the source of a migration may be deleted, and that its end is remembered; and proving again, on the way there.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "each test program uses its own part of it")]
mod memory;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use memory::{Project, block, project};
use pgferry_engine::address::Address;
use pgferry_engine::apply::{proofs, prove, retire};
use pgferry_engine::cx::{Clock, Cx, SystemClock};
use pgferry_engine::handles::Handles;
use pgferry_engine::plan::retire::{REST, Retiring, retirement};
use pgferry_engine::plan::{Input, Options};
use pgferry_engine::spec::Block;
use pgferry_engine::state::Removal;
use pgferry_engine::state::journal::{Journal, Moment, Watch};
use tokio_util::sync::CancellationToken;

fn blocks() -> Vec<Block> {
    let freeze = [("database", "${source}"), ("on_success", "hold")];
    vec![
        block("source", "mem.lookup", &[("name", "prod")], &[]),
        block("other", "mem.lookup", &[("name", "prod")], &[]),
        block("freeze", "mem.freeze", &freeze, &[]),
        block("verified", "mem.proof", &[("expected", "${source}")], &["freeze"]),
        block("cutover", "mem.cutover", &[], &["verified"]),
        block("smoke", "mem.job", &[], &["cutover"]),
    ]
}

fn judged(project: &Project, address: &str, now: Timestamp) -> Result<Retiring, String> {
    let (state, options) = (project.state(), Options::default());
    let Project { spec, graph, catalog, .. } = project;
    let input = Input { spec, graph, catalog, state: &state, options: &options, now };
    retirement(&input, &Address::new(address)).map_err(|refusal| refusal.message)
}

fn late() -> Timestamp {
    SystemClock.now() + REST + SignedDuration::from_mins(1)
}

/// Retires `source` under `name`, with a crash where `watch` says so.
async fn retired(project: &Project, name: &str, watch: Option<Watch>) -> Result<(), String> {
    let state = project.state();
    let remembered = state.resources[&Address::new("source")].remembered.clone();
    let journal =
        Journal::begin(Arc::new(project.place.clone()), state, SystemClock.now(), watch).unwrap();
    let world = project.world(CancellationToken::new());
    let cx = Cx::new(world, Address::new("source"), "destroying");
    let lookup = &project.resources()["mem.lookup"];
    let ended = retire(lookup.as_ref(), &cx, &remembered, name, &journal).await.unwrap();
    journal.finish().unwrap();
    ended.map_err(|fault| fault.message)
}

#[tokio::test]
async fn only_what_was_proved_and_cut_over_from_and_left_alone_for_a_week() {
    let mut project = project(blocks());
    let refused = |project: &Project, address: &str, now: Timestamp| {
        judged(project, address, now).unwrap_err()
    };
    assert_eq!(refused(&project, "source", late()), "nothing is remembered of `source`");
    assert_eq!(
        refused(&project, "cutover", late()),
        "`cutover` is no database that the spec looks up"
    );
    project.cloud.lock().unwrap().failing.insert("cutover".into());
    project.applied().await;
    assert_eq!(refused(&project, "source", late()), "`cutover` was begun and is not done");
    project.cloud.lock().unwrap().failing.insert("smoke".into());
    project.applied().await;
    assert_eq!(refused(&project, "source", late()), "`smoke` was begun and is not done");
    assert!(project.applied().await.is_success());

    let soon = SystemClock.now() + REST - SignedDuration::from_mins(1);
    assert!(refused(&project, "source", soon).starts_with("`source` was cut over from at "));
    let retiring = judged(&project, "source", late()).unwrap();
    let rests_on: Vec<&str> = retiring.rests_on.iter().map(Address::as_str).collect();
    assert_eq!(rests_on, ["cutover", "verified"]);
    // Nothing was ever copied from the other one.
    assert_eq!(refused(&project, "other", late()), "nothing is remembered of `other`");
    // A new night has proved nothing yet.
    project.spec.run = "night-2".into();
    let none = "no verified cutover away from `source` is remembered";
    assert_eq!(refused(&project, "source", late()), none);
    project.spec.run = "night-1".into();
    let mut without = blocks();
    without.retain(|block| block.address.as_str() != "cutover");
    without.last_mut().unwrap().depends_on = vec![Address::new("verified")];
    project.set(without);
    assert_eq!(refused(&project, "source", late()), none);
}

#[tokio::test]
async fn its_end_is_remembered_and_a_freeze_held_on_it_is_over() {
    for moment in [Moment::Before, Moment::After] {
        for number in 1..=4 {
            let project = project(blocks());
            assert!(project.applied().await.is_success());
            assert_eq!(
                retired(&project, "staging", None).await,
                Err("it is not called `staging`".to_owned())
            );
            let watch: Watch = Arc::new(move |at, record| {
                assert!(!(at == moment && record == number), "crash");
            });
            let cut_short = std::panic::AssertUnwindSafe(retired(&project, "prod", Some(watch)));
            let crashed = futures_util::FutureExt::catch_unwind(cut_short).await.is_err();
            assert_eq!(crashed, number < 4, "{number}");
            retired(&project, "prod", None).await.unwrap();
            let state = project.state();
            let entry = &state.resources[&Address::new("source")];
            assert_eq!(entry.removal, Some(Removal::Done));
            assert_eq!(state.open_scopes().count(), 0, "{moment:?} {number}");
            assert_eq!(
                judged(&project, "source", late()),
                Err("`source` was retired already".to_owned())
            );
            assert!(!project.plan(&Options::default()).await.has_changes());
        }
    }
}

#[tokio::test]
async fn proving_again_reads_anew_and_writes_nothing_down() {
    let project = project(blocks());
    assert!(project.applied().await.is_success());
    project.log();
    let state = project.state();
    let handles = Handles {
        spec: Arc::new(project.spec.clone()),
        graph: Arc::new(project.graph.clone()),
        catalog: Arc::new(project.catalog.clone()),
        resources: project.resources(),
        known: Arc::new(move |address| state.resources.get(address).cloned()),
        world: project.world(CancellationToken::new()),
    };
    let before = std::fs::read_to_string(project.place.path()).unwrap();
    let all = proofs(&handles);
    assert_eq!(all, [Address::new("verified")]);
    prove(&handles, &all[0]).await.unwrap();
    assert_eq!(project.log(), ["look up source", "prove postgres://u:secret-of-prod@h/prod"]);
    project.cloud.lock().unwrap().failing.insert("verified".into());
    assert_eq!(prove(&handles, &all[0]).await.unwrap_err().message, "`verified` was made to fail");
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().clear();
    assert_eq!(
        prove(&handles, &all[0]).await.unwrap_err().message,
        "what `expected` of `verified` refers to is not there"
    );
    assert_eq!(std::fs::read_to_string(project.place.path()).unwrap(), before);
    assert!(!project.journal_path().exists());
}
