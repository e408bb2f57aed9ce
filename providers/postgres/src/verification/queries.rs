//! The user's own queries, asked of both sides.
//!
//! Each runs as a subquery, so that it is one statement that reads. Rows are compared in their order; where a query
//! names none, any order will do. Tested in `tests/`.

use futures_util::TryStreamExt;
use pgferry_engine::fault::{Class, Fault};
use sha2::{Digest, Sha256};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::side::Side;
use crate::connect::Said;
use crate::dump::hold::refused;

/// What a side answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) rows: u64,
    /// The first row, shortened, for messages.
    pub(super) first: String,
    in_order: [u8; 32],
    in_any_order: u128,
}

const SHOWN: usize = 120;

/// Asks `query`; `Err` within holds what the server said against it.
pub(super) async fn ask(side: &Side, query: &str) -> Result<Result<Answer, String>, Fault> {
    let session = side.session();
    let fault = |cause| session.fault("asking a query", cause);
    // A query that fails must not end the snapshot.
    session.batch_execute("savepoint asked").await.map_err(fault)?;
    let statement = format!(
        "select pgferry_asked::text from (\n{}\n) as pgferry_asked",
        query.trim().trim_end_matches(';')
    );
    let answer = match answered(session, &statement).await {
        Err(cause) if cause.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            return Err(refused(session, "asking a query", cause).await);
        }
        answer => answer,
    };
    session.batch_execute("rollback to savepoint asked").await.map_err(fault)?;
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(cause) if cause.as_db_error().is_some() => Ok(Err(Said::of(cause).to_string())),
        Err(cause) => Err(fault(cause)),
    }
}

async fn answered(session: &tokio_postgres::Client, statement: &str) -> Result<Answer, Error> {
    let mut rows = std::pin::pin!(session.query_raw(statement, std::iter::empty::<&str>()).await?);
    let mut answer = Answer { rows: 0, first: String::new(), in_order: [0; 32], in_any_order: 0 };
    let mut in_order = Sha256::new();
    while let Some(row) = rows.try_next().await? {
        let text: &str = row.get(0);
        if answer.rows == 0 {
            answer.first = text.chars().take(SHOWN).collect();
        }
        answer.rows += 1;
        let digest = Sha256::digest(text);
        in_order.update(digest);
        let half: [u8; 16] = std::array::from_fn(|at| digest[at]);
        answer.in_any_order = answer.in_any_order.wrapping_add(u128::from_le_bytes(half));
    }
    answer.in_order = in_order.finalize().into();
    Ok(answer)
}

/// Whether both answered `query` alike.
pub(super) fn agree(query: &str, one: &Answer, other: &Answer) -> bool {
    if query.to_ascii_lowercase().contains("order by") {
        one == other
    } else {
        (one.rows, one.in_any_order) == (other.rows, other.in_any_order)
    }
}

/// A query that neither side understands is a mistake of the spec.
pub(super) fn misunderstood(query: &str, said: &str) -> Fault {
    Fault::new(Class::Rejected, format!("asking `{query}` of both sides"))
        .because(said.to_owned())
        .help("write one SELECT that names schemas (public.accounts): the search path is empty")
}
