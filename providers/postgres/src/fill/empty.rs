//! A clean start on the target: no session of an earlier attempt of ours, and nothing that users made.
//!
//! It asks nobody whether that may be: whoever calls has made sure. What the role does not own, extensions, and what
//! providers put into every database stay. Tested in `tests/copy.rs` and `tests/guard.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::connect::Session;
use crate::dump::hold::{LOCK_TIMEOUT, refused_to_drop};
use crate::target::inventory::{Object, Whose, inventory};

/// How often it is asked whether the sessions are gone: half a minute. A server notices between two pages of an index.
const PATIENCE: usize = 300;
const NAP: Duration = Duration::from_millis(100);
/// Dropped by one statement: few enough for its locks.
const AT_ONCE: usize = 50;
const ROUNDS: usize = 4;

/// Ends the sessions of that name in the session's database, and waits until they are gone.
///
/// # Errors
/// One stays for half a minute, or the role may not end it.
pub(crate) async fn end_sessions(cx: &Cx, session: &Session, name: &str) -> Result<(), Fault> {
    const ALIVE: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where application_name = $1 and datname = current_database() and pid <> pg_backend_pid()";
    let fault = |cause| session.fault("ending the sessions of an earlier attempt", cause);
    for _ in 0..PATIENCE {
        let alive: i64 = session.query_one(ALIVE, &[&name]).await.map_err(fault)?.get(0);
        if alive == 0 {
            return Ok(());
        }
        cx.world.clock.sleep(NAP).await;
    }
    let server = session.location.server();
    Err(Fault::new(Class::Conflict, format!("sessions `{name}` at {server} do not end")).help(
        format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'"
        ),
    ))
}

/// Drops all that users made and this role owns, but for what is called in `keep`.
///
/// # Errors
/// Something cannot be dropped, or somebody has locked it for too long: who it is. Some of it may be gone; a retry goes
/// on.
pub(crate) async fn empty(session: &Session, keep: &BTreeSet<String>) -> Result<(), Fault> {
    const DOING: &str = "emptying the target";
    match emptied(session, keep).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::failed(format!(
            "{DOING}: database `{}` at {} gets something new while it is dropped",
            session.location.database,
            session.location.server()
        ))
        .help("keep applications away from it")),
        Err(cause) => Err(refused_to_drop(session, DOING, cause).await),
    }
}

/// Whether it is empty after a few rounds.
async fn emptied(session: &Session, keep: &BTreeSet<String>) -> Result<bool, Error> {
    session.batch_execute(&format!("set lock_timeout = '{LOCK_TIMEOUT}'")).await?;
    for _ in 0..ROUNDS {
        let rows = left(session, keep).await?;
        if rows.is_empty() {
            large_objects(session).await?;
            return Ok(true);
        }
        let drops: Vec<String> = rows
            .iter()
            .map(|it| {
                format!("drop {} if exists {} cascade", it.kind.replace('-', " "), it.identity)
            })
            .collect();
        let mut refused = None;
        for together in drops.chunks(AT_ONCE) {
            refused = dropped(session, together).await?.or(refused);
        }
        if let Some(cause) = refused
            && left(session, keep).await?.len() == rows.len()
        {
            return Err(cause);
        }
    }
    Ok(false)
}

/// What is to be dropped, in that order.
async fn left(session: &Session, keep: &BTreeSet<String>) -> Result<Vec<Object>, Error> {
    let all = inventory(session, session.version_number, Whose::Droppable).await?;
    let goes = |object: &Object| object.droppable && !keep.contains(&object.to_string());
    Ok(all.into_iter().filter(goes).collect())
}

/// All of `drops`, or each one that can be; gives the last error of those that cannot, unless the session is lost or waits
/// for somebody.
async fn dropped(session: &Session, drops: &[String]) -> Result<Option<Error>, Error> {
    let ends =
        |cause: &Error| cause.code().is_none_or(|code| *code == SqlState::LOCK_NOT_AVAILABLE);
    match session.batch_execute(&drops.join(";")).await {
        Ok(()) => return Ok(None),
        Err(cause) if ends(&cause) => return Err(cause),
        Err(_) => {}
    }
    let mut refused = None;
    for one in drops {
        match session.batch_execute(one).await {
            Err(cause) if ends(&cause) => return Err(cause),
            Err(cause) => refused = Some(cause),
            Ok(()) => {}
        }
    }
    Ok(refused)
}

async fn large_objects(session: &Session) -> Result<(), Error> {
    const SOME: &str = "select count(lo_unlink(oid)) from
        (select oid from pg_largeobject_metadata where pg_has_role(lomowner, 'USAGE') order by oid limit 500) o";
    while session.query_one(SOME, &[]).await?.get::<_, i64>(0) > 0 {}
    Ok(())
}
