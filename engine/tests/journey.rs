//! The engine's contract, told with the first journey on a cloud in memory.

#![allow(clippy::unwrap_used)]

mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memory::{block, journey, project, work};
use pgferry_engine::plan::Options;
use pgferry_engine::state::journal::Moment;
use pgferry_engine::tree::Tree;
use tokio_util::sync::CancellationToken;

fn position(log: &[String], line: &str) -> usize {
    log.iter().position(|l| l == line).unwrap_or_else(|| panic!("no `{line}` in {log:?}"))
}

#[tokio::test]
async fn from_nothing_to_done_and_then_nothing() {
    let project = project(journey());
    let outcome = project.applied().await;
    assert!(outcome.is_success(), "{outcome:?}");
    let log = project.log();
    for pair in [
        ["make app", "make target"],
        ["make target", "run announce"],
        ["run announce", "open window"],
        ["open key", "open window"],
        ["open window", "run dump"],
        ["run dump", "run restore"],
        ["run restore", "close key"],
        ["run restore", "make settings"],
        ["run verified", "make cutover"],
        ["run smoke", "close window"],
    ] {
        assert!(position(&log, pair[0]) < position(&log, pair[1]), "{pair:?} in {log:?}");
    }
    let plan = project.plan(&Options::default()).await;
    assert_eq!(work(&plan), Vec::<String>::new());
    assert!(!plan.has_changes());
    // Not even the source is looked up for a migration that is done.
    assert_eq!(project.log(), Vec::<String>::new());
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().clear();
    assert!(!project.plan(&Options::default()).await.has_changes());
    let text = std::fs::read_to_string(project.place.path()).unwrap();
    for secret in ["secret-of-prod", "secret-url-of", "token-of"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_new_run_label_plans_the_runs_and_nothing_else() {
    let mut project = project(journey());
    project.applied().await;
    project.spec.run = "night-2".into();
    let plan = project.plan(&Options::default()).await;
    assert_eq!(
        work(&plan),
        ["announce Run", "dump Run", "restore Run", "smoke Run", "verified Run"]
    );
    assert!(project.applied().await.is_success());
    assert!(!project.plan(&Options::default()).await.has_changes());
}

#[tokio::test]
async fn what_failed_under_a_released_window_is_done_again_from_its_start() {
    let project = project(journey());
    project.cloud.lock().unwrap().failing.insert("restore".into());
    let outcome = project.applied().await;
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!(
        outcome.skipped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["cutover", "settings", "smoke", "verified"]
    );
    let log = project.log();
    assert!(position(&log, "run dump") < position(&log, "close window"));
    assert!(project.cloud.lock().unwrap().open.is_empty());
    let plan = project.plan(&Options::default()).await;
    let dump = &plan.changes[&"dump".parse().unwrap()];
    assert!(dump.reasons[0].starts_with("`window` was released at"), "{:?}", dump.reasons);
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open window") < position(&log, "run dump"));
    assert!(!log.contains(&"run announce".to_owned()));
    assert!(!project.plan(&Options::default()).await.has_changes());
}

#[tokio::test]
async fn an_operation_that_goes_on_elsewhere_holds_what_it_needs() {
    let project = project(journey());
    project.cloud.lock().unwrap().running.insert("restore".into(), false);
    let outcome = project.applied().await;
    assert!(outcome.failed[0].unknown);
    assert_eq!(outcome.held.len(), 2, "{:?}", outcome.held);
    assert_eq!(project.cloud.lock().unwrap().open.len(), 2);
    project.log();
    // It has finished meanwhile: taken down, and the rest goes on under the same window.
    project.cloud.lock().unwrap().running.insert("restore".into(), true);
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(
        !log.contains(&"run dump".to_owned()) && !log.contains(&"run restore".to_owned()),
        "{log:?}"
    );
    assert!(project.cloud.lock().unwrap().open.is_empty());
}

#[tokio::test]
async fn what_vanished_with_the_data_in_it_is_not_quietly_made_anew() {
    let project = project(journey());
    project.applied().await;
    project.cloud.lock().unwrap().things.get_mut("thing").unwrap().remove("t");
    let plan = project.plan(&Options::default()).await;
    let codes: Vec<&str> = plan.errors().map(|located| located.finding.code.as_str()).collect();
    assert_eq!(codes, ["PGF0204"]);
    assert!(work(&plan).contains(&"target Create".to_owned()));
}

#[tokio::test]
async fn what_leaves_the_spec_is_kept() {
    let mut project = project(journey());
    project.applied().await;
    let mut blocks = journey();
    blocks.truncate(12);
    project.set(blocks);
    assert_eq!(work(&project.plan(&Options::default()).await), ["smoke Forget"]);
    project.set(vec![block("app", "mem.thing", &[("name", "a")], &[])]);
    assert!(project.applied().await.is_success());
    assert_eq!(project.cloud.lock().unwrap().things["thing"].len(), 5);
    assert_eq!(project.state().resources.len(), 1);
}

#[tokio::test]
async fn drift_is_put_back_and_a_change_is_an_update() {
    let mut project = project(journey());
    project.applied().await;
    project.cloud.lock().unwrap().things.get_mut("thing").unwrap().get_mut("t").unwrap()["size"] =
        7.into();
    let plan = project.plan(&Options::default()).await;
    assert_eq!(work(&plan), ["target Update"]);
    let field = &plan.changes[&"target".parse().unwrap()].fields[0];
    assert_eq!(
        (field.before.as_ref().map(Tree::storable), field.after.as_ref().map(Tree::storable)),
        (Some(7.into()), Some(1.into()))
    );
    let mut blocks = journey();
    blocks[4] = block("target", "mem.thing", &[("name", "t2"), ("owner", "${app.name}")], &[]);
    project.set(blocks);
    let plan = project.plan(&Options::default()).await;
    assert!(plan.errors().any(|located| located.finding.code == "PGF0203"));
}

#[tokio::test]
async fn a_rehearsal_leaves_out_the_cutover_and_is_not_mistaken_for_the_night() {
    let project = project(journey());
    let excludes = ["cutover".parse().unwrap()].into();
    let options = Options { excludes, ..Options::default() };
    let outcome = project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert!(outcome.is_success(), "{outcome:?}");
    let log = project.log();
    assert!(log.contains(&"run verified".to_owned()));
    assert!(!log.contains(&"make cutover".to_owned()) && !log.contains(&"run smoke".to_owned()));
    // The window was closed in between: what was copied under it must not be cut over to.
    let plan = project.plan(&Options::default()).await;
    let runs = ["cutover Create", "dump Run", "restore Run", "smoke Run", "verified Run"];
    assert_eq!(work(&plan), runs);
    let targets = ["target".parse().unwrap()].into();
    let options = Options { targets, ..Options::default() };
    assert!(!project.plan(&options).await.has_changes());
    assert!(project.applied().await.is_success());
    assert!(!project.plan(&Options::default()).await.has_changes());
}

/// Stops at every record of the journal, before and after it is durable, and once with its last line torn.
#[tokio::test]
async fn a_crash_at_every_record_converges() {
    let records = {
        let project = project(journey());
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let watch = move |_, number| counted.store(number, Ordering::SeqCst);
        project
            .apply(&Options::default(), Some(Arc::new(watch)), CancellationToken::new())
            .await
            .unwrap();
        count.load(Ordering::SeqCst)
    };
    let mut crashes = 0;
    for moment in [Moment::Before, Moment::After] {
        for number in 1..=records {
            for torn in [false, true] {
                let project = project(journey());
                let watch: pgferry_engine::state::journal::Watch = Arc::new(move |at, record| {
                    assert!(!(at == moment && record == number), "crash");
                });
                let crashed = {
                    let options = Options::default();
                    let apply = project.apply(&options, Some(watch), CancellationToken::new());
                    futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply))
                        .await
                        .is_err()
                };
                assert!(crashed, "record {number} was not reached");
                crashes += 1;
                if torn {
                    use std::io::Write;
                    let mut journal =
                        std::fs::File::options().append(true).open(project.journal_path()).unwrap();
                    journal.write_all(b"{\"event\":\"succee").unwrap();
                }
                let outcome = project.applied().await;
                assert!(outcome.is_success(), "{moment:?} {number}: {outcome:?}");
                assert!(project.cloud.lock().unwrap().open.is_empty(), "{moment:?} {number}");
                let plan = project.plan(&Options::default()).await;
                assert!(!plan.has_changes(), "{moment:?} {number}: {:?}", work(&plan));
                assert_eq!(project.cloud.lock().unwrap().things["thing"].len(), 5);
                assert!(!project.journal_path().exists());
            }
        }
    }
    println!("{crashes} crashes over {records} records");
}

#[tokio::test]
async fn a_destroy_deletes_only_what_was_named_today() {
    use pgferry_engine::plan::{Input, destroy::destroy};
    let project = project(journey());
    project.applied().await;
    let state = project.state();
    let made = |confirmed: &[(&str, &str)]| {
        let confirmed = confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let options = Options { confirmed, ..Options::default() };
        let plan = destroy(&Input {
            spec: &project.spec,
            graph: &project.graph,
            catalog: &project.catalog,
            state: &state,
            options: &options,
            now: jiff::Timestamp::UNIX_EPOCH,
        });
        let destroyed = work(&plan).into_iter().filter(|line| line.ends_with("Delete")).collect();
        let errors: Vec<String> = plan.errors().map(|l| l.address.to_string()).collect();
        (destroyed, errors)
    };
    let none = Vec::<String>::new();
    assert_eq!(made(&[]), (none.clone(), none.clone()));
    assert_eq!(made(&[("target", "wrong")]), (none.clone(), none.clone()));
    assert_eq!(made(&[("bucket", "b")]), (vec!["bucket Delete".to_owned()], none));
    let (destroyed, errors) = made(&[("app", "a")]);
    assert_eq!(destroyed, ["app Delete"]);
    assert_eq!(errors, ["target"]);
}

#[tokio::test]
async fn a_window_that_did_not_open_is_no_broken_promise_later() {
    let project = project(vec![
        block("window", "mem.window", &[("name", "w")], &[]),
        block("job", "mem.job", &[], &["window"]),
    ]);
    project.cloud.lock().unwrap().failing.insert("window".into());
    let outcome = project.applied().await;
    assert_eq!(outcome.failed.len(), 1);
    assert!(project.cloud.lock().unwrap().open.is_empty());
    let outcome = project.applied().await;
    assert!(outcome.is_success(), "{outcome:?}");
    let plan = project.plan(&Options::default()).await;
    assert!(!plan.has_changes(), "{:?}", plan.changes);
}

#[tokio::test]
async fn a_key_and_a_window_do_not_wait_for_each_other() {
    // The job is behind the window only through what is made already, and its key has no other use.
    let project = project(vec![
        block("window", "mem.window", &[("name", "w")], &[]),
        block("key", "mem.key", &[("name", "k")], &[]),
        block("made", "mem.thing", &[("name", "m")], &["window"]),
        block("job", "mem.job", &[], &["key", "made"]),
    ]);
    project.cloud.lock().unwrap().failing.insert("job".into());
    assert_eq!(project.applied().await.failed.len(), 1);
    let outcome = project.applied().await;
    assert!(outcome.is_success(), "{outcome:?}");
    assert!(!project.plan(&Options::default()).await.has_changes());
}
