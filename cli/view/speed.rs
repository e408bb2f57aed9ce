//! How fast an act is at present, and how long it will take: from what it told of itself in the last seconds.
//!
//! Time is that of the events; no clock is read. Tested beside it.

use std::collections::VecDeque;
use std::time::Duration;

use pgferry_engine::event::Progress;

/// What is older says nothing of the present.
const MEMORY: Duration = Duration::from_secs(20);

/// Told before, it would jump about.
const FIRST: Duration = Duration::from_secs(1);
const FIRST_LEFT: Duration = Duration::from_secs(5);

/// A speed, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Speed {
    /// Units a second, as a rule bytes.
    pub(crate) rate: u64,
    /// Until all is done, at this rate.
    pub(crate) left: Option<Duration>,
}

/// What an act told of itself lately: when, and how much was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    unit: Option<&'static str>,
    began: Duration,
    told: VecDeque<(Duration, u64)>,
}

impl Track {
    /// Takes in how far it is. What counts something else, or less than before, begins anew.
    pub(crate) fn took(&mut self, elapsed: Duration, progress: &Progress) {
        let Some(done) = progress.done else {
            *self = Self::default();
            return;
        };
        let last = self.told.back().copied();
        if self.unit != progress.unit || last.is_none_or(|(_, before)| before > done) {
            *self = Self { unit: progress.unit, began: elapsed, told: VecDeque::new() };
        }
        // A few a second are enough.
        if last.is_some_and(|(at, _)| elapsed < at + MEMORY / 100) && self.told.len() > 1 {
            self.told.pop_back();
        }
        self.told.push_back((elapsed, done));
        while self.told.len() > 2 && self.told[1].0 + MEMORY <= elapsed {
            self.told.pop_front();
        }
    }

    /// How fast it is. `None`: it has hardly begun, or stands still.
    pub(crate) fn speed(&self, progress: &Progress) -> Option<Speed> {
        let (&(since, from), &(until, done)) = (self.told.front()?, self.told.back()?);
        let time = until.checked_sub(since).filter(|time| *time >= FIRST)?;
        let rate = u128::from(done - from) * 1000 / time.as_millis();
        let rate = u64::try_from(rate).ok().filter(|rate| *rate > 0)?;
        let total = progress.total.filter(|total| *total > done);
        let sure = until - self.began >= FIRST_LEFT;
        let left = total.filter(|_| sure).map(|total| Duration::from_secs((total - done) / rate));
        Some(Speed { rate, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seconds_count() {
        let at = |done| Progress {
            done: Some(done),
            total: Some(10_000),
            unit: Some("bytes"),
            ..Progress::default()
        };
        let mut track = Track::default();
        let mut tell = |second: u64, done: u64| {
            track.took(Duration::from_secs(second), &at(done));
            track.speed(&at(done)).map(|speed| (speed.rate, speed.left.map(|left| left.as_secs())))
        };
        assert_eq!(tell(100, 0), None, "what came before it counted is no part of it");
        assert_eq!(tell(101, 10), Some((10, None)));
        assert_eq!(tell(110, 100), Some((10, Some(990))));
        for second in 111..=150 {
            tell(second, 100 + (second - 110) * 100);
        }
        assert_eq!(tell(151, 4200), Some((100, Some(58))), "ten times as fast by now");
        assert_eq!(tell(190, 4200), None, "it stands still");
        assert_eq!(tell(191, 5), None, "it counts anew");
        assert_eq!(tell(193, 25), Some((10, None)));
        track.took(Duration::from_secs(194), &Progress::default());
        assert_eq!(track.speed(&Progress::default()), None, "it counts no more");
    }
}
