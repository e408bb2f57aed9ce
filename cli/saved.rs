//! A plan in a file: made in one place, reviewed, applied in another, and nothing but what was shown.
//!
//! It carries its spec and the variables it was made with, secrets excepted; it is bound to the state it was made
//! against. Environment and reality are looked at again when it is applied: only if what was shown would come out
//! otherwise is it stale.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use pgferry_engine::plan::{Change, Plan};
use pgferry_engine::secret::{gives_away, redact};
use pgferry_engine::state::State;
use serde::{Deserialize, Serialize};

use crate::arguments::{Mode, Planning};
use crate::outcome::Stop;

/// The format this build writes.
const FORMAT: u32 = 1;

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    format: u32,
    /// The version that wrote it.
    pgferry: String,
    /// The spec's path as typed, and its text.
    pub(crate) file: PathBuf,
    pub(crate) spec: String,
    /// Values given for variables; secret ones must be given again.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) planning: Planning,
    #[serde(default)]
    pub(crate) mode: Mode,
    pub(crate) plan: Plan,
}

impl Saved {
    /// What is to be saved. Call after planning, when every secret is known.
    pub(crate) fn new(
        file: &Path,
        spec: &str,
        variables: BTreeMap<String, String>,
        planning: &Planning,
        mode: &Mode,
        plan: Plan,
    ) -> Self {
        let open = variables.into_iter().filter(|(_, value)| !gives_away(value));
        Self {
            format: FORMAT,
            pgferry: env!("CARGO_PKG_VERSION").to_owned(),
            file: file.to_owned(),
            spec: spec.to_owned(),
            variables: open.collect(),
            planning: planning.clone(),
            mode: mode.clone(),
            plan,
        }
    }

    /// Writes it, whole or not at all, readable by its owner.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Stop> {
        let failed = |cause: &dyn std::fmt::Display| {
            Stop::because(format!("saving the plan as `{}`: {cause}", path.display()))
        };
        let text = serde_json::to_string_pretty(self).map_err(|cause| failed(&cause))?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|cause| failed(&cause))?;
        file.write_all(redact(&text).as_bytes()).map_err(|cause| failed(&cause))?;
        file.as_file().sync_all().map_err(|cause| failed(&cause))?;
        file.persist(path).map_err(|cause| failed(&cause.error))?;
        Ok(())
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> Result<Self, Stop> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Stop::because(format!("reading the plan `{shown}`: {cause}")))?;
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|cause| {
            Stop::because(format!("`{shown}` is no saved plan: {cause}"))
                .help("`pgferry plan --out FILE` writes one")
        })?;
        let format = json.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if format > u64::from(FORMAT) {
            return Err(Stop::because(format!(
                "the plan `{shown}` has format {format}; this pgferry knows {FORMAT}"
            ))
            .help("use the pgferry that wrote it, or a newer one"));
        }
        serde_json::from_value(json).map_err(|cause| {
            Stop::because(format!("`{shown}` is no saved plan: {cause}"))
                .help("`pgferry plan --out FILE` writes one")
        })
    }

    /// Stops if the state has moved since.
    pub(crate) fn fits(&self, state: &State) -> Result<(), Stop> {
        let plan = &self.plan;
        if (&plan.lineage, plan.serial) == (&state.lineage, state.serial) {
            return Ok(());
        }
        Err(stale(format!(
            "it was made against serial {} of the state, which is at serial {} now",
            plan.serial, state.serial
        )))
    }

    /// Stops if what was shown is not what would be done now, and says what moved.
    pub(crate) fn still_holds(&self, now: &Plan) -> Result<(), Stop> {
        let mut moved = Vec::new();
        let addresses = self.plan.changes.keys().chain(now.changes.keys());
        for address in addresses.collect::<std::collections::BTreeSet<_>>() {
            let (then, now) = (self.plan.changes.get(address), now.changes.get(address));
            match (then, now) {
                (Some(then), Some(now)) => moved.extend(differs(then, now)),
                _ => moved.push(format!("`{address}` is in only one of the two plans")),
            }
        }
        let drifted = self.plan.drift.keys().chain(now.drift.keys());
        for address in drifted.collect::<std::collections::BTreeSet<_>>() {
            if self.plan.drift.get(address) != now.drift.get(address) {
                moved.push(format!("`{address}` has changed again outside of pgferry"));
            }
        }
        let scopes = self.plan.scopes.keys().chain(now.scopes.keys());
        for address in scopes.collect::<std::collections::BTreeSet<_>>() {
            let (then, now) = (self.plan.scopes.get(address), now.scopes.get(address));
            if then.map(|then| then.what) != now.map(|now| now.what) {
                moved.push(format!("`{address}` would be opened or closed otherwise"));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        const SHOWN: usize = 5;
        let more = moved.len().saturating_sub(SHOWN);
        moved.truncate(SHOWN);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(stale(format!("{}{more}", moved.join("; "))))
    }
}

fn differs(then: &Change, now: &Change) -> Option<String> {
    let address = &then.address;
    if then.takes_up != now.takes_up {
        return Some(format!("what goes on of `{address}` is another matter now"));
    }
    if then.action != now.action {
        return Some(format!("`{address}` was to be {:?}, now {:?}", then.action, now.action));
    }
    let field = then.fields.iter().zip(&now.fields).find(|(a, b)| a != b).map(|(a, _)| &a.name);
    let field = field.or_else(|| {
        let longer = if then.fields.len() > now.fields.len() { &then.fields } else { &now.fields };
        (then.fields.len() != now.fields.len()).then(|| longer.last().map(|f| &f.name)).flatten()
    })?;
    Some(format!("`{field}` of `{address}` has moved"))
}

fn stale(why: String) -> Stop {
    Stop::because(format!("the saved plan is stale: {why}"))
        .help("nothing was changed; plan again, review it, and apply that")
}
