//! What a state in files asks of a disk: few effects, each named, so that a test can stop at every one of them.
//!
//! [`Folders`] is the real one. The simulated one of `engine/tests/world/` knows which bytes and which names would
//! survive a loss of power, and loses, keeps or tears them. Locks are not asked for here: they are the kernel's and
//! survive nothing.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files by path. A call returns when the process that made it sees its effect; only what was synced is durable.
pub trait Disk: Debug + Send + Sync {
    /// A file's content; `None` if it is not there.
    ///
    /// # Errors
    /// It is there and cannot be read.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Makes a file that only its owner may read, and opens it for writing.
    ///
    /// # Errors
    /// Something of that name is there already.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Opened>>;

    /// Gives what is at `from` the name `to`, in one step; what had that name is gone.
    ///
    /// # Errors
    /// Both names are as before.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives what is at `from` a second name.
    ///
    /// # Errors
    /// `to` is taken, or there are no second names here.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name. There being none is success.
    ///
    /// # Errors
    /// It is still there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder and those above it, durably.
    ///
    /// # Errors
    /// There is no such folder now.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// They may not be.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// A file being written, from its end on.
pub trait Opened: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// A part of them may have been added.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes its bytes durable.
    ///
    /// # Errors
    /// They may not be.
    fn sync(&mut self) -> io::Result<()>;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub struct Folders;

impl Disk for Folders {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Opened>> {
        Ok(Box::new(File::options().write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_path_buf)
            .collect();
        fs::create_dir_all(path)?;
        // A folder's name is durable only with the folder that it is in.
        missing.iter().try_for_each(|folder| self.sync_folder(above(folder)))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl Opened for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The folder that `path` is in.
pub(super) fn above(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
