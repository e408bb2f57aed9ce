//! A state whose lock another run may take at any effect; whoever has lost it can write nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pgferry_engine::state::StateError;
use pgferry_engine::state::file::StateFile;
use pgferry_engine::state::store::{Durability, Lines, Lock, Store};

/// Ours while `holder` is 0.
#[derive(Clone)]
pub(super) struct Leased {
    pub(super) file: StateFile,
    pub(super) holder: Arc<AtomicU64>,
}

struct LeasedLines(Box<dyn Lines>, Leased);

impl Store for Leased {
    fn name(&self) -> String {
        self.file.name()
    }
    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.file.read()
    }
    fn write(&self, state: &[u8]) -> Result<(), StateError> {
        self.confirm()?;
        self.file.write(state)
    }
    fn read_backup(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.file.read_backup()
    }
    fn set_aside(&self, what: &str, bytes: &[u8]) -> Result<String, StateError> {
        self.file.set_aside(what, bytes)
    }
    fn read_journal(&self, serial: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.file.read_journal(serial)
    }
    fn seal_journal(&self, serial: u64) -> Result<bool, StateError> {
        self.file.seal_journal(serial)
    }
    fn begin_journal(&self, serial: u64) -> Result<Box<dyn Lines>, StateError> {
        self.confirm()?;
        Ok(Box::new(LeasedLines(self.file.begin_journal(serial)?, self.clone())))
    }
    fn remove_journal(&self, serial: u64) -> Result<(), StateError> {
        self.confirm()?;
        self.file.remove_journal(serial)
    }
    fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, StateError> {
        self.file.lock(purpose, patience)
    }
    fn confirm(&self) -> Result<(), StateError> {
        if self.holder.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        let (path, why) = (self.name(), "it was taken over by another run".to_owned());
        Err(StateError::Fenced { path, why })
    }
    fn force_unlock(&self, id: Option<&str>) -> Result<String, StateError> {
        self.file.force_unlock(id)
    }
}

impl Lines for LeasedLines {
    fn append(&mut self, lines: &[u8], durability: Durability) -> Result<(), StateError> {
        self.1.confirm()?;
        self.0.append(lines, durability)
    }
}
