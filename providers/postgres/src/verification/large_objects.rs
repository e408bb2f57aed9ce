//! Large objects: their numbers and contents.
//!
//! Each is read by the server in one piece, which it does up to 1 GB. Tested in `tests/`.

use std::collections::BTreeMap;

use pgferry_engine::fault::Fault;

use super::side::Side;

/// Objects whose digests are fetched when the sums differ, to name the ones that do.
const NAMED_AMONG: i64 = 100_000;

/// How many, and the sum of a hash over number and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) count: i64,
    pub(super) checksum: String,
}

const HASH: &str =
    "('x' || substr(md5(oid::text || ' ' || md5(lo_get(oid))), 1, 16))::bit(64)::int8";

pub(super) async fn sum(side: &Side) -> Result<Sum, Fault> {
    let statement =
        format!("select count(*), coalesce(sum({HASH}), 0)::text from pg_largeobject_metadata");
    let session = side.session();
    let row = session
        .query_one(&statement, &[])
        .await
        .map_err(|cause| session.fault("reading the large objects", cause))?;
    Ok(Sum { count: row.get(0), checksum: row.get(1) })
}

/// Numbers of objects that differ or are on one side only; a few.
pub(super) async fn differing(expected: &Side, actual: &Side) -> Result<Vec<String>, Fault> {
    let (one, other) = (digests(expected).await?, digests(actual).await?);
    Ok(one
        .keys()
        .chain(other.keys().filter(|oid| !one.contains_key(*oid)))
        .filter(|oid| one.get(*oid) != other.get(*oid))
        .take(5)
        .map(i64::to_string)
        .collect())
}

async fn digests(side: &Side) -> Result<BTreeMap<i64, i64>, Fault> {
    let statement = format!(
        "select oid::int8, {HASH} from pg_largeobject_metadata order by oid limit {NAMED_AMONG}"
    );
    let session = side.session();
    let rows = session
        .query(&statement, &[])
        .await
        .map_err(|cause| session.fault("reading the large objects", cause))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
