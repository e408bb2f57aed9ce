//! `${…}` inside text: finds the references, and says exactly where one is malformed.
//!
//! Pure text in, pieces out; what a name means is decided by the reader ([`crate::spec`]). There are no functions and
//! no operators: a spec is data. Tested below, data-driven.

use std::ops::Range;

use crate::address::is_name;
use crate::diag::Span;
use crate::template::Step;

/// Text and references in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Plain text, `$${` already turned into `${`.
    Text(String),
    Expression(Expression),
}

/// Which instance of a block with `for_each`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// `["eu"]`.
    Text(String),
    /// `[each.key]`: what follows `each`.
    Each(Vec<Step>),
}

/// `root["key"].path[0]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// `var`, `env`, `each`, or the name of a resource.
    pub root: String,
    /// The key of one instance of a block with `for_each`.
    pub key: Option<Key>,
    pub path: Vec<Step>,
    /// Bytes of the text, `${` and `}` included.
    pub range: Range<usize>,
}

/// What is wrong with a `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    pub message: &'static str,
    pub help: Option<&'static str>,
    /// Bytes of the text.
    pub range: Range<usize>,
}

const LITERAL: &str = "write `${name.attribute}`, or `$${` for a literal `${`";
const ATTRIBUTE: &str = "write `${name.attribute}`";
const NO_FUNCTIONS: &str =
    "there are no functions or operators: a spec is data; write `${name.attribute}`";

/// The pieces of `text`, and everything malformed in it.
pub fn parse(text: &str) -> (Vec<Piece>, Vec<Malformed>) {
    let (mut pieces, mut faults) = (Vec::new(), Vec::new());
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if text[at..start].ends_with('$') {
            plain.push_str(&text[at..start]);
            plain.push('{');
            at = start + 2;
            continue;
        }
        plain.push_str(&text[at..start]);
        let Some(end) = closing(text, start + 2) else {
            faults.push(Malformed {
                message: "this `${` is never closed",
                help: Some("close it by `}`, or write `$${` for a literal `${`"),
                range: start..text.len(),
            });
            return (pieces, faults);
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        match expression(text, start, end) {
            Ok(expression) => pieces.push(Piece::Expression(expression)),
            Err(fault) => faults.push(fault),
        }
        at = end + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() || (pieces.is_empty() && faults.is_empty()) {
        pieces.push(Piece::Text(plain));
    }
    (pieces, faults)
}

/// Whether `text` begins with an expression whose root begins with `root`.
pub(crate) fn begins_with(text: &str, root: &str) -> bool {
    text.strip_prefix("${").is_some_and(|rest| rest.trim_start().starts_with(root))
}

/// The `}` that ends an expression begun before `from`; braces inside quotes do not count.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut quoted = false;
    for (index, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Some(index),
            b'\n' => return None,
            _ => {}
        }
    }
    None
}

fn expression(text: &str, start: usize, end: usize) -> Result<Expression, Malformed> {
    let whole = start..end + 1;
    let inner = &text[start + 2..end];
    let body = inner.trim();
    let mut at = start + 2 + (inner.len() - inner.trim_start().len());
    let stop = at + body.len();
    let fault = |message, help, range: Range<usize>| Malformed { message, help, range };
    if body.is_empty() {
        return Err(fault("there is nothing between the braces", Some(LITERAL), whole));
    }
    let root = word(&text[at..stop]);
    if !is_name(root) {
        return Err(fault("a reference begins with a name", Some(NO_FUNCTIONS), whole));
    }
    at += root.len();
    let mut found = Expression { root: root.to_owned(), key: None, path: Vec::new(), range: whole };
    while at < stop {
        let rest = &text[at..stop];
        if let Some(after) = rest.strip_prefix('.') {
            let name = word(after);
            if name.is_empty() {
                return Err(fault("a name is missing after the dot", Some(ATTRIBUTE), at..at + 1));
            }
            found.path.push(Step::Member(name.to_owned()));
            at += 1 + name.len();
        } else if rest.starts_with('[') {
            let Some(length) = bracket(rest) else {
                return Err(fault("this `[` is never closed", Some("close it by `]`"), at..stop));
            };
            let content = rest[1..length - 1].trim();
            if let Some(key) = content.strip_prefix('"').and_then(|key| key.strip_suffix('"')) {
                if at
                    == found.range.start + 2 + (inner.len() - inner.trim_start().len()) + root.len()
                {
                    found.key = Some(Key::Text(key.to_owned()));
                } else {
                    found.path.push(Step::Member(key.to_owned()));
                }
            } else if let Some(each) = each(content).filter(|_| found.path.is_empty()) {
                found.key = Some(Key::Each(each));
            } else if let Ok(index) = content.parse() {
                found.path.push(Step::Index(index));
            } else {
                let help = Some("write `[0]` for an element, or `[\"key\"]`");
                return Err(fault(
                    "what is in brackets is neither a number nor a quoted key",
                    help,
                    at..at + length,
                ));
            }
            at += length;
        } else {
            return Err(fault("this cannot follow a name", Some(NO_FUNCTIONS), at..stop));
        }
    }
    Ok(found)
}

/// The path in `each.key`, `each.value.region`.
fn each(content: &str) -> Option<Vec<Step>> {
    let names = content.strip_prefix("each.")?.split('.');
    names.map(|name| is_name(name).then(|| Step::Member(name.to_owned()))).collect()
}

/// The length of `[…]` at the start of `text`; brackets inside quotes do not count.
fn bracket(text: &str) -> Option<usize> {
    let mut quoted = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b']' if !quoted => return Some(index + 1),
            _ => {}
        }
    }
    None
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .unwrap_or(text.len());
    &text[..end]
}

/// Where `range` of the decoded `text` stands in the file, given the scalar's `raw` source that starts at `start`.
///
/// Exact where quoting left the expression as it is. An expression with escapes in it gives the whole expression,
/// and one whose dollar or brace was itself escaped the whole scalar.
pub fn locate(text: &str, range: &Range<usize>, raw: &str, start: usize) -> Span {
    // Most text stands there as it is, with or without quotes.
    let plain = if raw == text {
        Some(0)
    } else {
        raw.get(1..raw.len().max(2) - 1).filter(|inner| *inner == text).map(|_| 1)
    };
    if let Some(quote) = plain {
        let from = start + quote + range.start;
        return Span { start: from, end: from + range.len() };
    }
    let whole = Span { start, end: start + raw.len() };
    // The `${` that `range` belongs to, by its number: quoting neither makes nor removes one, escapes aside.
    let openings = |text: &str| text.match_indices("${").map(|(at, _)| at).collect::<Vec<_>>();
    let (decoded, source) = (openings(text), openings(raw));
    if decoded.len() != source.len() {
        return whole;
    }
    let Some(number) = decoded.iter().rposition(|opening| *opening <= range.start) else {
        return whole;
    };
    let (opening, origin) = (decoded[number], source[number]);
    let length = range.end - opening;
    if raw.get(origin..origin + length) == text.get(opening..range.end) {
        let from = start + origin + (range.start - opening);
        return Span { start: from, end: from + range.len() };
    }
    let end = raw[origin..].find('}').map_or(raw.len(), |close| origin + close + 1);
    Span { start: start + origin, end: start + end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let (pieces, faults) = parse(text);
        let mut out: Vec<String> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => format!("{text:?}"),
                Piece::Expression(e) => {
                    format!("<{} {:?} {:?} @{:?}>", e.root, e.key, e.path, e.range)
                }
            })
            .collect();
        out.extend(faults.iter().map(|f| format!("!{} @{:?}", f.message, f.range)));
        out.join(" ")
    }

    #[test]
    fn what_is_read() {
        for (text, expect) in [
            ("", r#""""#),
            ("plain $x {y}", r#""plain $x {y}""#),
            ("${a}", "<a None [] @0..4>"),
            ("${ a.b }", r#"<a None [Member("b")] @0..8>"#),
            (
                "x-${a.b[0].c}-y",
                r#""x-" <a None [Member("b"), Index(0), Member("c")] @2..13> "-y""#,
            ),
            (r#"${dump["eu"].object}"#, r#"<dump Some(Text("eu")) [Member("object")] @0..20>"#),
            ("${a[each.key].b}", r#"<a Some(Each([Member("key")])) [Member("b")] @0..16>"#),
            ("${a[ each.value.x ]}", r#"<a Some(Each([Member("value"), Member("x")])) [] @0..20>"#),
            ("${a[each]}", "!what is in brackets is neither a number nor a quoted key @3..9"),
            (r#"${a.m["k}"]}"#, r#"<a None [Member("m"), Member("k}")] @0..12>"#),
            ("a$${b}${c}", r#""a${b}" <c None [] @6..10>"#),
            ("${a", "!this `${` is never closed @0..3"),
            ("${}", "!there is nothing between the braces @0..3"),
            ("${1a}", "!a reference begins with a name @0..5"),
            ("${upper(x)} ${b}", r#"" " <b None [] @12..16> !this cannot follow a name @7..10"#),
            ("${a.}", "!a name is missing after the dot @3..4"),
            ("${a[x]}", "!what is in brackets is neither a number nor a quoted key @3..6"),
            ("${a + 1}", "!this cannot follow a name @3..7"),
        ] {
            assert_eq!(shown(text), expect, "{text}");
        }
    }

    #[test]
    fn places_survive_quoting() {
        let at = |text: &str, range: Range<usize>, raw: &str| {
            let span = locate(text, &range, raw, 0);
            raw[span.start..span.end].to_owned()
        };
        assert_eq!(at("x${a.b}", 2..3, "x${a.b}"), "{");
        assert_eq!(at("x${a.b}", 1..7, "\"x${a.b}\""), "${a.b}");
        assert_eq!(at("é\n${a}", 3..7, "\"\\u00e9\\n${a}\""), "${a}");
        assert_eq!(at("${a[\"k\"].x}", 0..11, "\"${a[\\\"k\\\"].x}\""), "${a[\\\"k\\\"].x}");
        assert_eq!(at("${a}", 0..4, "\"\\x24{a}\""), "\"\\x24{a}\"");
    }
}
