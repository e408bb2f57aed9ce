//! Reads blocks of data, one after the other as from a pipe, or at an entry's offset.
//!
//! It hands out chunks as they are stored, or the data in them. Memory is one chunk; what is claimed takes none.
//! Tested beside it by round trips and garbage.

use std::io::{BufRead, Read, Seek, SeekFrom};

use crate::error::ArchiveError;
use crate::frame::{LARGE_OBJECTS, TABLE};
use crate::header::Compression;
use crate::primitive::{read_bytes, read_int, read_length};

const WITHIN: &str = "a block of data";

/// Whose data a block holds; the number is its entry's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// One stream of rows.
    Table(i32),
    /// A stream for each of several objects.
    LargeObjects(i32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a block or the end.
    Block,
    /// Before a chunk of a table.
    Rows,
    /// Before the number of an object.
    Object,
    /// Before a chunk of an object.
    Contents,
}

/// The blocks of an archive.
#[derive(Debug)]
pub struct Blocks<R> {
    from: R,
    at: At,
}

impl<R: Read> Blocks<R> {
    /// `from` stands before a block: behind the table of contents, say.
    pub fn new(from: R) -> Self {
        Self { from, at: At::Block }
    }

    /// What it reads from, which stands behind all that was given out.
    pub fn source(&self) -> &R {
        &self.from
    }

    /// The next block; what is left of the one before is passed over. `None` at the archive's end.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn next_block(&mut self) -> Result<Option<Block>, ArchiveError> {
        let mut passed = Vec::new();
        loop {
            match self.at {
                At::Block => break,
                At::Object => while self.next_object()?.is_some() {},
                At::Rows | At::Contents => while self.next_chunk(&mut passed)? {},
            }
        }
        let mut kind = [0];
        loop {
            match self.from.read(&mut kind) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(ArchiveError::reading(cause, WITHIN)),
            }
        }
        let id = read_int(&mut self.from, WITHIN)?;
        match kind[0] {
            TABLE => {
                self.at = At::Rows;
                Ok(Some(Block::Table(id)))
            }
            LARGE_OBJECTS => {
                self.at = At::Object;
                Ok(Some(Block::LargeObjects(id)))
            }
            other => Err(ArchiveError::damaged(format!("a block of kind {other}"))),
        }
    }

    /// The number of the next large object of this block; what is left of the one before is passed over. `None` after
    /// the last, and in a table's block.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn next_object(&mut self) -> Result<Option<u32>, ArchiveError> {
        let mut passed = Vec::new();
        while self.at == At::Contents {
            self.next_chunk(&mut passed)?;
        }
        if self.at != At::Object {
            return Ok(None);
        }
        match read_int(&mut self.from, WITHIN)?.cast_unsigned() {
            0 => {
                self.at = At::Block;
                Ok(None)
            }
            number => {
                self.at = At::Contents;
                Ok(Some(number))
            }
        }
    }

    /// Reads the next chunk of the table or object at hand, as it is stored, in place of what is in `into`. False at
    /// the end of its stream.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn next_chunk(&mut self, into: &mut Vec<u8>) -> Result<bool, ArchiveError> {
        into.clear();
        let after = match self.at {
            At::Rows => At::Block,
            At::Contents => At::Object,
            At::Block | At::Object => return Ok(false),
        };
        match read_length(&mut self.from, WITHIN)? {
            None => Err(ArchiveError::damaged("a chunk of negative length")),
            Some(0) => {
                self.at = after;
                Ok(false)
            }
            Some(length) => {
                read_bytes(&mut self.from, length, into, WITHIN)?;
                Ok(true)
            }
        }
    }

    /// The data of the table or object at hand, inflated as they are read. A zstd frame takes the memory that it asks
    /// for, up to 128 MiB; what `pg_dump` and pgferry write takes 2 MiB, or all 128 if it was told `long`.
    ///
    /// # Errors
    /// [`ArchiveError::Kind`] for lz4; no memory for what zstd needs.
    pub fn data(&mut self, compression: Compression) -> Result<Box<dyn Read + '_>, ArchiveError> {
        let chunks = Chunks { blocks: self, chunk: Vec::new(), taken: 0 };
        match compression {
            Compression::None => Ok(Box::new(chunks)),
            Compression::Zlib { .. } => Ok(Box::new(flate2::bufread::ZlibDecoder::new(chunks))),
            Compression::Zstd => match zstd::Decoder::with_buffer(chunks) {
                Ok(decoder) => Ok(Box::new(decoder)),
                Err(cause) => Err(ArchiveError::reading(cause, WITHIN)),
            },
            Compression::Lz4 => {
                Err(ArchiveError::Kind { what: format!("its data are in {compression:?}") })
            }
        }
    }
}

impl<R: Read + Seek> Blocks<R> {
    /// Goes to the block at an entry's offset.
    ///
    /// # Errors
    /// As [`Blocks::next_block`]; `None` if the archive ends there.
    pub fn block_at(&mut self, offset: u64) -> Result<Option<Block>, ArchiveError> {
        self.from
            .seek(SeekFrom::Start(offset))
            .map_err(|cause| ArchiveError::reading(cause, WITHIN))?;
        self.at = At::Block;
        self.next_block()
    }
}

/// Chunks put together.
struct Chunks<'a, R> {
    blocks: &'a mut Blocks<R>,
    chunk: Vec<u8>,
    taken: usize,
}

impl<R: Read> BufRead for Chunks<'_, R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.taken == self.chunk.len() {
            self.taken = 0;
            self.blocks.next_chunk(&mut self.chunk).map_err(std::io::Error::other)?;
        }
        Ok(&self.chunk[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl<R: Read> Read for Chunks<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
