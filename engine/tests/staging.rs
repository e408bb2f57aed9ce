//! Staging with `after_use: remove`: it goes in the same apply once it has served, and never before.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "each test program uses its own part of it")]
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memory::{Project, block, journey, project, work};
use pgferry_engine::address::Address;
use pgferry_engine::plan::check::violations;
use pgferry_engine::plan::destroy::destroy;
use pgferry_engine::plan::{Action, Input, Options, Plan, StepKind};
use pgferry_engine::spec::Block;
use pgferry_engine::state::journal::{Moment, Watch};
use tokio_util::sync::CancellationToken;

const GOES: [(&str, &str); 1] = [("after_use", "remove")];

/// The journey, with staging that goes.
fn blocks(bucket: &[(&str, &str)], dump: &[(&str, &str)]) -> Vec<Block> {
    let mut blocks = journey();
    for block in &mut blocks {
        let changed = match block.address.as_str() {
            "bucket" => memory::block("bucket", "mem.bucket", bucket, &[]),
            "dump" => {
                let after = ["source", "window", "key", "bucket"];
                memory::block("dump", "mem.dump", dump, &after)
            }
            "restore" => {
                let into = [("with", "${target}")];
                memory::block("restore", "mem.restore", &into, &["dump", "key"])
            }
            _ => continue,
        };
        *block = changed;
    }
    blocks
}

fn going() -> Project {
    project(blocks(&GOES, &GOES))
}

async fn plan(project: &Project) -> Plan {
    project.plan(&Options::default()).await
}

fn removals(plan: &Plan) -> Vec<&str> {
    plan.removals.keys().map(Address::as_str).collect()
}

/// How many objects and buckets there are.
fn there(project: &Project) -> (usize, usize) {
    let cloud = project.cloud.lock().unwrap();
    let count = |kind: &str| cloud.things.get(kind).map_or(0, |all| all.len());
    (count("object"), count("bucket"))
}

fn position(log: &[String], line: &str) -> usize {
    log.iter().position(|l| l == line).unwrap_or_else(|| panic!("no `{line}` in {log:?}"))
}

#[tokio::test]
async fn it_goes_when_all_behind_it_is_done_and_is_not_missed() {
    let mut project = going();
    let planned = plan(&project).await;
    assert_eq!(removals(&planned), ["bucket", "dump"]);
    assert_eq!(planned.counts().destroy, 2);
    let outcome = project.applied().await;
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(outcome.counts.destroy, 2);
    let log = project.log();
    for pair in
        [["run smoke", "remove dump"], ["remove dump", "close key"], ["close key", "remove bucket"]]
    {
        assert!(position(&log, pair[0]) < position(&log, pair[1]), "{pair:?} in {log:?}");
    }
    assert_eq!(there(&project), (0, 0));
    assert!(!plan(&project).await.has_changes());
    assert_eq!(project.log(), Vec::<String>::new(), "nothing is even looked for");

    // To move the data again, it is made again, and goes again.
    project.spec.run = "night-2".into();
    let planned = plan(&project).await;
    assert!(work(&planned).starts_with(&["announce Run".into(), "bucket Create".into()]));
    let reasons = &planned.changes[&Address::new("bucket")].reasons;
    assert_eq!(reasons, &["was removed after use, and is needed again"]);
    assert!(planned.errors().next().is_none());
    assert!(project.applied().await.is_success());
    assert_eq!(there(&project), (0, 0));
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn a_dump_goes_with_its_bucket_and_without_it_the_bucket_stays() {
    let with = project(blocks(&GOES, &[]));
    assert!(with.applied().await.is_success());
    assert_eq!(there(&with), (0, 0));
    assert!(with.log().contains(&"remove dump".to_owned()));
    let without = project(blocks(&[], &GOES));
    assert!(without.applied().await.is_success());
    assert_eq!(there(&without), (0, 1));
    assert!(!plan(&without).await.has_changes());
    assert!(!plan(&with).await.has_changes());
}

#[tokio::test]
async fn what_failed_keeps_it_and_a_rehearsal_too() {
    for failing in ["restore", "verified", "smoke"] {
        let project = going();
        project.cloud.lock().unwrap().failing.insert(failing.into());
        let outcome = project.applied().await;
        assert_eq!(outcome.failed.len(), 1);
        assert_eq!(there(&project), (1, 1), "{failing}");
        assert!(!outcome.skipped.iter().any(|a| a.as_str() == "bucket"), "{:?}", outcome.skipped);
        assert!(project.applied().await.is_success());
        assert_eq!(there(&project), (0, 0), "{failing}");
        assert!(!plan(&project).await.has_changes());
    }
    let project = going();
    let excludes = [Address::new("cutover")].into();
    let options = Options { excludes, ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    assert_eq!(there(&project), (1, 1));
}

#[tokio::test]
async fn a_removal_that_fails_breaks_nothing_and_is_made_up_for() {
    let project = going();
    project.cloud.lock().unwrap().failing.insert("remove dump".into());
    let outcome = project.applied().await;
    let failed: Vec<String> = outcome.failed.iter().map(|f| f.address.to_string()).collect();
    assert_eq!((failed, there(&project)), (vec!["dump".to_owned()], (1, 1)));
    assert!(project.cloud.lock().unwrap().open.is_empty());
    project.log();
    // All that is left to do: the key opens for it once more.
    let planned = plan(&project).await;
    assert_eq!(work(&planned), Vec::<String>::new());
    assert_eq!(removals(&planned), ["bucket", "dump"]);
    assert_eq!(planned.scopes.keys().map(Address::as_str).collect::<Vec<_>>(), ["key"]);
    project.log();
    assert!(project.applied().await.is_success());
    let log = project.log();
    let did: Vec<&str> =
        log.iter().map(String::as_str).filter(|l| !l.starts_with("look")).collect();
    assert_eq!(did, ["open key", "remove dump", "close key", "remove bucket"]);
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn only_who_takes_something_out_of_it_brings_it_back() {
    let replacing =
        |address: &str| Options { replace: [Address::new(address)].into(), ..Options::default() };
    let project = going();
    assert!(project.applied().await.is_success());
    let planned = project.plan(&replacing("verified")).await;
    assert_eq!(work(&planned), ["smoke Run", "verified Run"]);
    assert_eq!(removals(&planned), Vec::<&str>::new());
    for (address, runs) in [
        ("restore", vec!["bucket Create", "dump Run", "restore Run", "smoke Run", "verified Run"]),
        (
            "announce",
            vec![
                "announce Run",
                "bucket Create",
                "dump Run",
                "restore Run",
                "smoke Run",
                "verified Run",
            ],
        ),
    ] {
        let options = replacing(address);
        assert_eq!(work(&project.plan(&options).await), runs);
        project.log();
        let outcome = project.apply(&options, None, CancellationToken::new()).await.unwrap();
        assert!(outcome.is_success(), "{address}: {outcome:?}");
        assert_eq!(there(&project), (0, 0));
        assert!(!plan(&project).await.has_changes());
    }
}

#[tokio::test]
async fn asked_for_afterwards_it_goes_afterwards() {
    let mut project = project(blocks(&[], &[]));
    assert!(project.applied().await.is_success());
    assert_eq!(there(&project), (1, 1));
    project.set(blocks(&GOES, &GOES));
    let planned = plan(&project).await;
    assert_eq!((work(&planned), removals(&planned)), (Vec::new(), vec!["bucket", "dump"]));
    assert!(planned.changes.values().all(|change| change.notes.is_empty()), "{planned:?}");
    assert!(project.applied().await.is_success());
    assert_eq!(there(&project), (0, 0));
    assert!(!plan(&project).await.has_changes());

    // Somebody else was faster: there is nothing to remove, and no key is opened for it.
    let project = going_without_removal().await;
    project.cloud.lock().unwrap().things.remove("bucket");
    assert!(!plan(&project).await.has_changes());
}

async fn going_without_removal() -> Project {
    let mut project = project(blocks(&[], &[]));
    assert!(project.applied().await.is_success());
    project.set(blocks(&GOES, &GOES));
    project
}

#[tokio::test]
async fn what_is_protected_is_not_removed_after_use_either() {
    let mut blocks = blocks(&GOES, &[]);
    std::sync::Arc::make_mut(&mut blocks[1].lifecycle).prevent_destroy = true;
    let planned = plan(&project(blocks)).await;
    let codes: Vec<&str> = planned.errors().map(|located| located.finding.code.as_str()).collect();
    assert_eq!(codes, ["PGF0206"]);
}

#[tokio::test]
async fn a_destroy_forgets_what_is_gone_and_deletes_what_is_not() {
    let destroyed = |project: &Project| {
        let (state, options) = (project.state(), Options::default());
        let Project { spec, graph, catalog, .. } = project;
        let now = jiff::Timestamp::UNIX_EPOCH;
        let plan = destroy(&Input { spec, graph, catalog, state: &state, options: &options, now });
        let of = |address: &str| plan.changes[&Address::new(address)].action;
        (of("bucket"), of("dump"))
    };
    let project = going();
    project.cloud.lock().unwrap().failing.insert("remove dump".into());
    project.applied().await;
    assert_eq!(destroyed(&project), (Action::Delete, Action::Delete));
    assert!(project.applied().await.is_success());
    assert_eq!(destroyed(&project), (Action::Forget, Action::Forget));
}

/// Stops at every record of the journal, before and after it is durable.
#[tokio::test]
async fn a_crash_at_every_record_leaves_nothing_behind() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let watch: Watch = Arc::new(move |_, number| counted.store(number, Ordering::SeqCst));
    let whole = going().apply(&Options::default(), Some(watch), CancellationToken::new()).await;
    assert!(whole.unwrap().is_success());
    for moment in [Moment::Before, Moment::After] {
        for number in 1..=count.load(Ordering::SeqCst) {
            let project = going();
            let watch: Watch = Arc::new(move |at, record| {
                assert!(!(at == moment && record == number), "crash");
            });
            let options = Options::default();
            let apply = project.apply(&options, Some(watch), CancellationToken::new());
            let apply = std::panic::AssertUnwindSafe(apply);
            assert!(futures_util::FutureExt::catch_unwind(apply).await.is_err(), "{number}");
            let outcome = project.applied().await;
            assert!(outcome.is_success(), "{moment:?} {number}: {outcome:?}");
            assert_eq!(there(&project), (0, 0), "{moment:?} {number}");
            assert!(project.cloud.lock().unwrap().open.is_empty(), "{moment:?} {number}");
            let planned = plan(&project).await;
            assert!(!planned.has_changes(), "{moment:?} {number}: {:?}", work(&planned));
        }
    }
}

#[tokio::test]
async fn without_anything_that_uses_it_it_stays() {
    let project = project(vec![block("bucket", "mem.bucket", &GOES, &[])]);
    assert!(project.applied().await.is_success());
    assert_eq!(there(&project), (0, 1));
    assert!(!plan(&project).await.has_changes());
}

/// A sound plan, spoiled in every way that concerns what goes after use: each is caught.
#[tokio::test]
async fn the_checker_knows_what_may_go_and_when() {
    let project = going();
    let sound = plan(&project).await;
    let (state, options) = (project.state(), Options::default());
    let Project { spec, graph, catalog, .. } = &project;
    let now = jiff::Timestamp::UNIX_EPOCH;
    let input = Input { spec, graph, catalog, state: &state, options: &options, now };
    let caught = |what: &str, spoil: &dyn Fn(&mut Plan)| {
        let mut spoiled = sound.clone();
        spoil(&mut spoiled);
        assert_ne!(violations(&spoiled, &input), Vec::<String>::new(), "{what}");
    };
    assert_eq!(violations(&sound, &input), Vec::<String>::new());
    let at = Address::new;
    let step = |plan: &Plan, address: &str, what: StepKind| {
        plan.steps.iter().position(|s| s.address.as_str() == address && s.what == what).unwrap()
    };
    for address in ["bucket", "dump"] {
        caught("a step that nobody shows", &|plan| drop(plan.removals.remove(&at(address))));
        caught("a run less", &|plan| drop(plan.removals.get_mut(&at(address)).unwrap().pop()));
        caught("left out", &|plan| plan.left_out.extend([at(address)]));
        caught("forgotten", &|plan| {
            plan.changes.get_mut(&at(address)).unwrap().action = Action::Forget;
        });
        caught("no step", &|plan| {
            let remove = step(plan, address, StepKind::Remove);
            plan.steps[remove].what = StepKind::Pass;
        });
        let remove = step(&sound, address, StepKind::Remove);
        caught("waits for nothing", &|plan| plan.steps[remove].after.clear());
    }
    caught("an app goes too", &|plan| {
        plan.removals.insert(at("app"), plan.removals[&at("bucket")].clone());
    });
    caught("the key closes before", &|plan| {
        let remove = step(plan, "dump", StepKind::Remove);
        let close = step(plan, "key", StepKind::Close);
        plan.steps[close].after.retain(|first| *first != remove);
    });
    caught("the bucket goes before the key closes", &|plan| {
        let remove = step(plan, "bucket", StepKind::Remove);
        let close = step(plan, "key", StepKind::Close);
        plan.steps[remove].after.retain(|first| *first != close);
    });
    caught("the last run is not waited for", &|plan| {
        let smoke = step(plan, "smoke", StepKind::Act);
        for address in ["dump", "bucket"] {
            let remove = step(plan, address, StepKind::Remove);
            plan.steps[remove].after.retain(|first| *first != smoke);
        }
        let close = step(plan, "window", StepKind::Close);
        let remove = step(plan, "bucket", StepKind::Remove);
        plan.steps[remove].after.retain(|first| *first != close);
    });
}
