//! How often to ask while something is under way elsewhere: soon at first, then at a polite pace. Pure.

use std::time::Duration;

/// Waits that grow from `first` to `longest`, each a tenth of what has passed: so little is lost when it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    first: Duration,
    longest: Duration,
    passed: Duration,
}

impl Pace {
    /// A pace that begins with `first` and ends at `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, passed: Duration::ZERO }
    }

    /// The wait before the next question.
    pub(crate) fn wait(&mut self) -> Duration {
        let now = (self.passed / 10).clamp(self.first, self.longest);
        self.passed += now;
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_what_has_passed_and_then_stays() {
        let mut pace = Pace::new(Duration::from_millis(500), Duration::from_secs(3));
        let waits: Vec<u128> = (0..40).map(|_| pace.wait().as_millis()).collect();
        assert_eq!(waits[..12], [500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 550]);
        assert_eq!(waits[38..], [3000, 3000]);
        let passed: u128 = waits[..20].iter().sum();
        assert!(waits[20] * 10 <= passed, "{waits:?}");
    }
}
