//! Where the state is, for commands that need nothing else of the spec: no tokens, no variables.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgferry_engine::source::{Source, yaml};
use pgferry_engine::state::State;
use pgferry_engine::state::file::StateFile;
use pgferry_engine::state::journal;
use pgferry_engine::state::store::{Lock, Store};

use crate::arguments::Common;
use crate::outcome::Stop;
use crate::project::{Project, folder};

/// The place of the state: as given, or as the spec says, or beside the spec.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn Store>,
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
            said => store(common, said.as_deref(), &base)?,
        };
        Ok(Self { store })
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
        Ok(self.store.lock(purpose, patience)?)
    }
}

/// The store of `--state`, or of the spec's `state:`, or a file beside the spec.
pub(crate) fn store(
    common: &Common,
    said: Option<&str>,
    base: &Path,
) -> Result<Arc<dyn Store>, Stop> {
    let path = match (&common.state, said) {
        (Some(path), _) => path.clone(),
        (None, Some(said)) if said.contains("://") => {
            return Err(Stop::because(format!(
                "`state: {said}`: states in object stores are not in this version"
            ))
            .help("use a local file, e.g. `state: ./pgferry.state.json`"));
        }
        (None, said) => base.join(said.unwrap_or("pgferry.state.json")),
    };
    Ok(Arc::new(StateFile::new(path)))
}

/// The spec's `state:`, if it can be read and has one.
fn said(name: &str, bytes: Vec<u8>) -> Option<String> {
    let source = Source::from_bytes(name, bytes).ok()?;
    let (root, _) = yaml::parse(&source);
    let root = root?;
    let entry = root.as_map()?.iter().find(|entry| entry.key == "state")?;
    entry.value.as_str().map(str::to_owned)
}
