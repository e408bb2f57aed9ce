//! A state in a local file: written whole or not at all, one backup, one writer.
//!
//! The lock is on a file of its own, so that the state can be replaced by rename while it is held; it dies with the
//! process. Tested in `tests` below and by killing real processes in the root package.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FORMAT, State};

/// Where a state is kept.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// The state cannot be read, written or locked.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state `{path}` is empty or cut short: {why}")]
    Damaged { path: String, why: String },
    #[error("the state `{path}` has format {found}; this pgferry knows formats up to {FORMAT}")]
    Newer { path: String, found: u64 },
    #[error("{doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the state is locked by {holder}")]
    Locked { holder: String },
    #[error("the journal beside `{path}` cannot be continued: {why}")]
    Journal { path: String, why: String },
}

impl StateError {
    /// What to do next.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Damaged { path, .. } => Some(format!(
                "nothing was changed; put the last good copy back: `cp {path}.backup {path}`, then run `pgferry plan`"
            )),
            Self::Newer { .. } => Some("use the pgferry that wrote it, or a newer one".to_owned()),
            Self::Locked { .. } => Some(
                "wait for it, or give `--lock-timeout 5m`; the lock goes with its process"
                    .to_owned(),
            ),
            Self::Journal { path, .. } => {
                Some(format!("keep `{path}` and its journal, and report this; nothing was changed"))
            }
            Self::Io { .. } => None,
        }
    }
}

/// Held while a command may change the state; released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl StateFile {
    /// A state at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
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

    /// Reads the state; `None` if there is none yet.
    ///
    /// # Errors
    /// Empty, cut, damaged or newer files are refused, never read as "nothing".
    pub fn load(&self) -> Result<Option<State>, StateError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(self.io("reading the state")(cause)),
        };
        let path = self.path.display().to_string();
        let damaged =
            |why: String| StateError::Damaged { path: self.path.display().to_string(), why };
        if text.trim().is_empty() {
            return Err(damaged("it holds nothing".to_owned()));
        }
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|cause| damaged(cause.to_string()))?;
        let found = json.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if found > u64::from(FORMAT) {
            return Err(StateError::Newer { path, found });
        }
        serde_json::from_value(json).map(Some).map_err(|cause| damaged(cause.to_string()))
    }

    /// Replaces the state: temporary file, fsync, rename, fsync of the folder; the former one becomes `.backup`.
    ///
    /// # Errors
    /// Disk full and the like; the former state is then untouched.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(self.io("making the folder of the state"))?;
        let mut text = serde_json::to_vec_pretty(state)
            .map_err(io::Error::other)
            .map_err(self.io("writing the state"))?;
        text.push(b'\n');
        let write = || -> io::Result<()> {
            let mut temporary =
                tempfile::Builder::new().prefix(".pgferry-state").tempfile_in(folder)?;
            temporary.write_all(&text)?;
            temporary.as_file().sync_all()?;
            if self.path.exists() {
                let backup = self.beside(".backup");
                match fs::remove_file(&backup) {
                    Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                    _ => {}
                }
                fs::hard_link(&self.path, &backup)
                    .or_else(|_| fs::copy(&self.path, &backup).map(|_| ()))?;
            }
            temporary.persist(&self.path).map_err(|failed| failed.error)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(self.io("writing the state"))
    }

    /// Takes the lock, waiting up to `patience` for whoever holds it.
    ///
    /// # Errors
    /// [`StateError::Locked`] names the holder and its purpose.
    pub fn lock(&self, purpose: &str, patience: Duration) -> Result<Lock, StateError> {
        let path = self.beside(".lock");
        let folder = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        fs::create_dir_all(folder.unwrap_or(Path::new(".")))
            .map_err(self.io("making the folder of the state"))?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(self.io("opening the lock of"))?;
        let step = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if waited < patience => {
                    std::thread::sleep(step);
                    waited += step;
                }
                Err(fs::TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    file.read_to_string(&mut holder).map_err(self.io("reading the lock of"))?;
                    let holder = holder.trim();
                    let holder = if holder.is_empty() { "another process" } else { holder };
                    return Err(StateError::Locked { holder: holder.to_owned() });
                }
                Err(fs::TryLockError::Error(cause)) => {
                    return Err(self.io("locking")(cause));
                }
            }
        }
        file.set_len(0).map_err(self.io("writing the lock of"))?;
        let holder = format!("process {} ({purpose})\n", std::process::id());
        file.write_all(holder.as_bytes()).map_err(self.io("writing the lock of"))?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, StateFile) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path().join("s.json"));
        (folder, file)
    }

    #[test]
    fn what_is_saved_is_loaded_and_the_former_one_kept() {
        let (_folder, file) = scratch();
        assert_eq!(file.load().expect("loads"), None);
        let mut state = State::new("m", "abc".into());
        file.save(&state).expect("saves");
        state.serial = 1;
        file.save(&state).expect("saves");
        assert_eq!(file.load().expect("loads"), Some(state));
        let backup = StateFile::new(file.beside(".backup")).load().expect("loads");
        assert_eq!(backup.map(|s| s.serial), Some(0));
    }

    #[test]
    fn a_damaged_state_is_never_read_as_nothing() {
        let (_folder, file) = scratch();
        for (text, want) in
            [("", "holds nothing"), ("{\"format\": 1, ", "EOF"), ("{\"format\": 99}", "format 99")]
        {
            fs::write(file.path(), text).expect("writes");
            let refused = file.load().expect_err("refused").to_string();
            assert!(refused.contains(want), "{refused}");
        }
    }

    #[test]
    fn a_second_writer_is_told_who_holds_the_lock() {
        let (_folder, file) = scratch();
        let held = file.lock("apply", Duration::ZERO).expect("free");
        let refused = file.lock("apply", Duration::ZERO).expect_err("held").to_string();
        assert_eq!(
            refused,
            format!("the state is locked by process {} (apply)", std::process::id())
        );
        drop(held);
        file.lock("apply", Duration::ZERO).expect("free again");
    }
}
