//! An apply of a large database needs no more memory than one of a small.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::fs;

use pgferry_sandbox::Options;
use stage::project::Project;
use stage::tap::Tap;
use stage::{QUICK, Stage};

/// The most that the process ever held, in bytes, as Linux counts it; None elsewhere, or when it has ended.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// What it holds now that is in no file, such as the program itself.
fn anonymous(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[test]
#[ignore = "a source of 1 GB takes minutes to make; `make test-slow` runs it"]
fn an_apply_of_a_gigabyte_stays_under_150_megabytes() {
    if !cfg!(target_os = "linux") {
        println!("skipped: only Linux tells the peak of another process");
        return;
    }
    let stage = Stage::start(&Options { megabytes: 1040, ..QUICK });
    let size = stage.source("select pg_database_size(current_database())");
    assert!(size.parse::<u64>().unwrap() > 1_000_000_000, "{size} bytes");
    let mut project = Project::new(&stage);
    // A store slower than the dump, so that as many parts are held as ever will be.
    let store = Tap::slow(&stage.value("AWS_ENDPOINT_URL_S3"), 1_000_000);
    project.set("AWS_ENDPOINT_URL_S3", &store.origin);
    let mut running = project.spawn(&["apply", "--auto-approve"]);
    let mut highest = 0;
    // The kernel keeps the peak itself, so only what happens after the last look is missed.
    let mut own = 0;
    while running.is_alive() {
        own = own.max(anonymous(running.id()).unwrap_or(0));
        highest = highest.max(peak(running.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    running.end().assert_code(0);
    println!(
        "peak: {highest} bytes, {own} of them no pages of the program, for a database of {size}"
    );
    assert!(highest > 0 && highest < 150_000_000, "{highest} bytes");
}
