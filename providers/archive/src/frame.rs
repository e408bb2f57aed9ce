//! What stands around data in an archive: the heads and ends of blocks, objects and chunks.
//!
//! A block is one table's rows or the contents of large objects; within it, a stream of data is cut into chunks, at
//! any place. Tested by the round trips of [`crate::block`].

use crate::primitive::{INT, int, unsigned};

pub(crate) const TABLE: u8 = 1;
pub(crate) const LARGE_OBJECTS: u8 = 3;

/// Bytes before a chunk: its length.
pub const CHUNK_HEAD: usize = INT;

/// Ends a stream of data; the stream is a table's whole block.
pub const STREAM_END: [u8; INT] = [0; INT];

/// Ends a block of large objects, after the last one's stream.
pub const OBJECTS_END: [u8; INT] = [0; INT];

/// What comes after a table's rows, as part of the data: the end of COPY, and two empty lines.
pub const ROWS_END: &[u8] = b"\\.\n\n\n";

/// Begins the block of a table's rows, which belongs to the entry `id`.
pub fn table(id: i32) -> [u8; 1 + INT] {
    head(TABLE, id)
}

/// Begins a block of large objects, which belongs to the entry `id`.
pub fn large_objects(id: i32) -> [u8; 1 + INT] {
    head(LARGE_OBJECTS, id)
}

fn head(kind: u8, id: i32) -> [u8; 1 + INT] {
    let [a, b, c, d, e] = int(id);
    [kind, a, b, c, d, e]
}

/// Begins the stream of one large object.
pub fn object(number: u32) -> [u8; INT] {
    unsigned(number)
}

/// Begins a chunk of `length` bytes, which must not be 0; a reader of ours takes up to 1 GiB.
pub fn chunk(length: u32) -> [u8; CHUNK_HEAD] {
    unsigned(length)
}
