//! A running apply as it goes: on stderr for people, on stdout as JSON lines for programs.
//!
//! An act that says nothing for a while is said to go on; a restore may take hours.

use std::sync::{Arc, Weak};
use std::time::Duration;

use pgferry_engine::address::Address;
use pgferry_engine::event::{Event, Sink};

use super::json::lines;
use super::words::{bracket, capital, clock, far, noun, part};
use super::{bars, running, talk, tell};

/// The least time between two lines of progress of one resource, for people and for programs.
const QUIET: Duration = Duration::from_secs(5);
const BRIEF: Duration = Duration::from_secs(1);

/// The longest time in which nothing is said of a running act.
const SILENCE: Duration = Duration::from_secs(10);

/// Tells the type of a resource.
pub(crate) type TypeOf = Arc<dyn Fn(&Address) -> String + Send + Sync>;

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    People,
    Programs,
}

/// Takes events and tells them.
pub(crate) struct Teller {
    audience: Audience,
    type_of: TypeOf,
}

impl Teller {
    /// A teller whose running acts are spoken of from time to time, as long as somebody holds it.
    pub(crate) fn start(audience: Audience, type_of: TypeOf) -> Arc<Self> {
        let teller = Arc::new(Self { audience, type_of });
        let weak: Weak<Self> = Arc::downgrade(&teller);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(BRIEF).await;
                let Some(teller) = weak.upgrade() else { return };
                teller.beat();
            }
        });
        teller
    }

    fn beat(&self) {
        if self.audience == Audience::People && bars::are_shown() {
            for event in running::silent_for(Duration::ZERO) {
                if let Event::Progress { address, verb, elapsed, progress } = &event {
                    bars::update(address, verb, *elapsed, progress);
                }
            }
        }
        for event in running::silent_for(SILENCE) {
            self.event(event);
        }
    }
}

impl Sink for Teller {
    fn event(&self, event: Event) {
        running::took(&event);
        if let Event::Progress { address, verb, elapsed, progress } = &event {
            bars::update(address, verb, *elapsed, progress);
            let pause = if self.audience == Audience::People { QUIET } else { BRIEF };
            if !running::may_be_told(address, pause) {
                return;
            }
        }
        if let Event::Succeeded { address, .. }
        | Event::Failed { address, .. }
        | Event::Unsettled { address, .. } = &event
        {
            bars::remove(address);
        }
        if super::somebody_listens() {
            tell(&lines::event(&event, &*self.type_of));
        }
        if self.audience == Audience::People {
            for_people(event);
        }
    }
}

fn for_people(event: Event) {
    match event {
        // A plan is made quietly.
        Event::Reading { .. } | Event::Read { .. } => {}
        Event::Started { address, verb, id } => {
            talk(&format!("{address}: {}...{}", capital(verb), bracket(id.as_deref())));
        }
        // Bars say it already.
        Event::Progress { .. } if bars::are_shown() => {}
        Event::Progress { address, verb, elapsed, progress } => {
            let far = far(&progress, running::speed(&address));
            talk(&format!("{address}: Still {verb}... [{} elapsed]{far}", clock(elapsed)));
            for table in &progress.parts {
                talk(&format!("{address}:   {}", part(table)));
            }
        }
        Event::Succeeded { address, verb, elapsed, id } => {
            let (time, id) = (clock(elapsed), bracket(id.as_deref()));
            talk(&format!("{address}: {} complete after {time}{id}", noun(verb)));
        }
        Event::Unsettled { address, verb, elapsed, message } => {
            let time = clock(elapsed);
            talk(&format!("{address}: No longer watched while {verb}, after {time}: {message}"));
        }
        Event::Failed { address, verb, elapsed, message, .. } => {
            let time = clock(elapsed);
            talk(&format!("{address}: {} failed after {time}: {message}", noun(verb)));
        }
        Event::Finding { address, finding } => talk(&super::plan::finding(&address, &finding)),
        Event::Warning { address, message } => {
            super::talk_warning(&format!("{address}: {message}"), None);
        }
        Event::Output { address, text } => {
            for line in text.lines() {
                talk(&format!("{address}: {line}"));
            }
        }
        Event::Retrying { address, message, after } => {
            talk(&format!("{address}: trying again in {}: {message}", clock(after)));
        }
        Event::Holding { address, running, what } => {
            talk(&super::summary::holding(&address, &running, &what));
        }
    }
}
