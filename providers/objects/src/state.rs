//! A state in an object store, shared by machines that come and go.
//!
//! The state is replaced by compare-and-swap, the lock is a lease, the journal is a row of objects: each is decided by
//! the store at one instant, so two runs cannot both win, whatever happens to either. Knows bytes, not what a state
//! says. Tested in `tests/state.rs`: the promises that all stores keep, and those of this one, over real HTTP.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use pgferry_engine::cx::Clock;
use pgferry_engine::state::StateError;
use pgferry_engine::state::store::{Lines, Lock, Store};
use tokio::time::timeout;

use crate::error::{Class, ObjectError};
use journal::{Left, Pieces, Shelf, Unread};
use lease::{Desk, FAREWELL, Farewell, Lease, Refusal, chain};
use place::Place;
use remote::{Found, Remote, Version};
use worker::Worker;

mod journal;
mod lease;
mod place;
mod probe;
mod remote;
mod worker;

/// Whether `text` names a place in an object store.
pub fn is_remote(text: &str) -> bool {
    ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme))
}

/// A state at `s3://bucket/key`, `gs://bucket/key` or `az://container/key`. Nothing is sent before it is used.
pub struct ObjectState {
    name: String,
    place: Place,
    env: Arc<BTreeMap<String, String>>,
    holder: String,
    clock: Arc<dyn Clock>,
    connected: OnceLock<Result<Connected, String>>,
    known: Arc<Mutex<Known>>,
    farewell: Arc<Farewell>,
}

#[derive(Clone)]
struct Connected {
    remote: Remote,
    worker: Arc<Worker>,
}

/// What was seen and is held.
#[derive(Default)]
struct Known {
    /// The state as it was read or written last; the outer `None` before the first time.
    state: Option<Option<Seen>>,
    /// The journal as it was first read under this lock.
    journal: Option<Left>,
    lease: Option<Arc<Lease>>,
}

#[derive(Clone)]
struct Seen {
    bytes: Bytes,
    version: Version,
}

impl From<Found> for Seen {
    fn from(found: Found) -> Self {
        Self { bytes: found.bytes, version: found.version }
    }
}

/// Gives the lease back when dropped.
struct Held {
    lease: Arc<Lease>,
    worker: Arc<Worker>,
    known: Arc<Mutex<Known>>,
}

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.lease.enough.notify_one();
        let lease = Arc::clone(&self.lease);
        self.worker.wait(async move { lease.release().await });
        known_now(&self.known).lease = None;
    }
}

fn known_now(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ObjectState {
    /// The state at `url`; `holder` names this process to others (`user@host, process 7`).
    ///
    /// # Errors
    /// [`StateError::Unfit`] for a URL that names no such place, or holds credentials.
    pub fn open(
        url: &str,
        env: Arc<BTreeMap<String, String>>,
        holder: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StateError> {
        let place = Place::read(url)?;
        let name = url.to_owned();
        let (connected, known, farewell) = (OnceLock::new(), Arc::default(), Arc::default());
        Ok(Self { name, place, env, holder, clock, connected, known, farewell })
    }

    fn connected(&self) -> Result<&Connected, StateError> {
        let connect = || {
            let store = self.place.connect(&self.env).map_err(|error| chain(&error))?;
            let worker = Worker::start().map_err(|cause| cause.to_string())?;
            Ok(Connected { remote: Remote::new(store), worker: Arc::new(worker) })
        };
        let connected = self.connected.get_or_init(connect).as_ref();
        connected.map_err(|why| self.io("opening", why.clone()))
    }

    /// The object beside the state that ends in `suffix`.
    fn beside(&self, suffix: &str) -> Path {
        Path::from(format!("{}{suffix}", self.place.key))
    }

    fn shelf(&self) -> Result<Shelf, StateError> {
        Ok(Shelf { remote: self.connected()?.remote.clone(), folder: self.beside(".journal") })
    }

    fn desk(&self) -> Result<Desk, StateError> {
        let nonce = lease::nonce().map_err(|cause| self.io("locking", cause.to_string()))?;
        Ok(Desk {
            remote: self.connected()?.remote.clone(),
            key: self.beside(".lock"),
            scratch: self.beside(&format!(".probe-{nonce}")),
            clock: Arc::clone(&self.clock),
        })
    }

    fn io(&self, doing: &'static str, why: String) -> StateError {
        StateError::Io { doing, path: self.name.clone(), source: io::Error::other(why) }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(ObjectError) -> StateError + '_ {
        move |error| {
            let help = match error.class() {
                Class::Missing => "make the bucket first: a private one that keeps no versions",
                Class::Denied => {
                    "the key must be allowed to read, write, list and delete there; it comes from the environment, \
                     e.g. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                }
                _ => return self.io(doing, chain(&error)),
            };
            let (path, why) = (self.name.clone(), chain(&error));
            StateError::Unfit { path, why, help: help.to_owned() }
        }
    }

    fn refused(&self, refusal: Refusal) -> StateError {
        match refusal {
            Refusal::Held(holder, id) => StateError::Locked { holder, id: Some(id) },
            Refusal::Failed(error) => self.failed("locking")(error),
            Refusal::Leaving => self.io("locking", "this process is ending".to_owned()),
            Refusal::Unfit(why) => StateError::Unfit {
                path: self.name.clone(),
                why: why.to_owned(),
                help: "two runs at once could not be told apart there; use a bucket that keeps no versions, in a store \
                       that heeds conditional writes, or a local file"
                    .to_owned(),
            },
        }
    }

    fn unread(&self, unread: Unread) -> StateError {
        match unread {
            Unread::Failed(error) => self.failed("reading the journal beside")(error),
            Unread::Gap(why) => StateError::Journal { path: self.name.clone(), why },
        }
    }

    /// The lock that this process must hold to write.
    fn lease(&self) -> Result<Arc<Lease>, StateError> {
        let lease = known_now(&self.known).lease.clone();
        lease.ok_or_else(|| self.fenced("it was not taken".to_owned()))
    }

    fn fenced(&self, why: String) -> StateError {
        StateError::Fenced { path: self.name.clone(), why }
    }

    fn overtaken(&self, why: &str) -> StateError {
        StateError::Overtaken { path: self.name.clone(), why: why.to_owned() }
    }

    /// Waits for something that `remote` does.
    fn wait<T, F>(&self, work: impl FnOnce(Remote) -> F) -> Result<T, StateError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let Connected { remote, worker } = self.connected()?;
        Ok(worker.wait(work(remote.clone())))
    }

    fn get(&self, key: Path, doing: &'static str) -> Result<Option<Found>, StateError> {
        let found = self.wait(|remote| async move { remote.get(&key).await })?;
        found.map_err(self.failed(doing))
    }
}

impl Store for ObjectState {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        let found = self.get(self.beside(""), "reading the state")?;
        let bytes = found.as_ref().map(|found| found.bytes.to_vec());
        known_now(&self.known).state = Some(found.map(Seen::from));
        Ok(bytes)
    }

    /// Compare-and-swap on what was read last, under the lock.
    fn write(&self, state: &[u8]) -> Result<(), StateError> {
        let lease = self.lease()?;
        let seen = known_now(&self.known).state.clone();
        let former = match seen {
            Some(former) => former,
            None => self.get(self.beside(""), "reading the state")?.map(Seen::from),
        };
        let (key, backup, bytes) =
            (self.beside(""), self.beside(".backup"), Bytes::copy_from_slice(state));
        let held = Arc::clone(&lease);
        let written = self.wait(|remote| async move {
            held.ensure().await?;
            let put = async {
                if let Some(former) = &former {
                    remote.overwrite(&backup, former.bytes.clone()).await?;
                }
                match &former {
                    Some(former) => remote.replace(&key, bytes, &former.version).await,
                    None => remote.create(&key, bytes).await,
                }
            };
            let put = put.await;
            if put.is_err() {
                held.be_unsure().await;
            }
            Ok(put)
        })?;
        let written = written.map_err(|why| self.fenced(why))?;
        match written.map_err(self.failed("writing the state"))? {
            Some(version) => {
                let bytes = Bytes::copy_from_slice(state);
                known_now(&self.known).state = Some(Some(Seen { bytes, version }));
                Ok(())
            }
            None => Err(self.overtaken("it is not as it was read")),
        }
    }

    fn read_backup(&self) -> Result<Option<Vec<u8>>, StateError> {
        let found = self.get(self.beside(".backup"), "reading the backup of")?;
        Ok(found.map(|found| found.bytes.to_vec()))
    }

    fn set_aside(&self, what: &str, bytes: &[u8]) -> Result<String, StateError> {
        let mut number = 1;
        loop {
            let suffix = if number == 1 { format!(".{what}") } else { format!(".{what}-{number}") };
            let (key, bytes) = (self.beside(&suffix), Bytes::copy_from_slice(bytes));
            let put = self.wait(|remote| async move { remote.create(&key, bytes).await })?;
            if put.map_err(self.failed("keeping a copy beside"))?.is_some() {
                return Ok(format!("{}{suffix}", self.name));
            }
            number += 1;
        }
    }

    fn read_journal(&self, serial: u64) -> Result<Option<Vec<u8>>, StateError> {
        let shelf = self.shelf()?;
        let left = self.wait(|_| async move { shelf.read(serial).await })?;
        let left = left.map_err(|unread| self.unread(unread))?;
        let Some(left) = left else { return Ok(None) };
        let lines = left.lines.clone();
        known_now(&self.known).journal.get_or_insert(left);
        Ok(Some(lines))
    }

    fn seal_journal(&self, serial: u64) -> Result<bool, StateError> {
        let lease = self.lease()?;
        let known = known_now(&self.known).journal.clone();
        let Some(left) = known.filter(|left| left.serial >= serial) else {
            return Ok(lease.is_uneasy);
        };
        let shelf = self.shelf()?;
        let sealed = self.wait(|_| async move { shelf.seal(&left).await })?;
        match sealed.map_err(self.failed("ending the journal beside"))? {
            true => Ok(true),
            false => Err(self.overtaken("a journal has grown that was thought to be left behind")),
        }
    }

    fn begin_journal(&self, serial: u64) -> Result<Box<dyn Lines>, StateError> {
        let (lease, shelf) = (self.lease()?, self.shelf()?);
        let worker = Arc::clone(&self.connected()?.worker);
        if let Some(last) = serial.checked_sub(1) {
            let shelf = shelf.clone();
            let cleared = self.wait(|_| async move { shelf.clear(last).await })?;
            cleared.map_err(self.failed("removing a former journal of"))?;
        }
        let (place, held_back) = (self.name.clone(), Vec::new());
        Ok(Box::new(Pieces { shelf, lease, worker, place, serial, next: 0, held_back }))
    }

    fn remove_journal(&self, serial: u64) -> Result<(), StateError> {
        let (lease, shelf) = (self.lease()?, self.shelf()?);
        let removed = self.wait(|_| async move {
            lease.ensure().await.map_err(Err)?;
            shelf.clear(serial).await.map_err(Ok)
        })?;
        known_now(&self.known).journal = None;
        removed.map_err(|error: Result<ObjectError, String>| match error {
            Ok(error) => self.failed("removing the journal of")(error),
            Err(why) => self.fenced(why),
        })
    }

    fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, StateError> {
        let (desk, holder, purpose) = (self.desk()?, self.holder.clone(), purpose.to_owned());
        let (known, farewell) = (Arc::clone(&self.known), Arc::clone(&self.farewell));
        let taken = self.wait(|remote| async move {
            if let Some(why) = probe::probe(&remote, &desk.scratch).await? {
                return Err(Refusal::Unfit(why));
            }
            let turn = farewell.turn.lock().await;
            let taken = desk.take(&holder, &purpose, patience, &farewell).await;
            if matches!(taken, Err(Refusal::Leaving)) {
                drop(turn);
                // Whoever wants the lock is to say nothing more.
                return std::future::pending().await;
            }
            let lease = Arc::new(taken?);
            *known_now(&known) = Known { lease: Some(Arc::clone(&lease)), ..Known::default() };
            Ok(lease)
        })?;
        let lease = taken.map_err(|refusal| self.refused(refusal))?;
        let worker = Arc::clone(&self.connected()?.worker);
        worker.spawn(Arc::clone(&lease).keep());
        Ok(Box::new(Held { lease, worker, known: Arc::clone(&self.known) }))
    }

    fn holder(&self) -> Result<Option<String>, StateError> {
        let desk = self.desk()?;
        let found = self.wait(|_| async move { desk.holder().await })?;
        found.map_err(self.failed("reading the lock of"))
    }

    fn confirm(&self) -> Result<(), StateError> {
        let lease = self.lease()?;
        let confirmed = self.wait(|_| async move { lease.confirm().await })?;
        confirmed.map_err(|why| self.fenced(why))
    }

    fn give_back(&self) {
        self.farewell.is_near.store(true, Ordering::SeqCst);
        self.farewell.bell.notify_waiters();
        let (known, farewell) = (Arc::clone(&self.known), Arc::clone(&self.farewell));
        // Who cannot be reached does not keep us from ending. A write may be on its way.
        let _ = self.wait(|_| async move {
            // What is being taken at this moment can be given back once it is known.
            let _turn = timeout(FAREWELL, farewell.turn.lock()).await;
            let Some(lease) = known_now(&known).lease.clone() else { return };
            lease.enough.notify_one();
            lease.be_unsure().await;
            lease.release().await;
        });
    }

    fn force_unlock(&self, id: Option<&str>) -> Result<String, StateError> {
        let (desk, id) = (self.desk()?, id.map(str::to_owned));
        let freed = self.wait(|_| async move { desk.force(id.as_deref()).await })?;
        freed.map_err(|refusal| self.refused(refusal))
    }
}
