//! Large objects, as `lo_get` gives them: it sees the snapshot and asks for no right but the one to read.
//!
//! Small ones are fetched several at a time, others in pieces, so that memory does not depend on their size. Tested in
//! `tests/parallel.rs`.

use std::sync::Arc;

use bytes::Bytes;
use pgferry_archive::deflate::{Join, STREAM_HEAD};
use pgferry_archive::frame;
use pgferry_engine::fault::Fault;

use super::compressors::{Compressors, SEGMENT, framed};
use super::line::{Chunk, Outlet};
use crate::connect::Session;

/// Objects that are fetched at a time, with so many bytes of each at most.
const TOGETHER: usize = 16;
const AT_FIRST: usize = 256 << 10;

/// Reads the objects of these numbers, with all that stands around them in the archive.
///
/// # Errors
/// One of them cannot be read, or the connection breaks.
pub(super) async fn read(
    session: &Session,
    numbers: &[u32],
    compressors: &Arc<Compressors>,
    outlet: &Outlet,
) -> Result<(), Fault> {
    let fault = |cause| session.fault("reading large objects", cause);
    for some in numbers.chunks(TOGETHER) {
        let rows = session
            .query(
                "select o, pg_catalog.lo_get(o, 0, $2) from unnest($1::oid[]) with ordinality as u(o, n) order by n",
                &[&some, &int(AT_FIRST)],
            )
            .await
            .map_err(fault)?;
        for row in rows {
            let number: u32 = row.get(0);
            let begin: &[u8] = row.get(1);
            object(session, number, begin, compressors, outlet).await?;
        }
    }
    Ok(())
}

/// One object that begins with `begin`, and goes on if that is as much as was asked for.
async fn object(
    session: &Session,
    number: u32,
    begin: &[u8],
    compressors: &Arc<Compressors>,
    outlet: &Outlet,
) -> Result<(), Fault> {
    let fault = |cause| session.fault(&format!("reading the large object {number}"), cause);
    let mut join = Join::default();
    let mut head = frame::object(number).to_vec();
    if compressors.joins() {
        head.extend(framed(&STREAM_HEAD));
    }
    let mut piece = compressors.memory();
    piece.extend_from_slice(begin);
    let (mut offset, mut wanted) = (0, AT_FIRST);
    loop {
        let length = piece.len();
        offset += length;
        if length > 0 {
            let begun = compressors.begin(piece, 0).await?;
            let done = begun.await.map_err(|cause| Fault::bug("compressing").because(cause))?;
            let mut chunk = compressors.end(done);
            if let Some(segment) = chunk.segment.take() {
                join.add(segment);
            }
            if !head.is_empty() {
                head.extend_from_slice(&chunk.bytes);
                chunk.bytes = Bytes::from(std::mem::take(&mut head));
            }
            outlet.pass(chunk).await?;
        }
        if length < wanted {
            break;
        }
        wanted = SEGMENT;
        let at = i64::try_from(offset).unwrap_or(i64::MAX);
        let row = session
            .query_one("select pg_catalog.lo_get($1, $2, $3)", &[&number, &at, &int(wanted)])
            .await
            .map_err(fault)?;
        piece = compressors.memory();
        piece.extend_from_slice(row.get(0));
    }
    if compressors.joins() {
        head.extend(framed(&join.end()));
    } else if offset == 0 && compressors.compresses() {
        head.extend(compressors.little(&[]).bytes);
    }
    head.extend(frame::STREAM_END);
    outlet.pass(Chunk { bytes: head.into(), segment: None, rows: 0, length: 0 }).await
}

fn int(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
