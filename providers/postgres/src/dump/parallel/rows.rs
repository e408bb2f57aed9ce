//! The rows of a table, or of a range of its pages, as `COPY` sends them.
//!
//! One segment is filled while the ones before it are compressed. Memory: a few segments, and the longest row, which a
//! server sends in one piece. Tested in `tests/parallel.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Buf;
use futures_util::StreamExt;
use pgferry_engine::fault::Fault;
use tokio::task::JoinHandle;

use super::compressors::{Compressed, Compressors, SEGMENT};
use super::line::Outlet;
use crate::checksum::Checksum;
use crate::connect::Session;

/// Segments of one reader that are being compressed.
const AHEAD: usize = 2;

/// Segments on their way from a reader to its outlet, in their order.
pub(super) struct Segments<'a> {
    compressors: &'a Arc<Compressors>,
    outlet: &'a Outlet,
    filling: Vec<u8>,
    /// That end in what is being filled.
    rows: u64,
    pending: VecDeque<JoinHandle<Compressed>>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(compressors: &'a Arc<Compressors>, outlet: &'a Outlet) -> Self {
        let pending = VecDeque::new();
        Self { compressors, outlet, filling: Vec::new(), rows: 0, pending }
    }

    /// Takes the next row.
    pub(super) async fn take(&mut self, mut bytes: impl Buf) -> Result<(), Fault> {
        while bytes.has_remaining() {
            if self.filling.capacity() == 0 {
                self.filling = self.compressors.memory();
            }
            let count = bytes.chunk().len().min(SEGMENT - self.filling.len());
            self.filling.extend_from_slice(&bytes.chunk()[..count]);
            bytes.advance(count);
            if !bytes.has_remaining() {
                self.rows += 1;
            }
            if self.filling.len() == SEGMENT {
                self.begin().await?;
            }
        }
        Ok(())
    }

    /// Passes on all that was taken.
    pub(super) async fn end(&mut self) -> Result<(), Fault> {
        if !self.filling.is_empty() {
            self.begin().await?;
        }
        while !self.pending.is_empty() {
            self.pass_one().await?;
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Fault> {
        if self.pending.len() == AHEAD {
            self.pass_one().await?;
        }
        let segment = std::mem::take(&mut self.filling);
        let rows = std::mem::take(&mut self.rows);
        self.pending.push_back(self.compressors.begin(segment, rows).await?);
        Ok(())
    }

    async fn pass_one(&mut self) -> Result<(), Fault> {
        let Some(next) = self.pending.pop_front() else { return Ok(()) };
        let done = next.await.map_err(|cause| Fault::bug("compressing").because(cause))?;
        self.outlet.pass(self.compressors.end(done)).await
    }
}

/// Reads what `statement` copies, whole, and adds each row to `checksum`.
///
/// # Errors
/// The server refuses it, row security would hide rows from us, the connection breaks.
pub(super) async fn copy(
    session: &Session,
    shown: &str,
    statement: &str,
    compressors: &Arc<Compressors>,
    outlet: &Outlet,
    mut checksum: Option<&mut Checksum>,
) -> Result<(), Fault> {
    let fault = |cause| session.fault(&format!("reading `{shown}`"), cause);
    let mut stream = std::pin::pin!(session.copy_out(statement).await.map_err(fault)?);
    let mut segments = Segments::new(compressors, outlet);
    while let Some(row) = stream.next().await {
        // "Always one per row" (PostgreSQL docs, "Message Flow", "COPY Operations").
        let row = row.map_err(fault)?;
        if let Some(checksum) = &mut checksum {
            checksum.take(&row);
        }
        segments.take(row).await?;
    }
    segments.end().await
}
