//! Large objects: made all at once, then filled part by part as the archive brings them.
//!
//! They keep their numbers. Tested in `tests/restore.rs`.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use pgferry_engine::fault::Fault;

use super::rows::{Part, Wanted};
use crate::connect::Session;
use crate::large_objects::given_to;

/// Made by one statement.
const MADE_AT_ONCE: usize = 1000;
/// Given to their owner by one request, which locks each.
const GIVEN_AT_ONCE: usize = 100;
/// Parts and bytes written by one statement.
const PARTS: usize = 64;
const BYTES: usize = 1 << 20;

/// Makes those of `numbers`, empty, and gives them to their owners.
///
/// # Errors
/// One is there already, or the role may not.
pub(super) async fn make(
    target: &Session,
    numbers: &BTreeMap<Option<String>, Vec<u32>>,
) -> Result<(), Fault> {
    let fault = |cause| target.fault("making large objects", cause);
    for (owner, numbers) in numbers {
        for some in numbers.chunks(MADE_AT_ONCE) {
            let make = "select lo_create(o) from unnest($1::oid[]) o";
            target.query(make, &[&some]).await.map_err(fault)?;
            for few in some.chunks(GIVEN_AT_ONCE) {
                let Some(owner) = owner else { break };
                let give: String = few.iter().map(|number| given_to(*number, owner)).collect();
                target.batch_execute(&give).await.map_err(fault)?;
            }
        }
    }
    Ok(())
}

/// Fills them from a block.
///
/// # Errors
/// Either end failed.
pub(super) async fn fill(target: &Session, wanted: Wanted) -> Result<(), Fault> {
    let parts = wanted.parts();
    tokio::pin!(parts);
    let (mut some, mut bytes) = (Vec::new(), 0);
    while let Some(part) = parts.next().await {
        let part = part?;
        bytes += part.bytes.len();
        some.push(part);
        if some.len() >= PARTS || bytes >= BYTES {
            put(target, &some).await?;
            some.clear();
            bytes = 0;
        }
    }
    put(target, &some).await
}

async fn put(target: &Session, parts: &[Part]) -> Result<(), Fault> {
    if parts.is_empty() {
        return Ok(());
    }
    let numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
    let places: Vec<i64> = parts.iter().map(|part| part.at).collect();
    let contents: Vec<&[u8]> = parts.iter().map(|part| part.bytes.as_ref()).collect();
    let statement =
        "select lo_put(o, a, b) from unnest($1::oid[], $2::int8[], $3::bytea[]) as t (o, a, b)";
    target
        .query(statement, &[&numbers, &places, &contents])
        .await
        .map(drop)
        .map_err(|cause| target.fault("writing large objects", cause))
}
