//! How fast a database moves: the guide's own way by hand, pgferry's ways, and `pgcopydb` where it is installed.
//!
//! `cargo bench --bench data -- SCALE` (20 by default; 60 is a source of 1.7 GB) makes a source, moves it every way
//! three times in turn on real servers and a real store on this machine, and prints medians side by side: quote the
//! ratios, not the seconds. The servers are durable (fsync, full_page_writes and synchronous_commit on, shared_buffers 1 GB,
//! max_wal_size 8 GB), and the machine must be quiet. `benches/bare_limit` is what a copy needs at least. More words choose ways by their titles: `-- 20 guide copy`. `-- SCALE uplink` holds the way to
//! the bucket to 200 Mbit/s and dumps only; `-- SCALE threads` compresses in memory only. `-- tables` (`make bench-tables`) moves 2,500 small tables, and
//! then 50,000 large objects, beside `pg_dump -Fc` and `pg_restore -j2`.

#![allow(clippy::print_stdout, clippy::unwrap_used, dead_code, reason = "a benchmark")]

#[path = "../engine/meter.rs"]
mod meter;
#[path = "../../tests/stage/mod.rs"]
mod stage;
mod threads;
mod uplink;
mod ways;

use std::time::Instant;

use meter::{Usage, median};
use pgferry_sandbox::Options;
use stage::{QUICK, Stage};
use threads::Packing;
use ways::{Figures, Ground, Way};

const RUNS: usize = 3;
/// 200 Mbit/s, in bytes a second.
const NARROW: f64 = 25e6;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--meter") {
        return meter::metered(&arguments[1..]);
    }
    let scale = arguments.iter().find_map(|word| word.parse().ok()).unwrap_or(20);
    let began = Instant::now();
    let stage = Stage::start(&Options { provision_seconds: 0.0, durable: true, ..QUICK });
    if arguments.iter().any(|word| word == "tables") {
        return many(&stage);
    }
    let ground = Ground::new(&stage, "source", scale);
    let size = ground.ask("select pg_size_pretty(pg_database_size(current_database()))");
    println!("source: scale {scale}, {size}, made in {:.0} s", began.elapsed().as_secs_f64());
    let words: Vec<&String> =
        arguments.iter().filter(|word| word.chars().all(char::is_alphabetic)).collect();
    if words.iter().any(|word| *word == "uplink") {
        return narrow(&ground);
    }
    if words.iter().any(|word| *word == "threads") {
        return compression(&ground);
    }
    let chosen = |way: &Way| {
        words.is_empty() || words.iter().any(|word| way.title().contains(word.as_str()))
    };
    let ways: Vec<Way> =
        Way::all().into_iter().filter(|way| chosen(way) && way.is_possible()).collect();
    compare(&ground, &ways, "the guide's way");
}

/// What each of many things costs, instead of each byte.
fn many(stage: &Stage) {
    for (what, script) in [("2,500 small tables", "tables"), ("50,000 large objects", "objects")] {
        let ground = Ground::new(stage, script, 1);
        println!("{what}:");
        compare(&ground, &Way::of_many(), "`pg_dump` and `pg_restore`");
    }
}

/// Goes all `ways` in turn, and tells of each beside the first.
fn compare(ground: &Ground<'_>, ways: &[Way], first: &str) {
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); ways.len()];
    for _ in 0..RUNS {
        for (way, figures) in ways.iter().zip(&mut runs) {
            figures.push(ground.travel(*way, None));
        }
    }
    println!("medians of {RUNS}: seconds of wall clock, and how many times as fast as {first}");
    println!(
        "{:<44} {:>13} {:>13} {:>6} {:>13} {:>8} {:>8} {:>8}",
        "", "dump, upload", "restore", "check", "all", "MB", "peak MiB", "own CPU"
    );
    let mut guide: Option<Figures> = None;
    for (way, figures) in ways.iter().zip(&runs) {
        let figures = middle(figures);
        let guide = *guide.get_or_insert(figures);
        let times = |ours: f64, theirs: f64| match ours > 0.0 {
            true => format!("{ours:>7.2} {:>4.2}x", theirs / ours),
            false => String::new(),
        };
        println!(
            "{:<44} {:>13} {:>13} {:>6.2} {:>13} {:>8.1} {:>8.1} {:>8.2}",
            way.title(),
            times(figures.dump, guide.dump),
            times(figures.restore, guide.restore),
            figures.check,
            times(figures.whole.wall, guide.whole.wall),
            figures.bytes / 1e6,
            figures.whole.peak,
            figures.whole.cpu,
        );
    }
}

/// What a second thread gains where nothing but compression is done, and how fast and small each method is.
fn compression(ground: &Ground<'_>) {
    let text = threads::sample(&ground.source);
    let segments = threads::cut(&text);
    println!("compression of {:.0} MB in memory, medians of {RUNS}:", text.len() as f64 / 1e6);
    for packing in [
        Packing::Zlib(1),
        Packing::Zlib(2),
        Packing::Zlib(6),
        Packing::Zstd(1),
        Packing::Zstd(3),
        Packing::Zstd(6),
    ] {
        let [(one, smaller), (two, _)] =
            [1, 2].map(|threads| threads::rate(&segments, packing, threads, RUNS));
        println!(
            "{packing:?}: {smaller:.2} times smaller, {one:.0} MB/s on one thread, {two:.0} on two, {:.2} times",
            two / one
        );
    }
}

/// What a narrow uplink costs beyond the time that the smallest archive needs on it.
fn narrow(ground: &Ground<'_>) {
    let store = uplink::narrow(&ground.value("AWS_ENDPOINT_URL_S3"), NARROW);
    let free: Vec<Figures> = (0..RUNS).map(|_| ground.travel(Way::Smallest, None)).collect();
    let held: Vec<Figures> = (0..RUNS).map(|_| ground.travel(Way::Chosen, Some(&store))).collect();
    let (free, held) = (middle(&free), middle(&held));
    let mut least: Vec<f64> = (0..RUNS).map(|_| ground.push(&store, free.bytes)).collect();
    least.sort_by(f64::total_cmp);
    let least = least[RUNS / 2];
    println!("at 200 Mbit/s, medians of {RUNS}:");
    println!(
        "a plain upload of the smallest archive (level 9, {:.1} MB): {least:.2} s",
        free.bytes / 1e6
    );
    println!(
        "dump and upload together, level chosen ({:.1} MB): {:.2} s, {:.2} of that",
        held.bytes / 1e6,
        held.dump,
        held.dump / least
    );
}

fn middle(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let whole: Vec<Usage> = runs.iter().map(|run| run.whole).collect();
    Figures {
        dump: of(|run| run.dump),
        restore: of(|run| run.restore),
        check: of(|run| run.check),
        bytes: of(|run| run.bytes),
        whole: median(&whole),
    }
}
