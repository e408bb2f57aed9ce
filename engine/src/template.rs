//! A field as written: a tree whose leaves may refer to other resources.
//!
//! Variables, environment and `each` are already put in by the reader ([`crate::spec`]); what is left are references
//! to attributes, known or not when it is evaluated.

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::address::Address;
use crate::diag::Span;
use crate::secret::Secret;
use crate::tree::{Handle, Tree};

/// Templates by the names of their fields, in the order written.
pub type Templates = IndexMap<String, Template, FxBuildHasher>;

/// A value with references in it.
#[derive(Clone, Debug)]
pub enum Template {
    /// No reference inside.
    Value(Tree),
    List(Vec<Self>),
    Map(Templates),
    /// `${a.b}` alone: keeps its type.
    Reference(Reference),
    /// References inside longer text.
    Join(Vec<Part>),
}

/// A piece of a text with references.
#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    /// A secret variable or environment value put in by the reader: the whole text becomes secret.
    Secret(Secret),
    Reference(Reference),
}

/// `${dump["eu"].tables[0].name}`.
#[derive(Clone, Debug)]
pub struct Reference {
    pub address: Address,
    /// Empty for a whole resource. References of the same path share it.
    pub path: Arc<[Step]>,
    pub span: Span,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Member(String),
    Index(usize),
}

impl Template {
    /// Every reference in it, in the order written.
    pub fn references(&self) -> Vec<&Reference> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Reference>) {
        match self {
            Self::Value(_) => {}
            Self::List(items) => items.iter().for_each(|item| item.collect(found)),
            Self::Map(map) => map.values().for_each(|item| item.collect(found)),
            Self::Reference(reference) => found.push(reference),
            Self::Join(parts) => found.extend(parts.iter().filter_map(|part| match part {
                Part::Reference(reference) => Some(reference),
                Part::Text(_) | Part::Secret(_) => None,
            })),
        }
    }

    /// The value, with `resolve` telling what is known of a resource.
    pub fn evaluate<'h>(&self, resolve: &dyn Fn(&Address) -> Option<&'h Arc<Handle>>) -> Tree {
        match self {
            Self::Value(tree) => tree.clone(),
            Self::List(items) => Tree::List(items.iter().map(|i| i.evaluate(resolve)).collect()),
            Self::Map(map) => {
                Tree::Map(map.iter().map(|(k, v)| (k.clone(), v.evaluate(resolve))).collect())
            }
            Self::Reference(reference) => reference.evaluate(resolve),
            Self::Join(parts) => join(parts, resolve),
        }
    }
}

impl Reference {
    fn evaluate<'h>(&self, resolve: &dyn Fn(&Address) -> Option<&'h Arc<Handle>>) -> Tree {
        let Some(handle) = resolve(&self.address) else { return Tree::Unknown };
        let Some((first, rest)) = self.path.split_first() else {
            return Tree::Resource(Arc::clone(handle));
        };
        let mut tree = match first {
            Step::Member(name) => handle.attrs.get(name),
            Step::Index(_) => None,
        };
        for step in rest {
            tree = match (tree, step) {
                (Some(Tree::Unknown), _) => break,
                (Some(tree), Step::Member(name)) => tree.get(name),
                (Some(Tree::List(items)), Step::Index(index)) => items.get(*index),
                _ => None,
            };
        }
        tree.cloned().unwrap_or(Tree::Null)
    }
}

fn join<'h>(parts: &[Part], resolve: &dyn Fn(&Address) -> Option<&'h Arc<Handle>>) -> Tree {
    let (mut text, mut secret) = (String::new(), false);
    for part in parts {
        match part {
            Part::Text(piece) => text.push_str(piece),
            Part::Secret(piece) => {
                secret = true;
                text.push_str(piece.expose());
            }
            Part::Reference(reference) => {
                let value = reference.evaluate(resolve);
                secret |= value.has_secret();
                match value.to_text() {
                    Some(piece) => text.push_str(&piece),
                    None => return Tree::Unknown,
                }
            }
        }
    }
    if secret { Tree::Secret(Secret::new(text)) } else { Tree::Text(text) }
}
