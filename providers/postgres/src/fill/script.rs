//! The SQL text that `pg_dump --verbose` writes, cut into the entries of its table of contents.
//!
//! All of it is written by the program itself: names and values of users stand in quotes, which the cut respects. It
//! judges nothing and connects to nothing. Tested beside it.

use std::fmt;
use std::ops::Range;

/// One object's part of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the header has it: `TABLE`, `INDEX`, `FK CONSTRAINT`.
    pub(crate) kind: String,
    /// The tag, for messages: `accounts accounts_pkey`.
    pub(crate) name: String,
    /// `pg_class` and the like in the source's catalogue, 0 for what has no row of its own.
    pub(crate) class: u32,
    pub(crate) oid: u32,
    pub(crate) sql: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind.to_lowercase(), self.name)
    }
}

/// Cuts `script`. What stands before the first entry, the settings of the session, is left out: it is ours to set.
pub(crate) fn entries(script: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut number = (0, 0);
    let mut within = Within::Statement;
    for line in script.split_inclusive('\n') {
        if within == Within::Statement {
            if let Some(numbers) = line.strip_prefix("-- TOC entry ") {
                number = catalogue_numbers(numbers);
            } else if let Some(header) = line.strip_prefix("-- Name: ") {
                let (name, kind) = name_and_kind(header);
                let (class, oid) = std::mem::take(&mut number);
                found.push(Entry { kind, name, class, oid, sql: String::new() });
            }
            // Comments, and commands to psql (`\restrict`): a backslash begins no SQL.
            if line.starts_with("--") || line.starts_with('\\') {
                continue;
            }
        }
        if let Some(entry) = found.last_mut() {
            entry.sql.push_str(line);
        }
        walk(line, &mut within, |_| {});
    }
    for entry in &mut found {
        entry.sql = entry.sql.trim().to_owned();
    }
    found.retain(|entry| !entry.sql.is_empty());
    found
}

/// The statements of one entry, without their semicolons.
pub(crate) fn statements(sql: &str) -> Vec<&str> {
    statements_within(sql)
        .into_iter()
        .map(|range| sql[range].trim())
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// Where each statement of `sql` is, up to its semicolon; the last may be empty.
pub(super) fn statements_within(sql: &str) -> Vec<Range<usize>> {
    let (mut found, mut start) = (Vec::new(), 0);
    walk(sql, &mut Within::Statement, |end| {
        found.push(start..end);
        start = end + 1;
    });
    found.push(start..sql.len());
    found
}

/// `3243 (class 2606 OID 16400)`
fn catalogue_numbers(text: &str) -> (u32, u32) {
    let after = |word: &str| {
        let rest = text.split_once(word)?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    (after("(class ").unwrap_or(0), after(" OID ").unwrap_or(0))
}

/// `accounts accounts_pkey; Type: CONSTRAINT; Schema: public; Owner: -`
fn name_and_kind(header: &str) -> (String, String) {
    let header = header.trim_end();
    let header = header.rsplit_once("; Schema: ").map_or(header, |(rest, _)| rest);
    match header.rsplit_once("; Type: ") {
        Some((name, kind)) => (name.to_owned(), kind.to_owned()),
        None => (header.to_owned(), String::new()),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Within {
    Statement,
    /// `'…'`, or `E'…'` where a backslash takes the next character with it.
    Text {
        escapes: bool,
    },
    Name,
    /// `$tag$ … $tag$`, with its dollar signs.
    Dollars(String),
}

/// Follows quotes through `text`, and tells where statements end.
fn walk(text: &str, within: &mut Within, mut semicolon: impl FnMut(usize)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let here = bytes[at];
        match within {
            Within::Statement => match here {
                b'\'' => *within = Within::Text { escapes: escapes(&bytes[..at]) },
                b'"' => *within = Within::Name,
                b';' => semicolon(at),
                b'-' if bytes.get(at + 1) == Some(&b'-') => {
                    at += text[at..].find('\n').unwrap_or(text.len() - at);
                    continue;
                }
                b'$' if !at.checked_sub(1).is_some_and(|before| in_word(bytes[before])) => {
                    if let Some(tag) = tag(&text[at..]) {
                        at += tag.len();
                        *within = Within::Dollars(tag.to_owned());
                        continue;
                    }
                }
                _ => {}
            },
            Within::Text { escapes: true } if here == b'\\' => at += 1,
            // A doubled quote ends and begins anew, which comes to the same: both are in the same kind of text.
            Within::Text { escapes } if here == b'\'' => {
                if *escapes && bytes.get(at + 1) == Some(&b'\'') {
                    at += 1;
                } else {
                    *within = Within::Statement;
                }
            }
            Within::Name if here == b'"' => *within = Within::Statement,
            Within::Dollars(tag) if here == b'$' && text[at..].starts_with(tag.as_str()) => {
                at += tag.len();
                *within = Within::Statement;
                continue;
            }
            Within::Text { .. } | Within::Name | Within::Dollars(_) => {}
        }
        at += 1;
    }
}

fn in_word(byte: u8) -> bool {
    byte == b'_' || byte == b'$' || byte >= 0x80 || byte.is_ascii_alphanumeric()
}

/// Whether a quote after `before` begins an `E'…'`.
fn escapes(before: &[u8]) -> bool {
    match before {
        [.., word, b'e' | b'E'] => !in_word(*word),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

/// `$$` or `$tag$` at the start of `text`; a parameter such as `$1` is none.
fn tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text.as_bytes()[1..end];
    let is_tag = name.first().is_none_or(|first| !first.is_ascii_digit())
        && name.iter().all(|byte| in_word(*byte));
    is_tag.then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc

SET statement_timeout = 0;

--
-- TOC entry 8 (class 2615 OID 16464)
-- Name: app; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA app;


--
-- TOC entry 9 (class 1255 OID 16500)
-- Dependencies: 8
-- Name: f(); Type: FUNCTION; Schema: app; Owner: -
--

CREATE FUNCTION app.f() RETURNS text
    LANGUAGE sql
    AS $_$
--
-- Name: not this; Type: TABLE; Schema: x; Owner: -
\restrict
select 'a;b' || $$c$$ || E'\'';
$_$;


--
-- TOC entry 10 (class 0 OID 0)
-- Name: TABLE "a; Type: b"; Type: COMMENT; Schema: app; Owner: -
--

COMMENT ON TABLE app."a; Type: b" IS 'it''s
-- Name: nor this; Type: TABLE; Schema: x; Owner: -
\end';


-- Completed on 2026-11-25

\unrestrict abc
"#;

    #[test]
    fn a_script_is_cut_where_its_entries_begin() {
        let found = entries(SCRIPT);
        let shown: Vec<(String, u32, u32)> =
            found.iter().map(|entry| (entry.to_string(), entry.class, entry.oid)).collect();
        assert_eq!(
            shown,
            [
                ("schema `app`".to_owned(), 2615, 16464),
                ("function `f()`".to_owned(), 1255, 16500),
                ("comment `TABLE \"a; Type: b\"`".to_owned(), 0, 0),
            ]
        );
        assert_eq!(found[0].sql, "CREATE SCHEMA app;");
        assert!(found[1].sql.contains("-- Name: not this") && found[1].sql.ends_with("$_$;"));
        assert!(found[1].sql.contains("\n\\restrict\n"));
        assert!(found[2].sql.ends_with("\\end';"), "{}", found[2].sql);
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        for (sql, expect) in [
            ("a; b;", &["a", "b"][..]),
            ("create index i on t (x) where y = ';'", &["create index i on t (x) where y = ';'"]),
            (r#"select ";", E'\';', 'e\';x"#, &[r#"select ";", E'\';', 'e\'"#, "x"]),
            (r"select E'a''\';';b", &[r"select E'a''\';'", "b"]),
            ("select $a$;$$;$a$, $1;x", &["select $a$;$$;$a$, $1", "x"]),
            ("select a -- ; b\n;c", &["select a -- ; b", "c"]),
            ("", &[]),
        ] {
            assert_eq!(statements(sql), expect, "{sql}");
        }
    }
}
