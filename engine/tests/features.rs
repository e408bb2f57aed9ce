//! What a spec can say about a resource besides its fields, from the text of the spec to the end of an apply, on a
//! cloud in memory.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with tests that begin with blocks, not with text")]
mod memory;

use std::sync::Arc;

use memory::{Project, project, work};
use pgferry_engine::plan::destroy::destroy;
use pgferry_engine::plan::{Input, Options, Plan};
use pgferry_engine::source::Source;
use pgferry_engine::spec::{Inputs, load};
use pgferry_engine::state::journal::{Moment, Watch};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

/// A project whose spec says `resources`.
fn with(resources: &str) -> Project {
    let mut project = project(Vec::new());
    says(&mut project, resources);
    project
}

fn says(project: &mut Project, resources: &str) {
    let text = format!("pgferry: 1\nname: m\nrun: night-1\nresources:\n{resources}");
    let source = Source::new("spec.yaml", text);
    let inputs = Inputs { base: project.folder.path().to_owned(), ..Inputs::default() };
    let loaded = load(&source, &inputs, &project.catalog).unwrap_or_else(|found| {
        panic!("{}", found.iter().map(|one| one.render(&source)).collect::<String>())
    });
    (project.spec, project.graph) = (loaded.spec, loaded.graph);
}

async fn planned(project: &Project) -> Plan {
    project.plan(&Options::default()).await
}

fn findings(plan: &Plan) -> Vec<String> {
    plan.errors()
        .map(|l| format!("{} {}: {}", l.finding.code, l.address, l.finding.message))
        .collect()
}

fn thing(project: &Project, name: &str) -> Json {
    project.cloud.lock().unwrap().things["thing"].get(name).cloned().unwrap_or(Json::Null)
}

fn confirmed(address: &str, name: &str) -> Options {
    Options { confirmed: vec![(address.to_owned(), name.to_owned())], ..Options::default() }
}

fn destroyed(project: &Project, options: &Options) -> Plan {
    let (state, now) = (project.state(), jiff::Timestamp::UNIX_EPOCH);
    let Project { spec, graph, catalog, .. } = project;
    destroy(&Input { spec, graph, catalog, state: &state, options, now })
}

#[tokio::test]
async fn ignored_changes_are_left_alone() {
    let spec = |owner: &str| {
        format!(
            "  t:\n    type: mem.thing\n    name: t\n    size: 1\n    owner: {owner}\n    lifecycle: {{ ignore_changes: [size] }}\n"
        )
    };
    let mut project = with(&spec("a"));
    assert!(project.applied().await.is_success());
    project.cloud.lock().unwrap().things.get_mut("thing").unwrap().get_mut("t").unwrap()["size"] =
        7.into();
    assert!(!planned(&project).await.has_changes());
    says(&mut project, &spec("b"));
    let plan = planned(&project).await;
    let fields: Vec<&str> =
        plan.changes[&"t".parse().unwrap()].fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!((work(&plan), fields), (vec!["t Update".to_owned()], vec!["owner"]));
    assert!(project.applied().await.is_success());
    assert_eq!(thing(&project, "t"), json!({"size": 7, "owner": "b"}));
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn protection_outlives_the_block() {
    let spec = |lifecycle: &str| {
        format!(
            "  t: {{ type: mem.thing, name: t, on_remove: destroy{lifecycle} }}\n  u: {{ type: mem.thing, name: u }}\n"
        )
    };
    let without = "  u: { type: mem.thing, name: u }\n";
    let protect = ", lifecycle: { prevent_destroy: true }";
    let refused = ["PGF0206 t: `t` would be deleted, and `prevent_destroy` protects it"];
    let mut project = with(&spec(""));
    assert!(project.applied().await.is_success());
    // Nothing but the protection is new; the state learns of it all the same.
    says(&mut project, &spec(protect));
    let plan = planned(&project).await;
    assert!(plan.has_changes() && work(&plan).is_empty(), "{plan:?}");
    assert!(project.applied().await.is_success());
    assert!(project.state().resources[&"t".parse().unwrap()].prevent_destroy);
    assert!(!planned(&project).await.has_changes());
    let options = confirmed("t", "t");
    assert_eq!(findings(&destroyed(&project, &options)), refused);
    assert_eq!(findings(&destroyed(&project, &Options::default())), Vec::<String>::new());
    says(&mut project, without);
    assert_eq!(findings(&project.plan(&options).await), refused);
    assert_eq!(findings(&destroyed(&project, &options)), refused);
    // The way out.
    says(&mut project, &spec(", lifecycle: { prevent_destroy: false }"));
    assert!(project.applied().await.is_success());
    says(&mut project, without);
    let plan = project.plan(&options).await;
    assert_eq!((work(&plan), findings(&plan)), (vec!["t Delete".to_owned()], Vec::new()));
    project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert_eq!(thing(&project, "t"), Json::Null);
}

#[tokio::test]
async fn protection_holds_against_a_replacement() {
    let spec = |name: &str| {
        format!(
            "  t: {{ type: mem.thing, name: {name}, lifecycle: {{ prevent_destroy: true }} }}\n"
        )
    };
    let mut project = with(&spec("a"));
    assert!(project.applied().await.is_success());
    says(&mut project, &spec("b"));
    let replace = Options { replace: ["t".parse().unwrap()].into(), ..Options::default() };
    assert_eq!(
        findings(&project.plan(&replace).await),
        ["PGF0206 t: `t` would be deleted, and `prevent_destroy` protects it"]
    );
}

#[tokio::test]
async fn a_stranger_of_the_same_name_stops_the_plan() {
    let spec = "  a: { type: mem.thing, name: a, on_exists: fail }\n";
    let project = with(spec);
    let put = |name: &str| {
        let mut cloud = project.cloud.lock().unwrap();
        cloud.things.entry("thing".into()).or_default().insert(name.into(), json!({}));
    };
    put("a");
    assert_eq!(
        findings(&planned(&project).await),
        ["PGF0207 a: `a` exists already, as `id-a`, and its `on_exists` is `fail`"]
    );
    project.cloud.lock().unwrap().things.clear();
    assert!(project.applied().await.is_success());
    // What is ours is no stranger.
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn a_stranger_that_could_not_be_looked_for_stops_the_apply() {
    let project = with(
        "  a: { type: mem.thing, name: a }\n  b: { type: mem.thing, name: \"${a.id}-b\", on_exists: fail }\n",
    );
    let mut things = std::collections::BTreeMap::new();
    things.insert("id-a-b".to_owned(), json!({"size": 3}));
    project.cloud.lock().unwrap().things.insert("thing".into(), things);
    let outcome = project.applied().await;
    let failed: Vec<&str> = outcome.failed.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(failed, ["`b` exists already, as `id-id-a-b`, and its `on_exists` is `fail`"]);
    assert_eq!(thing(&project, "id-a-b"), json!({"size": 3}));
}

#[tokio::test]
async fn what_was_cut_short_is_no_stranger() {
    let project = with("  a: { type: mem.thing, name: a, on_exists: fail }\n");
    let watch: Watch = Arc::new(|at, record| assert!(!(at == Moment::Before && record == 2)));
    let options = Options::default();
    let apply = project.apply(&options, Some(watch), CancellationToken::new());
    let crashed = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply)).await;
    assert!(crashed.is_err());
    assert_eq!(project.log(), ["make a"]);
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
}

const BEFORE: &str = r#"
  source: { type: mem.lookup, name: prod }
  app: { type: mem.thing, name: a, lifecycle: { prevent_destroy: true } }
  target: { type: mem.thing, name: t, owner: "${app.name}" }
  window: { type: mem.window, name: w, depends_on: [target] }
  dump: { type: mem.job, input: ["${source.size}"], depends_on: [window] }
  restore: { type: mem.job, input: "${target.id}", depends_on: [dump] }
"#;

const AFTER: &str = r#"
  source: { type: mem.lookup, name: prod }
  application: { type: mem.thing, name: a, lifecycle: { prevent_destroy: true }, renamed_from: app }
  new: { type: mem.thing, name: t, owner: "${application.name}", renamed_from: target }
  quiet: { type: mem.window, name: w, depends_on: [new], renamed_from: window }
  sent: { type: mem.job, input: ["${source.size}"], depends_on: [quiet], renamed_from: dump }
  filled: { type: mem.job, input: "${new.id}", depends_on: [sent], renamed_from: restore }
"#;

fn moved(plan: &Plan) -> Vec<String> {
    plan.moved.iter().map(|(to, from)| format!("{from} -> {to}")).collect()
}

const MOVES: [&str; 5] =
    ["app -> application", "restore -> filled", "target -> new", "window -> quiet", "dump -> sent"];

#[tokio::test]
async fn a_rename_keeps_everything_and_does_nothing_else() {
    let mut project = with(BEFORE);
    assert!(project.applied().await.is_success());
    let before = project.state();
    project.log();
    says(&mut project, AFTER);
    let plan = planned(&project).await;
    assert_eq!((work(&plan), moved(&plan)), (Vec::new(), MOVES.map(str::to_owned).to_vec()));
    assert!(plan.has_changes());
    assert!(project.applied().await.is_success());
    assert_eq!(project.log(), Vec::<String>::new());
    let state = project.state();
    let names: Vec<&str> = state.resources.keys().map(|a| a.as_str()).collect();
    assert_eq!(names, ["application", "filled", "new", "sent", "source"]);
    let entry = &state.resources[&"filled".parse().unwrap()];
    assert_eq!(entry.remembered.id, before.resources[&"restore".parse().unwrap()].remembered.id);
    let dependencies: Vec<&str> = entry.dependencies.iter().map(|a| a.as_str()).collect();
    assert_eq!(dependencies, ["new", "sent"]);
    let epochs = &entry.done.as_ref().unwrap().epochs;
    assert_eq!(epochs, &[("quiet".parse().unwrap(), 1)].into());
    assert!(state.resources[&"application".parse().unwrap()].prevent_destroy);
    // Once done, the words may stay or go.
    assert!(!planned(&project).await.has_changes());
    says(&mut project, &AFTER.replace(", renamed_from: window", ""));
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn a_rename_takes_what_is_under_way_along() {
    let mut project = with(BEFORE);
    project.cloud.lock().unwrap().running.insert("restore".into(), false);
    assert!(project.applied().await.failed[0].unknown);
    assert_eq!(project.cloud.lock().unwrap().open.len(), 1);
    project.log();
    says(&mut project, AFTER);
    {
        let mut cloud = project.cloud.lock().unwrap();
        cloud.running.clear();
        cloud.running.insert("filled".into(), true);
    }
    let plan = planned(&project).await;
    assert_eq!((work(&plan), moved(&plan).len()), (vec!["filled Settle".to_owned()], 5));
    assert!(project.applied().await.is_success());
    assert_eq!(project.log(), ["close quiet"]);
    // All that was under the window is done, so none of it is done again.
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn a_crash_in_a_rename_converges() {
    for (moment, record) in [(Moment::Before, 1), (Moment::After, 1), (Moment::After, 2)] {
        let mut project = with(BEFORE);
        assert!(project.applied().await.is_success());
        project.log();
        says(&mut project, &AFTER.replace("name: t,", "name: t, size: 5,"));
        let watch: Watch = Arc::new(move |at, number| assert!((at, number) != (moment, record)));
        let options = Options::default();
        let apply = project.apply(&options, Some(watch), CancellationToken::new());
        let apply = std::panic::AssertUnwindSafe(apply);
        assert!(futures_util::FutureExt::catch_unwind(apply).await.is_err());
        assert!(project.applied().await.is_success());
        assert_eq!(project.log(), ["change new"], "{moment:?} {record}");
        assert!(!planned(&project).await.has_changes());
        assert_eq!(project.state().resources.len(), 5);
    }
}

#[tokio::test]
async fn a_rename_onto_something_known_is_refused() {
    let mut project = with(
        "  a: { type: mem.thing, name: a }\n  b: { type: mem.thing, name: b }\n  c: { type: mem.job }\n",
    );
    assert!(project.applied().await.is_success());
    says(
        &mut project,
        "  b: { type: mem.thing, name: b, renamed_from: a }\n  d: { type: mem.thing, name: d, renamed_from: c }\n",
    );
    assert_eq!(
        findings(&planned(&project).await),
        [
            "PGF0208 b: `a` and `b` are both in the state, so one cannot have become the other",
            "PGF0208 d: `c` is a `mem.job`, so it cannot have become `d`, a `mem.thing`",
        ]
    );
}

fn several(keys: &str) -> String {
    format!(
        "  db: {{ type: mem.thing, for_each: {keys}, name: \"db-${{each.key}}\", on_remove: destroy }}\n  dump: {{ type: mem.job, for_each: {keys}, input: \"${{db[each.key].id}}\" }}\n  done: {{ type: mem.job, depends_on: [dump] }}\n"
    )
}

#[tokio::test]
async fn a_block_for_each_key() {
    let mut project = with(&several("[eu, us]"));
    assert!(project.applied().await.is_success());
    let mut log = project.log();
    assert_eq!(log.pop().as_deref(), Some("run done"));
    log.sort();
    assert_eq!(
        log,
        [r#"make db["eu"]"#, r#"make db["us"]"#, r#"run dump["eu"]"#, r#"run dump["us"]"#]
    );
    assert!(!planned(&project).await.has_changes());
    // Another key is another resource, and the others stay as they are.
    says(&mut project, &several("[asia, us, eu]"));
    let plan = planned(&project).await;
    assert_eq!(work(&plan), [r#"db["asia"] Create"#, "done Run", r#"dump["asia"] Run"#]);
    assert!(project.applied().await.is_success());
    project.log();
    // A key that is gone goes like a block that is gone.
    says(&mut project, &several("[us, eu]"));
    let options = confirmed(r#"db["asia"]"#, "db-asia");
    let plan = project.plan(&options).await;
    assert_eq!(work(&plan), [r#"db["asia"] Delete"#, r#"dump["asia"] Forget"#]);
    project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert_eq!(project.log(), [r#"delete db["asia"]"#]);
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn one_becomes_several_and_keeps_its_own() {
    let mut project = with("  db: { type: mem.thing, name: db }\n");
    assert!(project.applied().await.is_success());
    project.log();
    let spec = "  db:\n    type: mem.thing\n    for_each: { eu: { name: db, was: db }, us: { name: two, was: null } }\n    name: ${each.value.name}\n    renamed_from: ${each.value.was}\n";
    says(&mut project, spec);
    let plan = planned(&project).await;
    assert_eq!(moved(&plan), [r#"db -> db["eu"]"#]);
    assert_eq!(work(&plan), [r#"db["us"] Create"#]);
    assert!(project.applied().await.is_success());
    assert_eq!(project.log(), [r#"make db["us"]"#]);
    // A whole block under another name.
    let spec = spec.replace("  db:\n", "  base:\n").replace("${each.value.was}", "db[each.key]");
    says(&mut project, &spec);
    let plan = planned(&project).await;
    assert_eq!(moved(&plan), [r#"db["eu"] -> base["eu"]"#, r#"db["us"] -> base["us"]"#]);
    assert_eq!(work(&plan), Vec::<String>::new());
    assert!(project.applied().await.is_success());
    assert_eq!(project.log(), Vec::<String>::new());
}

#[test]
fn what_was_begun_before_a_rename_keeps_its_natural_key() {
    use pgferry_engine::cx::Cx;
    use pgferry_engine::resource::{Intent, Verb};
    let project = project(Vec::new());
    let key = |address: &str, notes: Json| {
        let mut world = project.world(CancellationToken::new());
        world.intent = Arc::new(move |_| {
            let (inputs, at) = (Json::Null, jiff::Timestamp::UNIX_EPOCH);
            let inputs = inputs.into();
            Some(Intent { verb: Verb::Create, inputs, at, notes: notes.clone(), before: None })
        });
        Cx::new(world, address.parse().unwrap(), "creating").natural_key()
    };
    assert_eq!(key("new", json!({"$begun_as": "old"})), key("old", Json::Null));
    assert_ne!(key("new", Json::Null), key("old", Json::Null));
}
