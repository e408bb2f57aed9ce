//! Rules beyond the kind: words, patterns, ranges, counts.

use regex_lite::Regex;
use serde_json::Value as Json;

use super::text::unquoted;
use super::{Checker, Kinds, Place, Shape};
use crate::diag::{Diagnostic, Span, listed, suggestion};
use crate::tree::Tree;

/// Characters of a value that a message quotes.
const QUOTED: usize = 60;

impl<'a> Checker<'a> {
    /// Checks a known value of kind `kind` against the alternatives that take it; one of them must hold.
    pub(super) fn constraints(
        &mut self,
        tree: &Tree,
        span: Span,
        kind: Kinds,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) {
        let told = || match tree {
            Tree::Secret(_) => None,
            other => other.to_text(),
        };
        if let Some(words) = shape.words(kind)
            && let Some(told) = &told()
        {
            let words: Vec<String> = words.into_iter().map(shown).collect();
            if !words.contains(told) {
                let known = words.iter().map(String::as_str);
                let meant = crate::diag::did_you_mean(told, known.clone());
                let meant = meant.and_then(|_| suggestion(told, known, ""));
                let message = format!("{place} cannot be `{}`", cut(told));
                let text = format!("not one of {}", listed(&words));
                self.mistakes.push(
                    Diagnostic::error("PGF0107", message)
                        .at(span, text)
                        .maybe_help(meant.or_else(|| unquoted(told, shape.kinds()))),
                );
            }
            return;
        }
        let mut first = None;
        for branch in shape.accepting(kind) {
            match self.broken(branch, tree, &told, span, place) {
                None => return,
                Some(mistake) => first = first.or(Some(mistake)),
            }
        }
        self.mistakes.extend(first);
    }

    /// The first rule of `schema` that the value breaks.
    fn broken(
        &mut self,
        schema: &'a Json,
        tree: &Tree,
        told: &dyn Fn() -> Option<String>,
        span: Span,
        place: &Place<'_, 'a>,
    ) -> Option<Diagnostic> {
        let mistake = |code, text: String| {
            let said = match told().as_deref() {
                None => "this value".to_owned(),
                Some("") => "empty".to_owned(),
                Some(told) => format!("`{}`", cut(told)),
            };
            Some(Diagnostic::error(code, format!("{place} cannot be {said}")).at(span, text))
        };
        if let Tree::Number(number) = tree {
            let value = number.as_f64().unwrap_or_default();
            let limit = |name: &str| schema.get(name).and_then(Json::as_f64);
            return match () {
                () if limit("minimum").is_some_and(|least| value < least) => {
                    mistake("PGF0109", format!("at least {}", shown(&schema["minimum"])))
                }
                () if limit("maximum").is_some_and(|most| value > most) => {
                    mistake("PGF0109", format!("at most {}", shown(&schema["maximum"])))
                }
                () => None,
            };
        }
        let text = match tree {
            Tree::Text(text) => text.as_str(),
            Tree::Secret(secret) => secret.expose(),
            _ => return None,
        };
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str) {
            let holds = self
                .patterns
                .entry(pattern)
                .or_insert_with(|| Regex::new(pattern).ok())
                .as_ref()
                .is_none_or(|regex| regex.is_match(text));
            if !holds {
                let help = schema.get("x-pattern-help").and_then(Json::as_str);
                let rule = help.map_or(format!("must match `{pattern}`"), str::to_owned);
                return mistake("PGF0108", rule);
            }
        }
        let letters = text.chars().count();
        range(letters, "character", ("minLength", "maxLength"), schema)
            .and_then(|rule| mistake("PGF0109", rule))
    }

    /// Checks how many elements there are.
    pub(super) fn count(
        &mut self,
        count: usize,
        noun: &str,
        limits: (&str, &str),
        schema: &Json,
        span: Span,
        place: &Place<'_, 'a>,
    ) {
        if let Some(rule) = range(count, noun, limits, schema) {
            let end = span.end.min(self.scope.source.line_at(span.start).end);
            self.mistakes.push(
                Diagnostic::error(
                    "PGF0109",
                    format!("{place} cannot have {}", counted(count as u64, noun)),
                )
                .at(Span { start: span.start, end }, rule),
            );
        }
    }
}

fn range(count: usize, noun: &str, (least, most): (&str, &str), schema: &Json) -> Option<String> {
    let limit = |name: &str| schema.get(name).and_then(Json::as_u64);
    let count = count as u64;
    if let Some(least) = limit(least).filter(|least| count < *least) {
        return Some(format!("at least {}", counted(least, noun)));
    }
    limit(most).filter(|most| count > *most).map(|most| format!("at most {}", counted(most, noun)))
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
