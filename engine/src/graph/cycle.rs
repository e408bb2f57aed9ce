//! Finds loops, each with every address on it.
//!
//! Strongly connected components give the knots; a breadth-first search through each gives one short loop to show,
//! since a knot of fifty addresses helps nobody. Kosaraju's algorithm and not Tarjan's: petgraph's Tarjan recurses,
//! and a chain of resources may be long.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::address::Address;

/// Addresses that wait for each other: each depends on the next, and the last on the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    pub path: Vec<Address>,
}

impl Cycle {
    /// Its edges, each from a dependent to its dependency.
    pub fn edges(&self) -> impl Iterator<Item = (&Address, &Address)> {
        self.path.iter().zip(self.path.iter().cycle().skip(1))
    }
}

/// One loop of each knot, in address order. Node `n` of `graph` is `addresses[n]`.
pub(super) fn find(graph: &DiGraph<(), ()>, addresses: &[Address]) -> Vec<Cycle> {
    let mut cycles: Vec<Vec<usize>> =
        kosaraju_scc(graph).iter().filter_map(|knot| shortest(graph, knot)).collect();
    cycles.sort();
    cycles
        .into_iter()
        .map(|path| Cycle { path: path.into_iter().map(|n| addresses[n].clone()).collect() })
        .collect()
}

/// The shortest loop through the least node of `knot`; `None` for a lone node without an edge to itself.
fn shortest(graph: &DiGraph<(), ()>, knot: &[NodeIndex]) -> Option<Vec<usize>> {
    let start = *knot.iter().min()?;
    let inside: HashSet<NodeIndex> = knot.iter().copied().collect();
    let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<NodeIndex> =
            graph.neighbors(node).filter(|next| inside.contains(next)).collect();
        next.sort();
        for next in next {
            if next == start {
                return Some(walk_back(&came_from, node));
            }
            if let std::collections::hash_map::Entry::Vacant(free) = came_from.entry(next) {
                free.insert(node);
                queue.push_back(next);
            }
        }
    }
    None
}

fn walk_back(came_from: &HashMap<NodeIndex, NodeIndex>, last: NodeIndex) -> Vec<usize> {
    let mut path = vec![last.index()];
    let mut node = last;
    while let Some(before) = came_from.get(&node) {
        path.push(before.index());
        node = *before;
    }
    path.reverse();
    path
}
