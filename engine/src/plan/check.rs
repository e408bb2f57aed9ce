//! A second look at a finished plan, by code that did not make it.
//!
//! Re-derives what must hold from the plan itself; a violation is a bug in pgferry and stops before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Plan, ScopeAction, StepKind};
use crate::address::Address;
use crate::graph::Graph;
use crate::info::Kind;

/// Every broken promise, in words; empty for a sound plan.
pub fn violations(plan: &Plan, graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    let acts = !plan.changes.is_empty() || !plan.scopes.is_empty() || !plan.steps.is_empty();
    if plan.refresh_only && acts {
        found.push("a plan that only looks would act".to_owned());
    }
    legal_actions(plan, &mut found);
    let Some(order) = order(plan) else {
        found.push("the steps wait for each other in a circle".to_owned());
        return found;
    };
    let before = reachable(plan, &order);
    let index: BTreeMap<(&Address, StepKind), usize> =
        plan.steps.iter().enumerate().map(|(i, step)| ((&step.address, step.what), i)).collect();
    let position = |address: &Address, kind| index.get(&(address, kind)).copied();
    for (address, change) in &plan.changes {
        let departs = matches!(change.action, Action::Delete | Action::Forget);
        if change.action != Action::NoOp && !departs {
            let Some(act) = position(address, StepKind::Act) else {
                found.push(format!("`{address}` has work but no step"));
                continue;
            };
            for dependency in graph.dependencies.get(address).into_iter().flatten() {
                for kind in [StepKind::Act, StepKind::Open] {
                    if let Some(first) = position(dependency, kind)
                        && !before[act].contains(&first)
                    {
                        found.push(format!("`{address}` does not wait for `{dependency}`"));
                    }
                }
            }
        }
    }
    for (scope, change) in &plan.scopes {
        let Some(close) = position(scope, StepKind::Close) else {
            found.push(format!("`{scope}` is opened and never closed"));
            continue;
        };
        if change.what == ScopeAction::Close {
            continue;
        }
        let Some(open) = position(scope, StepKind::Open) else {
            found.push(format!("`{scope}` is closed and never opened"));
            continue;
        };
        if !before[close].contains(&open) {
            found.push(format!("`{scope}` may be closed before it is opened"));
        }
        for dependent in graph.dependents.get(scope).into_iter().flatten() {
            if let Some(act) = position(dependent, StepKind::Act)
                && !before[close].contains(&act)
            {
                found.push(format!("`{scope}` may be closed before `{dependent}` is done"));
            }
        }
    }
    found
}

fn legal_actions(plan: &Plan, found: &mut Vec<String>) {
    for (address, change) in &plan.changes {
        let legal = match change.kind {
            Kind::Managed => !matches!(change.action, Action::Run | Action::Settle | Action::Read),
            Kind::Run => matches!(
                change.action,
                Action::Run | Action::Settle | Action::NoOp | Action::Forget | Action::Delete
            ),
            Kind::Lookup => matches!(change.action, Action::Read | Action::NoOp | Action::Forget),
            Kind::Scoped => change.action == Action::Forget,
        };
        if !legal {
            found.push(format!("`{address}` is {:?} and cannot {:?}", change.kind, change.action));
        }
    }
}

/// The steps in an order that respects `after`; `None` for a circle.
fn order(plan: &Plan) -> Option<Vec<usize>> {
    let mut waits: Vec<usize> = plan.steps.iter().map(|step| step.after.len()).collect();
    let mut next = vec![Vec::new(); plan.steps.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        for first in &step.after {
            next.get_mut(*first)?.push(index);
        }
    }
    let mut ready: Vec<usize> = (0..waits.len()).filter(|index| waits[*index] == 0).collect();
    let mut order = Vec::new();
    while let Some(index) = ready.pop() {
        order.push(index);
        for later in &next[index] {
            waits[*later] -= 1;
            if waits[*later] == 0 {
                ready.push(*later);
            }
        }
    }
    (order.len() == plan.steps.len()).then_some(order)
}

/// Per step, the direct `after`s; passes and gates are looked through.
fn reachable(plan: &Plan, order: &[usize]) -> Vec<BTreeSet<usize>> {
    let mut before: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); plan.steps.len()];
    for index in order {
        let mut mine = BTreeSet::new();
        for first in &plan.steps[*index].after {
            mine.insert(*first);
            if matches!(plan.steps[*first].what, StepKind::Pass | StepKind::Gate) {
                mine.extend(before[*first].iter().copied());
            }
        }
        before[*index] = mine;
    }
    before
}
