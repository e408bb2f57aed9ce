//! `timeouts`: an act that takes longer than its block allows is told to stop, then left; what became of it is not
//! known.
//!
//! Knows clocks and tokens, no resource. Tested in `tests/planning` of this crate, with a clock of its own.

use std::future::Future;
use std::time::Duration;

use crate::address::Address;
use crate::cx::Cx;
use crate::fault::{Class, Fault};
use crate::spec::Spec;

/// How long an act that was told to stop may take to leave things in order.
const GRACE: Duration = Duration::from_secs(30);

/// The longest time of one act.
#[derive(Clone, Copy, Debug)]
pub(in crate::apply) struct Limit {
    /// `None`: as long as it takes.
    pub(in crate::apply) time: Option<Duration>,
    /// The key under `timeouts:`.
    pub(in crate::apply) key: &'static str,
}

impl Limit {
    /// What the block of `address` says of `key`; without a block, no limit.
    pub(in crate::apply) fn of(spec: &Spec, address: &Address, key: &'static str) -> Self {
        let said = spec.resources.get(address).map(|block| block.timeouts).unwrap_or_default();
        let time = match key {
            "create" => said.create,
            "update" => said.update,
            _ => said.delete,
        };
        Self { time, key }
    }

    /// A context that this limit can stop; Ctrl-C stops it too, if it stopped `cx`.
    pub(in crate::apply) fn stoppable(self, cx: &Cx) -> Cx {
        let mut cx = cx.clone();
        if self.time.is_some() {
            cx.world.cancel = cx.world.cancel.child_token();
        }
        cx
    }

    /// What `act` comes to, which works with `cx`, a context of [`Limit::stoppable`].
    ///
    /// # Errors
    /// Its own; or [`Class::Unknown`], if it did not end in time: it is told to stop, and given up if it does not.
    pub(in crate::apply) async fn hold<T>(
        self,
        cx: &Cx,
        act: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let Some(time) = self.time else { return act.await };
        let mut act = std::pin::pin!(act);
        let clock = &cx.world.clock;
        tokio::select! {
            // What is over as the time is up was in time.
            biased;
            ended = &mut act => return ended,
            () = clock.sleep(time) => {}
        }
        cx.world.cancel.cancel();
        let ended = tokio::select! {
            biased;
            ended = &mut act => Some(ended),
            () = clock.sleep(GRACE) => None,
        };
        let cause = match ended {
            Some(Ok(done)) => return Ok(done),
            Some(Err(fault)) => Some(fault),
            None => None,
        };
        let (address, key) = (&cx.address, self.key);
        let message = format!(
            "{} `{address}` did not end within {} (`timeouts.{key}`) and was stopped; it may have happened, or go on elsewhere",
            cx.verb,
            shown(time)
        );
        let fault = Fault::new(Class::Unknown, message).help(format!(
            "the next apply finds out what became of it and goes on; if it needs longer: `timeouts: {{ {key}: … }}` of `{address}`"
        ));
        Err(match cause {
            Some(cause) => fault.because(cause.chain()),
            None => fault,
        })
    }
}

/// `1h30m`.
fn shown(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_they_are_written() {
        assert_eq!(shown(Duration::from_secs(1800)), "30m");
        assert_eq!(shown(Duration::from_secs(5405)), "1h30m5s");
    }
}
