//! Where sequences stand.
//!
//! `pg_sequences` says nothing of a sequence that was set but not called, so each one is read itself, many to a
//! statement. Sequences take no part in snapshots: what is read is what is now. Tested in `tests/`.

use tokio_postgres::{Client, Error};

use crate::quoting::identifier;

/// Sequences read by one statement: few enough for its locks.
const AT_ONCE: usize = 200;

/// The next value is `last_value`, or the one after it if it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) last_value: i64,
    pub(crate) is_called: bool,
}

/// The sequence as a `FROM` clause names it.
pub(crate) fn from_clause(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// The values of `sequences`, in their order.
pub(crate) async fn values(client: &Client, sequences: &[String]) -> Result<Vec<Values>, Error> {
    let mut all = Vec::with_capacity(sequences.len());
    for chunk in sequences.chunks(AT_ONCE) {
        let statement = chunk
            .iter()
            .enumerate()
            .map(|(at, from)| format!("select {at} as at, last_value, is_called from {from}"))
            .collect::<Vec<_>>()
            .join(" union all ");
        for row in client.query(&format!("{statement} order by at"), &[]).await? {
            all.push(Values { last_value: row.get(1), is_called: row.get(2) });
        }
    }
    Ok(all)
}
