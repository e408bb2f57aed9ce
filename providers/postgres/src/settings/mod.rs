//! `postgres.settings` — the settings of a database, listed or like another database's.
//!
//! `ALTER DATABASE … SET` (PostgreSQL docs, "ALTER DATABASE"); what a database sets is in `pg_db_role_setting`. By
//! default what the source database itself sets, more by `include`; never `default_transaction_read_only`; where the spec
//! says so, also what is [`beside`]. Settings beyond those are left alone, and none is ever reset. Tested in
//! `tests/settings.rs` and `tests/like.rs`.

mod beside;
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

pub use self::beside::Beside;
use self::beside::{OfRoles, There, missing_roles, of_role};
use self::server::{Difference, Parameter, diff, differences, export, parameters};
pub use self::value::Value;
use self::value::{assigned, same};
use crate::connect::{Access, Format, Said, Session, connect};
use crate::dump::endpoint;
use crate::extensions::{identity, texts, written};
use crate::quoting::{identifier, literal};

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
    /// What else of `like` to carry over: settings of `roles` in it, its `connection_limit`, its `comment`.
    #[serde(default)]
    #[schemars(extend("uniqueItems" = true))]
    also: Option<Vec<Beside>>,
    /// Settings of roles in the database (`ALTER ROLE … IN DATABASE … SET`), by role, then by name.
    #[serde(default)]
    roles: Option<OfRoles>,
    /// How many sessions the database allows at once, those of a move included; -1 for any number.
    #[serde(default)]
    #[schemars(range(min = -1))]
    connection_limit: Option<i32>,
    /// The database's comment.
    #[serde(default)]
    comment: Option<String>,
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
    /// With settings that are wanted, and not there.
    #[serde(default)]
    missing_roles: Vec<String>,
}

impl Resource for Settings {
    const TYPE: &'static str = "postgres.settings";
    const KIND: Kind = Kind::Managed;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        let (wanted, beside) = (wanted(want, None), beside::wanted(want, None));
        let live = self.read(cx, want, None).await?;
        let is_there = |live: &Live<Attrs>| {
            let same = |(name, value): (&String, &Json)| live.fields.get(name) == Some(value);
            live.fields.get("values") == Some(&json!(wanted)) && beside.iter().all(same)
        };
        Ok(live.filter(|live| !(wanted.is_empty() && beside.is_empty()) && is_there(live)))
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
        let unfit = |name: &str, value: &str| {
            unportable.iter().any(|it| it.name == name && it.value == value)
        };
        let (values, applied) = spelled(&there, wanted(want, remembered), unfit);
        let mut fields = IndexMap::from([("values".to_owned(), json!(values))]);
        let beside = beside::wanted(want, remembered);
        if !beside.is_empty() {
            fields.extend(There::read(&session).await?.live(&beside, &unportable));
        }
        Ok(Some(Live {
            id: identity(&database, &session),
            fields,
            attrs: Attrs { applied, unportable },
        }))
    }

    async fn expand(&self, _: &Cx, want: &Tree) -> Result<Option<IndexMap<String, Json>>, Fault> {
        match (written(want, "like"), written(want, "values")) {
            (true, false) => {}
            (false, true) if written(want, "also") => return Err(without_like()),
            (false, true) => return Ok(None),
            _ => return Err(neither()),
        }
        let Some(model) = endpoint(want.get("like")) else { return Ok(None) };
        let values =
            resembling(&model, &texts(want.get("include")), &texts(want.get("exclude"))).await?;
        let mut fields = IndexMap::from([("values".to_owned(), json!(values))]);
        let also: Vec<Beside> =
            want.get("also").and_then(|also| also.to_typed().ok()).unwrap_or_default();
        if !also.is_empty() {
            let session = connect(&model, Access::ReadOnly, Format::Own).await?;
            fields.extend(There::read(&session).await?.fields(&also));
        }
        Ok(Some(fields))
    }

    async fn inspect(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(database) = endpoint(want.get("database")) else { return Ok(None) };
        let session = connect(&database, Access::ReadOnly, Format::Own).await?;
        let target = parameters(&session).await?;
        let wanted = wanted(want, remembered);
        let missing_roles = match beside::wanted(want, remembered).get("roles") {
            Some(roles) => missing_roles(&session, roles).await?,
            None => Vec::new(),
        };
        let mut seen = Seen {
            missing_roles,
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
        if !seen.missing_roles.is_empty() {
            let roles: Vec<String> =
                seen.missing_roles.iter().map(|role| format!("`{role}`")).collect();
            let message = format!("the target has no role {}", roles.join(", "));
            let help = "make it there first; else its settings in the database are left out";
            findings.push(Finding::warning("PGF1175", message).help(help));
        }
        if !seen.differences.is_empty() {
            findings.push(not_carried(&seen.differences));
        }
        findings
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Spec { database, like, values, include, exclude, also, csv_dir, .. } = &change.want;
        let also = also.as_deref().unwrap_or_default();
        let values = match (values, like) {
            (Some(values), _) => values.clone(),
            (None, Some(model)) => {
                let (include, exclude) = (include.as_deref(), exclude.as_deref());
                let found =
                    resembling(model, include.unwrap_or_default(), exclude.unwrap_or_default());
                found.await?.into_iter().map(|(name, text)| (name, Value::Text(text))).collect()
            }
            (None, None) => return Err(neither()),
        };
        let session = connect(database, Access::ReadWrite, Format::Own).await?;
        let mut attrs = Attrs { applied: BTreeMap::new(), unportable: Vec::new() };
        let name_of = identifier(&session.location.database);
        let whose = format!("database {name_of}");
        for (name, value) in values.iter().filter(|(name, _)| *name != NEVER) {
            let value = value.text();
            // What a person asked for by name must not go missing silently.
            let asked = like.is_none() || include.iter().flatten().any(|included| included == name);
            let statement = set(&whose, name, &value);
            let doing = Doing { asked, name: name.clone(), value };
            if let Some(value) = doing.carry_out(cx, &session, &statement, &mut attrs).await? {
                attrs.applied.insert(name.clone(), value);
            }
        }
        let asked = |what: Beside| like.is_none() || !also.contains(&what);
        for (role, settings) in change.want.roles.iter().flatten() {
            let whose = format!("role {} in database {name_of}", identifier(role));
            for (name, value) in settings {
                let value = value.text();
                let statement = set(&whose, name, &value);
                let doing = Doing { asked: asked(Beside::Roles), name: of_role(name, role), value };
                doing.carry_out(cx, &session, &statement, &mut attrs).await?;
            }
        }
        if let Some(limit) = change.want.connection_limit {
            let statement = format!("alter database {name_of} connection limit {limit}");
            let (asked, name) = (asked(Beside::ConnectionLimit), "connection_limit".to_owned());
            let doing = Doing { asked, name, value: limit.to_string() };
            doing.carry_out(cx, &session, &statement, &mut attrs).await?;
        }
        if let Some(comment) = &change.want.comment {
            let statement = format!("comment on database {name_of} is {}", literal(comment));
            let (asked, name) = (asked(Beside::Comment), "comment".to_owned());
            let doing = Doing { asked, name, value: comment.clone() };
            doing.carry_out(cx, &session, &statement, &mut attrs).await?;
        }
        // A session begun now sees what was set.
        let target = parameters(&connect(database, Access::ReadOnly, Format::Own).await?).await?;
        let source = match like {
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
        Ok(Done { id: identity(database, &session), attrs, memory: Json::Null })
    }
}

/// A statement on the way.
struct Doing {
    /// By a person, by name.
    asked: bool,
    name: String,
    value: String,
}

impl Doing {
    /// Gives the value if it is set. What was not asked for by name and the target cannot have is told, and noted as
    /// unportable.
    async fn carry_out(
        self,
        cx: &Cx,
        session: &Session,
        statement: &str,
        attrs: &mut Attrs,
    ) -> Result<Option<String>, Fault> {
        let Self { asked, name, value } = self;
        cx.effect("alter database")?;
        match session.batch_execute(statement).await {
            Ok(()) => return Ok(Some(value)),
            Err(cause) if !asked && does_not_fit(&cause) => {
                let reason = Said::of(cause).to_string();
                cx.warn(format!("the setting `{name}` is not carried over: {reason}"));
                attrs.unportable.push(Unportable { name, value, reason });
            }
            Err(cause) => return Err(session.fault(&format!("setting `{name}`"), cause)),
        }
        Ok(None)
    }
}

fn without_like() -> Fault {
    let message = "`also` says what of `like` is carried over, and there is no `like`";
    Fault::new(Class::Rejected, message)
        .help("write `roles`, `connection_limit` and `comment` out, or name `like`")
}

/// Of `wanted`, what is there and how; and what is set, as the server says. Told in the spelling of the spec where it
/// means the same, and where it is known not to fit.
fn spelled(
    there: &BTreeMap<String, String>,
    wanted: IndexMap<String, Json>,
    unfit: impl Fn(&str, &str) -> bool,
) -> (IndexMap<String, Json>, BTreeMap<String, String>) {
    let (mut values, mut applied) = (IndexMap::new(), BTreeMap::new());
    for (name, wanted) in wanted {
        let text = text_of(&wanted);
        let found = there.get(&name.to_ascii_lowercase());
        applied.extend(found.map(|found| (name.clone(), found.clone())));
        match found {
            Some(found) if !same(&name, found, &text) => values.insert(name, json!(found)),
            None if !unfit(&name, &text) => None,
            _ => values.insert(name, wanted),
        };
    }
    (values, applied)
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

/// The statement that sets it for `whose`: `database d`, `role r in database d`.
fn set(whose: &str, name: &str, value: &str) -> String {
    // Names with a dot belong to extensions and applications: each part is an identifier.
    let quoted: Vec<String> = name.split('.').map(identifier).collect();
    format!("alter {whose} set {} to {}", quoted.join("."), assigned(name, value))
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
