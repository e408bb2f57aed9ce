//! The text of a value, from the bytes that `COPY`'s binary form has of it.
//!
//! What a type's output function (`pg_catalog`) gives from what its send function gives, in the settings of a session
//! whose format is canonical: time zone UTC, ISO dates, bytes as hex. For the types whose text is simply told; of others
//! there is no kind. Written into the row's text at once, since gigabytes go through here. Tested beside it, and against
//! a server in `tests/copy.rs`.

/// How a value is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    /// Whose bytes are its text: also the labels of an enum.
    Text,
    Jsonb,
    Bytea,
    Uuid,
    Date,
    Timestamp,
    Timestamptz,
    Numeric,
}

/// Of 2000-01-01, from which the server counts, after 0000-03-01, from which the calendar below does.
const EPOCH: i64 = 730_425;
const MICROSECONDS_A_DAY: i64 = 86_400_000_000;
const HEX: &[u8; 16] = b"0123456789abcdef";

impl Kind {
    /// By the type's name in `pg_catalog`.
    pub(crate) fn of(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "oid" => Self::Oid,
            "text" | "varchar" | "bpchar" | "name" | "json" => Self::Text,
            "jsonb" => Self::Jsonb,
            "bytea" => Self::Bytea,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::Timestamptz,
            "numeric" => Self::Numeric,
            _ => return None,
        })
    }

    /// Adds `value` to `text`; `None` where it is no value of this kind.
    pub(super) fn put(self, value: &[u8], text: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Text => text.extend_from_slice(value),
            Self::Int4 => number(text, i32::from_be_bytes(value.try_into().ok()?)),
            Self::Int8 => number(text, i64::from_be_bytes(value.try_into().ok()?)),
            Self::Int2 => number(text, i16::from_be_bytes(value.try_into().ok()?)),
            Self::Oid => number(text, u32::from_be_bytes(value.try_into().ok()?)),
            Self::Bool => {
                text.push(if <[u8; 1]>::try_from(value).ok()? == [0] { b'f' } else { b't' })
            }
            Self::Jsonb => text.extend_from_slice(value.strip_prefix(&[1])?),
            Self::Bytea => {
                text.extend_from_slice(b"\\x");
                hex(text, value);
            }
            Self::Uuid => {
                let value = <[u8; 16]>::try_from(value).ok()?;
                hex(text, &value[..4]);
                for part in [4..6, 6..8, 8..10, 10..16] {
                    text.push(b'-');
                    hex(text, &value[part]);
                }
            }
            Self::Date => match i32::from_be_bytes(value.try_into().ok()?) {
                i32::MIN => text.extend_from_slice(b"-infinity"),
                i32::MAX => text.extend_from_slice(b"infinity"),
                days => {
                    let is_before_christ = date(text, i64::from(days));
                    era(text, is_before_christ);
                }
            },
            Self::Timestamp => timestamp(text, i64::from_be_bytes(value.try_into().ok()?), b""),
            Self::Timestamptz => {
                timestamp(text, i64::from_be_bytes(value.try_into().ok()?), b"+00")
            }
            Self::Numeric => return numeric(text, value),
        }
        Some(())
    }
}

fn number(text: &mut Vec<u8>, number: impl itoa::Integer) {
    text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn hex(text: &mut Vec<u8>, bytes: &[u8]) {
    let begin = text.len();
    text.resize(begin + bytes.len() * 2, 0);
    for (pair, byte) in text[begin..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

/// Two digits of a number below 100.
fn two(number: i64) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// Four digits of a number below 10 000.
fn four(number: i64) -> [u8; 4] {
    let ([a, b], [c, d]) = (two(number / 100), two(number % 100));
    [a, b, c, d]
}

/// Year, month and day of so many days after 2000-01-01 in the Gregorian calendar; gives whether it is before Christ,
/// which is said at the very end. A year of the calendar begins in March here, so that its last day is the odd one.
fn date(text: &mut Vec<u8>, days: i64) -> bool {
    let days = days + EPOCH;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = cycle * 400 + year + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    // There is no year 0.
    let shown = if year > 0 { year } else { 1 - year };
    if shown < 10_000 {
        text.extend_from_slice(&four(shown));
    } else {
        number(text, shown);
    }
    let ([a, b], [c, d]) = (two(month), two(day));
    text.extend_from_slice(&[b'-', a, b, b'-', c, d]);
    year <= 0
}

fn era(text: &mut Vec<u8>, is_before_christ: bool) {
    if is_before_christ {
        text.extend_from_slice(b" BC");
    }
}

fn timestamp(text: &mut Vec<u8>, microseconds: i64, zone: &[u8]) {
    match microseconds {
        i64::MIN => return text.extend_from_slice(b"-infinity"),
        i64::MAX => return text.extend_from_slice(b"infinity"),
        _ => {}
    }
    let is_before_christ = date(text, microseconds.div_euclid(MICROSECONDS_A_DAY));
    let of_day = microseconds.rem_euclid(MICROSECONDS_A_DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let ([a, b], [c, d]) = (two(seconds / 3600), two(seconds / 60 % 60));
    let [e, f] = two(seconds % 60);
    text.extend_from_slice(&[b' ', a, b, b':', c, d, b':', e, f]);
    if fraction != 0 {
        let ([a, b], [c, d, e, f]) = (two(fraction / 10_000), four(fraction % 10_000));
        text.extend_from_slice(&[b'.', a, b, c, d, e, f]);
        while text.last() == Some(&b'0') {
            text.pop();
        }
    }
    text.extend_from_slice(zone);
    era(text, is_before_christ);
}

/// Digits to the base of 10 000, of which the first stands for that to the power of the weight (`get_str_from_var` in
/// numeric.c).
fn numeric(text: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    let (head, digits) = value.split_first_chunk::<8>()?;
    let [count, weight, sign, scale] =
        [0, 2, 4, 6].map(|at| u16::from_be_bytes([head[at], head[at + 1]]));
    match sign {
        0 => {}
        0x4000 => text.push(b'-'),
        0xc000 => text.extend_from_slice(b"NaN"),
        0xd000 => text.extend_from_slice(b"Infinity"),
        0xf000 => text.extend_from_slice(b"-Infinity"),
        _ => return None,
    }
    let (digits, rest) = digits.as_chunks::<2>();
    if digits.len() != usize::from(count) || !rest.is_empty() {
        return None;
    }
    if sign >= 0xc000 {
        return Some(());
    }
    let weight = i64::from(weight.cast_signed());
    let digit = |power: i64| {
        let at = usize::try_from(weight - power).ok().and_then(|at| digits.get(at));
        at.map_or(0, |digit| i64::from(u16::from_be_bytes(*digit)))
    };
    if digits.iter().any(|digit| u16::from_be_bytes(*digit) > 9999) {
        return None;
    }
    number(text, digit(weight.max(0)));
    for power in (0..weight.max(0)).rev() {
        text.extend_from_slice(&four(digit(power)));
    }
    if scale > 0 {
        text.push(b'.');
        let end = text.len() + usize::from(scale);
        let mut power = -1;
        while text.len() < end {
            text.extend_from_slice(&four(digit(power)));
            power -= 1;
        }
        text.truncate(end);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind, value: &[u8]) -> Option<String> {
        let mut text = b"|".to_vec();
        kind.put(value, &mut text)?;
        Some(String::from_utf8(text).expect("UTF-8")[1..].to_owned())
    }

    /// Bytes are those of the send functions of a server of version 15, as `int8send` and so on.
    #[test]
    fn values_as_the_server_tells_them() {
        let day = |days: i32| (Kind::Date, days.to_be_bytes().to_vec());
        let at = |microseconds: i64| (Kind::Timestamp, microseconds.to_be_bytes().to_vec());
        let bytes = |kind: Kind, bytes: &[u8]| (kind, bytes.to_vec());
        for ((kind, value), expect) in [
            (bytes(Kind::Bool, &[1]), "t"),
            (bytes(Kind::Bool, &[0]), "f"),
            (bytes(Kind::Int2, &i16::MIN.to_be_bytes()), "-32768"),
            (bytes(Kind::Int4, &i32::MIN.to_be_bytes()), "-2147483648"),
            (bytes(Kind::Int8, &i64::MIN.to_be_bytes()), "-9223372036854775808"),
            (bytes(Kind::Oid, &u32::MAX.to_be_bytes()), "4294967295"),
            (bytes(Kind::Text, b"a\tb\\\n"), "a\tb\\\n"),
            (bytes(Kind::Text, b""), ""),
            (bytes(Kind::Jsonb, b"\x01{\"a\": 1}"), "{\"a\": 1}"),
            (bytes(Kind::Bytea, &[0, 0x9f, 0xff]), "\\x009fff"),
            (bytes(Kind::Bytea, &[]), "\\x"),
            (
                bytes(
                    Kind::Uuid,
                    &[
                        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
                        0xdd, 0xee, 0xff,
                    ],
                ),
                "00112233-4455-6677-8899-aabbccddeeff",
            ),
            (day(0), "2000-01-01"),
            (day(59), "2000-02-29"),
            (day(-1), "1999-12-31"),
            (day(36_583), "2100-02-28"),
            (day(36_584), "2100-03-01"),
            (day(-730_119), "0001-01-01"),
            (day(-730_120), "0001-12-31 BC"),
            (day(-2_451_545), "4714-11-24 BC"),
            (day(2_145_031_948), "5874897-12-31"),
            (day(i32::MIN), "-infinity"),
            (day(i32::MAX), "infinity"),
            (at(0), "2000-01-01 00:00:00"),
            (at(-1), "1999-12-31 23:59:59.999999"),
            (at(1_500_000), "2000-01-01 00:00:01.5"),
            (at(45_296_000_010), "2000-01-01 12:34:56.00001"),
            (at(9_223_371_331_199_999_999), "294276-12-31 23:59:59.999999"),
            (at(-211_813_488_000_000_000), "4714-11-24 00:00:00 BC"),
            (
                bytes(Kind::Timestamptz, &(-211_813_488_000_000_000_i64).to_be_bytes()),
                "4714-11-24 00:00:00+00 BC",
            ),
            (bytes(Kind::Timestamptz, &i64::MAX.to_be_bytes()), "infinity"),
            (bytes(Kind::Timestamptz, &i64::MIN.to_be_bytes()), "-infinity"),
            (bytes(Kind::Numeric, &[0, 0, 0, 0, 0, 0, 0, 0]), "0"),
            (bytes(Kind::Numeric, &[0, 0, 0, 0, 0, 0, 0, 5]), "0.00000"),
            (bytes(Kind::Numeric, &[0, 0, 0, 0, 0xc0, 0, 0, 0]), "NaN"),
            (bytes(Kind::Numeric, &[0, 0, 0, 0, 0xd0, 0, 0, 0x20]), "Infinity"),
            (bytes(Kind::Numeric, &[0, 0, 0, 0, 0xf0, 0, 0, 0x20]), "-Infinity"),
            // 1 followed by eight zeros; -12345.678; 0.00001.
            (bytes(Kind::Numeric, &[0, 1, 0, 2, 0, 0, 0, 0, 0, 1]), "100000000"),
            (
                bytes(Kind::Numeric, &[0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c]),
                "-12345.678",
            ),
            (bytes(Kind::Numeric, &[0, 1, 0xff, 0xfe, 0, 0, 0, 5, 0x03, 0xe8]), "0.00001"),
        ] {
            assert_eq!(told(kind, &value).as_deref(), Some(expect), "{kind:?} {value:?}");
        }
    }

    #[test]
    fn what_is_no_value_is_not_told() {
        for (kind, value) in [
            (Kind::Int4, &[0, 0, 0][..]),
            (Kind::Bool, &[]),
            (Kind::Jsonb, &[2, b'1']),
            (Kind::Uuid, &[0; 15]),
            (Kind::Timestamp, &[0; 4]),
            (Kind::Numeric, &[0; 7]),
            (Kind::Numeric, &[0, 2, 0, 0, 0, 0, 0, 0, 0, 1]),
            (Kind::Numeric, &[0, 0, 0, 0, 0x80, 0, 0, 0]),
            (Kind::Numeric, &[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10]),
        ] {
            assert_eq!(told(kind, value), None, "{kind:?} {value:?}");
        }
    }
}
