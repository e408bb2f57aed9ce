//! How far a dump is, told a few times a second.
//!
//! Tested through [`super::Dump`].

use std::time::Duration;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;

const PAUSE: Duration = Duration::from_millis(250);

/// Counts the bytes of an archive against an estimate.
pub(super) struct Meter {
    estimate: u64,
    told: Timestamp,
}

impl Meter {
    pub(super) fn new(cx: &Cx, estimate: u64) -> Self {
        Self { estimate, told: cx.now() }
    }

    /// Tells it, unless it was told just now.
    pub(super) fn tell(&mut self, cx: &Cx, done: u64) {
        let now = cx.now();
        if now.duration_since(self.told).unsigned_abs() >= PAUSE {
            self.told = now;
            report(cx, done, self.estimate.max(done));
        }
    }

    /// Tells that all of it is there.
    pub(super) fn end(&self, cx: &Cx, done: u64) {
        report(cx, done, done);
    }
}

fn report(cx: &Cx, done: u64, total: u64) {
    cx.progress(Progress {
        what: "dumping".to_owned(),
        done: Some(done),
        total: Some(total),
        unit: Some("bytes"),
    });
}
