//! A second look at a finished plan, by code that did not make it.
//!
//! Derives from spec, graph, state and options what must hold of any plan, and compares: a violation is a bug in pgferry
//! and stops before anything runs. Shares no code with the draft. Time and memory grow with the number of steps, and
//! nothing recurses. Tested by sound plans that are spoiled in every way, one by one (`engine/tests/checker.rs`).

use rustc_hash::{FxHashMap, FxHashSet};

use super::moves::Moves;
use super::{Action, Input, Plan, StepKind};
use crate::address::Address;
use crate::finding::Severity;
use crate::state::State;

mod changes;
mod order;
mod removals;
mod selection;

/// Every broken promise, in words; empty for a sound plan.
///
/// `input` is what the plan was made from.
pub fn violations(plan: &Plan, input: &Input<'_>) -> Vec<String> {
    // A plan to destroy follows the state as it is; any other follows it as it will be called.
    let renamed =
        if plan.destroy { None } else { Moves::of(input.spec, input.state).done(input.state) };
    let state = renamed.as_ref().unwrap_or(input.state);
    let mut check = Check::of(plan, input, state);
    check.origin();
    check.refresh_only();
    check.references();
    check.steps_and_work();
    check.legal_actions();
    check.deletions();
    check.removals();
    check.selection();
    if !plan.destroy {
        check.runs_that_follow();
        check.dependants_of_what_is_new();
        check.scopes_that_are_needed();
        check.epochs();
    }
    check.order();
    check.found
}

/// Where the steps of one address are.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    /// What others wait for: the act, the opening, or nothing but order.
    main: Option<usize>,
    gate: Option<usize>,
    close: Option<usize>,
    /// That it goes after use.
    remove: Option<usize>,
    /// Its deletion, or that it is forgotten.
    leave: Option<usize>,
}

struct Check<'a> {
    plan: &'a Plan,
    input: &'a Input<'a>,
    state: &'a State,
    places: FxHashMap<&'a Address, Places>,
    /// Addresses with a finding that stops the plan.
    stopped: FxHashSet<&'a Address>,
    found: Vec<String>,
}

/// Whether it does something, rather than take down what has been done.
fn works(action: Action) -> bool {
    action.is_work() && action != Action::Settle
}

impl<'a> Check<'a> {
    fn of(plan: &'a Plan, input: &'a Input<'a>, state: &'a State) -> Self {
        let errors = plan.findings.iter().filter(|l| l.finding.severity == Severity::Error);
        let stopped = errors.map(|located| &located.address).collect();
        let (mut places, mut found) = (FxHashMap::<&Address, Places>::default(), Vec::new());
        places.reserve(plan.steps.len().min(plan.changes.len() + plan.scopes.len()));
        for (index, step) in plan.steps.iter().enumerate() {
            let here = places.entry(&step.address).or_default();
            let place = match step.what {
                StepKind::Act | StepKind::Open | StepKind::Pass => &mut here.main,
                StepKind::Gate => &mut here.gate,
                StepKind::Close => &mut here.close,
                StepKind::Remove => &mut here.remove,
                StepKind::Delete | StepKind::Forget => &mut here.leave,
            };
            if place.replace(index).is_some() {
                found.push(format!("`{}` has two steps of one kind", step.address));
            }
        }
        Self { plan, input, state, places, stopped, found }
    }

    fn places(&self, address: &Address) -> Places {
        self.places.get(address).copied().unwrap_or_default()
    }

    fn acts(&self, address: &Address) -> Option<usize> {
        self.places(address).main.filter(|step| self.plan.steps[*step].what == StepKind::Act)
    }

    fn action(&self, address: &Address) -> Option<Action> {
        self.plan.changes.get(address).map(|change| change.action)
    }

    fn has_epochs(&self, type_name: &str) -> bool {
        self.input.catalog.get(type_name).is_some_and(|info| info.traits.epoch)
    }

    fn say(&mut self, violation: String) {
        self.found.push(violation);
    }

    /// It is of this state and this spec.
    fn origin(&mut self) {
        let (plan, state) = (self.plan, self.input.state);
        if (&plan.lineage, plan.serial) != (&state.lineage, state.serial) {
            self.say("the plan was made for another state".to_owned());
        }
    }

    /// A plan that only looks does nothing.
    fn refresh_only(&mut self) {
        let plan = self.plan;
        let acts = !plan.changes.is_empty() || !plan.scopes.is_empty() || !plan.steps.is_empty();
        if plan.refresh_only && acts {
            self.say("a plan that only looks would act".to_owned());
        }
    }

    /// Whatever is referred to is there, and the graph knows that it is waited for.
    fn references(&mut self) {
        let (spec, graph) = (self.input.spec, self.input.graph);
        for (address, block) in &spec.resources {
            let known = || graph.dependencies.get(address).map(Vec::as_slice).unwrap_or_default();
            let referred = block.references().map(|reference| &reference.address);
            for other in referred.chain(&block.depends_on) {
                if !spec.resources.contains_key(other) {
                    self.say(format!("`{address}` refers to `{other}`, which is not there"));
                } else if known().binary_search(other).is_err() {
                    self.say(format!(
                        "`{address}` refers to `{other}`, which the order does not know"
                    ));
                }
            }
        }
    }

    /// What has work has a step, and nothing else has.
    fn steps_and_work(&mut self) {
        let plan = self.plan;
        for (address, change) in &plan.changes {
            let places = self.places(address);
            let here = |step: Option<usize>, what| step.is_some_and(|s| plan.steps[s].what == what);
            let has = match change.action {
                Action::NoOp => true,
                Action::Delete => here(places.leave, StepKind::Delete),
                Action::Forget => here(places.leave, StepKind::Forget),
                _ => here(places.main, StepKind::Act),
            };
            if !has {
                self.say(format!("`{address}` has work but no step"));
            }
            if change.action == Action::Run && places.gate.is_none() {
                self.say(format!("`{address}` runs without having been judged"));
            }
        }
        for step in &plan.steps {
            let address = &step.address;
            let (action, scope) = (self.action(address), plan.scopes.get(address));
            let fits = match step.what {
                // The first of those that are deleted stands for all acts that come before.
                StepKind::Pass => {
                    self.input.spec.resources.contains_key(address)
                        || action == Some(Action::Delete)
                }
                StepKind::Gate => action.is_some_and(Action::is_work),
                StepKind::Act => action.is_some_and(|action| {
                    !matches!(action, Action::NoOp | Action::Delete | Action::Forget)
                }),
                StepKind::Open => scope.is_some_and(|s| s.what.opens()),
                StepKind::Close => scope.is_some(),
                StepKind::Remove => plan.removals.contains_key(address),
                StepKind::Delete => action == Some(Action::Delete),
                StepKind::Forget => action == Some(Action::Forget),
            };
            if !fits {
                self.say(format!("`{address}` has a step `{:?}` and no such work", step.what));
            }
        }
    }
}
