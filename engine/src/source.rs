//! The text of a spec and the tree of nodes in it, each with its byte range.
//!
//! Knows nothing of resources or types; which YAML crate fills the tree is known to [`yaml`] alone. Tested beside
//! the reader.

use std::sync::{Arc, OnceLock};

use serde_json::Number;

use crate::diag::{Diagnostic, Span};
use crate::tree::Tree;

mod scalar;
pub mod yaml;

/// A file with a name for messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Source {
    /// As people typed it: `pgferry.yaml`.
    pub name: String,
    pub text: Arc<String>,
    /// Where each line begins; found when the first diagnostic asks.
    lines: Arc<OnceLock<Vec<usize>>>,
}

/// A place in a text; `line` and `column` count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
    /// From the start of the file, from 0.
    pub byte: usize,
}

/// A value in the file and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

/// What YAML 1.2's core schema makes of a node. Quoted scalars are always text; `yes`, `no`, `on` and `off` too.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Seq(Vec<Node>),
    /// In the order written, without duplicates.
    Map(Vec<Entry>),
}

/// `key: value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text, whatever a scalar it is.
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// The entries, if it is a map.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value, its places left out. Text stays as it is written, `${…}` and all.
    pub fn to_tree(&self) -> Tree {
        match &self.value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(*value),
            Value::Int(value) => Tree::Number((*value).into()),
            Value::Float(value) => Number::from_f64(*value).map_or(Tree::Null, Tree::Number),
            Value::Str(text) => Tree::text(text),
            Value::Seq(items) => Tree::List(items.iter().map(Self::to_tree).collect()),
            Value::Map(entries) => {
                let entry = |entry: &Entry| (entry.key.clone(), entry.value.to_tree());
                Tree::Map(entries.iter().map(entry).collect())
            }
        }
    }

    /// A plain value as if it stood at `span`, all of it: what is text there is text here.
    pub fn of_tree(tree: &Tree, span: Span) -> Self {
        let value = match tree {
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(number) => match number.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(number.as_f64().unwrap_or_default()),
            },
            Tree::Text(text) => Value::Str(text.replace("${", "$${")),
            Tree::List(items) => {
                Value::Seq(items.iter().map(|item| Self::of_tree(item, span)).collect())
            }
            Tree::Map(map) => {
                let entry = |(key, value): (&String, &Tree)| Entry {
                    key: key.clone(),
                    key_span: span,
                    value: Self::of_tree(value, span),
                };
                Value::Map(map.iter().map(entry).collect())
            }
            Tree::Null | Tree::Secret(_) | Tree::Unknown | Tree::Resource(_) => Value::Null,
        };
        Self { value, span }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// What people call this kind of value, with its article.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Str(_) => "text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

impl Source {
    /// A text already in memory.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: Arc::new(text.into()), lines: Arc::default() }
    }

    /// A file's content.
    ///
    /// # Errors
    /// A `PGF0009` at the first bytes that are not UTF-8, with a text to quote in which these are `\u{fffd}`.
    pub fn from_bytes(
        name: impl Into<String>,
        bytes: Vec<u8>,
    ) -> Result<Self, Box<(Self, Diagnostic)>> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(fault) => {
                let start = fault.utf8_error().valid_up_to();
                let end = start + char::REPLACEMENT_CHARACTER.len_utf8();
                let mistake = Diagnostic::error("PGF0009", "the spec is not UTF-8")
                    .at(Span { start, end }, "not a character of UTF-8")
                    .help("save the file as UTF-8");
                let legible = String::from_utf8_lossy(fault.as_bytes()).into_owned();
                Err(Box::new((Self::new(name, legible), mistake)))
            }
        }
    }

    /// Where byte `byte` stands; past the end means the end.
    pub fn position(&self, byte: usize) -> Position {
        let byte = self.floor(byte);
        let line = self.lines().partition_point(|start| *start <= byte);
        let start = self.lines()[line - 1];
        Position { line, column: 1 + self.text[start..byte].chars().count(), byte }
    }

    /// The byte range of the line that holds byte `byte`, without its line break.
    pub fn line_at(&self, byte: usize) -> Span {
        let byte = self.floor(byte);
        let number = self.lines().partition_point(|start| *start <= byte);
        let start = self.lines()[number - 1];
        let end = self.lines().get(number).map_or(self.text.len(), |next| next - 1);
        let line = &self.text[start..end];
        Span { start, end: start + line.trim_end_matches('\r').len() }
    }

    /// The text of `span`; empty if that is no range of this text.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Never empty: the first line begins at 0.
    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let breaks = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect()
        })
    }

    fn floor(&self, byte: usize) -> usize {
        let mut byte = byte.min(self.text.len());
        while !self.text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_bytes() {
        let source = Source::new("spec.yaml", "a: é\r\nbc: d");
        assert_eq!(source.position(0), Position { line: 1, column: 1, byte: 0 });
        assert_eq!(source.position(5), Position { line: 1, column: 5, byte: 5 });
        assert_eq!(source.position(4), Position { line: 1, column: 4, byte: 3 });
        assert_eq!(source.position(99), Position { line: 2, column: 6, byte: 12 });
        assert_eq!(source.slice(source.line_at(3)), "a: é");
        assert_eq!(source.slice(source.line_at(8)), "bc: d");
    }

    #[test]
    fn text_must_be_utf8() {
        let refused = Source::from_bytes("s.yaml", b"a: b\nc: \xff".to_vec());
        let (source, mistake) = *refused.expect_err("refused");
        assert_eq!(
            mistake.render(&source),
            "error[PGF0009]: the spec is not UTF-8\n --> s.yaml:2:4\n2 | c: \u{fffd}\n  |    ^ not a character of UTF-8\n\
             help: save the file as UTF-8\n"
        );
    }
}
