//! Ctrl-C: what runs at the provider goes on, what it needs stays open, and the next apply takes it up.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use rustix::process::Signal;
use serde_json::json;
use stage::programs::hold_dump;
use stage::project::Project;
use stage::{QUICK, Stage, until};

#[test]
fn during_the_restore() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    stage.faults(json!({ "hold_restore": true }));
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the restore is half-way", || {
        stage.left()["apps"].as_array().is_some_and(|apps| apps.len() == 2)
            && stage.transfers().iter().any(|t| t["processed_bytes"].as_u64() > Some(0))
    });
    running.signal(Signal::INT);
    let ended = running.end();
    ended.assert_code(130);
    ended.assert_says(&["Still running: restore", "`window` stays open", "`key` stays open"]);
    ended.assert_says(&[
        "Stopping, as soon as what runs can be left: restore (running for ",
        "\nHolding key: restore r001 still running\nHolding window: restore r001 still running\n",
    ]);
    let transfer = &stage.transfers()[0];
    assert!(transfer["finished_at"].is_null() && transfer["canceled_at"].is_null(), "it goes on");
    assert_eq!(stage.acme_web(), (true, 0), "the window is held");
    assert_eq!(stage.left()["keys"].as_array().map(Vec::len), Some(1), "the key is held");

    stage.forget();
    let plan = project.run(&["plan", "--detailed-exitcode"]);
    plan.assert_code(2);
    plan.assert_says(&[
        "window (heroku.maintenance) is open since the last run; is taken over, then closes",
    ]);
    assert!(!plan.planned().contains(&"dump will be run"), "{}", plan.stdout);
    let mut running = project.spawn(&["apply", "--auto-approve"]);
    until("the restore is watched", || {
        running.said().contains("restore: Running...") || !running.is_alive()
    });
    stage.faults(json!({ "hold_restore": false }));
    let ended = running.end();
    ended.assert_code(0);
    assert!(!ended.stderr.contains("dump: Running"), "{}", ended.stderr);
    assert_eq!(stage.left()["transfers"], 1, "no second transfer");
    let posted: Vec<_> = stage.log().into_iter().filter(|r| r.line.starts_with("POST ")).collect();
    let lines: Vec<&str> = posted.iter().map(|request| request.line.as_str()).collect();
    // A key's secret is known only to the run that made it, so this one has its own; the other stays until the end.
    let expected = ["POST /v4/object-storage/keys", "POST /addon-attachments"];
    assert_eq!(lines, expected, "neither a dump nor a restore is begun");
    stage.assert_settled("after the restore was taken up");
    project.assert_nothing_to_do("after the restore was taken up");
}

#[test]
fn during_the_restore_which_ends_while_nobody_looks() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    stage.faults(json!({ "hold_restore": true }));
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the restore is half-way", || {
        stage.left()["apps"].as_array().is_some_and(|apps| apps.len() == 2)
            && stage.transfers().iter().any(|t| t["processed_bytes"].as_u64() > Some(0))
    });
    running.signal(Signal::INT);
    running.end().assert_code(130);
    stage.faults(json!({ "hold_restore": false }));
    until("the restore is over", || !stage.transfers()[0]["finished_at"].is_null());
    let plan = project.run(&["plan"]);
    plan.assert_says(&[
        "  # restore is done and will be taken down as such\n  # (has finished since)",
    ]);
    project.apply();
    assert_eq!(stage.left()["transfers"], 1, "no second transfer");
    stage.assert_settled("after the restore was taken down as done");
    project.assert_nothing_to_do("after the restore was taken down as done");
}

#[test]
fn during_the_dump() {
    let stage = Stage::start(&QUICK);
    let mut project = Project::new(&stage);
    let dump = hold_dump(&mut project, 10_000);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the dump begins", || dump.is_reached());
    running.signal(Signal::INT);
    let ended = running.end();
    ended.assert_code(130);
    assert_eq!(stage.acme_web(), (false, 2), "nothing runs elsewhere: the window is closed");
    let left = stage.left();
    assert_eq!((&left["keys"], &left["buckets"][0]["uploads"]), (&json!([]), &json!(0)), "{left}");
    dump.let_go();
    project.apply();
    stage.assert_settled("after a dump that was stopped");
    project.assert_nothing_to_do("after a dump that was stopped");
}
