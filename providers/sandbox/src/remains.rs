//! What a sandbox leaves on disk and running, and how to clear it: also from another process, and after a crash.
//!
//! It owns `record.json`, written before anything is started. Only what is recorded, and what the sandbox itself makes
//! in its directory, is ever removed. Tested in `tests/lifecycle.rs`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cluster::stop_server_in;
use crate::error::Error;
use crate::installation::Account;
use crate::random;

/// The places a sandbox uses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Remains {
    /// The folder of both servers; outside of the sandbox's own when their account cannot reach that.
    pub(crate) servers: PathBuf,
}

/// The file that a shell sources; it exists once all is ready.
pub(crate) fn env_file(dir: &Path) -> PathBuf {
    dir.join("env")
}

/// PEM of the authority that vouches for the source; no secret.
pub(crate) fn authority_file(dir: &Path) -> PathBuf {
    dir.join("source-ca.pem")
}

/// Where the objects of the bucket store are.
pub(crate) fn objects_folder(dir: &Path) -> PathBuf {
    dir.join("s3")
}

fn record_file(dir: &Path) -> PathBuf {
    dir.join("record.json")
}

impl Remains {
    /// Chooses and makes the folder of the servers, and records it.
    ///
    /// # Errors
    /// When a folder or the record cannot be written.
    pub(crate) fn plan(dir: &Path, account: Account) -> Result<Self, Error> {
        let beside = dir.join("postgres");
        // The path of a Unix socket, which lies in a data directory, has a limit of about a hundred bytes.
        let fits = beside.as_os_str().len() < 70;
        let servers = if fits && account.can_reach(dir) {
            beside
        } else {
            let folder =
                PathBuf::from("/tmp").canonicalize().map_err(Error::file("finding", "/tmp"))?;
            folder.join(format!("pgferry-sandbox-{}", random::name(10)))
        };
        let remains = Self { servers };
        let record = record_file(dir);
        let text = serde_json::to_string_pretty(&remains).expect("paths made here are text");
        std::fs::write(&record, text).map_err(Error::file("writing", &record))?;
        let servers = &remains.servers;
        std::fs::create_dir(servers).map_err(Error::file("creating", servers))?;
        account.give(servers)?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(servers, private).map_err(Error::file("protecting", servers))?;
        Ok(remains)
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.servers.join("source")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.servers.join("target")
    }

    /// What a sandbox recorded in `dir`; None if there is nothing of one.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub(crate) fn find(dir: &Path) -> Result<Option<Self>, Error> {
        let path = record_file(dir);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("reading", path)(error)),
        };
        serde_json::from_str(&text).map(Some).map_err(|source| Error::Damaged { path, source })
    }
}

/// Stops both servers of the sandbox in `dir` and removes its data. Blocks; doing it twice is no error.
///
/// # Errors
/// When a server will not end or a file cannot be removed; what is recorded stays recorded then.
pub(crate) fn clear(dir: &Path) -> Result<(), Error> {
    if let Some(remains) = Remains::find(dir)? {
        for data in [remains.source(), remains.target()] {
            stop_server_in(&data)?;
        }
        // Recorded by us, but a record is a file that anybody may have edited.
        let is_ours = remains.servers.file_name().is_some_and(|name| {
            let name = name.to_string_lossy();
            name == "postgres" || name.starts_with("pgferry-sandbox-")
        });
        if is_ours {
            remove_folder(&remains.servers)?;
        }
    }
    remove_folder(&objects_folder(dir))?;
    for file in [env_file(dir), authority_file(dir), record_file(dir)] {
        remove_file(&file)?;
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("removing", path)(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("removing", path)(error))
        }
        _ => Ok(()),
    }
}
