//! Values that no file, log, error or argument list may hold.
//!
//! A [`Secret`] says `(sensitive)` to `Debug`, `Display` and `Serialize`. Every secret is also known by value to
//! [`redact`], the last net under text that comes from elsewhere (a server's error, a restore's log).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

mod known;

/// What stands in every text where a secret would.
pub const MASK: &str = "(sensitive)";

/// The key of the in-memory marker by which a secret passes through a JSON tree; see [`crate::tree`].
pub(crate) const MARKER: &str = "$secret";

thread_local! {
    static REVEALING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// A password, token, key or URL that carries one. Cheap to clone. [`redact`] keeps a copy for as long as the process
/// runs: what it does not know it could not blank out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes the value in and makes it known to [`redact`].
    pub fn new(value: impl Into<String>) -> Self {
        let value = Arc::new(Zeroizing::new(value.into()));
        known::learn(&value);
        shown_parts(&value).into_iter().for_each(|part| known::learn_clear(&part));
        Self(value)
    }

    /// The value itself, for the moment of use. Never format it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Whether `text`, once stored, gives a secret away: it is one, or has one in it of eight characters or more. What also
/// stands in clear, in the spec or as a name in a connection string, is no secret where it is a name.
pub fn gives_away(text: &str) -> bool {
    known::is_short(text) || hidden_in(text).is_some()
}

/// The secret of eight characters or more that storing `text` would give away.
pub(crate) fn hidden_in(text: &str) -> Option<Zeroizing<String>> {
    known::hidden_in(text)
}

/// Takes in a text that people wrote in clear, such as a spec: where a secret is the same as a word of it, that word can
/// be stored.
pub fn written_in_clear(text: &str) {
    known::learn_clear(text);
}

/// How many bytes at the end of `text`, of which more is to come, cannot be shown yet: a secret may begin in them.
pub fn unfinished(text: &str) -> usize {
    known::tail(text)
}

/// The parts of a connection string that are shown as they are: user, host and database. Without a password, the user
/// may be a token.
fn shown_parts(secret: &str) -> Vec<String> {
    let parts = || {
        let (_, rest) = secret.split_once("://")?;
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = authority.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
        Some([user, host, path].map(|part| decoded(part).to_string()).to_vec())
    };
    let mut parts = parts().unwrap_or_default();
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether all of `text` is a secret.
pub fn is_secret(text: &str) -> bool {
    known::is_known(text)
}

/// How else `secret` may stand in foreign text: escaped as in a URL or in JSON; and of a URL, the password in it.
fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let mut forms = vec![Zeroizing::new(encoded(secret))];
    if let Ok(quoted) = serde_json::to_string(secret).map(Zeroizing::new) {
        forms.push(Zeroizing::new(quoted[1..quoted.len() - 1].to_owned()));
    }
    let authority = secret.split_once("://").map(|(_, rest)| rest);
    let authority = authority.and_then(|rest| rest.split(['/', '?', '#']).next());
    let password = authority
        .and_then(|authority| authority.rsplit_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password);
    if let Some(password) = password {
        let plain = decoded(password);
        forms.push(Zeroizing::new(encoded(&plain)));
        forms.push(plain);
        forms.push(Zeroizing::new(password.to_owned()));
    }
    forms
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn decoded(text: &str) -> Zeroizing<String> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(escaped) => {
                out.push(escaped);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&out).into_owned())
}

/// `text` with every known secret replaced by `(sensitive)`.
pub fn redact(text: &str) -> Cow<'_, str> {
    known::blank(text)
}

/// Runs `serialize` with secrets written as in-memory markers instead of the mask.
///
/// Only [`crate::tree`] calls it, to carry attributes from one resource to another; the result never reaches a file.
pub(crate) fn revealing<T>(serialize: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            REVEALING.set(self.0);
        }
    }
    let _reset = Reset(REVEALING.replace(true));
    serialize()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if !REVEALING.get() {
            return serializer.serialize_str(MASK);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(MARKER, self.expose())?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Plain(String),
            Marked {
                #[serde(rename = "$secret")]
                value: String,
            },
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Plain(value) | Either::Marked { value } => Self::new(value),
        })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-secret": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_formats_it() {
        let secret = Secret::new("hunter2-hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "(sensitive) (sensitive)");
        assert_eq!(serde_json::to_string(&secret).expect("serialises"), r#""(sensitive)""#);
        assert_eq!(redact("at postgres://u:hunter2-hunter2@h"), "at postgres://u:(sensitive)@h");
    }

    #[test]
    fn a_short_one_is_known_by_itself() {
        let _pin = Secret::new("4711");
        assert!(gives_away("4711") && !gives_away("port 47110"));
    }

    #[test]
    fn of_many_none_passes_and_what_overlaps_goes_as_one() {
        let secrets: Vec<Secret> =
            (0..200).map(|number| Secret::new(format!("pass-{number:03}-word"))).collect();
        for secret in &secrets {
            assert_eq!(redact(&format!("a {} b", secret.expose())), "a (sensitive) b");
        }
        let (_one, _two) = (Secret::new("word-of-one-half"), Secret::new("half-and-other"));
        assert_eq!(redact("x word-of-one-half-and-other y"), "x (sensitive) y");
        assert_eq!(redact("pass-199-wordpass-000-word"), "(sensitive)(sensitive)");
        assert_eq!(redact("pass-200-word"), "pass-200-word");
    }

    #[test]
    fn no_form_of_it_passes() {
        let _url = Secret::new("postgres://u:tr%40p%2Fdoor-9@h.example:5/db");
        for text in
            ["tr@p/door-9", "tr%40p%2Fdoor-9", "postgres://u:tr%40p%2Fdoor-9@h.example:5/db"]
        {
            assert_eq!(redact(&format!("at {text}")), "at (sensitive)");
        }
        let _odd = Secret::new("o\"dd\\se cret");
        for text in ["o\"dd\\se cret", r#"o\"dd\\se cret"#, "o%22dd%5Cse%20cret"] {
            assert_eq!(redact(text), "(sensitive)", "{text}");
        }
    }

    #[test]
    fn a_word_that_also_stands_in_clear_can_be_stored() {
        let _name = Secret::new("the-name-of-an-app");
        assert!(gives_away("at the-name-of-an-app"));
        written_in_clear("app: { name: the-name-of-an-app }");
        assert!(!gives_away("at the-name-of-an-app"));
        assert_eq!(redact("at the-name-of-an-app"), "at (sensitive)", "shown it is not");
        let _url = Secret::new("postgres://owner-of-it:the-database@h:5/the-database");
        assert!(!gives_away("the-database"), "it is the database's name");
        let _token = Secret::new("https://token-without-password@h/path-of-it");
        assert!(gives_away("https://token-without-password@h/path-of-it"));
    }

    #[test]
    fn each_line_of_it_is_masked_and_none_is_a_secret_of_its_own() {
        let _key = Secret::new("-----BEGIN KEY-----\nfirst-line-of-it\n  second-line-of-it\nend\n");
        assert_eq!(redact("says first-line-of-it"), "says (sensitive)");
        assert_eq!(redact("says second-line-of-it"), "says (sensitive)");
        assert_eq!(redact("-----BEGIN KEY----- end"), "-----BEGIN KEY----- end");
        assert!(!gives_away("first-line-of-it"));
    }

    #[test]
    fn what_may_begin_a_secret_waits_for_what_follows() {
        let _secret = Secret::new("twenty-letters-of-it");
        let text = format!("{} twenty-let", "x".repeat(5_000));
        let kept = text.len() - unfinished(&text);
        assert!(kept <= 5_001, "the beginning of a secret is shown");
        let text = format!("{}twenty-letters-of-it{}", "x".repeat(5_000), "y".repeat(3));
        let shown = &text[..text.len() - unfinished(&text)];
        assert!(!shown.contains("twenty"), "a secret is cut in two: {shown}");
    }
}
