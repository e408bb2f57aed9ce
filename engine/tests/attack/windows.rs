//! Windows and freezes: opened for what copies, and complete only when all under them is done.

use super::*;

#[tokio::test]
async fn a_window_whose_block_left_while_it_was_open_makes_its_dump_stale() {
    let mut project = project(journey());
    let dumped = |line: &str| {
        line.contains("\"event\":\"succeeded\"") && line.contains("\"address\":\"dump\"")
    };
    dies(&project, Moment::After, dumped).await;
    project.log();
    // The block is written anew under another name, and nothing says that it is the same window.
    let mut blocks = with("window", block("other", "mem.window", &[("name", "o")], &["announce"]));
    for block in &mut blocks {
        for after in &mut block.depends_on {
            if after.as_str() == "window" {
                *after = at("other");
            }
        }
    }
    project.set(blocks);
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"dump Run".to_owned()), "{:?}", work(&planned));
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open other") < position(&log, "run dump"), "{log:?}");
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_window_whose_block_left_after_all_was_done_is_closed_and_no_more() {
    let window = [("name", "w"), ("on_success", "hold")];
    let mut project =
        project(with("window", block("window", "mem.window", &window, &["announce"])));
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), ["w"]);
    let mut blocks = journey();
    blocks.retain(|block| block.address.as_str() != "window");
    for block in &mut blocks {
        block.depends_on.retain(|after| after.as_str() != "window");
    }
    project.set(blocks);
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
    released(&project).await;
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn releasing_a_window_held_after_success_redoes_nothing() {
    let window = [("name", "w"), ("on_success", "hold")];
    let project = project(with("window", block("window", "mem.window", &window, &["announce"])));
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), ["w"]);
    assert!(!plan(&project).await.has_changes());
    released(&project).await;
    assert_eq!(open(&project), nothing());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn releasing_a_window_held_after_a_failure_redoes_what_was_under_it() {
    let window = [("name", "w"), ("on_failure", "hold")];
    let project = project(with("window", block("window", "mem.window", &window, &["announce"])));
    project.cloud.lock().unwrap().failing.insert("verified".into());
    project.applied().await;
    assert!(!work(&plan(&project).await).contains(&"dump Run".to_owned()));
    released(&project).await;
    assert!(work(&plan(&project).await).contains(&"dump Run".to_owned()));
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_dump_behind_what_is_made_already_still_gets_its_window() {
    let mut blocks = journey();
    blocks.insert(7, block("quiet", "mem.thing", &[("name", "q")], &["window"]));
    blocks[8].depends_on.retain(|after| after.as_str() != "window");
    blocks[8].depends_on.push(at("quiet"));
    let mut project = project(blocks);
    project.cloud.lock().unwrap().failing.insert("restore".into());
    assert!(!project.applied().await.is_success());
    project.log();
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open window") < position(&log, "run dump"), "{log:?}");
    assert_eq!(work(&plan(&project).await), nothing());
    // And what else it needs is made before the window opens.
    project.spec.run = "night-2".into();
    let mut blocks: Vec<Block> = project.spec.resources.values().cloned().collect();
    blocks.push(block("late", "mem.thing", &[("name", "l")], &[]));
    blocks[8].depends_on.push(at("late"));
    project.set(blocks);
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(position(&log, "open window") < position(&log, "run dump"), "{log:?}");
    assert!(position(&log, "make late") < position(&log, "open window"), "{log:?}");
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn a_run_left_out_since_the_label_changed_leaves_its_window_incomplete() {
    let mut project = project(journey());
    assert!(project.applied().await.is_success());
    project.spec.run = "night-2".into();
    let options = Options { excludes: [at("verified")].into(), ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    // The window was closed in between, and the comparison has never seen what was copied under it.
    let planned = plan(&project).await;
    assert!(work(&planned).contains(&"dump Run".to_owned()), "{:?}", work(&planned));
    assert!(project.applied().await.is_success());
    assert_eq!(work(&plan(&project).await), nothing());
}

#[tokio::test]
async fn releasing_what_would_not_close_after_success_redoes_nothing() {
    let project = project(journey());
    project.cloud.lock().unwrap().failing.insert("close window".into());
    let outcome = project.applied().await;
    assert!(!outcome.is_success());
    assert_eq!(open(&project), ["w"]);
    released(&project).await;
    assert_eq!(open(&project), nothing());
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn a_window_that_would_not_close_is_closed_by_the_next_apply() {
    let project = project(journey());
    project.cloud.lock().unwrap().failing.insert("close window".into());
    project.applied().await;
    assert!(plan(&project).await.has_changes());
    assert!(project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    assert!(!plan(&project).await.has_changes());
}

#[tokio::test]
async fn two_windows_over_one_dump_and_one_within_the_other_end_in_order() {
    let mut blocks = journey();
    blocks.insert(7, block("freeze", "mem.window", &[("name", "f")], &["announce"]));
    for block in &mut blocks {
        if matches!(block.address.as_str(), "dump" | "restore") {
            block.depends_on.push(at("freeze"));
        }
    }
    let after = [("name", "i")];
    blocks.push(block("inner", "mem.window", &after, &["verified"]));
    let place = blocks.iter().position(|block| block.address.as_str() == "cutover").unwrap();
    blocks[place].depends_on.push(at("inner"));
    let project = project(blocks);
    project.cloud.lock().unwrap().failing.insert("cutover".into());
    assert!(!project.applied().await.is_success());
    assert_eq!(open(&project), nothing());
    project.log();
    assert!(project.applied().await.is_success());
    let log = project.log();
    for pair in [
        ["open freeze", "run dump"],
        ["open window", "run dump"],
        ["run verified", "open inner"],
        ["open inner", "make cutover"],
        ["run smoke", "close freeze"],
        ["run smoke", "close inner"],
    ] {
        assert!(position(&log, pair[0]) < position(&log, pair[1]), "{pair:?} in {log:?}");
    }
    assert_eq!(open(&project), nothing());
    assert!(!plan(&project).await.has_changes());
}

/// What was done under it is still good, and users may have been moved already: it is not let go in the middle.
#[tokio::test]
async fn a_window_that_cannot_be_taken_over_stays_open() {
    let project = project(journey());
    let restored = |line: &str| {
        line.contains("\"event\":\"succeeded\"") && line.contains("\"address\":\"restore\"")
    };
    dies(&project, Moment::After, restored).await;
    project.log();
    project.cloud.lock().unwrap().failing.insert("window".into());
    let outcome = project.applied().await;
    assert_eq!(outcome.failed.len(), 1, "{outcome:?}");
    let held: Vec<_> = outcome.held.iter().map(|(address, _)| address.as_str()).collect();
    assert_eq!((held, open(&project)), (vec!["window"], vec!["w".to_owned()]));
    assert!(project.applied().await.is_success());
    let log = project.log();
    assert!(!log.iter().any(|line| line == "run dump" || line == "run restore"), "{log:?}");
    assert_eq!(open(&project), nothing());
}
