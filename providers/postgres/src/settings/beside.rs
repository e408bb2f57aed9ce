//! What a database has beside settings for everybody: settings of roles in it, a limit of sessions, a comment.
//!
//! In `pg_db_role_setting`, `pg_database` and `pg_shdescription` (PostgreSQL docs, "ALTER ROLE", "ALTER DATABASE",
//! "COMMENT"). Reads and names them; setting is [`super`]'s work. Tested in `tests/settings.rs`.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{NEVER, Unportable, Value};
use crate::connect::Session;

/// Settings of roles by role, then by name.
pub(super) type OfRoles = IndexMap<String, IndexMap<String, Value>>;

/// What may be carried over besides.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Beside {
    /// `ALTER ROLE … IN DATABASE … SET`, of roles that the target has.
    Roles,
    /// `ALTER DATABASE … CONNECTION LIMIT`.
    ConnectionLimit,
    /// `COMMENT ON DATABASE`.
    Comment,
}

/// What a database has of it.
#[derive(Debug, Default)]
pub(super) struct There {
    pub(super) roles: BTreeMap<String, BTreeMap<String, String>>,
    /// -1: none.
    pub(super) connection_limit: i32,
    pub(super) comment: Option<String>,
}

impl There {
    /// Reads it.
    ///
    /// # Errors
    /// A statement failed.
    pub(super) async fn read(session: &Session) -> Result<Self, Fault> {
        let fault = |cause| session.fault("reading what the database has of its own", cause);
        let row = session
            .query_one(
                "select datconnlimit, case when datname not in ('postgres', 'template1')
                   then shobj_description(oid, 'pg_database') end
                 from pg_database where datname = current_database()",
                &[],
            )
            .await
            .map_err(fault)?;
        let mut there =
            Self { connection_limit: row.get(0), comment: row.get(1), ..Self::default() };
        let rows = session
            .query(
                "select r.rolname::text, unnest(s.setconfig) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
                 where s.setdatabase = (select oid from pg_database where datname = current_database()) order by 1",
                &[],
            )
            .await
            .map_err(fault)?;
        for row in &rows {
            let (role, setting): (&str, &str) = (row.get(0), row.get(1));
            let Some((name, value)) = setting.split_once('=') else { continue };
            let of_role = there.roles.entry(role.to_owned()).or_default();
            of_role.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Ok(there)
    }

    /// As fields of a spec, those of `also`: what the database has not is not asked of another one.
    pub(super) fn fields(mut self, also: &[Beside]) -> IndexMap<String, Json> {
        for settings in self.roles.values_mut() {
            settings.remove(NEVER);
        }
        self.roles.retain(|_, settings| !settings.is_empty());
        let mut fields = IndexMap::new();
        let mut put = |what: Beside, name: &str, value: Option<Json>| {
            if let Some(value) = value.filter(|_| also.contains(&what)) {
                fields.insert(name.to_owned(), value);
            }
        };
        put(Beside::Roles, "roles", (!self.roles.is_empty()).then(|| json!(self.roles)));
        let limit = (self.connection_limit >= 0).then(|| json!(self.connection_limit));
        put(Beside::ConnectionLimit, "connection_limit", limit);
        put(Beside::Comment, "comment", self.comment.map(Json::String));
        fields
    }

    /// The wanted fields as they are here; what is known not to fit counts as it is wanted.
    pub(super) fn live(
        &self,
        wanted: &IndexMap<String, Json>,
        unportable: &[Unportable],
    ) -> IndexMap<String, Json> {
        let unfit = |name: &str, value: &str| {
            unportable.iter().any(|it| it.name == name && it.value == value)
        };
        let mut fields = IndexMap::new();
        for (field, wanted) in wanted {
            let text = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
            let found = match field.as_str() {
                "roles" => {
                    let roles: IndexMap<String, IndexMap<String, Json>> =
                        serde_json::from_value(wanted.clone()).unwrap_or_default();
                    let none = BTreeMap::new();
                    let roles = roles.into_iter().map(|(role, wanted)| {
                        let there = self.roles.get(&role).unwrap_or(&none);
                        let unfit = |name: &str, value: &str| unfit(&of_role(name, &role), value);
                        (role.clone(), super::spelled(there, wanted, unfit).0)
                    });
                    json!(roles.collect::<IndexMap<_, _>>())
                }
                _ if unfit(field, &text) => wanted.clone(),
                "connection_limit" => json!(self.connection_limit),
                _ => json!(self.comment),
            };
            fields.insert(field.clone(), found);
        }
        fields
    }
}

/// What it is called where it cannot be had.
pub(super) fn of_role(name: &str, role: &str) -> String {
    format!("{name} of role {role}")
}

/// The fields of these that are wanted: as written or as expanded, else as remembered.
pub(super) fn wanted(want: &Tree, remembered: Option<&Remembered>) -> IndexMap<String, Json> {
    let of = |field: &str| {
        let here = want.get(field).filter(|tree| **tree != Tree::Null);
        let also = || super::texts(want.get("also")).iter().any(|also| also == field);
        here.or_else(|| remembered.filter(|_| also())?.inputs.get(field))
    };
    let fields = ["roles", "connection_limit", "comment"].into_iter();
    let found = fields.filter_map(|name| Some((name.to_owned(), of(name)?.storable())));
    found.filter(|(_, value)| !value.is_null()).collect()
}

/// Roles that are wanted and not there.
///
/// # Errors
/// The statement failed.
pub(super) async fn missing_roles(session: &Session, roles: &Json) -> Result<Vec<String>, Fault> {
    let named: Vec<String> =
        roles.as_object().into_iter().flatten().map(|(role, _)| role.clone()).collect();
    let rows = session
        .query("select rolname::text from pg_roles where rolname = any ($1)", &[&named])
        .await
        .map_err(|cause| session.fault("looking for roles", cause))?;
    let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(named.into_iter().filter(|role| !there.contains(role)).collect())
}
