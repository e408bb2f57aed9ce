//! Where two texts differ, in a few words.
//!
//! Values in options of foreign servers and the like may be passwords, and are not shown. Pure. Tested beside it.

use std::borrow::Cow;

use similar::{DiffOp, TextDiff};

use super::scan::{Kind, tokens};

/// Changed lines of one object that are told.
const MOST: usize = 12;
/// Of a line.
const LONGEST: usize = 160;
/// Classes with options.
const SECRETIVE: [&str; 4] = ["FOREIGN DATA WRAPPER", "SERVER", "FOREIGN TABLE", "USER MAPPING"];

/// What is different about an object of `class`, one text for each line that is, or that stands for several.
pub(super) fn differing(class: &str, expected: &str, actual: &str) -> Vec<String> {
    let (expected, actual) = (on_one_line(class, expected), on_one_line(class, actual));
    let (ours, theirs) = (lines(&expected), lines(&actual));
    let diff = TextDiff::from_slices(&ours, &theirs);
    let line = |text: &str| shown(class, text);
    let mut told = Vec::new();
    for op in diff.ops() {
        if let DiffOp::Equal { .. } = op {
            continue;
        }
        let one = ours.get(op.old_range()).unwrap_or_default();
        let mut other: Vec<Option<&str>> =
            theirs.get(op.new_range()).unwrap_or_default().iter().copied().map(Some).collect();
        let paired = one.len() == other.len();
        for (at, text) in one.iter().enumerate() {
            let opposite = paired
                && other
                    .get(at)
                    .is_some_and(|other| other.is_some_and(|other| about(text) == about(other)));
            let of = if opposite { Some(at) } else { most_alike(text, &other) };
            let with = of.and_then(|at| other.get_mut(at)).and_then(Option::take);
            told.push(match with {
                Some(with) if line(text) == line(with) => {
                    format!("a value in `{}` is another", line(text))
                }
                Some(with) => format!("`{}` expected, `{}` found", line(text), line(with)),
                None => format!("`{}` expected, missing", line(text)),
            });
        }
        let more = other.into_iter().flatten();
        told.extend(more.map(|text| format!("`{}` not expected", line(text))));
    }
    if told.is_empty() {
        told.push("its text is another".to_owned());
    }
    let more = told.len().saturating_sub(MOST);
    if more > 0 {
        told.truncate(MOST);
        told.push(format!("and {more} more lines"));
    }
    told
}

/// Each name and value of options on one line: the rest of a value would stand on a line of its own, as if it were none.
fn on_one_line<'a>(class: &str, text: &'a str) -> Cow<'a, str> {
    if !SECRETIVE.contains(&class) {
        return Cow::Borrowed(text);
    }
    let whole = tokens(text).into_iter().map(|token| match token.kind {
        Kind::Space => Cow::Borrowed(token.text),
        _ => Cow::Owned(token.text.replace(|c: char| c.is_control(), "\u{2424}")),
    });
    Cow::Owned(whole.collect())
}

/// Without what separates them, and without those that are nothing else.
fn lines(text: &str) -> Vec<&str> {
    let bare = |line: &'_ str| line.trim().trim_end_matches([',', ';']).len();
    let lines = text.lines().map(str::trim);
    lines.map(|line| &line[..bare(line)]).filter(|line| !matches!(*line, "" | "(" | ")")).collect()
}

/// The line that seems to be about the same, if one does.
fn most_alike(one: &str, others: &[Option<&str>]) -> Option<usize> {
    let same = |other: &str| one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let length = |other: &str| one.chars().count().min(other.chars().count());
    let alike = others.iter().enumerate().filter_map(|(at, other)| Some((at, (*other)?)));
    alike
        .filter(|(_, other)| about(one) == about(other) && same(other) * 2 >= length(other))
        .max_by_key(|(at, other)| (same(other), std::cmp::Reverse(*at)))
        .map(|(at, _)| at)
}

/// What an `ALTER TABLE` sets, of which column; of other lines nothing.
fn about(line: &str) -> Vec<&str> {
    let mut words = line.split_whitespace();
    if words.next() != Some("ALTER") || !line.contains(" TABLE ") {
        return Vec::new();
    }
    let action = words.skip_while(|word| matches!(*word, "FOREIGN" | "TABLE" | "ONLY")).skip(1);
    let action: Vec<&str> = action.collect();
    let length = if action.starts_with(&["ALTER", "COLUMN"]) { 5 } else { 2 };
    let words = action.into_iter().take(length);
    words.map(|word| if word.starts_with('(') { "(" } else { word }).collect()
}

fn shown(class: &str, line: &str) -> String {
    let line = match SECRETIVE.contains(&class) {
        true => without_values(line),
        false => line.to_owned(),
    };
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches([',', ';']);
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

fn without_values(line: &str) -> String {
    let parts = tokens(line).into_iter();
    parts.map(|part| if part.kind == Kind::Text { "'…'" } else { part.text }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_are_told_in_pairs() {
        for (class, one, other, expect) in [
            (
                "TABLE",
                "CREATE TABLE t (\n    a int NOT NULL,\n    b int\n);\n",
                "CREATE TABLE t (\n    a int,\n    b int\n);\n",
                &["`a int NOT NULL` expected, `a int` found"][..],
            ),
            (
                "TABLE",
                "CREATE TABLE t (\n    a int,\n    b int\n);\n",
                "CREATE TABLE t (\n    a int\n);\n",
                &["`b int` expected, missing"],
            ),
            (
                "SERVER",
                "CREATE SERVER s OPTIONS (\n    password 'a'\n);\n",
                "CREATE SERVER s OPTIONS (\n    password 'b'\n);\n",
                &["a value in `password '…'` is another"],
            ),
            (
                "TABLE",
                "ALTER TABLE ONLY k.t ALTER COLUMN b SET (n_distinct=5);\n",
                "ALTER TABLE ONLY k.t REPLICA IDENTITY FULL;\n",
                &[
                    "`ALTER TABLE ONLY k.t ALTER COLUMN b SET (n_distinct=5)` expected, missing",
                    "`ALTER TABLE ONLY k.t REPLICA IDENTITY FULL` not expected",
                ],
            ),
            (
                "TABLE",
                "ALTER TABLE ONLY k.t ALTER COLUMN b SET (n_distinct=5);\n",
                "ALTER TABLE ONLY k.t ALTER COLUMN b SET (n_distinct=6);\n",
                &["`ALTER TABLE ONLY k.t ALTER COLUMN b SET (n_distinct=5)` expected, \
                   `ALTER TABLE ONLY k.t ALTER COLUMN b SET (n_distinct=6)` found"],
            ),
        ] {
            assert_eq!(differing(class, one, other), expect);
        }
    }

    #[test]
    fn no_part_of_a_value_is_shown() {
        let of = |options: &str| {
            format!("CREATE USER MAPPING FOR u SERVER s OPTIONS (\n    {options}\n);\n")
        };
        for (one, other) in [
            ("password 'abc\nsecretline2'", "password 'abc\nsecretline3'"),
            ("password 'abc\n\nsecretline2'", "password 'other'"),
            ("password 'a''b\nsecret''2'", "password 'a''b\nsecret''3'"),
            ("password E'a\\\\\nsecret''2'", "password E'a\\\\\nsecret''3'"),
            ("password E'\\\\''\rsecret'", "password E'\\\\''\rsecret2'"),
            ("\"a\n'\" 'secret'", "\"a\n'\" 'secret2'"),
            ("\"it's\" 'secret'", "\"it's\" 'secret2'"),
            ("a '1',\n    password 'x\nsecret'", "password 'x\nsecret'"),
        ] {
            let said = differing("USER MAPPING", &of(one), &of(other)).join("\n");
            assert!(!said.contains("secret") && !said.contains("abc"), "{said}");
            assert!(said.contains("'…'"), "{said}");
        }
    }
}
