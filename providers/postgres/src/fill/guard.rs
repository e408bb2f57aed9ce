//! The target before it is filled: what may be done there, and whether what it holds may be replaced.
//!
//! Read-only statements; judging is pure. Tested in the tests of `postgres.copy`'s preflight, and in `tests/`.

use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::reference::Endpoint;
use serde::{Deserialize, Serialize};
use tokio_postgres::Error;

use crate::connect::Session;
use crate::location::Location;

/// Names by which people may call the target.
pub(crate) fn names(endpoint: &Endpoint, location: &Location) -> Vec<String> {
    let mut names: Vec<String> =
        [&endpoint.name, &endpoint.app].into_iter().flatten().cloned().collect();
    names.push(location.database.clone());
    names
}

/// What may be done at the target.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Writable {
    pub(crate) server: String,
    pub(crate) standby: bool,
    pub(crate) read_only: bool,
    pub(crate) pooled: bool,
    pub(crate) may_create_schemas: bool,
    pub(crate) may_create_in_public: bool,
}

/// Reads it.
///
/// # Errors
/// A statement failed.
pub(crate) async fn writable(session: &Session) -> Result<Writable, Error> {
    let row = session
        .query_one(
            "select pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'),
                    coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), true),
                    (select reset_val = 'on' from pg_settings where name = 'default_transaction_read_only')",
            &[],
        )
        .await?;
    Ok(Writable {
        server: session.location.server(),
        standby: row.get(0),
        may_create_schemas: row.get(1),
        may_create_in_public: row.get(2),
        read_only: row.get(3),
        pooled: crate::facts::pooled(session).await?,
    })
}

/// How many sessions the server, the role and the database leave, this one included.
///
/// # Errors
/// A statement failed.
pub(crate) async fn room(session: &Session) -> Result<i64, Error> {
    // The session that asks will be gone by then.
    let statement = "
        select 1 + least(
            current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8
              - (select count(*) from pg_stat_activity where datname is not null),
            (select case when rolconnlimit < 0 then 1000000 else rolconnlimit
               - (select count(*) from pg_stat_activity where usename = current_user) end
             from pg_roles where rolname = current_user),
            (select case when datconnlimit < 0 then 1000000 else datconnlimit
               - (select count(*) from pg_stat_activity where datname = current_database()) end
             from pg_database where datname = current_database()))";
    Ok(session.query_one(statement, &[]).await?.get(0))
}

/// Those of `wanted` that the server neither has nor offers.
///
/// # Errors
/// A statement failed.
pub(crate) async fn missing_extensions(
    target: &Session,
    wanted: &[String],
) -> Result<Vec<String>, Fault> {
    let row = target
        .query_one(
            "select coalesce(array_agg(name order by name), '{}') from unnest($1::text[]) name
             where name not in (select a.name::text from pg_available_extensions a)
               and name not in (select extname::text from pg_extension)",
            &[&wanted],
        )
        .await
        .map_err(|cause| target.fault("listing the extensions that it offers", cause))?;
    Ok(row.get(0))
}

/// Tells of extensions that are not on offer.
pub(crate) fn not_offered(server: &str, missing: &[String]) -> Option<Finding> {
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
    let message = format!("`{server}` does not offer {}", names.join(", "));
    let help = "drop the extension from the source, or choose another target";
    Some(Finding::error("PGF1301", message).help(help))
}

/// That `confirm` names something else than the target.
pub(crate) fn misnamed(confirm: &str, address: &str, names: &[String]) -> Option<Finding> {
    if names.iter().any(|name| name == confirm) {
        return None;
    }
    let name = names.first().map_or("", String::as_str);
    let message =
        format!("`confirm: {confirm}` does not name `{address}`, whose data are replaced");
    let help = format!("if its data may be replaced, set `confirm: {name}`");
    Some(Finding::error("PGF1211", message).help(help))
}

/// What keeps `address` from being filled.
pub(crate) fn unfit(target: &Writable, address: &str, findings: &mut Vec<Finding>) {
    for (is, what, help) in [
        (target.standby, "is a standby", "name its primary"),
        (
            target.read_only,
            "is read only by default",
            "alter database … reset default_transaction_read_only",
        ),
        (target.pooled, "is behind a connection pooler", "give the URL of the server itself"),
    ] {
        if is {
            let message = format!("`{address}` {what}, and cannot be filled");
            findings.push(Finding::error("PGF1213", message).help(help));
        }
    }
    for (may, what) in [
        (target.may_create_schemas, "schemas"),
        (target.may_create_in_public, "tables in the schema `public`"),
    ] {
        if !may {
            let message = format!("the role of `{address}` may not create {what}");
            let help = "use the database's owner, or grant it CREATE";
            findings.push(Finding::warning("PGF1214", message).help(help));
        }
    }
}

/// Sessions that one end of a run needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sessions<'a> {
    /// `source` or `target`.
    pub(crate) end: &'a str,
    /// That it has left.
    pub(crate) room: i64,
    pub(crate) besides: i64,
    pub(crate) for_each_job: i64,
    pub(crate) jobs: i64,
}

impl Sessions<'_> {
    /// That there are too few.
    pub(crate) fn finding(self) -> Option<Finding> {
        let Self { end, room, besides, for_each_job, jobs } = self;
        let wanted = besides + jobs * for_each_job;
        let message =
            format!("the {end} has {room} sessions left, and `jobs: {jobs}` wants {wanted}");
        let finding = match room {
            room if room < besides + for_each_job => Finding::error("PGF1215", message),
            room if room < wanted => Finding::warning("PGF1215", message),
            _ => return None,
        };
        Some(finding.help("end other sessions, or set fewer `jobs`"))
    }
}
