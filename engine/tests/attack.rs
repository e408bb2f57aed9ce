//! The promises, attacked one by one: each test is named for what must hold, and failed before it did.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "each test program uses its own part of it")]
mod memory;

use std::sync::Arc;

use memory::{Project, block, journey, project, work};
use pgferry_engine::address::Address;
use pgferry_engine::apply::{Outcome, release};
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::plan::{Options, Plan};
use pgferry_engine::spec::Block;
use pgferry_engine::state::journal::{Durability, Journal, Moment, Watch, recover};
use pgferry_engine::state::{Record, State};
use tokio_util::sync::CancellationToken;

fn at(address: &str) -> Address {
    Address::new(address)
}

fn position(log: &[String], line: &str) -> usize {
    log.iter().position(|l| l == line).unwrap_or_else(|| panic!("no `{line}` in {log:?}"))
}

fn nothing() -> Vec<String> {
    Vec::new()
}

fn still_running(project: &Project, address: &str) {
    project.cloud.lock().unwrap().running.insert(address.to_owned(), false);
}

fn has_finished(project: &Project, address: &str) {
    project.cloud.lock().unwrap().running.insert(address.to_owned(), true);
}

fn open(project: &Project) -> Vec<String> {
    project.cloud.lock().unwrap().open.iter().cloned().collect()
}

async fn plan(project: &Project) -> Plan {
    project.plan(&Options::default()).await
}

fn codes(plan: &Plan) -> Vec<String> {
    plan.errors().map(|located| located.finding.code.to_string()).collect()
}

async fn released(project: &Project) -> Outcome {
    let journal = Journal::begin(project.place.clone(), project.state(), SystemClock.now(), None);
    let world = project.world(CancellationToken::new());
    let (spec, graph, catalog) = (&project.spec, &project.graph, &project.catalog);
    release(spec, graph, catalog, &project.resources(), &world, journal.unwrap()).await.unwrap()
}

/// Applies and dies just after the first record of which `here` says so.
async fn dies(
    project: &Project,
    moment: Moment,
    here: impl Fn(&str) -> bool + Send + Sync + 'static,
) {
    let path = project.journal_path();
    let watch: Watch = Arc::new(move |now, _| {
        let text = std::fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap_or_default();
        assert!(!(now == moment && here(last)), "crash");
    });
    let options = Options::default();
    let apply = project.apply(&options, Some(watch), CancellationToken::new());
    let died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply)).await;
    assert!(died.is_err(), "the record was not reached");
}

fn with(name: &str, changed: Block) -> Vec<Block> {
    let mut blocks = journey();
    let place = blocks.iter().position(|block| block.address.as_str() == name).unwrap();
    blocks[place] = changed;
    blocks
}

#[tokio::test]
async fn a_restore_begun_under_a_released_window_is_not_taken_up() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    assert_eq!(released(&project).await.failed.len(), 0);
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"dump Run".to_owned()));
    let restore = &planned.changes[&at("restore")];
    assert!(!restore.takes_up, "{:?}", restore.reasons);
    has_finished(&project, "restore");
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn what_an_earlier_attempt_did_is_not_taken_for_this_one() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    released(&project).await;
    // It ends; the next apply dies after it has announced the restore of the new dump, and before it asks for it.
    has_finished(&project, "restore");
    let intent = |line: &str| {
        line.contains("\"event\":\"intent\"") && line.contains("\"address\":\"restore\"")
    };
    dies(&project, Moment::After, intent).await;
    has_finished(&project, "restore");
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"restore Run".to_owned()), "{:?}", work(&planned));
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn what_is_taken_up_twice_keeps_the_hour_of_its_beginning() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let begun = project.state().operations[&at("restore")].intent.at;
    project.applied().await;
    assert_eq!(project.state().operations[&at("restore")].intent.at, begun);
}

#[tokio::test]
async fn a_window_whose_block_left_while_it_was_open_makes_its_dump_stale() {
    let mut project = project(journey());
    let dumped = |line: &str| {
        line.contains("\"event\":\"succeeded\"") && line.contains("\"address\":\"dump\"")
    };
    dies(&project, Moment::After, dumped).await;
    project.log();
    // The block is written anew under another name, and nothing says that it is the same window.
    let mut blocks = with("window", block("other", "mem.window", &[("name", "o")], &["announce"]));
    for block in &mut blocks {
        for after in &mut block.depends_on {
            if after.as_str() == "window" {
                *after = at("other");
            }
        }
    }
    project.set(blocks);
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"dump Run".to_owned()), "{:?}", work(&planned));
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open other") < position(&log, "run dump"), "{log:?}");
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_window_whose_block_left_after_all_was_done_is_closed_and_no_more() {
    let window = [("name", "w"), ("on_success", "hold")];
    let mut project =
        project(with("window", block("window", "mem.window", &window, &["announce"])));
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), ["w"]);
    let mut blocks = journey();
    blocks.retain(|block| block.address.as_str() != "window");
    for block in &mut blocks {
        block.depends_on.retain(|after| after.as_str() != "window");
    }
    project.set(blocks);
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
    released(&project).await;
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn releasing_a_window_held_after_success_redoes_nothing() {
    let window = [("name", "w"), ("on_success", "hold")];
    let project = project(with("window", block("window", "mem.window", &window, &["announce"])));
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), ["w"]);
    assert!(!plan(&project).await.has_changes());
    released(&project).await;
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn releasing_a_window_held_after_a_failure_redoes_what_was_under_it() {
    let window = [("name", "w"), ("on_failure", "hold")];
    let project = project(with("window", block("window", "mem.window", &window, &["announce"])));
    project.cloud.lock().unwrap().failing.insert("verified".into());
    project.applied().await;
    assert!(!work(&plan(&project).await).contains(&"dump Run".to_owned()));
    released(&project).await;
    assert!(work(&plan(&project).await).contains(&"dump Run".to_owned()));
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_window_waits_for_what_is_only_written_down() {
    let mut blocks = journey();
    blocks.truncate(9);
    let project = project(blocks);
    still_running(&project, "restore");
    project.applied().await;
    has_finished(&project, "restore");
    assert_eq!(work(&plan(&project).await), ["restore Settle"]);
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_stop_or_a_failure_before_a_restore_is_taken_up_holds_its_scopes() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let outcome = project.apply(&Options::default(), None, stopped).await.unwrap();
    assert!(outcome.interrupted);
    assert_eq!(open(&project), ["k", "w"]);
    project.cloud.lock().unwrap().failing.insert("key".into());
    assert!(!project.applied().await.is_success());
    assert_eq!(open(&project), ["k", "w"]);
    has_finished(&project, "restore");
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn an_apply_of_something_else_leaves_a_running_restore_its_scopes() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let options = Options { targets: [at("app")].into(), ..Options::default() };
    project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert_eq!(open(&project), ["k", "w"]);
    let options = Options { excludes: [at("restore")].into(), ..Options::default() };
    project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert_eq!(open(&project), ["k", "w"]);
    has_finished(&project, "restore");
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_target_made_anew_by_itself_is_never_cut_over_to_empty() {
    let mut project = project(journey());
    assert!(project.applied().await.is_success());
    let anew = block(
        "target",
        "mem.thing",
        &[("name", "t2"), ("owner", "${app.name}"), ("size", "1")],
        &[],
    );
    project.set(with("target", anew));
    let only = [at("target")];
    let options =
        Options { targets: only.clone().into(), replace: only.into(), ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    assert_eq!(codes(&plan(&project).await), ["PGF0204"]);
    project.spec.run = "night-2".into();
    assert_eq!(codes(&plan(&project).await), nothing());
    assert!(project.applied().await.is_success());
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn a_dump_behind_what_is_made_already_still_gets_its_window() {
    let mut blocks = journey();
    blocks.insert(7, block("quiet", "mem.thing", &[("name", "q")], &["window"]));
    blocks[8].depends_on.retain(|after| after.as_str() != "window");
    blocks[8].depends_on.push(at("quiet"));
    let mut project = project(blocks);
    project.cloud.lock().unwrap().failing.insert("restore".into());
    assert!(!project.applied().await.is_success());
    project.log();
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open window") < position(&log, "run dump"), "{log:?}");
    assert_eq!(work(&plan(&project).await), nothing());
    // And what else it needs is made before the window opens.
    project.spec.run = "night-2".into();
    let mut blocks: Vec<Block> = project.spec.resources.values().cloned().collect();
    blocks.push(block("late", "mem.thing", &[("name", "l")], &[]));
    blocks[8].depends_on.push(at("late"));
    project.set(blocks);
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open window") < position(&log, "run dump"), "{log:?}");
    assert!(position(&log, "make late") < position(&log, "open window"), "{log:?}");
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_run_left_out_since_the_label_changed_leaves_its_window_incomplete() {
    let mut project = project(journey());
    assert!(project.applied().await.is_success());
    project.spec.run = "night-2".into();
    let options = Options { excludes: [at("verified")].into(), ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    // The window was closed in between, and the comparison has never seen what was copied under it.
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"dump Run".to_owned()), "{:?}", work(&planned));
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_run_cut_short_whose_block_left_is_not_passed_over() {
    let mut project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let mut blocks =
        with("restore", block("again", "mem.job", &[("input", "${target}")], &["dump", "key"]));
    for block in &mut blocks {
        for after in &mut block.depends_on {
            if after.as_str() == "restore" {
                *after = at("again");
            }
        }
    }
    project.set(blocks);
    assert_eq!(codes(&plan(&project).await), ["PGF0209"]);
}

#[tokio::test]
async fn a_change_whose_outcome_was_unknown_is_settled_by_looking() {
    let project = project(journey());
    assert!(project.applied().await.is_success());
    // An update of what is under the window got no answer, and had happened.
    let journal =
        Journal::begin(project.place.clone(), project.state(), SystemClock.now(), None).unwrap();
    let mut operation = serde_json::json!({
        "type": "mem.thing", "outcome": { "is": "unknown", "message": "no answer" },
        "under": { "run": "night-1", "at": "2026-01-01T00:00:00Z" },
        "intent": { "verb": "update", "inputs": null, "at": "2026-01-01T00:00:00Z", "notes": null },
    });
    operation["intent"]["before"] = serde_json::Value::Null;
    let operation = Box::new(serde_json::from_value(operation).unwrap());
    journal
        .append(&Record::Intent { address: at("cutover"), operation }, Durability::Synced)
        .unwrap();
    journal.finish().unwrap();
    let options = Options { replace: [at("dump")].into(), ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[test]
fn a_secret_reaches_neither_the_journal_nor_the_state_whatever_its_letters() {
    let folder = tempfile::tempdir().unwrap();
    let place = pgferry_engine::state::file::StateFile::new(folder.path().join("state.json"));
    // One that JSON and URLs write otherwise, and one that is also an ordinary word of ours.
    let odd = pgferry_engine::secret::Secret::new("q\"uo\\te/sl@sh");
    let _word = pgferry_engine::secret::Secret::new("succeeded");
    let _type = pgferry_engine::secret::Secret::new("mem.job/x");
    let state = State::new("m", "lineage".into());
    let journal = Journal::begin(place.clone(), state, SystemClock.now(), None).unwrap();
    let entry = serde_json::json!({
        "type": "mem.job/x", "kind": "run", "id": "1", "inputs": { "a": odd.expose() },
        "attrs": { "list": [format!("at {}", odd.expose())] }, "memory": "q%22uo%5Cte%2Fsl%40sh",
        "on_remove": "keep",
    });
    let entry = Box::new(serde_json::from_value(entry).unwrap());
    journal
        .append(&Record::Succeeded { address: at("succeeded"), entry }, Durability::Synced)
        .unwrap();
    let lived = journal.state();
    let text = std::fs::read_to_string(place.beside(".journal")).unwrap();
    assert!(!text.contains("sl@sh") && !text.contains("sl%40sh"), "{text}");
    let replayed = recover(&place).unwrap().unwrap();
    assert_eq!(replayed.resources, lived.resources);
    assert_eq!(replayed.resources[&at("succeeded")].type_name, "mem.job/x");
    journal.finish().unwrap();
    let text = std::fs::read_to_string(place.path()).unwrap();
    assert!(!text.contains("sl@sh") && !text.contains("sl%40sh"), "{text}");
}

#[tokio::test]
async fn a_journal_without_the_state_it_continues_is_refused() {
    let project = project(journey());
    assert!(project.applied().await.is_success());
    let journal =
        Journal::begin(project.place.clone(), project.state(), SystemClock.now(), None).unwrap();
    journal.append(&Record::Forgot { address: at("smoke") }, Durability::Synced).unwrap();
    drop(journal);
    let former = std::fs::read(project.place.path()).unwrap();
    std::fs::remove_file(project.place.path()).unwrap();
    assert!(recover(&project.place).is_err(), "all that was remembered would be lost");
    let older =
        String::from_utf8(former.clone()).unwrap().replace("\"serial\": 1", "\"serial\": 0");
    assert_ne!(older.as_bytes(), former);
    std::fs::write(project.place.path(), older).unwrap();
    assert!(recover(&project.place).is_err());
    std::fs::write(project.place.path(), former).unwrap();
    assert!(recover(&project.place).is_ok());
}

/// Dies twice: at every record of the first apply, and at every tenth of the one that follows.
#[tokio::test]
async fn two_crashes_in_a_row_converge() {
    for first in (1..).step_by(7) {
        let reached = |number: u64| -> Watch {
            Arc::new(move |now, record| {
                assert!(!(now == Moment::After && record == number), "crash");
            })
        };
        let mut died = false;
        for second in (1..).step_by(5) {
            let project = project(journey());
            let options = Options::default();
            let apply = project.apply(&options, Some(reached(first)), CancellationToken::new());
            died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply))
                .await
                .is_err();
            let apply = project.apply(&options, Some(reached(second)), CancellationToken::new());
            let again = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply))
                .await
                .is_err();
            assert!(project.applied().await.is_success(), "{first} {second}");
            assert_eq!(open(&project), nothing(), "{first} {second}");
            assert!(!plan(&project).await.has_changes(), "{first} {second}");
            assert_eq!(project.cloud.lock().unwrap().things["thing"].len(), 5);
            if !again {
                break;
            }
        }
        if !died {
            break;
        }
    }
}

#[tokio::test]
async fn releasing_what_would_not_close_after_success_redoes_nothing() {
    let project = project(journey());
    project.cloud.lock().unwrap().failing.insert("close window".into());
    let outcome = project.applied().await;
    assert!(!outcome.is_success());
    assert_eq!(open(&project), ["w"]);
    released(&project).await;
    assert_eq!(open(&project), nothing());
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn a_window_that_would_not_close_is_closed_by_the_next_apply() {
    let project = project(journey());
    project.cloud.lock().unwrap().failing.insert("close window".into());
    project.applied().await;
    assert!(plan(&project).await.has_changes());
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    assert!(!plan(&project).await.has_changes());
}

/// A replacement dies between the deletion and the creation, and at the start of the creation.
#[tokio::test]
async fn a_replacement_cut_short_is_never_cut_over_to_empty() {
    for event in ["forgot", "intent"] {
        let project = project(journey());
        assert!(project.applied().await.is_success());
        let path = project.journal_path();
        let watch: Watch = Arc::new(move |now, _| {
            let text = std::fs::read_to_string(&path).unwrap();
            let last = text.lines().last().unwrap_or_default();
            let here = last.contains(&format!("\"event\":\"{event}\""))
                && (event == "forgot" || last.contains("\"verb\":\"create\""));
            assert!(!(now == Moment::After && here), "crash");
        });
        let only = [at("target")];
        let options =
            Options { targets: only.clone().into(), replace: only.into(), ..Options::default() };
        let apply = project.apply(&options, Some(watch), CancellationToken::new());
        let died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply)).await;
        assert!(died.is_err(), "{event}");
        assert_eq!(codes(&plan(&project).await), ["PGF0204"], "{event}");
    }
}

#[tokio::test]
async fn another_source_under_a_finished_dump_is_said() {
    let mut blocks = journey();
    blocks.retain(|block| !matches!(block.address.as_str(), "window"));
    for block in &mut blocks {
        block.depends_on.retain(|after| after.as_str() != "window");
    }
    let place = blocks.iter().position(|block| block.address.as_str() == "dump").unwrap();
    blocks[place] = block("dump", "mem.job", &[("input", "${source}")], &["key", "bucket"]);
    let mut project = project(blocks.clone());
    project.cloud.lock().unwrap().failing.insert("verified".into());
    assert!(!project.applied().await.is_success());
    let other = serde_json::json!({"size": 2});
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().insert("other".into(), other);
    blocks[0] = block("source", "mem.lookup", &[("name", "other")], &[]);
    project.set(blocks);
    let planned = plan(&project).await;
    assert_eq!(work(&planned), ["cutover Create", "smoke Run", "verified Run"]);
    assert_eq!(planned.changes[&at("dump")].notes.len(), 1);
}

/// Dies at every record of a destroy, and destroys again.
#[tokio::test]
async fn a_destroy_cut_short_anywhere_ends_with_nothing_remembered() {
    use pgferry_engine::apply::{Applying, apply};
    use pgferry_engine::plan::{Input, Reality, destroy::destroy};
    let options = Options {
        confirmed: ["app a", "target t", "bucket b", "settings s", "cutover c"]
            .map(|pair| pair.split_once(' ').unwrap())
            .map(|(address, name)| (address.to_owned(), name.to_owned()))
            .into(),
        ..Options::default()
    };
    let destroyed = async |project: &Project, watch: Option<Watch>| {
        let state = project.state();
        let plan = destroy(&Input {
            spec: &project.spec,
            graph: &project.graph,
            catalog: &project.catalog,
            state: &state,
            options: &options,
            now: SystemClock.now(),
        });
        assert_eq!(codes(&plan), nothing());
        let applying = Applying {
            spec: Arc::new(project.spec.clone()),
            graph: Arc::new(project.graph.clone()),
            catalog: Arc::new(project.catalog.clone()),
            plan,
            reality: Reality::new(),
            handles: Default::default(),
            resources: project.resources(),
            world: project.world(CancellationToken::new()),
            journal: Journal::begin(project.place.clone(), state, SystemClock.now(), watch)
                .unwrap(),
            parallelism: 4,
            confirmed: options.confirmed.clone(),
        };
        let apply = std::panic::AssertUnwindSafe(apply(applying));
        futures_util::FutureExt::catch_unwind(apply).await.is_err()
    };
    for record in 1.. {
        let project = project(journey());
        project.cloud.lock().unwrap().failing.insert("close window".into());
        project.applied().await;
        let watch: Watch = Arc::new(move |now, number| {
            assert!(!(now == Moment::After && number == record), "crash");
        });
        let died = destroyed(&project, Some(watch)).await;
        assert!(!destroyed(&project, None).await);
        let state = project.state();
        assert!(state.resources.is_empty() && state.operations.is_empty(), "{record}: {state:?}");
        assert!(project.cloud.lock().unwrap().things["thing"].is_empty(), "{record}");
        assert_eq!(open(&project), nothing(), "{record}");
        if !died {
            break;
        }
    }
}

#[tokio::test]
async fn two_windows_over_one_dump_and_one_within_the_other_end_in_order() {
    let mut blocks = journey();
    blocks.insert(7, block("freeze", "mem.window", &[("name", "f")], &["announce"]));
    for block in &mut blocks {
        if matches!(block.address.as_str(), "dump" | "restore") {
            block.depends_on.push(at("freeze"));
        }
    }
    let after = [("name", "i")];
    blocks.push(block("inner", "mem.window", &after, &["verified"]));
    let place = blocks.iter().position(|block| block.address.as_str() == "cutover").unwrap();
    blocks[place].depends_on.push(at("inner"));
    let project = project(blocks);
    project.cloud.lock().unwrap().failing.insert("cutover".into());
    assert!(!project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    project.log();
    assert!(project.applied().await.is_success());
    let log = project.log();
    for pair in [
        ["open freeze", "run dump"],
        ["open window", "run dump"],
        ["run verified", "open inner"],
        ["open inner", "make cutover"],
        ["run smoke", "close freeze"],
        ["run smoke", "close inner"],
    ] {
        assert!(position(&log, pair[0]) < position(&log, pair[1]), "{pair:?} in {log:?}");
    }
    assert_eq!(open(&project), nothing());
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn a_stop_at_any_record_leaves_no_scope_open_and_nothing_undone_for_good() {
    for record in (1..).step_by(3) {
        let project = project(journey());
        let (stop, reached) =
            (CancellationToken::new(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let (cancel, seen) = (stop.clone(), Arc::clone(&reached));
        let watch: Watch = Arc::new(move |now, number| {
            if now == Moment::After && number == record {
                seen.store(true, std::sync::atomic::Ordering::SeqCst);
                cancel.cancel();
            }
        });
        let outcome = project.apply(&Options::default(), Some(watch), stop).await.unwrap();
        assert_eq!(open(&project), nothing(), "{record}: {:?}", outcome.held);
        assert!(outcome.is_success() || outcome.interrupted, "{record}: {outcome:?}");
        assert!(project.applied().await.is_success(), "{record}");
        assert!(!plan(&project).await.has_changes(), "{record}");
        if !reached.load(std::sync::atomic::Ordering::SeqCst) {
            break;
        }
    }
}

#[tokio::test]
async fn a_release_cut_short_is_finished_by_the_next() {
    for record in 1.. {
        let project = project(journey());
        still_running(&project, "restore");
        project.applied().await;
        let watch: Watch = Arc::new(move |now, number| {
            assert!(!(now == Moment::Before && number == record), "crash");
        });
        let journal =
            Journal::begin(project.place.clone(), project.state(), SystemClock.now(), Some(watch))
                .unwrap();
        let (resources, world) = (project.resources(), project.world(CancellationToken::new()));
        let (spec, graph, catalog) = (&project.spec, &project.graph, &project.catalog);
        let closing = release(spec, graph, catalog, &resources, &world, journal);
        let died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(closing))
            .await
            .is_err();
        assert_eq!(released(&project).await.failed.len(), 0);
        assert_eq!(
            (open(&project), project.state().open_scopes().count()),
            (nothing(), 0),
            "{record}"
        );
        has_finished(&project, "restore");
        assert!(work(&plan(&project).await).contains(&"dump Run".to_owned()), "{record}");
        assert!(project.applied().await.is_success());
        assert!(!plan(&project).await.has_changes());
        if !died {
            break;
        }
    }
}

/// Wide, as a fleet of databases is; what one costs must not grow with the others.
#[tokio::test]
async fn a_thousand_resources_side_by_side_are_done_in_seconds() {
    let mut all = vec![block("w", "mem.window", &[("name", "w")], &[])];
    for number in 0..500 {
        let (thing, job) = (format!("t{number:03}"), format!("j{number:03}"));
        all.push(block(&thing, "mem.thing", &[("name", thing.as_str())], &[]));
        all.push(block(&job, "mem.job", &[], &["w", &thing]));
    }
    let project = project(all);
    let begun = std::time::Instant::now();
    assert!(project.applied().await.is_success());
    let applied = begun.elapsed();
    assert!(!plan(&project).await.has_changes());
    let planned = begun.elapsed() - applied;
    assert!(begun.elapsed().as_secs() < 60, "applied in {applied:?}, planned in {planned:?}");
    println!("applied in {applied:?}, planned in {planned:?}");
}
