//! The one that puts everything into the archive, in its order.
//!
//! It owns what stands around the data, and where each block begins. Tested in `tests/parallel.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pgferry_archive::deflate::{Join, STREAM_HEAD};
use pgferry_archive::frame;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_objects::Uploader;
use tokio::sync::mpsc;

use super::compressors::{Compressors, framed};
use super::line::{Chunk, Line, Taken, Word};
use super::plan::{Block, Piece};
use crate::dump::destination::final_fault;
use crate::dump::progress::Meter;

/// Bytes of text after which the level of compression is looked at again.
const WINDOW: u64 = 8 << 20;

/// What was written.
#[derive(Default)]
pub(super) struct Written {
    /// Where each block begins, by its entry's number.
    pub(super) offsets: BTreeMap<i32, u64>,
    /// Rows of each table, by its entry's number.
    pub(super) rows: BTreeMap<i32, u64>,
    /// Checksum of each table that has one, by its entry's number.
    pub(super) sums: BTreeMap<i32, i128>,
}

pub(super) struct Writer<'a> {
    pub(super) cx: &'a Cx,
    pub(super) uploader: &'a mut Uploader,
    pub(super) blocks: &'a [Block],
    pub(super) line: &'a Arc<Line>,
    pub(super) compressors: &'a Arc<Compressors>,
    pub(super) meter: Meter,
}

/// How long was waited for whom, since the level was last looked at.
#[derive(Default)]
struct Waits {
    upload: Duration,
    readers: Duration,
    bytes: u64,
}

impl Writer<'_> {
    /// Writes every piece that is taken up, until there are no more. Never ends if one is cut short: its reader says
    /// why.
    pub(super) async fn write(
        mut self,
        mut takings: mpsc::UnboundedReceiver<Taken>,
    ) -> Result<Written, Fault> {
        // What comes after the rows of every table, made once.
        let last = self.compressors.little(frame::ROWS_END);
        let mut written = Written::default();
        let mut waits = Waits::default();
        let mut join = Join::default();
        while let Some(Taken { piece, mut words }) = takings.recv().await {
            self.line.turn_of(piece.number);
            if piece.first {
                join = Join::default();
                let block = &self.blocks[piece.block];
                self.meter.begin(&block.shown, block.is_table.then_some(block.bytes));
                self.begin(&piece, &mut written).await?;
            }
            loop {
                let asked = Instant::now();
                let word = words.recv().await;
                waits.readers += asked.elapsed();
                match word {
                    Some(Word::Chunk(chunk, _room)) => {
                        self.chunk(&piece, chunk, &mut join, &mut written, &mut waits).await?;
                    }
                    Some(Word::End(checksum)) => {
                        if let Some(checksum) = checksum {
                            let id = self.blocks[piece.block].id;
                            *written.sums.entry(id).or_default() += checksum;
                        }
                        break;
                    }
                    None => std::future::pending().await,
                }
            }
            if piece.last {
                self.end(&piece, &last, join).await?;
            }
        }
        self.meter.end(self.cx, self.uploader.received());
        Ok(written)
    }

    async fn begin(&mut self, piece: &Piece, written: &mut Written) -> Result<(), Fault> {
        let block = &self.blocks[piece.block];
        written.offsets.insert(block.id, self.uploader.received());
        if !block.is_table {
            return self.put(Bytes::copy_from_slice(&frame::large_objects(block.id))).await;
        }
        written.rows.insert(block.id, 0);
        self.put(Bytes::copy_from_slice(&frame::table(block.id))).await?;
        if self.compressors.joins() {
            self.put(framed(&STREAM_HEAD)).await?;
        }
        Ok(())
    }

    async fn chunk(
        &mut self,
        piece: &Piece,
        chunk: Chunk,
        join: &mut Join,
        written: &mut Written,
        waits: &mut Waits,
    ) -> Result<(), Fault> {
        if let Some(segment) = chunk.segment {
            join.add(segment);
        }
        if let Some(rows) = written.rows.get_mut(&self.blocks[piece.block].id) {
            *rows += chunk.rows;
        }
        let asked = Instant::now();
        self.put(chunk.bytes).await?;
        waits.upload += asked.elapsed();
        waits.bytes += chunk.length;
        if waits.bytes >= WINDOW {
            self.compressors.adapt(waits.upload, waits.readers);
            *waits = Waits::default();
        }
        self.meter.passed(chunk.length, chunk.rows);
        self.meter.tell(self.cx, self.uploader.received());
        Ok(())
    }

    async fn end(&mut self, piece: &Piece, last: &Chunk, mut join: Join) -> Result<(), Fault> {
        if !self.blocks[piece.block].is_table {
            return self.put(Bytes::from_static(&frame::OBJECTS_END)).await;
        }
        self.put(last.bytes.clone()).await?;
        if let Some(segment) = last.segment {
            join.add(segment);
            self.put(framed(&join.end())).await?;
        }
        self.put(Bytes::from_static(&frame::STREAM_END)).await
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), Fault> {
        self.uploader.write(bytes).await.map_err(final_fault)
    }
}
