//! Text: what it is after its variables are put in, and whether a secret may be there.

use serde_json::Value as Json;

use super::object::example;
use super::{Checker, Kinds, Place, Shape};
use crate::diag::line::url_passwords;
use crate::diag::{Diagnostic, Span};
use crate::secret::Secret;
use crate::source::{Node, Value};
use crate::template::{Part, Template};
use crate::tree::Tree;

impl<'a> Checker<'a> {
    /// The template of a text that stands at `span`.
    pub(super) fn text(
        &mut self,
        text: &str,
        span: Span,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        if self.password_in(text, span, place) {
            return Template::Value(Tree::Unknown);
        }
        let references = Self::references(place.owner);
        let (each, mistakes) = (self.each.as_ref(), &mut self.mistakes);
        let written = self.scope.interpolate(text, span, references, each, mistakes);
        let Some(written) = written else { return Template::Value(Tree::Unknown) };
        match written.template {
            Template::Reference(reference) => self.reference(reference, shape, place),
            Template::Join(parts) => self.join(parts, span, shape, place),
            Template::Value(tree) => {
                let tree = if written.substituted { typed(tree, shape) } else { tree };
                self.known(tree, written.in_clear, span, shape, place)
            }
            other => other,
        }
    }

    /// A text whose value is known now.
    fn known(
        &mut self,
        tree: Tree,
        in_clear: Option<Span>,
        span: Span,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        match (&tree, shape.secret) {
            (Tree::Unknown | Tree::Null, _) => return Template::Value(tree),
            (Tree::Secret(_), true) => return Template::Value(tree),
            (Tree::Secret(_), false) if place.secrets => return Template::Value(tree),
            (Tree::Secret(_), false) => {
                self.secret_in_plain(span, place);
                return Template::Value(tree);
            }
            (plain, true) => {
                let text = plain.to_text().unwrap_or_default();
                if let Some(clear) = in_clear.filter(|_| !text.is_empty()) {
                    self.in_clear(clear, span, place);
                }
                return Template::Value(Tree::Secret(Secret::new(text)));
            }
            (_, false) => {}
        }
        if shape.only_reference() {
            self.whole_resource_wanted(span, shape, place, "a value, not a resource");
            return Template::Value(tree);
        }
        let kind = kind(&tree);
        if !shape.kinds().has(kind) {
            let node = Node { value: value(&tree), span };
            let help = self.kind_help(&tree, shape, place);
            self.wrong_kind(&node, shape, place, help);
        } else {
            self.constraints(&tree, span, kind, shape, place);
        }
        Template::Value(tree)
    }

    /// Text with references to resources in it.
    fn join(
        &mut self,
        mut parts: Vec<Part>,
        span: Span,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        if shape.only_reference() {
            self.whole_resource_wanted(span, shape, place, "text with a reference in it");
            return Template::Join(parts);
        } else if !shape.kinds().has(Kinds::TEXT) {
            let node = Node { value: Value::Str(String::new()), span };
            self.wrong_kind(&node, shape, place, None);
        }
        let mut secret = parts.iter().any(|part| matches!(part, Part::Secret(_)));
        let accepted = shape.secret || place.secrets;
        for part in &parts {
            if let Part::Reference(reference) = part {
                secret |= self.in_text(reference, accepted, place);
            }
        }
        if secret && !accepted {
            self.secret_in_plain(span, place);
        }
        if shape.secret && !secret {
            parts.push(Part::Secret(Secret::new("")));
        }
        Template::Join(parts)
    }

    /// A secret where the schema knows none.
    pub(super) fn secret_in_plain(&mut self, span: Span, place: &Place<'_, 'a>) {
        let mistake = self.secret_told(span, place);
        self.mistakes.push(mistake);
    }

    /// What is said of a secret where the schema knows none.
    pub(super) fn secret_told(&self, span: Span, place: &Place<'_, 'a>) -> Diagnostic {
        if place.within("command") {
            return Diagnostic::error("PGF0123", format!("a secret in {place}"))
                .at(span, "every user of the machine can read the arguments of a process")
                .help("hand it over by `env:`, and let the program read it there");
        }
        let raw = self.scope.source.slice(span);
        let environment = raw.find("${env.").map(|at| {
            let name = &raw[at + 6..];
            name[..name.find('}').unwrap_or(name.len())].trim().to_owned()
        });
        let help = match environment {
            Some(name) => format!(
                "`{name}` counts as a secret by its name or value; if it is none, hand it over as a variable: `${{var.…}}`"
            ),
            None => {
                "refer to something that is no secret, or use a field that takes one".to_owned()
            }
        };
        Diagnostic::error("PGF0122", format!("a secret in {place}, which is shown and stored"))
            .at(span, "this is secret")
            .help(help)
    }

    /// A password that stands in the file at `clear`, used at `span`.
    pub(super) fn in_clear(&mut self, clear: Span, span: Span, place: &Place<'_, 'a>) {
        self.masked.push(clear);
        let name = place.environment_name();
        let mut mistake = Diagnostic::error("PGF0124", format!("{place} is written in clear"))
            .at(clear, "a secret in a file that is checked in")
            .help(format!("keep it in the environment: `${{env.{name}}}`"));
        if clear != span {
            mistake = mistake.context(span, "used here");
        }
        self.mistakes.push(mistake);
    }

    /// Reports a password in a URL, whatever the field.
    pub(crate) fn password_in(&mut self, text: &str, span: Span, place: &Place<'_, 'a>) -> bool {
        if url_passwords(text).is_empty() {
            return false;
        }
        self.masked.push(span);
        self.mistakes.push(
            Diagnostic::error("PGF0124", format!("a password written in clear in {place}"))
                .at(span, "a URL with a password in it")
                .help(if place.within("command") {
                    "hand it over by `env:`, and let the program read it there: `env: { DATABASE_URL: \"${env.DATABASE_URL}\" }`"
                        .to_owned()
                } else {
                    format!("keep it in the environment: `${{env.{}}}`", place.environment_name())
                }),
        );
        true
    }

    fn kind_help(&self, tree: &Tree, shape: &Shape<'a>, place: &Place<'_, 'a>) -> Option<String> {
        let kinds = shape.kinds();
        match tree {
            Tree::Text(text) if kinds.has(Kinds::BOOLEAN) => match text.as_str() {
                "yes" | "on" | "y" | "Yes" | "On" => Some("write `true`".to_owned()),
                "no" | "off" | "n" | "No" | "Off" => Some("write `false`".to_owned()),
                _ => None,
            },
            Tree::Text(text) if unquoted(text, kinds).is_some() => unquoted(text, kinds),
            Tree::Text(text) if kinds.has(Kinds::LIST) => {
                let bare = |c: char| c.is_ascii_alphanumeric() || "_./:@%+-".contains(c);
                let quote = if text.chars().all(bare) { "" } else { "\"" };
                Some(format!("write `[{quote}{text}{quote}]`"))
            }
            Tree::Text(_) if kinds.has(Kinds::MAP) => {
                let branch = shape.accepting(Kinds::MAP).next()?;
                let required = branch.get("required")?.as_array()?;
                let fields: Vec<String> = required
                    .iter()
                    .filter_map(Json::as_str)
                    .map(|name| format!("{name}: {}", example(branch, name, place.owner.schema)))
                    .collect();
                Some(format!("write `{{ {} }}`", fields.join(", ")))
            }
            _ => None,
        }
    }
}

/// What to write where a number that is wanted stands there as text.
pub(super) fn unquoted(text: &str, kinds: Kinds) -> Option<String> {
    let is_number = kinds.has(Kinds::NUMBER) && text.parse::<f64>().is_ok();
    is_number.then(|| format!("write `{text}` without quotes"))
}

/// What comes from the command line or the environment began as text and is read as what the field takes; a number in
/// a variable may stand where text is wanted.
fn typed(tree: Tree, shape: &Shape<'_>) -> Tree {
    let kinds = shape.kinds();
    let text = match &tree {
        Tree::Text(text) => text,
        Tree::Bool(_) | Tree::Number(_) if kinds == Kinds::TEXT => {
            return Tree::Text(tree.to_text().unwrap_or_default());
        }
        _ => return tree,
    };
    // Where words are taken, or else a number, what is none of the words may be the number.
    let may_be_text = |words: Vec<&Json>| words.iter().any(|word| word.as_str() == Some(text));
    if kinds.has(Kinds::TEXT) && shape.words(Kinds::TEXT).is_none_or(may_be_text) {
        return tree;
    }
    match text.as_str() {
        "true" if kinds.has(Kinds::BOOLEAN) => return Tree::Bool(true),
        "false" if kinds.has(Kinds::BOOLEAN) => return Tree::Bool(false),
        _ => {}
    }
    let number = text.parse::<i64>().ok().map(serde_json::Number::from);
    let number = number.or_else(|| serde_json::Number::from_f64(text.parse().ok()?));
    match number {
        Some(number) if kinds.has(Kinds::NUMBER) => Tree::Number(number),
        _ => tree,
    }
}

fn kind(tree: &Tree) -> Kinds {
    match tree {
        Tree::Bool(_) => Kinds::BOOLEAN,
        Tree::Number(number) if number.is_f64() => Kinds::FRACTION,
        Tree::Number(_) => Kinds::INTEGER,
        _ => Kinds::TEXT,
    }
}

/// A node that is called what `tree` is called.
fn value(tree: &Tree) -> Value {
    match tree {
        Tree::Bool(value) => Value::Bool(*value),
        Tree::Number(_) => Value::Int(0),
        _ => Value::Str(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_began_as_text_is_read_as_what_the_field_takes() {
        let level = json!({ "anyOf": [{ "type": "integer" }, { "enum": ["zlib", "zstd"] }] });
        let number = |value: i64| Tree::Number(value.into());
        for (schema, text, expect) in [
            (json!({ "type": "integer" }), "6", number(6)),
            (json!({ "type": "boolean" }), "true", Tree::Bool(true)),
            (json!({ "type": "string" }), "6", Tree::text("6")),
            (json!({ "type": ["string", "integer"] }), "6", Tree::text("6")),
            (level.clone(), "6", number(6)),
            (level.clone(), "zstd", Tree::text("zstd")),
            (level, "lz4", Tree::text("lz4")),
        ] {
            assert_eq!(typed(Tree::text(text), &Shape::of(&schema, &schema)), expect, "{schema}");
        }
    }
}
