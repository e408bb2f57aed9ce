//! Where a state is kept: the state itself, the journal of an apply, and the lock.
//!
//! A store moves bytes and knows nothing of what they say. [`super::file`] keeps them in local files; other crates
//! may keep them elsewhere, and all keep the promises in `crate::testing::stores`. Calls block until what they say is
//! true: the journal is appended to from within acts.
//!
//! A journal belongs to the serial of the state that it continues, so that one that is left over from before, or is
//! still written by somebody who lost the lock, is never taken for the present one.

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

    /// The state before the last write; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    fn read_backup(&self) -> Result<Option<Vec<u8>>, StateError>;

    /// Keeps `bytes` beside the state under a name with `what` in it that was not taken, and gives that name.
    ///
    /// # Errors
    /// It cannot be written.
    fn set_aside(&self, what: &str, bytes: &[u8]) -> Result<String, StateError>;

    /// The lines of a journal that an apply left behind and that continues serial `serial` or a later one; `None` if
    /// there is none. The last line may be torn. A store that cannot tell gives any that is there.
    ///
    /// # Errors
    /// It cannot be read, or lines before others are gone.
    fn read_journal(&self, serial: u64) -> Result<Option<Vec<u8>>, StateError>;

    /// Makes sure that nobody else can add to the journal that was read last, and tells whether the state has to be
    /// written anew before the next journal is begun: because there was one, or because a former holder of the lock
    /// may still have a write on its way.
    ///
    /// # Errors
    /// Somebody has added to it since it was read: what was read of the state is out of date.
    fn seal_journal(&self, serial: u64) -> Result<bool, StateError>;

    /// Begins the journal that continues `serial`; former ones are dropped.
    ///
    /// # Errors
    /// It cannot be written; nothing was done yet.
    fn begin_journal(&self, serial: u64) -> Result<Box<dyn Lines>, StateError>;

    /// Removes the journal that continues `serial`, and older ones. There being none is success.
    ///
    /// # Errors
    /// It is still there.
    fn remove_journal(&self, serial: u64) -> Result<(), StateError>;

    /// Takes the lock for `purpose`, waiting up to `patience` for whoever holds it. It goes when the value is dropped,
    /// and by itself when its holder dies.
    ///
    /// # Errors
    /// [`StateError::Locked`] names the holder and its purpose.
    fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, StateError>;

    /// Who holds the lock at this moment, as far as can be told without taking it. Changes nothing.
    ///
    /// # Errors
    /// It cannot be read.
    fn holder(&self) -> Result<Option<String>, StateError> {
        Ok(None)
    }

    /// Returns if the lock that was taken here is still held, as far as the store can tell at this moment. Asked before
    /// each effect outside, so it may look at what it knew a moment ago.
    ///
    /// # Errors
    /// [`StateError::Fenced`]: somebody else has it, or may have it.
    fn confirm(&self) -> Result<(), StateError> {
        Ok(())
    }

    /// Gives back at once what [`Store::lock`] took, because this process is about to end before it changes anything.
    /// Locks that go with their process need none of it.
    fn give_back(&self) {}

    /// Frees a lock whose holder is gone, and says what was found. A lock that may be held by somebody alive is freed
    /// only if `id` names it, and where the store can make sure that its holder notices.
    ///
    /// # Errors
    /// [`StateError::Locked`]: it may be held, and `id` does not name it.
    fn force_unlock(&self, id: Option<&str>) -> Result<String, StateError>;
}

/// A journal being written.
pub trait Lines: Send {
    /// Adds `lines`, each ending in a line break, and returns when they are as durable as asked.
    ///
    /// # Errors
    /// They may be torn, or the lock was lost: nothing more may be added, and no effect may follow.
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
