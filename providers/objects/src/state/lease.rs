//! The lock: a lease in one object, renewed while it is held, taken over by compare-and-swap when it has run out.
//!
//! Whether it has run out is told by the store's clock alone: how old the object is, against the age of one put there
//! a moment ago. Its holder counts from before each renewal, by its own clock, so it stops before anybody may take
//! over, however the clocks differ. The object stays when the lock is given back; it then says so. Tested in
//! `tests/state.rs`.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use object_store::path::Path;
use pgferry_engine::cx::Clock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use super::probe::store_now;
use super::remote::{Found, Remote, Version};
use crate::error::ObjectError;

/// How long a lease lasts, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(60);
const RENEWAL: Duration = Duration::from_secs(15);
/// Its holder trusts it for so much less, whoever takes over waits for so much more.
const SLACK: Duration = Duration::from_secs(5);
/// How often whoever waits looks again.
const LOOK: Duration = Duration::from_secs(2);
/// What was seen of a lock so recently is as good as looking again.
const FRESH: Duration = Duration::from_secs(1);
/// What names a lock that says nothing of itself.
const UNNAMED: &str = "unnamed";
/// How long giving it back may take.
pub(super) const FAREWELL: Duration = Duration::from_secs(10);

/// What the object says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// Random; also what names the lock to people.
    pub(super) id: String,
    is: Is,
    /// `user@host, process 7`.
    holder: String,
    purpose: String,
    taken_at: Timestamp,
    /// By the holder's clock, for people.
    expires_at: Timestamp,
    lease_seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Is {
    Held,
    /// Given back, with nothing on its way.
    Free,
    /// Given back by somebody who may still have a write on its way.
    Left,
    /// Freed by `force-unlock`; its holder may be alive.
    Forced,
}

/// Why the lock is not to be had.
pub(super) enum Refusal {
    /// The words for people, and the id.
    Held(String, String),
    /// The store does not do what a lock needs.
    Unfit(&'static str),
    /// This process is about to end.
    Leaving,
    Failed(ObjectError),
}

impl From<ObjectError> for Refusal {
    fn from(error: ObjectError) -> Self {
        Self::Failed(error)
    }
}

/// This process is about to end, and must not leave a lock that nobody knows of.
#[derive(Default)]
pub(super) struct Farewell {
    pub(super) is_near: AtomicBool,
    /// Rung when it is near, for who waits for a lock.
    pub(super) bell: Notify,
    /// Had by who takes a lock, until it is known that it is taken.
    pub(super) turn: Mutex<()>,
}

/// Where the lock is, and whose clock counts.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) remote: Remote,
    pub(super) key: Path,
    pub(super) scratch: Path,
    pub(super) clock: Arc<dyn Clock>,
}

/// A lock that was taken.
pub(super) struct Lease {
    desk: Desk,
    inner: Mutex<Inner>,
    /// Rung when it is to be renewed no more.
    pub(super) enough: Notify,
    /// A former holder may still have a write on its way.
    pub(super) is_uneasy: bool,
}

struct Inner {
    note: Note,
    version: Version,
    valid_until: Timestamp,
    /// When it was last seen at the store to be ours.
    seen: Timestamp,
    /// Who has it now.
    lost: Option<String>,
    /// A write ended without an answer.
    is_unsure: bool,
}

impl Desk {
    /// Takes the lock, waiting up to `patience`, unless this process is about to end.
    pub(super) async fn take(
        &self,
        holder: &str,
        purpose: &str,
        patience: Duration,
        farewell: &Farewell,
    ) -> Result<Lease, Refusal> {
        let mut waited = Duration::ZERO;
        loop {
            let bell = farewell.bell.notified();
            if farewell.is_near.load(Ordering::SeqCst) {
                return Err(Refusal::Leaving);
            }
            let now = self.clock.now();
            let note = Note {
                id: nonce().map_err(|_| Refusal::Unfit("this machine gives no random numbers"))?,
                is: Is::Held,
                holder: holder.to_owned(),
                purpose: purpose.to_owned(),
                taken_at: seconds(now),
                expires_at: seconds(after(now, LEASE)),
                lease_seconds: LEASE.as_secs(),
            };
            let (taken, is_uneasy) = match self.remote.get(&self.key).await? {
                None => (self.remote.create(&self.key, note.bytes()).await?, false),
                Some(found) => match self.free(&found).await? {
                    Ok(is_uneasy) => {
                        let bytes = note.bytes();
                        (self.remote.replace(&self.key, bytes, &found.version).await?, is_uneasy)
                    }
                    Err((words, id)) if waited >= patience => {
                        return Err(Refusal::Held(words, id));
                    }
                    Err(_) => {
                        let step = LOOK.min(patience - waited);
                        tokio::select! {
                            () = self.clock.sleep(step) => {}
                            () = bell => {}
                        }
                        waited += step;
                        continue;
                    }
                },
            };
            // Else somebody was quicker, and holds it now.
            let Some(version) = taken else { continue };
            let there = self.remote.get(&self.key).await?;
            if there.is_none_or(|there| there.version != version) {
                return Err(Refusal::Unfit("the store does not keep the lock that was put there"));
            }
            let valid_until = after(now, LEASE - SLACK);
            let seen = self.clock.now();
            let inner = Inner { note, version, valid_until, seen, lost: None, is_unsure: false };
            let desk = self.clone();
            return Ok(Lease { desk, inner: Mutex::new(inner), enough: Notify::new(), is_uneasy });
        }
    }

    /// Whether it can be taken, and if so, whether its former holder may still write; else who holds it, and its id.
    async fn free(&self, found: &Found) -> Result<Result<bool, (String, String)>, ObjectError> {
        let note = Note::read(found);
        if let Some(note) = note.as_ref().filter(|note| note.is != Is::Held) {
            return Ok(Ok(note.is != Is::Free));
        }
        let lease = note.as_ref().map_or(LEASE, |note| Duration::from_secs(note.lease_seconds));
        let age = store_now(&self.remote, &self.scratch).await?.duration_since(found.modified);
        let left = SignedDuration::try_from(lease + SLACK).unwrap_or(SignedDuration::MAX) - age;
        if left <= SignedDuration::ZERO {
            return Ok(Ok(true));
        }
        let ends = format!("; unless it is renewed, it ends by itself in {} s", left.as_secs());
        Ok(Err(match note {
            Some(note) => (format!("{}{ends}", note.words()), note.id),
            None => (format!("somebody who left no name{ends}"), UNNAMED.to_owned()),
        }))
    }

    /// Who holds it, or held it and died not long ago, in words.
    pub(super) async fn holder(&self) -> Result<Option<String>, ObjectError> {
        let note = self.remote.get(&self.key).await?.as_ref().and_then(Note::read);
        let held = note.filter(|note| note.is == Is::Held && note.expires_at > self.clock.now());
        Ok(held.map(|note| note.words()))
    }

    /// Frees it by force; gives what was found, in words.
    pub(super) async fn force(&self, id: Option<&str>) -> Result<String, Refusal> {
        let Some(found) = self.remote.get(&self.key).await? else {
            return Ok("nobody has ever locked it".to_owned());
        };
        let note = Note::read(&found);
        if let Some(note) = note.as_ref().filter(|note| note.is != Is::Held) {
            return Ok(format!("it is not locked: {} has ended", note.words()));
        }
        let now = seconds(self.clock.now());
        let note = note.unwrap_or_else(|| Note {
            id: UNNAMED.to_owned(),
            is: Is::Forced,
            holder: "somebody who left no name".to_owned(),
            purpose: "unknown".to_owned(),
            taken_at: now,
            expires_at: now,
            lease_seconds: LEASE.as_secs(),
        });
        if id != Some(&note.id)
            && let Err((words, id)) = self.free(&found).await?
        {
            return Err(Refusal::Held(words, id));
        }
        let words = note.words();
        let forced = Note { is: Is::Forced, ..note };
        match self.remote.replace(&self.key, forced.bytes(), &found.version).await? {
            Some(_) => Ok(format!("freed; it was locked by {words}")),
            None => {
                let id = forced.id;
                Err(Refusal::Held(format!("{words}, who is alive and has just renewed it"), id))
            }
        }
    }
}

impl Lease {
    /// Returns if nobody else can have taken the lock by now; else who has it.
    pub(super) async fn ensure(&self) -> Result<(), String> {
        let mut inner = self.inner.lock().await;
        if let Some(lost) = &inner.lost {
            return Err(lost.clone());
        }
        if self.desk.clock.now() < inner.valid_until {
            return Ok(());
        }
        self.renew(&mut inner).await
    }

    /// As [`Lease::ensure`], and looks at the store whether it was taken away before it ran out, as by `force-unlock`. What
    /// was seen a second ago counts; a store that cannot be reached leaves it at what the clock says.
    pub(super) async fn confirm(&self) -> Result<(), String> {
        self.ensure().await?;
        let mut inner = self.inner.lock().await;
        let now = self.desk.clock.now();
        if now.duration_since(inner.seen).unsigned_abs() < FRESH {
            return Ok(());
        }
        let Ok(Ok(found)) = timeout(LOOK, self.desk.remote.get(&self.desk.key)).await else {
            return Ok(());
        };
        let there = found.as_ref().and_then(Note::read);
        if there.as_ref().is_some_and(|there| there.id == inner.note.id && there.is == Is::Held) {
            inner.seen = now;
            return Ok(());
        }
        let lost = inner.lost_to(there);
        inner.lost = Some(lost.clone());
        Err(lost)
    }

    /// Renews it until [`Lease::enough`] rings or it is lost.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.enough.notified() => return,
                () = self.desk.clock.sleep(RENEWAL) => {}
            }
            let mut inner = self.inner.lock().await;
            // Not being able to is no loss yet; whoever needs it tries again.
            let _ = self.renew(&mut inner).await;
            if inner.lost.is_some() {
                return;
            }
        }
    }

    async fn renew(&self, inner: &mut Inner) -> Result<(), String> {
        let now = self.desk.clock.now();
        let expires_at = seconds(after(now, LEASE));
        let note = Note { expires_at, ..inner.note.clone() };
        match self.put(inner, note).await {
            Ok(true) => {
                inner.valid_until = after(now, LEASE - SLACK);
                Ok(())
            }
            Ok(false) => Err(inner.lost.clone().unwrap_or_default()),
            Err(error) if now < inner.valid_until => {
                let _passing = error;
                Ok(())
            }
            Err(error) => Err(format!("it could not be renewed in time ({})", chain(&error))),
        }
    }

    /// Puts what the object is to say, if it is still ours; else writes down who has it.
    async fn put(&self, inner: &mut Inner, note: Note) -> Result<bool, ObjectError> {
        let Desk { remote, key, .. } = &self.desk;
        for _ in 0..2 {
            if let Some(version) = remote.replace(key, note.bytes(), &inner.version).await? {
                (inner.version, inner.note) = (version, note);
                inner.seen = self.desk.clock.now();
                return Ok(true);
            }
            let found = remote.get(key).await?;
            let there = found.as_ref().and_then(Note::read);
            match (found, there) {
                // An earlier renewal whose answer was lost.
                (Some(found), Some(there)) if there.id == note.id && there.is == Is::Held => {
                    inner.version = found.version;
                }
                (_, there) => {
                    inner.lost = Some(inner.lost_to(there));
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// From now on a write of ours may come late; whoever takes the lock next is told.
    pub(super) async fn be_unsure(&self) {
        self.inner.lock().await.is_unsure = true;
    }

    /// Gives it back; if that fails, it ends by itself.
    pub(super) async fn release(&self) {
        let released = async {
            let mut inner = self.inner.lock().await;
            if inner.lost.is_none() {
                let is = if inner.is_unsure { Is::Left } else { Is::Free };
                let note = Note { is, ..inner.note.clone() };
                let _ = self.put(&mut inner, note).await;
            }
        };
        let _ = timeout(FAREWELL, released).await;
    }
}

impl Inner {
    /// In words, what became of it, by what is there instead.
    fn lost_to(&self, there: Option<Note>) -> String {
        match there {
            Some(there) if there.id == self.note.id => {
                "it was freed by `pgferry force-unlock`".to_owned()
            }
            Some(there) => format!("it was taken over by {}", there.words()),
            None => "it was taken over by somebody".to_owned(),
        }
    }
}

impl Note {
    fn read(found: &Found) -> Option<Self> {
        serde_json::from_slice(&found.bytes).ok()
    }

    fn bytes(&self) -> Bytes {
        let mut text = serde_json::to_vec_pretty(self).expect("a note has a form as JSON");
        text.push(b'\n');
        text.into()
    }

    fn words(&self) -> String {
        format!("{} ({}) since {}", self.holder, self.purpose, self.taken_at)
    }
}

/// Its message and what the store said.
pub(super) fn chain(error: &ObjectError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn after(instant: Timestamp, time: Duration) -> Timestamp {
    instant.checked_add(time).unwrap_or(Timestamp::MAX)
}

fn seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

/// 16 random hex digits.
pub(super) fn nonce() -> std::io::Result<String> {
    let mut bytes = [0_u8; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
