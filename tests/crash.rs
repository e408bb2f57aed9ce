//! `kill -9` at every record of the journal, before and after it is durable, and in the middle of long work: the next
//! apply comes to the same end, and nothing is left twice.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::collections::VecDeque;
use std::fs;
use std::sync::Mutex;

use rustix::process::Signal;
use serde_json::json;
use stage::programs::{Hold, hold_dump};
use stage::project::Project;
use stage::{QUICK, Stage, until};

/// How many sandboxes the rounds are spread over. A round mostly waits for answers.
const WORKERS: usize = 3;

/// How many records a whole apply writes, the first line of the journal not counted.
fn records(stage: &Stage) -> u64 {
    let project = Project::new(stage);
    let hold = Hold::new(&project.path("."), "announce");
    let script = project.read("notify.sh").replacen('\n', &format!("\n{}\n", hold.words()), 1);
    project.script("notify.sh", &script);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the announcement", || hold.is_reached());
    // A second name keeps what the apply removes at its end.
    fs::hard_link(project.path("pgferry.state.json.journal"), project.path("kept")).unwrap();
    hold.let_go();
    running.end().assert_code(0);
    let lines = project.read("kept").lines().count();
    u64::try_from(lines).unwrap() - 1
}

#[test]
fn at_every_record_of_the_journal() {
    let first = Stage::start(&QUICK);
    let records = records(&first);
    assert!(records > 30, "{records} records");
    first.reset();
    let points = (1..=records).flat_map(|number| [("before", number), ("after", number)]);
    let points: Mutex<VecDeque<(&str, u64)>> = Mutex::new(points.collect());
    let next = || points.lock().unwrap().pop_front();
    let work = |stage: Stage| {
        while let Some((when, number)) = next() {
            round(&stage, when, number);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..WORKERS {
            scope.spawn(|| work(Stage::start(&QUICK)));
        }
        work(first);
    });
    println!("{} kills over {records} records", 2 * records);
}

/// One kill, and what becomes of it.
fn round(stage: &Stage, when: &str, number: u64) {
    let point = format!("{when}:{number}");
    let project = Project::new(stage);
    let killed = project.run_with(&["apply", "--auto-approve"], "PGFERRY_KILL", &point);
    killed.assert_killed(&point);
    let ended = project.run(&["apply", "--auto-approve"]);
    assert_eq!(ended.status.code(), Some(0), "{point}: {}", ended.text());
    stage.assert_settled(&point);
    project.assert_nothing_to_do(&point);
    assert!(!project.path("pgferry.state.json.journal").exists(), "{point}: a journal is left");
    let open = project.state()["scopes"]
        .as_object()
        .map(|scopes| scopes.values().filter(|scope| scope["status"]["is"] != "released").count());
    assert_eq!(open, Some(0), "{point}: scopes remembered as open");
    stage.reset();
}

#[test]
fn during_the_dump() {
    let stage = Stage::start(&QUICK);
    let mut project = Project::new(&stage);
    let dump = hold_dump(&mut project, 10_000);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the dump begins", || dump.is_reached());
    running.signal(Signal::KILL);
    running.end().assert_killed("during the dump");
    let left = stage.left();
    assert_eq!(left["buckets"][0]["uploads"], 1, "an upload was under way: {left}");
    assert_eq!(stage.acme_web(), (true, 0));
    dump.let_go();
    let plan = project.run(&["plan", "--detailed-exitcode"]);
    plan.assert_code(2);
    plan.assert_says(&["  # dump will be run\n  # (was cut short: its upload was cut short)"]);
    project.apply();
    stage.assert_settled("after a kill during the dump");
    project.assert_nothing_to_do("after a kill during the dump");
}

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
    running.signal(Signal::KILL);
    running.end().assert_killed("during the restore");
    stage.forget();
    let mut running = project.spawn(&["apply", "--auto-approve"]);
    until("the restore is watched", || {
        running.said().contains("restore: Running...") || !running.is_alive()
    });
    stage.faults(json!({ "hold_restore": false }));
    let ended = running.end();
    ended.assert_code(0);
    assert!(!ended.stderr.contains("dump: Running"), "{}", ended.stderr);
    assert_eq!(stage.left()["transfers"], 1, "it is taken up, not begun again");
    stage.assert_settled("after a kill during the restore");
    project.assert_nothing_to_do("after a kill during the restore");
}
