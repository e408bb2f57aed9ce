//! Any spec, any faults: after an apply the state is sound, and an apply without faults ends with nothing to do.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "each test program uses its own part")]
mod memory;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use memory::{Project, block, project, work};
use pgferry_engine::apply::Outcome;
use pgferry_engine::plan::Options;
use pgferry_engine::spec::Block;
use pgferry_engine::state::journal::{Moment, Watch};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio_util::sync::CancellationToken;

/// The same cases each time, so that a failure is of the change at hand. Try others by another seed and more cases:
/// 9,000 have passed.
const SEED: u64 = 20_261_122;

/// One resource: which type, which of the earlier ones it depends on, whether by reference or `depends_on`.
type Draw = (u8, u16, bool);

fn blocks(draws: &[Draw]) -> Vec<Block> {
    let types = [
        "mem.thing",
        "mem.job",
        "mem.thing",
        "mem.job",
        "mem.window",
        "mem.key",
        "mem.shelf",
        "mem.parcel",
    ];
    let mut made: Vec<Block> = Vec::new();
    for (index, (kind, edges, refer)) in draws.iter().enumerate() {
        let type_name = types[usize::from(*kind) % types.len()];
        let name = format!("r{index:02}");
        let earlier: Vec<String> = (0..index)
            .filter(|earlier| edges & (1 << (earlier % 16)) != 0)
            .map(|earlier| format!("r{earlier:02}"))
            .collect();
        let reference = earlier
            .iter()
            .find(|earlier| {
                let known = made.iter().find(|block| block.address.as_str() == earlier.as_str());
                *refer && known.is_some_and(|block| block.type_name == "mem.thing")
            })
            .map(|earlier| format!("${{{earlier}.id}}"));
        let after: Vec<&str> = earlier.iter().map(String::as_str).collect();
        let mut fields = vec![("name", name.as_str())];
        if type_name == "mem.job" {
            fields = Vec::new();
        }
        if let Some(reference) = &reference {
            fields.push((if type_name == "mem.job" { "input" } else { "owner" }, reference));
        }
        if type_name == "mem.window" || type_name == "mem.key" {
            fields.truncate(1);
        }
        // What is taken out of staging must be there, however often it went.
        let staging = |name: &&String| {
            let known = made.iter().find(|block| block.address.as_str() == name.as_str());
            known.is_some_and(|block| matches!(&*block.type_name, "mem.shelf" | "mem.parcel"))
        };
        let needs = serde_json::to_string(&earlier.iter().filter(staging).collect::<Vec<_>>());
        let needs = needs.unwrap();
        if type_name == "mem.shelf" || type_name == "mem.parcel" {
            fields.truncate(1);
            fields.push(("needs", &needs));
            fields.push(("after_use", if *refer { "remove" } else { "keep" }));
        }
        made.push(block(&name, type_name, &fields, &after));
    }
    made
}

/// Applies, and dies at record `crash` of the journal if it gets there; then there is no outcome.
async fn attempt(project: &Project, crash: Option<u64>) -> Option<Outcome> {
    let options = Options::default();
    let watch: Watch = Arc::new(move |moment, record| {
        assert!(!(moment == Moment::After && Some(record) == crash), "crash");
    });
    let apply = project.apply(&options, Some(watch), CancellationToken::new());
    let ended = AssertUnwindSafe(apply).catch_unwind().await;
    ended.ok().map(|outcome| outcome.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, rng_seed: RngSeed::Fixed(SEED), ..ProptestConfig::default() })]

    #[test]
    fn converges(
        draws in prop::collection::vec((any::<u8>(), any::<u16>(), any::<bool>()), 1..14),
        rounds in prop::collection::vec(
            (prop::collection::btree_set(0_usize..14, 0..4), prop::option::of(1_u64..40)),
            0..4,
        ),
        relabel in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut project = project(blocks(&draws));
            for (round, (failing, crash)) in rounds.iter().enumerate() {
                if relabel && round == 1 {
                    project.spec.run = "again".into();
                }
                let names = failing.iter().map(|index| format!("r{index:02}"));
                project.cloud.lock().unwrap().failing = names.collect();
                let plan = project.plan(&Options::default()).await;
                let mut planned = work(&plan);
                planned.extend(plan.removals.keys().map(ToString::to_string));
                let Some(outcome) = attempt(&project, *crash).await else { continue };
                // What was done is part of what was shown.
                for (address, _) in &outcome.done {
                    assert!(
                        planned.iter().any(|line| line.starts_with(address.as_str())),
                        "{address} was not planned"
                    );
                }
                assert!(
                    project.cloud.lock().unwrap().open.is_empty(),
                    "left open after {:?}",
                    outcome.failed
                );
                assert!(!project.journal_path().exists());
            }
            project.cloud.lock().unwrap().failing.clear();
            let outcome = project.applied().await;
            assert!(outcome.is_success(), "{outcome:?}");
            let plan = project.plan(&Options::default()).await;
            assert!(!plan.has_changes(), "{:?} {:?}", plan.changes.values().filter(|c| c.action.is_work()).collect::<Vec<_>>(), project.state().scopes);
            // And once more from there: staging that went is made again, and goes again.
            project.spec.run = "once more".into();
            let outcome = project.applied().await;
            assert!(outcome.is_success(), "once more: {outcome:?}");
            assert!(!project.plan(&Options::default()).await.has_changes(), "once more");
            let things = draws.iter().filter(|(kind, ..)| matches!(kind % 8, 0 | 2)).count();
            let cloud = project.cloud.lock().unwrap();
            assert_eq!(cloud.things.get("thing").map_or(0, |made| made.len()), things);
        });
    }
}
