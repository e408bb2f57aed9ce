//! Where the state is, for commands that need nothing else of the spec: no tokens, no variables.

use std::time::Duration;

use pgferry_engine::source::{Source, yaml};
use pgferry_engine::state::State;
use pgferry_engine::state::file::{Lock, StateFile};
use pgferry_engine::state::journal;

use crate::arguments::Common;
use crate::outcome::Stop;
use crate::project::{Project, folder, local};

/// The place of the state: as given, or as the spec says, or beside the spec.
pub(crate) struct Place {
    pub(crate) file: StateFile,
}

impl Place {
    /// Reads no more of the spec than its `state`.
    pub(crate) fn find(common: &Common) -> Result<Self, Stop> {
        if let Some(path) = &common.state {
            return Ok(Self { file: StateFile::new(path) });
        }
        let path = &common.file;
        let base = folder(path).map_err(|cause| {
            Stop::because(format!("finding the folder of `{}`: {cause}", path.display()))
        })?;
        let said = match std::fs::read(path) {
            Ok(bytes) => said(&path.display().to_string(), bytes),
            Err(cause) => {
                return Err(Stop::because(format!(
                    "reading the spec `{}`: {cause}",
                    path.display()
                ))
                .help("name the spec with `--file`, or the state itself with `--state`"));
            }
        };
        let file = match said {
            // A place made of variables is known only with all of the spec.
            Some(said) if said.contains("${") => Project::open(common)?.place,
            Some(said) => StateFile::new(base.join(local(&said)?)),
            None => StateFile::new(base.join("pgferry.state.json")),
        };
        Ok(Self { file })
    }

    /// What is remembered, with what a crashed run left folded in. Changes no file.
    pub(crate) fn state(&self) -> Result<State, Stop> {
        let known = journal::recover(&self.file)?;
        known.ok_or_else(|| {
            Stop::because(format!("there is no state at `{}` yet", self.file.path().display()))
                .help("the first `pgferry apply` makes it")
        })
    }

    /// Takes the lock for `purpose`.
    pub(crate) fn lock(&self, purpose: &str, patience: Duration) -> Result<Lock, Stop> {
        Ok(self.file.lock(purpose, patience)?)
    }
}

/// The spec's `state:`, if it can be read and has one.
fn said(name: &str, bytes: Vec<u8>) -> Option<String> {
    let source = Source::from_bytes(name, bytes).ok()?;
    let (root, _) = yaml::parse(&source);
    let root = root?;
    let entry = root.as_map()?.iter().find(|entry| entry.key == "state")?;
    entry.value.as_str().map(str::to_owned)
}
