//! `postgres.settings` — the settings of a database, listed or like another database's.
//!
//! `ALTER DATABASE … SET` (PostgreSQL docs, "ALTER DATABASE"); what a database sets is in `pg_db_role_setting`. By
//! default what the source database itself sets, more by `include`; never `default_transaction_read_only`. Settings
//! beyond those are left alone, and none is ever reset. Tested in `tests/settings.rs`.

mod server;
mod value;

use std::collections::BTreeMap;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::Kind;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio_postgres::error::SqlState;

use self::server::{Difference, Parameter, diff, differences, export, parameters};
pub use self::value::Value;
use self::value::{assigned, same};
use crate::connect::{Access, Format, Said, Session, connect};
use crate::dump::endpoint;
use crate::extensions::{identity, texts, written};
use crate::quoting::identifier;

/// A database under this is good for reading only; a freeze sets it on the source.
const NEVER: &str = "default_transaction_read_only";

/// The type.
pub struct Settings;

/// Settings of a database (`ALTER DATABASE … SET`), like those of another or as listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["like"] }, { "required": ["values"] }]))]
pub struct Spec {
    /// The database to set them for.
    #[schemars(extend("x-change" = "identity"))]
    database: Endpoint,
    /// The database whose settings are wanted; either this or `values`.
    #[serde(default)]
    like: Option<Endpoint>,
    /// The settings, by name.
    #[serde(default)]
    values: Option<IndexMap<String, Value>>,
    /// Settings of `like`'s server to carry over as well.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    include: Option<Vec<String>>,
    /// Settings of `like` to do without.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    exclude: Option<Vec<String>>,
    /// Folder for `settings-source.csv` and `settings-target.csv`, every setting of either server; relative to the
    /// spec's folder.
    #[serde(default)]
    #[schemars(extend("x-change" = "volatile"))]
    csv_dir: Option<String>,
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// The settings as the database has them now.
    pub applied: BTreeMap<String, String>,
    /// Those that it cannot have.
    pub unportable: Vec<Unportable>,
}

/// A setting that the target cannot have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Unportable {
    /// `pg_stat_statements.max`.
    pub name: String,
    /// The value wanted.
    pub value: String,
    /// Why not, as the server says.
    pub reason: String,
}

/// What both servers run with.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    differences: Vec<Difference>,
    /// Wanted, and not known to the target.
    unknown: Vec<String>,
}

impl Resource for Settings {
    const TYPE: &'static str = "postgres.settings";
    const KIND: Kind = Kind::Managed;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        let wanted = wanted(want, None);
        let live = self.read(cx, want, None).await?;
        Ok(live
            .filter(|live| !wanted.is_empty() && live.fields.get("values") == Some(&json!(wanted))))
    }

    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(database) = endpoint(want.get("database")) else { return Ok(None) };
        let session = connect(&database, Access::ReadOnly, Format::Own).await?;
        let there = database_settings(&session).await?;
        let unportable: Vec<Unportable> = remembered
            .and_then(|remembered| remembered.attrs.get("unportable"))
            .and_then(|list| list.to_typed().ok())
            .unwrap_or_default();
        let mut values = IndexMap::new();
        let mut applied = BTreeMap::new();
        for (name, wanted) in wanted(want, remembered) {
            let text = text_of(&wanted);
            let known_not_to_fit = unportable.iter().any(|u| u.name == name && u.value == text);
            match there.get(&name.to_ascii_lowercase()) {
                // Told in the spelling of the spec where it means the same.
                Some(found) if same(&name, found, &text) => {
                    applied.insert(name.clone(), found.clone());
                    values.insert(name, wanted);
                }
                Some(found) => {
                    applied.insert(name.clone(), found.clone());
                    values.insert(name, json!(found));
                }
                None if known_not_to_fit => {
                    values.insert(name, wanted);
                }
                None => {}
            }
        }
        Ok(Some(Live {
            id: identity(&database, &session),
            fields: [("values".to_owned(), json!(values))].into(),
            attrs: Attrs { applied, unportable },
        }))
    }

    async fn expand(&self, _: &Cx, want: &Tree) -> Result<Option<IndexMap<String, Json>>, Fault> {
        match (written(want, "like"), written(want, "values")) {
            (true, false) => {}
            (false, true) => return Ok(None),
            _ => return Err(neither()),
        }
        let Some(model) = endpoint(want.get("like")) else { return Ok(None) };
        let values =
            resembling(&model, &texts(want.get("include")), &texts(want.get("exclude"))).await?;
        Ok(Some([("values".to_owned(), json!(values))].into()))
    }
    async fn inspect(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(database) = endpoint(want.get("database")) else { return Ok(None) };
        let target = parameters(&connect(&database, Access::ReadOnly, Format::Own).await?).await?;
        let wanted = wanted(want, remembered);
        let mut seen = Seen {
            differences: Vec::new(),
            unknown: wanted
                .keys()
                .filter(|name| !target.contains_key(*name) && !name.contains('.'))
                .cloned()
                .collect(),
        };
        if let Some(model) = endpoint(want.get("like"))
            && let Ok(session) = connect(&model, Access::ReadOnly, Format::Own).await
        {
            let source = parameters(&session).await?;
            seen.differences = differences(&source, &target, |name| wanted.contains_key(name));
        }
        serde_json::to_value(seen)
            .map(Some)
            .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
    }

    fn judge(_: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        let Ok(seen) = serde_json::from_value::<Seen>(facts.clone()) else { return Vec::new() };
        let mut findings: Vec<Finding> = seen
            .unknown
            .iter()
            .map(|name| {
                Finding::warning(
                    "PGF1312",
                    format!("the target does not know the setting `{name}`"),
                )
                .help(format!("it is left out; add `{name}` to `exclude` to silence this"))
            })
            .collect();
        if !seen.differences.is_empty() {
            findings.push(not_carried(&seen.differences));
        }
        findings
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Spec { database, like, values, include, exclude, csv_dir } = change.want;
        let values = match (values, &like) {
            (Some(values), _) => values,
            (None, Some(model)) => {
                let (include, exclude) = (include.as_deref(), exclude.as_deref());
                let found =
                    resembling(model, include.unwrap_or_default(), exclude.unwrap_or_default());
                found.await?.into_iter().map(|(name, text)| (name, Value::Text(text))).collect()
            }
            (None, None) => return Err(neither()),
        };
        let session = connect(&database, Access::ReadWrite, Format::Own).await?;
        let mut attrs = Attrs { applied: BTreeMap::new(), unportable: Vec::new() };
        for (name, value) in values.iter().filter(|(name, _)| *name != NEVER) {
            let value = value.text();
            // What a person asked for by name must not go missing silently.
            let asked = like.is_none() || include.iter().flatten().any(|included| included == name);
            cx.effect("alter database")?;
            match set(&session, name, &value).await {
                Ok(()) => {
                    attrs.applied.insert(name.clone(), value);
                }
                Err(cause) if !asked && does_not_fit(&cause) => {
                    let reason = Said::of(cause).to_string();
                    cx.warn(format!("the setting `{name}` is not carried over: {reason}"));
                    attrs.unportable.push(Unportable { name: name.clone(), value, reason });
                }
                Err(cause) => {
                    return Err(session.fault(&format!("setting `{name}`"), cause));
                }
            }
        }
        // A session begun now sees what was set.
        let target = parameters(&connect(&database, Access::ReadOnly, Format::Own).await?).await?;
        let source = match &like {
            Some(model) => {
                Some(parameters(&connect(model, Access::ReadOnly, Format::Own).await?).await?)
            }
            None => None,
        };
        show(cx, source.as_ref(), &target, &attrs);
        if let Some(folder) = csv_dir {
            let folder = cx.base().join(folder);
            if let Some(source) = &source {
                export(&folder.join("settings-source.csv"), source)?;
            }
            export(&folder.join("settings-target.csv"), &target)?;
        }
        Ok(Done { id: identity(&database, &session), attrs, memory: Json::Null })
    }
}

fn neither() -> Fault {
    Fault::new(Class::Rejected, "settings are listed either by `values` or by `like`")
        .help("keep one of the two")
}

/// What the database of `model` sets itself, and of its server what `include` names, without `exclude`.
async fn resembling(
    model: &Endpoint,
    include: &[String],
    exclude: &[String],
) -> Result<BTreeMap<String, String>, Fault> {
    let session = connect(model, Access::ReadOnly, Format::Own).await?;
    let mut values = database_settings(&session).await?;
    if !include.is_empty() {
        let parameters = parameters(&session).await?;
        for name in include {
            let parameter = parameters.get(name).ok_or_else(|| {
                let message =
                    format!("`include` names `{name}`, which the source's server does not know");
                Fault::new(Class::Rejected, message)
            })?;
            values.entry(name.clone()).or_insert_with(|| parameter.spelled());
        }
    }
    values.retain(|name, _| name != NEVER && !exclude.contains(name));
    Ok(values)
}

fn not_carried(differences: &[Difference]) -> Finding {
    let shown: Vec<String> = differences
        .iter()
        .take(8)
        .map(|difference| {
            let target = difference.target.as_deref().unwrap_or("unknown");
            format!(
                "`{}` ({}; target {target}): {}",
                difference.name, difference.source, difference.reason
            )
        })
        .collect();
    let more = differences.len().saturating_sub(shown.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Finding::note(
        "PGF1311",
        format!(
            "{} settings of the source's server are not carried over: {}{more}",
            differences.len(),
            shown.join("; ")
        ),
    )
}

fn show(
    cx: &Cx,
    source: Option<&BTreeMap<String, Parameter>>,
    target: &BTreeMap<String, Parameter>,
    attrs: &Attrs,
) {
    let Some(source) = source else { return };
    let left = differences(source, target, |name| attrs.applied.contains_key(name));
    if !left.is_empty() {
        cx.output(diff(&left));
    }
}

/// Settings of the session's database for all roles, by lower-case name.
pub(crate) async fn database_settings(
    session: &Session,
) -> Result<BTreeMap<String, String>, Fault> {
    let rows = session
        .query(
            "select unnest(setconfig) from pg_db_role_setting
             where setrole = 0 and setdatabase = (select oid from pg_database where datname = current_database())",
            &[],
        )
        .await
        .map_err(|cause| session.fault("reading the database's settings", cause))?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let (name, value) = row.get::<_, &str>(0).split_once('=')?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        })
        .collect())
}

async fn set(session: &Session, name: &str, value: &str) -> Result<(), tokio_postgres::Error> {
    // Names with a dot belong to extensions and applications: each part is an identifier.
    let name_quoted: Vec<String> = name.split('.').map(identifier).collect();
    let statement = format!(
        "alter database {} set {} to {}",
        identifier(&session.location.database),
        name_quoted.join("."),
        assigned(name, value)
    );
    session.batch_execute(&statement).await
}

/// The target does not know it, or this role may not set it here.
fn does_not_fit(cause: &tokio_postgres::Error) -> bool {
    cause.code().is_some_and(|code| {
        [
            SqlState::UNDEFINED_OBJECT,
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::CANT_CHANGE_RUNTIME_PARAM,
            SqlState::INVALID_PARAMETER_VALUE,
        ]
        .contains(code)
    })
}

fn wanted(want: &Tree, remembered: Option<&Remembered>) -> IndexMap<String, Json> {
    let values = match want.get("values") {
        Some(values @ Tree::Map(_)) => Some(values),
        _ => remembered.and_then(|remembered| remembered.inputs.get("values")),
    };
    let values = values.map(Tree::storable).unwrap_or_default();
    serde_json::from_value(values).unwrap_or_default()
}

fn text_of(value: &Json) -> String {
    serde_json::from_value::<Value>(value.clone()).map(|value| value.text()).unwrap_or_default()
}
