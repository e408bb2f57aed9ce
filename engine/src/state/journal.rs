//! The append-only record of an apply: a line before and after each effect, durable before the effect begins.
//!
//! The state is the journal's fold. A torn last line, which only a crash leaves, was followed by no effect and is
//! dropped. Cost per line does not depend on the size of the state.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

pub use super::store::Durability;
use super::store::{Lines, Store, load, save};
use super::{Record, State, StateError, check};
use crate::address::Address;
use crate::cx::Notes;
use crate::fault::Fault;

/// Called with the number of a record (from 1, `Begin` not counted) just before and just after it is durable, so that
/// a test can end the process there.
pub type Watch = Arc<dyn Fn(Moment, u64) + Send + Sync>;

/// Which side of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

/// An open journal and the state it has led to. Clones share both.
///
/// Records that wait to be durable at the same time are written together: whoever comes first writes for all.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    /// Taken before `inner` where both are.
    lines: Arc<Mutex<Box<dyn Lines>>>,
    durable: Arc<Durable>,
    store: Arc<dyn Store>,
}

struct Inner {
    state: State,
    /// The serial that it continues.
    continues: u64,
    /// Lines not handed to the store yet.
    pending: Vec<u8>,
    /// How many records were taken in.
    records: u64,
    watch: Option<Watch>,
    /// A write failed, and why: its line may be torn, and only a last line may be.
    broken: Option<StateError>,
}

#[derive(Default)]
struct Durable {
    /// The last record that is.
    last: AtomicU64,
    /// Told after each write.
    written: Notify,
}

/// A record that the state has taken in, and that no store may have yet.
struct Taken {
    number: u64,
    /// So much is pending that it should be written now.
    full: bool,
    watch: Option<Watch>,
}

/// Batched lines are handed to the store when they come to this many bytes.
const MOST_PENDING: usize = 64 * 1024;

/// How often a run looks whether it still has the lock, besides before each request.
const LOOK: Duration = Duration::from_secs(5);

/// Loads the state of `store`, with a journal that a crash left behind folded in, and checks it. Changes no file.
///
/// # Errors
/// Either file is damaged, they do not belong together, or what they say cannot be.
pub fn recover(store: &dyn Store) -> Result<Option<State>, StateError> {
    let state = unchecked(store)?;
    if let Some(state) = &state {
        check::refuse(state, &store.name())?;
    }
    Ok(state)
}

/// As [`recover`], without the check: for those who look at what is wrong, or save it.
///
/// # Errors
/// Either file is damaged, or they do not belong together.
pub fn unchecked(store: &dyn Store) -> Result<Option<State>, StateError> {
    let saved = load(store)?;
    let serial = saved.as_ref().map_or(0, |state| state.serial);
    match store.read_journal(serial)? {
        Some(bytes) => continued(saved, &bytes, &store.name()),
        None => Ok(saved),
    }
}

/// What a journal's `bytes` make of the `saved` state; `place` is where both were found.
///
/// # Errors
/// [`StateError::Journal`]: a line before the last cannot be read, or they do not belong together.
pub fn continued(
    saved: Option<State>,
    bytes: &[u8],
    place: &str,
) -> Result<Option<State>, StateError> {
    let text = String::from_utf8_lossy(bytes);
    let wrong = |why: String| StateError::Journal { path: place.to_owned(), why };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut records = whole.lines().enumerate().map(|(number, line)| {
        serde_json::from_str::<Record>(line)
            .map_err(|cause| wrong(format!("line {}: {cause}", number + 1)))
    });
    let Some(first) = records.next() else { return Ok(saved) };
    let Record::Begin { lineage, serial, name, .. } = first? else {
        return Err(wrong("its first line is no `begin`".to_owned()));
    };
    let mut state = match saved {
        Some(state) if state.lineage != lineage => {
            return Err(wrong(format!(
                "it is of lineage {lineage}, the state of {}",
                state.lineage
            )));
        }
        // The state was written from this journal; only its removal was missed.
        Some(state) if state.serial > serial => return Ok(Some(state)),
        Some(state) if state.serial < serial => {
            let found = state.serial;
            return Err(wrong(format!("it continues serial {serial}, the state has {found}")));
        }
        Some(state) => state,
        None if serial > 0 => {
            return Err(wrong(format!(
                "it continues serial {serial} of a state that is not there"
            )));
        }
        None => State::new(&name, lineage),
    };
    for (number, record) in records.enumerate() {
        let fold = state.fold(record?);
        fold.map_err(|cause| wrong(format!("line {}: {cause}", number + 2)))?;
    }
    Ok(Some(state))
}

/// As [`continued`], but as far as it can be read: what is remembered then, of how many lines, and why no further.
pub fn cut(
    saved: Option<State>,
    bytes: &[u8],
    place: &str,
) -> (Option<State>, usize, Option<StateError>) {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.collect();
    let upto = |lines: usize| {
        let end = lines.checked_sub(1).map_or(0, |last| ends[last]);
        continued(saved.clone(), &bytes[..end], place)
    };
    // Lines that can be read are followed by none that can once one cannot.
    let (mut good, mut bad) = (0, ends.len() + 1);
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if upto(middle).is_ok() { good = middle } else { bad = middle }
    }
    let why = (good < ends.len()).then(|| upto(good + 1).err()).flatten();
    (upto(good).ok().flatten(), good, why)
}

impl Journal {
    /// Starts a journal that continues `state`: what was recovered is saved first, then a new file is begun.
    ///
    /// # Errors
    /// The folder cannot be written to; nothing was done yet.
    pub fn begin(
        store: Arc<dyn Store>,
        mut state: State,
        at: Timestamp,
        watch: Option<Watch>,
    ) -> Result<Self, StateError> {
        if store.seal_journal(state.serial)? {
            state.serial += 1;
            save(store.as_ref(), &state)?;
        }
        let continues = state.serial;
        let lines = store.begin_journal(continues)?;
        let begin = Record::Begin {
            lineage: state.lineage.clone(),
            serial: state.serial,
            name: state.name.clone(),
            at,
        };
        let inner =
            Inner { state, continues, pending: Vec::new(), records: 0, watch: None, broken: None };
        let journal = Self {
            inner: Arc::new(Mutex::new(inner)),
            lines: Arc::new(Mutex::new(lines)),
            durable: Arc::default(),
            store,
        };
        journal.append(&begin, Durability::Synced)?;
        journal.durable.last.store(0, Ordering::Release);
        let mut inner = journal.lock();
        inner.records = 0;
        inner.watch = watch;
        drop(inner);
        Ok(journal)
    }

    /// A journal that takes in no record, because of `cause`: for who must act although nothing can be written down.
    pub fn unwritable(store: Arc<dyn Store>, state: State, cause: &StateError) -> Self {
        let continues = state.serial;
        let inner = Inner {
            state,
            continues,
            pending: Vec::new(),
            records: 0,
            watch: None,
            broken: Some(cause.again()),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            lines: Arc::new(Mutex::new(Box::new(Nowhere))),
            durable: Arc::default(),
            store,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record in and returns when it is as durable as asked.
    ///
    /// # Errors
    /// The disk refuses it, or it does not follow from what came before: stop before the effect.
    pub fn append(&self, record: &Record, durability: Durability) -> Result<(), StateError> {
        let taken = self.take_in(record)?;
        let lines = || self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match durability {
            Durability::Synced => waiting(|| self.write(lines(), taken.number, durability))?,
            Durability::Batched if taken.full => self.write(lines(), taken.number, durability)?,
            Durability::Batched => {}
        }
        taken.tell();
        Ok(())
    }

    /// As [`Journal::append`], for one of many tasks: while one of them writes, the others hold up no thread.
    ///
    /// # Errors
    /// As there.
    pub async fn appended(
        &self,
        record: &Record,
        durability: Durability,
    ) -> Result<(), StateError> {
        if durability == Durability::Batched {
            return self.append(record, durability);
        }
        let taken = self.take_in(record)?;
        while self.durable.last.load(Ordering::Acquire) < taken.number {
            let mut written = pin!(self.durable.written.notified());
            // From here on no write goes unheard.
            written.as_mut().enable();
            if !self.write_unless_another_does(taken.number)? {
                written.await;
            }
        }
        taken.tell();
        Ok(())
    }

    /// Whether it did: all that is pending is durable then, record `number` with it.
    fn write_unless_another_does(&self, number: u64) -> Result<bool, StateError> {
        let lines = match self.lines.try_lock() {
            Ok(lines) => lines,
            Err(TryLockError::Poisoned(lines)) => lines.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        waiting(|| self.write(lines, number, Durability::Synced))?;
        Ok(true)
    }

    /// Folds a record into the state and adds its line to those that are pending.
    fn take_in(&self, record: &Record) -> Result<Taken, StateError> {
        if let Some((field, secret)) = record.betrays() {
            // What is stored already is given away already, and must not keep anybody from destroying it.
            let stored = self.with_state(|state| serde_json::to_string(state).unwrap_or_default());
            if !stored.contains(secret.as_str()) {
                let address = record.address().map(ToString::to_string).unwrap_or_default();
                return Err(StateError::GivesAway { address, field });
            }
        }
        // Without secrets from here on, so that what is replayed is what was lived through.
        let record = record.clone().redacted();
        let wrong = |why: String| StateError::Journal { path: self.store.name(), why };
        let line = serde_json::to_string(&record).map_err(|cause| wrong(cause.to_string()))?;
        let mut inner = self.lock();
        if let Some(cause) = &inner.broken {
            return Err(cause.again());
        }
        let number = inner.records + 1;
        if let Some(watch) = &inner.watch {
            watch(Moment::Before, number);
        }
        // Folded first: a record that does not follow must not reach the store.
        inner.state.fold(record).map_err(|cause| wrong(cause.to_string()))?;
        inner.records = number;
        inner.pending.extend_from_slice(line.as_bytes());
        inner.pending.push(b'\n');
        let full = inner.pending.len() > MOST_PENDING;
        Ok(Taken { number, full, watch: inner.watch.clone() })
    }

    /// Hands what is pending to the store, unless record `number` is durable already.
    fn write(
        &self,
        mut lines: MutexGuard<'_, Box<dyn Lines>>,
        number: u64,
        durability: Durability,
    ) -> Result<(), StateError> {
        let written = self.write_pending(lines.as_mut(), number, durability);
        // Those who found the lines taken wait for this, whatever came of it.
        drop(lines);
        self.durable.written.notify_waiters();
        written
    }

    fn write_pending(
        &self,
        lines: &mut dyn Lines,
        number: u64,
        durability: Durability,
    ) -> Result<(), StateError> {
        if self.durable.last.load(Ordering::Acquire) >= number {
            return Ok(());
        }
        let mut inner = self.lock();
        if let Some(cause) = &inner.broken {
            return Err(cause.again());
        }
        let (pending, last) = (std::mem::take(&mut inner.pending), inner.records);
        drop(inner);
        if let Err(cause) = lines.append(&pending, durability) {
            self.lock().broken = Some(cause.again());
            return Err(cause);
        }
        if durability == Durability::Synced {
            self.durable.last.store(last, Ordering::Release);
        }
        Ok(())
    }

    /// Returns if this run still has the lock. Once it has not, no record is taken in any more either.
    ///
    /// # Errors
    /// [`StateError::Fenced`]: another run may be working on the same things.
    pub fn confirm(&self) -> Result<(), StateError> {
        let confirmed = self.store.confirm();
        if let Err(cause) = &confirmed {
            self.lock().broken.get_or_insert_with(|| cause.again());
        }
        confirmed
    }

    /// Returns once another run has the lock, and says so.
    pub async fn lost(&self) -> StateError {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(cause) = self.confirm() {
                return cause;
            }
        }
    }

    /// What the records so far have led to.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Reads the state in place.
    pub fn with_state<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock().state)
    }

    /// Saves the folded state and removes the journal. A journal without records leaves the state untouched.
    ///
    /// # Errors
    /// The state cannot be written; the journal stays and is folded by the next run.
    pub fn finish(self) -> Result<(), StateError> {
        let (records, continues) = {
            let inner = self.lock();
            (inner.records, inner.continues)
        };
        if records > 0 {
            // The journal says all that the state will, should that not be written. Some stores hold batched lines back.
            let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            self.write(lines, records, Durability::Synced)?;
            let mut inner = self.lock();
            inner.state.serial += 1;
            save(self.store.as_ref(), &inner.state)?;
        }
        self.store.remove_journal(continues)
    }
}

/// Lines of a journal that takes in no record.
struct Nowhere;

impl Lines for Nowhere {
    fn append(&mut self, _: &[u8], _: Durability) -> Result<(), StateError> {
        Ok(())
    }
}

impl Taken {
    fn tell(self) {
        if let Some(watch) = self.watch {
            watch(Moment::After, self.number);
        }
    }
}

/// Runs what blocks the thread; other tasks go on meanwhile, where the runtime has threads for it.
fn waiting<T>(block: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(block),
        _ => block(),
    }
}

impl Notes for Journal {
    fn note(&self, address: &Address, note: serde_json::Value) -> Result<(), Fault> {
        self.append(&Record::Note { address: address.clone(), note }, Durability::Synced).map_err(
            |cause| Fault::failed(format!("recording what `{address}` does")).because(cause),
        )
    }

    fn may_act(&self) -> Result<(), Fault> {
        self.confirm().map_err(|cause| Fault::failed(cause.to_string()))
    }
}

/// Takes down nothing, and asks `Journal` whether this run may still act.
pub struct WithoutNotes(pub Journal);

impl Notes for WithoutNotes {
    fn note(&self, _: &Address, _: serde_json::Value) -> Result<(), Fault> {
        Ok(())
    }

    fn may_act(&self) -> Result<(), Fault> {
        self.0.may_act()
    }
}

#[cfg(test)]
mod tests;
