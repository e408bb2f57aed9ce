//! A connection string as a person wrote it, made into URLs of one server each that lean on no file of passwords or
//! services: what our own sessions and `pg_dump` are then given alike.
//!
//! Files are found from the spec's folder. It connects to nothing. Tested in `tests/strings.rs` with real servers.

use std::path::{Path, PathBuf};

use super::words::Words;
use super::{files, parameters};

/// What a string leads to.
pub(crate) struct Resolved {
    /// A URL for each of its hosts, in their order. The string itself where nothing had to be looked up.
    pub(crate) urls: Vec<String>,
    /// Which of the servers is meant.
    pub(crate) wanted: Wanted,
    /// PEM of `sslrootcert`.
    pub(crate) authority: Option<String>,
}

/// `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    /// A standby, or any where there is none.
    PreferStandby,
}

impl Wanted {
    fn read(value: &str) -> Result<Self, String> {
        Ok(match value {
            "any" => Self::Any,
            "read-write" => Self::ReadWrite,
            "read-only" => Self::ReadOnly,
            "primary" => Self::Primary,
            "standby" => Self::Standby,
            "prefer-standby" => Self::PreferStandby,
            _ => {
                return Err("its `target_session_attrs` is not one of `any`, `read-write`, `read-only`, `primary`, \
                            `standby`, `prefer-standby`"
                    .to_owned());
            }
        })
    }

    /// Why a server is not the one that is meant.
    pub(crate) fn refuses(self, standby: bool, read_only: bool) -> Option<&'static str> {
        match self {
            Self::ReadWrite if standby || read_only => Some("it is read-only"),
            Self::ReadOnly if !standby && !read_only => Some("it is not read-only"),
            Self::Primary if standby => Some("it is a standby"),
            Self::Standby | Self::PreferStandby if !standby => Some("it is no standby"),
            _ => None,
        }
    }
}

/// Resolves `text`; `env` is our environment, `base` the folder of the spec.
///
/// # Errors
/// What is wrong with it, without quoting any of its values but names of files and services.
pub(crate) fn resolve<'e>(
    text: &str,
    env: &dyn Fn(&str) -> Option<&'e str>,
    base: &Path,
) -> Result<Resolved, String> {
    let mut words = Words::read(text)?;
    let home = |name: &str| env("HOME").map(|home| Path::new(home).join(name));
    let file = |name: &str| base.join(name);
    let is_url = text.trim_start().starts_with("postgres");
    let before = words.0.clone();
    if let Some(name) = words.get("service").map(str::to_owned) {
        let named = words.get("servicefile").or_else(|| env("PGSERVICEFILE")).map(file);
        let places = match named {
            Some(path) => vec![path],
            None => home(".pg_service.conf")
                .into_iter()
                .chain(env("PGSYSCONFDIR").map(|folder| Path::new(folder).join("pg_service.conf")))
                .collect(),
        };
        let found = places.iter().find_map(|path| files::service(path, &name).transpose());
        let service = found.transpose()?.ok_or_else(|| {
            let places: Vec<String> =
                places.iter().map(|path| path.display().to_string()).collect();
            format!("it names the service `{name}`, which is not in {}", places.join(", "))
        })?;
        for (key, value) in service.0 {
            if words.get(&key).is_none() {
                words.set(&key, value);
            }
        }
    }
    words.remove("service");
    words.remove("servicefile");
    let authority = authority(&mut words, &file)?;
    for name in ["sslcert", "sslkey"] {
        if let Some(path) = words.get(name).map(file) {
            words.set(name, path.display().to_string());
        }
    }
    let wanted = Wanted::read(words.get("target_session_attrs").unwrap_or("any"))?;
    words.remove("target_session_attrs");
    let passwords = match words.get("passfile").map(file) {
        Some(path) if !path.exists() => {
            return Err(format!("its `passfile` {} is missing", path.display()));
        }
        Some(path) => Some(path),
        None => env("PGPASSFILE").map(file).or_else(|| home(".pgpass")),
    };
    words.remove("passfile");
    let mut urls = Vec::new();
    for mut words in each_host(&words)? {
        // It is checked before anything is looked up in it.
        let location = parameters::location(&words)?;
        if location.password.is_none()
            && let Some(path) = &passwords
        {
            let port = location.port.to_string();
            let of = [&*location.host, &port, &location.database, &location.user];
            if let Some(password) = files::password(path, of)? {
                words.set("password", password);
            }
        }
        let as_written = is_url && words.0 == before;
        urls.push(if as_written { text.trim().to_owned() } else { words.url() });
    }
    Ok(Resolved { urls, wanted, authority })
}

/// Takes `sslrootcert` out of `words`: the text of the file, or nothing where the machine's own store is meant.
fn authority(words: &mut Words, file: &dyn Fn(&str) -> PathBuf) -> Result<Option<String>, String> {
    let Some(root) = words.get("sslrootcert").map(str::to_owned) else { return Ok(None) };
    words.remove("sslrootcert");
    let mode = words.get("sslmode");
    if root == "system" {
        return match mode {
            None | Some("verify-full") => Ok(None),
            Some(_) => Err("its `sslrootcert=system` wants `sslmode=verify-full`: write that, or leave `sslmode` out".to_owned()),
        };
    }
    if mode == Some("disable") {
        return Ok(None);
    }
    let path = file(&root);
    let text = std::fs::read_to_string(&path);
    text.map(Some)
        .map_err(|cause| format!("its `sslrootcert` {} cannot be read: {cause}", path.display()))
}

/// The same for each of its hosts; a single port is that of all.
fn each_host(words: &Words) -> Result<Vec<Words>, String> {
    let list = |name: &str| -> Vec<String> {
        words
            .get(name)
            .map(|all| all.split(',').map(|one| one.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    for (name, values) in [("host", &hosts), ("hostaddr", &addresses), ("port", &ports)] {
        if values.len() > 1 && values.len() != count {
            return Err(format!("it has {} values of `{name}` for {count} hosts", values.len()));
        }
        if name != "port" && values.len() == 1 && count > 1 {
            return Err(format!("it has one value of `{name}` for {count} hosts"));
        }
    }
    if count == 1 {
        return Ok(vec![words.clone()]);
    }
    Ok((0..count)
        .map(|at| {
            let mut one = words.clone();
            for (name, values) in [("host", &hosts), ("hostaddr", &addresses), ("port", &ports)] {
                match values.get(at).or(values.first()) {
                    Some(value) => one.set(name, value.clone()),
                    None => one.remove(name),
                }
            }
            one
        })
        .collect())
}
