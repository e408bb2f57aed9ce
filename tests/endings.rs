//! What ends a run besides Ctrl-C: a dropped terminal, two signals of a CI runner, a stdout that nobody reads or that is
//! full. The window closes in each, and the next apply converges.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use stage::programs::{Hold, hold_dump};
use stage::project::{Ended, Project};
use stage::{QUICK, Stage, until};

/// A project whose dump waits in the middle.
fn held(stage: &Stage) -> (Project, Hold) {
    let mut project = Project::new(stage);
    let dump = hold_dump(&mut project, 10_000);
    (project, dump)
}

/// The run closed what it had opened, and the next apply finishes the work.
fn assert_closed(stage: &Stage, project: &Project, dump: &Hold, ended: &Ended) {
    assert_eq!(stage.acme_web(), (false, 2), "the window is closed; it said:\n{}", ended.text());
    assert_eq!(stage.left()["keys"], json!([]), "the key is revoked");
    dump.let_go();
    project.apply();
    stage.assert_settled("after the run that ended early");
    project.assert_nothing_to_do("after the run that ended early");
}

/// `nohup` and the like have whoever they start ignore it, and so does a run then: there is nothing to test.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

#[test]
fn a_dropped_terminal_closes_the_window() {
    if is_hangup_ignored() {
        return;
    }
    let stage = Stage::start(&QUICK);
    let (project, dump) = held(&stage);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the dump begins", || dump.is_reached());
    running.signal(Signal::HUP);
    let ended = running.end();
    ended.assert_code(130);
    assert_closed(&stage, &project, &dump, &ended);
}

#[test]
fn sigint_followed_by_sigterm_still_closes_the_window() {
    let stage = Stage::start(&QUICK);
    let (project, dump) = held(&stage);
    let mut running = project.spawn(&["apply", "--auto-approve"]);
    until("the dump begins", || dump.is_reached());
    // Closing takes a while, so that the second signal meets it.
    stage.faults(json!({ "slow_ms": 300 }));
    running.signal(Signal::INT);
    until("it says that it stops", || running.said().contains("Stopping"));
    assert!(running.is_alive(), "the second signal meets a run that still closes");
    running.signal(Signal::TERM);
    let ended = running.end();
    stage.faults(json!({ "slow_ms": 0 }));
    ended.assert_code(130);
    assert_closed(&stage, &project, &dump, &ended);
}

#[test]
fn a_reader_that_goes_away_closes_the_window() {
    let stage = Stage::start(&QUICK);
    let (project, dump) = held(&stage);
    let (reader, writer) = std::io::pipe().unwrap();
    let running = project.spawn_into(&["apply", "--auto-approve", "--json"], writer.into());
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while !dump.is_reached() {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended before its dump");
    }
    drop(reader);
    let ended = running.end();
    ended.assert_code(141);
    ended.assert_says(&["stdout cannot be written: Broken pipe"]);
    assert_closed(&stage, &project, &dump, &ended);
}

#[test]
fn a_full_disk_behind_stdout_is_named_before_anything_is_changed() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = project.spawn_into(&["apply", "--auto-approve"], Stdio::from(full)).end();
    ended.assert_code(141);
    ended.assert_says(&["stdout cannot be written: No space left on device"]);
    assert_eq!(stage.left()["buckets"], json!([]), "nothing was made");
}
