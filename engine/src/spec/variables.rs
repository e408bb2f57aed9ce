//! `variables:` with the values given for them.
//!
//! A declaration holds plain values only. What the command line gives is text and is read by the variable's type; a
//! list or a map as YAML, which JSON is too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Number, Value as Json, json};

use super::blocks::bad_name;
use super::interpolate::References;
use super::read::Inputs;
use super::scope::{Scope, Variable};
use super::validation::{self, Validation};
use crate::check::{Checker, Owner, Place};
use crate::diag::line::url_passwords;
use crate::diag::{Diagnostic, Source, Span, suggestion};
use crate::secret::Secret;
use crate::source::{Entry, Node, Value, yaml};
use crate::template::Template;
use crate::tree::Tree;

/// Rules for one declaration; also part of the schema for editors.
pub(crate) static DECLARATION: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "default": {
                "type": ["string", "number", "boolean", "array", "object", "null"],
                "description": "Its value where none is given. Left out, one must be given."
            },
            "description": { "type": "string", "description": "What it is for." },
            "type": {
                "enum": ["string", "number", "bool", "list", "map"],
                "description": "How a value given on the command line is read, lists and maps as YAML or JSON. Left out: as its default is, or text."
            },
            "sensitive": {
                "type": "boolean",
                "description": "Its value is a secret: shown and stored nowhere."
            },
            "validation": validation::SCHEMA.clone()
        }
    })
});

/// What reading the section brought.
#[derive(Default)]
pub(super) struct Variables {
    pub(super) variables: BTreeMap<String, Variable>,
    pub(super) mistakes: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) masked: Vec<Span>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Number,
    Boolean,
    List,
    Map,
}

impl Type {
    const ALL: [Self; 5] = [Self::Text, Self::Number, Self::Boolean, Self::List, Self::Map];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Number => "number",
            Self::Boolean => "bool",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// Reads the declarations and gives each its value.
pub(super) fn read(entries: &[Entry], source: &Source, inputs: &Inputs) -> Variables {
    let nothing = BTreeMap::new();
    let scope = Scope {
        source,
        types: BTreeMap::new(),
        variables: BTreeMap::new(),
        env: &nothing,
        resources: Default::default(),
        paths: Default::default(),
        read: Default::default(),
        patience: 0.into(),
    };
    let mut checker = Checker::new(&scope);
    let mut variables = BTreeMap::new();
    for entry in entries {
        checker.mistakes.extend(bad_name(entry, "a variable"));
        let variable = declared(&mut checker, entry, inputs.variables.get(&entry.key));
        variables.insert(entry.key.clone(), variable);
    }
    let known = || entries.iter().map(|entry| entry.key.as_str());
    let undeclared = inputs.variables.keys().filter(|name| !variables.contains_key(*name));
    let warnings = undeclared
        .map(|name| {
            let message = format!("a value is given for `{name}`, which is not declared");
            Diagnostic::warning("PGF0130", message).maybe_help(suggestion(
                name,
                known(),
                "the variables are",
            ))
        })
        .collect();
    let Checker { mistakes, masked, .. } = checker;
    Variables { variables, mistakes, warnings, masked }
}

fn declared(checker: &mut Checker<'_>, entry: &Entry, given: Option<&String>) -> Variable {
    let broken = Variable { value: None, default: None };
    let before = checker.mistakes.len();
    let owner = Owner {
        label: format!("variable `{}`", entry.key),
        span: entry.key_span,
        said: "variable declared here",
        references: References::Refused,
        schema: &DECLARATION,
    };
    let place = Place::root(&owner);
    let fields: &[Entry] = match &entry.value.value {
        Value::Map(fields) => fields,
        Value::Null => &[],
        _ => {
            let name = &entry.key;
            let raw = checker.scope.source.slice(entry.value.span);
            let help = match &entry.value.value {
                Value::Seq(_) => format!("write `{name}: {{ default: … }}`"),
                _ => format!("write `{name}: {{ default: {raw} }}`"),
            };
            checker.mistakes.push(
                Diagnostic::error("PGF0116", format!("variable `{name}` is declared by a map"))
                    .at(entry.value.span, format!("this is {}", entry.value.kind()))
                    .help(help),
            );
            return broken;
        }
    };
    let default = fields.iter().find(|field| field.key == "default");
    if let Some(span) = default.and_then(|field| reference_in(&field.value)) {
        checker.mistakes.push(
            Diagnostic::error(
                "PGF0127",
                format!("the default of variable `{}` must be a plain value", entry.key),
            )
            .at(span, "a reference")
            .help("refer to it where the variable is used"),
        );
        return broken;
    }
    let values = checker.object(fields, &DECLARATION, &[], &place);
    if checker.mistakes.len() > before {
        return broken;
    }
    let constant = |name: &str| match values.get(name) {
        Some(Template::Value(tree)) => Some(tree.clone()),
        _ => None,
    };
    let sensitive = constant("sensitive") == Some(Tree::Bool(true));
    let preset = match default.map(|field| &field.value.value) {
        Some(Value::Null) => Some(Tree::Null),
        _ => constant("default"),
    };
    let wanted = constant("type").and_then(|t| t.as_text().and_then(named));
    let kind = wanted.unwrap_or_else(|| preset.as_ref().map_or(Type::Text, natural));
    if sensitive && matches!(kind, Type::List | Type::Map) {
        let message = format!("the sensitive variable `{}` is a `{}`", entry.key, kind.word());
        checker.mistakes.push(
            Diagnostic::error("PGF0116", message)
                .at(entry.key_span, "a secret is a text")
                .help("declare a variable for each secret"),
        );
        return broken;
    }
    if let Some(field) = default {
        if sensitive && preset.as_ref().is_some_and(|tree| *tree != Tree::Null) {
            checker.masked.push(field.value.span);
            let message = format!(
                "the default of the sensitive variable `{}` is written in clear",
                entry.key
            );
            checker.mistakes.push(
                Diagnostic::error("PGF0124", message)
                    .at(field.value.span, "a secret in a file that is checked in")
                    .help(format!("leave it out, and give it by `PGFERRY_VAR_{}`", entry.key)),
            );
            return broken;
        }
        if preset.as_ref().is_some_and(|tree| *tree != Tree::Null && natural(tree) != kind) {
            let message =
                format!("the default of variable `{}` is not a `{}`", entry.key, kind.word());
            let said = format!("this is {}", field.value.kind());
            let natural = preset.as_ref().map_or(Type::Text, natural).word();
            checker.mistakes.push(
                Diagnostic::error("PGF0116", message)
                    .at(field.value.span, said)
                    .help(format!("change the default, or write `type: {natural}`")),
            );
            return broken;
        }
    }
    let rules = fields.iter().find(|field| field.key == "validation");
    let rules = rules.and_then(|field| {
        let said = constant("validation")?;
        Validation::read(&said, field, kind, &entry.key, &mut checker.mistakes)
    });
    let valid = |value: Tree, at: Span, default: Option<Span>, mistakes: &mut Vec<Diagnostic>| {
        let broken_rule = rules.as_ref().filter(|_| value != Tree::Null);
        match broken_rule.and_then(|rules| rules.broken(&value, &entry.key, at)) {
            Some(mistake) => {
                mistakes.push(mistake);
                Variable { value: None, default: None }
            }
            None => Variable { value: Some(value), default },
        }
    };
    match (given, preset) {
        (Some(text), _) => match parse(text, kind) {
            Some(Tree::List(_) | Tree::Map(_)) if !url_passwords(text).is_empty() => {
                let message = format!("a password in the value given for variable `{}`", entry.key);
                checker.mistakes.push(
                    Diagnostic::error("PGF0117", message)
                        .at(entry.key_span, format!("a `{}` is shown and stored", kind.word()))
                        .help("give it by a sensitive variable of its own"),
                );
                broken
            }
            Some(_) if sensitive || !url_passwords(text).is_empty() => {
                let secret = Tree::Secret(Secret::new(text.as_str()));
                valid(secret, entry.key_span, None, &mut checker.mistakes)
            }
            Some(tree) => valid(tree, entry.key_span, None, &mut checker.mistakes),
            None => {
                let message = format!(
                    "the value given for variable `{}` is not a `{}`",
                    entry.key,
                    kind.word()
                );
                let mistake = Diagnostic::error("PGF0117", message)
                    .at(entry.key_span, format!("declared as `{}`", kind.word()));
                checker.mistakes.push(match kind {
                    Type::Boolean => mistake.help("give `true` or `false`"),
                    Type::List => {
                        mistake.help(format!("give a list: `--var '{}=[one, two]'`", entry.key))
                    }
                    Type::Map => mistake
                        .help(format!("give a map: `--var '{}={{one: 1, two: 2}}'`", entry.key)),
                    _ => mistake.help(format!("give a number: `--var {}=1`", entry.key)),
                });
                broken
            }
        },
        (None, Some(tree)) => {
            let span = default.map(|field| field.value.span);
            valid(tree, span.unwrap_or(entry.key_span), span, &mut checker.mistakes)
        }
        (None, None) => {
            let name = &entry.key;
            checker.mistakes.push(
                Diagnostic::error("PGF0115", format!("variable `{name}` has no value"))
                    .at(entry.key_span, "no default, and none is given")
                    .help(format!(
                        "give one: `--var {name}=…`, or `PGFERRY_VAR_{name}` in the environment"
                    )),
            );
            broken
        }
    }
}

fn named(word: &str) -> Option<Type> {
    Type::ALL.into_iter().find(|kind| kind.word() == word)
}

fn natural(tree: &Tree) -> Type {
    match tree {
        Tree::Number(_) => Type::Number,
        Tree::Bool(_) => Type::Boolean,
        Tree::List(_) => Type::List,
        Tree::Map(_) => Type::Map,
        _ => Type::Text,
    }
}

/// The first `${` in a value, however deep.
fn reference_in(node: &Node) -> Option<Span> {
    match &node.value {
        Value::Str(text) => text.contains("${").then_some(node.span),
        Value::Seq(items) => items.iter().find_map(reference_in),
        Value::Map(entries) => entries.iter().find_map(|entry| reference_in(&entry.value)),
        _ => None,
    }
}

fn parse(text: &str, kind: Type) -> Option<Tree> {
    match kind {
        Type::Text => Some(Tree::text(text)),
        Type::Boolean => text.parse().ok().map(Tree::Bool),
        Type::Number => match text.parse::<i64>() {
            Ok(number) => Some(Tree::Number(number.into())),
            Err(_) => Number::from_f64(text.parse().ok()?).map(Tree::Number),
        },
        Type::List | Type::Map => {
            let (node, mistakes) = yaml::parse(&Source::new("variable", text));
            let tree = node.filter(|_| mistakes.is_empty())?.to_tree();
            (natural(&tree) == kind).then_some(tree)
        }
    }
}
