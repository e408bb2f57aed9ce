//! The sessions of others in a database, and their end.
//!
//! A session keeps the settings that it began with, so who is connected must connect anew. A role may end sessions of
//! roles whose rights it has, with `pg_signal_backend` those of all but superusers (PostgreSQL docs, "Server Signaling
//! Functions"). Our own are read only by themselves and are left alone, known by their server processes; so is, where it
//! must be, who may write to no table: a provider's watcher. Tested in `tests/freeze.rs`.

use std::collections::BTreeSet;
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::connect::Session;
use crate::own;

/// Ending one is a request; a session in the middle of something answers after it.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
/// Who read the settings just before they changed may show itself only just after.
const LOOKS: u32 = 2;

/// Roles that could go on writing: their sessions are there and may not be ended by us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left {
    pub(super) others: Vec<String>,
    pub(super) superusers: Vec<String>,
}

struct Other {
    pid: i32,
    role: String,
    superuser: bool,
    may_end: bool,
    /// To any table.
    may_write: bool,
}

/// Whose sessions could not be ended now.
///
/// # Errors
/// The statement failed; nothing was changed.
pub(super) async fn beyond_us(session: &Session) -> Result<Left, Fault> {
    Ok(Left::of(&others(session).await?))
}

/// Ends the sessions of others in the database and waits until they are gone. Gives those that it may not end.
///
/// # Errors
/// A statement failed, or a session does not end. A retry is safe.
pub(super) async fn end(cx: &Cx, session: &Session) -> Result<Left, Fault> {
    let mut ending = BTreeSet::new();
    let (mut waited, mut looks) = (Duration::ZERO, 0);
    loop {
        let there = others(session).await?;
        if looks < LOOKS {
            looks += 1;
            for other in there.iter().filter(|other| other.may_end) {
                if ending.is_empty() {
                    cx.effect("end sessions")?;
                }
                terminate(session, other).await?;
                ending.insert(other.pid);
            }
        }
        let going = there.iter().filter(|other| ending.contains(&other.pid)).count();
        if looks == LOOKS && going == 0 {
            return Ok(Left::of(&there));
        }
        if waited >= PATIENCE {
            let database = &session.location.database;
            let message = format!("{going} sessions in database `{database}` do not end");
            return Err(Fault::failed(message).help(
                "look for them in `pg_stat_activity`; something on the server's side holds them",
            ));
        }
        if going > 0 {
            let what = format!("waiting for {going} sessions to end");
            cx.progress(Progress { what, ..Progress::default() });
        }
        cx.sleep(POLL).await?;
        waited += POLL;
    }
}

async fn terminate(session: &Session, other: &Other) -> Result<(), Fault> {
    // Gone meanwhile is a warning of the server's, not an error.
    session
        .execute("select pg_terminate_backend($1)", &[&other.pid])
        .await
        .map(drop)
        .map_err(|cause| session.fault(&format!("ending a session of `{}`", other.role), cause))
}

/// What is hidden from us (`backend_type` is, of roles whose rights we lack) counts as a client.
async fn others(session: &Session) -> Result<Vec<Other>, Fault> {
    let client = if session.version_number >= 100_000 {
        "and coalesce(a.backend_type, 'client backend') = 'client backend'"
    } else {
        ""
    };
    let signal = if session.version_number >= 90_600 {
        "or pg_has_role('pg_signal_backend', 'USAGE')"
    } else {
        ""
    };
    let statement = format!(
        "select a.pid, r.rolname::text, r.rolsuper,
                (select rolsuper from pg_roles where rolname = current_user)
                or (not r.rolsuper and (pg_has_role(r.oid, 'USAGE') {signal})),
                exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                        where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
                          and has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE'))
         from pg_stat_activity a join pg_roles r on r.oid = a.usesysid
         where a.datname = current_database() and a.pid <> pg_backend_pid()
           -- When another role's session was started may be hidden from us; its process is there all the same.
           and not exists (select from unnest($1::int4[], $2::int8[]) as own (pid, since)
                 where own.pid = a.pid
                   and own.since = coalesce((extract(epoch from a.backend_start) * 1000000)::int8, own.since))
           and ($3::text is null or a.application_name is distinct from $3) {client}
         order by 2, 1"
    );
    let (pids, since) = own::sessions(session.own.server_since());
    let rows = session
        .query(&statement, &[&pids, &since, &own::program_name()])
        .await
        .map_err(|cause| session.fault("looking for the sessions of others", cause))?;
    let other = |row: &tokio_postgres::Row| Other {
        pid: row.get(0),
        role: row.get(1),
        superuser: row.get(2),
        may_end: row.get(3),
        may_write: row.get(4),
    };
    Ok(rows.iter().map(other).collect())
}

impl Left {
    fn of(there: &[Other]) -> Self {
        let roles = |superuser: bool| {
            let beyond =
                there.iter().filter(|o| !o.may_end && o.may_write && o.superuser == superuser);
            beyond.map(|o| o.role.clone()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        Self { others: roles(false), superusers: roles(true) }
    }
}
