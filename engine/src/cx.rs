//! A resource's only window on the world while it looks or acts.
//!
//! Clock, sleep, cancellation, environment, progress and the journal's notes come through [`Cx`], so that tests can
//! pause time, and fail or kill at every effect.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::event::{Event, Progress, Sink};
use crate::fault::{Class, Fault};
use crate::foreign::shown;
use crate::graph::Graph;
use crate::pace::{Measured, Pace};
use crate::resource::{Intent, Remembered};
use crate::state::State;
use crate::state::rename::BEGUN_AS;
use crate::tree::Handle;

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
    /// Waits for `time` to pass.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// The clock on the wall.
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the real clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Takes down, durably, what must not be forgotten while an act is under way.
pub trait Notes: Send + Sync {
    /// Returns once `note` is on disk.
    ///
    /// # Errors
    /// The journal could not be written; the act must stop.
    fn note(&self, address: &Address, note: Json) -> Result<(), Fault>;

    /// Returns if this run may still change something: nobody else has the lock.
    ///
    /// # Errors
    /// Another run has it by now, and may be working on the same things: nothing more may be requested.
    fn may_act(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Forgets every note; for reads.
pub struct NoNotes;

impl Notes for NoNotes {
    fn note(&self, _: &Address, _: Json) -> Result<(), Fault> {
        Ok(())
    }
}

/// Called before each outward effect; a test fails or kills there.
pub trait Hook: Send + Sync {
    /// `effect` names what is about to happen, e.g. `POST /apps`.
    ///
    /// # Errors
    /// Whatever the test wants to happen instead.
    fn before(&self, address: &Address, effect: &str) -> Result<(), Fault>;
}

/// What one run shares among all resources.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub sink: Arc<dyn Sink>,
    pub notes: Arc<dyn Notes>,
    pub hook: Option<Arc<dyn Hook>>,
    /// Cancelled by the first Ctrl-C.
    pub cancel: CancellationToken,
    /// The environment, read once.
    pub env: Arc<BTreeMap<String, String>>,
    /// The folder of the spec; relative paths and commands start there.
    pub base: PathBuf,
    /// The lineage of the state: a random id that never changes.
    pub lineage: String,
    /// The spec's `name`.
    pub migration: String,
    /// The spec's `run` label.
    pub run: String,
    /// What is remembered of the resources of a type that an address depends on, directly or not.
    pub remembered: Recall,
    /// The intent of an address whose act was begun and has not succeeded.
    pub intent: RecallIntent,
    /// Reads another resource of the spec anew; works only where something is carried out.
    pub reread: Reread,
}

/// Reads the resource at an address: what it is now, secrets included. `None`: it is not in the spec, or not there.
pub type Reread =
    Arc<dyn Fn(Address) -> BoxFuture<'static, Result<Option<Arc<Handle>>, Fault>> + Send + Sync>;

/// Reads nothing; where nothing is carried out.
pub fn no_rereading() -> Reread {
    Arc::new(|_| Box::pin(std::future::ready(Ok(None))))
}

impl World {
    /// With `state` to recall: what planning is done against.
    #[must_use]
    pub fn recalling(self, state: &Arc<State>, graph: &Arc<Graph>) -> Self {
        let (begun, known, graph) = (Arc::clone(state), Arc::clone(state), Arc::clone(graph));
        Self {
            intent: Arc::new(move |address| begun.begun(address).cloned()),
            remembered: Arc::new(move |address, name| known.recall(&graph, address, name)),
            ..self
        }
    }

    /// With nothing to recall, so that a state handed out for planning is its owner's again.
    #[must_use]
    pub fn forgetful(self) -> Self {
        Self { intent: Arc::new(|_| None), remembered: Arc::new(|_, _| Vec::new()), ..self }
    }
}

/// Asks the state for what an unfinished act was begun with, and its notes.
pub type RecallIntent = Arc<dyn Fn(&Address) -> Option<Intent> + Send + Sync>;

/// Asks the state: `(address, type)` gives every dependency of that type with what is remembered of it.
pub type Recall = Arc<dyn Fn(&Address, &str) -> Vec<(Address, Remembered)> + Send + Sync>;

/// The context of one resource.
#[derive(Clone)]
pub struct Cx {
    /// Whose turn it is.
    pub address: Address,
    /// Terraform's word for the act under way, for progress lines.
    pub verb: &'static str,
    pub world: World,
    started: Timestamp,
    measured: Arc<Mutex<Measured>>,
}

impl Cx {
    /// A context for `address`.
    pub fn new(world: World, address: Address, verb: &'static str) -> Self {
        let started = world.clock.now();
        let measured = Measured { began: started, bytes: None };
        Self { address, verb, world, started, measured: Arc::new(Mutex::new(measured)) }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// How long this act has been under way.
    pub fn elapsed(&self) -> Duration {
        self.now().duration_since(self.started).try_into().unwrap_or_default()
    }

    /// Waits, unless the user asks to stop first.
    ///
    /// # Errors
    /// [`Class::Interrupted`]. An act whose work goes on elsewhere turns it into [`Class::StillRunning`].
    pub async fn sleep(&self, time: Duration) -> Result<(), Fault> {
        tokio::select! {
            () = self.world.cancel.cancelled() => Err(Fault::new(Class::Interrupted, "stopped on request")),
            () = self.world.clock.sleep(time) => Ok(()),
        }
    }

    /// Whether the user asked to stop.
    pub fn cancelled(&self) -> bool {
        self.world.cancel.is_cancelled()
    }

    /// Tells how far it is.
    pub fn progress(&self, progress: Progress) {
        self.world.sink.event(Event::Progress {
            address: self.address.clone(),
            verb: self.verb,
            elapsed: self.elapsed(),
            progress,
        });
    }

    /// Takes down how many bytes this run has moved or compared in all, in the measure of
    /// [`crate::resource::Resource::size`]. If it succeeds, the state keeps them with the time it took, and later plans
    /// tell by them how long it will take. Said once it is known, at the end at the latest.
    pub fn moved(&self, bytes: u64) {
        self.measured().bytes = Some(bytes);
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An attempt begins; what was measured of the last one does not count.
    pub(crate) fn attempt(&self) {
        *self.measured() = Measured { began: self.now(), bytes: None };
    }

    /// How fast the attempt was that has just succeeded.
    pub(crate) fn pace(&self) -> Option<Pace> {
        let (at, measured) = (self.now(), *self.measured());
        let took: Duration = at.duration_since(measured.began).try_into().ok()?;
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Some(Pace { at, milliseconds, bytes: measured.bytes })
    }

    /// Tells people something that they should read.
    pub fn warn(&self, message: impl Into<String>) {
        let message = shown(&message.into());
        self.world.sink.event(Event::Warning { address: self.address.clone(), message });
    }

    /// Hands on output: a command's line, a verification's table.
    pub fn output(&self, text: impl Into<String>) {
        let text = shown(&text.into());
        self.world.sink.event(Event::Output { address: self.address.clone(), text });
    }

    /// Writes `note` to the journal and returns when it is durable. Notes of one intent are merged, key by key, and
    /// handed to `settle` and to the next `act` as [`crate::resource::Intent::notes`].
    ///
    /// # Errors
    /// The journal cannot be written: stop before the effect.
    pub fn note(&self, note: Json) -> Result<(), Fault> {
        self.world.notes.note(&self.address, note)
    }

    /// Announces an outward effect, just before each request that changes something.
    ///
    /// # Errors
    /// This run has lost the lock; or what a test injects that is watching.
    pub fn effect(&self, what: &str) -> Result<(), Fault> {
        self.world.notes.may_act()?;
        self.world.hook.as_ref().map_or(Ok(()), |hook| hook.before(&self.address, what))
    }

    /// What the resource at `address` is now, secrets included. For [`crate::resource::Resource::close`], which may
    /// come long after the opening and in another process: connection strings cannot be noted. `None`: it is not in
    /// the spec, or not there.
    ///
    /// # Errors
    /// It could not be read; a retry is safe.
    pub async fn reread(&self, address: &Address) -> Result<Option<Arc<Handle>>, Fault> {
        (self.world.reread)(address.clone()).await
    }

    /// An environment variable, if set and not empty.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.world.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The folder of the spec.
    pub fn base(&self) -> &Path {
        &self.world.base
    }

    /// The natural key for things without a name of their own: `pgferry-` and 8 hex digits of lineage and address.
    ///
    /// What was begun before the resource was renamed keeps the one that it was begun with.
    pub fn natural_key(&self) -> String {
        use sha2::{Digest, Sha256};
        let begun = (self.world.intent)(&self.address);
        let begun_as = begun.as_ref().and_then(|intent| intent.notes.get(BEGUN_AS)?.as_str());
        let address = begun_as.unwrap_or(self.address.as_str());
        let digest = Sha256::digest(format!("{}/{address}", self.world.lineage));
        let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("pgferry-{hex}")
    }
}
