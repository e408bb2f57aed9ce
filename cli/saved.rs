//! A plan in a file: made in one place, reviewed, applied in another, and nothing but what was shown.
//!
//! It carries its spec and the variables it was made with, secrets excepted; it is bound to the state it was made
//! against. Environment and reality are looked at again when it is applied: only if an identity moved, or a value that
//! was shown, is it stale. Tested in `tests/saved.rs`; fixtures of the format are in `tests/compat`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use pgferry_engine::address::Address;
use pgferry_engine::info::Kind;
use pgferry_engine::plan::values::{Values, Whole};
use pgferry_engine::plan::{Draft, Input, Plan, Reality};
use pgferry_engine::secret::{gives_away, redact};
use pgferry_engine::state::{SECRET_IN_CLEAR, State, given_away};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::arguments::{Common, Mode, Planning, pairs};
use crate::outcome::Stop;
use crate::project::Project;
use crate::view::json::document::Parts;

mod stale;

/// The format this build writes. Older ones load for ever; newer ones are refused.
const FORMAT: u32 = 1;

/// The file's content.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    /// The format of this file.
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
    /// What everything was that was there already: the provider's own ids.
    #[serde(default)]
    ids: BTreeMap<Address, String>,
    /// Every resource whole, for programs that judge plans.
    #[serde(default)]
    values: BTreeMap<Address, Values>,
    /// The same of what drifted: as remembered, and as found.
    #[serde(default)]
    drifted: BTreeMap<Address, Values>,
}

/// The schema of the file, JSON Schema 2020-12.
pub(crate) fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Saved).to_value();
    schema["title"] = "pgferry saved plan".into();
    schema["properties"]["format"] =
        serde_json::json!({ "const": FORMAT, "description": "The format of this file." });
    schema
}

impl Saved {
    /// What is to be saved. Call after planning, when every secret is known.
    pub(crate) fn new(
        common: &Common,
        project: &Project,
        planning: &Planning,
        mode: &Mode,
        input: &Input<'_>,
        draft: Draft,
        reality: &Reality,
    ) -> Self {
        let variables = project.variables.clone().into_iter();
        let whole = Whole::new(input, &draft, reality);
        let changes = draft.plan.changes.values();
        let values = changes.map(|c| (c.address.clone(), whole.values(c))).collect();
        let drifted = draft.plan.drift.keys().map(|a| (a.clone(), whole.drifted(a))).collect();
        Self {
            format: FORMAT,
            pgferry: env!("CARGO_PKG_VERSION").to_owned(),
            file: common.file.clone(),
            spec: project.source.text.to_string(),
            variables: variables.filter(|(_, value)| !gives_away(value)).collect(),
            planning: planning.clone(),
            mode: mode.clone(),
            ids: identities(&draft, project),
            values,
            drifted,
            plan: draft.plan,
        }
    }

    /// Writes it, whole or not at all, readable by its owner.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Stop> {
        let failed = |cause: &dyn std::fmt::Display| {
            Stop::because(format!("saving the plan as `{}`: {cause}", path.display()))
        };
        let mut document = serde_json::to_value(self).map_err(|cause| failed(&cause))?;
        mask_talk(&mut document);
        // The spec is a text in clear wherever it is.
        let checked =
            document.as_object().into_iter().flatten().filter(|(name, _)| *name != "spec");
        for (name, part) in checked {
            if let Some(field) = given_away(part) {
                let why = format!("`{name}.{field}` holds a secret, and would be stored in clear");
                return Err(failed(&why).help(SECRET_IN_CLEAR));
            }
        }
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|cause| failed(&cause))?;
        let text = serde_json::to_vec(&document).map_err(|cause| failed(&cause))?;
        file.write_all(&text).map_err(|cause| failed(&cause))?;
        file.as_file().sync_all().map_err(|cause| failed(&cause))?;
        file.persist(path).map_err(|cause| failed(&cause.error))?;
        Ok(())
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> Result<Self, Stop> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Stop::because(format!("reading the plan `{shown}`: {cause}")))?;
        let none = |cause: serde_json::Error| {
            Stop::because(format!("`{shown}` is no saved plan: {cause}"))
                .help("`pgferry plan --out FILE` writes one")
        };
        let format: Format = serde_json::from_str(&text).map_err(none)?;
        if format.format > FORMAT {
            return Err(Stop::because(format!(
                "the plan `{shown}` has format {}; this pgferry knows {FORMAT}",
                format.format
            ))
            .help("use the pgferry that wrote it, or a newer one"));
        }
        serde_json::from_str(&text).map_err(none)
    }

    /// The parts of its JSON document.
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            plan: &self.plan,
            values: &self.values,
            drifted: &self.drifted,
            variables: &self.variables,
            complete: self.plan.left_out.is_empty(),
        }
    }

    /// Stops if a variable is given another value than the plan was made with.
    pub(crate) fn agrees_with(&self, common: &Common) -> Result<(), Stop> {
        for (name, value) in pairs(&common.var, "var")? {
            if self.variables.get(&name).is_some_and(|known| *known != value) {
                return Err(Stop::because(format!(
                    "`--var {name}=…`: the saved plan was made with another value of `{name}`"
                ))
                .help("a saved plan carries its variables: leave it out, or plan again"));
            }
        }
        Ok(())
    }

    /// Stops if the state has moved since.
    pub(crate) fn fits(&self, state: &State) -> Result<(), Stop> {
        let plan = &self.plan;
        if plan.lineage != state.lineage {
            return Err(stale::stale(format!(
                "it was made against another state: of lineage {}, not {}",
                plan.lineage, state.lineage
            )));
        }
        if plan.serial != state.serial {
            return Err(stale::stale(format!(
                "it was made against serial {} of the state, which is at serial {} now",
                plan.serial, state.serial
            )));
        }
        Ok(())
    }
}

/// Blanks known secrets out of what is for people alone: findings, reasons, notes.
fn mask_talk(document: &mut Json) {
    match document {
        Json::Array(items) => items.iter_mut().for_each(mask_talk),
        Json::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "reasons" | "notes" | "message" | "help" => mask(member),
                    // Values of resources, whatever their fields are called.
                    "values" | "drifted" | "before" | "after" => {}
                    _ => mask_talk(member),
                }
            }
        }
        _ => {}
    }
}

fn mask(talk: &mut Json) {
    match talk {
        Json::Array(items) => items.iter_mut().for_each(mask),
        Json::String(text) => *text = redact(text).into_owned(),
        _ => {}
    }
}

/// The one member that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The ids of what is there, looked up or managed. What has no effect outside is not anywhere.
fn identities(draft: &Draft, project: &Project) -> BTreeMap<Address, String> {
    let changes = draft.plan.changes.values();
    let outside = changes.filter(|change| {
        let internal = project.catalog.get(&change.type_name).is_some_and(|i| i.traits.internal);
        matches!(change.kind, Kind::Lookup | Kind::Managed) && !internal
    });
    let ids = outside.filter_map(|change| {
        let handle = draft.handles.get(&change.address)?;
        Some((change.address.clone(), handle.id.clone()?))
    });
    ids.collect()
}
