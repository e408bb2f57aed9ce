//! Where the state is, for commands that need nothing else of the spec: no tokens, no variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pgferry_engine::cx::SystemClock;
use pgferry_engine::source::{Source, yaml};
use pgferry_engine::state::file::StateFile;
use pgferry_engine::state::journal;
use pgferry_engine::state::store::{Lock, Store};
use pgferry_engine::state::{State, StateError};
use pgferry_objects::state::{ObjectState, is_remote};

use crate::arguments::Common;
use crate::environment::{environment, holder};
use crate::interrupt;
use crate::outcome::Stop;
use crate::project::{Project, folder};
use crate::view;

/// The place of the state: as given, or as the spec says, or beside the spec.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn Store>,
    base: PathBuf,
}

impl Place {
    /// Reads no more of the spec than its `state`.
    pub(crate) fn find(common: &Common) -> Result<Self, Stop> {
        let path = &common.file;
        let base = folder(path).map_err(|cause| {
            Stop::because(format!("finding the folder of `{}`: {cause}", path.display()))
        })?;
        let said = match std::fs::read(path) {
            _ if common.state.is_some() => None,
            Ok(bytes) => said(&path.display().to_string(), bytes),
            Err(cause) => {
                return Err(Stop::because(format!(
                    "reading the spec `{}`: {cause}",
                    path.display()
                ))
                .help("name the spec with `--file`, or the state itself with `--state`"));
            }
        };
        let store = match said {
            // A place made of variables is known only with all of the spec.
            Some(said) if said.contains("${") => Project::open(common)?.store,
            said => store(common, said.as_deref(), &base, &Arc::new(environment()))?,
        };
        Ok(Self { store, base })
    }

    /// Another place, as typed: a URL or a path.
    pub(crate) fn other(&self, text: &str) -> Result<Self, Stop> {
        let path = std::path::absolute(text)
            .map_err(|cause| Stop::because(format!("finding `{text}`: {cause}")))?;
        let store = match scheme(text) {
            Some(_) => at(text, &self.base, &Arc::new(environment()))?,
            None => Arc::new(StateFile::new(path)),
        };
        Ok(Self { store, base: self.base.clone() })
    }

    /// What is remembered, with what a crashed run left folded in. Changes no file.
    pub(crate) fn state(&self) -> Result<State, Stop> {
        let known = journal::recover(self.store.as_ref())?;
        known.ok_or_else(|| {
            Stop::because(format!("there is no state at `{}` yet", self.store.name()))
                .help("the first `pgferry apply` makes it")
        })
    }

    /// Takes the lock for `purpose`.
    pub(crate) fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, Stop> {
        take(&self.store, purpose, patience)
    }
}

/// Takes the lock of `store`; one that would outlive this process is given back if it is interrupted.
pub(crate) fn take(
    store: &Arc<dyn Store>,
    purpose: &str,
    patience: Duration,
) -> Result<Box<dyn Lock>, Stop> {
    // Before it is taken, or Ctrl-C could come in between.
    if is_remote(&store.name()) {
        interrupt::give_back(Arc::clone(store));
    }
    match store.lock(purpose, Duration::ZERO) {
        Err(held @ StateError::Locked { .. }) if !patience.is_zero() => {
            view::talk(&format!("Waiting for the lock: {held}"));
            Ok(store.lock(purpose, patience)?)
        }
        taken => Ok(taken?),
    }
}

/// The store of `--state`, or of the spec's `state:`, or a file beside the spec.
pub(crate) fn store(
    common: &Common,
    said: Option<&str>,
    base: &Path,
    env: &Arc<BTreeMap<String, String>>,
) -> Result<Arc<dyn Store>, Stop> {
    match (&common.state, said) {
        (Some(given), _) => match given.to_str().filter(|text| scheme(text).is_some()) {
            Some(url) => at(url, base, env),
            None => Ok(Arc::new(StateFile::new(given))),
        },
        (None, said) => at(said.unwrap_or("pgferry.state.json"), base, env),
    }
}

/// The store at a URL, or at a path that may begin in `base`. Nothing is reached yet.
fn at(
    text: &str,
    base: &Path,
    env: &Arc<BTreeMap<String, String>>,
) -> Result<Arc<dyn Store>, Stop> {
    match scheme(text) {
        None => Ok(Arc::new(StateFile::new(base.join(text)))),
        Some("file") => Ok(Arc::new(StateFile::new(&text["file://".len()..]))),
        Some(_) => {
            let clock = Arc::new(SystemClock);
            Ok(Arc::new(ObjectState::open(text, Arc::clone(env), holder(env), clock)?))
        }
    }
}

/// `s3` of `s3://…`; a path has none.
fn scheme(text: &str) -> Option<&str> {
    text.split_once("://").map(|(scheme, _)| scheme)
}

/// The spec's `state:`, if it can be read and has one.
fn said(name: &str, bytes: Vec<u8>) -> Option<String> {
    let source = Source::from_bytes(name, bytes).ok()?;
    let (root, _) = yaml::parse(&source);
    let root = root?;
    let entry = root.as_map()?.iter().find(|entry| entry.key == "state")?;
    entry.value.as_str().map(str::to_owned)
}
