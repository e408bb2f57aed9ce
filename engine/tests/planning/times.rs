//! How long a plan says that it will take: from the pace of the last time and from nothing else. Time is paused, and
//! passes as soon as everybody waits for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use pgferry_engine::cx::Clock;
use pgferry_engine::pace::Pace;
use pgferry_engine::plan::{Expected, Plan};
use pgferry_engine::state::State;

use super::memory::Project;
use super::{at, planned, says, with};

const SPEC: &str = r#"
  announce: { type: mem.mover, seconds: 500 }
  window: { type: mem.window, name: w, depends_on: [announce] }
  dump: { type: mem.mover, bytes: 1000000, known: true, seconds: 100, depends_on: [window] }
  restore: { type: mem.mover, bytes: 250000, seconds: 50, depends_on: [dump] }
  beside: { type: mem.mover, seconds: 20, depends_on: [dump] }
  settings: { type: mem.thing, name: s, depends_on: [restore] }
  verified: { type: mem.mover, bytes: 1000000, seconds: 10, depends_on: [settings, beside] }
  after: { type: mem.mover, seconds: 1000 }
"#;

/// Tells the time that tokio has let pass.
struct Paused(tokio::time::Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.0.elapsed()).unwrap();
        Timestamp::new(1_764_000_000, 0).unwrap() + passed
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

fn project() -> Project {
    let mut project = with(SPEC);
    project.clock = Arc::new(Paused(tokio::time::Instant::now()));
    project
}

/// Applied once, and to be done again.
async fn moved() -> Project {
    let mut project = project();
    assert!(project.applied().await.is_success());
    project.spec.run = "night-2".to_owned();
    project
}

fn seconds(plan: &Plan, address: &str) -> Option<u64> {
    plan.expected.get(&at(address)).and_then(|expected| expected.seconds)
}

fn all(addresses: &[&str]) -> Vec<pgferry_engine::address::Address> {
    addresses.iter().map(|address| at(address)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_never_done_has_no_estimate() {
    let plan = planned(&project()).await;
    let sized = |bytes| Expected { bytes: Some(bytes), ..Expected::default() };
    assert_eq!(plan.expected[&at("dump")], sized(1_000_000), "its size is known, no more");
    assert_eq!(plan.expected.get(&at("announce")), None);
    let unknown = all(&["beside", "dump", "restore", "verified"]);
    assert_eq!(plan.expected[&at("window")], Expected { unknown, ..Expected::default() });
}

#[tokio::test(start_paused = true)]
async fn runs_take_as_long_as_last_time_and_windows_as_long_as_their_longest_chain() {
    let project = moved().await;
    let plan = planned(&project).await;
    let dump = &plan.expected[&at("dump")];
    let as_on = project.state().resources[&at("dump")].pace.map(|pace| pace.at);
    let (bytes, rate) = (Some(1_000_000), Some(10_000));
    assert_eq!(dump, &Expected { seconds: Some(100), bytes, rate, as_on, ..Expected::default() });
    assert_eq!(as_on.unwrap().as_second(), 1_764_000_600, "announced for 500, dumped for 100");
    assert_eq!((seconds(&plan, "restore"), seconds(&plan, "after")), (Some(50), Some(1000)));
    let path = all(&["dump", "restore", "verified"]);
    let window = Expected { seconds: Some(160), path, ..Expected::default() };
    assert_eq!(plan.expected[&at("window")], window, "neither `beside` nor what is not under it");
}

#[tokio::test(start_paused = true)]
async fn more_data_take_longer() {
    let mut project = moved().await;
    says(&mut project, &SPEC.replace("bytes: 1000000, known", "bytes: 3000000, known"));
    project.spec.run = "night-2".to_owned();
    let plan = planned(&project).await;
    assert_eq!((seconds(&plan, "dump"), seconds(&plan, "verified")), (Some(300), Some(30)));
    let restore = &plan.expected[&at("restore")];
    assert_eq!((restore.seconds, restore.bytes), (Some(150), Some(750_000)), "grows as the dump");
    assert_eq!(seconds(&plan, "beside"), Some(20), "moves nothing");
    assert_eq!(seconds(&plan, "window"), Some(480));
}

#[tokio::test(start_paused = true)]
async fn a_state_of_before_knows_no_times() {
    let project = moved().await;
    let mut json = serde_json::to_value(project.state()).unwrap();
    json["resources"]["restore"].as_object_mut().unwrap().remove("pace").unwrap();
    let state: State = serde_json::from_value(json).unwrap();
    let (draft, _) = project.planned(&Default::default(), &state).await;
    assert_eq!(seconds(&draft.plan, "restore"), None);
    let window = &draft.plan.expected[&at("window")];
    assert_eq!((window.seconds, &window.unknown), (Some(130), &all(&["restore"])), "at least");
}

#[tokio::test(start_paused = true)]
async fn only_the_attempt_that_succeeded_counts() {
    let mut project = moved().await;
    project.cloud.lock().unwrap().failing.insert("restore".to_owned());
    assert!(!project.applied().await.is_success());
    let kept = project.state().resources[&at("restore")].pace.unwrap();
    assert_eq!(kept.milliseconds, 50_000, "of the night before");
    says(&mut project, &SPEC.replace("250000, seconds: 50", "250000, seconds: 40"));
    project.spec.run = "night-2".to_owned();
    assert!(project.applied().await.is_success());
    let Pace { milliseconds, bytes, at: when } =
        project.state().resources[&at("restore")].pace.unwrap();
    assert_eq!((milliseconds, bytes), (40_000, Some(250_000)));
    assert!(when > kept.at);
}

#[tokio::test(start_paused = true)]
async fn of_what_goes_on_elsewhere_the_rest_is_left() {
    let mut project = moved().await;
    // Nothing beside it that takes longer.
    says(
        &mut project,
        &SPEC.replace("seconds: 1000 ", "seconds: 1 ").replace("seconds: 20", "seconds: 5"),
    );
    project.spec.run = "night-2".to_owned();
    project.cloud.lock().unwrap().running.insert("restore".to_owned(), false);
    assert!(!project.applied().await.is_success());
    tokio::time::sleep(Duration::from_secs(25)).await;
    let plan = planned(&project).await;
    assert!(plan.changes[&at("restore")].takes_up);
    assert_eq!(seconds(&plan, "restore"), Some(20));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(seconds(&planned(&project).await, "restore"), None, "later than last time");
    // When it began is not seen here, so its pace is none.
    let before = project.state().resources[&at("restore")].pace;
    assert!(project.applied().await.is_success());
    assert_eq!(project.state().resources[&at("restore")].pace, before);
}
