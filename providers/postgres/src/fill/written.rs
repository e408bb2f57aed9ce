//! What a run put into each table itself: how many rows, and by which transactions. Nobody has to read them to know that.
//!
//! It says nothing of tables that others may have put rows into. Tested in `tests/guard.rs`, where the tables are read.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::{Error, SimpleQueryMessage};

use crate::connect::Session;
use crate::target::Rows;

/// By the displayed name of the table.
#[derive(Default)]
pub(crate) struct Written(Mutex<Rows>);

impl Written {
    /// `transaction` has put `rows` into `table`, and is committed.
    pub(crate) fn add(&self, table: &str, rows: u64, transaction: i64) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(table.to_owned()).or_insert_with(|| vec![0, 0]);
        known[0] += rows;
        known[1] += rows * transaction;
    }

    pub(crate) fn rows(&self) -> Rows {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Begins a transaction with `statements`. Gives its number as its rows keep it: the lower half.
///
/// # Errors
/// The target refuses a statement.
pub(crate) async fn begin(target: &Session, statements: &str) -> Result<i64, Error> {
    let text = format!("begin; {statements}; select txid_current() & 4294967295");
    let said = target.simple_query(&text).await?;
    let number = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    Ok(number.unwrap_or_default())
}
