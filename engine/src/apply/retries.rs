//! How often, and for how long, a failing act is tried again: one rule for acts, openings, closings, removals and proofs.
//!
//! Bounded by tries and by time, since users may be locked out meanwhile. Pure but for the clock of its [`Cx`]; tested
//! beside, and through `engine/tests`.

use std::time::Duration;

use jiff::Timestamp;

use crate::cx::Cx;
use crate::event::Event;
use crate::fault::{Class, Fault};

const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long something may go on failing before it is given up.
const BUDGET: Duration = Duration::from_secs(300);

/// The failures of one act so far.
#[derive(Default)]
pub(super) struct Retries {
    failed: u32,
    since: Option<Timestamp>,
}

impl Retries {
    /// Waits before another try after `fault`, and tells of it; whether it passes, or nobody can tell if it happened.
    ///
    /// # Errors
    /// `fault` itself where another try would not help, comes too late, or the user asked to stop. That another run has
    /// the lock by now.
    pub(super) async fn again(&mut self, cx: &Cx, fault: Fault) -> Result<(), Fault> {
        let Some(after) = self.pause(&fault, cx.now()) else { return Err(fault) };
        let (address, message) = (cx.address.clone(), fault.chain());
        cx.world.sink.event(Event::Retrying { address, message, after });
        cx.sleep(after).await.map_err(|_| fault)?;
        cx.world.notes.may_act()
    }

    fn pause(&mut self, fault: &Fault, now: Timestamp) -> Option<Duration> {
        self.failed += 1;
        let since = *self.since.get_or_insert(now);
        let spent = now.duration_since(since).unsigned_abs();
        let backoff = FIRST_PAUSE * 2_u32.pow(self.failed.min(TRIES) - 1);
        let wait = match fault.class {
            Class::Retry { after } => after.unwrap_or(backoff),
            Class::Unknown => backoff,
            _ => return None,
        };
        (self.failed < TRIES && spent + wait <= BUDGET).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_bounded_by_number_and_by_time() {
        let fault = |class| Fault::new(class, "it");
        let busy = |after| fault(Class::Retry { after });
        let start = Timestamp::UNIX_EPOCH;
        let later = |seconds: i64| start + jiff::SignedDuration::from_secs(seconds);

        let mut retries = Retries::default();
        let waits: Vec<_> = (0..5).map(|_| retries.pause(&fault(Class::Unknown), start)).collect();
        assert_eq!(
            waits,
            [1, 2, 4, 8]
                .map(|s| Some(Duration::from_secs(s)))
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>()
        );

        let asked = Some(Duration::from_secs(7));
        assert_eq!(Retries::default().pause(&busy(asked), start), asked);
        let a_day = Some(Duration::from_secs(86_400));
        assert_eq!(Retries::default().pause(&busy(a_day), start), None);
        assert_eq!(Retries::default().pause(&fault(Class::Denied), start), None);

        let mut slow = Retries::default();
        assert!(slow.pause(&busy(None), start).is_some());
        assert!(slow.pause(&busy(None), later(290)).is_some());
        assert_eq!(slow.pause(&busy(None), later(299)), None);
    }
}
