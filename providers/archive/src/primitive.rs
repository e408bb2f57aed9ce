//! The four kinds of values that an archive is made of: byte, int, text and offset.
//!
//! An int is a byte of sign and four bytes of magnitude, least significant first (`ReadInt`); a text is an int of
//! length and its bytes, length -1 being none at all (`ReadStr`). Tested beside it.

use std::io::{Read, Write};

use crate::entry::{Offset, Text};
use crate::error::ArchiveError;

/// Bytes of an int: its sign and its magnitude.
pub(crate) const INT: usize = 5;
/// Longer texts are refused: no server holds a value of more than 1 GiB.
const MOST: u32 = 1 << 30;

pub(crate) fn read_byte(from: &mut impl Read, within: &'static str) -> Result<u8, ArchiveError> {
    let mut byte = [0];
    from.read_exact(&mut byte).map_err(|cause| ArchiveError::reading(cause, within))?;
    Ok(byte[0])
}

/// An int as C has it. The magnitude wraps, because object numbers above 2^31 were written as negative ints.
pub(crate) fn read_int(from: &mut impl Read, within: &'static str) -> Result<i32, ArchiveError> {
    let mut bytes = [0; INT];
    from.read_exact(&mut bytes).map_err(|cause| ArchiveError::reading(cause, within))?;
    let [sign, a, b, c, d] = bytes;
    let magnitude = u32::from_le_bytes([a, b, c, d]).cast_signed();
    match sign {
        0 => Ok(magnitude),
        1 => Ok(magnitude.wrapping_neg()),
        other => Err(ArchiveError::damaged(format!("a number in {within} has the sign {other}"))),
    }
}

/// A length; negative ones are `None`.
pub(crate) fn read_length(
    from: &mut impl Read,
    within: &'static str,
) -> Result<Option<u32>, ArchiveError> {
    match u32::try_from(read_int(from, within)?) {
        Ok(length) if length > MOST => {
            Err(ArchiveError::damaged(format!("{length} bytes in one piece in {within}")))
        }
        Ok(length) => Ok(Some(length)),
        Err(_) => Ok(None),
    }
}

/// Beyond this, memory follows the bytes that are there, not the length that is claimed.
const CLAIMED: u32 = 1 << 20;

pub(crate) fn read_bytes(
    from: &mut impl Read,
    length: u32,
    into: &mut Vec<u8>,
    within: &'static str,
) -> Result<(), ArchiveError> {
    into.clear();
    into.reserve(length.min(CLAIMED) as usize);
    let read = from
        .take(u64::from(length))
        .read_to_end(into)
        .map_err(|cause| ArchiveError::reading(cause, within))?;
    if read as u64 == u64::from(length) { Ok(()) } else { Err(ArchiveError::Short { within }) }
}

pub(crate) fn read_text(from: &mut impl Read, within: &'static str) -> Result<Text, ArchiveError> {
    let Some(length) = read_length(from, within)? else { return Ok(Text::NONE) };
    let mut bytes = Vec::new();
    read_bytes(from, length, &mut bytes, within)?;
    Ok(Text::from(bytes))
}

pub(crate) fn read_offset(from: &mut impl Read) -> Result<Offset, ArchiveError> {
    const WITHIN: &str = "an offset of the table of contents";
    let flag = read_byte(from, WITHIN)?;
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes).map_err(|cause| ArchiveError::reading(cause, WITHIN))?;
    match flag {
        1 => Ok(Offset::Unknown),
        2 => Ok(Offset::At(u64::from_le_bytes(bytes))),
        3 => Ok(Offset::NoData),
        other => Err(ArchiveError::damaged(format!("an offset of kind {other}"))),
    }
}

pub(crate) fn int(value: i32) -> [u8; INT] {
    let [a, b, c, d] = value.unsigned_abs().to_le_bytes();
    [u8::from(value < 0), a, b, c, d]
}

/// As C writes an unsigned number: through an int, modulo 2^32.
pub(crate) fn unsigned(value: u32) -> [u8; INT] {
    int(value.cast_signed())
}

pub(crate) fn put(to: &mut impl Write, bytes: &[u8]) -> Result<(), ArchiveError> {
    to.write_all(bytes).map_err(ArchiveError::writing)
}

pub(crate) fn put_text(to: &mut impl Write, text: &Text) -> Result<(), ArchiveError> {
    let Some(bytes) = text.bytes() else { return put(to, &int(-1)) };
    let length = i32::try_from(bytes.len())
        .map_err(|_| ArchiveError::damaged(format!("a text of {} bytes", bytes.len())))?;
    put(to, &int(length))?;
    put(to, bytes)
}

pub(crate) fn put_offset(to: &mut impl Write, offset: Offset) -> Result<(), ArchiveError> {
    let (flag, value) = match offset {
        Offset::Unknown => (1, 0),
        Offset::At(at) => (2, at),
        Offset::NoData => (3, 0),
    };
    put(to, &[flag])?;
    put(to, &value.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ints_as_c_has_them() {
        for (value, bytes) in [
            (0, [0, 0, 0, 0, 0]),
            (-1, [1, 1, 0, 0, 0]),
            (258, [0, 2, 1, 0, 0]),
            (i32::MAX, [0, 255, 255, 255, 127]),
            (i32::MIN, [1, 0, 0, 0, 128]),
        ] {
            assert_eq!(int(value), bytes);
            assert_eq!(read_int(&mut &bytes[..], "a test").expect("an int"), value);
        }
        // As the format's description has it: 3000000000 through a signed int.
        assert_eq!(unsigned(3_000_000_000), [1, 0, 162, 47, 77]);
        let back = read_int(&mut &unsigned(3_000_000_000)[..], "a test").expect("an int");
        assert_eq!(back.cast_unsigned(), 3_000_000_000);
    }

    #[test]
    fn none_and_empty_differ() {
        for text in [Text::NONE, Text::from(""), Text::from("ä"), Text::from(vec![0xff, 0])] {
            let mut bytes = Vec::new();
            put_text(&mut bytes, &text).expect("memory");
            assert_eq!(read_text(&mut &bytes[..], "a test").expect("a text"), text);
        }
    }

    #[test]
    fn a_claimed_gigabyte_takes_no_memory() {
        let mut bytes = int(1 << 30).to_vec();
        bytes.extend_from_slice(b"only this");
        let error = read_text(&mut &bytes[..], "a test").expect_err("too short");
        assert!(matches!(error, ArchiveError::Short { within: "a test" }), "{error}");
        let error = read_text(&mut &int((1 << 30) + 1)[..], "a test").expect_err("too long");
        assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
    }
}
