//! The data: never cut over to where it is not, nor deleted unless it was named today.

use super::*;

#[tokio::test]
async fn a_target_made_anew_by_itself_is_never_cut_over_to_empty() {
    let mut project = project(journey());
    assert!(project.applied().await.is_success());
    let anew = block(
        "target",
        "mem.thing",
        &[("name", "t2"), ("owner", "${app.name}"), ("size", "1")],
        &[],
    );
    project.set(with("target", anew));
    let only = [at("target")];
    let options =
        Options { targets: only.clone().into(), replace: only.into(), ..Options::default() };
    assert!(project.apply(&options, None, CancellationToken::new()).await.unwrap().is_success());
    assert_eq!(codes(&plan(&project).await), ["PGF0204"]);
    project.spec.run = "night-2".into();
    assert_eq!(codes(&plan(&project).await), nothing());
    assert!(project.applied().await.is_success());
    assert!(!plan(&project).await.has_changes());
}

/// A replacement dies between the deletion and the creation, and at the start of the creation.
#[tokio::test]
async fn a_replacement_cut_short_is_never_cut_over_to_empty() {
    for event in ["forgot", "intent"] {
        let project = project(journey());
        assert!(project.applied().await.is_success());
        let path = project.journal_path();
        let watch: Watch = Arc::new(move |now, _| {
            let text = std::fs::read_to_string(&path).unwrap();
            let last = text.lines().last().unwrap_or_default();
            let here = last.contains(&format!("\"event\":\"{event}\""))
                && (event == "forgot" || last.contains("\"verb\":\"create\""));
            assert!(!(now == Moment::After && here), "crash");
        });
        let only = [at("target")];
        let options =
            Options { targets: only.clone().into(), replace: only.into(), ..Options::default() };
        let apply = project.apply(&options, Some(watch), CancellationToken::new());
        let died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply)).await;
        assert!(died.is_err(), "{event}");
        assert_eq!(codes(&plan(&project).await), ["PGF0204"], "{event}");
    }
}

#[tokio::test]
async fn another_source_under_a_finished_dump_is_said() {
    let mut blocks = journey();
    blocks.retain(|block| !matches!(block.address.as_str(), "window"));
    for block in &mut blocks {
        block.depends_on.retain(|after| after.as_str() != "window");
    }
    let place = blocks.iter().position(|block| block.address.as_str() == "dump").unwrap();
    blocks[place] = block("dump", "mem.job", &[("input", "${source}")], &["key", "bucket"]);
    let mut project = project(blocks.clone());
    project.cloud.lock().unwrap().failing.insert("verified".into());
    assert!(!project.applied().await.is_success());
    let other = serde_json::json!({"size": 2});
    project.cloud.lock().unwrap().things.get_mut("db").unwrap().insert("other".into(), other);
    blocks[0] = block("source", "mem.lookup", &[("name", "other")], &[]);
    project.set(blocks);
    let planned = plan(&project).await;
    assert_eq!(work(&planned), ["cutover Create", "smoke Run", "verified Run"]);
    assert_eq!(planned.changes[&at("dump")].notes.len(), 1);
}
