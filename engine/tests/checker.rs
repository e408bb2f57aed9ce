//! The checker of plans, checked: plans that are sound are spoiled in every way, one by one, and each must be caught.
//!
//! Whether a plan whose order was spoiled is still sound is told by a third piece of code, which looks at all pairs.

#![allow(clippy::unwrap_used)]

mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pgferry_engine::address::Address;
use pgferry_engine::graph::Graph;
use pgferry_engine::info::Kind;
use pgferry_engine::plan::{
    Action, Change, Input, Options, Plan, ScopeAction, ScopeChange, Step, StepKind, check,
};
use pgferry_engine::state::State;
use world::disk::Loss;
use world::{Mishap, World, run};

const SPEC: &str = "
  source: { type: sim.database, name: acme-prod }
  key: { type: sim.key, name: mover }
  target: { type: sim.thing, name: db, size: 1 }
  settings: { type: sim.thing, name: set, on: '${target}' }
  announce: { type: sim.command, depends_on: [settings] }
  window: { type: sim.window, name: acme-web, depends_on: [announce] }
  dump:
    { type: sim.dump, source: '${source}', credentials: '${key}', object: night.dump, depends_on: [window] }
  restore: { type: sim.restore, into: '${target}', from: '${dump}' }
  verified: { type: sim.check, expected: '${source}', actual: '${target}', depends_on: [restore] }
  quiet: { type: sim.window, name: acme-jobs, depends_on: [verified] }
  cutover: { type: sim.cutover, name: cut, owner: '${target.id}', depends_on: [verified, quiet] }
  smoke: { type: sim.command, depends_on: [cutover] }
  old: { type: sim.thing, name: old, on: '${target}', on_remove: destroy }
  older: { type: sim.thing, name: older, on: '${old}', on_remove: destroy }
";

/// Plans of every sort, each with the world and the options that it was made for.
async fn plans() -> Vec<(&'static str, World, Options, Plan)> {
    let at = |names: &[&str]| names.iter().map(|name| Address::new(*name)).collect();
    let yes = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let mut made = Vec::new();
    let fresh = World::new(SPEC);
    made.push(("everything", fresh.clone(), Options::default()));
    made.push((
        "a target",
        fresh.clone(),
        Options { targets: at(&["dump"]), ..Options::default() },
    ));
    let plain = World::new(SPEC);
    plain.watch();
    assert!(plain.apply(&Options::default()).await.unwrap().is_success());
    let points = plain.seen();
    let asked = points.iter().position(|point| point.next == "ask for restore").unwrap();
    let crashed = plain.again(&points[asked], Loss::Everything, Duration::from_secs(1));
    made.push(("after a crash", crashed, Options::default()));
    let failed = World::new(SPEC);
    failed.mishaps([(asked as u64 + 1, Mishap::Fails)]);
    assert!(!failed.apply(&Options::default()).await.unwrap().is_success());
    made.push(("after a failure", failed, Options::default()));
    let rehearsed = || async {
        let world = World::new(SPEC);
        let options = Options { excludes: at(&["cutover"]), ..Options::default() };
        assert!(world.apply(&options).await.unwrap().is_success());
        world
    };
    let mut second = rehearsed().await;
    second.says(SPEC, "night-2");
    made.push(("a second night", second, Options::default()));
    let confirmed = yes(&[("target", "db"), ("old", "old"), ("older", "older")]);
    let replace = Options { replace: at(&["target"]), confirmed, ..Options::default() };
    made.push(("a replacement", plain, replace.clone()));
    let mut removed = rehearsed().await;
    let lines = SPEC.lines().filter(|line| !line.starts_with("  old"));
    removed.says(&lines.collect::<Vec<_>>().join("\n"), "night-1");
    made.push(("blocks that left", removed, replace.clone()));
    let mut plans = Vec::new();
    for (name, world, options) in made {
        let plan = world.plan(&options).await;
        plans.push((name, world, options, plan));
    }
    let world = rehearsed().await;
    plans.push(("a destroy", world.clone(), replace.clone(), world.destruction(&replace)));
    plans
}

/// Looks at all pairs: whether everything comes in the order in which it must.
fn in_order(world: &World, plan: &Plan) -> bool {
    let count = plan.steps.len();
    let mut before = vec![vec![false; count]; count];
    for (later, step) in plan.steps.iter().enumerate() {
        step.after.iter().for_each(|first| before[*first][later] = true);
    }
    for middle in 0..count {
        for first in 0..count {
            for later in 0..count {
                before[first][later] |= before[first][middle] && before[middle][later];
            }
        }
    }
    let find = |address: &Address, kinds: &[StepKind]| {
        let fits = |step: &Step| step.address == *address && kinds.contains(&step.what);
        plan.steps.iter().position(fits)
    };
    let comes = |first: Option<usize>, later: Option<usize>| match (first, later) {
        (Some(first), Some(later)) => before[first][later],
        _ => true,
    };
    use StepKind::{Act, Close, Delete, Forget, Gate, Open, Pass};
    let main = |address: &Address| find(address, &[Act, Open, Pass]);
    let leave = |address: &Address| find(address, &[Delete, Forget]);
    let epochs = |scope: &ScopeChange| {
        world.catalog.get(&scope.type_name).is_some_and(|info| info.traits.epoch)
    };
    let mut good = true;
    if !plan.destroy {
        for address in &world.graph.order {
            let above = world.graph.ancestors(address);
            good &= above.iter().all(|first| comes(main(first), main(address)));
            good &= comes(find(address, &[Gate]), main(address));
        }
    }
    for (scope, change) in &plan.scopes {
        let (open, close) = (find(scope, &[Open]), find(scope, &[Close]));
        good &= comes(open, close) && close.is_some();
        let closes = change.what == ScopeAction::Close;
        for step in plan.steps.iter().filter(|step| step.what == Gate) {
            let window = epochs(change) && !closes;
            good &= !window || comes(find(&step.address, &[Gate]), open);
        }
        let direct: BTreeSet<Address> = world.graph.direct_dependents(scope).cloned().collect();
        let all = world.graph.descendants(scope);
        for below in if epochs(change) || closes { &all } else { &direct } {
            let settles = plan.changes.get(below).is_some_and(|c| c.action == Action::Settle);
            let used = if closes {
                find(below, &[Act]).filter(|_| settles)
            } else {
                find(below, &[Act, Open])
            };
            good &= comes(used, close);
        }
    }
    let state = world.state();
    for (dependent, entry) in &state.resources {
        for first in &entry.dependencies {
            good &= comes(leave(dependent).or(find(dependent, &[Act])), leave(first));
        }
    }
    for scope in plan.scopes.keys().filter(|_| plan.destroy) {
        good &= plan.changes.keys().all(|address| comes(find(scope, &[Close]), leave(address)));
    }
    good
}

/// Without one step, and without whatever waited for it waiting for it.
fn without(plan: &Plan, index: usize) -> Plan {
    let mut plan = plan.clone();
    plan.steps.remove(index);
    let moved = |first: &mut usize| *first -= usize::from(*first > index);
    for step in &mut plan.steps {
        step.after.retain(|first| *first != index);
        step.after.iter_mut().for_each(moved);
        step.any_of.iter_mut().for_each(|group| group.retain(|first| *first != index));
        step.any_of.iter_mut().flatten().for_each(moved);
    }
    plan
}

#[test]
fn every_spoiled_order_is_caught_and_no_sound_one() {
    let (mut caught, mut sound) = (0, 0);
    for (name, world, options, plan) in run(plans()) {
        assert_eq!(world.violations(&plan, &options), Vec::<String>::new(), "{name}");
        assert!(in_order(&world, &plan), "{name}: the third piece of code is wrong");
        let mut judge = |spoiled: &Plan, what: String| {
            let found = world.violations(spoiled, &options);
            let good = in_order(&world, spoiled);
            assert_eq!(found.is_empty(), good, "{name}: {what}: {found:?}");
            *(if good { &mut sound } else { &mut caught }) += 1;
        };
        for (later, step) in plan.steps.iter().enumerate() {
            for (place, first) in step.after.iter().enumerate() {
                let mut spoiled = plan.clone();
                spoiled.steps[later].after.remove(place);
                judge(&spoiled, format!("{step:?} without {:?}", plan.steps[*first]));
            }
            let mut spoiled = plan.clone();
            spoiled.steps[later].after.clear();
            judge(&spoiled, format!("{step:?} waits for nothing"));
            if step.what == StepKind::Pass {
                judge(&without(&plan, later), format!("without {step:?}"));
            }
        }
    }
    println!("{caught} spoiled orders caught, {sound} that were still sound passed");
    assert!(caught > 100 && sound > 10, "{caught} {sound}");
}

#[test]
fn every_other_mutation_is_caught() {
    let mut count = 0;
    for (name, world, options, plan) in run(plans()) {
        let mut judge = |what: String, spoil: &dyn Fn(&mut Plan)| {
            let mut spoiled = plan.clone();
            spoil(&mut spoiled);
            assert_ne!(spoiled, plan, "{name}: {what}");
            assert_ne!(
                world.violations(&spoiled, &options),
                Vec::<String>::new(),
                "{name}: {what}"
            );
            count += 1;
        };
        let nowhere = plan.steps.len();
        judge("another state".into(), &|plan| plan.serial += 1);
        for (index, step) in plan.steps.iter().enumerate() {
            let run = plan.changes.get(&step.address).is_some_and(|c| c.action == Action::Run);
            let may_go = step.what == StepKind::Pass || (step.what == StepKind::Gate && !run);
            if !may_go {
                judge(format!("no {step:?}"), &|plan| *plan = without(plan, index));
            }
            judge(format!("twice {step:?}"), &|plan| plan.steps.push(step.clone()));
            judge(format!("{step:?} waits for nowhere"), &|plan| {
                plan.steps[index].after.push(nowhere);
            });
            judge(format!("{step:?} waits for any of nowhere"), &|plan| {
                plan.steps[index].any_of.push(vec![nowhere]);
            });
            judge(format!("{step:?} waits for itself"), &|plan| {
                plan.steps[index].after.push(index)
            });
            for first in &step.after {
                judge(format!("{step:?} in a circle"), &|plan| {
                    plan.steps[*first].after.push(index)
                });
            }
        }
        for (address, change) in &plan.changes {
            for action in illegal(change.kind) {
                judge(format!("`{address}` {action:?}"), &|plan| {
                    plan.changes.get_mut(address).unwrap().action = action;
                });
            }
            if change.action.is_work() {
                judge(format!("no work of `{address}`"), &|plan| {
                    plan.changes.get_mut(address).unwrap().action = Action::NoOp;
                });
                judge(format!("no change of `{address}`"), &|plan| {
                    plan.changes.remove(address);
                });
            }
        }
        for (scope, change) in &plan.scopes {
            judge(format!("another epoch of `{scope}`"), &|plan| {
                plan.scopes.get_mut(scope).unwrap().epoch += 1;
            });
            judge(format!("`{scope}` not there"), &|plan| {
                plan.scopes.remove(scope);
            });
            if change.what != ScopeAction::Close {
                judge(format!("`{scope}` closes only"), &|plan| {
                    plan.scopes.get_mut(scope).unwrap().what = ScopeAction::Close;
                });
            }
        }
    }
    println!("{count} mutations caught");
    assert!(count > 500, "{count}");
}

fn illegal(kind: Kind) -> Vec<Action> {
    use Action::{Create, Delete, Import, NoOp, Read, Replace, Run, Settle, Update};
    match kind {
        Kind::Managed => vec![Run, Settle, Read],
        Kind::Run => vec![Create, Import, Update, Replace, Read],
        Kind::Lookup => vec![Create, Import, Update, Replace, Delete, Run, Settle],
        Kind::Scoped => vec![NoOp, Create, Import, Update, Replace, Delete, Read, Run, Settle],
    }
}

/// Takes the work from one resource, as a planner would that has overlooked it.
fn overlooks(plan: &Plan, name: &str) -> Plan {
    let address = Address::new(name);
    let mut plan = plan.clone();
    let change = plan.changes.get_mut(&address).unwrap();
    assert!(change.action.is_work(), "{name}");
    change.action = Action::NoOp;
    let gate = plan.steps.iter().position(|s| s.address == address && s.what == StepKind::Gate);
    if let Some(gate) = gate {
        plan = without(&plan, gate);
    }
    for step in plan.steps.iter_mut().filter(|s| s.address == address && s.what == StepKind::Act) {
        step.what = StepKind::Pass;
    }
    plan
}

#[test]
fn what_depends_on_what_is_new_is_not_overlooked() {
    let plans = run(plans());
    let (_, world, options, plan) =
        plans.iter().find(|(name, ..)| *name == "a second night").unwrap();
    for run in ["restore", "verified"] {
        assert_eq!(
            world.violations(&overlooks(plan, run), options),
            [format!("`{run}` is not done again, and what it depends on is")]
        );
    }
    let (_, world, options, plan) =
        plans.iter().find(|(name, ..)| *name == "a replacement").unwrap();
    // That the data went with the target is a finding; a plan without it would go on to an empty one.
    let mut silent = plan.clone();
    silent.findings.clear();
    let left = |name: &str| format!("`{name}` is left as it is, and `target` is made anew");
    assert_eq!(world.violations(&silent, options), [left("restore"), left("verified")]);
    for managed in ["settings", "old"] {
        let found = world.violations(&overlooks(&silent, managed), options);
        assert!(found.contains(&left(managed)), "{found:?}");
    }
}

#[test]
fn what_is_deleted_was_named_and_what_is_left_out_stays_out() {
    let plans = run(plans());
    let (_, world, options, plan) = plans.iter().find(|(name, ..)| *name == "a destroy").unwrap();
    let unnamed = Options { confirmed: Vec::new(), ..options.clone() };
    let found = world.violations(plan, &unnamed);
    assert!(
        found.contains(&"`target` would be deleted, and nobody named it".to_owned()),
        "{found:?}"
    );
    let (_, world, options, plan) =
        plans.iter().find(|(name, ..)| *name == "a replacement").unwrap();
    let unasked = Options { replace: BTreeSet::new(), ..options.clone() };
    let found = world.violations(plan, &unasked);
    assert!(
        found.contains(&"`target` is replaced, and nobody asked for it".to_owned()),
        "{found:?}"
    );
    let mut protecting = world.clone();
    let protected = "size: 1, lifecycle: { prevent_destroy: true } }";
    protecting.says(&SPEC.replace("size: 1 }", protected), "night-1");
    let mut silent = plan.clone();
    silent.findings.clear();
    let found = protecting.violations(&silent, options);
    assert!(found.contains(&"`target` is protected and would be deleted".to_owned()), "{found:?}");
    let (_, world, _, plan) = plans.iter().find(|(name, ..)| *name == "everything").unwrap();
    for (targets, excludes) in [(["settings"].as_slice(), [].as_slice()), (&[], &["window"])] {
        let at = |names: &[&str]| names.iter().map(|name| Address::new(*name)).collect();
        let options =
            Options { targets: at(targets), excludes: at(excludes), ..Options::default() };
        let found = world.violations(plan, &options);
        assert!(found.contains(&"`dump` was left out and has work".to_owned()), "{found:?}");
    }
}

#[test]
fn references_that_lead_nowhere_are_seen() {
    let world = World::new(SPEC);
    let plan = run(world.plan(&Options::default()));
    let mut graph = (*world.graph).clone();
    graph
        .dependencies
        .get_mut(&Address::new("restore"))
        .unwrap()
        .retain(|it| it.as_str() != "dump");
    let forgetful = World { graph: Arc::new(graph), ..world.clone() };
    let unknown = "`restore` refers to `dump`, which the order does not know";
    assert_eq!(forgetful.violations(&plan, &Options::default()), [unknown]);
    let mut spec = (*world.spec).clone();
    spec.resources.shift_remove(&Address::new("announce"));
    let poor = World { spec: Arc::new(spec), ..world };
    let found = poor.violations(&plan, &Options::default());
    assert!(
        found.contains(&"`window` refers to `announce`, which is not there".to_owned()),
        "{found:?}"
    );
}

/// One window over a hundred thousand things, in a row, side by side, and each on three of the layer before.
#[test]
fn a_hundred_thousand_steps_are_checked_in_seconds() {
    const MANY: usize = 100_000;
    let world = World::new("  w: { type: sim.window, name: w }\n");
    let name = |number: usize| Address::new(format!("r{number:06}"));
    let window = Address::new("w");
    for shape in ["wide", "chain", "layered"] {
        let before = |number: usize| -> Vec<usize> {
            match (shape, number) {
                ("chain", 1..) => vec![number - 1],
                ("layered", 150..) => (0..3).map(|n| number - 100 - (number + n) % 50).collect(),
                _ => Vec::new(),
            }
        };
        let edges = (0..MANY).flat_map(|n| before(n).into_iter().map(move |first| (n, first)));
        let edges = edges.map(|(n, first)| (name(n), name(first)));
        let edges = edges.chain((0..MANY).map(|n| (name(n), window.clone())));
        let all = (0..MANY).map(name).chain([window.clone()]);
        let graph = Graph::build(all, edges).unwrap();
        let step =
            |address: Address, what, after| Step { address, what, after, any_of: Vec::new() };
        let mut steps = vec![step(window.clone(), StepKind::Open, Vec::new())];
        for number in 0..MANY {
            let after = before(number).into_iter().map(|first| first + 1).chain([0]).collect();
            steps.push(step(name(number), StepKind::Act, after));
        }
        steps.push(step(window.clone(), StepKind::Close, (0..=MANY).collect()));
        let change = |address: Address| Change {
            address,
            type_name: "sim.value".into(),
            kind: Kind::Managed,
            action: Action::Create,
            reasons: Vec::new(),
            fields: Vec::new(),
            unchanged: 0,
            id: None,
            notes: Vec::new(),
            takes_up: false,
        };
        let scope = ScopeChange {
            type_name: "sim.window".into(),
            what: ScopeAction::OpenAndClose,
            epoch: 1,
        };
        let state = State::new("m", "lineage".into());
        let mut plan = Plan {
            name: "m".into(),
            run: "night-1".into(),
            lineage: state.lineage.clone(),
            serial: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            destroy: false,
            refresh_only: false,
            left_out: Default::default(),
            changes: (0..MANY).map(|n| (name(n), change(name(n)))).collect(),
            moved: Default::default(),
            keeping: Default::default(),
            removals: Default::default(),
            drift: Default::default(),
            expected: Default::default(),
            outputs: Default::default(),
            scopes: [(window.clone(), scope)].into(),
            findings: Vec::new(),
            steps,
        };
        let options = Options::default();
        let (spec, catalog, now) = (&*world.spec, &*world.catalog, plan.at);
        let input = Input { spec, graph: &graph, catalog, state: &state, options: &options, now };
        let begun = std::time::Instant::now();
        assert_eq!(check::violations(&plan, &input), Vec::<String>::new(), "{shape}");
        let sound = begun.elapsed();
        // The last of all is forgotten by the closing.
        plan.steps.last_mut().unwrap().after.pop();
        let found = check::violations(&plan, &input);
        assert_eq!(found, [format!("`w` may be closed before `{}` is done", name(MANY - 1))]);
        println!("{MANY} steps, {shape}: {sound:?}");
    }
}
