//! The instant that a dump describes: an exported snapshot, held open, and the proof material for "nothing was written
//! since".
//!
//! It knows the source's session only; who compares later is [`crate::verification`]. Tested in `tests/`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::connect::{Access, Format, Session, connect};
use crate::counters::{Counters, completed_transactions, first_unseen};

/// What the source looked like at the snapshot; remembered with the dump.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// The transactions that the snapshot sees, see [`completed_transactions`].
    pub completed: String,
    /// The first transaction that may write to this database and that the snapshot does not see. Left out by states of
    /// before, and on a standby, which does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_unseen: Option<u64>,
    pub taken_at: Timestamp,
    pub counters: Counters,
}

/// A snapshot that others may take up by its name as long as this is held.
pub(crate) struct Snapshot {
    session: Session,
    pub(crate) name: String,
    /// Where the write-ahead log stood.
    pub(crate) lsn: Option<String>,
    baseline: Arc<Mutex<Baseline>>,
    /// Ends with it, however that comes.
    _following: JoinSet<()>,
}

const EXPORT: &str = "select pg_export_snapshot(), txid_current_snapshot()::text,
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end)::text";

impl Snapshot {
    /// Takes one of `source`.
    ///
    /// # Errors
    /// As [`connect`]; nothing was changed, a retry is safe.
    pub(crate) async fn take(cx: &Cx, source: &Endpoint) -> Result<Self, Fault> {
        let session = connect(source, Access::ReadOnly, Format::Own).await?;
        let observer = connect(source, Access::ReadOnly, Format::Own).await?;
        let begin = "begin isolation level repeatable read read only";
        let exported = async {
            session.batch_execute(begin).await?;
            session.query_one(EXPORT, &[]).await
        };
        let row = exported.await.map_err(|cause| session.fault("taking a snapshot", cause))?;
        // After the snapshot: writes in between are then counted, and at worst reported needlessly.
        let counters = Counters::read(&observer)
            .await
            .map_err(|cause| observer.fault("reading the tables' counters", cause))?;
        let completed: String = row.get(1);
        let first_unseen = first_unseen(&observer, &completed)
            .await
            .map_err(|cause| observer.fault("looking for transactions under way", cause))?;
        let baseline = Baseline { completed, first_unseen, taken_at: cx.now(), counters };
        let baseline = Arc::new(Mutex::new(baseline));
        let mut following = JoinSet::new();
        following.spawn(follow(observer, Arc::clone(&baseline), cx.clone()));
        Ok(Self { name: row.get(0), lsn: row.get(2), session, baseline, _following: following })
    }

    /// The session that is in it, for what must be seen or locked as long as it is held.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Lets go of it.
    pub(crate) fn release(self) -> Baseline {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counters lag behind commits by up to ten seconds. As long as no transaction has ended since the snapshot, later
/// counters describe it too, and better.
async fn follow(observer: Session, baseline: Arc<Mutex<Baseline>>, cx: Cx) {
    let completed = baseline.lock().unwrap_or_else(PoisonError::into_inner).completed.clone();
    for _ in 0..12 {
        cx.world.clock.sleep(Duration::from_secs(1)).await;
        let Ok(counters) = Counters::read(&observer).await else { return };
        if completed_transactions(&observer).await.ok().as_ref() != Some(&completed) {
            return;
        }
        baseline.lock().unwrap_or_else(PoisonError::into_inner).counters = counters;
    }
}
