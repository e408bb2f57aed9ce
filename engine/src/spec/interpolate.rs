//! Text with `${…}` to a template: variables and environment put in, references to resources looked up.
//!
//! Knows nothing of the field that the text is for; whether a secret or a kind of value may stand there is decided by
//! [`crate::check`].

use crate::address::Address;
use crate::diag::line::url_passwords;
use crate::diag::{Diagnostic, Span, did_you_mean, suggestion};
use crate::expr::{self, Expression, Piece};
use crate::secret::Secret;
use crate::source::Node;
use crate::spec::for_each::{self, Each};
use crate::spec::scope::Scope;
use crate::template::{Part, Reference, Step, Template};
use crate::tree::Tree;

/// Whether text may refer to resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum References {
    Allowed,
    /// Variables and environment only.
    Refused,
}

/// A text of the file, put together.
pub(crate) struct Written {
    pub(crate) template: Template,
    /// Every letter of it stands in the file, at this place: as written here, or as a variable's default.
    pub(crate) in_clear: Option<Span>,
    /// It is one variable, or one of the environment, and nothing else.
    pub(crate) substituted: bool,
}

/// Names whose values are taken for secrets.
const SECRET_NAMES: [&str; 7] =
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL", "DSN"];

/// Whether an environment variable is a secret, by its name or by what its value looks like.
fn is_secret(name: &str, value: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|word| upper.contains(word))
        || upper.ends_with("_URL")
        || !url_passwords(value).is_empty()
}

enum Put {
    Value { tree: Tree, default: Option<Span> },
    Reference(Reference),
}

impl Scope<'_> {
    /// What `text`, which stands at `span`, says. `None` if something is wrong with it, which is then in `mistakes`.
    pub(crate) fn interpolate(
        &self,
        text: &str,
        span: Span,
        references: References,
        each: Option<&Each>,
        mistakes: &mut Vec<Diagnostic>,
    ) -> Option<Written> {
        if !text.contains("${") {
            let template = Template::Value(Tree::text(text));
            return Some(Written { template, in_clear: Some(span), substituted: false });
        }
        let raw = self.source.slice(span);
        let place = |range: &std::ops::Range<usize>| expr::locate(text, range, raw, span.start);
        let read = self.pieces(text, each.is_some());
        let (pieces, faults) = &*read;
        let sound = faults.is_empty();
        for fault in faults {
            mistakes.push(
                Diagnostic::error("PGF0111", "a malformed reference")
                    .at(place(&fault.range), fault.message)
                    .maybe_help(fault.help.map(str::to_owned)),
            );
        }
        let before = mistakes.len();
        let alone = pieces.len() == 1;
        let mut parts = Vec::with_capacity(pieces.len());
        let (mut in_file, mut unknown) = (true, false);
        for piece in pieces {
            match piece {
                Piece::Text(text) => parts.push(Part::Text(text.clone())),
                Piece::Expression(expression) => {
                    match self.put(expression, place(&expression.range), references, each) {
                        Ok(Put::Reference(reference)) if alone => {
                            let template = Template::Reference(reference);
                            let written = Written { template, in_clear: None, substituted: true };
                            return sound.then_some(written);
                        }
                        Ok(Put::Reference(reference)) => {
                            in_file = false;
                            parts.push(Part::Reference(reference));
                        }
                        Ok(Put::Value { tree, default }) if alone => {
                            let template = Template::Value(tree);
                            let written =
                                Written { template, in_clear: default, substituted: true };
                            return sound.then_some(written);
                        }
                        Ok(Put::Value { tree: Tree::Secret(secret), .. }) => {
                            in_file = false;
                            parts.push(Part::Secret(secret));
                        }
                        Ok(Put::Value { tree: Tree::Unknown, .. }) => unknown = true,
                        Ok(Put::Value { tree: tree @ (Tree::List(_) | Tree::Map(_)), .. }) => {
                            let kind =
                                if matches!(tree, Tree::Map(_)) { "a map" } else { "a list" };
                            let message = format!("this is {kind} and has no form as text");
                            mistakes.push(
                                Diagnostic::error("PGF0121", message)
                                    .at(place(&expression.range), "inside longer text"),
                            );
                        }
                        Ok(Put::Value { tree, default, .. }) => {
                            in_file &= default.is_some();
                            parts.push(Part::Text(tree.to_text().unwrap_or_default()));
                        }
                        Err(mistake) => mistakes.push(*mistake),
                    }
                }
            }
        }
        if !sound || mistakes.len() > before {
            return None;
        }
        if unknown {
            // A part of it is not known for a reason that is told elsewhere, so nothing can be said of the whole.
            let template = Template::Value(Tree::Unknown);
            return Some(Written { template, in_clear: None, substituted: false });
        }
        Some(Written {
            template: fold(parts),
            in_clear: in_file.then_some(span),
            substituted: false,
        })
    }

    fn put(
        &self,
        expression: &Expression,
        span: Span,
        references: References,
        each: Option<&Each>,
    ) -> Result<Put, Box<Diagnostic>> {
        match expression.root.as_str() {
            "var" => self.variable(expression, span),
            "env" => self.environment(single(expression, span, "env")?, span),
            "each" => {
                let path = if expression.key.is_some() { &[] } else { expression.path.as_slice() };
                let (tree, node) = for_each::follow(path, each, span)?;
                let literal = |node: &Node| node.as_str().is_none_or(|text| !text.contains("${"));
                Ok(Put::Value { tree, default: node.filter(literal).map(|node| node.span) })
            }
            _ if references == References::Refused => Err(Box::new(
                Diagnostic::error("PGF0127", "a resource cannot be referred to here")
                    .at(span, "needed before any resource is looked at")
                    .help("use `${var.name}` or `${env.NAME}`"),
            )),
            root => {
                let key = match &expression.key {
                    Some(key) => match for_each::key_text(key, each, span)? {
                        Some(key) => Some(key),
                        None => return Ok(Put::Value { tree: Tree::Unknown, default: None }),
                    },
                    None => None,
                };
                let address = match (self.resources.get(root), &key) {
                    (Some(declared), _) => declared.address(root, key.as_deref()),
                    (None, Some(key)) => for_each::address(root, key),
                    (None, None) => Address::new(root),
                };
                let reference = Reference { address, path: self.path(&expression.path), span };
                self.target(&reference)?;
                Ok(Put::Reference(reference))
            }
        }
    }

    /// The list or map that `text` stands for, if it is nothing but `${var.name…}`: read as if it stood at `span`.
    pub(crate) fn structured(&self, text: &str, span: Span) -> Option<Node> {
        if !expr::begins_with(text, "var") {
            return None;
        }
        let (pieces, faults) = expr::parse(text);
        let [Piece::Expression(found)] = pieces.as_slice() else { return None };
        if found.root != "var" || found.key.is_some() || !faults.is_empty() {
            return None;
        }
        let Ok(Put::Value { tree, .. }) = self.variable(found, span) else { return None };
        matches!(tree, Tree::List(_) | Tree::Map(_)).then(|| Node::of_tree(&tree, span))
    }

    fn variable(&self, expression: &Expression, span: Span) -> Result<Put, Box<Diagnostic>> {
        let (name, rest) = match (&expression.key, expression.path.split_first()) {
            (None, Some((Step::Member(name), rest))) => (name.as_str(), rest),
            _ => (single(expression, span, "var")?, [].as_slice()),
        };
        let Some(variable) = self.variables.get(name) else {
            let known = self.variables.keys().map(String::as_str);
            let help = suggestion(name, known, "the variables are").unwrap_or_else(|| {
                format!("declare it: `variables: {{ {name}: {{ default: … }} }}`")
            });
            return Err(Box::new(
                Diagnostic::error("PGF0114", format!("there is no variable `{name}`"))
                    .at(span, "not declared under `variables:`")
                    .help(help),
            ));
        };
        // A variable without a value is reported once, where it is declared; a null keeps the reading going.
        let Some(mut tree) = variable.value.as_ref() else {
            return Ok(Put::Value { tree: Tree::Unknown, default: None });
        };
        let mut told = format!("var.{name}");
        for step in rest {
            let (next, what) = match step {
                Step::Member(name) => (tree.get(name), format!("member `{name}`")),
                Step::Index(index) => match tree {
                    Tree::List(items) => (items.get(*index), format!("element {index}")),
                    _ => (None, "elements".to_owned()),
                },
            };
            let Some(next) = next else {
                let help = match (step, tree) {
                    (Step::Member(name), Tree::Map(map)) => {
                        suggestion(name, map.keys().map(String::as_str), "the members are")
                    }
                    _ => None,
                };
                return Err(Box::new(
                    Diagnostic::error("PGF0113", format!("`{told}` has no {what}"))
                        .at(span, "not in the value of the variable")
                        .maybe_help(help),
                ));
            };
            tree = next;
            match step {
                Step::Member(name) => told.push_str(&format!(".{name}")),
                Step::Index(index) => told.push_str(&format!("[{index}]")),
            }
        }
        Ok(Put::Value { tree: tree.clone(), default: variable.default })
    }

    fn environment(&self, name: &str, span: Span) -> Result<Put, Box<Diagnostic>> {
        let Some(value) = self.env.get(name) else {
            let help = match did_you_mean(name, self.env.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`, which is set?"),
                None => format!("set it: `export {name}=…`"),
            };
            return Err(Box::new(
                Diagnostic::error(
                    "PGF0118",
                    format!("the environment variable `{name}` is not set"),
                )
                .at(span, "needed here")
                .help(help),
            ));
        };
        let tree = if is_secret(name, value) {
            Tree::Secret(Secret::new(value))
        } else {
            Tree::text(value)
        };
        Ok(Put::Value { tree, default: None })
    }
}

/// The one name after `var.` or `env.`.
fn single<'e>(
    expression: &'e Expression,
    span: Span,
    root: &str,
) -> Result<&'e str, Box<Diagnostic>> {
    match (&expression.key, expression.path.as_slice()) {
        (None, [crate::template::Step::Member(name)]) => Ok(name),
        _ => Err(Box::new(
            Diagnostic::error("PGF0111", "a malformed reference")
                .at(span, format!("`{root}` takes one name"))
                .help(match root {
                    "env" => "write `${env.NAME}`".to_owned(),
                    _ => format!("write `${{{root}.name}}`"),
                }),
        )),
    }
}

/// Text and secrets alone become one value; a resource among them leaves a template.
fn fold(parts: Vec<Part>) -> Template {
    if parts.iter().any(|part| matches!(part, Part::Reference(_))) {
        return Template::Join(parts);
    }
    Template::Value(Template::Join(parts).evaluate(&|_| None))
}
