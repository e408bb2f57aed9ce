//! What a dump or a copy has found out about the tables of its source, so that they need not be read again.
//!
//! The checksums are those that the servers would give, of the very snapshot that was read. They count as long as the
//! tables are what they were: if a transaction has ended in the source's cluster since, rows are counted, and none may
//! be younger than the snapshot, nor any column. That goes ten times as fast as hashing them. Tested in
//! `tests/verification.rs` and `tests/freeze.rs`.

use std::collections::BTreeMap;

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::Remembered;
use tokio_postgres::Error;

use super::contents::{self, Digest, Measure, Measured, Table, Task, same};
use super::quiet;
use super::side::Side;
use crate::connect::Session;
use crate::counters::completed_transactions;
use crate::dump::Counted;

type Listed = BTreeMap<String, Table>;

/// Those of `dumped` that say what measuring the expected side would say.
///
/// Left out are tables whose columns are not those of the dump any more, and all where the two servers would hash
/// otherwise than the dump did.
pub(super) fn of(
    dumped: &BTreeMap<String, Counted>,
    measure: impl Fn(&Table) -> Measure,
    (expected, actual): (&Side, &Side),
    (ours, theirs): (&Listed, &Listed),
) -> BTreeMap<String, Measured> {
    let alike = expected.encoding == "UTF8"
        && actual.encoding == "UTF8"
        && expected.version_number.min(actual.version_number) >= 120_000;
    let known = |(name, counted): (&String, &Counted)| {
        let (one, other) = (ours.get(name)?, theirs.get(name)?);
        let contents = counted.contents.as_ref()?;
        let wanted = measure(one) == Measure::Contents { digest: Digest::Hash };
        let is_same = contents.columns == one.columns && same(&one.columns, &other.columns);
        (alike && wanted && is_same).then(|| {
            let checksum = Some(contents.checksum.clone());
            (name.clone(), Measured { rows: i64::try_from(counted.rows).ok(), checksum })
        })
    };
    dumped.iter().filter_map(known).collect()
}

/// Those of `known` whose tables are still what `dump` read; `tasks` are those of the expected side.
///
/// # Errors
/// A statement failed.
pub(super) async fn unchanged(
    known: BTreeMap<String, Measured>,
    dump: Option<&Remembered>,
    expected: &Side,
    tasks: &[Task],
) -> Result<BTreeMap<String, Measured>, Fault> {
    let Some(baseline) = dump.and_then(quiet::baseline) else { return Ok(BTreeMap::new()) };
    let session = expected.session();
    let fault = |cause| session.fault("looking for transactions since the dump", cause);
    let now = completed_transactions(session).await.map_err(fault)?;
    if now == baseline.completed {
        return Ok(known);
    }
    // `xmin:xmax:in progress`: what is older than the first was done when the dump began. Rows keep its lower 32 bits.
    let oldest = baseline.completed.split(':').next().and_then(|oldest| oldest.parse::<u64>().ok());
    let Some(oldest) = oldest else { return Ok(BTreeMap::new()) };
    let transaction = (oldest & u64::from(u32::MAX)) as u32;
    if is_reshaped(session, transaction).await.map_err(fault)? {
        return Ok(BTreeMap::new());
    }
    let since = Measure::Since { transaction };
    let asked = tasks.iter().filter(|task| known.contains_key(&task.shown));
    let asked = asked.map(|task| task.but(since)).collect();
    let found = contents::measure(expected, asked, &()).await?;
    let is_unchanged = |name: &String, known: &Measured| {
        found
            .get(name)
            .is_some_and(|found| found.rows == known.rows && found.checksum.as_deref() == Some("0"))
    };
    Ok(known.into_iter().filter(|(name, known)| is_unchanged(name, known)).collect())
}

/// Whether a column of a table or type was made, dropped or changed by `transaction` or a later one. No row need be
/// written for that to give them other values.
async fn is_reshaped(session: &Session, transaction: u32) -> Result<bool, Error> {
    let statement = format!(
        "select exists (select from pg_attribute a join pg_class c on c.oid = a.attrelid
           join pg_namespace n on n.oid = c.relnamespace
           where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind in ('r', 'p', 'm', 'c')
             and age(a.xmin) <= age('{transaction}'::xid))"
    );
    Ok(session.query_one(&statement, &[]).await?.get(0))
}
