//! What runs at this moment, as events told it: who is waited for after Ctrl-C, who has been silent for long.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgferry_engine::address::Address;
use pgferry_engine::event::{Event, Progress};
use tokio::time::Instant;

use super::speed::{Speed, Track};
use super::words::clock;

/// An act under way.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) verb: &'static str,
    pub(crate) since: Instant,
    /// When it was last spoken of.
    pub(crate) told: Option<Instant>,
    /// What it last said.
    pub(crate) progress: Progress,
    track: Track,
}

static RUNNING: Mutex<BTreeMap<Address, Act>> = Mutex::new(BTreeMap::new());

fn running() -> MutexGuard<'static, BTreeMap<Address, Act>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes an event in.
pub(crate) fn took(event: &Event) {
    match event {
        Event::Started { address, verb, .. } => {
            let now = Instant::now();
            let (progress, track) = (Progress::default(), Track::default());
            let act = Act { verb, since: now, told: None, progress, track };
            running().insert(address.clone(), act);
        }
        Event::Progress { address, progress, elapsed, .. } => {
            if let Some(act) = running().get_mut(address) {
                act.track.took(*elapsed, progress);
                act.progress = progress.clone();
            }
        }
        Event::Succeeded { address, .. }
        | Event::Failed { address, .. }
        | Event::Unsettled { address, .. } => {
            running().remove(address);
        }
        _ => {}
    }
}

/// Notes that an act is spoken of now. False if it was less than `pause` ago, or if it has hardly begun: then nothing is
/// to be said.
pub(crate) fn may_be_told(address: &Address, pause: Duration) -> bool {
    let mut running = running();
    // What is not known to run has nothing before it either.
    let Some(act) = running.get_mut(address) else { return true };
    let waited = match act.told {
        Some(told) => told.elapsed() >= pause,
        None => act.since.elapsed() >= pause / 5,
    };
    if waited {
        act.told = Some(Instant::now());
    }
    waited
}

/// How fast an act is at present.
pub(crate) fn speed(address: &Address) -> Option<Speed> {
    let running = running();
    let act = running.get(address)?;
    act.track.speed(&act.progress)
}

/// Every act that was not spoken of for `pause`, as an event that says that it goes on.
pub(crate) fn silent_for(pause: Duration) -> Vec<Event> {
    let running = running();
    let silent = running.iter().filter(|(_, act)| act.told.unwrap_or(act.since).elapsed() >= pause);
    let events = silent.map(|(address, act)| Event::Progress {
        address: address.clone(),
        verb: act.verb,
        elapsed: act.since.elapsed(),
        progress: act.progress.clone(),
    });
    events.collect()
}

/// What runs, in words: "dump (running for 12s)". The first few of many.
pub(crate) fn waited_for() -> Option<String> {
    let running = running();
    let acts = running.iter().map(|(address, act)| {
        format!("{address} ({} for {})", act.verb, clock(act.since.elapsed()))
    });
    (!running.is_empty()).then(|| super::summary::first_of(acts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_spoken_of_until_it_is_over() {
        let address = Address::new("spoken-of");
        let started = Event::Started { address: address.clone(), verb: "running", id: None };
        took(&started);
        assert!(!may_be_told(&address, Duration::from_secs(5)), "it has hardly begun");
        assert!(may_be_told(&address, Duration::ZERO));
        assert!(!may_be_told(&address, Duration::from_secs(5)), "it was just spoken of");
        let progress = Progress { done: Some(7), unit: Some("bytes"), ..Progress::default() };
        let elapsed = Duration::ZERO;
        let (of, verb) = (address.clone(), "running");
        took(&Event::Progress { address: of, verb, elapsed, progress: progress.clone() });
        let silent = silent_for(Duration::ZERO);
        let [Event::Progress { address: of, progress: said, .. }] = &silent[..] else {
            panic!("{silent:?}")
        };
        assert_eq!((of, said), (&address, &progress), "with all that it last said");
        assert!(waited_for().is_some_and(|text| text.starts_with("spoken-of (running for ")));
        took(&Event::Unsettled { address, verb, elapsed, message: "gone".to_owned() });
        assert!(silent_for(Duration::ZERO).is_empty() && waited_for().is_none());
    }
}
