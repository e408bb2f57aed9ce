//! Compressing on all cores, at a level that fits what is slowest.
//!
//! As many segments are worked on at once as there are compressors. Where the upload holds everything up, the level
//! rises and makes the archive smaller; where the compressors do, it falls. Tested beside it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pgferry_archive::deflate::{Deflater, Segment};
use pgferry_archive::frame;
use pgferry_archive::frames::Framer;
use pgferry_engine::fault::Fault;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::line::Chunk;
use crate::dump::compression::{Choice, Method};

/// Levels worth choosing: those between cost more than they save (measured with zlib-rs 0.6 and zstd 1.5).
fn worth_it(method: Method) -> &'static [u32] {
    match method {
        Method::Zlib => &[1, 2, 4, 6],
        Method::Zstd => &[1, 3, 6],
    }
}

/// Looks at the level for which one that kept the line to the bucket idle is not tried again.
const PATIENCE: usize = 32;

/// Bytes of text that are compressed in one go.
pub(super) const SEGMENT: usize = 1 << 20;

/// A segment that is done, but for being taken away by [`Compressors::end`].
pub(super) struct Compressed {
    raw: Vec<u8>,
    tool: Option<Tool>,
    segment: Option<Segment>,
    rows: u64,
}

pub(super) struct Compressors {
    /// `None` to leave everything as it is.
    levels: Option<Levels>,
    free: Arc<Semaphore>,
    tools: Mutex<Vec<Tool>>,
    /// Memory of segments. Allocators keep more of what comes and goes in pieces of this size, and between threads.
    memory: Mutex<Vec<Vec<u8>>>,
    taken: AtomicUsize,
    waited: AtomicUsize,
}

struct Tool {
    packer: Packer,
    /// As large as a segment can become; what is kept is copied out of it.
    scratch: Vec<u8>,
}

enum Packer {
    Zlib(Deflater),
    Zstd(Box<Framer>),
}

impl Tool {
    fn new(method: Method, level: u32) -> Self {
        let packer = match method {
            Method::Zlib => Packer::Zlib(Deflater::new(level)),
            Method::Zstd => Packer::Zstd(Box::new(Framer::new(level))),
        };
        Self { packer, scratch: Vec::new() }
    }

    /// Compresses `raw` into the scratch.
    fn pack(&mut self, level: u32, raw: &[u8]) -> Option<Segment> {
        match &mut self.packer {
            Packer::Zlib(deflater) => {
                self.scratch.clear();
                deflater.set_level(level);
                Some(deflater.segment(raw, &mut self.scratch))
            }
            Packer::Zstd(framer) => {
                framer.set_level(level);
                framer.frame(raw, &mut self.scratch);
                None
            }
        }
    }
}

impl Compressors {
    pub(super) fn new(choice: Option<Choice>, count: usize) -> Arc<Self> {
        Arc::new(Self {
            levels: choice.map(Levels::new),
            free: Arc::new(Semaphore::new(count)),
            tools: Mutex::default(),
            memory: Mutex::default(),
            taken: AtomicUsize::new(0),
            waited: AtomicUsize::new(0),
        })
    }

    /// Memory for a segment.
    pub(super) fn memory(&self) -> Vec<u8> {
        let spare = self.memory.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(SEGMENT))
    }

    pub(super) fn compresses(&self) -> bool {
        self.levels.is_some()
    }

    /// Whether a stream has a head before its segments and an end behind them.
    pub(super) fn joins(&self) -> bool {
        self.levels.as_ref().is_some_and(|levels| levels.method == Method::Zlib)
    }

    /// The chunk that a few bytes become, at once.
    pub(super) fn little(&self, raw: &[u8]) -> Chunk {
        self.end(self.compress(raw.to_vec(), 0))
    }

    /// Has `raw`, in which `rows` end, compressed as one chunk, beginning as soon as a compressor is free.
    ///
    /// # Errors
    /// Only by a mistake of ours.
    pub(super) async fn begin(
        self: &Arc<Self>,
        raw: Vec<u8>,
        rows: u64,
    ) -> Result<JoinHandle<Compressed>, Fault> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        if self.free.available_permits() == 0 {
            self.waited.fetch_add(1, Ordering::Relaxed);
        }
        let turn = Arc::clone(&self.free)
            .acquire_owned()
            .await
            .map_err(|_| Fault::bug("compressors that were closed"))?;
        let ours = Arc::clone(self);
        Ok(tokio::task::spawn_blocking(move || {
            let done = ours.compress(raw, rows);
            drop(turn);
            done
        }))
    }

    fn compress(&self, raw: Vec<u8>, rows: u64) -> Compressed {
        let Some(levels) = &self.levels else {
            return Compressed { raw, tool: None, segment: None, rows };
        };
        let level = levels.now();
        levels.note(level, raw.len() as u64);
        let tool = self.tools.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut tool = tool.unwrap_or_else(|| Tool::new(levels.method, level));
        let segment = tool.pack(level, &raw);
        Compressed { raw, tool: Some(tool), segment, rows }
    }

    /// The chunk that a segment has become. Its memory is used again.
    pub(super) fn end(&self, done: Compressed) -> Chunk {
        let Compressed { mut raw, tool, segment, rows } = done;
        let length = raw.len() as u64;
        let bytes = match tool {
            None => framed(&raw),
            Some(tool) => {
                let bytes = framed(&tool.scratch);
                self.tools.lock().unwrap_or_else(PoisonError::into_inner).push(tool);
                bytes
            }
        };
        raw.clear();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).push(raw);
        Chunk { bytes, rows, length, segment }
    }

    /// Takes into account how long the writer waited for the upload, and how long for us, since the last time.
    pub(super) fn adapt(&self, upload: Duration, us: Duration) {
        let taken = self.taken.swap(0, Ordering::Relaxed);
        let waited = self.waited.swap(0, Ordering::Relaxed);
        if let Some(levels) = &self.levels {
            levels.adapt(upload, us, waited * 2 > taken);
        }
    }

    /// `none`, `zlib 6` or `zlib 2 to 4`: what was used.
    pub(super) fn used(&self) -> String {
        self.levels.as_ref().map_or_else(|| "none".to_owned(), Levels::used)
    }
}

/// A chunk of `bytes`, which are not empty.
pub(super) fn framed(bytes: &[u8]) -> Bytes {
    let mut chunk = Vec::with_capacity(frame::CHUNK_HEAD + bytes.len());
    chunk.extend(frame::chunk(u32::try_from(bytes.len()).expect("segments have about a mebibyte")));
    chunk.extend_from_slice(bytes);
    chunk.into()
}

/// The levels to choose from, and the one chosen now. The lowest comes first: the sooner the line has something to carry,
/// the better.
struct Levels {
    method: Method,
    all: Vec<u32>,
    at: AtomicUsize,
    /// How often it still is not raised.
    settled: AtomicUsize,
    /// Bytes by level.
    used: Mutex<BTreeMap<u32, u64>>,
}

impl Levels {
    fn new(Choice { method, levels }: Choice) -> Self {
        let ends = [*levels.start(), *levels.end()];
        let mut all: Vec<u32> = worth_it(method).iter().copied().chain(ends).collect();
        all.retain(|level| levels.contains(level));
        all.sort_unstable();
        all.dedup();
        let (at, settled) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { method, all, at, settled, used: Mutex::default() }
    }

    fn now(&self) -> u32 {
        self.all[self.at.load(Ordering::Relaxed)]
    }

    fn note(&self, level: u32, bytes: u64) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner).entry(level).or_default() +=
            bytes;
    }

    /// The line to the bucket must not idle. If the writer waits for compressors longer than an eighth of the time that it
    /// waits for the line, and they are `busy`, the level is too high for the cores; if hardly ever, there is room for
    /// more. Compressors that are not busy wait for the source, which no level makes faster.
    fn adapt(&self, upload: Duration, us: Duration, busy: bool) {
        let at = self.at.load(Ordering::Relaxed);
        let settled = self.settled.load(Ordering::Relaxed);
        if busy && us > upload / 8 {
            self.at.store(at.saturating_sub(1), Ordering::Relaxed);
            self.settled.store(PATIENCE, Ordering::Relaxed);
        } else if settled > 0 {
            self.settled.store(settled - 1, Ordering::Relaxed);
        } else if us < upload / 32 {
            self.at.store((at + 1).min(self.all.len() - 1), Ordering::Relaxed);
        }
    }

    fn used(&self) -> String {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let levels: Vec<u32> = used.keys().copied().collect();
        let method = self.method;
        match &levels[..] {
            [] => format!("{method} {}", self.now()),
            [only] => format!("{method} {only}"),
            [first, .., last] => format!("{method} {first} to {last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(1);

    #[test]
    fn the_level_follows_what_is_slowest() {
        let zlib = |levels| Choice { method: Method::Zlib, levels };
        let levels = Levels::new(zlib(2..=9));
        assert_eq!((levels.now(), &levels.all[..]), (2, &[2, 4, 6, 9][..]));
        for (upload, us, busy, expect) in [
            (LONG, LITTLE, false, 4),
            (LONG, LITTLE, true, 6),
            (LONG, LITTLE, true, 9),
            (LONG, LITTLE, true, 9),
            // The source is what is slow.
            (LITTLE, LONG, false, 9),
            (LONG, LONG, false, 9),
            (LITTLE, LONG, true, 6),
            (LONG, LONG, true, 4),
            (LITTLE, LONG, true, 2),
            (LITTLE, LONG, true, 2),
        ] {
            levels.adapt(upload, us, busy);
            assert_eq!(levels.now(), expect, "{upload:?} {us:?} {busy}");
        }
        // Too high once, it is not tried again at once.
        for _ in 0..PATIENCE {
            levels.adapt(LONG, LITTLE, false);
            assert_eq!(levels.now(), 2);
        }
        levels.adapt(LONG, LITTLE, false);
        assert_eq!(levels.now(), 4);
        for (bounds, expect) in [(6..=6, 6), (1..=1, 1), (8..=9, 8), (1..=3, 1)] {
            let levels = Levels::new(zlib(bounds.clone()));
            assert_eq!(levels.now(), expect, "{bounds:?}");
            assert_eq!(levels.used(), format!("zlib {expect}"));
        }
    }

    #[tokio::test]
    async fn rows_are_passed_on_and_levels_told() {
        let choice = |method| Some(Choice { method, levels: 1..=2 });
        let compressors = Compressors::new(choice(Method::Zlib), 2);
        let done = compressors.begin(b"a\tb\nc\\n\td\n".to_vec(), 2).await.expect("begun");
        let chunk = compressors.end(done.await.expect("done"));
        assert_eq!((chunk.rows, chunk.length), (2, 10));
        compressors.adapt(LITTLE, LONG);
        assert_eq!(compressors.used(), "zlib 1");
        assert!(chunk.segment.is_some() && compressors.joins());
        let zstd = Compressors::new(choice(Method::Zstd), 1);
        let done = zstd.begin(b"a\n".to_vec(), 1).await.expect("begun").await.expect("done");
        assert_eq!((zstd.end(done).segment, zstd.joins()), (None, false));
        zstd.adapt(LONG, LITTLE);
        assert_eq!(zstd.little(b"b").length, 1);
        assert_eq!(zstd.used(), "zstd 1 to 2");
        let none = Compressors::new(None, 1);
        let done = none.begin(b"a\n".to_vec(), 1).await.expect("begun").await.expect("done");
        assert_eq!(&none.end(done).bytes[..], b"\0\x02\0\0\0a\n");
        assert_eq!(none.used(), "none");
    }
}
