//! The `pg_dump` of this machine that fits both ends.
//!
//! It owns where to look, how versions are read, and which archive a restorer can read. It runs nothing but
//! `--version`. Tested with stand-in programs and as a pure choice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pgferry_engine::cx::Cx;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::connect::Session;

/// A client program and what it says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    pub path: PathBuf,
    /// `15.18`.
    pub version: String,
    pub major: u32,
}

/// Every `name` that can be found, in the order of the search.
///
/// `PGFERRY_PG_BIN` (a list of folders, as `PATH` is one) is the only place where it is set; else `PATH`, Debian's
/// `/usr/lib/postgresql/*/bin`, the Red Hat family's `/usr/pgsql-*/bin`, and Homebrew. Debian's wrapper is passed
/// over: it picks a version by itself, and the real programs are found beside it.
pub async fn find(cx: &Cx, name: &str) -> Vec<Program> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for folder in folders(cx.env("PGFERRY_PG_BIN"), cx.env("PATH")) {
        let path = folder.join(name);
        let Ok(real) = path.canonicalize() else { continue };
        let wrapper = real.file_name().is_some_and(|file| file == "pg_wrapper");
        if wrapper || !seen.insert(real) {
            continue;
        }
        found.extend(probe(cx, path).await);
    }
    found
}

fn folders(named: Option<&str>, path: Option<&str>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return std::env::split_paths(named).collect();
    }
    let mut folders: Vec<PathBuf> = path.map(std::env::split_paths).into_iter().flatten().collect();
    folders
        .extend(inside("/usr/lib/postgresql", "").into_iter().map(|version| version.join("bin")));
    folders.extend(inside("/usr", "pgsql-").into_iter().map(|version| version.join("bin")));
    for cellar in ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"] {
        for formula in ["postgresql", "libpq"] {
            folders.extend(inside(cellar, formula).into_iter().map(|keg| keg.join("bin")));
        }
    }
    folders
}

fn inside(folder: &str, prefix: &str) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(Path::new(folder))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    entries
}

async fn probe(cx: &Cx, path: PathBuf) -> Option<Program> {
    let output = Command::new(&path)
        .arg("--version")
        .env_clear()
        .envs(environment(cx))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = version_in(&text)?;
    let major = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Program { path, version, major })
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` → `15.18`.
fn version_in(text: &str) -> Option<String> {
    text.split_once("(PostgreSQL)")?
        .1
        .split_whitespace()
        .next()
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
}

/// Our environment without what would steer a client program (`PG*`) and without keys and connection strings, of which
/// it must know nothing. Messages are asked for in English, so that they can be read by programs too.
pub(crate) fn environment(cx: &Cx) -> impl Iterator<Item = (String, String)> + '_ {
    cx.world
        .env
        .iter()
        .filter(|(name, value)| {
            let libpq = name.starts_with("PG") && !name.starts_with("PGFERRY");
            !libpq && !name.starts_with("LC_") && !is_secret(name, value)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .chain([("LC_ALL".to_owned(), "C".to_owned())])
}

/// Whether a variable looks like a key, or a URL with a password.
fn is_secret(name: &str, value: &str) -> bool {
    const NAMES: [&str; 6] =
        ["TOKEN", "SECRET", "PASSWORD", "API_KEY", "ACCESS_KEY", "DATABASE_URL"];
    let name = name.to_ascii_uppercase();
    let with_password = value.split_once("://").is_some_and(|(_, rest)| {
        let place = rest.split(['/', '?']).next().unwrap_or_default();
        place.split_once('@').is_some_and(|(login, _)| login.contains(':'))
    });
    name.starts_with("AWS_")
        || NAMES.iter().any(|part| name.contains(part))
        || value.starts_with("postgres://")
        || value.starts_with("postgresql://")
        || with_password
}

/// The format of archives that `pg_dump` or `pg_restore` of a major version writes or reads at most.
///
/// 12–15: 1.14; 16: 1.15; 17 and later: 1.16 (`K_VERS_*` in pg_backup_archiver.h).
pub fn archive_version(major: u32) -> (u32, u32) {
    match major {
        0..=11 => (1, 13),
        12..=15 => (1, 14),
        16 => (1, 15),
        _ => (1, 16),
    }
}

impl Program {
    /// The number after the major version; none for one that is not released yet.
    fn minor(&self) -> u32 {
        minor_in(&self.version)
    }
}

/// The version of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// That of the session's server.
    pub fn of(session: &Session) -> Self {
        let number = u32::try_from(session.version_number).unwrap_or_default();
        Self { major: session.major(), minor: number % 10_000 }
    }

    /// Of `15.18`.
    pub fn parsed(major: u32, version: &str) -> Self {
        Self { major, minor: minor_in(version) }
    }

    /// Whether `program` is of the same major version and an earlier minor one. It may not know what a later one keeps
    /// in the catalogue: 15.18 takes the notes of 15.20 (`pg_attver`) for options of columns.
    pub fn is_newer_than(self, program: &Program) -> bool {
        self.major >= 10 && self.major == program.major && program.minor() < self.minor
    }
}

fn minor_in(version: &str) -> u32 {
    let digits = version.split('.').nth(1).unwrap_or_default();
    digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or(0)
}

/// Why no program fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// There is none at all.
    None,
    /// The newest is older than the source.
    TooOld { newest: u32 },
    /// Those new enough for the source write what the target's `pg_restore` cannot read.
    Unreadable { oldest: u32 },
}

/// The program to dump a source of `source` with: the oldest that is new enough, which a `pg_restore` of `restorer`
/// can read.
///
/// # Errors
/// Why none fits.
pub fn choose(found: &[Program], source: u32, restorer: Option<u32>) -> Result<&Program, Misfit> {
    choose_for(found, Version { major: source, minor: 0 }, restorer)
}

/// As [`choose`]; of those of one major version, the first that is at least as new as the server, else the newest.
///
/// # Errors
/// Why none fits.
pub fn choose_for(
    found: &[Program],
    server: Version,
    restorer: Option<u32>,
) -> Result<&Program, Misfit> {
    let source = server.major;
    let newest = found.iter().map(|program| program.major).max().ok_or(Misfit::None)?;
    let chosen = found
        .iter()
        .filter(|program| program.major >= source)
        .min_by_key(|program| {
            let behind = server.is_newer_than(program);
            (program.major, behind, behind.then(|| std::cmp::Reverse(program.minor())))
        })
        .ok_or(Misfit::TooOld { newest })?;
    match restorer {
        Some(major) if archive_version(chosen.major) > archive_version(major) => {
            Err(Misfit::Unreadable { oldest: chosen.major })
        }
        _ => Ok(chosen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(majors: &[u32]) -> Vec<Program> {
        majors
            .iter()
            .map(|major| Program {
                path: format!("/{major}/pg_dump").into(),
                version: format!("{major}.1"),
                major: *major,
            })
            .collect()
    }

    #[test]
    fn the_oldest_that_is_new_enough() {
        for (found, source, restorer, expect) in [
            (&[][..], 15, None, Err(Misfit::None)),
            (&[14, 17, 16], 15, None, Ok(16)),
            (&[14, 17, 16], 15, Some(16), Ok(16)),
            (&[14, 17, 16], 15, Some(15), Err(Misfit::Unreadable { oldest: 16 })),
            (&[15, 17], 14, Some(14), Ok(15)),
            (&[13], 15, None, Err(Misfit::TooOld { newest: 13 })),
            (&[18], 17, Some(17), Ok(18)),
        ] {
            let all = programs(found);
            assert_eq!(
                choose(&all, source, restorer).map(|program| program.major),
                expect,
                "{found:?} {source} {restorer:?}"
            );
        }
    }

    #[test]
    fn of_one_major_version_one_that_knows_the_server() {
        let program = |path: &str, version: &str| Program {
            path: path.into(),
            version: version.into(),
            major: version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(18),
        };
        let all = [
            program("/a", "15.18"),
            program("/b", "15.20"),
            program("/c", "15.21"),
            program("/d", "15.19"),
            program("/e", "16.1"),
        ];
        let check = |minor: u32, found: &[Program], expect: (&str, bool)| {
            let server = Version { major: 15, minor };
            let chosen = choose_for(found, server, None).expect("one");
            assert_eq!(
                (chosen.path.to_str(), server.is_newer_than(chosen)),
                (Some(expect.0), expect.1),
                "{minor}"
            );
        };
        check(18, &all, ("/a", false));
        check(20, &all, ("/b", false));
        check(22, &all, ("/c", true));
        check(20, &all[..1], ("/a", true));
        check(20, &all[4..], ("/e", false));
        assert_eq!(Version::parsed(15, "15.20 (Debian)"), Version { major: 15, minor: 20 });
        assert!(!Version::parsed(9, "9.6.24").is_newer_than(&program("/x", "9.6")));
    }

    #[test]
    fn versions_are_read_from_what_programs_say() {
        for (text, expect) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some("15.18")),
            ("pg_dump (PostgreSQL) 18beta1", Some("18beta1")),
            ("no such thing", None),
        ] {
            assert_eq!(version_in(text).as_deref(), expect);
        }
    }

    #[test]
    fn one_named_folder_is_the_only_one() {
        assert_eq!(folders(Some("/a:/b"), Some("/usr/bin")), [Path::new("/a"), Path::new("/b")]);
    }
}
