//! Names and passwords nobody can guess.
//!
//! It owns the reading of the operating system's random source and the alphabets; it does not know what the values are
//! for. Tested by the shape of what it makes.

use std::fs::File;
use std::io::Read;

/// `count` random bytes of the operating system.
fn bytes(count: usize) -> Vec<u8> {
    let mut buffer = vec![0; count];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut buffer))
        .expect("every Unix has a random source");
    buffer
}

fn letters(alphabet: &[u8], count: usize) -> String {
    bytes(count)
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect()
}

/// Lower-case letters and digits, beginning with a letter: fit for database and role names.
pub(crate) fn name(count: usize) -> String {
    letters(b"abcdefghijklmnopqrstuvwxyz", 1)
        + &letters(b"abcdefghijklmnopqrstuvwxyz0123456789", count.saturating_sub(1))
}

/// Letters and digits: fit for passwords and keys, in a URL and in SQL as they stand.
pub(crate) fn secret(count: usize) -> String {
    letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count)
}

/// Upper-case letters and digits, as in an access key.
pub(crate) fn access_key() -> String {
    letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 20)
}

/// A number from `low` up to, but without, `high`.
pub(crate) fn number(low: u32, high: u32) -> u32 {
    let raw = bytes(4).iter().fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    low + raw % (high - low)
}

/// A random (version 4) UUID in its usual text form.
pub(crate) fn uuid() -> String {
    let mut raw = bytes(16);
    raw[6] = (raw[6] & 0x0f) | 0x40;
    raw[8] = (raw[8] & 0x3f) | 0x80;
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_shape_their_users_expect() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!(name(14).starts_with(|first: char| first.is_ascii_lowercase()));
        assert_eq!(secret(24).len(), 24);
        assert!((10..20).contains(&number(10, 20)));
        assert_ne!(uuid(), id);
    }
}
