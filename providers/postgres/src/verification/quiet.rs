//! The proof that nothing was written to the source since its dump or copy.
//!
//! Either no transaction has ended in its whole cluster since the snapshot, or no table's counters have moved. A standby
//! has no such counters: there the first must hold. Tested in `tests/`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;

use crate::connect::{Access, Format, connect};
use crate::counters::{Counters, completed_transactions};
use crate::dump::Baseline;

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// There is no dump of this database to compare with.
    NotAsked,
    Since(jiff::Timestamp),
    /// These tables were written to.
    Moved {
        since: jiff::Timestamp,
        tables: Vec<String>,
    },
    /// A standby that has taken over transactions.
    Unknown {
        since: jiff::Timestamp,
    },
}

/// What the dump of `expected`, or the copy of it into `actual`, remembers, if this verification depends on one.
pub(super) fn dump_of(cx: &Cx, expected: &Endpoint, actual: &Endpoint) -> Option<Remembered> {
    let of = |type_name: &str, ends: &[(&str, &Endpoint)]| {
        let is = |remembered: &Remembered, field: &str, end: &Endpoint| {
            let address = remembered.inputs.get(field).and_then(|field| field.get("$address"));
            address.and_then(Tree::as_text) == Some(end.address.as_str())
        };
        (cx.world.remembered)(&cx.address, type_name)
            .into_iter()
            .map(|(_, remembered)| remembered)
            .find(|remembered| ends.iter().all(|(field, end)| is(remembered, field, end)))
    };
    of("postgres.copy", &[("from", expected), ("into", actual)])
        .or_else(|| of("postgres.dump", &[("source", expected)]))
}

/// What the source looked like when it was dumped or copied.
pub(super) fn baseline(dump: &Remembered) -> Option<Baseline> {
    dump.memory.get("baseline")?.to_typed().ok()
}

/// Looks at the source again.
pub(super) async fn check(expected: &Endpoint, dump: Option<&Remembered>) -> Result<Quiet, Fault> {
    let Some(baseline) = dump.and_then(baseline) else { return Ok(Quiet::NotAsked) };
    let session = connect(expected, Access::ReadOnly, Format::Own).await?;
    let looked = async {
        if completed_transactions(&session).await? == baseline.completed {
            return Ok(Quiet::Since(baseline.taken_at));
        }
        let standby = session.query_one("select pg_is_in_recovery()", &[]).await?.get(0);
        if standby {
            return Ok(Quiet::Unknown { since: baseline.taken_at });
        }
        let tables = baseline.counters.moved(&Counters::read(&session).await?);
        Ok(if tables.is_empty() {
            Quiet::Since(baseline.taken_at)
        } else {
            Quiet::Moved { since: baseline.taken_at, tables }
        })
    };
    looked.await.map_err(|cause| session.fault("looking for writes since the dump", cause))
}
