//! How much there is to dump, and how much of it will be in the bucket.
//!
//! Tested through [`super::Dump`].

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;

use super::hold::refused;
use crate::connect::Session;
use crate::facts::USER_RELATIONS;

/// Prose and rows shrink to about a quarter (measured); only for the progress line.
const COMPRESSES_TO: u64 = 4;

pub(super) struct Sizes {
    /// Bytes on disk of the whole database.
    pub(super) database: u64,
    /// Bytes on disk of tables and large objects without indexes.
    tables_bytes: u64,
    /// Schema and name.
    pub(super) tables: Vec<(String, String)>,
}

impl Sizes {
    pub(super) async fn read(session: &Session) -> Result<Self, Fault> {
        let statement = format!(
            "with {USER_RELATIONS}
             select nspname::text, relname::text, pg_table_size(oid),
                    -- Of its own, so that the server asks once: it looks at every file of the database.
                    (select pg_database_size(current_database())),
                    (select pg_table_size('pg_catalog.pg_largeobject'::regclass))
             from user_relations where relkind = 'r' order by 1, 2"
        );
        let rows = match session.query(&statement, &[]).await {
            Ok(rows) => rows,
            Err(cause) => return Err(refused(session, "measuring the tables", cause).await),
        };
        let bytes = |row: &tokio_postgres::Row, at: usize| row.get::<_, i64>(at).unsigned_abs();
        Ok(Self {
            database: rows.first().map_or(0, |row| bytes(row, 3)),
            tables_bytes: rows.iter().map(|row| bytes(row, 2)).sum::<u64>()
                + rows.first().map_or(0, |row| bytes(row, 4)),
            tables: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    /// Bytes of the archive at most. Without compression, text and hexadecimal digits take more room than the server's
    /// own pages, whose long values are compressed.
    pub(super) fn most(&self, compresses: bool) -> u64 {
        if compresses { self.database } else { self.database.saturating_mul(4) }
    }

    /// Bytes of the archive: as many as last time, else by experience.
    pub(super) fn estimate(&self, before: Option<&Remembered>, compresses: bool) -> u64 {
        let last = before.and_then(|before| before.attrs.get("size")).and_then(Tree::as_u64);
        let ratio = if compresses { COMPRESSES_TO } else { 1 };
        last.unwrap_or(self.tables_bytes / ratio)
    }
}
