//! `--refresh-only`: how reality is not as it is remembered, field by field.
//!
//! Everything remembered is looked at, also what left the spec; nothing is compared with what the spec wants. Tested
//! in `tests/planning` of this crate.

use std::sync::Arc;

use super::super::compare::difference;
use super::super::question::{Answer, Ask};
use super::super::{Drift, FieldChange};
use super::Drafting;
use crate::address::Address;
use crate::finding::Finding;
use crate::graph::Graph;
use crate::info::{FieldRole, Kind, TypeInfo};
use crate::resource::Live;
use crate::state::Entry;
use crate::tree::Tree;

impl Drafting<'_> {
    pub(super) fn look_at_everything(&mut self) {
        let input = self.input;
        for address in &input.graph.order {
            let Some(block) = input.spec.resources.get(address) else { continue };
            let Some(info) = input.catalog.get(&block.type_name) else { continue };
            let mut wanted = self.wanted(block, info).tree;
            let entry = input.state.resources.get(address);
            let Some(entry) = entry.filter(|entry| entry.type_name == info.name) else {
                self.set_unknown(address, info, &wanted);
                continue;
            };
            if let (Some(expanded), Tree::Map(fields)) = (&entry.expanded, &mut wanted) {
                for (name, json) in &expanded.fields {
                    fields.entry(name.clone()).or_insert_with(|| Tree::from_json(json));
                }
            }
            self.look(address, info, entry, wanted, &block.lifecycle.ignore_changes);
        }
        for address in removed(self) {
            let Some(entry) = input.state.resources.get(&address) else { continue };
            let Some(info) = input.catalog.get(&entry.type_name) else { continue };
            let wanted = self.as_acted_on(&entry.remembered.inputs);
            self.look(&address, info, entry, wanted, &[]);
        }
    }

    /// Looks at one resource that is remembered.
    fn look(
        &mut self,
        address: &Address,
        info: &TypeInfo,
        entry: &Entry,
        wanted: Tree,
        ignored: &[String],
    ) {
        self.set_remembered(address, info, &entry.remembered);
        let by_heart = match info.kind {
            Kind::Managed => info.traits.internal && !wanted.has_secret(),
            Kind::Lookup => wanted.has_unknown(),
            Kind::Run | Kind::Scoped => true,
        };
        let mut dependencies = entry.dependencies.iter();
        let waits = dependencies.any(|dependency| self.pending.contains(dependency));
        if waits {
            self.pending.insert(address.clone());
        }
        if by_heart || waits || self.left_out.contains(address) {
            return;
        }
        let live = match self.ask(address, info.name, Ask::Read, &wanted) {
            Some(Answer::Live(live)) => live.as_ref(),
            Some(_) => return,
            None => {
                self.pending.insert(address.clone());
                return;
            }
        };
        if let Some(live) = live {
            self.set(address, Some(live.id.clone()), &live.attrs);
        }
        // What was begun and cut short is the next plan's to settle.
        if info.traits.internal || self.input.state.operations.contains_key(address) {
            return;
        }
        let drift = match live {
            Some(live) => {
                let fields = differences(info, entry, live, ignored);
                if fields.is_empty() {
                    return;
                }
                Drift { type_name: info.name.to_owned(), kind: info.kind, gone: false, fields }
            }
            None if info.kind == Kind::Lookup => {
                let finding = Finding::warning("PGF0202", format!("`{address}` is not there"))
                    .help("it is looked up, never made; a migration that is done does not need it");
                self.find(address, finding);
                return;
            }
            None if info.traits.staging
                && (self.removal(address).is_some() || self.purpose_is_served(address)) =>
            {
                return;
            }
            None => {
                self.set_unknown(address, info, &wanted);
                let fields = Vec::new();
                Drift { type_name: info.name.to_owned(), kind: info.kind, gone: true, fields }
            }
        };
        self.drift.insert(address.clone(), drift);
    }

    /// Fields as they were last acted on, with the resources that they handed over as these are now.
    fn as_acted_on(&self, inputs: &Tree) -> Tree {
        match inputs {
            Tree::List(items) => Tree::List(items.iter().map(|i| self.as_acted_on(i)).collect()),
            Tree::Map(map) => match map.get("$address").and_then(Tree::as_text) {
                Some(address) => match self.handles.get(&Address::new(address)) {
                    Some(handle) => Tree::Resource(Arc::clone(handle)),
                    None => Tree::Unknown,
                },
                None => {
                    let fields =
                        map.iter().map(|(name, value)| (name.clone(), self.as_acted_on(value)));
                    Tree::Map(fields.collect())
                }
            },
            plain => plain.recalled(),
        }
    }
}

/// What is remembered and left the spec, each after what it depends on.
fn removed(drafting: &Drafting<'_>) -> Vec<Address> {
    let input = drafting.input;
    let known = input.state.resources.iter();
    let removed: Vec<_> = known
        .filter(|(address, entry)| {
            entry.kind == Kind::Managed && !input.spec.resources.contains_key(*address)
        })
        .collect();
    let edges = removed.iter().flat_map(|(address, entry)| {
        entry.dependencies.iter().map(|dependency| ((*address).clone(), dependency.clone()))
    });
    let addresses = removed.iter().map(|(address, _)| (*address).clone());
    // A state whose resources wait for each other is looked at in address order.
    match Graph::build(addresses.clone(), edges) {
        Ok(graph) => graph.order,
        Err(_) => addresses.collect(),
    }
}

/// Fields and attributes that are not as they are remembered. Secrets are not remembered; what changes by itself, and
/// what the spec says to ignore, is none.
fn differences(
    info: &TypeInfo,
    entry: &Entry,
    live: &Live<Tree>,
    ignored: &[String],
) -> Vec<FieldChange> {
    let remembered = &entry.remembered;
    let mut found = Vec::new();
    let ignores = |name: &str| ignored.iter().any(|ignored| ignored == name);
    for (name, now) in &live.fields {
        let silent = matches!(info.role(name), FieldRole::Volatile | FieldRole::Guard);
        let Some(before) = remembered.inputs.get(name) else { continue };
        if silent || ignores(name) || before.get("$address").is_some() {
            continue;
        }
        found.extend(difference(name, &Tree::from_json(now), Some(before), info.field(name)));
    }
    let Tree::Map(attrs) = &live.attrs else { return found };
    for (name, now) in attrs {
        let silent = info.is_secret(name) || info.is_volatile(name) || now.has_secret();
        let Some(before) = remembered.attrs.get(name) else { continue };
        if silent || ignores(name) || found.iter().any(|field| field.name == *name) {
            continue;
        }
        found.extend(difference(name, now, Some(before), info.attribute(name)));
    }
    if live.id != remembered.id && !found.iter().any(|field| field.name == "id") {
        let (now, before) = (Tree::text(&live.id), Tree::text(&remembered.id));
        found.extend(difference("id", &now, Some(&before), None));
    }
    found
}
