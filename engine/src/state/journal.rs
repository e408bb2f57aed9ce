//! The append-only record of an apply: a line before and after each effect, durable before the effect begins.
//!
//! The state is the journal's fold. A torn last line, which only a crash leaves, was followed by no effect and is
//! dropped. Cost per line does not depend on the size of the state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

pub use super::store::Durability;
use super::store::{Lines, Store, load, save};
use super::{Record, State, StateError};
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
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Mutex<Inner>>,
    store: Arc<dyn Store>,
}

struct Inner {
    lines: Box<dyn Lines>,
    state: State,
    written: u64,
    watch: Option<Watch>,
    /// A write failed: its line may be torn, and only a last line may be.
    broken: bool,
}

/// Loads the state at `place`, with a journal that a crash left behind folded in. Changes no file.
///
/// # Errors
/// Either file is damaged, or they do not belong together.
pub fn recover(store: &dyn Store) -> Result<Option<State>, StateError> {
    let saved = load(store)?;
    let Some(bytes) = store.read_journal()? else { return Ok(saved) };
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |why: String| StateError::Journal { path: store.name(), why };
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
    for record in records {
        state.fold(&record?).map_err(|cause| wrong(cause.to_string()))?;
    }
    Ok(Some(state))
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
        if store.read_journal()?.is_some() {
            state.serial += 1;
            save(store.as_ref(), &state)?;
        }
        let lines = store.begin_journal()?;
        let begin = Record::Begin {
            lineage: state.lineage.clone(),
            serial: state.serial,
            name: state.name.clone(),
            at,
        };
        let inner = Inner { lines, state, written: 0, watch: None, broken: false };
        let journal = Self { inner: Arc::new(Mutex::new(inner)), store };
        journal.append(&begin, Durability::Synced)?;
        let mut inner = journal.lock();
        inner.written = 0;
        inner.watch = watch;
        drop(inner);
        Ok(journal)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a record in and returns when it is as durable as asked.
    ///
    /// # Errors
    /// The disk refuses it, or it does not follow from what came before: stop before the effect.
    pub fn append(&self, record: &Record, durability: Durability) -> Result<(), StateError> {
        let mut inner = self.lock();
        let wrong = |why: String| StateError::Journal { path: self.store.name(), why };
        if inner.broken {
            return Err(wrong("an earlier line could not be written".to_owned()));
        }
        // Without secrets from here on, so that what is replayed is what was lived through.
        let record = record.redacted();
        // Folded first: a record that does not follow must not reach the file.
        inner.state.fold(&record).map_err(|cause| wrong(cause.to_string()))?;
        let mut line = serde_json::to_string(&record).map_err(|cause| wrong(cause.to_string()))?;
        line.push('\n');
        let number = inner.written + 1;
        if let Some(watch) = &inner.watch {
            watch(Moment::Before, number);
        }
        let written = inner.lines.append(line.as_bytes(), durability);
        inner.broken = written.is_err();
        written?;
        inner.written = number;
        if let Some(watch) = &inner.watch {
            watch(Moment::After, number);
        }
        Ok(())
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
    pub fn finish(self) -> Result<State, StateError> {
        let mut inner = self.lock();
        if inner.written > 0 {
            inner.state.serial += 1;
            save(self.store.as_ref(), &inner.state)?;
        }
        self.store.remove_journal()?;
        Ok(inner.state.clone())
    }
}

impl Notes for Journal {
    fn note(&self, address: &Address, note: serde_json::Value) -> Result<(), Fault> {
        self.append(&Record::Note { address: address.clone(), note }, Durability::Synced).map_err(
            |cause| Fault::failed(format!("recording what `{address}` does")).because(cause),
        )
    }
}
