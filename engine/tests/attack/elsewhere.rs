//! What goes on elsewhere, or whose end nobody has seen.

use super::*;

#[tokio::test]
async fn a_restore_begun_under_a_released_window_is_not_taken_up() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    assert_eq!(released(&project).await.failed.len(), 0);
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"dump Run".to_owned()));
    let restore = &planned.changes[&at("restore")];
    assert!(!restore.takes_up, "{:?}", restore.reasons);
    has_finished(&project, "restore");
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn what_an_earlier_attempt_did_is_not_taken_for_this_one() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    released(&project).await;
    // It ends; the next apply dies after it has announced the restore of the new dump, and before it asks for it.
    has_finished(&project, "restore");
    let intent = |line: &str| {
        line.contains("\"event\":\"intent\"") && line.contains("\"address\":\"restore\"")
    };
    dies(&project, Moment::After, intent).await;
    has_finished(&project, "restore");
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"restore Run".to_owned()), "{:?}", work(&planned));
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn what_is_taken_up_twice_keeps_the_hour_of_its_beginning() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let begun = project.state().operations[&at("restore")].intent.at;
    project.applied().await;
    assert_eq!(project.state().operations[&at("restore")].intent.at, begun);
}

#[tokio::test]
async fn a_window_waits_for_what_is_only_written_down() {
    let mut blocks = journey();
    blocks.truncate(9);
    let project = project(blocks);
    still_running(&project, "restore");
    project.applied().await;
    has_finished(&project, "restore");
    assert_eq!(work(&plan(&project).await), ["restore Settle"]);
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_stop_or_a_failure_before_a_restore_is_taken_up_holds_its_scopes() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let outcome = project.apply(&Options::default(), None, stopped).await.unwrap();
    assert!(outcome.interrupted);
    assert_eq!(open(&project), ["k", "w"]);
    project.cloud.lock().unwrap().failing.insert("key".into());
    assert!(!project.applied().await.is_success());
    assert_eq!(open(&project), ["k", "w"]);
    has_finished(&project, "restore");
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn an_apply_of_something_else_leaves_a_running_restore_its_scopes() {
    let project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let options = Options { targets: [at("app")].into(), ..Options::default() };
    project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert_eq!(open(&project), ["k", "w"]);
    let options = Options { excludes: [at("restore")].into(), ..Options::default() };
    project.apply(&options, None, CancellationToken::new()).await.unwrap();
    assert_eq!(open(&project), ["k", "w"]);
    has_finished(&project, "restore");
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_run_cut_short_whose_block_left_is_not_passed_over() {
    let mut project = project(journey());
    still_running(&project, "restore");
    project.applied().await;
    let mut blocks =
        with("restore", block("again", "mem.job", &[("input", "${target}")], &["dump", "key"]));
    for block in &mut blocks {
        for after in &mut block.depends_on {
            if after.as_str() == "restore" {
                *after = at("again");
            }
        }
    }
    project.set(blocks);
    assert_eq!(codes(&plan(&project).await), ["PGF0209"]);
}

#[tokio::test]
async fn a_change_whose_outcome_was_unknown_is_settled_by_looking() {
    let project = project(journey());
    assert!(project.applied().await.is_success());
    // An update of what is under the window got no answer, and had happened.
    let journal =
        Journal::begin(Arc::new(project.place.clone()), project.state(), SystemClock.now(), None)
            .unwrap();
    let mut operation = serde_json::json!({
        "type": "mem.thing", "outcome": { "is": "unknown", "message": "no answer" },
        "under": { "run": "night-1", "at": "2026-01-01T00:00:00Z" },
        "intent": { "verb": "update", "inputs": null, "at": "2026-01-01T00:00:00Z", "notes": null },
    });
    operation["intent"]["before"] = serde_json::Value::Null;
    let operation = Box::new(serde_json::from_value(operation).unwrap());
    journal
        .append(&Record::Intent { address: at("cutover"), operation }, Durability::Synced)
        .unwrap();
    journal.finish().unwrap();
    let options = Options { replace: [at("dump")].into(), ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}
