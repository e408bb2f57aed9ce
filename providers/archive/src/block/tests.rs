//! Random blocks there and back, from a pipe and by offset, and garbage.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::deflate::{Deflater, Join, STREAM_HEAD};
use crate::frame;
use crate::frames::Framer;

/// A block: its entry, and streams of data with the numbers of their objects; a table has one without a number.
#[derive(Clone, Debug)]
struct Written {
    id: i32,
    streams: Vec<(u32, Vec<u8>)>,
    is_table: bool,
}

fn block() -> impl Strategy<Value = Written> {
    let data = prop::collection::vec(any::<u8>(), 0..400);
    (1..i32::MAX, any::<bool>(), prop::collection::vec((1..=u32::MAX, data), 0..4)).prop_map(
        |(id, is_table, mut streams)| {
            if is_table {
                streams.truncate(1);
                if streams.is_empty() {
                    streams.push((1, Vec::new()));
                }
            }
            Written { id, streams, is_table }
        },
    )
}

fn stream(data: &[u8], compression: Compression, size: usize, into: &mut Vec<u8>) {
    let mut chunk = |bytes: &[u8]| {
        into.extend(frame::chunk(bytes.len() as u32));
        into.extend_from_slice(bytes);
    };
    match compression {
        Compression::Zlib { .. } => {
            let (mut join, mut deflater) = (Join::default(), Deflater::new(6));
            chunk(&STREAM_HEAD);
            for piece in data.chunks(size) {
                let mut deflated = Vec::new();
                join.add(deflater.segment(piece, &mut deflated));
                chunk(&deflated);
            }
            chunk(&join.end());
        }
        Compression::Zstd => {
            let (mut framer, mut framed) = (Framer::new(1), Vec::new());
            // A stream of nothing is a frame of nothing.
            for piece in data.chunks(size).chain(data.is_empty().then_some(&[][..])) {
                framer.frame(piece, &mut framed);
                chunk(&framed);
            }
        }
        _ => data.chunks(size).for_each(chunk),
    }
    into.extend(frame::STREAM_END);
}

fn written(blocks: &[Written], compression: Compression, size: usize) -> (Vec<u8>, Vec<u64>) {
    let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
    for block in blocks {
        offsets.push(bytes.len() as u64);
        if block.is_table {
            bytes.extend(frame::table(block.id));
            stream(&block.streams[0].1, compression, size, &mut bytes);
        } else {
            bytes.extend(frame::large_objects(block.id));
            for (number, data) in &block.streams {
                bytes.extend(frame::object(*number));
                stream(data, compression, size, &mut bytes);
            }
            bytes.extend(frame::OBJECTS_END);
        }
    }
    (bytes, offsets)
}

fn assert_holds<R: Read>(blocks: &mut Blocks<R>, expected: &Written, compression: Compression) {
    for (number, data) in &expected.streams {
        if !expected.is_table {
            assert_eq!(blocks.next_object().expect("read"), Some(*number));
        }
        let mut found = Vec::new();
        blocks.data(compression).expect("known").read_to_end(&mut found).expect("read");
        assert_eq!(&found, data);
    }
    assert_eq!(blocks.next_object().expect("read"), None);
}

fn head(block: &Written) -> Block {
    if block.is_table { Block::Table(block.id) } else { Block::LargeObjects(block.id) }
}

proptest! {
    #[test]
    fn there_and_back(
        blocks in prop::collection::vec(block(), 0..5),
        compression in prop::sample::select(
            [Compression::None, Compression::Zlib { level: -1 }, Compression::Zstd].as_slice()
        ),
        size in 1usize..500,
    ) {
        let (bytes, offsets) = written(&blocks, compression, size);
        let mut reader = Blocks::new(Cursor::new(bytes));
        for block in &blocks {
            prop_assert_eq!(reader.next_block().expect("read"), Some(head(block)));
            assert_holds(&mut reader, block, compression);
        }
        prop_assert_eq!(reader.next_block().expect("read"), None);

        for (block, offset) in blocks.iter().zip(&offsets).rev() {
            prop_assert_eq!(reader.block_at(*offset).expect("read"), Some(head(block)));
            assert_holds(&mut reader, block, compression);
        }
        // What is not read is passed over.
        if !blocks.is_empty() {
            reader.block_at(0).expect("read");
            for block in &blocks[1..] {
                prop_assert_eq!(reader.next_block().expect("read"), Some(head(block)));
            }
            prop_assert_eq!(reader.next_block().expect("read"), None);
        }
    }

    #[test]
    fn garbage_is_survived(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(3), any::<u8>()], 0..300),
    ) {
        let mut reader = Blocks::new(Cursor::new(bytes.clone()));
        let mut chunk = Vec::new();
        // Each turn reads something, or there is an end.
        for _ in 0..=bytes.len() {
            let Ok(Some(block)) = reader.next_block() else { return Ok(()) };
            let reads_objects = matches!(block, Block::LargeObjects(_));
            while reads_objects && matches!(reader.next_object(), Ok(Some(_))) {}
            while matches!(reader.next_chunk(&mut chunk), Ok(true)) {
                prop_assert!(chunk.len() <= bytes.len());
            }
        }
        prop_assert!(false, "it does not end");
    }
}

#[test]
fn a_frame_that_breaks_off_is_told() {
    let mut frame = Vec::new();
    Framer::new(1).frame(&[7; 1000], &mut frame);
    for kept in 1..frame.len() {
        let mut bytes = frame::table(1).to_vec();
        bytes.extend(frame::chunk(kept as u32));
        bytes.extend_from_slice(&frame[..kept]);
        bytes.extend(frame::STREAM_END);
        let mut reader = Blocks::new(&bytes[..]);
        assert_eq!(reader.next_block().expect("read"), Some(Block::Table(1)));
        let mut data = reader.data(Compression::Zstd).expect("known");
        data.read_to_end(&mut Vec::new()).expect_err("it is not whole");
    }
}

#[test]
fn kinds_that_cannot_be_inflated_are_refused() {
    let mut reader = Blocks::new(Cursor::new(frame::table(1).to_vec()));
    assert_eq!(reader.next_block().expect("read"), Some(Block::Table(1)));
    let error = reader.data(Compression::Lz4).err().expect("refused");
    assert_eq!(error.to_string(), "the archive is of another kind: its data are in Lz4");
    let error = Blocks::new(&[2u8, 0, 1, 0, 0, 0][..]).next_block().expect_err("obsolete");
    assert_eq!(error.to_string(), "the archive is damaged: a block of kind 2");
}
