//! Whether the server has room for the locks of a dump or copy: one on each table, from the snapshot to the last row.
//!
//! Looking reads settings and counts; judging is pure. Tested beside it.

use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use serde::{Deserialize, Serialize};

use crate::connect::Session;
use crate::facts::USER_RELATIONS;

/// What is wanted, and what there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Locks {
    tables: i64,
    /// Each is locked as well once `pg_dump` has read where it stands.
    sequences: i64,
    per_transaction: i64,
    /// Transactions that the server has room for.
    transactions: i64,
}

impl Locks {
    /// Reads them.
    ///
    /// # Errors
    /// The statement failed.
    pub(super) async fn read(session: &Session) -> Result<Self, Fault> {
        let statement = format!(
            "with {USER_RELATIONS}
             select count(*) filter (where relkind in ('r', 'p')), count(*) filter (where relkind = 'S'),
                    current_setting('max_locks_per_transaction')::int8,
                    current_setting('max_connections')::int8 + current_setting('max_prepared_transactions')::int8
             from user_relations"
        );
        let row = session
            .query_one(&statement, &[])
            .await
            .map_err(|cause| session.fault("counting the tables", cause))?;
        Ok(Self {
            tables: row.get(0),
            sequences: row.get(1),
            per_transaction: row.get(2),
            transactions: row.get(3),
        })
    }

    /// The lock table is a little larger than it says, by no more than a tenth and 100 kB; and others want some of it.
    pub(super) fn finding(self) -> Option<Finding> {
        let room = self.per_transaction * self.transactions;
        let surely = self.tables > room / 4 * 5;
        let perhaps = self.tables + self.sequences > room / 4 * 3;
        if !surely && !perhaps {
            return None;
        }
        let message = format!(
            "{} tables and {} sequences are locked at once, and the source's server has room for {room} locks of all its \
             users (max_locks_per_transaction {})",
            self.tables, self.sequences, self.per_transaction
        );
        let finding = match surely {
            true => Finding::error("PGF1160", message),
            false => Finding::warning("PGF1160", message),
        };
        let wanted = (self.tables + self.sequences) * 2 / self.transactions.max(1) + 1;
        Some(finding.help(format!(
            "set max_locks_per_transaction to {wanted} or more there, and restart the server; or have the provider do it"
        )))
    }
}

#[cfg(test)]
mod tests {
    use pgferry_engine::finding::Severity;

    use super::*;

    #[test]
    fn too_many_tables_are_told() {
        let severity = |tables, sequences| {
            let locks = Locks { tables, sequences, per_transaction: 64, transactions: 100 };
            locks.finding().map(|finding| finding.severity)
        };
        for (tables, sequences, expect) in [
            (2_500, 2_300, None),
            (2_500, 2_500, Some(Severity::Warning)),
            (8_000, 0, Some(Severity::Warning)),
            (8_001, 0, Some(Severity::Error)),
        ] {
            assert_eq!(severity(tables, sequences), expect, "{tables} {sequences}");
        }
        let locks = Locks { tables: 9_000, sequences: 0, per_transaction: 64, transactions: 100 };
        let help = locks.finding().and_then(|finding| finding.help).unwrap_or_default();
        assert!(help.contains("to 181 or more"), "{help}");
    }
}
