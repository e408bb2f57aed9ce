//! `timeouts`: an act that takes too long is stopped, is not known to have happened, and is settled by the next run.
//! Time is paused, and passes as soon as everybody waits for it.

use pgferry_engine::apply::Outcome;
use pgferry_engine::state::Outcome as Known;

use super::memory::{Project, work};
use super::{at, planned, says, with};

const SPEC: &str = r#"
  a: { type: mem.thing, name: a, timeouts: { create: 10m, delete: 1m } }
  window: { type: mem.window, name: w, timeouts: { create: 1m, delete: 2m }, depends_on: [a] }
  job: { type: mem.job, depends_on: [window], timeouts: { create: 1h30m } }
  after: { type: mem.job, depends_on: [job] }
"#;

fn hang(project: &Project, what: &str, stops: bool) {
    project.cloud.lock().unwrap().hanging.insert(what.to_owned(), stops);
}

fn failed(outcome: &Outcome) -> Vec<(String, bool)> {
    outcome.failed.iter().map(|failure| (failure.message.clone(), failure.unknown)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long() {
    for stops in [true, false] {
        let project = with(SPEC);
        hang(&project, "job", stops);
        let begun = tokio::time::Instant::now();
        let outcome = project.applied().await;
        let cause = if stops { ": stopped on request" } else { "" };
        let want = format!(
            "running `job` did not end within 1h30m (`timeouts.create`) and was stopped; it may have happened, or go on elsewhere{cause}"
        );
        assert_eq!(failed(&outcome), [(want, true)]);
        // Told to stop, it stops at once; else it is given up after a while.
        let grace = if stops { 0 } else { 30 };
        assert_eq!(begun.elapsed().as_secs(), 5400 + grace);
        assert_eq!(outcome.skipped, [at("after")]);
        let state = project.state();
        assert!(matches!(state.operations[&at("job")].outcome, Known::Unknown { .. }));
        // The window stays open: it may still be going on.
        assert_eq!(outcome.held.len(), 1);
        let plan = planned(&project).await;
        assert_eq!(work(&plan), ["after Run", "job Run"]);
        assert_eq!(plan.changes[&at("job")].reasons, ["was cut short: it was begun"]);
        assert!(project.applied().await.is_success());
        assert!(!planned(&project).await.has_changes());
        assert!(project.cloud.lock().unwrap().open.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_in_time_is_not_stopped() {
    let project = with(SPEC);
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_takes_too_long() {
    let project = with(SPEC);
    hang(&project, "a", false);
    let outcome = project.applied().await;
    assert!(outcome.failed[0].unknown, "{outcome:?}");
    assert!(
        outcome.failed[0].message.starts_with("creating `a` did not end within 10m"),
        "{outcome:?}"
    );
    let help = outcome.failed[0].help.as_deref().unwrap_or_default();
    assert!(help.ends_with("if it needs longer: `timeouts: { create: … }` of `a`"), "{help}");
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_takes_too_long() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    says(&mut project, &SPEC.replace("name: a,", "name: b,"));
    let options = pgferry_engine::plan::Options {
        replace: [at("a")].into(),
        confirmed: vec![("a".to_owned(), "a".to_owned())],
        ..Default::default()
    };
    hang(&project, "delete a", true);
    let outcome = super::applied(&project, &options).await;
    assert!(outcome.failed[0].message.starts_with("destroying `a` did not end within 1m"));
    assert!(matches!(project.state().operations[&at("a")].outcome, Known::Unknown { .. }));
    // Nothing was made in its place; the next run takes it up.
    assert!(super::applied(&project, &options).await.is_success());
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test(start_paused = true)]
async fn a_window_that_takes_too_long_to_open_or_to_close() {
    let project = with(SPEC);
    hang(&project, "window", true);
    let outcome = project.applied().await;
    assert!(outcome.failed[0].message.starts_with("opening `window` did not end within 1m"));
    // Half open is closed like open.
    assert_eq!(project.log(), ["make a", "close window"]);
    hang(&project, "close window", false);
    let outcome = project.applied().await;
    assert_eq!(
        failed(&outcome),
        [("closing `window` did not end within 2m (`timeouts.delete`) and was stopped; it may have happened, or go on elsewhere".to_owned(), true)]
    );
    assert!(project.state().scopes[&at("window")].is_open());
    assert!(project.applied().await.is_success());
    assert!(!project.state().scopes[&at("window")].is_open());
}
