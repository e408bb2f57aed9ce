//! Whether a server has room for the locks of a dump, a copy or a proof: one on each table, and of several sessions.
//!
//! Looking reads settings and counts; judging is pure. Tested beside it, and against servers of little room in
//! `tests/locks.rs`.

use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use serde::{Deserialize, Serialize};

use crate::connect::Session;
use crate::facts::USER_RELATIONS;

/// What one `pg_dump` locks of the catalogue, with all indexes (measured, somewhat less).
const CATALOGUE: i64 = 150;

/// Who locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Reading the source of a dump: `pg_dump`, the session that holds every table, and those that read rows.
    Dump,
    /// Reading the source of a copy: two `pg_dump` at once, and the session that holds every table.
    Copy,
    /// One side of a proof: `pg_dump`, which then reads no sequence; rows are read few tables to a transaction.
    Proof,
}

/// What a database holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Counted {
    tables: i64,
    /// Each is locked as well once `pg_dump` has read where it stands.
    sequences: i64,
}

/// What a server has room for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Room {
    per_transaction: i64,
    /// For which it reckons with so many locks each.
    processes: i64,
}

/// What is wanted, and what there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Locks {
    pub(crate) work: Work,
    pub(crate) counted: Counted,
    pub(crate) room: Room,
}

impl Counted {
    /// Reads it.
    ///
    /// # Errors
    /// The statement failed.
    pub(crate) async fn read(session: &Session) -> Result<Self, Fault> {
        let statement = format!(
            "with {USER_RELATIONS}
             select count(*) filter (where relkind in ('r', 'p')), count(*) filter (where relkind = 'S')
             from user_relations"
        );
        let row = session
            .query_one(&statement, &[])
            .await
            .map_err(|cause| session.fault("counting the tables", cause))?;
        Ok(Self { tables: row.get(0), sequences: row.get(1) })
    }
}

impl Room {
    /// Reads it (`NLOCKENTS` in lock.c, `InitializeMaxBackends` in postinit.c).
    ///
    /// # Errors
    /// The statement failed.
    pub(crate) async fn read(session: &Session) -> Result<Self, Fault> {
        // Before 12 those are among the connections.
        let senders = if session.version_number >= 120_000 { ", 'max_wal_senders'" } else { "" };
        let statement = format!(
            "select current_setting('max_locks_per_transaction')::int8,
                    (select sum(setting::int8)::int8 + 1 from pg_settings where name in ('max_connections',
                       'max_prepared_transactions', 'autovacuum_max_workers', 'max_worker_processes'{senders}))"
        );
        let row = session
            .query_one(&statement, &[])
            .await
            .map_err(|cause| session.fault("reading how many locks there may be", cause))?;
        Ok(Self { per_transaction: row.get(0), processes: row.get(1) })
    }
}

impl Locks {
    /// A server sets memory aside for half as many locked objects as it says, and as many holders of them; up to twice that
    /// it has planned for, but whatever grows first takes it, for good. Beyond that it takes what happens to be spare. On
    /// servers of 10 locks a transaction with 20 and 100 connections, runs that wanted 1.8 times what is planned for have
    /// passed, others that wanted 0.7 times have failed; of those that wanted twice as much, all. Others want some, too.
    pub(crate) fn finding(self, end: &str) -> Option<Finding> {
        let Counted { tables, sequences } = self.counted;
        let program = match self.work {
            Work::Proof => tables + CATALOGUE,
            _ => tables + sequences + CATALOGUE,
        };
        let holders = match self.work {
            Work::Dump => program + 2 * tables,
            Work::Copy => 2 * program + tables,
            Work::Proof => program,
        };
        let wanted = program.max(holders / 2);
        let room = self.room.per_transaction * self.room.processes;
        if wanted <= room / 2 {
            return None;
        }
        let (what, of_sequences) = match self.work {
            Work::Dump => ("a dump", format!(" and {sequences} sequences")),
            Work::Copy => ("a copy", format!(" and {sequences} sequences")),
            Work::Proof => ("a proof", String::new()),
        };
        let message = format!(
            "{what} of {tables} tables{of_sequences} wants about {wanted} locks at once; for all its users, the server of \
             `{end}` has set memory aside for {}, and may have some for {room} and more (max_locks_per_transaction {})",
            room / 2,
            self.room.per_transaction
        );
        let finding = match wanted > room * 2 {
            true => Finding::error("PGF1160", message),
            false => Finding::warning("PGF1160", message),
        };
        let enough = wanted * 2 / self.room.processes.max(1) + 1;
        Some(finding.help(format!(
            "set max_locks_per_transaction to {enough} or more there, and restart the server; or have the provider do it"
        )))
    }
}

#[cfg(test)]
mod tests {
    use pgferry_engine::finding::Severity;

    use super::*;

    #[test]
    fn too_many_tables_are_told() {
        // As a server has it that nobody has set up.
        let room = Room { per_transaction: 64, processes: 122 };
        let found = |work, tables, sequences| {
            let counted = Counted { tables, sequences };
            Locks { work, counted, room }.finding("source")
        };
        for (work, tables, sequences, expect) in [
            (Work::Copy, 1_500, 1_500, None),
            (Work::Copy, 2_500, 2_500, Some(Severity::Warning)),
            (Work::Copy, 6_100, 6_100, Some(Severity::Warning)),
            (Work::Copy, 6_300, 6_300, Some(Severity::Error)),
            (Work::Dump, 1_800, 1_800, None),
            (Work::Dump, 8_000, 8_000, Some(Severity::Error)),
            (Work::Proof, 3_700, 9_000, None),
            (Work::Proof, 4_000, 0, Some(Severity::Warning)),
            (Work::Proof, 16_000, 0, Some(Severity::Error)),
        ] {
            let severity = found(work, tables, sequences).map(|finding| finding.severity);
            assert_eq!(severity, expect, "{work:?} {tables} {sequences}");
        }
        let help = found(Work::Proof, 16_000, 0).and_then(|finding| finding.help);
        assert!(help.expect("help").contains("to 265 or more"));
    }
}
