//! What random operations have found, kept as they were printed.

use pgferry_engine::address::Address;
use pgferry_engine::plan::{Options, Refresh};

use super::holds;
use super::world::disk::Loss;
use super::world::{Ran, World, run};
use super::{Operation, Turn};

impl Turn {
    /// A turn without mishaps.
    fn new(operation: Operation, spec: &str) -> Self {
        Self {
            spec: spec.to_owned(),
            run: "1",
            operation,
            targets: Vec::new(),
            excludes: Vec::new(),
            replace: Vec::new(),
            refresh: Refresh::First,
            confirms: false,
            mishaps: Vec::new(),
            crash: None,
        }
    }
}

/// It held the window for what had been begun under it, and said that all was destroyed.
#[test]
fn a_destroy_closes_what_a_crash_left_open() {
    let spec = "
  r00: { type: sim.window, name: r00 }
  r01: { type: sim.thing, name: r01, depends_on: [r00] }
";
    for at in 1..40 {
        holds::after(&[
            Turn { crash: Some((at, Loss::Nothing)), ..Turn::new(Operation::Apply, spec) },
            Turn::new(Operation::Destroy, spec),
        ]);
    }
}

/// A restore counted as done after the spec named another target, and the cutover went to that one, which was empty.
#[test]
fn a_run_that_was_done_to_another_target_is_no_ground_to_go_on_from() {
    let spec = |target: &str| {
        format!(
            "
  first: {{ type: sim.thing, name: first }}
  {target}: {{ type: sim.thing, name: {target} }}
  dump: {{ type: sim.dump, object: dump.dump }}
  restore: {{ type: sim.restore, into: '${{{target}}}', from: '${{dump}}' }}
  cutover: {{ type: sim.cutover, name: cut, owner: '${{{target}.id}}', depends_on: [restore] }}
"
        )
    };
    run(async {
        let options = Options::default();
        let mut world = World::new(&spec("second"));
        assert!(world.apply(&options).await.unwrap().is_success());
        world.says(&spec("third"), "night-1");
        for _ in 0..2 {
            let plan = world.plan(&options).await;
            let notes = &plan.changes[&Address::new("restore")].notes;
            assert!(
                notes.iter().any(|note| note.starts_with("its fields have changed")),
                "{:?}",
                plan.changes
            );
            let Ran::Refused(why) = world.apply(&options).await.unwrap() else {
                panic!("it goes on")
            };
            assert_eq!(
                why,
                [
                    "PGF0204 restore: `restore` was done to `second`, not to `third`, and `cutover` would go on from there"
                ]
            );
            // Nor once it is there.
            let targets = [Address::new("third")].into();
            let only = Options { targets, ..Options::default() };
            assert!(world.apply(&only).await.unwrap().is_success());
        }
        world.says(&spec("third"), "2");
        assert!(world.apply(&options).await.unwrap().is_success());
    });
}

/// The key was held for a restore that it was never handed to, and the apply that took the restore up ended well with
/// the key still there.
#[test]
fn a_key_is_held_only_for_those_that_it_is_handed_to() {
    let spec = |value: &str| {
        format!(
            "
  r00: {{ type: sim.thing, name: r00 }}
  r01: {{ type: sim.dump, object: r01.dump }}
  r02: {{ type: sim.key, name: r02 }}
  r03: {{ type: sim.value, input: {value}, depends_on: [r02] }}
  r04: {{ type: sim.restore, into: '${{r00}}', from: '${{r01}}', depends_on: [r03] }}
"
        )
    };
    for at in 1..80 {
        let crash = Some((at, Loss::Nothing));
        holds::after(&[
            Turn { crash, ..Turn::new(Operation::Apply, &spec("text")) },
            Turn::new(Operation::Apply, &spec("other")),
        ]);
    }
}

/// With `--refresh=false`, what refers to something replaced was left pointing at what is gone.
#[test]
fn what_is_not_looked_at_still_follows_what_is_made_anew() {
    let spec = "
  r00: { type: sim.thing, name: r00 }
  r01: { type: sim.thing, name: r01, owner: '${r00.id}', on: '${r00}' }
";
    holds::after(&[
        Turn::new(Operation::Apply, spec),
        Turn {
            replace: holds::names(&["r00"]),
            refresh: Refresh::Never,
            confirms: true,
            ..Turn::new(Operation::Apply, spec)
        },
    ]);
}
