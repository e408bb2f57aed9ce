//! A migration of twenty resources, stopped at every effect on the disk or in the cloud, whatever becomes of what was
//! not synced: the next apply comes to the same end as one that nothing stopped.
//!
//! A crash before effect `k` is one after effect `k - 1`: the world is the same, and all else is gone. So the points of
//! an operation are its effects and its end.

#![allow(clippy::unwrap_used)]

mod fenced;
mod others;
mod pairs;
#[path = "../world/mod.rs"]
mod world;

use std::time::Duration;

use pgferry_engine::plan::Options;
use pgferry_engine::state::StateError;
use serde_json::{Value as Json, json};
use world::disk::Loss;
use world::{Mishap, Point, Ran, World, run};

/// The journey of the specs that we write about, with a freeze over the window's time and a second window within it.
const JOURNEY: &str = "
  source: { type: sim.database, name: acme-prod }
  label: { type: sim.value, input: postgres-for-migration }
  bucket: { type: sim.bucket, name: '${label.output}' }
  key: { type: sim.key, name: mover, depends_on: [bucket] }
  app: { type: sim.thing, name: acme }
  target: { type: sim.thing, name: db, owner: '${app.id}', size: 1, slow: true }
  extensions: { type: sim.thing, name: ext, owner: '${target.id}' }
  announce: { type: sim.command, depends_on: [extensions] }
  window: { type: sim.window, name: acme-web, depends_on: [announce] }
  freeze: { type: sim.window, name: acme-prod, of: '${source}', depends_on: [announce] }
  dump:
    { type: sim.dump, source: '${source}', credentials: '${key}', object: night.dump, depends_on: [window, freeze] }
  restore: { type: sim.restore, into: '${target}', from: '${dump}', credentials: '${key}' }
  settings: { type: sim.thing, name: set, owner: '${target.id}', depends_on: [restore] }
  analyze: { type: sim.command, depends_on: [restore] }
  verified:
    { type: sim.check, expected: '${source}', actual: '${target}', depends_on: [settings, analyze, restore] }
  quiet: { type: sim.window, name: acme-jobs, depends_on: [verified] }
  cutover: { type: sim.cutover, name: cut, owner: '${target.id}', depends_on: [verified, quiet] }
  config: { type: sim.thing, name: conf, owner: '${cutover.id}' }
  report: { type: sim.value, input: '${verified.verdict}' }
  smoke: { type: sim.command, depends_on: [cutover, config] }
";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Apply,
    Release,
    Destroy,
}

/// How long the machine is down: shorter than a restore takes, or longer.
fn gap(loss: Loss) -> Duration {
    Duration::from_secs(if matches!(loss, Loss::Nothing | Loss::Torn) { 1 } else { 3600 })
}

fn world(resources: &str) -> World {
    let world = World::new(resources);
    world.strict();
    world
}

async fn operate(
    world: &World,
    operation: Operation,
    options: &Options,
) -> Result<Ran, StateError> {
    match operation {
        Operation::Apply => world.apply(options).await,
        Operation::Release => world.release().await,
        Operation::Destroy => world.destroy(options).await,
    }
}

/// Carries it out to its end, and gives the world before each of its effects and at its end.
async fn points(world: &World, operation: Operation, options: &Options) -> Vec<Point> {
    world.watch();
    let ran = operate(world, operation, options).await;
    let points = world.seen();
    assert!(matches!(&ran, Ok(ran) if ran.is_success()), "{ran:?}");
    points
}

/// What has to be the same however one came to it: all that exists, all that is remembered of it, and that nothing is
/// left lying about.
fn end(world: &World) -> Json {
    let state = world.state();
    let mut resources = serde_json::to_value(&state.resources).unwrap();
    undated(&mut resources);
    json!({
        "cloud": world.cloud(|cloud| cloud.summary()),
        "restores": world.cloud(|cloud| cloud.transfers.len()),
        "state": resources,
        "operations": state.operations.len(),
        "open": state.open_scopes().count(),
    })
}

/// Without what differs from one time to the next: when it was done and how fast (not known of what was taken up), which
/// attempt at a dump is the good one, and which key served, since the secret of one is known only to the process that
/// made it.
fn undated(json: &mut Json) {
    match json {
        Json::Object(map) => {
            map.remove("at");
            map.remove("pace");
            map.values_mut().for_each(undated);
        }
        Json::Array(items) => items.iter_mut().for_each(undated),
        Json::String(text) if text.starts_with("night.dump#") || text.starts_with("mover-") => {
            text.truncate(text.find('#').unwrap_or(text.len()));
        }
        _ => {}
    }
}

/// Fails with what differs, and nothing else.
fn assert_same(is: &Json, should: &Json, when: &str) {
    let mut differ = Vec::new();
    differences("", is, should, &mut differ);
    assert!(differ.is_empty(), "{when}: it ends otherwise:\n{}", differ.join("\n"));
}

fn differences(path: &str, is: &Json, should: &Json, found: &mut Vec<String>) {
    match (is, should) {
        (Json::Object(a), Json::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differences(&format!("{path}/{key}"), &is[key], &should[key], found);
            }
        }
        _ if is == should => {}
        _ => found.push(format!("{path}: {is}, and should be {should}")),
    }
}

/// Nothing more to do, and no file but the state and its backup.
async fn assert_settled(world: &World, options: &Options, when: &str) {
    let plan = world.plan(options).await;
    let work = plan.changes.values().filter(|change| change.action.is_work());
    let work: Vec<_> = work.map(|c| format!("{} {:?}", c.address, c.action)).collect();
    assert!(!plan.has_changes(), "{when}: {work:?} {:?}", plan.scopes);
    let names = world.shared.look(|outside| outside.files.names());
    let known = |name: &String| name == "state.json" || name == "state.json.backup";
    assert!(names.iter().all(known), "{when}: {names:?}");
}

/// Crashes at every point, in every way; then the operation once more must come to the same end.
async fn everywhere(
    world: &World,
    points: &[Point],
    operation: Operation,
    options: &Options,
    end_of: impl Fn(&World) -> Json,
) -> usize {
    let reached = end_of(world);
    let mut crashes = 0;
    for (number, point) in points.iter().enumerate() {
        for loss in Loss::ALL {
            let when = format!("stopped before effect {number} ({}), lost {loss:?}", point.next);
            let again = world.again(point, loss, gap(loss));
            let ran = operate(&again, operation, options).await;
            assert!(matches!(&ran, Ok(ran) if ran.is_success()), "{when}: {ran:?}");
            assert_same(&end_of(&again), &reached, &when);
            if operation == Operation::Apply {
                assert_settled(&again, options, &when).await;
            }
            crashes += 1;
        }
    }
    crashes
}

#[test]
fn at_every_effect_of_an_apply() {
    run(async {
        let (world, options) = (world(JOURNEY), Options::default());
        assert_eq!(world.spec.resources.len(), 20);
        let points = points(&world, Operation::Apply, &options).await;
        assert_settled(&world, &options, "without a crash").await;
        assert!(points.len() > 100, "{} points", points.len());
        let crashes = everywhere(&world, &points, Operation::Apply, &options, end).await;
        println!("{crashes} crashes at {} points of an apply", points.len());
    });
}

/// Nobody writes to the source that was left, wherever the run died: what is to be held is open once all is done.
#[test]
fn at_every_effect_of_an_apply_that_ends_with_a_freeze_held() {
    run(async {
        let held = JOURNEY.replace("name: acme-prod, of", "name: acme-prod, on_success: hold, of");
        let (world, options) = (world(&held), Options::default());
        let points = points(&world, Operation::Apply, &options).await;
        assert!(world.cloud(|cloud| cloud.windows["acme-prod"]));
        let crashes = everywhere(&world, &points, Operation::Apply, &options, end).await;
        println!("{crashes} crashes at {} points of an apply that ends held", points.len());
    });
}

/// Ctrl-C at every effect: the apply ends by itself, and the next one goes on.
#[test]
fn a_stop_at_every_effect_of_an_apply() {
    run(async {
        let options = Options::default();
        let plain = world(JOURNEY);
        points(&plain, Operation::Apply, &options).await;
        let (count, mut refused) = (plain.count(), 0);
        for number in 1..=count {
            let world = world(JOURNEY);
            world.mishaps([(number, Mishap::Stop)]);
            let ran = world.apply(&options).await.unwrap();
            let Ran::Ended(outcome) = ran else { panic!("{number}: {ran:?}") };
            assert!(outcome.is_success() || outcome.interrupted, "{number}: {outcome:?}");
            let running = world.cloud(|cloud| cloud.transfers.values().any(|t| !t.over));
            let open = world.cloud(|cloud| cloud.windows.values().any(|open| *open));
            assert_eq!(open, running, "{number}: a window is open, or closed too early");
            world.mishaps([]);
            let mut ran = world.apply(&options).await.unwrap();
            for _ in 0..3 {
                if matches!(&ran, Ran::Ended(outcome) if !outcome.is_success()) {
                    ran = world.apply(&options).await.unwrap();
                }
            }
            if matches!(ran, Ran::Refused(_)) {
                // Applications write to the target since the cutover; only a person can say that it is to be filled anew.
                assert!(world.cloud(|cloud| cloud.cut_over.is_some()), "{number}: {ran:?}");
                refused += 1;
                continue;
            }
            assert!(ran.is_success(), "{number}: {ran:?}");
            let things = |world: &World| world.cloud(|cloud| cloud.summary());
            assert_same(&things(&world), &things(&plain), &format!("stopped at effect {number}"));
            assert_settled(&world, &options, &format!("stopped at effect {number}")).await;
        }
        println!("{count} stops; after {refused} of them only a person may go on");
    });
}

/// No room, or no disk, at every effect: what was done is known, and with room again everything goes on.
#[test]
fn a_full_disk_at_every_effect_of_an_apply() {
    run(async {
        let options = Options::default();
        let plain = world(JOURNEY);
        points(&plain, Operation::Apply, &options).await;
        let reached = end(&plain);
        let (mut failures, mut number) = (0, 0);
        loop {
            number += 1;
            let world = world(JOURNEY);
            world.mishaps([(number, Mishap::Fails)]);
            world.watch();
            let ran = world.apply(&options).await;
            let points = world.seen();
            if points.len() as u64 <= number {
                break;
            }
            let what = points[number as usize - 1].next.clone();
            if ran.is_ok() {
                // Not the disk, but a service.
                continue;
            }
            failures += 1;
            world.mishaps([]);
            let ran = world.apply(&options).await.unwrap();
            assert!(ran.is_success(), "{number} ({what}): {ran:?}");
            assert_same(&end(&world), &reached, &format!("{number} ({what})"));
            assert_settled(&world, &options, &format!("no room at effect {number} ({what})")).await;
        }
        println!("no room at {failures} effects");
    });
}
