//! A plan to tear down what a migration made: staging goes, what says so goes, data stays unless named today.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Action, Change, Input, Located, Options, Plan, ScopeAction, ScopeChange, Step, StepKind, steps,
};
use crate::address::Address;
use crate::finding::Finding;
use crate::info::{Kind, OnRemove};
use crate::state::Removal;
use crate::tree::Tree;

/// Plans a destroy from the state alone; reality is looked at by each deletion itself.
pub fn destroy(input: &Input<'_>) -> Plan {
    let state = input.state;
    let left_out = left_out(input);
    let mut changes = BTreeMap::new();
    for (address, entry) in &state.resources {
        if left_out.contains(address) {
            continue;
        }
        let traits = input.catalog.get(&entry.type_name).map(|info| info.traits);
        let guarded = traits.is_some_and(|traits| traits.guarded);
        let staging = traits.is_some_and(|traits| traits.staging);
        let confirmed = steps::unconfirmed_delete(input, address).is_none();
        let managed = entry.kind == Kind::Managed;
        let removed = entry.removal == Some(Removal::Done);
        let delete = match (managed, guarded) {
            _ if removed => false,
            (true, true) => confirmed,
            (true, false) => staging || entry.on_remove == OnRemove::Destroy,
            (false, _) => staging,
        };
        let reason = match (delete, guarded, managed) {
            _ if removed => "was removed after use".to_owned(),
            (true, true, _) => "confirmed by name".to_owned(),
            (true, false, _) if staging => "staging".to_owned(),
            (true, ..) => "`on_remove` is `destroy`".to_owned(),
            (false, true, _) => {
                let name = ["name", "label"]
                    .iter()
                    .find_map(|key| entry.remembered.attrs.get(key).and_then(Tree::as_text));
                format!("kept; to delete it: `--confirm {address}={}`", name.unwrap_or("NAME"))
            }
            (false, false, true) => "kept; `on_remove` is `keep`".to_owned(),
            (false, false, false) if entry.kind == Kind::Lookup => "was only looked up".to_owned(),
            (false, false, false) => "was done; nothing to delete".to_owned(),
        };
        let change = Change {
            address: address.clone(),
            type_name: entry.type_name.clone(),
            kind: entry.kind,
            action: if delete { Action::Delete } else { Action::Forget },
            reasons: vec![reason],
            fields: Vec::new(),
            unchanged: 0,
            id: None,
            notes: Vec::new(),
            takes_up: false,
        };
        changes.insert(address.clone(), change);
    }
    let scopes: BTreeMap<Address, ScopeChange> = state
        .open_scopes()
        .filter(|(address, _)| !left_out.contains(*address))
        .map(|(address, scope)| {
            let type_name = scope.type_name.clone();
            let change = ScopeChange { type_name, what: ScopeAction::Close, epoch: scope.epoch };
            (address.clone(), change)
        })
        .collect();
    let mut findings = taken_along(input, &changes);
    let going = changes.values().filter(|change| change.action == Action::Delete);
    findings.extend(going.filter_map(|change| steps::protected(input, &change.address)));
    let plan_steps = teardown(input, &changes, &scopes);
    Plan {
        name: input.spec.name.clone(),
        run: input.spec.run.clone(),
        lineage: state.lineage.clone(),
        serial: state.serial,
        at: input.now,
        destroy: true,
        refresh_only: false,
        left_out,
        changes,
        moved: BTreeMap::new(),
        keeping: BTreeMap::new(),
        removals: BTreeMap::new(),
        drift: BTreeMap::new(),
        outputs: BTreeMap::new(),
        scopes,
        expected: BTreeMap::new(),
        findings,
        steps: plan_steps,
    }
}

/// What `--target` and `--exclude` leave out of a destroy: all but the targets and what depends on them, and what is
/// excluded with all that it depends on.
fn left_out(input: &Input<'_>) -> BTreeSet<Address> {
    let Options { targets, excludes, .. } = input.options;
    if targets.is_empty() && excludes.is_empty() {
        return BTreeSet::new();
    }
    // As the state knows them, and as the spec says, for scopes are remembered without.
    let mut dependencies: BTreeMap<&Address, BTreeSet<&Address>> = BTreeMap::new();
    for (address, entry) in &input.state.resources {
        dependencies.entry(address).or_default().extend(&entry.dependencies);
    }
    for (address, more) in &input.graph.dependencies {
        dependencies.entry(address).or_default().extend(more);
    }
    let mut dependents: BTreeMap<&Address, BTreeSet<&Address>> = BTreeMap::new();
    for (address, others) in &dependencies {
        for other in others {
            dependents.entry(other).or_default().insert(address);
        }
    }
    let kept = reach(&dependencies, excludes);
    let wanted = reach(&dependents, targets);
    let open = input.state.open_scopes().map(|(address, _)| address);
    let known = input.state.resources.keys().chain(open);
    known
        .filter(|address| {
            kept.contains(*address) || (!targets.is_empty() && !wanted.contains(*address))
        })
        .cloned()
        .collect()
}

/// `from` and all that is reached from it.
fn reach<'a>(
    edges: &BTreeMap<&'a Address, BTreeSet<&'a Address>>,
    from: &'a BTreeSet<Address>,
) -> BTreeSet<&'a Address> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&Address> = from.iter().collect();
    while let Some(address) = open.pop() {
        if seen.insert(address) {
            open.extend(edges.get(address).into_iter().flatten());
        }
    }
    seen
}

/// What would go with something that was confirmed, without having been confirmed itself: an add-on with its app.
fn taken_along(input: &Input<'_>, changes: &BTreeMap<Address, Change>) -> Vec<Located> {
    let guarded = |address: &Address| {
        let change = changes.get(address);
        change.is_some_and(|c| input.catalog.get(&c.type_name).is_some_and(|i| i.traits.guarded))
    };
    let goes = |address: &Address| changes.get(address).is_some_and(|c| c.action == Action::Delete);
    let mut findings = Vec::new();
    for (address, entry) in &input.state.resources {
        let kept_safe = |address: &Address| guarded(address) || entry.prevent_destroy;
        let owner = entry.dependencies.iter().find(|owner| guarded(owner) && goes(owner));
        let Some(owner) = owner.filter(|_| kept_safe(address) && !goes(address)) else { continue };
        if let Some(protected) = steps::protected(input, address) {
            findings.push(protected);
            continue;
        }
        let help = steps::unconfirmed_delete(input, address).and_then(|finding| finding.help);
        let message = format!("`{address}` would go with `{owner}`, with everything in it");
        let mut finding = Finding::error("PGF0205", message);
        finding.help = help;
        findings.push(Located { address: address.clone(), finding });
    }
    findings
}

/// Scopes close first; then dependents go before what they depend on.
fn teardown(
    input: &Input<'_>,
    changes: &BTreeMap<Address, Change>,
    scopes: &BTreeMap<Address, ScopeChange>,
) -> Vec<Step> {
    let step = |address: &Address, what, after| Step {
        address: address.clone(),
        what,
        after,
        any_of: Vec::new(),
    };
    let mut all: Vec<Step> =
        scopes.keys().map(|scope| step(scope, StepKind::Close, Vec::new())).collect();
    let closings: Vec<usize> = (0..all.len()).collect();
    let gone: BTreeSet<Address> = changes.keys().cloned().collect();
    let dependents = steps::Dependents::of(input.state);
    let mut placed: BTreeMap<Address, usize> = BTreeMap::new();
    for (address, what) in steps::departures(input.state, &dependents, &gone, changes) {
        let mut after = closings.clone();
        after.extend(dependents.on(&address).filter_map(|d| placed.get(d).copied()));
        all.push(step(&address, what, after));
        placed.insert(address, all.len() - 1);
    }
    all
}
