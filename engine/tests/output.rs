//! What a plan tells besides its changes: drift, outputs, and resources whole, before and after.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with tests that begin with blocks, not with text")]
mod memory;

use memory::{Project, project};
use pgferry_engine::address::Address;
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::diag::Span;
use pgferry_engine::plan::values::{Values, Whole};
use pgferry_engine::plan::{Action, Input, Options, Plan};
use pgferry_engine::refresh::refresh;
use pgferry_engine::source::Source;
use pgferry_engine::spec::{Inputs, load};
use pgferry_engine::template::{Reference, Step, Template};
use pgferry_engine::tree::Tree;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

/// A project whose spec says `rest`.
fn with(rest: &str) -> Project {
    let mut project = project(Vec::new());
    says(&mut project, rest);
    project
}

fn says(project: &mut Project, rest: &str) {
    let source = Source::new("spec.yaml", format!("pgferry: 1\nname: m\nrun: n\n{rest}"));
    let inputs = Inputs { base: project.folder.path().to_owned(), ..Inputs::default() };
    let loaded = load(&source, &inputs, &project.catalog).unwrap_or_else(|found| {
        panic!("{}", found.iter().map(|one| one.render(&source)).collect::<String>())
    });
    (project.spec, project.graph) = (loaded.spec, loaded.graph);
    // What only fields of their own types take: a whole resource and a secret in a list.
    let job = project.spec.resources.get_mut(&Address::new("j")).unwrap();
    let map = Template::Map([("a".to_owned(), reference("j0", "times"))].into_iter().collect());
    let input = Template::List(vec![reference("t", ""), reference("source", "url"), map]);
    job.fields.insert("input".to_owned(), input);
}

fn reference(address: &str, member: &str) -> Template {
    let path = if member.is_empty() { vec![] } else { vec![Step::Member(member.to_owned())] };
    let path = path.into();
    Template::Reference(Reference { address: Address::new(address), path, span: Span::default() })
}

/// A plan, and one of its resources whole: as it changes, and as it drifted.
async fn planned(project: &Project, address: &str) -> (Plan, Values, Values) {
    let (state, options) = (project.state(), Options::default());
    let Project { spec, graph, catalog, .. } = project;
    let now = SystemClock.now();
    let input = Input { spec, graph, catalog, state: &state, options: &options, now };
    let world = project.world(CancellationToken::new());
    let (draft, reality) = refresh(&input, &project.resources(), &world).await.unwrap();
    let address = address.parse().unwrap();
    let whole = Whole::new(&input, &draft, &reality);
    let values = whole.values(&draft.plan.changes[&address]);
    let drifted = whole.drifted(&address);
    (draft.plan, values, drifted)
}

fn set(project: &Project, name: &str, field: &str, value: Json) {
    let mut cloud = project.cloud.lock().unwrap();
    cloud.things.get_mut("thing").unwrap().get_mut(name).unwrap()[field] = value;
}

fn json(values: &impl serde::Serialize) -> Json {
    serde_json::to_value(values).unwrap()
}

const SPEC: &str = "resources:
  t: { type: mem.thing, name: t, size: 1, owner: ann }
  u: { type: mem.thing, name: u, owner: \"${t.id}\" }
  j: { type: mem.job, depends_on: [t, source, j0] }
  j0: { type: mem.job, depends_on: [u] }
  source: { type: mem.lookup, name: prod }
";

#[tokio::test]
async fn what_is_made_is_whole_but_for_what_is_not_known_yet() {
    let project = with(SPEC);
    let (_, values, _) = planned(&project, "u").await;
    let want = json!({
        "after": { "name": "u" },
        "after_unknown": { "id": true, "url": true, "owner": true },
        "after_sensitive": { "url": true },
    });
    assert_eq!(json(&values), want);
    let (_, values, _) = planned(&project, "j").await;
    let want = json!({
        "after": { "input": [{ "$address": "t" }, "(sensitive)", {}] },
        "after_unknown": { "times": true, "input": [{ "$id": true }, false, { "a": true }] },
        "after_sensitive": { "input": [false, true, false] },
    });
    assert_eq!(json(&values), want);
}

#[tokio::test]
async fn what_stays_is_the_same_before_and_after() {
    let project = with(SPEC);
    assert!(project.applied().await.is_success());
    let (plan, values, _) = planned(&project, "t").await;
    assert!(!plan.has_changes());
    assert_eq!(
        (&values.before, &values.before_sensitive),
        (&values.after, &values.after_sensitive)
    );
    let want = json!({
        "before": { "name": "t", "id": "id-t", "url": "(sensitive)", "size": 1, "owner": "ann" },
        "after": { "name": "t", "id": "id-t", "url": "(sensitive)", "size": 1, "owner": "ann" },
        "before_sensitive": { "url": true },
        "after_sensitive": { "url": true },
    });
    assert_eq!(json(&values), want);
    let (_, values, _) = planned(&project, "j").await;
    assert_eq!(values.before, values.after);
    assert!(values.after_unknown.is_empty(), "{values:?}");
}

#[tokio::test]
async fn drift_is_told_apart_from_the_change_that_follows() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    set(&project, "t", "size", 7.into());
    let (plan, values, drifted) = planned(&project, "t").await;
    let want = json!({ "t": { "type": "mem.thing", "kind": "managed", "gone": false, "fields": [{
        "name": "size", "before": 1, "after": 7, "unknown": false, "sensitive": false, "forces": false,
    }] } });
    assert_eq!(json(&plan.drift), want);
    let change = &plan.changes[&"t".parse().unwrap()];
    assert_eq!((change.action, change.unchanged), (Action::Update, 2));
    let size = |map: &Option<serde_json::Map<String, Json>>| map.as_ref().unwrap()["size"].clone();
    assert_eq!((size(&values.before), size(&values.after)), (json!(7), json!(1)));
    assert_eq!((size(&drifted.before), size(&drifted.after)), (json!(1), json!(7)));
    // The rest of it is as it was.
    assert_eq!(values.after.as_ref().unwrap()["url"], "(sensitive)");
    assert!(values.after_unknown.is_empty());

    says(&mut project, &SPEC.replace("size: 1", "size: 7"));
    let (plan, ..) = planned(&project, "t").await;
    assert_eq!((plan.drift.len(), plan.has_changes()), (1, false), "it is as the spec says by now");

    project.cloud.lock().unwrap().things.get_mut("thing").unwrap().remove("t");
    let (plan, values, drifted) = planned(&project, "t").await;
    assert!(plan.drift[&"t".parse().unwrap()].gone);
    assert_eq!((values.before, drifted.after), (None, None));
    assert_eq!(drifted.before.unwrap()["owner"], "ann");
}

#[tokio::test]
async fn what_is_ignored_is_no_drift() {
    let spec = SPEC.replace("owner: ann", "owner: ann, lifecycle: { ignore_changes: [size] }");
    let project = with(&spec);
    assert!(project.applied().await.is_success());
    set(&project, "t", "size", 7.into());
    assert!(planned(&project, "t").await.0.drift.is_empty());
}

#[tokio::test]
async fn an_import_says_what_it_takes_over() {
    let project = with(SPEC);
    let found = json!({ "size": 5, "owner": "ann" });
    let there = |cloud: &mut memory::Cloud| {
        cloud.things.entry("thing".into()).or_default().insert("t".into(), found);
    };
    there(&mut project.cloud.lock().unwrap());
    let (plan, values, _) = planned(&project, "t").await;
    let change = &plan.changes[&"t".parse().unwrap()];
    assert_eq!((change.action, change.id.as_deref()), (Action::Import, Some("id-t")));
    assert_eq!(values.before.as_ref().unwrap()["size"], 5);
    assert_eq!(values.after.as_ref().unwrap()["name"], "t");
    assert!(plan.drift.is_empty(), "what was never ours has not drifted");
}

#[tokio::test]
async fn outputs_change_with_what_they_come_from() {
    let outputs =
        "outputs:\n  id: \"${t.id}\"\n  who: \"${t.name} of prod\"\n  url: \"${t.url}\"\n";
    let mut project = with(&format!("{SPEC}{outputs}"));
    let (plan, ..) = planned(&project, "t").await;
    let want = json!({
        "id": { "before": null, "after": "(known after apply)", "unknown": true, "sensitive": false },
        "url": { "before": null, "after": "(known after apply)", "unknown": true, "sensitive": true },
        "who": { "before": null, "after": "t of prod", "unknown": false, "sensitive": false },
    });
    assert_eq!(json(&plan.outputs), want);
    assert!(project.applied().await.is_success());
    let (plan, ..) = planned(&project, "t").await;
    assert_eq!(json(&plan.outputs), json!({}));
    says(&mut project, &format!("{SPEC}{}", outputs.replace("of prod", "of test")));
    let (plan, ..) = planned(&project, "t").await;
    assert_eq!(json(&plan.outputs), json!({}), "the text alone stands in no state");
    project.cloud.lock().unwrap().things.get_mut("thing").unwrap().remove("t");
    let (plan, ..) = planned(&project, "t").await;
    assert_eq!(plan.outputs["id"].before, Some(json!("id-t")));
    assert!(plan.outputs["id"].unknown && !plan.outputs.contains_key("who"));
}

#[tokio::test]
async fn lookups_of_values_and_outputs_alone_are_read_until_they_are_remembered() {
    const MORE: &str = "  other: { type: mem.lookup, name: prod }
  third: { type: mem.lookup, name: prod }
  fourth: { type: mem.lookup, name: prod }
  w: { type: mem.value, input: \"${fourth.size}\" }
  v: { type: mem.value, input: { size: \"${other.size}\", url: \"${other.url}\" } }
outputs:
  size: \"${third.size}\"
  both: \"${v.output.size}\"
";
    let mut project = with(&format!("{SPEC}{MORE}"));
    let outcome = project.applied().await;
    assert!(outcome.is_success(), "{:?}", outcome.failed);
    let size = |tree: Option<&Tree>| tree.and_then(Tree::as_u64).is_some();
    assert!(size(outcome.handles[&Address::new("third")].attrs.get("size")));
    let state = project.state();
    let alone = &state.resources[&Address::new("w")].remembered.attrs;
    assert!(size(alone.get("output")), "of no output: {:?}", alone.storable());
    let output = state.resources[&Address::new("v")].remembered.attrs.get("output").unwrap();
    assert!(size(output.get("size")), "unknown is never stored as null: {:?}", output.storable());
    assert_eq!(output.get("url").and_then(Tree::as_text), Some("(sensitive)"));

    // Remembered, they are asked no more, but for what is stored nowhere and shall be revealed.
    project.log();
    let (plan, ..) = planned(&project, "t").await;
    let asked =
        |log: Vec<String>| log.into_iter().filter(|line| line.starts_with("look up")).count();
    assert!(!plan.has_changes());
    assert_eq!(asked(project.log()), 0);
    says(&mut project, &format!("{SPEC}{}", MORE.replace("third.size", "third.url")));
    let reveal = Options { reveal: true, ..Options::default() };
    let (draft, _) = project.planned(&reveal, &project.state()).await;
    assert!(matches!(draft.handles[&Address::new("third")].attrs["url"], Tree::Secret(_)));

    // What is not there is an error of the plan.
    let gone = MORE.replace(
        "third: { type: mem.lookup, name: prod }",
        "third: { type: mem.lookup, name: gone }",
    );
    let fresh = with(&format!("{SPEC}{gone}"));
    let (plan, ..) = planned(&fresh, "t").await;
    let found = plan.findings.iter().find(|located| located.address.as_str() == "third");
    assert_eq!(found.map(|located| located.finding.code.as_str()), Some("PGF0202"));
}
