//! `postgres.freeze` — a database that everybody may only read, for as long as its data move.
//!
//! `ALTER DATABASE … SET default_transaction_read_only` (PostgreSQL docs, "ALTER DATABASE"; "Client Connection
//! Defaults"), then an end to the sessions of others, which come back read only. What was set before is noted before the
//! first change and put back by the closing. It is a default: a session that sets it off again is not stopped, but
//! noticed by the verification. Tested in `tests/freeze.rs` against real servers.

mod facts;
mod sessions;

use pgferry_engine::address::Address;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::{Finding, Severity};
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Done, Intent, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use self::facts::Facts;
use crate::connect::{Access, Format, Session, connect};
use crate::dump::endpoint;
use crate::quoting::{identifier, literal};

/// The setting. A transaction that says `READ WRITE` itself may write all the same; so do we, to put it back.
const SETTING: &str = "default_transaction_read_only";
const FORMER: &str = "former";
const SINCE: &str = "since";
/// Noted once it is frozen; what is found otherwise later was changed by somebody else.
const OPENED: &str = "opened";

/// The type.
pub struct Freeze;

/// A database that everybody may only read while dependents work; as before afterwards. Sessions of others are ended,
/// so that they come back read only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The database: any resource with a `url`, whose role owns the database.
    #[schemars(extend("x-change" = "identity"))]
    database: Endpoint,
    /// What happens to it once all is done. Default: `hold`, so that nobody writes to the database that was left.
    #[serde(default = "hold", rename = "on_success")]
    #[schemars(extend("x-change" = "volatile"))]
    _on_success: Ending,
    /// What happens to it when something failed. Default: `release`.
    #[serde(default = "release", rename = "on_failure")]
    #[schemars(extend("x-change" = "volatile"))]
    _on_failure: Ending,
}

/// What happens to a scope at its end; the engine reads it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ending {
    /// It may be written to as before.
    Release,
    /// It stays until `pgferry release`.
    Hold,
}

fn hold() -> Ending {
    Ending::Hold
}

fn release() -> Ending {
    Ending::Release
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// When it was frozen, RFC 3339.
    pub since: String,
}

/// What was before the first change.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Former {
    database: String,
    /// What the database itself had set; `None`: nothing.
    value: Option<String>,
}

impl Former {
    fn noted(intent: &Intent) -> Option<Self> {
        serde_json::from_value(intent.notes.get(FORMER)?.clone()).ok()
    }
}

impl Resource for Freeze {
    const TYPE: &'static str = "postgres.freeze";
    const KIND: Kind = Kind::Scoped;
    const TRAITS: Traits = Traits { epoch: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn inspect(
        &self,
        _: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(database) = endpoint(want.get("database")) else { return Ok(None) };
        let session = connect(&database, Access::ReadOnly, Format::Own).await?;
        let facts = Facts::read(&session).await?;
        serde_json::to_value(facts)
            .map(Some)
            .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
    }

    fn judge(_: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        serde_json::from_value(facts.clone())
            .map(|facts: Facts| facts.findings())
            .unwrap_or_default()
    }

    async fn open(
        &self,
        cx: &Cx,
        want: Spec,
        prior: Option<&Intent>,
    ) -> Result<Done<Attrs>, Fault> {
        let since = prior
            .and_then(|prior| prior.notes.get(SINCE)?.as_str().map(str::to_owned))
            .unwrap_or_else(|| cx.now().to_string());
        let session = connect(&want.database, Access::ReadWrite, Format::Own).await?;
        let facts = Facts::read(&session).await?;
        let was_frozen =
            prior.is_some_and(|prior| prior.notes.get(OPENED) == Some(&Json::Bool(true)));
        if was_frozen && facts.former.as_deref() != Some("on") {
            let database = &session.location.database;
            let message = format!(
                "somebody has let database `{database}` be written to again, in the middle of the move"
            );
            return Err(Fault::new(Class::Gone, message).help(
                "what was moved until then may be out of date; the next apply moves it again",
            ));
        }
        refuse(&facts)?;
        // What an earlier attempt noted is what was before; what is there now may be its doing.
        if prior.and_then(Former::noted).is_none() {
            let database = session.location.database.clone();
            let former = Former { database, value: facts.former };
            cx.note(json!({ FORMER: former, SINCE: since }))?;
        }
        cx.effect("alter database")?;
        set(&session, Some("on"), "making it read only").await?;
        let left = sessions::end(cx, &session).await?;
        if !left.others.is_empty() {
            let roles = names(&left.others);
            return Err(Fault::new(Class::Denied, format!("sessions of {roles} cannot be ended"))
                .help(facts::HOW_TO_END));
        }
        if !left.superusers.is_empty() {
            cx.warn(format!(
                "sessions of the superusers {} were not ended; what they write from here on stops the verification",
                names(&left.superusers)
            ));
        }
        cx.note(json!({ OPENED: true }))?;
        let id = format!("{}/{}", session.location.server(), session.location.database);
        Ok(Done { id, attrs: Attrs { since }, memory: Json::Null })
    }

    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        let Some(former) = Former::noted(intent) else { return Ok(()) };
        let database = still_there(cx, intent, &former).await?;
        let session = connect(&database, Access::ReadWrite, Format::Own).await?;
        if session.location.database != former.database {
            let there = &session.location.database;
            return Err(elsewhere(&database.address, &former, &format!("database `{there}`")));
        }
        cx.effect("alter database")?;
        set(&session, former.value.as_deref(), "letting it be written to again").await?;
        // Sessions that began meanwhile are read only until they end, whatever the database says now.
        if let Err(fault) = sessions::end(cx, &session).await {
            cx.warn(format!(
                "sessions that began while `{}` was frozen stay read only until they reconnect: {}",
                database.address,
                fault.chain()
            ));
        }
        Ok(())
    }

    fn by_hand(intent: &Intent) -> Option<String> {
        let former = Former::noted(intent)?;
        Some(as_owner(&former))
    }
}

/// The first thing that stands in the way, as a fault.
fn refuse(facts: &Facts) -> Result<(), Fault> {
    let found = facts.findings().into_iter().find(|found| found.severity == Severity::Error);
    let Some(found) = found else { return Ok(()) };
    let fault = Fault::new(Class::Denied, format!("[{}] {}", found.code, found.message));
    Err(match found.help {
        Some(help) => fault.help(help),
        None => fault,
    })
}

/// The database that was frozen, with what is needed to connect to it, read anew.
async fn still_there(cx: &Cx, intent: &Intent, former: &Former) -> Result<Endpoint, Fault> {
    let said = |key: &str| intent.inputs.get("database")?.get(key)?.as_text();
    let Some(address) = said("$address").map(Address::new) else {
        return Err(Fault::bug("a freeze that does not say of what"));
    };
    let Some(handle) = cx.reread(&address).await? else {
        return Err(elsewhere(&address, former, "not in the spec, or not there"));
    };
    if handle.id.as_deref() != said("$id") {
        let now = handle.id.as_deref().unwrap_or("unknown");
        return Err(elsewhere(&address, former, &format!("another one, with the id `{now}`")));
    }
    endpoint(Some(&Tree::Resource(handle))).ok_or_else(|| {
        Fault::failed(format!("`{address}` does not say how to connect to it"))
            .help(by_hand(&address, former))
    })
}

fn elsewhere(address: &Address, former: &Former, what: &str) -> Fault {
    let database = &former.database;
    let message = format!("database `{database}` is frozen, and `{address}` is {what}");
    Fault::failed(message).help(by_hand(address, former))
}

fn by_hand(address: &Address, former: &Former) -> String {
    format!(
        "bring `{address}` back as it was in the spec, and run `pgferry release`; or by hand, {}",
        as_owner(former)
    )
}

fn as_owner(former: &Former) -> String {
    let statement = statement(&former.database, former.value.as_deref());
    format!("as the owner: `begin read write; {statement}; commit`")
}

fn statement(database: &str, value: Option<&str>) -> String {
    let database = identifier(database);
    match value {
        Some(value) => format!("alter database {database} set {SETTING} to {}", literal(value)),
        None => format!("alter database {database} reset {SETTING}"),
    }
}

/// Sets what sessions of the database begin with. In one transaction that may write, also in a session that is read only
/// or passed through a pooler.
async fn set(session: &Session, value: Option<&str>, doing: &str) -> Result<(), Fault> {
    let statement = statement(&session.location.database, value);
    session
        .batch_execute(&format!("begin transaction read write; {statement}; commit"))
        .await
        .map_err(|cause| session.fault(doing, cause))
}

fn names(roles: &[String]) -> String {
    roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_put_back_as_it_was() {
        assert_eq!(
            statement("a\"b", None),
            "alter database \"a\"\"b\" reset default_transaction_read_only"
        );
        assert_eq!(
            statement("d", Some("off")),
            "alter database \"d\" set default_transaction_read_only to 'off'"
        );
    }
}
