//! Any spec, any history, any mishap, then one operation: what must hold after each of them.
//!
//! A bad state comes of one operation on a good one, so the promises are looked at after every turn. A failure prints
//! the turns that lead to it as a test that can be pasted into `found.rs`.

#![allow(clippy::unwrap_used)]

mod found;
mod holds;
mod spec;
#[path = "../world/mod.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use pgferry_engine::plan::Refresh;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use world::Mishap;
use world::disk::Loss;

use spec::Draw;

/// The same cases each time, so that a failure is of the change at hand. Others by `PGFERRY_SEED` and `PGFERRY_CASES`.
const SEED: u64 = 20_261_125;
const CASES: u32 = 300;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Plan,
    Apply,
    Destroy,
    Release,
}

/// One command, with what goes wrong during it.
#[derive(Clone, Debug)]
struct Turn {
    spec: String,
    run: &'static str,
    operation: Operation,
    targets: Vec<String>,
    excludes: Vec<String>,
    replace: Vec<String>,
    refresh: Refresh,
    /// Whether every deletion is confirmed.
    confirms: bool,
    /// By number of the effect.
    mishaps: Vec<(u64, Mishap)>,
    /// Before which effect the process ends, counted around, and what is lost.
    crash: Option<(usize, Loss)>,
}

impl Turn {
    /// As code.
    fn code(&self) -> String {
        let Self {
            spec,
            run,
            operation,
            targets,
            excludes,
            replace,
            refresh,
            confirms,
            mishaps,
            crash,
        } = self;
        let list = |names: &[String]| match names {
            [] => "vec![]".to_owned(),
            names => format!("names(&{names:?})"),
        };
        let mishaps: Vec<String> =
            mishaps.iter().map(|(at, what)| format!("({at}, Mishap::{what:?})")).collect();
        let crash = match crash {
            Some((at, loss)) => format!("Some(({at}, Loss::{loss:?}))"),
            None => "None".to_owned(),
        };
        format!(
            "        Turn {{\n            spec: \"\n{spec}\".into(),\n            run: {run:?},\n            operation: Operation::{operation:?},\n            targets: {},\n            excludes: {},\n            replace: {},\n            refresh: Refresh::{refresh:?},\n            confirms: {confirms},\n            mishaps: vec![{}],\n            crash: {crash},\n        }},\n",
            list(targets),
            list(excludes),
            list(replace),
            mishaps.join(", "),
        )
    }
}

fn mishap() -> impl Strategy<Value = Mishap> {
    use Mishap::{Fails, Lost, Passes, Stop, Vanished};
    prop::sample::select(vec![Stop, Fails, Passes, Lost, Vanished])
}

fn loss() -> impl Strategy<Value = Loss> {
    (0_usize..6, any::<u64>()).prop_map(|(which, seed)| match Loss::ALL[which] {
        Loss::Some(_) => Loss::Some(seed),
        loss => loss,
    })
}

fn some_names() -> impl Strategy<Value = Vec<String>> {
    let few = prop::collection::btree_set(0_usize..spec::MOST, 1..3);
    let few = few.prop_map(|set| set.into_iter().map(spec::name).collect());
    prop_oneof![3 => Just(Vec::new()), 1 => few]
}

type Chosen = (Vec<String>, Vec<String>, Vec<String>, Refresh, bool);
type Drawn =
    ((Operation, u16, u8, &'static str), Chosen, Vec<(u64, Mishap)>, Option<(usize, Loss)>);

fn drawn() -> impl Strategy<Value = Drawn> {
    use Operation::{Apply, Destroy, Plan, Release};
    let operation =
        prop_oneof![8 => Just(Apply), 1 => Just(Plan), 1 => Just(Destroy), 1 => Just(Release)];
    let missing = prop_oneof![2 => Just(0_u16), 1 => any::<u16>()];
    let run = prop::sample::select(vec!["1", "1", "1", "2"]);
    let mishaps = prop::collection::vec((1_u64..60, mishap()), 0..4);
    let crash = prop_oneof![2 => Just(None), 1 => (0_usize..200, loss()).prop_map(Some)];
    let refresh =
        prop_oneof![8 => Just(Refresh::First), 1 => Just(Refresh::Never), 1 => Just(Refresh::Only)];
    let chosen = (some_names(), some_names(), some_names(), refresh, any::<bool>());
    ((operation, missing, 0_u8..4, run), chosen, mishaps, crash)
}

/// A turn with a spec that is cut and changed out of `draws`.
fn turn(draws: &[Draw], drawn: Drawn) -> Turn {
    let ((operation, missing, salt, run), chosen, mishaps, crash) = drawn;
    let (targets, excludes, replace, refresh, confirms) = chosen;
    let there = spec::addresses(draws, missing);
    let known = |names: Vec<String>| names.into_iter().filter(|n| there.contains(n)).collect();
    Turn {
        spec: spec::text(draws, missing, salt),
        run,
        operation,
        targets: known(targets),
        excludes: known(excludes),
        replace: known(replace),
        refresh,
        confirms,
        mishaps,
        crash,
    }
}

fn number<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn any_operation_on_any_state_keeps_the_promises() {
    let seed = number("PGFERRY_SEED", SEED);
    let config = Config {
        cases: number("PGFERRY_CASES", CASES),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let cases = config.cases;
    let draws = prop::collection::vec(any::<Draw>(), 1..spec::MOST);
    let strategy = (draws, prop::collection::vec(drawn(), 1..5)).prop_map(|(draws, all)| {
        all.into_iter().map(|drawn| turn(&draws, drawn)).collect::<Vec<_>>()
    });
    let (turns, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // What a failing case says while it shrinks is of no use; the last one is told below.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = TestRunner::new(config).run(&strategy, |case| {
        turns.fetch_add(case.len(), Ordering::Relaxed);
        let held = catch_unwind(AssertUnwindSafe(|| holds::after(&case)));
        match held {
            Ok(converged) => {
                done.fetch_add(usize::from(converged), Ordering::Relaxed);
                Ok(())
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let code: String = case.iter().map(Turn::code).collect();
                Err(TestCaseError::fail(format!(
                    "{}\n\n#[test]\nfn found() {{\n    holds::after(&[\n{code}    ]);\n}}\n",
                    said.unwrap_or_default()
                )))
            }
        }
    });
    std::panic::set_hook(hook);
    if let Err(proptest::test_runner::TestError::Fail(reason, _)) = &result {
        panic!("seed {seed}: {}", reason.message());
    }
    result.unwrap();
    let (turns, done) = (turns.into_inner(), done.into_inner());
    println!(
        "{cases} histories of {turns} operations, seed {seed}; {done} came to an end of their own"
    );
    assert!(done * 2 > usize::try_from(cases).unwrap(), "too many need a person: {done}");
}
