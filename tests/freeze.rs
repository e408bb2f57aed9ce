//! The journey under a freeze, with staging that goes: crashed in the middle, released by another process, done, held,
//! and released in the end.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use rustix::process::Signal;
use serde_json::json;
use stage::programs::hold_dump;
use stage::project::Project;
use stage::{QUICK, Stage, until};

const FREEZE: &str = "  freeze:
    type: postgres.freeze
    database: ${source}
    depends_on: [window]

  dump:
    type: postgres.dump
    after_use: remove
";

fn frozen(stage: &Stage) -> bool {
    stage.source("show default_transaction_read_only") == "on"
}

#[test]
fn the_source_is_read_only_until_it_is_released_and_nothing_is_left_in_between() {
    let stage = Stage::start(&QUICK);
    let mut project = Project::new(&stage);
    project.edit("  dump:\n    type: postgres.dump\n", FREEZE);
    project.edit("depends_on: [window]\n\n  restore:", "depends_on: [freeze]\n\n  restore:");
    project.edit("    encryption: required\n", "    encryption: required\n    after_use: remove\n");
    let plan = project.run(&["plan", "--out", "night.plan"]);
    plan.assert_code(0);
    plan.assert_says(&[
        "freeze (postgres.freeze) opens and closes",
        "Removed after use:\n  - bucket (linode.bucket) once done: dump, restore, smoke, verified\n  - dump (postgres.dump) once done: restore, smoke, verified\n",
        "Plan: 11 to add, 0 to change, 2 to destroy.\nScopes: 3 to open and close.",
    ]);

    // Killed while it is frozen: another process, which knows no URL but by asking, lets it be written to again.
    let dump = hold_dump(&mut project, 10_000);
    let running = project.spawn(&["apply", "night.plan"]);
    until("the dump begins", || dump.is_reached());
    assert!(frozen(&stage));
    running.signal(Signal::KILL);
    running.end().assert_killed("during the dump");
    dump.let_go();
    let released = project.run(&["release"]);
    released.assert_code(0);
    released.assert_says(&["freeze: Closing complete", "Released: 3. Left open: 0."]);
    assert!(!frozen(&stage));
    assert_eq!(stage.acme_web(), (false, 2));
    stage.source("insert into billing.rates values ('IT', '2026-01-01', 0.22)");

    let ended = project.apply();
    ended.assert_says(&[
        "`freeze` stays open: `on_success` is `hold`; `pgferry release` closes it",
        "Apply complete! Resources: ",
        ", 2 destroyed.",
    ]);
    assert_eq!(stage.target("select rate from billing.rates where country = 'IT'"), "0.2200");
    let left = stage.left();
    assert_eq!((&left["buckets"], &left["keys"]), (&json!([]), &json!([])), "{left}");
    assert!(frozen(&stage), "what was left is not written to by mistake");
    for secret in ["postgres://", "AVNS_"] {
        assert!(!project.read("pgferry.state.json").contains(secret), "{secret} in the state");
    }
    let plan = project.run(&["plan", "--detailed-exitcode"]);
    plan.assert_code(0);
    plan.assert_says(&["`freeze` is held open since ", "No changes."]);

    project.run(&["release"]).assert_code(0);
    assert!(!frozen(&stage));
    project.assert_nothing_to_do("after the release");
    project.run(&["release"]).assert_says(&["Nothing is open."]);
    project.run(&["destroy", "--auto-approve"]).assert_code(0);
}
