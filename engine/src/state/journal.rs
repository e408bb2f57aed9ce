//! The append-only record of an apply: a line before and after each effect, durable before the effect begins.
//!
//! The state is the journal's fold. A torn last line, which only a crash leaves, was followed by no effect and is
//! dropped. Cost per line does not depend on the size of the state.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::file::{StateError, StateFile};
use super::{Record, State};
use crate::address::Address;
use crate::cx::Notes;
use crate::fault::Fault;

/// Whether a record must be on disk before the caller goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before an external effect, and after it.
    Synced,
    /// Results without an external effect; on disk with the next synced record or at the end.
    Batched,
}

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
    place: StateFile,
}

struct Inner {
    file: File,
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
pub fn recover(place: &StateFile) -> Result<Option<State>, StateError> {
    let saved = place.load()?;
    let path = place.beside(".journal");
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(saved),
        Err(source) => {
            let path = path.display().to_string();
            return Err(StateError::Io { doing: "reading the journal", path, source });
        }
    };
    let wrong = |why: String| StateError::Journal { path: place.path().display().to_string(), why };
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
        place: StateFile,
        mut state: State,
        at: Timestamp,
        watch: Option<Watch>,
    ) -> Result<Self, StateError> {
        let path = place.beside(".journal");
        if path.exists() {
            state.serial += 1;
            place.save(&state)?;
        }
        let io = |doing| {
            let path = path.display().to_string();
            move |source| StateError::Io { doing, path, source }
        };
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(io("making the folder of the journal"))?;
        }
        let file = options.open(&path).map_err(io("opening the journal"))?;
        // The name of a new file is durable only with its folder.
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(folder.unwrap_or(std::path::Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(io("opening the journal"))?;
        let begin = Record::Begin {
            lineage: state.lineage.clone(),
            serial: state.serial,
            name: state.name.clone(),
            at,
        };
        let inner = Inner { file, state, written: 0, watch: None, broken: false };
        let journal = Self { inner: Arc::new(Mutex::new(inner)), place };
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
        let path = || self.place.beside(".journal").display().to_string();
        let wrong = |why: String| StateError::Journal { path: path(), why };
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
        let io = |source| StateError::Io { doing: "writing the journal", path: path(), source };
        let mut written = inner.file.write_all(line.as_bytes());
        if durability == Durability::Synced {
            written = written.and_then(|()| inner.file.sync_data());
        }
        inner.broken = written.is_err();
        written.map_err(io)?;
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
            self.place.save(&inner.state)?;
        }
        let path = self.place.beside(".journal");
        fs::remove_file(&path).map_err(|source| {
            let path = path.display().to_string();
            StateError::Io { doing: "removing the journal", path, source }
        })?;
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
