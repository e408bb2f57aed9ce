//! Compression alone, in memory: how much two threads gain over one, and zstd over zlib.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pgferry_archive::deflate::Deflater;
use pgferry_archive::frames::Framer;

/// As the dump cuts them.
const SEGMENT: usize = 1 << 20;
/// As much text of each large table at most.
const SAMPLE: usize = 64 << 20;

/// A method, at a level.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packing {
    Zlib(u32),
    Zstd(u32),
}

/// Puts a segment, compressed, in place of what is in the second.
type Pack = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

/// Megabytes a second of text on so many threads, and how many times smaller it becomes; the median of `runs`.
pub(crate) fn rate(
    segments: &[&[u8]],
    packing: Packing,
    threads: usize,
    runs: usize,
) -> (f64, f64) {
    let mut rates: Vec<(f64, f64)> = (0..runs).map(|_| once(segments, packing, threads)).collect();
    rates.sort_by(|one, other| one.0.total_cmp(&other.0));
    rates[runs / 2]
}

fn once(segments: &[&[u8]], packing: Packing, threads: usize) -> (f64, f64) {
    let (next, packed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut out = Vec::new();
                let mut pack: Pack = match packing {
                    Packing::Zlib(level) => {
                        let mut deflater = Deflater::new(level);
                        Box::new(move |segment, out| {
                            out.clear();
                            deflater.segment(segment, out);
                        })
                    }
                    Packing::Zstd(level) => {
                        let mut framer = Framer::new(level);
                        Box::new(move |segment, out| framer.frame(segment, out))
                    }
                };
                while let Some(segment) = segments.get(next.fetch_add(1, Ordering::Relaxed)) {
                    pack(segment, &mut out);
                    packed.fetch_add(out.len(), Ordering::Relaxed);
                }
            });
        }
    });
    let bytes: usize = segments.iter().map(|segment| segment.len()).sum();
    let rate = bytes as f64 / 1e6 / began.elapsed().as_secs_f64();
    (rate, bytes as f64 / packed.into_inner() as f64)
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
