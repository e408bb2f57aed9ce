//! A zstd stream out of frames that were made independently, on as many cores as there are.
//!
//! Each frame is to be a chunk of its own: at the end of a frame, `pg_restore` 16 to 18 drops what is left of the chunk,
//! without a word (`ReadDataFromArchiveZstd`, compress_zstd.c). A stream of nothing is a frame of nothing. Tested beside it, by the round trips of
//! [`crate::block`], and with the real `pg_restore` in the tests of `postgres.dump`.

use zstd::bulk::Compressor;

/// Makes frames. Holds one to ten megabytes, by its level; keep it for the next frame.
pub struct Framer {
    level: u32,
    state: Compressor<'static>,
}

impl Framer {
    /// `level` is 1 (fastest) to 9; zstd itself goes on to 22, in much more memory.
    pub fn new(level: u32) -> Self {
        let state = Compressor::new(signed(level)).expect("memory for a compressor");
        Self { level, state }
    }

    /// Takes another level from the next frame on.
    pub fn set_level(&mut self, level: u32) {
        if level != self.level {
            self.level = level;
            self.state.set_compression_level(signed(level)).expect("between two frames");
        }
    }

    /// Puts `raw` into `into` as one frame, in place of what is in it.
    pub fn frame(&mut self, raw: &[u8], into: &mut Vec<u8>) {
        into.clear();
        into.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        self.state.compress_to_buffer(raw, into).expect("room for whatever comes out");
    }
}

fn signed(level: u32) -> i32 {
    i32::try_from(level).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_level_are_one_stream() {
        let rows: Vec<u8> =
            (0..200_000u32).flat_map(|row| format!("{row}\t{}\n", row % 97).into_bytes()).collect();
        let mut framer = Framer::new(1);
        let (mut frame, mut stream, mut smallest) = (b"before".to_vec(), Vec::new(), usize::MAX);
        for (level, piece) in (1..=9).zip(rows.chunks(1 << 18).cycle()) {
            framer.set_level(level);
            framer.frame(piece, &mut frame);
            stream.extend_from_slice(&frame);
            smallest = smallest.min(frame.len());
        }
        framer.frame(b"", &mut frame);
        stream.extend_from_slice(&frame);
        let expected: Vec<u8> = rows.chunks(1 << 18).cycle().take(9).flatten().copied().collect();
        assert!(zstd::decode_all(&stream[..]).expect("a stream") == expected);
        assert!(smallest < (1 << 18) / 3, "{smallest}");
    }
}
