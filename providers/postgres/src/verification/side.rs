//! One of the two databases: several sessions that see one and the same instant, printing values alike.
//!
//! It knows nothing of what is compared. Tested through `verification`.

use futures_util::future::join_all;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use crate::connect::{Access, Format, Session, connect};

/// Sessions that read rows on a side: enough to keep a small server busy, few enough for the smallest plan's limit.
const WORKERS: usize = 4;

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
    /// The first one holds the snapshot from beginning to end, the others read rows in it.
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
        let more = (0..WORKERS).map(async |_| {
            let more = connect(endpoint, Access::ReadOnly, format).await?;
            take_up(&more, &snapshot).await?;
            Ok::<_, Fault>(more)
        });
        // Some may be refused: the limit of a small plan, most likely; one session suffices.
        let more = join_all(more).await.into_iter().flatten();
        let sessions = std::iter::once(first).chain(more).collect();
        Ok(Self {
            name: endpoint.address.to_string(),
            encoding,
            version_number,
            in_recovery,
            sessions,
            snapshot,
        })
    }

    /// The sessions that read rows.
    pub(super) fn workers(&self) -> &[Session] {
        if self.sessions.len() > 1 { &self.sessions[1..] } else { &self.sessions }
    }

    /// Gives back the locks that `worker` has gathered, one on each table and index it has read: a server has room for a
    /// few thousand, and other users want some too. It stays in the snapshot.
    pub(super) async fn renew(&self, worker: &Session) -> Result<(), Fault> {
        if self.sessions.len() == 1 {
            return Ok(());
        }
        let left = worker.batch_execute("commit").await;
        left.map_err(|cause| worker.fault("leaving a snapshot", cause))?;
        take_up(worker, &self.snapshot).await
    }

    /// A session outside the snapshot, whose locks last as long as a statement; [`Self::renew`] takes it in again. Where
    /// the server allows no more than one, that one.
    pub(super) async fn outside(&self) -> Result<&Session, Fault> {
        let worker = &self.workers()[0];
        if self.sessions.len() > 1 {
            let left = worker.batch_execute("commit").await;
            left.map_err(|cause| worker.fault("leaving a snapshot", cause))?;
        }
        Ok(worker)
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

async fn take_up(session: &Session, snapshot: &str) -> Result<(), Fault> {
    let begin = format!(
        "begin isolation level repeatable read read only; set transaction snapshot '{snapshot}'"
    );
    session
        .batch_execute(&begin)
        .await
        .map_err(|cause| session.fault("taking up a snapshot", cause))
}
