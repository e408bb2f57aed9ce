//! What each table has been through: the server's counters of inserted, updated and deleted rows.
//!
//! They tell whether anything was written between two looks, without reading the data. They do not say what was
//! written, and they lag: a session hands them in when it ends, or up to a second after a commit (ten seconds when it
//! then stays idle, before Postgres 15 not before its next statement). Tested in `tests/`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Error};

use crate::facts::USER_RELATIONS;
use crate::quoting::display;

/// Rows inserted, updated and deleted ever, and the number of the file that holds them (a new one after `TRUNCATE`
/// or a rewrite).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter(pub i64, pub i64, pub i64, pub i64);

/// Counters by table, large objects under `pg_catalog.pg_largeobject`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counters(pub BTreeMap<String, Counter>);

impl Counters {
    /// Reads them as they are now. Inside a transaction the server repeats what it told first.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn read(client: &Client) -> Result<Self, Error> {
        let rows = client
            .query(
                &format!(
                    "with {USER_RELATIONS}
                     select s.schemaname::text, s.relname::text, n_tup_ins, n_tup_upd, n_tup_del,
                            coalesce(pg_relation_filenode(s.relid), 0)::int8
                     from pg_stat_all_tables s
                     where s.relid in (select oid from user_relations)
                        or (s.schemaname = 'pg_catalog' and s.relname = 'pg_largeobject')"
                ),
                &[],
            )
            .await?;
        Ok(Self(
            rows.iter()
                .map(|row| {
                    let name = display(row.get(0), row.get(1));
                    (name, Counter(row.get(2), row.get(3), row.get(4), row.get(5)))
                })
                .collect(),
        ))
    }

    /// The tables whose counters differ between two looks, tables that came and went included.
    pub fn moved(&self, later: &Self) -> Vec<String> {
        let mut names: Vec<String> = self
            .0
            .iter()
            .filter(|(name, before)| later.0.get(*name) != Some(before))
            .map(|(name, _)| name.clone())
            .collect();
        names.extend(later.0.keys().filter(|name| !self.0.contains_key(*name)).cloned());
        names.sort();
        names
    }
}

/// Which transactions are done, as the server tells it: `xmin:xmax:in progress`. While it stays the same, nothing has
/// been committed in the whole cluster. Its upper bound alone would miss a transaction that was already under way.
///
/// # Errors
/// The statement failed.
pub async fn completed_transactions(client: &Client) -> Result<String, Error> {
    Ok(client.query_one("select txid_current_snapshot()::text", &[]).await?.get(0))
}

/// The first transaction that may write to this database and that the snapshot `completed` does not see. `None` on a
/// standby, which does not list transactions under way.
///
/// A snapshot names no subtransactions; those of a transaction under way are numbered after it. So all from the first one
/// of this database on count as unseen. One that is neither there any more nor known to be another database's counts as
/// this one's.
///
/// # Errors
/// The statement failed.
pub(crate) async fn first_unseen(client: &Client, completed: &str) -> Result<Option<u64>, Error> {
    // Who holds the lock of a transaction is told to everybody, unlike `backend_xid`.
    const ELSEWHERE: &str = "
        select pg_is_in_recovery(), coalesce(array_agg(l.transactionid::text::int8)
          filter (where a.datname is not null and a.datname <> current_database()), '{}')
        from pg_locks l left join pg_stat_activity a on a.pid = l.pid where l.locktype = 'transactionid' and l.granted";
    let row = client.query_one(ELSEWHERE, &[]).await?;
    let Some(seen) = Completed::of(completed).filter(|_| !row.get::<_, bool>(0)) else {
        return Ok(None);
    };
    let elsewhere: Vec<i64> = row.get(1);
    let here = |number: &&u64| {
        !elsewhere.iter().any(|other| other.unsigned_abs() == **number & u64::from(u32::MAX))
    };
    Ok(Some(seen.under_way.iter().filter(here).min().copied().unwrap_or(seen.end)))
}

/// What [`completed_transactions`] says, taken apart.
pub(crate) struct Completed {
    /// All before it are done.
    pub(crate) begin: u64,
    /// It and all after it had not begun.
    pub(crate) end: u64,
    under_way: Vec<u64>,
}

impl Completed {
    pub(crate) fn of(completed: &str) -> Option<Self> {
        let mut parts = completed.split(':');
        let begin = parts.next()?.parse().ok()?;
        let end = parts.next()?.parse().ok()?;
        let under_way = parts.next()?.split(',').filter(|it| !it.is_empty());
        let under_way = under_way.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { begin, end, under_way })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_taken_apart() {
        let parts = |text| Completed::of(text).map(|it| (it.begin, it.end, it.under_way));
        assert_eq!(parts("7:7:"), Some((7, 7, vec![])));
        assert_eq!(parts("7:12:7,9"), Some((7, 12, vec![7, 9])));
        assert_eq!(parts("7"), None);
    }

    #[test]
    fn what_moved_is_named() {
        let counters = |rows: &[(&str, i64)]| {
            Counters(
                rows.iter().map(|(name, n)| ((*name).to_owned(), Counter(*n, 0, 0, 1))).collect(),
            )
        };
        let before = counters(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(before.moved(&before), Vec::<String>::new());
        assert_eq!(before.moved(&counters(&[("a", 1), ("b", 5), ("d", 1)])), ["b", "c", "d"]);
    }
}
