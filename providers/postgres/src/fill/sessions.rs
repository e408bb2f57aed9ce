//! The sessions that fill a database: named, so that a later attempt finds them, and set up for what they do.
//!
//! Tested in `tests/copy.rs`.

use futures_util::future::join_all;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use super::builds::workers;
use super::carry::SETTINGS;
use crate::connect::{Access, Format, Session, connect};
use crate::dump::hold::LOCK_TIMEOUT;
use crate::quoting::literal;

/// How sessions are made.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) name: &'a str,
    pub(crate) jobs: usize,
}

/// Values are told in one form by every server.
const CANONICAL: Format = Format::Canonical { float_digits: 3 };

impl Opening<'_> {
    /// Reads rows in `snapshot`.
    pub(crate) async fn reader(&self, from: &Endpoint, snapshot: &str) -> Result<Session, Fault> {
        let begin = format!(
            "set lock_timeout = '{LOCK_TIMEOUT}'; begin isolation level repeatable read read only;
             set transaction snapshot {}",
            literal(snapshot)
        );
        self.named(connect(from, Access::ReadOnly, CANONICAL).await?, &begin).await
    }

    /// Takes rows in. The time zone is the database's own, which a constraint may depend on, as after a restore.
    pub(crate) async fn writer(&self, into: &Endpoint) -> Result<Session, Fault> {
        let session = connect(into, Access::ReadWrite, CANONICAL).await?;
        self.named(session, "set synchronous_commit = off; reset timezone").await
    }

    /// Takes rows in as an archive has them, in settings of the database's own.
    pub(crate) async fn filler(&self, into: &Endpoint) -> Result<Session, Fault> {
        let setup = format!(
            "set synchronous_commit = off; set datestyle = iso; set intervalstyle = postgres; {SETTINGS}"
        );
        self.named(connect(into, Access::ReadWrite, Format::Own).await?, &setup).await
    }

    /// Makes indexes beside others, each with one process: several cost the server more.
    pub(crate) async fn builder(&self, into: &Endpoint) -> Result<Session, Fault> {
        let session = self.maker(into).await?;
        workers(&session, "'0'").await?;
        Ok(session)
    }

    /// Makes objects and indexes, in settings of the database's own, as `pg_restore` does. Memory for indexes: an equal
    /// share of a sixteenth of what the server says it has, where that is more than its default.
    pub(crate) async fn maker(&self, into: &Endpoint) -> Result<Session, Fault> {
        let setup = format!(
            "set synchronous_commit = off; {SETTINGS};
             select set_config('maintenance_work_mem', greatest(m.setting::int8,
               least(c.setting::int8 * 8 / (16 * {}), 1048576))::text || 'kB', false)
             from pg_settings m, pg_settings c
             where m.name = 'maintenance_work_mem' and c.name = 'effective_cache_size'",
            self.jobs
        );
        self.named(connect(into, Access::ReadWrite, Format::Own).await?, &setup).await
    }

    async fn named(&self, session: Session, setup: &str) -> Result<Session, Fault> {
        session
            .batch_execute(&format!("set application_name = {}; {setup}", literal(self.name)))
            .await
            .map_err(|cause| session.fault("setting a session up", cause))?;
        Ok(session)
    }
}

/// As many as `count`, at least one: the server may allow fewer.
pub(crate) async fn as_many<F>(count: usize, open: impl Fn() -> F) -> Result<Vec<Session>, Fault>
where
    F: Future<Output = Result<Session, Fault>>,
{
    let mut sessions = vec![open().await?];
    // Some may be refused: the limit of a small plan, most likely.
    let more = join_all((1..count).map(|_| open())).await;
    sessions.extend(more.into_iter().flatten());
    Ok(sessions)
}
