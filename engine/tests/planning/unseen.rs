//! `--refresh=false`: a plan from the state alone, and an apply that asks what it needs.

use pgferry_engine::plan::{Ask, Refresh};
use pgferry_engine::tree::Tree;

use super::memory::work;
use super::{applied, planned, refresh, says, tamper, with};

const SPEC: &str = r#"
  source: { type: mem.lookup, name: prod }
  a: { type: mem.thing, name: a, size: 1 }
  b: { type: mem.thing, name: b, size: 2, owner: "${a.name}" }
  window: { type: mem.window, name: w }
  job: { type: mem.job, from: "${source}", into: "${b}", depends_on: [window] }
"#;

#[tokio::test]
async fn what_is_remembered_is_taken_as_it_is() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    tamper(&project, "a", |things| things.get_mut("a").unwrap()["size"] = 7.into());
    tamper(&project, "b", |things| drop(things.remove("b")));
    project.log();
    assert!(!project.plan(&refresh(Refresh::Never)).await.has_changes());
    assert_eq!(project.log(), [""; 0]);
    assert_eq!(work(&planned(&project).await), ["a Update", "b Create"]);
    // What the spec changes is planned all the same, against what is remembered.
    says(&mut project, &SPEC.replace("size: 1", "size: 5"));
    let plan = project.plan(&refresh(Refresh::Never)).await;
    assert_eq!(work(&plan), ["a Update"]);
    let field = &plan.changes[&"a".parse().unwrap()].fields[0];
    assert_eq!(
        (field.before.as_ref().map(Tree::storable), field.after.as_ref().map(Tree::storable)),
        (Some(1.into()), Some(5.into()))
    );
    assert!(applied(&project, &refresh(Refresh::Never)).await.is_success());
    assert_eq!(project.log(), ["change a"]);
}

#[tokio::test]
async fn work_asks_for_what_it_needs() {
    let mut project = with(SPEC);
    assert!(project.applied().await.is_success());
    project.log();
    // Done again, the job needs the secrets of what it is handed: these are stored nowhere.
    project.spec.run = "night-2".to_owned();
    let plan = project.plan(&refresh(Refresh::Never)).await;
    assert_eq!(work(&plan), ["job Run"]);
    assert_eq!(project.log(), ["look up source"]);
    let (_, reality) = project.planned(&refresh(Refresh::Never), &project.state()).await;
    let read: Vec<&str> = reality
        .keys()
        .filter(|(_, ask)| *ask == Ask::Read)
        .map(|(address, _)| address.as_str())
        .collect();
    assert_eq!(read, ["b", "source"]);
    let outcome = applied(&project, &refresh(Refresh::Never)).await;
    assert!(outcome.is_success(), "{:?}", outcome.failed);
}

#[tokio::test]
async fn what_is_new_is_made_without_looking_for_it() {
    let project = with("  a: { type: mem.thing, name: a, size: 1 }\n");
    let plan = project.plan(&refresh(Refresh::Never)).await;
    assert_eq!(work(&plan), ["a Create"]);
    assert!(applied(&project, &refresh(Refresh::Never)).await.is_success());
    assert!(!planned(&project).await.has_changes());
}
