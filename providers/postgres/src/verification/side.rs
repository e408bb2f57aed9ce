//! One of the two databases: several sessions that see one and the same instant, printing values alike.
//!
//! It knows nothing of what is compared. Tested through `verification`.

use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use crate::connect::{Access, Format, Session, connect};

/// Sessions a side: enough to keep a small server busy, few enough for the smallest plan's limit.
const SESSIONS: usize = 4;

/// One database under comparison.
pub(super) struct Side {
    /// Its address in the spec.
    pub(super) name: String,
    pub(super) encoding: String,
    pub(super) version_number: i32,
    /// A standby, which has no rows of unlogged tables.
    pub(super) in_recovery: bool,
    /// What its sessions see, by name, as long as they are open.
    pub(super) snapshot: String,
    pub(super) sessions: Vec<Session>,
}

impl Side {
    /// Opens the sessions on one snapshot.
    ///
    /// # Errors
    /// As [`connect`]. Where the server allows fewer sessions than wanted, fewer are opened.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Fault> {
        let format = Format::Canonical { float_digits: 3 };
        let first = connect(endpoint, Access::ReadOnly, format).await?;
        let doing = |cause| first.fault("taking a snapshot to compare", cause);
        first
            .batch_execute("begin isolation level repeatable read read only")
            .await
            .map_err(doing)?;
        let row = first
            .query_one(
                "select pg_export_snapshot(), pg_encoding_to_char(encoding)::text, pg_is_in_recovery()
                 from pg_database where datname = current_database()",
                &[],
            )
            .await
            .map_err(doing)?;
        let (snapshot, encoding): (String, String) = (row.get(0), row.get(1));
        let (in_recovery, version_number) = (row.get(2), first.version_number);
        let mut sessions = vec![first];
        while sessions.len() < SESSIONS {
            // The limit of a small plan, most likely; one session suffices.
            let Ok(more) = connect(endpoint, Access::ReadOnly, format).await else { break };
            let begin = format!(
                "begin isolation level repeatable read read only; set transaction snapshot '{snapshot}'"
            );
            more.batch_execute(&begin)
                .await
                .map_err(|cause| more.fault("taking up a snapshot", cause))?;
            sessions.push(more);
        }
        Ok(Self {
            name: endpoint.address.to_string(),
            encoding,
            version_number,
            in_recovery,
            snapshot,
            sessions,
        })
    }

    pub(super) fn major(&self) -> i32 {
        self.version_number / 10_000
    }

    /// The session for what is done one after the other.
    pub(super) fn session(&self) -> &Session {
        &self.sessions[0]
    }

    /// Prints floats with 15 digits, as servers before Postgres 12 do.
    pub(super) async fn print_short_floats(&self) -> Result<(), Fault> {
        for session in &self.sessions {
            session
                .batch_execute("set extra_float_digits = 0")
                .await
                .map_err(|cause| session.fault("setting the session up", cause))?;
        }
        Ok(())
    }

    /// Stops what the server is doing for us.
    pub(super) async fn cancel(&self) {
        for session in &self.sessions {
            session.cancel().await;
        }
    }
}
