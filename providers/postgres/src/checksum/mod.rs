//! The checksum of a table's contents, taken from the rows that `COPY` sends.
//!
//! It is the number that a server gives for the sum of `verification::contents::Digest::Hash`: each row's text, whose
//! values are told as `COPY` tells them, with tabs between, hashed as `hash_bytes_extended` (hashfn.c) does on
//! little-endian machines, and added up. A row with NULL in it is hashed from another seed, and ends with a letter for
//! each column: no value can pass for NULL. Most lines are that text as they come; rows in binary form become it value by
//! value. Tested beside it with numbers of a real server, and against one in `tests/parallel.rs` and `tests/copy.rs`.

mod unlike;
mod values;

pub(crate) use self::unlike::unlike;
pub(crate) use self::values::Kind;

/// Values that a server joins in one go: a function takes a hundred arguments.
pub(crate) const MOST_COLUMNS: usize = 90;

/// How the binary form begins (PostgreSQL docs, "COPY", "Binary Format").
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Seeds: of a row without NULL, and of one with it.
pub(crate) const WHOLE: u64 = 0;
pub(crate) const WITH_NULL: u64 = 1;
/// Bytes of a binary row of which the text is made: it may be twice as long, and a server has no text above 1 GB.
const LONGEST: usize = 256 << 20;

/// The sum over some rows of one table, of at least one column and at most [`MOST_COLUMNS`].
#[derive(Default)]
pub(crate) struct Checksum {
    pub(crate) sum: i128,
    text: Vec<u8>,
    nulls: Vec<u8>,
}

impl Checksum {
    /// Takes the next row, as one line of `COPY`'s text with the newline at its end.
    pub(crate) fn take(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let hash = match memchr::memchr(b'\\', line) {
            None => hash(line, WHOLE),
            Some(_) => {
                let seed = self.put(line);
                hash(&self.text, seed)
            }
        };
        self.sum += i128::from(hash.cast_signed());
    }

    /// Takes what a message of `COPY`'s binary form holds: a row, before the first one the header, after the last one the
    /// trailer. `kinds` are those of its columns.
    ///
    /// `None` where it is not as documented or too long; then there is no sum of the table.
    pub(crate) fn take_binary(&mut self, mut message: &[u8], kinds: &[Kind]) -> Option<()> {
        if message.len() > LONGEST {
            return None;
        }
        if let Some(flags) = message.strip_prefix(SIGNATURE) {
            let (length, rest) = flags.get(4..)?.split_first_chunk()?;
            message = rest.get(u32::from_be_bytes(*length) as usize..)?;
        }
        while let Some((count, rest)) = message.split_first_chunk() {
            let count = i16::from_be_bytes(*count);
            if count == -1 {
                return rest.is_empty().then_some(());
            }
            if usize::try_from(count) != Ok(kinds.len()) {
                return None;
            }
            let (rest, seed) = self.put_binary(rest, kinds)?;
            message = rest;
            self.sum += i128::from(hash(&self.text, seed).cast_signed());
        }
        message.is_empty().then_some(())
    }

    /// One row's values, each with its length before it; gives what comes behind them, and the seed.
    fn put_binary<'m>(&mut self, mut rest: &'m [u8], kinds: &[Kind]) -> Option<(&'m [u8], u64)> {
        self.text.clear();
        self.nulls.clear();
        for kind in kinds {
            let (length, behind) = rest.split_first_chunk()?;
            let length = i32::from_be_bytes(*length);
            let is_null = length == -1;
            self.nulls.push(if is_null { b't' } else { b'f' });
            rest = behind;
            if !is_null {
                let (value, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                kind.put(value, &mut self.text)?;
                self.text.push(b'\t');
                rest = behind;
            }
        }
        Some((rest, self.close()))
    }

    /// A line with escapes or NULL in it. NULL is left out; where there is any, the end tells of each value whether it
    /// was one. Gives the seed.
    fn put(&mut self, line: &[u8]) -> u64 {
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
        self.close()
    }

    /// Behind the last value, after which there is a tab. Gives the seed.
    fn close(&mut self) -> u64 {
        if self.nulls.contains(&b't') {
            self.text.extend_from_slice(&self.nulls);
            WITH_NULL
        } else {
            self.text.pop();
            WHOLE
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

/// `hash_bytes_extended`: Bob Jenkins's lookup3, of which both results are kept.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    let word = |bytes: &[u8]| {
        let mut four = [0; 4];
        four[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(four)
    };
    // The length counts modulo 2^32; a text has at most 1 GB.
    let begin = 0x9e37_79b9_u32.wrapping_add(bytes.len() as u32).wrapping_add(3_923_095);
    let mix = |mut a: u32, mut b: u32, mut c: u32| {
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
        (a, b, c)
    };
    let (mut a, mut b, mut c) = (begin, begin, begin);
    if seed != 0 {
        (a, b, c) = mix(a.wrapping_add((seed >> 32) as u32), b.wrapping_add(seed as u32), c);
    }
    let mut twelves = bytes.chunks_exact(12);
    for twelve in &mut twelves {
        (a, b, c) = mix(
            a.wrapping_add(word(&twelve[..4])),
            b.wrapping_add(word(&twelve[4..8])),
            c.wrapping_add(word(&twelve[8..])),
        );
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
        for (line, seed, expect) in [
            ("a b\t\\\\b\tsay \"x\"", WHOLE, "a b\t\\b\tsay \"x\""),
            ("1\t\\N", WITH_NULL, "1\tft"),
            ("1\tft", WHOLE, "1\tft"),
            ("\\N\t", WITH_NULL, "\ttf"),
            ("\\N", WITH_NULL, "t"),
            ("\\N\t\\N", WITH_NULL, "tt"),
            ("\\\\N\t\\b", WHOLE, "\\N\t\u{8}"),
            ("a\\nb\\tc\\v", WHOLE, "a\nb\tc\u{b}"),
            ("数据\\r\tü\\f", WHOLE, "数据\r\tü\u{c}"),
        ] {
            let mut checksum = Checksum::default();
            assert_eq!(checksum.put(line.as_bytes()), seed, "{line}");
            assert_eq!(String::from_utf8_lossy(&checksum.text), expect, "{line}");
        }
    }

    #[test]
    fn binary_rows_are_hashed_as_their_lines() {
        let kinds = [Kind::Int4, Kind::Text, Kind::Bool];
        let row = |text: Option<&[u8]>| {
            let mut row = vec![0, 3, 0, 0, 0, 4, 0, 0, 0, 7];
            match text {
                Some(text) => {
                    row.extend_from_slice(&(text.len() as u32).to_be_bytes());
                    row.extend_from_slice(text);
                }
                None => row.extend_from_slice(&[0xff; 4]),
            }
            row.extend_from_slice(&[0, 0, 0, 1, 1]);
            row
        };
        let mut lines = Checksum::default();
        for line in ["7\ta\\tb\tt\n", "7\t\\N\tt\n", "7\t\tt\n"] {
            lines.take(line.as_bytes());
        }
        let mut binary = Checksum::default();
        // The header, with an extension of two bytes.
        let first = [SIGNATURE, &[0, 0, 0, 0, 0, 0, 0, 2, 9, 9], &row(Some(b"a\tb"))].concat();
        for message in [first, row(None), row(Some(b"")), vec![0xff, 0xff]] {
            assert_eq!(binary.take_binary(&message, &kinds), Some(()), "{message:?}");
        }
        assert_eq!(binary.sum, lines.sum);
        let whole = row(Some(b"a"));
        for broken in [&whole[..whole.len() - 1], &whole[..5], &[0], &[0, 2], &[0xff, 0xff, 0]] {
            assert_eq!(Checksum::default().take_binary(broken, &kinds), None, "{broken:?}");
        }
    }

    /// Of `select hashtextextended(left('abcdefghijklmnopqrstuvwxyz', n), seed)` on a server of version 15.
    #[test]
    fn hashes_as_the_server_makes_them() {
        for (length, expect) in HASHES {
            let text = &"abcdefghijklmnopqrstuvwxyz".as_bytes()[..length];
            assert_eq!(hash(text, 0).cast_signed(), expect, "{length}");
        }
        for (length, expect) in SEEDED {
            let text = &"abcdefghijklmnopqrstuvwxyz".as_bytes()[..length];
            assert_eq!(hash(text, 1).cast_signed(), expect, "{length}");
        }
    }

    const SEEDED: [(usize, i64); 4] = [
        (0, -150_071_773_020_461_347),
        (1, 3_325_245_193_489_759_299),
        (12, -6_429_754_808_531_195_817),
        (26, 1_507_071_677_509_843_718),
    ];

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
