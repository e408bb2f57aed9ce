//! Percent-encoding as Signature Version 4 wants it: all but `A-Z a-z 0-9 - . _ ~`, in capitals.
//!
//! Source: AWS docs, "Create a signed AWS API request", UriEncode. Tested here.

use std::fmt::Write;

/// Encodes; a slash stays one if `keep_slash`.
pub(crate) fn encode(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || (keep_slash && byte == b'/');
        if plain {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes a path; `None` for a broken escape or what is no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The decoded pairs of a query, in their order; a plus is a space.
pub(crate) fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_signatures_want() {
        assert_eq!(encode("a b/ü~+=", true), "a%20b/%C3%BC~%2B%3D");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }

    #[test]
    fn decodes_and_refuses() {
        assert_eq!(decode("a%20b+c").as_deref(), Some("a b+c"));
        assert_eq!(decode("%zz"), None);
        assert_eq!(decode("%2"), None);
        assert_eq!(decode("%FF"), None);
    }

    #[test]
    fn splits_queries() {
        let pairs = query_pairs("acl&prefix=a%2Fb&x=1+2").expect("well formed");
        let expected = [("acl", ""), ("prefix", "a/b"), ("x", "1 2")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
