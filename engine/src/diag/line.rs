//! A line of the spec made safe to show: secrets masked, control characters spelled out, tabs widened.
//!
//! Masks come from three sides: what the reader found to be a password, known secrets by value, and, for files that
//! could not even be parsed, anything behind a key or in a URL that looks like one. Too much masked is better than
//! too little.

use super::Span;
use crate::secret::{MASK, redact};

/// A line as shown, with the way from bytes of the file to columns of the screen.
pub(crate) struct Shown {
    pub(crate) text: String,
    /// First byte of each piece in the file, and the column where it begins on screen.
    columns: Vec<(usize, usize)>,
    width: usize,
}

impl Shown {
    /// The column of the file's byte `byte`; past the end means the end.
    pub(crate) fn column(&self, byte: usize) -> usize {
        match self.columns.partition_point(|(start, _)| *start <= byte) {
            0 => 0,
            after if after == self.columns.len() && byte > self.columns[after - 1].0 => self.width,
            after => self.columns[after - 1].1,
        }
    }
}

/// `line` begins at byte `start` of the file; `masked` are byte ranges of the file.
pub(crate) fn show(line: &str, start: usize, masked: &[Span]) -> Shown {
    let mut hidden: Vec<(usize, usize)> = masked
        .iter()
        .filter(|span| span.end > start && span.start < start + line.len())
        .map(|span| (span.start.max(start) - start, span.end.min(start + line.len()) - start))
        .chain(looks_secret(line))
        .collect();
    hidden.sort_unstable();
    let mut shown = Shown { text: String::new(), columns: Vec::new(), width: 0 };
    let mut skip_to = 0;
    for (index, character) in line.char_indices() {
        if index < skip_to {
            continue;
        }
        let column = shown.width;
        shown.columns.push((start + index, column));
        let piece = match hidden.iter().find(|(from, to)| (*from..*to).contains(&index)) {
            Some((_, to)) => {
                skip_to = *to;
                MASK.to_owned()
            }
            None => spelled(character),
        };
        shown.width += piece.chars().count();
        shown.text.push_str(&piece);
    }
    shown.columns.push((start + line.len(), shown.width));
    let safe = redact(&shown.text).into_owned();
    shown.text = safe;
    shown
}

fn spelled(character: char) -> String {
    match character {
        '\t' => "    ".to_owned(),
        c if invisible(c) => c.escape_unicode().to_string(),
        c => c.to_string(),
    }
}

/// Characters that move the cursor, hide, or turn the direction of text.
fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A message with control characters spelled out and passwords in it masked.
pub(crate) fn message(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in url_passwords(text) {
        safe.push_str(&text[from..start]);
        safe.push_str(MASK);
        from = end;
    }
    safe.push_str(&text[from..]);
    redact(&safe)
        .chars()
        .map(
            |c| {
                if c != '\n' && invisible(c) {
                    c.escape_unicode().to_string()
                } else {
                    c.to_string()
                }
            },
        )
        .collect()
}

fn looks_secret(line: &str) -> Vec<(usize, usize)> {
    let mut found = url_passwords(line);
    found.extend(values_of_secret_keys(line));
    found
}

/// Byte ranges of the passwords in `scheme://user:password@host`.
///
/// References in place of a password are none.
pub(crate) fn url_passwords(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let rest = at + 3;
        let authority_end = text[rest..]
            .find(|c: char| {
                c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>')
            })
            .map_or(text.len(), |end| rest + end);
        let authority = &text[rest..authority_end];
        // A password may hold `@` and `:` unescaped: from the first colon to the last at sign.
        let (Some(colon), Some(sign)) = (authority.find(':'), authority.rfind('@')) else {
            continue;
        };
        let (from, to) = (rest + colon + 1, rest + sign);
        if from < to && !text[from..to].starts_with("${") {
            found.push((from, to));
        }
    }
    found
}

const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "api-key", "apikey", "credential"];

fn values_of_secret_keys(line: &str) -> Vec<(usize, usize)> {
    let lower = line.to_ascii_lowercase();
    let mut found = Vec::new();
    for (at, _) in lower.match_indices(':') {
        let key = lower[..at].trim_end_matches(['"', '\'', ' ']);
        let word_start = key
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |before| before + key[before..].chars().next().map_or(1, char::len_utf8));
        if !SECRET_WORDS.iter().any(|word| key[word_start..].contains(word)) {
            continue;
        }
        let value = line[at + 1..].trim_start();
        let from = line.len() - value.len();
        if from == at + 1 || value.is_empty() {
            continue;
        }
        let unquoted = value.trim_start_matches(['"', '\'']);
        if unquoted.starts_with("${") || value.starts_with(['{', '[', '#', '|', '>']) {
            continue;
        }
        let length = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
            _ => value.find([',', '}', '#']).unwrap_or(value.len()),
        };
        found.push((from, from + value[..length].trim_end().len()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_and_the_rest_keeps_its_columns() {
        for (line, shown) in [
            ("url: postgres://u:pw@h/db", "url: postgres://u:(sensitive)@h/db"),
            ("url: postgres://u:p@w:x@h/db", "url: postgres://u:(sensitive)@h/db"),
            ("url: postgres://u:${env.PW}@h/db", "url: postgres://u:${env.PW}@h/db"),
            ("  token: abc # note", "  token: (sensitive) # note"),
            ("linode: { token: \"a b\", x: 1 }", "linode: { token: (sensitive), x: 1 }"),
            ("linode: { token: \"${env.T}\" }", "linode: { token: \"${env.T}\" }"),
            ("a: \u{1b}[31mred\ttab", "a: \\u{1b}[31mred    tab"),
        ] {
            assert_eq!(show(line, 0, &[]).text, shown, "{line}");
        }
        let line = show("token: abcdef, plann: x", 10, &[]);
        assert_eq!(line.column(10), 0);
        assert_eq!(line.column(25), line.text.find("plann").expect("is there"));
        assert_eq!(line.column(99), line.text.len());
    }

    #[test]
    fn messages_are_safe_too() {
        assert_eq!(
            message("`http://u:pw@h` and \u{1b}[0m"),
            "`http://u:(sensitive)@h` and \\u{1b}[0m"
        );
    }
}
