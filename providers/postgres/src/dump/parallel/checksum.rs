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
    field: Vec<u8>,
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
        for (index, field) in line.split(|byte| *byte == b'\t').enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            if field == b"\\N" {
                continue;
            }
            if !field.is_empty() && field.iter().all(|byte| PLAIN[usize::from(*byte)]) {
                self.text.extend_from_slice(field);
                continue;
            }
            unescape(field, &mut self.field);
            let quoted = self.field.is_empty() || self.field.iter().any(|byte| is_odd(*byte));
            if !quoted {
                self.text.extend_from_slice(&self.field);
                continue;
            }
            self.text.push(b'"');
            for byte in &self.field {
                if matches!(byte, b'"' | b'\\') {
                    self.text.push(*byte);
                }
                self.text.push(*byte);
            }
            self.text.push(b'"');
        }
        self.text.push(b')');
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

fn unescape(field: &[u8], into: &mut Vec<u8>) {
    into.clear();
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            into.push(*byte);
            continue;
        }
        into.push(match bytes.next() {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0b,
            Some(other) => *other,
            None => b'\\',
        });
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
