//! `replace_when`: a value that changed since the last act forces another; what holds data is never replaced by itself.

use pgferry_engine::info::Kind;
use pgferry_engine::plan::{Options, Refresh};

use super::memory::{Project, work};
use super::{applied, at, findings, planned, refresh, said, says_with, tamper, violations, with};

const SPEC: &str = r#"
  source: { type: mem.lookup, name: prod }
  a: { type: mem.thing, name: a }
  job: { type: mem.job, lifecycle: { replace_when: ["${var.version}", "${source.size}"] } }
  after: { type: mem.job, depends_on: [job] }
"#;

fn version(project: &mut Project, spec: &str, version: &str) {
    says_with(project, spec, &[("version", version)]);
}

#[tokio::test]
async fn a_run_is_done_again() {
    let mut project = with("");
    version(&mut project, SPEC, "1");
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
    version(&mut project, SPEC, "2");
    let plan = planned(&project).await;
    assert_eq!(work(&plan), ["after Run", "job Run"]);
    let reason = "`${var.version}` of `replace_when` was `1`, is `2`".to_owned();
    assert_eq!(said(&plan, "job"), ("Run".to_owned(), vec![reason]));
    assert_eq!(said(&plan, "after").1, ["`job` runs again"]);
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
    // A value of a lookup counts, so it is asked for.
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().get_mut("prod").unwrap()["size"] =
        9.into();
    assert_eq!(
        said(&planned(&project).await, "job").1,
        ["`${source.size}` of `replace_when` was `1`, is `9`"]
    );
    // But not where nothing is to be asked.
    assert!(!project.plan(&refresh(Refresh::Never)).await.has_changes());
}

#[tokio::test]
async fn what_is_new_to_watch_forces_nothing() {
    let mut project = with("");
    let plain =
        SPEC.replace(", lifecycle: { replace_when: [\"${var.version}\", \"${source.size}\"] }", "");
    version(&mut project, &plain, "1");
    // The braces of an empty block are YAML all the same.
    assert!(project.applied().await.is_success());
    version(&mut project, SPEC, "1");
    let plan = planned(&project).await;
    assert!(work(&plan).is_empty() && plan.has_changes(), "{plan:?}");
    assert_eq!(plan.keeping[&at("job")].replace_when.len(), 2);
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
    version(&mut project, SPEC, "2");
    assert_eq!(work(&planned(&project).await), ["after Run", "job Run"]);
    // What is watched no more is forgotten.
    version(&mut project, &plain, "2");
    let plan = planned(&project).await;
    assert!(work(&plan).is_empty() && plan.has_changes());
    assert!(project.applied().await.is_success());
    assert!(project.state().resources[&at("job")].replace_when().is_empty());
}

#[tokio::test]
async fn what_goes_on_is_no_longer_good_if_a_value_changed() {
    let mut project = with("");
    version(&mut project, SPEC, "1");
    project.cloud.lock().unwrap().running.insert("job".into(), false);
    assert!(!project.applied().await.is_success());
    assert_eq!(said(&planned(&project).await, "job").1, ["takes up the job, which goes on"]);
    version(&mut project, SPEC, "2");
    assert_eq!(
        said(&planned(&project).await, "job").1,
        [
            "the job goes on, but is no longer good",
            "`${var.version}` of `replace_when` was `1`, is `2`"
        ]
    );
    // Nor if it has finished since: what it began with is what it was done with.
    project.cloud.lock().unwrap().running.insert("job".into(), true);
    assert_eq!(
        said(&planned(&project).await, "job"),
        ("Run".to_owned(), vec!["`${var.version}` of `replace_when` was `1`, is `2`".to_owned()])
    );
}

#[tokio::test]
async fn a_value_known_after_apply_may_change() {
    let mut project = with("");
    let spec = "  a: { type: mem.thing, name: a }\n  job: { type: mem.job, lifecycle: { replace_when: [\"${a.id}\"] } }\n";
    version(&mut project, spec, "1");
    assert!(project.applied().await.is_success());
    assert!(!planned(&project).await.has_changes());
    tamper(&project, "a", |things| drop(things.remove("a")));
    let plan = planned(&project).await;
    assert_eq!(said(&plan, "job").1, ["`${a.id}` of `replace_when` is known after apply"]);
}

const MANAGED: &str = r#"
  light: { type: mem.light, name: l, lifecycle: { replace_when: ["${var.version}"] } }
  a: { type: mem.thing, name: a, lifecycle: { replace_when: ["${var.version}"] } }
"#;

#[tokio::test]
async fn what_holds_data_is_replaced_on_purpose_only() {
    let mut project = with("");
    let spec =
        MANAGED.lines().filter(|line| !line.contains("light")).collect::<Vec<_>>().join("\n");
    version(&mut project, &spec, "1");
    assert!(project.applied().await.is_success());
    project.log();
    version(&mut project, &spec, "2");
    let plan = planned(&project).await;
    assert_eq!(
        findings(&plan),
        [
            "PGF0203 a: `a` would be made anew (`${var.version}` of `replace_when` was `1`, is `2`), which is never done by itself"
        ]
    );
    // The checker would stop it, even if nothing were said.
    let mut silent = plan;
    silent.findings.clear();
    let found = violations(&project, &silent, &Options::default());
    assert!(found.contains(&"`a` holds data and is replaced by itself".to_owned()), "{found:?}");
    let options = Options {
        replace: [at("a")].into(),
        confirmed: vec![("a".to_owned(), "a".to_owned())],
        ..Options::default()
    };
    let plan = project.plan(&options).await;
    assert_eq!((findings(&plan), work(&plan)), (Vec::new(), vec!["a Replace".to_owned()]));
    assert!(applied(&project, &options).await.is_success());
    assert_eq!(project.log(), ["delete a", "make a"]);
    assert!(!planned(&project).await.has_changes());
}

#[tokio::test]
async fn what_is_light_is_replaced() {
    let mut project = with("");
    let spec = MANAGED.lines().filter(|line| !line.contains(" a:")).collect::<Vec<_>>().join("\n");
    version(&mut project, &spec, "1");
    assert_eq!(project.catalog.get("mem.light").unwrap().kind, Kind::Managed);
    assert!(project.applied().await.is_success());
    project.log();
    version(&mut project, &spec, "2");
    let plan = planned(&project).await;
    assert_eq!((findings(&plan), work(&plan)), (Vec::new(), vec!["light Replace".to_owned()]));
    assert!(project.applied().await.is_success());
    assert_eq!(project.log(), ["delete light", "make light"]);
    assert!(!planned(&project).await.has_changes());
    let protected = spec.replace("lifecycle: {", "lifecycle: { prevent_destroy: true,");
    version(&mut project, &protected, "3");
    assert_eq!(
        findings(&planned(&project).await),
        ["PGF0206 light: `light` would be deleted, and `prevent_destroy` protects it"]
    );
}
