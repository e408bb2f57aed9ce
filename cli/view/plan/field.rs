//! One field of a change: its values before and after, on one line, broken over several, or as a line diff.

use std::borrow::Cow;
use std::fmt::Write;

use pgferry_engine::plan::{FieldChange, OutputChange};
use pgferry_engine::secret::MASK;
use pgferry_engine::tree::{KNOWN_AFTER_APPLY, Tree};
use similar::{ChangeTag, TextDiff};

/// What stands for a secret.
const SENSITIVE: &str = "(sensitive value)";

/// Lines are broken where they can be if they get longer.
const COLUMNS: usize = 80;

/// Unchanged lines shown around a changed one of a text.
const CONTEXT: usize = 3;

/// Values of more lines are not searched for what they share; that can take the square of their number.
const MOST_LINES: usize = 4000;

/// A field or output with both sides.
pub(super) struct Field<'a> {
    name: &'a str,
    before: Option<Cow<'a, Tree>>,
    after: Option<Cow<'a, Tree>>,
    unknown: bool,
    sensitive: bool,
    forces: bool,
}

impl<'a> Field<'a> {
    pub(super) fn of(field: &'a FieldChange) -> Self {
        Self {
            name: &field.name,
            before: field.before.as_ref().map(Cow::Borrowed),
            after: field.after.as_ref().map(Cow::Borrowed),
            unknown: field.unknown,
            sensitive: field.sensitive,
            forces: field.forces,
        }
    }

    pub(super) fn of_output(name: &'a str, change: &'a OutputChange) -> Self {
        Self {
            name,
            before: change.before.as_ref().map(|json| Cow::Owned(Tree::from_stored(json))),
            after: change.after.as_ref().map(|json| Cow::Owned(Tree::from_stored(json))),
            unknown: change.unknown,
            sensitive: change.sensitive,
            forces: false,
        }
    }

    /// The value afterwards on one line.
    fn after(&self) -> String {
        // Of a map with secrets in it the rest can be shown: they are masked where they stand.
        if self.sensitive && !matches!(self.after.as_deref(), Some(Tree::Map(_))) {
            return SENSITIVE.to_owned();
        }
        match (self.unknown, self.after.as_deref()) {
            (true, Some(after)) if identity(after).is_some() => {
                format!("{} {KNOWN_AFTER_APPLY}", value(after))
            }
            (true, None) => KNOWN_AFTER_APPLY.to_owned(),
            (_, Some(after)) => value(after),
            (false, None) => "null".to_owned(),
        }
    }
}

/// All fields of a change, their names in a column.
pub(super) fn fields<'a>(out: &mut String, all: impl Iterator<Item = Field<'a>> + Clone) {
    let width = all.clone().map(|field| field.name.len()).max().unwrap_or(0);
    for field in all {
        one(out, &field, width);
    }
}

fn one(out: &mut String, field: &Field<'_>, width: usize) {
    let (name, before, after) = (field.name, field.before.as_deref(), field.after.as_deref());
    let forces = if field.forces { " # forces replacement" } else { "" };
    let after_text = field.after();
    let hidden = field.sensitive && after_text == SENSITIVE;
    match before {
        None => {
            let head = format!("      + {name:width$} =");
            match after.filter(|after| !hidden && is_broken(after, head.len(), &after_text)) {
                Some(after) => broken(out, &head, after),
                None => {
                    let _ = writeln!(out, "{head} {after_text}");
                }
            }
        }
        Some(before) if !hidden && (is_long(before) || after.is_some_and(is_long)) => {
            let _ = writeln!(out, "      ~ {name:width$} ={forces}");
            diff(out, before, after.unwrap_or(&Tree::Null));
        }
        Some(before) => {
            let before = if field.sensitive { SENSITIVE.to_owned() } else { value(before) };
            let sign = if after.is_none() && !field.unknown { '-' } else { '~' };
            let _ = writeln!(out, "      {sign} {name:width$} = {before} -> {after_text}{forces}");
        }
    }
}

/// The address of a whole resource, for `source = ${source}`.
fn identity(tree: &Tree) -> Option<String> {
    tree.get("$address").and_then(Tree::as_text).map(|address| format!("${{{address}}}"))
}

/// A value on one line, whole resources as references.
fn value(tree: &Tree) -> String {
    let mut out = String::new();
    put_value(&mut out, tree);
    out
}

fn put_value(out: &mut String, tree: &Tree) {
    match tree {
        Tree::Text(text) if text == KNOWN_AFTER_APPLY => out.push_str(text),
        Tree::Text(text) if text == MASK => out.push_str(SENSITIVE),
        Tree::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                put_value(out, item);
            }
            out.push(']');
        }
        Tree::Map(map) => match identity(tree) {
            Some(identity) => out.push_str(&identity),
            None => {
                out.push_str("{ ");
                for (at, (name, item)) in map.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    out.push_str(name);
                    out.push_str(" = ");
                    put_value(out, item);
                }
                out.push_str(" }");
            }
        },
        other => out.push_str(&serde_json::to_string(other).unwrap_or_default()),
    }
}

fn is_text_of_lines(tree: &Tree) -> bool {
    tree.as_text().is_some_and(|text| text.trim_end().contains('\n'))
}

/// Whether a new value is shown over several lines: a text that has them, or what is too long for one, on which it is
/// `line`.
fn is_broken(tree: &Tree, head: usize, line: &str) -> bool {
    let can = match tree {
        Tree::List(items) => !items.is_empty(),
        Tree::Map(map) => !map.is_empty() && identity(tree).is_none(),
        _ => false,
    };
    is_text_of_lines(tree) || (can && head + 1 + line.chars().count() > COLUMNS)
}

fn broken(out: &mut String, head: &str, tree: &Tree) {
    match tree {
        Tree::Map(map) => {
            let _ = writeln!(out, "{head} {{");
            let width = map.keys().map(String::len).max().unwrap_or(0);
            for (key, item) in map {
                let _ = writeln!(out, "          + {key:width$} = {}", value(item));
            }
            out.push_str("        }\n");
        }
        Tree::List(items) => {
            let _ = writeln!(out, "{head} [");
            for item in items {
                let _ = writeln!(out, "          + {},", value(item));
            }
            out.push_str("        ]\n");
        }
        Tree::Text(text) => {
            let _ = writeln!(out, "{head}");
            for line in text.lines() {
                let _ = writeln!(out, "          + {line}");
            }
        }
        other => {
            let _ = writeln!(out, "{head} {}", value(other));
        }
    }
}

fn is_long(tree: &Tree) -> bool {
    match tree {
        Tree::Map(_) => identity(tree).is_none(),
        Tree::List(_) => true,
        _ => tree.as_text().is_some_and(|text| text.contains('\n')),
    }
}

/// A line diff of two values with more than one line. What is the same is counted, not shown, but for a few lines
/// around what differs in a text.
fn diff(out: &mut String, before: &Tree, after: &Tree) {
    let text = before.as_text().or(after.as_text()).is_some();
    let (context, of) = if text { (CONTEXT, "line") } else { (0, "element") };
    let (before, after) = (lines(before), lines(after));
    let mut hidden = before.lines().count();
    let mut show = |sign: char, said: &str| {
        let _ = writeln!(out, "          {}", format!("{sign} {}", said.trim_end()).trim_end());
    };
    if hidden + after.lines().count() > MOST_LINES {
        before.lines().for_each(|said| show('-', said));
        after.lines().for_each(|said| show('+', said));
        return;
    }
    let diff = TextDiff::from_lines(&before, &after);
    for group in diff.grouped_ops(context) {
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            hidden -= usize::from(sign != '+');
            show(sign, change.value());
        }
    }
    if hidden > 0 {
        let plural = if hidden == 1 { "" } else { "s" };
        let _ = writeln!(out, "            # ({hidden} unchanged {of}{plural} hidden)");
    }
}

fn lines(tree: &Tree) -> String {
    match tree {
        Tree::Text(text) => format!("{text}\n"),
        Tree::Map(map) => map.iter().map(|(k, v)| format!("{k} = {}\n", value(v))).collect(),
        Tree::List(items) => items.iter().map(|v| format!("{}\n", value(v))).collect(),
        other => format!("{}\n", value(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn check(before: Option<Json>, after: Option<Json>, want: &str) {
        let (name, unknown, sensitive, forces) = ("f".to_owned(), false, false, false);
        let (before, after) = (before.map(Tree::from), after.map(Tree::from));
        let field = FieldChange { name, before, after, unknown, sensitive, forces };
        let mut out = String::new();
        fields(&mut out, std::slice::from_ref(&field).iter().map(Field::of));
        assert_eq!(out, want);
    }

    #[test]
    fn values_on_one_line_and_on_many() {
        check(None, Some(json!("a")), "      + f = \"a\"\n");
        check(Some(json!("a")), Some(json!("b")), "      ~ f = \"a\" -> \"b\"\n");
        check(Some(json!("a")), None, "      - f = \"a\" -> null\n");
        check(None, Some(json!({"k": [1, 2]})), "      + f = { k = [1, 2] }\n");
        let long = "x".repeat(60);
        check(
            None,
            Some(json!({"key": long, "k": 1})),
            &format!(
                "      + f = {{\n          + key = \"{long}\"\n          + k   = 1\n        }}\n"
            ),
        );
        check(None, Some(json!("one\ntwo")), "      + f =\n          + one\n          + two\n");
    }

    #[test]
    fn differences_hide_what_is_the_same() {
        check(
            Some(json!({"a": 1, "b": 2, "c": 3})),
            Some(json!({"a": 1, "b": 4, "c": 3})),
            "      ~ f =\n          - b = 2\n          + b = 4\n            # (2 unchanged elements hidden)\n",
        );
        let text = |middle: &str| {
            let mut lines: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
            lines[4] = middle.to_owned();
            Some(json!(lines.join("\n")))
        };
        check(
            text("five"),
            text("5"),
            "      ~ f =\n            2\n            3\n            4\n          - five\n          + 5\n            6\n            7\n            8\n            # (2 unchanged lines hidden)\n",
        );
    }
}
