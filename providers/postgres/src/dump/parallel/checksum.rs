//! The checksum of a table's contents, taken from the text that `COPY` sends.
//!
//! It is the number that a server gives for the sum of `verification::contents::Digest::Hash`: each row's text, whose
//! values are told as `COPY` tells them, with tabs between, hashed as `hash_bytes_extended` (hashfn.c) does on
//! little-endian machines, and added up. Most lines are that text as they come. Tested beside it with numbers of a real
//! server, and against one in `tests/parallel.rs`.

/// Values that a server joins in one go: a function takes a hundred arguments.
pub(crate) const MOST_COLUMNS: usize = 90;

/// The sum over some rows of one table, of at least one column and at most [`MOST_COLUMNS`].
#[derive(Default)]
pub(super) struct Checksum {
    pub(super) sum: i128,
    text: Vec<u8>,
    nulls: Vec<u8>,
}

impl Checksum {
    /// Takes the next row, as one line of `COPY`'s text with the newline at its end.
    pub(super) fn take(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let hash = match memchr::memchr(b'\\', line) {
            None => hash(line),
            Some(_) => {
                self.put(line);
                hash(&self.text)
            }
        };
        self.sum += i128::from(hash.cast_signed());
    }

    /// A line with escapes or NULL in it. NULL is left out; where there is any, the end tells of each value whether it
    /// was one.
    fn put(&mut self, line: &[u8]) {
        self.text.clear();
        self.nulls.clear();
        for field in line.split(|byte| *byte == b'\t') {
            let is_null = field == b"\\N";
            self.nulls.push(if is_null { b't' } else { b'f' });
            if !is_null {
                self.field(field);
                self.text.push(b'\t');
            }
        }
        if self.nulls.contains(&b't') {
            self.text.extend_from_slice(b"\\N");
            self.text.extend_from_slice(&self.nulls);
        } else {
            self.text.pop();
        }
    }

    fn field(&mut self, field: &[u8]) {
        let mut rest = field;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            self.text.extend_from_slice(&rest[..at]);
            let Some(escaped) = rest.get(at + 1) else { break };
            self.text.push(match escaped {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                other => *other,
            });
            rest = &rest[at + 2..];
        }
        self.text.extend_from_slice(rest);
    }
}

/// `hash_bytes_extended` with seed 0: Bob Jenkins's lookup3, of which both results are kept.
fn hash(bytes: &[u8]) -> u64 {
    let word = |bytes: &[u8]| {
        let mut four = [0; 4];
        four[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(four)
    };
    // The length counts modulo 2^32; a text has at most 1 GB.
    let begin = 0x9e37_79b9_u32.wrapping_add(bytes.len() as u32).wrapping_add(3_923_095);
    let (mut a, mut b, mut c) = (begin, begin, begin);
    let mut twelves = bytes.chunks_exact(12);
    for twelve in &mut twelves {
        a = a.wrapping_add(word(&twelve[..4]));
        b = b.wrapping_add(word(&twelve[4..8]));
        c = c.wrapping_add(word(&twelve[8..]));
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
    }
    let rest = twelves.remainder();
    a = a.wrapping_add(word(&rest[..rest.len().min(4)]));
    b = b.wrapping_add(word(&rest[rest.len().min(4)..rest.len().min(8)]));
    // The lowest byte of this word is left to the length.
    c = c.wrapping_add(word(&rest[rest.len().min(8)..]) << 8);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    u64::from(b) << 32 | u64::from(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_the_server_joins_them() {
        for (line, expect) in [
            ("a b\t\\\\b\tsay \"x\"", "a b\t\\b\tsay \"x\""),
            ("1\t\\N", "1\t\\Nft"),
            ("\\N\t", "\t\\Ntf"),
            ("\\N", "\\Nt"),
            ("\\N\t\\N", "\\Ntt"),
            ("\\\\N\t\\b", "\\N\t\u{8}"),
            ("a\\nb\\tc\\v", "a\nb\tc\u{b}"),
            ("数据\\r\tü\\f", "数据\r\tü\u{c}"),
        ] {
            let mut checksum = Checksum::default();
            checksum.put(line.as_bytes());
            assert_eq!(String::from_utf8_lossy(&checksum.text), expect, "{line}");
        }
    }

    /// Of `select hashtextextended(left('abcdefghijklmnopqrstuvwxyz', n), 0)` on a server of version 15.
    #[test]
    fn hashes_as_the_server_makes_them() {
        for (length, expect) in HASHES {
            let text = &"abcdefghijklmnopqrstuvwxyz".as_bytes()[..length];
            assert_eq!(hash(text).cast_signed(), expect, "{length}");
        }
    }

    const HASHES: [(usize, i64); 18] = [
        (0, -6_939_563_903_564_495_251),
        (1, 3_591_986_179_850_072_241),
        (2, 2_833_316_173_711_343_549),
        (3, -6_747_756_470_228_489_321),
        (4, -1_038_429_303_365_892_052),
        (5, 3_076_356_108_696_143_428),
        (7, -6_158_032_784_613_548_338),
        (8, -8_882_191_227_074_733_005),
        (9, -3_278_210_106_038_014_113),
        (10, -3_183_301_415_634_409_076),
        (11, 3_112_909_444_737_856_467),
        (12, -7_556_637_188_122_330_412),
        (13, 8_871_624_171_452_417_744),
        (20, 772_495_730_612_720_881),
        (23, -1_198_571_854_151_947_912),
        (24, -1_933_194_731_779_935_345),
        (25, 5_649_064_133_428_767_341),
        (26, -6_612_928_417_832_572_997),
    ];
}
