//! Finds the newest complete Postgres installation of this machine, and the account its servers may run under.
//!
//! It owns the places to look and what "complete" means; it does not start anything but `postgres --version`.
//! Tested with folders of stand-in programs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

const NEEDED: [&str; 6] = ["postgres", "initdb", "pg_ctl", "pg_dump", "pg_restore", "psql"];

/// A folder with the server and the client programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
    /// As the server says it, such as `16.9`.
    pub(crate) version: String,
}

impl Installation {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// What is in `bin`, if it is complete.
    fn of(bin: &Path) -> Option<Self> {
        if !NEEDED.iter().all(|name| bin.join(name).is_file()) {
            return None;
        }
        let output =
            Command::new(bin.join("postgres")).arg("--version").current_dir("/").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.split_whitespace().nth(2)?.to_owned();
        let major =
            version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
        Some(Self { bin: bin.to_owned(), major, version })
    }

    /// The newest complete installation; one named by `PGFERRY_PG_BIN` wins over newer ones elsewhere.
    ///
    /// `named` and `path` are the values of `PGFERRY_PG_BIN` and `PATH`: lists of folders as `PATH` is one.
    ///
    /// # Errors
    /// [`Error::NoPostgres`] with the folders that were tried.
    pub(crate) fn newest(
        named: Option<&std::ffi::OsStr>,
        path: Option<&std::ffi::OsStr>,
    ) -> Result<Self, Error> {
        let folders = |list: Option<&std::ffi::OsStr>| {
            list.map(|list| std::env::split_paths(list).collect::<Vec<_>>()).unwrap_or_default()
        };
        if let Some(found) = newest_of(&folders(named)) {
            return Ok(found);
        }
        let mut tried = folders(path);
        tried.extend(inside("/usr/lib/postgresql", |entry| entry.join("bin")));
        for cellar in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
            tried.extend(
                inside(cellar, |entry| entry.join("bin"))
                    .into_iter()
                    .filter(|bin| bin.to_string_lossy().contains("postgresql")),
            );
        }
        newest_of(&tried).ok_or_else(|| Error::NoPostgres {
            looked: tried
                .iter()
                .map(|folder| folder.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

fn newest_of(folders: &[PathBuf]) -> Option<Installation> {
    folders.iter().filter_map(|bin| Installation::of(bin)).max_by_key(|found| found.major)
}

fn inside(folder: &str, to: impl Fn(&Path) -> PathBuf) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| to(&entry.path()))
        .collect();
    found.sort();
    found
}

/// The account that the servers run under: Postgres refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// The one that started the sandbox.
    Own,
    /// Another, less privileged one.
    Other { user: u32, group: u32 },
}

impl Account {
    /// `postgres` or else `nobody` for root; oneself for everybody else.
    pub(crate) fn of_this_process() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Own;
        }
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|wanted| accounts.lines().find_map(|line| Self::from_line(line, wanted)))
            .unwrap_or(Self::Other { user: 65534, group: 65534 })
    }

    fn from_line(line: &str, wanted: &str) -> Option<Self> {
        let mut fields = line.split(':');
        if fields.next() != Some(wanted) {
            return None;
        }
        let user = fields.nth(1)?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Self::Other { user, group })
    }

    /// Whether the account can pass through `folder` and all above it.
    pub(crate) fn can_reach(self, folder: &Path) -> bool {
        let Self::Other { user, .. } = self else { return true };
        folder.ancestors().all(|part| {
            std::fs::metadata(part).is_ok_and(|found| {
                found.mode() & 0o001 != 0 || (found.uid() == user && found.mode() & 0o100 != 0)
            })
        })
    }

    /// Hands `path` over to the account.
    pub(crate) fn give(self, path: &Path) -> Result<(), Error> {
        let Self::Other { user, group } = self else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .map_err(Error::file("changing the owner of", path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn stand_in(folder: &Path, version: &str, programs: &[&str]) {
        std::fs::create_dir_all(folder).unwrap();
        for program in programs {
            let path = folder.join(program);
            std::fs::write(
                &path,
                format!("#!/bin/sh\necho \"postgres (PostgreSQL) {version} (Debian)\"\n"),
            )
            .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn the_newest_complete_installation_wins() {
        let home = tempfile::tempdir().unwrap();
        let (old, new, partial) =
            (home.path().join("old"), home.path().join("new"), home.path().join("partial"));
        stand_in(&old, "14.2", &NEEDED);
        stand_in(&new, "17.1", &NEEDED);
        stand_in(&partial, "99.0", &["pg_dump"]);
        let named = std::env::join_paths([&old, &new, &partial]).unwrap();
        let found = Installation::newest(Some(&named), None).unwrap();
        assert_eq!(found, Installation { bin: new, major: 17, version: "17.1".into() });
    }

    #[test]
    fn an_account_is_read_from_its_line() {
        let line = "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash";
        assert_eq!(
            Account::from_line(line, "postgres"),
            Some(Account::Other { user: 101, group: 104 })
        );
        assert_eq!(Account::from_line(line, "nobody"), None);
    }

    #[test]
    fn a_private_folder_is_out_of_reach_of_others() {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(Account::Own.can_reach(home.path()));
        assert!(!Account::Other { user: 4_000_000, group: 4_000_000 }.can_reach(home.path()));
    }
}
