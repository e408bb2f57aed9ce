//! Whether rows were written: their number, and the transactions that wrote them.
//!
//! A committed `INSERT` or `UPDATE` leaves rows of a transaction that left none before, a `DELETE` or `TRUNCATE` leaves
//! fewer; so the count of a table's rows and the sum of their `xmin` tell at once, and whatever the server counts. A
//! frozen row keeps its `xmin` (PostgreSQL 9.4 and later), so `VACUUM`, `VACUUM FULL` and `CLUSTER` change neither, and
//! a write that was rolled back does not count. Of tables that the role may not read whole, the server's counters and the
//! number of the file stand in. Reads each table once. Tested in `tests/target.rs`.

use std::collections::BTreeMap;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use crate::connect::Session;
use crate::dump::hold::refused;
use crate::scan::{scan, tables};

/// By table: rows and the sum of their transactions, or what the server counts.
pub type Rows = BTreeMap<String, Vec<i64>>;

/// Reads all tables of the session's database but those of which everything is `known`, of large ones several at a time.
///
/// # Errors
/// As [`connect`](crate::connect::connect), or a table could not be read.
pub(super) async fn read(
    cx: &Cx,
    endpoint: &Endpoint,
    session: &Session,
    known: &Rows,
) -> Result<Rows, Fault> {
    let listed = match tables(session).await {
        Ok(listed) => listed,
        Err(cause) => return Err(refused(session, "listing its tables", cause).await),
    };
    let (readable, closed): (Vec<_>, Vec<_>) = listed.iter().partition(|table| table.readable);
    let (written, readable): (Vec<_>, Vec<_>) =
        readable.into_iter().partition(|table| known.contains_key(&table.shown));
    let megabytes = readable.iter().map(|table| table.bytes).sum::<i64>() >> 20;
    cx.progress(Progress {
        what: format!(
            "reading {} tables of `{}` ({megabytes} MB) for rows that were written",
            readable.len(),
            endpoint.address
        ),
        ..Progress::default()
    });
    let found = scan(endpoint, session, &readable, "sum(x)").await?;
    let mut rows: Rows =
        found.into_iter().map(|(name, (count, sum))| (name, vec![count, sum])).collect();
    rows.extend(written.iter().map(|table| (table.shown.clone(), known[&table.shown].clone())));
    rows.extend(closed.iter().map(|table| {
        let it = table.counter;
        (table.shown.clone(), vec![it.3, it.0, it.1, it.2])
    }));
    Ok(rows)
}
