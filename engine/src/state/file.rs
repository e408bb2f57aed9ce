//! A state in a local file: written whole or not at all, one backup, one writer.
//!
//! The lock is on a file of its own, so that the state can be replaced by rename while it is held; it dies with the
//! process. Tested in `tests` below, on a simulated disk by a crash at every effect (`engine/tests/crash.rs`), and by
//! killing real processes in the root package.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::StateError;
use super::disk::{Disk, Folders, Opened, above};
use super::store::{Durability, Lines, Lock, Store};

/// Where a state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

/// A journal in a file.
struct JournalFile {
    file: Box<dyn Opened>,
    path: PathBuf,
}

/// Released when dropped or when the process dies.
struct FileLock {
    _file: File,
}

impl Lock for FileLock {}

impl StateFile {
    /// A state at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Folders), path)
    }

    /// A state at `path` of a disk of one's own.
    pub fn on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), disk }
    }

    /// The file itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file beside it that ends in `suffix`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        self.path.with_file_name(name)
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> StateError + '_ {
        move |source| StateError::Io { doing, path: self.path.display().to_string(), source }
    }

    /// The folder that it is in.
    fn folder(&self) -> &Path {
        above(&self.path)
    }

    /// A file of that name with `bytes` in it, durable but for its name. What a crash left there is overwritten: whoever
    /// writes holds the lock.
    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.disk.remove(path)?;
        let mut file = self.disk.create(path)?;
        file.write(bytes)?;
        file.sync()
    }

    /// The present state, if there is one, also as `.backup`.
    fn back_up(&self) -> io::Result<()> {
        let backup = self.beside(".backup");
        let mut linked = self.disk.link(&self.path, &backup);
        if linked.as_ref().is_err_and(|cause| cause.kind() == io::ErrorKind::AlreadyExists) {
            self.disk.remove(&backup)?;
            linked = self.disk.link(&self.path, &backup);
        }
        match linked {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            // Not every disk knows second names.
            Err(_) => match self.disk.read(&self.path)? {
                Some(former) => self.put(&backup, &former),
                None => Ok(()),
            },
            Ok(()) => Ok(()),
        }
    }
}

impl Store for StateFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.disk.read(&self.path).map_err(self.io("reading the state"))
    }

    /// A file `.new`, fsync, rename, fsync of the folder; the former one becomes `.backup`.
    fn write(&self, state: &[u8]) -> Result<(), StateError> {
        let folder = self.folder();
        self.disk.make_folder(folder).map_err(self.io("making the folder of the state"))?;
        let new = self.beside(".new");
        let written = self.put(&new, state).and_then(|()| self.back_up());
        let written = written.and_then(|()| self.disk.rename(&new, &self.path));
        if written.is_err() {
            // Of no use to anybody, and on a full disk in the way; the next write would remove it too.
            let _kept = self.disk.remove(&new);
        }
        written.and_then(|()| self.disk.sync_folder(folder)).map_err(self.io("writing the state"))
    }

    fn read_journal(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.disk.read(&self.beside(".journal")).map_err(self.io("reading the journal of"))
    }

    fn begin_journal(&self) -> Result<Box<dyn Lines>, StateError> {
        let path = self.beside(".journal");
        let folder = self.folder();
        self.disk.make_folder(folder).map_err(self.io("making the folder of the state"))?;
        let begin = || {
            self.disk.remove(&path)?;
            let file = self.disk.create(&path)?;
            // The name of a new file is durable only with its folder.
            self.disk.sync_folder(folder)?;
            Ok(file)
        };
        let file = begin().map_err(self.io("opening the journal of"))?;
        Ok(Box::new(JournalFile { file, path }))
    }

    fn remove_journal(&self) -> Result<(), StateError> {
        self.disk.remove(&self.beside(".journal")).map_err(self.io("removing the journal of"))
    }

    fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, StateError> {
        let path = self.beside(".lock");
        self.disk.make_folder(self.folder()).map_err(self.io("making the folder of the state"))?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(self.io("opening the lock of"))?;
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.rewind().map_err(self.io("reading the lock of"))?;
                    file.read_to_string(&mut holder).map_err(self.io("reading the lock of"))?;
                    let holder = holder.trim();
                    let patience = if is_gone(holder) { patience.max(GRACE) } else { patience };
                    if waited >= patience {
                        let holder = if holder.is_empty() { "another process" } else { holder };
                        return Err(StateError::Locked { holder: holder.to_owned() });
                    }
                    std::thread::sleep(step);
                    waited += step;
                }
                Err(fs::TryLockError::Error(cause)) => {
                    return Err(self.io("locking")(cause));
                }
            }
        }
        file.set_len(0).map_err(self.io("writing the lock of"))?;
        file.rewind().map_err(self.io("writing the lock of"))?;
        let holder = format!("process {} ({purpose})\n", std::process::id());
        file.write_all(holder.as_bytes()).map_err(self.io("writing the lock of"))?;
        Ok(Box::new(FileLock { _file: file }))
    }
}

/// A process that was killed while it started another leaves the lock to that one, until it has become what it is to be.
const GRACE: Duration = Duration::from_secs(2);

/// Whether the process that wrote down that it holds the lock is no more.
fn is_gone(holder: &str) -> bool {
    let id = holder.strip_prefix("process ").and_then(|rest| rest.split(' ').next());
    let id = id.and_then(|id| rustix::process::Pid::from_raw(id.parse().ok()?));
    id.is_some_and(|id| {
        rustix::process::test_kill_process(id).is_err_and(|cause| cause == rustix::io::Errno::SRCH)
    })
}

impl Lines for JournalFile {
    fn append(&mut self, lines: &[u8], durability: Durability) -> Result<(), StateError> {
        let mut written = self.file.write(lines);
        if durability == Durability::Synced {
            written = written.and_then(|()| self.file.sync());
        }
        let path = self.path.display().to_string();
        written.map_err(|source| StateError::Io { doing: "writing the journal", path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use crate::state::store::{load, save};

    fn scratch() -> (tempfile::TempDir, StateFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path().join("s.json"));
        (folder, file)
    }

    #[test]
    fn what_is_saved_is_loaded_and_the_former_one_kept() {
        let (_folder, file) = scratch();
        assert_eq!(load(&file).expect("loads"), None);
        let mut state = State::new("m", "abc".into());
        save(&file, &state).expect("saves");
        state.serial = 1;
        save(&file, &state).expect("saves");
        assert_eq!(load(&file).expect("loads"), Some(state));
        let backup = load(&StateFile::new(file.beside(".backup"))).expect("loads");
        assert_eq!(backup.map(|s| s.serial), Some(0));
    }

    #[test]
    fn a_damaged_state_is_never_read_as_nothing() {
        let (_folder, file) = scratch();
        for (text, want) in
            [("", "holds nothing"), ("{\"format\": 1, ", "EOF"), ("{\"format\": 99}", "format 99")]
        {
            fs::write(file.path(), text).expect("writes");
            let refused = load(&file).expect_err("refused").to_string();
            assert!(refused.contains(want), "{refused}");
        }
    }

    #[test]
    fn a_second_writer_is_told_who_holds_the_lock() {
        let (_folder, file) = scratch();
        let held = file.lock("apply", Duration::ZERO).expect("free");
        let refused = file.lock("apply", Duration::ZERO).err().expect("held").to_string();
        assert_eq!(
            refused,
            format!("the state is locked by process {} (apply)", std::process::id())
        );
        drop(held);
        file.lock("apply", Duration::ZERO).expect("free again");
    }

    /// As a process that was started by one that was killed at that moment, which has the lock with all open files.
    #[test]
    fn a_lock_whose_holder_is_gone_is_waited_for() {
        let (_folder, file) = scratch();
        let held = file.lock("apply", Duration::ZERO).expect("free");
        // More than there can be, so nobody's.
        fs::write(file.beside(".lock"), "process 2147483647 (apply)\n").expect("writes");
        let waiting = std::thread::spawn({
            let file = file.clone();
            move || file.lock("apply", Duration::ZERO).is_ok()
        });
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished(), "it neither waits nor is refused");
        drop(held);
        assert!(waiting.join().expect("no panic"), "the lock is free");
    }
}
