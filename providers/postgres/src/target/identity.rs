//! Which database a session is in, whatever names lead there: one that was dropped and made again is another one.
//!
//! Tested in `tests/target.rs`.

use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use tokio_postgres::{Client, Error};

use crate::connect::{Access, Format, connect};

/// Where a server does not tell its identifier: before Postgres 9.6, or where that was taken from everybody.
const UNTOLD: &str = "-";

/// The server's system identifier, which replicas share, and the number of the database: `7713645522534885987/16384`.
///
/// # Errors
/// A statement failed.
pub(crate) async fn read(client: &Client) -> Result<String, Error> {
    let number = "select oid from pg_database where datname = current_database()";
    let number: u32 = client.query_one(number, &[]).await?.get(0);
    let server = "select system_identifier::text from pg_control_system()";
    let server = match client.query_one(server, &[]).await {
        Ok(row) => row.get(0),
        Err(cause) if cause.as_db_error().is_some() => UNTOLD.to_owned(),
        Err(cause) => return Err(cause),
    };
    Ok(format!("{server}/{number}"))
}

/// Whether both are one database, as far as the server tells.
pub(crate) fn same(one: &str, other: &str) -> bool {
    match (one.split_once('/'), other.split_once('/')) {
        (Some((server, one)), Some((another, other))) => {
            one == other && (server == another || server == UNTOLD || another == UNTOLD)
        }
        _ => one == other,
    }
}

/// That the database at `into` is another one than that which `remembered` filled. A state of before does not say which
/// one that was; then it is the same.
///
/// # Errors
/// As [`connect`]; nothing was changed.
pub async fn other_database(
    into: &Endpoint,
    remembered: &Remembered,
) -> Result<Option<String>, Fault> {
    let memory = remembered.memory.get("fingerprint").and_then(|it| it.get("database"));
    let Some(then) = memory.and_then(Tree::as_text) else { return Ok(None) };
    let session = connect(into, Access::ReadOnly, Format::Own).await?;
    let now = read(&session)
        .await
        .map_err(|cause| session.fault("finding out which database it is", cause))?;
    if same(then, &now) {
        return Ok(None);
    }
    let at = remembered.attrs.get("finished_at").and_then(Tree::as_text);
    let at = at.map_or_else(String::new, |at| format!(" at {at}"));
    Ok(Some(format!("`{}` is another database than the one that was filled{at}", into.address)))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn what_is_not_told_is_not_called_different() {
        assert!(same("7/1", "7/1"));
        assert!(!same("7/1", "7/2"));
        assert!(!same("7/1", "8/1"));
        assert!(same("-/1", "8/1"));
        assert!(!same("-/1", "8/2"));
    }
}
