//! Who waits for whom, from references and `depends_on`.
//!
//! Knows addresses only. Every walk is a loop, never a recursion, so a chain of any length is walked without
//! exhausting the stack. Tested below.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use indexmap::IndexMap;
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::address::Address;

mod cycle;

pub use cycle::Cycle;

/// Addresses by address, in order: to be walked through and, much more often, to be looked up in.
pub type Edges = IndexMap<Address, Vec<Address>, FxBuildHasher>;

/// The dependencies of a spec, free of cycles. Lists are in address order, each address once.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Every address after all that it depends on; ties in address order.
    pub order: Vec<Address>,
    /// Direct dependencies.
    pub dependencies: Edges,
    /// Direct dependents.
    pub dependents: Edges,
}

impl Graph {
    /// The graph of `addresses` with an edge from each `(dependent, dependency)`. Edges to addresses that are not
    /// among them are left out.
    ///
    /// # Errors
    /// Every loop, if there is one: one [`Cycle`] for each group of addresses that wait for each other.
    pub fn build(
        addresses: impl IntoIterator<Item = Address>,
        edges: impl IntoIterator<Item = (Address, Address)>,
    ) -> Result<Self, Vec<Cycle>> {
        let mut sorted: Vec<Address> = addresses.into_iter().collect();
        sorted.sort();
        sorted.dedup();
        let places: FxHashMap<&Address, usize> =
            sorted.iter().enumerate().map(|(place, address)| (address, place)).collect();
        let place = |address: &Address| places.get(address).copied();
        let mut pairs: Vec<(usize, usize)> =
            edges.into_iter().filter_map(|(from, to)| Some((place(&from)?, place(&to)?))).collect();
        drop(places);
        pairs.sort_unstable();
        pairs.dedup();
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(sorted.len(), pairs.len());
        for _ in &sorted {
            graph.add_node(());
        }
        for (from, to) in &pairs {
            graph.add_edge(NodeIndex::new(*from), NodeIndex::new(*to), ());
        }
        let order = order(&graph);
        if order.len() < sorted.len() {
            return Err(cycle::find(&graph, &sorted));
        }
        drop(graph);
        let dependencies = listed(&sorted, &pairs);
        pairs.iter_mut().for_each(|(from, to)| std::mem::swap(from, to));
        pairs.sort_unstable();
        let dependents = listed(&sorted, &pairs);
        let order = order.into_iter().map(|index| sorted[index].clone()).collect();
        Ok(Self { order, dependencies, dependents })
    }

    /// What `address` depends on directly.
    pub fn direct_dependencies(&self, address: &Address) -> impl Iterator<Item = &Address> {
        self.dependencies.get(address).into_iter().flatten()
    }

    /// What depends on `address` directly.
    pub fn direct_dependents(&self, address: &Address) -> impl Iterator<Item = &Address> {
        self.dependents.get(address).into_iter().flatten()
    }

    /// All that `address` depends on, directly or not; without itself.
    pub fn ancestors(&self, address: &Address) -> BTreeSet<Address> {
        reach(&self.dependencies, address)
    }

    /// All that depends on `address`, directly or not; without itself.
    pub fn descendants(&self, address: &Address) -> BTreeSet<Address> {
        reach(&self.dependents, address)
    }
}

/// The second of each pair by the first, pairs being numbers of addresses in order.
fn listed(sorted: &[Address], pairs: &[(usize, usize)]) -> Edges {
    let mut rest = pairs;
    let of = |(number, address): (usize, &Address)| {
        let (own, others) =
            rest.split_at(rest.iter().take_while(|(one, _)| *one == number).count());
        rest = others;
        (address.clone(), own.iter().map(|(_, other)| sorted[*other].clone()).collect())
    };
    sorted.iter().enumerate().map(of).collect()
}

fn reach(edges: &Edges, from: &Address) -> BTreeSet<Address> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&Address> = edges.get(from).into_iter().flatten().collect();
    while let Some(address) = open.pop() {
        if seen.insert(address.clone()) {
            open.extend(edges.get(address).into_iter().flatten());
        }
    }
    seen
}

/// Kahn's algorithm with a heap: of all that is ready, the least address comes first. Nodes are numbered in address
/// order. What is on a loop, or waits for one, is left out.
fn order(graph: &DiGraph<(), ()>) -> Vec<usize> {
    use petgraph::Direction::{Incoming, Outgoing};
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|n| graph.neighbors_directed(n, Outgoing).count()).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..waiting.len()).filter(|n| waiting[*n] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for dependent in graph.neighbors_directed(NodeIndex::new(node), Incoming) {
            waiting[dependent.index()] -= 1;
            if waiting[dependent.index()] == 0 {
                ready.push(Reverse(dependent.index()));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(addresses: &str, edges: &[(&str, &str)]) -> Result<Graph, Vec<Cycle>> {
        Graph::build(
            addresses.split(' ').map(Address::new),
            edges.iter().map(|(from, to)| (Address::new(*from), Address::new(*to))),
        )
    }

    fn words(addresses: impl IntoIterator<Item = Address>) -> String {
        addresses.into_iter().map(|a| a.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn dependencies_come_first_and_ties_by_address() {
        let graph = build("z a m b", &[("a", "z"), ("m", "z"), ("m", "gone")]).expect("no loop");
        assert_eq!(words(graph.order.clone()), "b z a m");
        assert_eq!(words(graph.descendants(&Address::new("z"))), "a m");
        assert_eq!(words(graph.ancestors(&Address::new("m"))), "z");
        assert_eq!(words(graph.direct_dependents(&Address::new("z")).cloned()), "a m");
        assert_eq!(words(graph.direct_dependencies(&Address::new("b")).cloned()), "");
    }

    #[test]
    fn loops_are_named_in_full() {
        let loops = |edges: &[(&str, &str)]| -> Vec<String> {
            let cycles = build("a b c d e", edges).expect_err("a loop");
            cycles.into_iter().map(|cycle| words(cycle.path)).collect()
        };
        assert_eq!(loops(&[("a", "a")]), ["a"]);
        assert_eq!(loops(&[("b", "c"), ("c", "d"), ("d", "b"), ("a", "b")]), ["b c d"]);
        assert_eq!(loops(&[("a", "b"), ("b", "a"), ("d", "c"), ("c", "d")]), ["a b", "c d"]);
        // The shortest loop through the least address, of several in one knot.
        assert_eq!(loops(&[("a", "b"), ("b", "c"), ("c", "a"), ("b", "a")]), ["a b"]);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand() {
        let name = |number: usize| Address::new(format!("r{number:06}"));
        let last = 100_000;
        let edges = |last: usize| (0..last).map(move |n| (name(n), name(n + 1)));
        let graph = Graph::build((0..=last).map(name), edges(last)).expect("no loop");
        assert_eq!(graph.order[0], name(last));
        assert_eq!(graph.ancestors(&name(0)).len(), last);
        let closed = edges(last).chain([(name(last), name(0))]);
        let cycles = Graph::build((0..=last).map(name), closed).expect_err("a loop");
        assert_eq!(cycles[0].path.len(), last + 1);
    }
}
