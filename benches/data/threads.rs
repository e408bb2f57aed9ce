//! Compression alone, in memory: how much two threads gain over one.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pgferry_archive::deflate::Deflater;

/// As the dump cuts them.
const SEGMENT: usize = 1 << 20;
/// As much text of each large table at most.
const SAMPLE: usize = 64 << 20;
const LEVEL: u32 = 6;

/// Megabytes a second of text on so many threads; the median of `runs`.
pub(crate) fn rate(segments: &[&[u8]], threads: usize, runs: usize) -> f64 {
    let mut rates: Vec<f64> = (0..runs).map(|_| once(segments, threads)).collect();
    rates.sort_by(f64::total_cmp);
    rates[runs / 2]
}

fn once(segments: &[&[u8]], threads: usize) -> f64 {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut deflater, mut out) = (Deflater::new(LEVEL), Vec::new());
                while let Some(segment) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
                    out.clear();
                    deflater.segment(segment, &mut out);
                }
            });
        }
    });
    let bytes: usize = segments.iter().map(|segment| segment.len()).sum();
    bytes as f64 / 1e6 / began.elapsed().as_secs_f64()
}

/// Text of the source at `url`, as `COPY` gives it.
pub(crate) fn sample(url: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for table in ["ledger", "documents", "events", "files"] {
        let copy = format!("copy shop.{table} to stdout");
        let out = Command::new("psql").args(["-qX", "--command", &copy, url]).output().unwrap();
        assert!(out.status.success(), "{table} cannot be read");
        all.extend_from_slice(&out.stdout[..out.stdout.len().min(SAMPLE)]);
    }
    all
}

pub(crate) fn cut(text: &[u8]) -> Vec<&[u8]> {
    text.chunks(SEGMENT).collect()
}
