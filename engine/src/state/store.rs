//! Where a state is kept: the state itself, the journal of an apply, and the lock.
//!
//! A store moves bytes and knows nothing of what they say. [`super::file`] keeps them in local files; other crates
//! may keep them elsewhere. Calls block until what they say is true: the journal is appended to from within acts.

use std::time::Duration;

use super::format;
use super::{State, StateError};

/// Keeps one state.
pub trait Store: Send + Sync {
    /// As people write it: a path or a URL.
    fn name(&self) -> String;

    /// The saved state, byte for byte; `None` if there is none yet.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self) -> Result<Option<Vec<u8>>, StateError>;

    /// Replaces the state, whole or not at all; the former one becomes the backup.
    ///
    /// # Errors
    /// Disk full and the like, or somebody else has written since it was read: the former state is then untouched.
    fn write(&self, state: &[u8]) -> Result<(), StateError>;

    /// The lines of a journal that an apply left behind; `None` if there is none. The last line may be torn.
    ///
    /// # Errors
    /// It cannot be read.
    fn read_journal(&self) -> Result<Option<Vec<u8>>, StateError>;

    /// Begins a journal; a former one is dropped.
    ///
    /// # Errors
    /// It cannot be written; nothing was done yet.
    fn begin_journal(&self) -> Result<Box<dyn Lines>, StateError>;

    /// Removes the journal. There being none is success.
    ///
    /// # Errors
    /// It is still there.
    fn remove_journal(&self) -> Result<(), StateError>;

    /// Takes the lock for `purpose`, waiting up to `patience` for whoever holds it. It goes when the value is dropped,
    /// and by itself when its holder dies.
    ///
    /// # Errors
    /// [`StateError::Locked`] names the holder and its purpose.
    fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, StateError>;
}

/// A journal being written.
pub trait Lines: Send {
    /// Adds `lines`, each ending in a line break, and returns when they are as durable as asked.
    ///
    /// # Errors
    /// They may be torn: nothing more may be added.
    fn append(&mut self, lines: &[u8], durability: Durability) -> Result<(), StateError>;
}

/// Whether a record must be durable before the caller goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before an external effect, and after it.
    Synced,
    /// Results without an external effect; durable with the next synced record or at the end.
    Batched,
}

/// Held while a command may change the state.
pub trait Lock: Send + Sync {}

/// Loads the state; `None` if there is none yet.
///
/// # Errors
/// Empty, cut, damaged or newer ones are refused, never read as "nothing".
pub fn load(store: &dyn Store) -> Result<Option<State>, StateError> {
    store.read()?.map(|bytes| format::decode(&bytes, &store.name())).transpose()
}

/// Saves the state.
///
/// # Errors
/// As [`Store::write`].
pub fn save(store: &dyn Store, state: &State) -> Result<(), StateError> {
    store.write(&format::encode(state, &store.name())?)
}
