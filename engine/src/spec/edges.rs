//! Why one resource waits for another, with the place that says so; and loops, told with every such place.

use std::collections::HashMap;

use super::Blocks;
use crate::address::Address;
use crate::diag::{Diagnostic, Span};
use crate::graph::Cycle;

/// How a resource came to wait for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Refers,
    Lists,
}

/// `from` waits for `to`.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) span: Span,
    pub(super) how: How,
}

/// The edges of all references in all blocks.
pub(super) fn of_references(resources: &Blocks) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (from, block) in resources {
        for reference in block.references() {
            edges.push(Edge {
                from: from.clone(),
                to: reference.address.clone(),
                span: reference.span,
                how: How::Refers,
            });
        }
    }
    edges
}

/// The whole loop, each edge with its place.
pub(super) fn diagnostic(cycle: &Cycle, edges: &[Edge]) -> Diagnostic {
    let mut places: HashMap<(&Address, &Address), &Edge> = HashMap::new();
    for edge in edges {
        places.entry((&edge.from, &edge.to)).or_insert(edge);
    }
    let first = cycle.path.first().map(ToString::to_string).unwrap_or_default();
    let message = match cycle.path.len() {
        1 => format!("`{first}` waits for itself"),
        _ => {
            let path: Vec<String> = cycle.path.iter().map(|a| format!("`{a}`")).collect();
            format!("these resources wait for each other: {} → `{first}`", path.join(" → "))
        }
    };
    let mut told = Diagnostic::error("PGF0125", message).help("take one of these references away");
    if cycle.path.len() == 1 {
        told = told.help("take this reference away");
    }
    for pair in cycle.edges() {
        let Some(edge) = places.get(&pair) else { continue };
        let text = match edge.how {
            How::Refers => format!("`{}` refers to `{}` here", edge.from, edge.to),
            How::Lists => format!("`{}` lists `{}` here", edge.from, edge.to),
        };
        told = match told.primary {
            None => told.at(edge.span, text),
            Some(_) => told.context(edge.span, text),
        };
    }
    told
}
