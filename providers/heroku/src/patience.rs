//! How often to ask while something is under way elsewhere: soon at first, then at a polite pace. Pure.

use std::time::Duration;

/// Waits that grow from `first` to `longest`, doubling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    next: Duration,
    longest: Duration,
}

impl Pace {
    /// A pace that begins with `first` and ends at `longest`.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The wait before the next question.
    pub(crate) fn wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (self.next * 2).min(self.longest);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_then_stays() {
        let mut pace = Pace::new(Duration::from_millis(500), Duration::from_secs(3));
        let waits: Vec<u128> = (0..5).map(|_| pace.wait().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 3000, 3000]);
    }
}
