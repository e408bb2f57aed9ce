//! `--refresh-only`: everything remembered is looked at, what moved is shown and taken down, and nothing is done.

use pgferry_engine::plan::{Options, Plan, Refresh};
use pgferry_engine::tree::Tree;

use super::memory::work;
use super::{applied, at, findings, planned, refresh, says, tamper, violations, with};

const SPEC: &str = r#"
  source: { type: mem.lookup, name: prod }
  a: { type: mem.thing, name: a, size: 1, owner: me, on_remove: destroy }
  b: { type: mem.thing, name: b, size: 2, owner: "${a.name}" }
  job: { type: mem.job, input: ["${source.size}", "${b.id}"] }
"#;

fn drift(plan: &Plan) -> Vec<String> {
    let one = |field: &pgferry_engine::plan::FieldChange| {
        let side = |tree: &Option<Tree>| tree.clone().unwrap_or_default().storable();
        format!("{} {}->{}", field.name, side(&field.before), side(&field.after))
    };
    let all = plan.drift.iter().map(|(address, drift)| match drift.gone {
        true => format!("{address} gone"),
        false => {
            let fields: Vec<String> = drift.fields.iter().map(one).collect();
            format!("{address} {}", fields.join(", "))
        }
    });
    all.collect()
}

#[tokio::test]
async fn nothing_moved() {
    let project = with(SPEC);
    assert!(project.applied().await.is_success());
    project.log();
    let plan = project.plan(&refresh(Refresh::Only)).await;
    assert!(plan.refresh_only && !plan.has_changes(), "{plan:?}");
    // The source is looked at, too.
    assert_eq!(project.log(), ["look up source"]);
}

#[tokio::test]
async fn what_moved_is_shown_and_taken_down_and_nothing_done() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    tamper(&project, "a", |things| things.get_mut("a").unwrap()["size"] = 7.into());
    tamper(&project, "b", |things| drop(things.remove("b")));
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().get_mut("prod").unwrap()["size"] =
        9.into();
    project.log();
    let plan = project.plan(&refresh(Refresh::Only)).await;
    assert_eq!(drift(&plan), ["a size 1->7", "b gone", "source size 1->9"]);
    assert!(plan.has_changes() && plan.changes.is_empty() && plan.steps.is_empty());
    let mut acting = planned(&project).await;
    acting.refresh_only = true;
    let found = violations(&project, &acting, &refresh(Refresh::Only));
    assert!(found.contains(&"a plan that only looks would act".to_owned()), "{found:?}");
    project.log();
    let outcome = applied(&project, &refresh(Refresh::Only)).await;
    assert!(outcome.is_success() && outcome.done.is_empty());
    let log = project.log();
    assert!(log.iter().all(|line| line == "look up source"), "{log:?}");
    let state = project.state();
    assert_eq!(
        state.resources[&at("a")]
            .remembered
            .inputs
            .get("size")
            .and_then(pgferry_engine::tree::Tree::as_u64),
        Some(7)
    );
    assert_eq!(
        state.resources[&at("source")]
            .remembered
            .attrs
            .get("size")
            .and_then(pgferry_engine::tree::Tree::as_u64),
        Some(9)
    );
    assert!(!state.resources.contains_key(&at("b")));
    // Now it is known; what the spec wants is as before.
    assert!(!project.plan(&refresh(Refresh::Only)).await.has_changes());
    assert_eq!(work(&planned(&project).await), ["a Update", "b Create"]);
    // What is ignored is no drift.
    says(
        &mut project,
        &SPEC.replace("on_remove: destroy", "lifecycle: { ignore_changes: [size] }"),
    );
    tamper(&project, "a", |things| things.get_mut("a").unwrap()["size"] = 8.into());
    assert_eq!(drift(&project.plan(&refresh(Refresh::Only)).await), [""; 0]);
}

#[tokio::test]
async fn what_left_the_spec_is_looked_at_too() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    says(&mut project, "  source: { type: mem.lookup, name: prod }\n");
    tamper(&project, "b", |things| things.get_mut("b").unwrap()["owner"] = "you".into());
    let plan = project.plan(&refresh(Refresh::Only)).await;
    assert_eq!(drift(&plan), [r#"b owner "a"->"you""#]);
    let options = Options { targets: [at("source")].into(), ..refresh(Refresh::Only) };
    assert_eq!(drift(&project.plan(&options).await), [""; 0]);
}

#[tokio::test]
async fn a_source_that_is_gone_is_told_and_stays_remembered() {
    let project = with(SPEC);
    assert!(project.applied().await.is_success());
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().remove("prod");
    let plan = project.plan(&refresh(Refresh::Only)).await;
    assert_eq!(findings(&plan), ["PGF0202 source: `source` is not there"]);
    assert!(plan.errors().next().is_none() && !plan.has_changes());
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn what_was_cut_short_is_left_to_the_next_plan() {
    let project = with(SPEC);
    project.cloud.lock().unwrap().failing.insert("a".into());
    assert!(!project.applied().await.is_success());
    let before = project.state();
    assert!(!project.plan(&refresh(Refresh::Only)).await.has_changes());
    assert!(applied(&project, &refresh(Refresh::Only)).await.is_success());
    assert_eq!(project.state().operations, before.operations);
}

#[tokio::test]
async fn a_rename_is_all_that_may_come_with_it() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    let renamed =
        SPEC.replace("  a: { type: mem.thing,", "  c: { type: mem.thing, renamed_from: a,");
    says(&mut project, &renamed.replace("${a.name}", "${c.name}"));
    tamper(&project, "a", |things| things.get_mut("a").unwrap()["size"] = 7.into());
    let plan = project.plan(&refresh(Refresh::Only)).await;
    assert_eq!((drift(&plan), plan.moved.len()), (vec!["c size 1->7".to_owned()], 1));
    assert!(applied(&project, &refresh(Refresh::Only)).await.is_success());
    assert_eq!(
        project.state().resources[&at("c")]
            .remembered
            .inputs
            .get("size")
            .and_then(pgferry_engine::tree::Tree::as_u64),
        Some(7)
    );
}
