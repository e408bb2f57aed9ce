//! From spec, state and what is known of reality to a plan, or to the questions that stand in its way.
//!
//! Pure: no clock, no I/O, no choice left open. Resources are visited in dependency order; one whose dependencies
//! still wait for answers waits too. Tested through `tests/` of this crate with an in-memory provider.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::moves::Moves;
use super::outputs::outputs;
use super::question::{Answer, Ask, Question, Reality};
use super::{Action, Change, Drift, Located, Plan, ScopeChange, steps, times};
use crate::address::Address;
use crate::finding::Finding;
use crate::graph::Graph;
use crate::info::{Catalog, FieldRole, Kind, TypeInfo};
use crate::resource::{Intent, Remembered};
use crate::spec::{Block, Spec};
use crate::state::State;
use crate::tree::{Fields, Handle, Handles, Tree};

mod drift;
mod lookups;
mod managed;
mod rest;
mod runs;
mod staging;
mod triggers;

/// Everything a plan follows from, besides reality.
pub struct Input<'a> {
    pub spec: &'a Spec,
    pub graph: &'a Graph,
    pub catalog: &'a Catalog,
    pub state: &'a State,
    pub options: &'a Options,
    pub now: Timestamp,
}

/// What the command line asks for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--confirm ADDRESS=NAME`.
    pub confirmed: Vec<(String, String)>,
    /// `--replace ADDRESS`.
    pub replace: BTreeSet<Address>,
    /// `--target ADDRESS`: only these and what they depend on. Empty: everything.
    pub targets: BTreeSet<Address>,
    /// `--exclude ADDRESS`: not these and not what depends on them.
    pub excludes: BTreeSet<Address>,
    /// Ask the preflight's questions of everything, not only of what has work.
    pub preflight: bool,
    /// Read all that the outputs need, secrets included.
    pub reveal: bool,
    pub refresh: Refresh,
}

/// How a plan looks at reality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refresh {
    /// Everything that it is about is looked at first.
    #[default]
    First,
    /// `--refresh=false`: what is remembered is taken as it is; only what has work asks for what it needs.
    Never,
    /// `--refresh-only`: everything remembered is looked at, and nothing done.
    Only,
}

/// A plan in the making.
pub struct Draft {
    pub plan: Plan,
    /// What each resource is, as far as it is known, secrets included; where apply starts from.
    pub handles: Handles,
    /// What must be found out before the plan is one. Empty: it is.
    pub questions: Vec<Question>,
}

/// Drafts a plan from what is known.
pub fn draft(input: &Input<'_>, reality: &Reality) -> Draft {
    let moves = Moves::of(input.spec, input.state);
    match moves.done(input.state) {
        Some(state) => drafted(&Input { state: &state, ..*input }, reality, moves),
        None => drafted(input, reality, moves),
    }
}

fn drafted(input: &Input<'_>, reality: &Reality, moves: Moves) -> Draft {
    let mut drafting = Drafting {
        input,
        reality,
        handles: Handles::default(),
        changes: BTreeMap::new(),
        removals: BTreeMap::new(),
        scopes: BTreeMap::new(),
        findings: moves.findings,
        questions: Vec::new(),
        pending: BTreeSet::new(),
        redone: BTreeMap::new(),
        deferred: BTreeSet::new(),
        asked: BTreeSet::new(),
        left_out: left_out(input),
        drift: BTreeMap::new(),
    };
    let refresh_only = input.options.refresh == Refresh::Only;
    if refresh_only {
        drafting.look_at_everything();
    } else {
        for address in &input.graph.order {
            drafting.visit(address);
        }
        drafting.removed_blocks();
        drafting.find_removals();
        drafting.scopes();
        drafting.lost_data();
        drafting.lookups_of_outputs();
    }
    let keeping = drafting.keeping();
    let Drafting {
        changes,
        removals,
        scopes,
        mut findings,
        questions,
        handles,
        deferred,
        drift,
        mut left_out,
        ..
    } = drafting;
    left_out.retain(|address| input.spec.resources.contains_key(address));
    findings.sort_by(|a, b| {
        (a.finding.severity, &a.address, &a.finding.code).cmp(&(
            b.finding.severity,
            &b.address,
            &b.finding.code,
        ))
    });
    let (drift, outputs) = match refresh_only {
        true => (drift, BTreeMap::new()),
        false => {
            (super::drift::drift(input, reality, &changes), outputs(input, &changes, &handles))
        }
    };
    let steps = steps::steps(input, &changes, &removals, &scopes, &deferred);
    let expected = times::times(input, reality, &changes, &scopes, &steps);
    let plan = Plan {
        name: input.spec.name.clone(),
        run: input.spec.run.clone(),
        lineage: input.state.lineage.clone(),
        serial: input.state.serial,
        at: input.now,
        destroy: false,
        refresh_only,
        left_out,
        changes,
        moved: moves.moves.into_iter().map(|(from, to)| (to, from)).collect(),
        keeping,
        removals,
        drift,
        outputs,
        scopes,
        expected,
        findings,
        steps,
    };
    Draft { plan, handles, questions }
}

struct Drafting<'a> {
    input: &'a Input<'a>,
    reality: &'a Reality,
    handles: Handles,
    changes: BTreeMap<Address, Change>,
    removals: BTreeMap<Address, Vec<Address>>,
    scopes: BTreeMap<Address, ScopeChange>,
    findings: Vec<Located>,
    questions: Vec<Question>,
    /// Not decided, because something they depend on waits for an answer.
    pending: BTreeSet<Address>,
    /// Downstream of a run that is done again, and which run that is.
    redone: BTreeMap<Address, Address>,
    /// Checked at the gate, because what they need exists only then.
    deferred: BTreeSet<Address>,
    asked: BTreeSet<(Address, Ask)>,
    /// By `--target` and `--exclude`.
    left_out: BTreeSet<Address>,
    drift: BTreeMap<Address, Drift>,
}

/// What `--target` and `--exclude` leave out: the rest of the targets' dependencies, and all that depends on what is
/// excluded.
fn left_out(input: &Input<'_>) -> BTreeSet<Address> {
    let Options { targets, excludes, .. } = input.options;
    let mut left_out = BTreeSet::new();
    if !targets.is_empty() {
        let mut wanted = targets.clone();
        for target in targets {
            wanted.extend(input.graph.ancestors(target));
        }
        left_out.extend(input.graph.order.iter().filter(|a| !wanted.contains(*a)).cloned());
        let removed = input.state.resources.keys().filter(|a| !wanted.contains(*a));
        left_out.extend(removed.cloned());
    }
    for excluded in excludes {
        left_out.extend(input.graph.descendants(excluded));
        left_out.insert(excluded.clone());
    }
    left_out
}

/// What a resource's dependencies say about it.
struct Wanted {
    tree: Tree,
    /// A managed dependency does not exist yet.
    in_something_new: bool,
}

impl<'a> Drafting<'a> {
    fn visit(&mut self, address: &Address) {
        let Some(block) = self.input.spec.resources.get(address) else { return };
        let Some(info) = self.input.catalog.get(&block.type_name) else { return };
        let dependencies = self.dependencies(address);
        if dependencies.iter().any(|dep| self.pending.contains(*dep)) {
            self.pending.insert(address.clone());
        }
        if let Some(run) = dependencies.iter().find_map(|dep| self.redone.get(*dep)).cloned() {
            self.redone.insert(address.clone(), run);
        }
        let wanted = self.wanted(block, info);
        if self.left_out.contains(address) {
            match self.input.state.resources.get(address) {
                Some(entry) => self.set_remembered(address, info, &entry.remembered),
                None => self.set_unknown(address, info, &wanted.tree),
            }
            return;
        }
        match info.kind {
            _ if self.pending.contains(address) => self.set_unknown(address, info, &wanted.tree),
            Kind::Managed => self.managed(address, block, info, wanted),
            Kind::Lookup => self.lookup(address, info, &wanted),
            Kind::Run => self.run(address, block, info, wanted),
            Kind::Scoped => self.set_unknown(address, info, &wanted.tree),
        }
    }

    /// Direct dependencies, in address order.
    fn dependencies(&self, address: &Address) -> Vec<&'a Address> {
        self.input.graph.dependencies.get(address).into_iter().flatten().collect()
    }

    fn kind(&self, address: &Address) -> Option<Kind> {
        let block = self.input.spec.resources.get(address)?;
        self.input.catalog.get(&block.type_name).map(|info| info.kind)
    }

    /// The fields with everything put in that is known, defaults of the type included.
    fn wanted(&self, block: &Block, info: &TypeInfo) -> Wanted {
        let resolve = |address: &Address| self.handles.get(address);
        let mut fields: Fields = block
            .fields
            .iter()
            .map(|(name, template)| (name.clone(), template.evaluate(&resolve)))
            .collect();
        info.put_defaults(&mut fields);
        let new = |dep: &Address| {
            self.kind(dep) == Some(Kind::Managed)
                && self.handles.get(dep).is_none_or(|handle| handle.id.is_none())
        };
        // A plain value that is not known yet says nothing of where the resource itself is.
        let in_something_new = block.fields.iter().any(|(name, field)| {
            let whole = matches!(fields.get(name), Some(Tree::Resource(_)));
            (whole || info.role(name) == FieldRole::Identity)
                && field.references().iter().any(|reference| new(&reference.address))
        });
        Wanted { tree: Tree::Map(fields), in_something_new }
    }

    /// The answer to a question, or the question.
    fn ask(
        &mut self,
        address: &Address,
        type_name: &str,
        ask: Ask,
        want: &Tree,
    ) -> Option<&'a Answer> {
        let key = (address.clone(), ask);
        if let Some(answer) = self.reality.get(&key) {
            if let Answer::Failed(finding) = answer {
                let known =
                    self.findings.iter().any(|l| l.address == *address && l.finding == *finding);
                if !known {
                    self.find(address, finding.clone());
                }
            }
            return Some(answer);
        }
        if self.asked.insert(key) {
            let state = self.input.state;
            self.questions.push(Question {
                address: address.clone(),
                type_name: type_name.to_owned(),
                ask,
                want: want.clone(),
                remembered: state.resources.get(address).map(|entry| entry.remembered.clone()),
                intent: state.operations.get(address).map(|op| op.intent.clone()),
            });
        }
        None
    }

    /// Asks to read the lookups that `address` refers to, itself or through values that follow from them. False while
    /// one is still unread.
    fn lookups_read(&mut self, address: &Address) -> bool {
        let (mut all, mut seen) = (true, BTreeSet::new());
        let mut next = self.dependencies(address);
        while let Some(dep) = next.pop() {
            let Some(block) = self.input.spec.resources.get(dep) else { continue };
            let Some(info) = self.input.catalog.get(&block.type_name) else { continue };
            if info.traits.internal && seen.insert(dep) {
                next.extend(self.dependencies(dep));
            }
            if info.kind != Kind::Lookup && !self.hides_secrets(dep, info) {
                continue;
            }
            let wanted = self.wanted(block, info);
            if info.kind != Kind::Lookup || !wanted.tree.has_unknown() {
                all &= self.ask(dep, &block.type_name, Ask::Read, &wanted.tree).is_some();
            }
        }
        all
    }

    /// Whether it was not looked at, by `--refresh=false`, and has secrets, which are stored nowhere.
    fn hides_secrets(&self, address: &Address, info: &TypeInfo) -> bool {
        self.input.options.refresh == Refresh::Never
            && info.kind == Kind::Managed
            && self.input.state.resources.contains_key(address)
            && info.attributes().any(|name| info.is_secret(name))
    }

    fn lookup(&mut self, address: &Address, info: &TypeInfo, wanted: &Wanted) {
        let answer = self.reality.get(&(address.clone(), Ask::Read));
        let action = match answer {
            Some(Answer::Live(Some(live))) => {
                self.set(address, Some(live.id.clone()), &live.attrs);
                self.preflight(address, info, &wanted.tree);
                Action::NoOp
            }
            Some(Answer::Live(None)) => {
                let (what, help) = match self.removal(address) {
                    Some(_) => ("was retired, and is not there", "take out what still needs it"),
                    None => (
                        "is not there",
                        "it is looked up, never made; check its fields and the account",
                    ),
                };
                let finding = Finding::error("PGF0202", format!("`{address}` {what}")).help(help);
                self.find(address, finding);
                self.set_unknown(address, info, &wanted.tree);
                Action::NoOp
            }
            _ => {
                // Asked again only to report a failure once.
                if answer.is_some() {
                    self.ask(address, info.name, Ask::Read, &wanted.tree);
                }
                match self.input.state.resources.get(address) {
                    Some(entry) if !wanted.tree.has_unknown() => {
                        self.set_remembered(address, info, &entry.remembered);
                    }
                    _ => self.set_unknown(address, info, &wanted.tree),
                }
                if self.input.options.preflight && !wanted.tree.has_unknown() {
                    self.ask(address, info.name, Ask::Read, &wanted.tree);
                }
                if wanted.tree.has_unknown() { Action::Read } else { Action::NoOp }
            }
        };
        self.change(address, info, action, Vec::new());
    }

    /// Asks for the facts of the preflight and takes its findings over; what is not known yet goes to the gate.
    fn preflight(&mut self, address: &Address, info: &TypeInfo, want: &Tree) {
        if (info.kind != Kind::Lookup && !self.lookups_read(address)) || info.traits.internal {
            return;
        }
        match self.ask(address, info.name, Ask::Inspect, want) {
            Some(Answer::Inspected { known, findings, .. }) => {
                for finding in findings {
                    self.find(address, finding.clone());
                }
                if !known {
                    self.deferred.insert(address.clone());
                }
            }
            Some(_) => {}
            None => {
                self.deferred.insert(address.clone());
            }
        }
    }

    fn find(&mut self, address: &Address, finding: Finding) {
        self.findings.push(Located { address: address.clone(), finding });
    }

    fn change(
        &mut self,
        address: &Address,
        info: &TypeInfo,
        action: Action,
        reasons: Vec<String>,
    ) -> &mut Change {
        let change = Change {
            address: address.clone(),
            type_name: info.name.to_owned(),
            kind: info.kind,
            action,
            reasons,
            fields: Vec::new(),
            unchanged: 0,
            id: None,
            notes: Vec::new(),
            takes_up: false,
        };
        self.changes.entry(address.clone()).insert_entry(change).into_mut()
    }

    fn set(&mut self, address: &Address, id: Option<String>, attrs: &Tree) {
        let attrs = match attrs {
            Tree::Map(map) => map.clone(),
            _ => Fields::new(),
        };
        let handle = Handle { address: address.clone(), id, attrs };
        self.handles.insert(address.clone(), Arc::new(handle));
    }

    fn set_remembered(&mut self, address: &Address, info: &TypeInfo, remembered: &Remembered) {
        let attrs = recalled(info, remembered);
        self.set(address, Some(remembered.id.clone()), &Tree::Map(attrs));
    }

    /// As it will be: attributes that repeat a field are known from it, the rest after apply.
    fn set_unknown(&mut self, address: &Address, info: &TypeInfo, want: &Tree) {
        let attrs = info.attributes().map(|name| {
            let known = want.get(name).filter(|tree| !matches!(tree, Tree::Resource(_)));
            (name.to_owned(), known.cloned().unwrap_or(Tree::Unknown))
        });
        self.set(address, None, &Tree::Map(attrs.collect()));
    }

    fn intent(&self, address: &Address) -> Option<&'a Intent> {
        self.input.state.operations.get(address).map(|operation| &operation.intent)
    }
}

/// Attributes as they were when last seen; what is secret is unknown, because it is stored nowhere.
fn recalled(info: &TypeInfo, remembered: &Remembered) -> Fields {
    let mut attrs = match remembered.attrs.recalled() {
        Tree::Map(map) => map,
        _ => Fields::new(),
    };
    for name in info.attributes().filter(|name| info.is_secret(name)) {
        attrs.insert(name.to_owned(), Tree::Unknown);
    }
    attrs
}

/// Whether what is stored mentions a whole resource, and with which id.
pub(crate) fn mentions<'t>(stored: &'t Tree, found: &mut Vec<(&'t str, Option<&'t str>)>) {
    match stored {
        Tree::List(items) => items.iter().for_each(|item| mentions(item, found)),
        Tree::Map(map) => match map.get("$address").and_then(Tree::as_text) {
            Some(address) => found.push((address, map.get("$id").and_then(Tree::as_text))),
            None => map.values().for_each(|item| mentions(item, found)),
        },
        _ => {}
    }
}
