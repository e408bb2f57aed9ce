//! `for_each`: one block that stands for many resources, each with a key.
//!
//! Read before all else, because references say which one they mean: from literals, variables and the environment
//! alone. The blocks themselves are read once for each key, by [`super::blocks`]. Tested in `tests/for_each.rs`.

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};
use serde_json::{Value as Json, json};

use super::interpolate::References;
use super::scope::Scope;
use crate::address::Address;
use crate::check::{Checker, Owner, Place};
use crate::diag::{Diagnostic, Span, suggestion};
use crate::expr::{self, Expression, Key, Piece};
use crate::source::{Entry, Node, Value};
use crate::template::{Step, Template};
use crate::tree::Tree;

/// What a spec may grow to by `for_each`: keys and values of all instances together.
const LARGEST: usize = 4_000_000;

static ANYTHING: Json = Json::Bool(true);

/// What `${each.…}` stands for in one instance.
#[derive(Clone, Debug)]
pub(crate) struct Each {
    /// `None`: not known, because the `for_each` is empty or broken; its block is checked as far as that goes.
    pub(crate) key: Option<String>,
    pub(crate) key_span: Span,
    value: Tree,
    node: Node,
}

/// The instances of one block.
pub(crate) struct Instances {
    /// With the address of each, which all that refer to it share.
    pub(crate) keys: IndexMap<String, Address, FxBuildHasher>,
    /// False if there is a mistake in the `for_each`, so that no key can be called wrong.
    pub(crate) sound: bool,
}

/// All that `for_each` says in a spec.
#[derive(Default)]
pub(super) struct Read {
    pub(super) each: FxHashMap<String, Vec<Each>>,
    pub(super) instances: FxHashMap<String, Instances>,
    pub(super) mistakes: Vec<Diagnostic>,
    pub(super) masked: Vec<Span>,
}

/// The schema of the key, for editors.
pub(crate) fn schema() -> Json {
    json!({
        "anyOf": [
            {
                "type": ["array", "object"],
                "items": { "type": ["string", "number"] },
                "uniqueItems": true
            },
            { "type": "string", "pattern": r"^\$\{ *var\." }
        ],
        "description": "Makes one of these for each element of a list or each entry of a map, which a variable may be: `${each.key}`, `${each.value}`. Elsewhere: `${name[\"key\"].attribute}`."
    })
}

/// Reads every `for_each`. `scope` holds variables, environment and types; no resources yet.
pub(super) fn read(scope: &Scope<'_>, resources: &[Entry]) -> Read {
    let mut checker = Checker::new(scope);
    let mut read = Read::default();
    let mut size = 0;
    for entry in resources {
        let Some(fields) = entry.value.as_map() else { continue };
        let Some(field) = fields.iter().find(|field| field.key == "for_each") else { continue };
        let typed = super::blocks::type_entry(entry).and_then(|field| field.value.as_str());
        let info = typed.and_then(|name| scope.types.get(name));
        if info.is_some_and(|info| info.field("for_each").is_some()) {
            continue;
        }
        let before = checker.mistakes.len();
        let found = instances(&mut checker, entry, field);
        let known = found.is_some();
        let mut each = found.unwrap_or_default();
        let fields = fields.iter().filter(|field| field.key != "for_each");
        size += each.len() * fields.map(|field| 1 + nodes(&field.value)).sum::<usize>();
        if size > LARGEST {
            let message = format!("`for_each` of `{}` makes the spec too large", entry.key);
            checker.mistakes.push(
                Diagnostic::error("PGF0133", message)
                    .at(field.key_span, format!("more than {LARGEST} keys and values in all"))
                    .help("split the migration into several specs"),
            );
        }
        let sound = known && checker.mistakes.len() == before;
        if !sound {
            each.clear();
        }
        let keys = each.iter().filter_map(|each| each.key.as_ref());
        let keys = keys.map(|key| (key.clone(), address(&entry.key, key))).collect();
        read.instances.insert(entry.key.clone(), Instances { keys, sound });
        read.each.insert(entry.key.clone(), each);
    }
    (read.mistakes, read.masked) = (checker.mistakes, checker.masked);
    read
}

/// Keys and values in `node`, itself included.
fn nodes(node: &Node) -> usize {
    match &node.value {
        Value::Seq(items) => 1 + items.iter().map(nodes).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries.iter().map(|entry| 1 + nodes(&entry.value)).sum::<usize>()
        }
        _ => 1,
    }
}

/// The instances; `None` if a variable without a value, which is reported, stands for them.
fn instances(checker: &mut Checker<'_>, entry: &Entry, field: &Entry) -> Option<Vec<Each>> {
    let name = &entry.key;
    let owner = Owner {
        label: format!("`{name}`"),
        span: entry.key_span,
        said: Owner::RESOURCE,
        references: References::Refused,
        schema: &ANYTHING,
    };
    let root = Place::root(&owner);
    let place = root.field("for_each", field.key_span);
    let place = place.secretly(true);
    let mut found: IndexMap<String, Each> = IndexMap::new();
    let mut value = field.value.clone();
    if let Some(text) = field.value.as_str() {
        match checker.scope.structured(text, field.value.span) {
            Some(node) => value = node,
            None => match tree(checker, &field.value, &place) {
                Tree::Unknown => return None,
                tree => value = Node::of_tree(&tree, field.value.span),
            },
        }
    }
    match &value.value {
        Value::Seq(items) => {
            for (index, node) in items.iter().enumerate() {
                let value = tree(checker, node, &place.element(index, node.span));
                let mistake = match &value {
                    Tree::Unknown => continue,
                    Tree::Text(_) | Tree::Number(_) => None,
                    Tree::Secret(_) => Some("a secret, and keys are shown"),
                    _ => Some(node.kind()),
                };
                if let Some(what) = mistake {
                    let message = format!("`for_each` of `{name}` lists text and numbers");
                    checker.mistakes.push(
                        Diagnostic::error("PGF0133", message)
                            .at(node.span, format!("this is {what}"))
                            .help("write a map, whose keys name the instances: `{ name: … }`"),
                    );
                    continue;
                }
                let key = value.to_text().unwrap_or_default();
                if let Some(first) = found.get(&key) {
                    checker.mistakes.push(
                        Diagnostic::error(
                            "PGF0133",
                            format!("`for_each` of `{name}` lists `{key}` twice"),
                        )
                        .at(node.span, "a second time")
                        .context(first.key_span, "listed here already")
                        .help("take one of them away"),
                    );
                    continue;
                }
                checker.mistakes.extend(bad_key(name, &key, node.span));
                let each =
                    Each { key: Some(key.clone()), key_span: node.span, value, node: node.clone() };
                found.insert(key, each);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                checker.mistakes.extend(bad_key(name, &entry.key, entry.key_span));
                let each = Each {
                    key: Some(entry.key.clone()),
                    key_span: entry.key_span,
                    value: tree(checker, &entry.value, &place.field(&entry.key, entry.key_span)),
                    node: entry.value.clone(),
                };
                found.insert(entry.key.clone(), each);
            }
        }
        _ => {
            let kind = value.kind();
            let message = format!("`for_each` of `{name}` wants a list or a map, not {kind}");
            checker.mistakes.push(
                Diagnostic::error("PGF0133", message)
                    .at(field.key_span, format!("its value is {kind}"))
                    .help("write `for_each: [one, two]`, or a map whose keys name the instances"),
            );
        }
    }
    Some(found.into_values().collect())
}

/// A value as written, variables put in.
fn tree<'a>(checker: &mut Checker<'a>, node: &Node, place: &Place<'_, 'a>) -> Tree {
    match checker.value(node, &ANYTHING, place) {
        Template::Value(tree) => tree,
        _ => Tree::Unknown,
    }
}

fn bad_key(name: &str, key: &str, span: Span) -> Option<Diagnostic> {
    let fault = if key.is_empty() {
        "it is empty"
    } else if key.contains(|c: char| matches!(c, '"' | '\\' | '{' | '}') || c.is_control()) {
        "it has a quote, a brace, a backslash or a control character in it"
    } else {
        return None;
    };
    Some(
        Diagnostic::error(
            "PGF0133",
            format!("a key in `for_each` of `{name}` cannot name a resource"),
        )
        .at(span, fault)
        .help("choose another key, and put this text into the value"),
    )
}

/// The address of the instance of `name` with this key.
pub(crate) fn address(name: &str, key: &str) -> Address {
    Address::new(format!("{name}[\"{key}\"]"))
}

/// `name`, `name["key"]` or `name[each.key]`, as `depends_on` and `renamed_from` have it.
pub(super) fn named(text: &str) -> Option<Expression> {
    let (pieces, faults) = expr::parse(&format!("${{{text}}}"));
    match pieces.as_slice() {
        [Piece::Expression(found)] if faults.is_empty() && found.path.is_empty() => {
            Some(found.clone())
        }
        _ => None,
    }
}

/// The text of a key; `None` if it is not known.
///
/// # Errors
/// `each` has no such value, or there is no `for_each` here.
pub(crate) fn key_text(
    key: &Key,
    each: Option<&Each>,
    span: Span,
) -> Result<Option<String>, Box<Diagnostic>> {
    let path = match key {
        Key::Text(text) => return Ok(Some(text.clone())),
        Key::Each(path) => path,
    };
    match follow(path, each, span)?.0 {
        Tree::Unknown => Ok(None),
        tree @ (Tree::Text(_) | Tree::Number(_)) => Ok(tree.to_text()),
        _ => Err(Box::new(
            Diagnostic::error("PGF0111", "a malformed reference")
                .at(span, "a key is text or a number")
                .help("write `[each.key]`"),
        )),
    }
}

/// What `${each…}` with this path is, and the node that it was written as, where nothing was put in.
///
/// # Errors
/// `each` has no such value, or there is no `for_each` here.
pub(crate) fn follow(
    path: &[Step],
    each: Option<&Each>,
    span: Span,
) -> Result<(Tree, Option<Node>), Box<Diagnostic>> {
    let Some(each) = each else {
        return Err(Box::new(
            Diagnostic::error("PGF0134", "`each` has a meaning only in a block with `for_each`")
                .at(span, "there is no `for_each` here")
                .help("add `for_each:` to the block, or write the value itself"),
        ));
    };
    let rest = match path.split_first() {
        Some((Step::Member(name), [])) if name == "key" => {
            let text = each.key.clone();
            let node = text.clone().map(|key| Node { value: Value::Str(key), span: each.key_span });
            return Ok((text.map_or(Tree::Unknown, Tree::Text), node));
        }
        Some((Step::Member(name), rest)) if name == "value" => rest,
        _ => {
            return Err(Box::new(
                Diagnostic::error("PGF0111", "a malformed reference")
                    .at(span, "`each` has `key` and `value`")
                    .help("write `${each.key}` or `${each.value}`"),
            ));
        }
    };
    let Some(key) = &each.key else { return Ok((Tree::Unknown, None)) };
    let (mut tree, mut node) = (&each.value, Some(&each.node));
    let mut told = "each.value".to_owned();
    for step in rest {
        let (next, what) = match (step, tree) {
            (Step::Member(name), Tree::Map(map)) => (map.get(name), format!("member `{name}`")),
            (Step::Index(index), Tree::List(items)) => {
                (items.get(*index), format!("element {index}"))
            }
            (Step::Member(_), _) => (None, "members".to_owned()),
            (Step::Index(_), _) => (None, "elements".to_owned()),
        };
        let Some(next) = next else {
            let help = match (step, tree) {
                (Step::Member(name), Tree::Map(map)) => {
                    let known: Vec<&str> = map.keys().map(String::as_str).collect();
                    suggestion(name, known, "the members are")
                }
                _ => None,
            };
            return Err(Box::new(
                Diagnostic::error("PGF0113", format!("`{told}` has no {what} for the key `{key}`"))
                    .at(span, "not in `for_each`")
                    .maybe_help(help),
            ));
        };
        node = node.and_then(|node| match (step, &node.value) {
            (Step::Member(name), Value::Map(entries)) => {
                entries.iter().find(|entry| entry.key == *name).map(|entry| &entry.value)
            }
            (Step::Index(index), Value::Seq(items)) => items.get(*index),
            _ => None,
        });
        tree = next;
        match step {
            Step::Member(name) => told.push_str(&format!(".{name}")),
            Step::Index(index) => told.push_str(&format!("[{index}]")),
        }
    }
    Ok((tree.clone(), node.cloned()))
}

impl Each {
    /// For a block of which no instance is known.
    pub(super) fn unknown() -> Self {
        let node = Node { value: Value::Null, span: Span::default() };
        Self { key: None, key_span: Span::default(), value: Tree::Unknown, node }
    }

    /// The list or map that `text` stands for, if it is nothing but `${each.value…}`.
    pub(crate) fn written(&self, text: &str) -> Option<Node> {
        if !expr::begins_with(text, "each") || !text.contains("each.value") {
            return None;
        }
        let (pieces, faults) = expr::parse(text);
        let [Piece::Expression(found)] = pieces.as_slice() else { return None };
        if found.root != "each" || found.key.is_some() || !faults.is_empty() {
            return None;
        }
        let (_, node) = follow(&found.path, Some(self), Span::default()).ok()?;
        node.filter(|node| matches!(node.value, Value::Seq(_) | Value::Map(_)))
    }
}
