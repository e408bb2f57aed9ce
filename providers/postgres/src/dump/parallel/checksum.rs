//! The checksum of a table's contents, taken from the text that `COPY` sends.
//!
//! It is the number that a server gives for `sum(hashtextextended(row(…)::text collate "C", 0))`, see
//! `verification::contents`: each row's fields are put as `record_out` (rowtypes.c) puts them, hashed as
//! `hash_bytes_extended` (hashfn.c) does on little-endian machines, and added up. Tested beside it with numbers of a
//! real server, and against one in `tests/parallel.rs`.

/// The sum over some rows of one table.
#[derive(Default)]
pub(super) struct Checksum {
    pub(super) sum: i128,
    text: Vec<u8>,
}

impl Checksum {
    /// Takes the next row, as one line of `COPY`'s text with the newline at its end.
    pub(super) fn take(&mut self, line: &[u8]) {
        self.put(line.strip_suffix(b"\n").unwrap_or(line));
        self.sum += i128::from(hash(&self.text).cast_signed());
    }

    fn put(&mut self, line: &[u8]) {
        self.text.clear();
        self.text.push(b'(');
        let (mut begin, mut is_plain) = (0, true);
        for (at, byte) in line.iter().enumerate() {
            if PLAIN[usize::from(*byte)] {
                continue;
            }
            if *byte == b'\t' {
                self.field(&line[begin..at], is_plain);
                self.text.push(b',');
                (begin, is_plain) = (at + 1, true);
            } else {
                is_plain = false;
            }
        }
        self.field(&line[begin..], is_plain);
        self.text.push(b')');
    }

    /// `is_plain`: no byte of it is one that is escaped or needs quotes.
    fn field(&mut self, field: &[u8], is_plain: bool) {
        if is_plain && !field.is_empty() {
            return self.text.extend_from_slice(field);
        }
        if field == b"\\N" {
            return;
        }
        let begin = self.text.len();
        self.text.push(b'"');
        // Whatever made it not plain needs quotes, but for one escape.
        let mut is_bare = false;
        let mut rest = field;
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            self.text.extend_from_slice(&rest[..at]);
            let (put, length): (&[u8], usize) = match (rest[at], rest.get(at + 1)) {
                (b'"', _) => (b"\"\"", 1),
                (_, Some(b'b')) => {
                    is_bare = true;
                    (b"\x08", 2)
                }
                (_, Some(b'f')) => (b"\x0c", 2),
                (_, Some(b'n')) => (b"\n", 2),
                (_, Some(b'r')) => (b"\r", 2),
                (_, Some(b't')) => (b"\t", 2),
                (_, Some(b'v')) => (b"\x0b", 2),
                (_, Some(b'\\')) => (b"\\\\", 2),
                // What is left of it is what stands there.
                (_, Some(_)) => (b"", 1),
                (_, None) => (b"\\\\", 1),
            };
            self.text.extend_from_slice(put);
            rest = &rest[at + length..];
        }
        self.text.extend_from_slice(rest);
        if is_bare && !self.text[begin + 1..].iter().any(|byte| is_odd(*byte)) {
            self.text.remove(begin);
        } else {
            self.text.push(b'"');
        }
    }
}

/// Bytes that a field holds as they are, and that need no quotes.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 256 {
        plain[byte] = !is_odd(byte as u8);
        byte += 1;
    }
    plain
};

/// Whether a value with this byte in it is put in quotes: `"`, `\`, parentheses, commas and white space.
const fn is_odd(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | 0x09..=0x0d)
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

    fn text(line: &str) -> String {
        let mut checksum = Checksum::default();
        checksum.put(line.as_bytes());
        String::from_utf8(checksum.text).expect("UTF-8")
    }

    #[test]
    fn rows_as_the_server_puts_them() {
        for (line, expect) in [
            ("1\ttwo", "(1,two)"),
            ("\\N\t", "(,\"\")"),
            ("", "(\"\")"),
            ("\\N", "()"),
            ("a b\ta,b\t(a)", "(\"a b\",\"a,b\",\"(a)\")"),
            ("a\\\\b\tsay \"x\"", "(\"a\\\\b\",\"say \"\"x\"\"\")"),
            ("a\\nb\\tc", "(\"a\nb\tc\")"),
            ("\\\\N\t\\b", "(\"\\\\N\",\u{8})"),
            ("\\bx y\ta\\v", "(\"\u{8}x y\",\"a\u{b}\")"),
            ("\\b\\\\\t\"", "(\"\u{8}\\\\\",\"\"\"\")"),
            ("数据\tü", "(数据,ü)"),
        ] {
            assert_eq!(text(line), expect, "{line}");
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
