//! Checks what people wrote against the JSON Schema of what a type takes, and turns it into a template.
//!
//! One walk does both, because a value is checked after its variables are put in and a reference by what it leads to.
//! Every mistake is kept and the walk goes on. Knows schemas and names ([`crate::spec`]'s scope), no resource type by
//! name. Tested by the broken specs beside the reader.

use std::collections::HashMap;

use regex_lite::Regex;
use serde_json::Value as Json;

use crate::address::Address;
use crate::diag::{Diagnostic, Span};
use crate::source::{Node, Value};
use crate::spec::for_each::Each;
use crate::spec::interpolate::References;
use crate::spec::scope::Scope;
use crate::template::{Template, Templates};
use crate::tree::Tree;

mod object;
mod place;
mod refer;
mod rules;
pub(crate) mod shape;
mod text;

pub(crate) use place::{Owner, Place};
use shape::{Kinds, Shape, flag};

/// The walk's notebook.
pub(crate) struct Checker<'a> {
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) mistakes: Vec<Diagnostic>,
    /// Mistakes only if the resource named turns out to hand on a secret that was put into it.
    pub(crate) suspects: Vec<(Address, Diagnostic)>,
    /// Places of passwords in clear.
    pub(crate) masked: Vec<Span>,
    /// Of the instance whose block is being read.
    pub(crate) each: Option<Each>,
    /// Compiled once each; `None`: a pattern that this build cannot read checks nothing.
    patterns: HashMap<&'a str, Option<Regex>>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(scope: &'a Scope<'a>) -> Self {
        Self {
            scope,
            mistakes: Vec::new(),
            suspects: Vec::new(),
            masked: Vec::new(),
            each: None,
            patterns: HashMap::new(),
        }
    }

    /// Whether `owner` may refer to resources.
    fn references(owner: &Owner<'_>) -> References {
        owner.references
    }

    /// The template of `node`, which should be as `schema` says.
    pub(crate) fn value(
        &mut self,
        node: &Node,
        schema: &'a Json,
        place: &Place<'_, 'a>,
    ) -> Template {
        let place = &place.secretly(flag(schema, "x-accepts-secrets"));
        let shape = Shape::of(schema, place.owner.schema);
        match &node.value {
            Value::Null => {
                if !shape.nullable {
                    self.wrong_kind(node, &shape, place, None);
                }
                Template::Value(Tree::Null)
            }
            Value::Str(text) => match self.each.as_ref().and_then(|each| each.written(text)) {
                // Lists and maps of a `for_each` are read as if they stood here.
                Some(node) => self.value(&node, schema, place),
                None => match self.scope.structured(text, node.span) {
                    // And those of a variable.
                    Some(node) => self.value(&node, schema, place),
                    None => self.text(text, node.span, &shape, place),
                },
            },
            Value::Bool(value) => {
                self.plain(node, Tree::Bool(*value), Kinds::BOOLEAN, &shape, place)
            }
            Value::Int(value) => {
                let tree = Tree::Number((*value).into());
                self.plain(node, tree, Kinds::INTEGER, &shape, place)
            }
            Value::Float(value) => {
                let number = serde_json::Number::from_f64(*value);
                let tree = number.map_or(Tree::Null, Tree::Number);
                let whole = value.fract() == 0.0;
                let kind = if whole { Kinds::NUMBER } else { Kinds::FRACTION };
                self.plain(node, tree, kind, &shape, place)
            }
            Value::Seq(items) => self.list(node, items, &shape, place),
            Value::Map(entries) => self.map(node, entries, &shape, place),
        }
    }

    /// A number or a boolean.
    fn plain(
        &mut self,
        node: &Node,
        tree: Tree,
        kind: Kinds,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        if shape.secret {
            self.in_clear(node.span, node.span, place);
        } else if !shape.kinds().has(kind) {
            let raw = self.scope.source.slice(node.span);
            let help = shape.kinds().has(Kinds::TEXT).then(|| format!("write `\"{raw}\"`"));
            self.wrong_kind(node, shape, place, help);
        } else {
            self.constraints(&tree, node.span, kind, shape, place);
        }
        Template::Value(tree)
    }

    fn list(
        &mut self,
        node: &Node,
        items: &[Node],
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        let Some(branch) = shape.accepting(Kinds::LIST).next() else {
            let help = match items {
                [Node { value: Value::Str(text), .. }]
                    if shape.kinds().has(Kinds::TEXT) && !shape.secret =>
                {
                    Some(format!("write `{text}`"))
                }
                _ => None,
            };
            self.wrong_kind(node, shape, place, help);
            return self.anything(node, place);
        };
        let each = branch.get("items").unwrap_or(&Json::Bool(true));
        let items: Vec<Template> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.value(item, each, &place.element(index, item.span)))
            .collect();
        self.count(items.len(), "element", ("minItems", "maxItems"), branch, node.span, place);
        fold_list(items)
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[crate::source::Entry],
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        let branches: Vec<&'a Json> = shape.accepting(Kinds::MAP).collect();
        match branches.as_slice() {
            [] => {
                let help =
                    shape.only_reference().then(|| "hand over a resource: `${name}`".to_owned());
                self.wrong_kind(node, shape, place, help);
                self.anything(node, place)
            }
            [one] => Template::from_fields(self.object(entries, one, &[], place)),
            several => Template::from_fields(self.best(entries, several, place)),
        }
    }

    /// Of several kinds of map, the one with the fewest mistakes.
    fn best(
        &mut self,
        entries: &[crate::source::Entry],
        branches: &[&'a Json],
        place: &Place<'_, 'a>,
    ) -> Templates {
        let before = self.mistakes.len();
        let mut best: Option<(Vec<Diagnostic>, Templates)> = None;
        for branch in branches {
            let fields = self.object(entries, branch, &[], place);
            let found = self.mistakes.split_off(before);
            if best.as_ref().is_none_or(|(fewest, _)| found.len() < fewest.len()) {
                best = Some((found, fields));
            }
        }
        let (found, fields) = best.unwrap_or_default();
        self.mistakes.extend(found);
        fields
    }

    /// The template of a value of which nothing is known, so that mistakes in its references are found all the same.
    pub(crate) fn anything(&mut self, node: &Node, place: &Place<'_, 'a>) -> Template {
        static ANYTHING: Json = Json::Bool(true);
        self.value(node, &ANYTHING, &place.unknown())
    }

    /// A value of the wrong kind.
    fn wrong_kind(
        &mut self,
        node: &Node,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
        help: Option<String>,
    ) {
        let wanted = match shape.reference() {
            Some(_) if shape.only_reference() => "a whole resource".to_owned(),
            Some(_) => format!("{} or a whole resource", shape.kinds()),
            None => shape.kinds().to_string(),
        };
        let kind = match node.value {
            Value::Float(_) if shape.kinds().has(Kinds::INTEGER) => "a fraction",
            _ => node.kind(),
        };
        let span =
            if node.span.start == node.span.end { place.span } else { self.first_line(node) };
        self.mistakes.push(
            Diagnostic::error("PGF0106", format!("{place} wants {wanted}, not {kind}"))
                .at(span, format!("this is {kind}"))
                .maybe_help(help),
        );
    }

    /// A node's span, up to its first line break.
    fn first_line(&self, node: &Node) -> Span {
        let line = self.scope.source.line_at(node.span.start);
        Span { start: node.span.start, end: node.span.end.min(line.end) }
    }
}

impl Template {
    /// A map of templates; a value where no field refers to anything.
    pub(crate) fn from_fields(fields: Templates) -> Self {
        if fields.values().any(|field| !matches!(field, Self::Value(_))) {
            return Self::Map(fields);
        }
        let tree = fields.into_iter().map(|(key, field)| match field {
            Self::Value(tree) => (key, tree),
            _ => (key, Tree::Unknown),
        });
        Self::Value(Tree::Map(tree.collect()))
    }
}

fn fold_list(items: Vec<Template>) -> Template {
    if items.iter().any(|item| !matches!(item, Template::Value(_))) {
        return Template::List(items);
    }
    let trees = items.into_iter().map(|item| match item {
        Template::Value(tree) => tree,
        _ => Tree::Unknown,
    });
    // Not in the place of the templates, which are larger.
    let mut list = Vec::with_capacity(trees.len());
    list.extend(trees);
    Template::Value(Tree::List(list))
}
