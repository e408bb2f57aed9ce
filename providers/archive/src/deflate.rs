//! One zlib stream out of segments that were deflated independently, on as many cores as there are.
//!
//! A segment is deflated with a window of its own and ends with a sync flush, at a whole byte; segments may therefore
//! be put one after the other. The stream's checksum follows from theirs. Each segment loses what the window would have
//! known, at 1 MiB less than half a percent. Tested beside it against a decoder, and by `pg_restore` in the tests of
//! `postgres.dump`.

use flate2::{Compress, FlushCompress};
use zlib_rs::adler32::{adler32, adler32_combine};

/// Begins the stream: deflate, a window of 32 KiB.
pub const STREAM_HEAD: [u8; 2] = [0x78, 0x9c];
/// Adler-32 of nothing.
const EMPTY: u32 = 1;

/// A deflated piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bytes before deflating.
    pub length: u64,
    /// Adler-32 of those bytes.
    pub adler: u32,
}

/// Deflates segments. Holds about 300 KB; keep it for the next segment.
#[derive(Debug)]
pub struct Deflater {
    level: u32,
    state: Compress,
}

impl Deflater {
    /// `level` is 1 (fastest) to 9 (smallest).
    pub fn new(level: u32) -> Self {
        Self { level, state: Compress::new(flate2::Compression::new(level), false) }
    }

    /// Takes another level from the next segment on.
    pub fn set_level(&mut self, level: u32) {
        if level != self.level {
            *self = Self::new(level);
        }
    }

    /// Appends `raw`, deflated, to `into`.
    pub fn segment(&mut self, raw: &[u8], into: &mut Vec<u8>) -> Segment {
        self.state.reset();
        // Stored blocks cost 5 bytes for at most 64 KiB, the flush another 5.
        into.reserve(raw.len() + raw.len() / 1024 + 64);
        loop {
            let taken = usize::try_from(self.state.total_in()).unwrap_or(usize::MAX);
            let rest = &raw[taken.min(raw.len())..];
            self.state
                .compress_vec(rest, into, FlushCompress::Sync)
                .expect("a stream that was just reset cannot be in a wrong state");
            // Room that is left means that the flush is out as well.
            if self.state.total_in() >= raw.len() as u64 && into.len() < into.capacity() {
                break;
            }
            into.reserve(64);
        }
        Segment { length: raw.len() as u64, adler: adler32(EMPTY, raw) }
    }
}

/// The checksum of a stream, as its segments pass in their order.
#[derive(Clone, Copy, Debug)]
pub struct Join {
    adler: u32,
}

impl Default for Join {
    fn default() -> Self {
        Self { adler: EMPTY }
    }
}

impl Join {
    /// Takes the next segment into account.
    pub fn add(&mut self, segment: Segment) {
        self.adler = adler32_combine(self.adler, segment.adler, segment.length);
    }

    /// Ends the stream: an empty last block, and the checksum.
    pub fn end(self) -> [u8; 6] {
        let [a, b, c, d] = self.adler.to_be_bytes();
        [0x03, 0x00, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn joined(pieces: &[Vec<u8>], levels: &[u32]) -> Vec<u8> {
        let mut stream = STREAM_HEAD.to_vec();
        let mut join = Join::default();
        let mut deflater = Deflater::new(1);
        for (index, piece) in pieces.iter().enumerate() {
            deflater.set_level(levels[index % levels.len()]);
            join.add(deflater.segment(piece, &mut stream));
        }
        stream.extend(join.end());
        stream
    }

    fn inflated(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut decoder = flate2::bufread::ZlibDecoder::new(stream);
        decoder.read_to_end(&mut bytes).expect("a whole stream");
        assert_eq!(decoder.total_in(), stream.len() as u64, "nothing after its end");
        bytes
    }

    #[test]
    fn an_empty_stream() {
        assert_eq!(joined(&[], &[6]), [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]);
        assert_eq!(inflated(&joined(&[], &[6])), b"");
        assert_eq!(inflated(&joined(&[vec![], vec![]], &[6])), b"");
    }

    #[test]
    fn megabytes_of_any_kind_at_every_level() {
        let rows: Vec<u8> =
            (0..200_000u32).flat_map(|row| format!("{row}\t{}\n", row % 97).into_bytes()).collect();
        let noise: Vec<u8> = (0..1_500_000u32)
            .map(|at| (at.wrapping_mul(2_654_435_761).rotate_left(at % 31) >> 11) as u8)
            .collect();
        for level in 1..=9 {
            let pieces = [rows.clone(), noise.clone(), vec![0; 1 << 20]];
            let stream = joined(&pieces, &[level]);
            assert!(inflated(&stream) == pieces.concat(), "level {level}");
            assert!(stream.len() < rows.len() * 2 / 3 + noise.len() + 20_000, "{}", stream.len());
        }
    }

    proptest! {
        #[test]
        fn any_pieces_join(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..8),
            levels in prop::collection::vec(1u32..=9, 1..4),
        ) {
            prop_assert_eq!(inflated(&joined(&pieces, &levels)), pieces.concat());
        }
    }
}
