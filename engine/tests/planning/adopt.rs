//! `import`: what exists is taken into the state by its id, or refused with the reason.

use pgferry_engine::adopt::adopt;
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::plan::{Input, Options};
use pgferry_engine::state::journal::{Durability, Journal};
use pgferry_engine::state::{Entry, Record};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::memory::{Project, work};
use super::{at, planned, says, with};

const SPEC: &str = r#"
  source: { type: mem.lookup, name: prod }
  a: { type: mem.thing, name: a, size: 1, lifecycle: { prevent_destroy: true } }
  b: { type: mem.thing, name: b, owner: "${a.name}" }
  job: { type: mem.job }
  window: { type: mem.window, name: w, depends_on: [a] }
"#;

async fn tried(project: &Project, address: &str, id: &str) -> Result<Entry, (String, String)> {
    let (state, now) = (project.state(), SystemClock.now());
    let Project { spec, graph, catalog, .. } = project;
    let options = Options::default();
    let input = Input { spec, graph, catalog, state: &state, options: &options, now };
    let world = project.world(CancellationToken::new());
    adopt(&input, &project.resources(), &world, &at(address), id)
        .await
        .map_err(|fault| (fault.chain(), fault.help.unwrap_or_default()))
}

async fn imported(project: &Project, address: &str, id: &str) {
    let entry = Box::new(tried(project, address, id).await.unwrap());
    let journal = Journal::begin(
        std::sync::Arc::new(project.place.clone()),
        project.state(),
        SystemClock.now(),
        None,
    )
    .unwrap();
    let record = Record::Succeeded { address: at(address), entry };
    journal.append(&record, Durability::Synced).unwrap();
    journal.finish().unwrap();
}

fn put(project: &Project, name: &str, thing: serde_json::Value) {
    let mut cloud = project.cloud.lock().unwrap();
    cloud.things.entry("thing".into()).or_default().insert(name.into(), thing);
}

#[tokio::test]
async fn what_exists_becomes_ours() {
    let project = with(SPEC);
    put(&project, "a", json!({"size": 7, "owner": "me"}));
    put(&project, "b", json!({"owner": "a"}));
    // By the provider's own id, or by its name.
    imported(&project, "a", "id-a").await;
    imported(&project, "b", "b").await;
    assert_eq!(project.log(), [""; 0]);
    let state = project.state();
    let entry = &state.resources[&at("a")];
    assert_eq!(entry.remembered.id, "id-a");
    assert_eq!(entry.remembered.attrs, json!({"name": "a", "id": "id-a"}));
    assert!(entry.prevent_destroy);
    assert_eq!(state.resources[&at("b")].dependencies, [at("a")]);
    // It differs from the spec in one field, and that is all there is to do about it.
    let plan = planned(&project).await;
    assert_eq!(work(&plan), ["a Update", "job Run"]);
    assert!(project.applied().await.is_success());
    assert_eq!(project.log(), ["change a", "run job"]);
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn what_is_refused() {
    let mut project = with(SPEC);
    put(&project, "a", json!({"size": 1}));
    let refused = async |address: &str, id: &str| tried(&project, address, id).await.unwrap_err().0;
    assert_eq!(refused("nobody", "x").await, "the spec has no resource `nobody`");
    assert_eq!(
        refused("source", "prod").await,
        "`source` cannot be imported: a `mem.lookup` is looked up, never changed, and needs no import"
    );
    assert_eq!(
        refused("job", "1").await,
        "`job` cannot be imported: a `mem.job` is something done, which cannot be taken over"
    );
    assert_eq!(
        refused("window", "w").await,
        "`window` cannot be imported: a `mem.window` is open only within an apply"
    );
    assert_eq!(refused("b", "id-b").await, "there is no `mem.thing` `id-b`");
    assert_eq!(refused("a", "id-z").await, "the fields of `a` lead to `id-a`, not to `id-z`");
    imported(&project, "a", "a").await;
    assert_eq!(refused("a", "a").await, "`a` is in the state already");
    says(&mut project, &SPEC.replace("name: b,", "name: a,"));
    let (said, help) = tried(&project, "b", "a").await.unwrap_err();
    assert_eq!(said, "`a` is in the state already, as `a`");
    assert_eq!(help, "to call it `b`: `renamed_from: a` in its block");
    says(
        &mut project,
        &SPEC.replace("  a: { type: mem.thing,", "  a: { type: mem.thing, renamed_from: x,"),
    );
    assert_eq!(tried(&project, "a", "a").await.unwrap_err().0, "`a` is in the state already");
}
