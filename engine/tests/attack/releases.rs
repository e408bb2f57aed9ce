//! Scopes that are closed by somebody else than who opened them, and need a secret that no file may hold.

use super::*;

fn frozen() -> Vec<Block> {
    let freeze = [("database", "${source}"), ("on_success", "hold")];
    with("window", block("window", "mem.freeze", &freeze, &["announce"]))
}

#[tokio::test]
async fn a_freeze_is_released_by_another_process_which_reads_the_database_anew() {
    let project = project(frozen());
    let opened = |line: &str| line.contains("\"event\":\"intent\"") && line.contains("dump");
    dies(&project, Moment::After, opened).await;
    assert_eq!(open(&project), ["k", "prod"]);
    let outcome = released(&project).await;
    assert_eq!((outcome.failed.len(), open(&project)), (0, nothing()));
    // What was begun under it does not count.
    assert!(work(&plan(&project).await).contains(&"dump Run".to_owned()));
    assert!(project.applied().await.is_success());
    // Held on success: nothing is to be done, and the release reads the source once more.
    assert_eq!(open(&project), ["prod"]);
    assert!(!plan(&project).await.has_changes());
    project.log();
    assert_eq!(released(&project).await.failed.len(), 0);
    assert_eq!(project.log(), ["look up source", "close window"]);
    assert!(!plan(&project).await.has_changes());
    let text = std::fs::read_to_string(project.place.path()).unwrap();
    assert!(!text.contains("secret-of-prod"), "{text}");
}

#[tokio::test]
async fn a_release_that_finds_no_database_is_remembered_and_succeeds_once_it_is_back() {
    let mut project = project(frozen());
    assert!(project.applied().await.is_success());
    let all: Vec<Block> = project.spec.resources.values().cloned().collect();
    project.set(vec![block("app", "mem.thing", &[("name", "a")], &[])]);
    let outcome = released(&project).await;
    assert_eq!(outcome.failed[0].message, "`source` cannot be connected to");
    let remembered = project.state().scopes[&at("window")].close_failed.clone();
    assert_eq!(remembered.as_deref(), Some("`source` cannot be connected to"));
    assert_eq!(open(&project), ["prod"]);
    project.set(all);
    assert_eq!(released(&project).await.failed.len(), 0);
    assert_eq!(open(&project), nothing());
}

#[tokio::test]
async fn a_freeze_ends_in_the_apply_itself_after_a_failure() {
    let project = project(frozen());
    project.cloud.lock().unwrap().failing.insert("verified".into());
    assert_eq!(project.applied().await.failed.len(), 1);
    assert_eq!(open(&project), nothing());
    assert!(project.applied().await.is_success());
}
