//! Databases of people who told in public what went wrong with theirs, and members of the same kinds: each moved in
//! several ways, to the outcome that its `case.yaml` calls right.
//!
//! `tests/cases/README.md` says how a case is written. `CASES=48,50` tries those alone, and prints what was said.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "cases/harness/mod.rs"]
mod harness;
mod oracle;
mod pair;
mod stage;

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Instant;

use harness::case::Case;
use harness::world::World;

/// Cases tried at once.
const AT_ONCE: usize = 2;

/// What is wrong with a case; a panic in it is wrong, too, and leaves the others alone.
fn attempt(world: &World, case: &Case, is_loud: bool) -> Vec<String> {
    let attempt = AssertUnwindSafe(|| world.attempt(case, is_loud));
    std::panic::catch_unwind(attempt).unwrap_or_else(|cause| {
        let said = cause.downcast_ref::<String>().map_or("a panic", String::as_str);
        vec![format!("=== {}: {said}", case.name)]
    })
}

#[test]
fn every_case_from_the_field_has_its_right_outcome() {
    let only = std::env::var("CASES").ok();
    let named = |case: &Case| match &only {
        Some(only) => only.split(',').any(|number| case.name.starts_with(number)),
        None => true,
    };
    let mut cases: Vec<Case> = Case::all().into_iter().filter(named).collect();
    assert!(!cases.is_empty(), "no case of that number");
    let world = World::start();
    cases.retain(|case| match world.lacks(case) {
        Some(what) => {
            println!("skipped: {}, which needs {what}", case.name);
            false
        }
        None => true,
    });
    // Long ones first, so that none is left for the end.
    cases.sort_by_key(|case| (!case.standby, std::cmp::Reverse(case.outcomes.len())));
    let (tried, queue) = (cases.len(), Mutex::new(cases.into_iter()));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { return };
                    let begun = Instant::now();
                    let found = attempt(&world, &case, only.is_some());
                    println!("{:>5.1} s  {}", begun.elapsed().as_secs_f64(), case.name);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {tried} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
}
