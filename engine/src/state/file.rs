//! A state in a local file: written whole or not at all, one backup, one writer.
//!
//! The lock is on a file of its own, so that the state can be replaced by rename while it is held; it dies with the
//! process. Tested in `tests` below, on a simulated disk by a crash at every effect (`engine/tests/crash.rs`), and by
//! killing real processes in the root package.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::StateError;
use super::disk::{Disk, Folders, Opened, above};
use super::store::{Durability, Lines, Lock, Store};

/// Where a state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    held: Held,
}

/// Which file was locked, by device and number, while it is.
type Held = Arc<Mutex<Option<(u64, u64)>>>;

/// A journal in a file.
struct JournalFile {
    file: Box<dyn Opened>,
    path: PathBuf,
    of: StateFile,
}

/// Released when dropped or when the process dies.
struct FileLock {
    _file: File,
    held: Held,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Lock for FileLock {}

impl StateFile {
    /// A state at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Folders), led_to(path.into()))
    }

    /// A state at `path` of a disk of one's own.
    pub fn on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), disk, held: Held::default() }
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

    /// Who took the lock last, as it wrote.
    fn written_holder(&self, lock: &mut File) -> Result<String, StateError> {
        let mut holder = String::new();
        lock.rewind().map_err(self.io("reading the lock of"))?;
        lock.read_to_string(&mut holder).map_err(self.io("reading the lock of"))?;
        let holder = holder.trim();
        Ok(if holder.is_empty() { "another process" } else { holder }.to_owned())
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
        self.confirm()?;
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

    fn read_backup(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.disk.read(&self.beside(".backup")).map_err(self.io("reading the backup of"))
    }

    fn set_aside(&self, what: &str, bytes: &[u8]) -> Result<String, StateError> {
        let mut number = 1;
        loop {
            let suffix = if number == 1 { format!(".{what}") } else { format!(".{what}-{number}") };
            let path = self.beside(&suffix);
            let mut file = match self.disk.create(&path) {
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => {
                    number += 1;
                    continue;
                }
                opened => opened.map_err(self.io("keeping a copy beside"))?,
            };
            let kept = file.write(bytes).and_then(|()| file.sync());
            let kept = kept.and_then(|()| self.disk.sync_folder(self.folder()));
            kept.map_err(self.io("keeping a copy beside"))?;
            return Ok(path.display().to_string());
        }
    }

    fn read_journal(&self, _: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.disk.read(&self.beside(".journal")).map_err(self.io("reading the journal of"))
    }

    /// Nobody else can write while the lock is held.
    fn seal_journal(&self, serial: u64) -> Result<bool, StateError> {
        Ok(self.read_journal(serial)?.is_some())
    }

    fn begin_journal(&self, _: u64) -> Result<Box<dyn Lines>, StateError> {
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
        Ok(Box::new(JournalFile { file, path, of: self.clone() }))
    }

    fn remove_journal(&self, _: u64) -> Result<(), StateError> {
        self.confirm()?;
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
                    let holder = self.written_holder(&mut file)?;
                    let patience = if is_gone(&holder) { patience.max(GRACE) } else { patience };
                    if waited >= patience {
                        return Err(StateError::Locked { holder, id: None });
                    }
                    std::thread::sleep(step);
                    waited += step;
                }
                Err(fs::TryLockError::Error(cause)) => {
                    return Err(self.io("locking")(cause));
                }
            }
        }
        let holder = format!("process {} ({purpose})\n", std::process::id());
        let named = file.set_len(0).and_then(|()| file.rewind());
        // For people who wait. A full disk must not be in the way of a release.
        let _best_effort = named.and_then(|()| file.write_all(holder.as_bytes()));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = identity(file.metadata());
        Ok(Box::new(FileLock { _file: file, held: Arc::clone(&self.held) }))
    }

    /// Whoever wrote its number last, if it lives: to try the lock could turn away somebody who wants it.
    fn holder(&self) -> Result<Option<String>, StateError> {
        let written = match fs::read_to_string(self.beside(".lock")) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(self.io("reading the lock of"))?,
        };
        let holder = written.trim();
        Ok((!holder.is_empty() && !is_gone(holder)).then(|| holder.to_owned()))
    }

    /// A lock on a file that was removed keeps nobody out: the next run makes a new one.
    fn confirm(&self) -> Result<(), StateError> {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.beside(".lock");
        if held.is_none() || held == identity(fs::metadata(&path)) {
            return Ok(());
        }
        let why = format!("`{}` was removed or replaced", path.display());
        Err(StateError::Fenced { path: self.path.display().to_string(), why })
    }

    /// A lock on a file goes with the process that holds it, so there is nothing to free: this only tells.
    fn force_unlock(&self, _: Option<&str>) -> Result<String, StateError> {
        let mut options = File::options();
        let mut file = match options.read(true).write(true).open(self.beside(".lock")) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
                return Ok("nobody has ever locked it".to_owned());
            }
            Err(cause) => return Err(self.io("opening the lock of")(cause)),
        };
        match file.try_lock() {
            Ok(()) => {
                let last = self.written_holder(&mut file)?;
                Ok(format!("it is not locked: the lock of {last} went with that process"))
            }
            Err(fs::TryLockError::WouldBlock) => {
                let holder = self.written_holder(&mut file)?;
                let lives = if is_gone(&holder) { "gone, but left it to another" } else { "alive" };
                let holder = format!("{holder}, which is {lives}");
                Err(StateError::Locked { holder, id: None })
            }
            Err(fs::TryLockError::Error(cause)) => Err(self.io("locking")(cause)),
        }
    }
}

fn identity(file: io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    file.ok().map(|file| (file.dev(), file.ino()))
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
        self.of.confirm()?;
        let mut written = self.file.write(lines);
        if durability == Durability::Synced {
            written = written.and_then(|()| self.file.sync());
        }
        let path = self.path.display().to_string();
        written.map_err(|source| StateError::Io { doing: "writing the journal", path, source })
    }
}

/// The file itself where `path` is a symbolic link to it, whether or not it is there yet: its lock and journal are beside it,
/// by whatever name it is opened, and a write does not put another file in the link's place.
fn led_to(mut path: PathBuf) -> PathBuf {
    // As many as Linux follows (path_resolution(7)).
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::stores::{Room, keeps_its_promises};

    struct Folder(tempfile::TempDir);

    impl Room for Folder {
        fn open(&self) -> Arc<dyn Store> {
            Arc::new(StateFile::new(self.0.path().join("s.json")))
        }
        /// The lock on a file goes with its process.
        fn die(&self, lock: Box<dyn Lock>) {
            drop(lock);
        }
    }

    #[test]
    fn it_keeps_the_promises_of_all_stores() {
        keeps_its_promises(|| Box::new(Folder(tempfile::tempdir().expect("a folder"))));
    }

    #[test]
    fn whoever_holds_the_lock_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path().join("s.json"));
        let held = file.lock("apply", Duration::ZERO).expect("free");
        let me = std::process::id();
        let refused = file.lock("apply", Duration::ZERO).err().expect("held").to_string();
        assert_eq!(refused, format!("the state is locked by process {me} (apply)"));
        let refused = file.force_unlock(Some("any")).expect_err("held").to_string();
        let want = format!("the state is locked by process {me} (apply), which is alive");
        assert_eq!(refused, want);
        drop(held);
        let said = file.force_unlock(None).expect("nothing to do");
        let want =
            format!("it is not locked: the lock of process {me} (apply) went with that process");
        assert_eq!(said, want);
    }

    /// As a process that was started by one that was killed at that moment, which has the lock with all open files.
    #[test]
    fn a_lock_whose_holder_is_gone_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path().join("s.json"));
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

    #[test]
    fn a_link_to_a_state_is_that_state() {
        let (here, there) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (link, real) = (here.path().join("s.json"), there.path().join("real.json"));
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        let (by_link, itself) = (StateFile::new(&link), StateFile::new(&real));
        by_link.write(b"one").expect("writes");
        assert_eq!(itself.read().expect("reads").as_deref(), Some(b"one".as_slice()));
        itself.write(b"two").expect("writes");
        assert_eq!(by_link.read().expect("reads").as_deref(), Some(b"two".as_slice()));
        let _held = by_link.lock("apply", Duration::ZERO).expect("free");
        assert!(itself.lock("apply", Duration::ZERO).is_err(), "one lock for both names");
        assert!(link.is_symlink());
    }
}
