//! `validation:` of a variable: what its value may be.
//!
//! Rules are data, like all of a spec: a pattern, a set of values, a range. Tested by the broken specs in
//! `tests/variables.rs`.

use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::{Value as Json, json};

use super::variables::Type;
use crate::diag::{Diagnostic, Span, listed};
use crate::source::Entry;
use crate::tree::Tree;

/// Rules for the key; also part of the schema for editors.
pub(super) static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "type": "object",
        "additionalProperties": false,
        "description": "What its value may be.",
        "properties": {
            "pattern": {
                "type": "string",
                "description": "A regular expression that a text, or each text of a list, must match: `^…$` for all of it."
            },
            "one_of": {
                "type": "array",
                "minItems": 1,
                "items": { "type": ["string", "number"] },
                "description": "The values allowed, of a list for each element."
            },
            "min": {
                "type": "number",
                "description": "The least number; of text the fewest letters, of a list or a map the fewest elements."
            },
            "max": {
                "type": "number",
                "description": "The greatest number; of text the most letters, of a list or a map the most elements."
            },
            "message": { "type": "string", "description": "What people are told where it does not hold." }
        }
    })
});

/// What a value may be.
pub(super) struct Validation {
    pattern: Option<Regex>,
    one_of: Vec<Tree>,
    min: Option<f64>,
    max: Option<f64>,
    message: Option<String>,
}

impl Validation {
    /// The rules as written in `field`; `None` if they make no sense for `kind`, which is then in `mistakes`.
    pub(super) fn read(
        said: &Tree,
        field: &Entry,
        kind: Type,
        name: &str,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let before = mistakes.len();
        let mut bad = |key: &str, text: String, help: String| {
            let inner = field.value.as_map().into_iter().flatten();
            let span = inner.clone().find(|inner| inner.key == key).map(|inner| inner.key_span);
            mistakes.push(
                Diagnostic::error("PGF0116", format!("a bad `validation` of variable `{name}`"))
                    .at(span.unwrap_or(field.key_span), text)
                    .help(help),
            );
        };
        for (key, senseless) in [
            ("pattern", !matches!(kind, Type::Text | Type::List)),
            ("one_of", matches!(kind, Type::Boolean | Type::Map)),
            ("min", kind == Type::Boolean),
            ("max", kind == Type::Boolean),
        ] {
            if senseless && said.get(key).is_some() {
                let text = format!("`{key}` has no meaning for a `{}`", kind.word());
                bad(key, text, "leave it out".to_owned());
            }
        }
        let pattern = match said.get("pattern").and_then(Tree::as_text).map(Regex::new) {
            Some(Ok(regex)) => Some(regex),
            Some(Err(cause)) => {
                let text = format!("no regular expression: {cause}");
                bad("pattern", text, "write one such as `^[a-z]+$`, in single quotes".to_owned());
                None
            }
            None => None,
        };
        let number = |key: &str| match said.get(key) {
            Some(Tree::Number(number)) => number.as_f64(),
            _ => None,
        };
        let (min, max) = (number("min"), number("max"));
        if let (Some(least), Some(most)) = (min, max)
            && least > most
        {
            bad("min", "more than `max`, so nothing is allowed".to_owned(), "swap them".to_owned());
        }
        let one_of = match said.get("one_of") {
            Some(Tree::List(items)) => items.clone(),
            _ => Vec::new(),
        };
        let message = said.get("message").and_then(Tree::as_text).map(str::to_owned);
        (mistakes.len() == before).then_some(Self { pattern, one_of, min, max, message })
    }

    /// What is wrong with `value` of variable `name`, which stands, or is declared, at `at`.
    pub(super) fn broken(&self, value: &Tree, name: &str, at: Span) -> Option<Diagnostic> {
        let (told, rule) = self.rule(value)?;
        let mistake = Diagnostic::error("PGF0135", format!("variable `{name}` cannot {told}"))
            .at(at, rule)
            .maybe_help(self.message.clone());
        Some(mistake)
    }

    /// What the value cannot be, and the first rule that it breaks, in words.
    fn rule(&self, value: &Tree) -> Option<(String, String)> {
        let (size, noun) = match value {
            Tree::Number(number) => (number.as_f64().unwrap_or_default(), ""),
            Tree::Text(text) => (text.chars().count() as f64, "letter"),
            Tree::Secret(secret) => (secret.expose().chars().count() as f64, "letter"),
            Tree::List(items) => (items.len() as f64, "element"),
            Tree::Map(map) => (map.len() as f64, "element"),
            _ => return None,
        };
        let counted = |count: f64| match noun {
            "" => count.to_string(),
            _ if count == 1.0 => format!("{count} {noun}"),
            _ => format!("{count} {noun}s"),
        };
        let told = match value {
            Tree::List(_) | Tree::Map(_) => format!("have {}", counted(size)),
            other => be(other),
        };
        if let Some(min) = self.min.filter(|min| size < *min) {
            return Some((told, format!("at least {}", counted(min))));
        }
        if let Some(max) = self.max.filter(|max| size > *max) {
            return Some((told, format!("at most {}", counted(max))));
        }
        match value {
            Tree::List(items) => items.iter().find_map(|item| {
                let text = item.to_text()?;
                Some((format!("hold `{text}`"), self.of_one(&text)?))
            }),
            one => Some((told, self.of_one(&one.to_text()?)?)),
        }
    }

    fn of_one(&self, text: &str) -> Option<String> {
        let words: Vec<String> = self.one_of.iter().filter_map(Tree::to_text).collect();
        if !words.is_empty() && !words.iter().any(|word| word == text) {
            return Some(format!("not one of {}", listed(&words)));
        }
        let pattern = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text))?;
        Some(format!("must match `{}`", pattern.as_str()))
    }
}

fn be(value: &Tree) -> String {
    match value {
        Tree::Text(text) => format!("be `{text}`"),
        Tree::Number(number) => format!("be `{number}`"),
        _ => "be what was given".to_owned(),
    }
}
