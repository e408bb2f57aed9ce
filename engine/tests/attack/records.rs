//! Records: crashes, stops, secrets, and what they cost.

use super::*;

#[test]
fn a_secret_reaches_neither_the_journal_nor_the_state_whatever_its_letters() {
    let folder = tempfile::tempdir().unwrap();
    let place = pgferry_engine::state::file::StateFile::new(folder.path().join("state.json"));
    // One that JSON and URLs write otherwise, and one that is also an ordinary word of ours.
    let odd = pgferry_engine::secret::Secret::new("q\"uo\\te/sl@sh");
    let _word = pgferry_engine::secret::Secret::new("succeeded");
    let _type = pgferry_engine::secret::Secret::new("mem.job_x");
    let state = State::new("m", "lineage".into());
    let journal = Journal::begin(Arc::new(place.clone()), state, SystemClock.now(), None).unwrap();
    let succeeded = |inputs: serde_json::Value, attrs: serde_json::Value, memory: &str| {
        let entry = serde_json::json!({
            "type": "mem.job_x", "kind": "run", "id": "1", "inputs": inputs, "attrs": attrs, "memory": memory,
            "on_remove": "keep",
        });
        let entry = Box::new(serde_json::from_value(entry).unwrap());
        journal.append(&Record::Succeeded { address: at("succeeded"), entry }, Durability::Synced)
    };
    let json = serde_json::json!({});
    let at_it = serde_json::json!({ "list": [{ "b": format!("at {}", odd.expose()) }] });
    for (inputs, attrs, memory, field) in [
        (serde_json::json!({ "a": odd.expose() }), json.clone(), "", "a"),
        (json.clone(), at_it, "", "list.b"),
        (json.clone(), json.clone(), "q%22uo%5Cte%2Fsl%40sh", "memory"),
    ] {
        let refused = succeeded(inputs, attrs, memory).unwrap_err();
        let want = format!("`{field}` of `succeeded` holds a secret, and would be stored in clear");
        assert_eq!(refused.to_string(), want);
    }
    // A refusal is no end: the journal takes in what gives nothing away, and blanks secrets out of talk.
    succeeded(json.clone(), json, "fine").unwrap();
    let message = format!("said {}", odd.expose());
    let record = Record::NotOpened { address: at("succeeded"), message };
    assert!(journal.append(&record, Durability::Synced).is_err(), "it does not follow");
    let text = std::fs::read_to_string(place.beside(".journal")).unwrap();
    assert!(!text.contains("sl@sh") && !text.contains("sl%40sh"), "{text}");
    let replayed = recover(&place).unwrap().unwrap();
    assert_eq!(replayed.resources, journal.state().resources);
    assert_eq!(replayed.resources[&at("succeeded")].type_name, "mem.job_x");
    journal.finish().unwrap();
    let text = std::fs::read_to_string(place.path()).unwrap();
    assert!(!text.contains("sl@sh") && !text.contains("sl%40sh"), "{text}");
}

/// Rewritten, the name of what was made would lead nowhere: the next plan would miss it, and a destroy leave it there.
#[test]
fn a_name_that_is_also_a_password_is_stored_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let place = pgferry_engine::state::file::StateFile::new(folder.path().join("state.json"));
    let _password = pgferry_engine::secret::Secret::new("acme-web-of-records");
    let entry = |name: &str| -> Box<pgferry_engine::state::Entry> {
        let entry = serde_json::json!({
            "type": "mem.thing", "kind": "managed", "id": name, "inputs": { "name": name }, "attrs": { "name": name },
            "memory": { "object": format!("backups/{name}.dump") }, "on_remove": "keep",
        });
        Box::new(serde_json::from_value(entry).unwrap())
    };
    let record = |name: &str| Record::Succeeded { address: at("app"), entry: entry(name) };
    let state = State::new("m", "lineage".into());
    let journal = Journal::begin(Arc::new(place.clone()), state, SystemClock.now(), None).unwrap();
    assert!(journal.append(&record("acme-web-of-records"), Durability::Synced).is_err());
    pgferry_engine::secret::written_in_clear("app: { name: acme-web-of-records }");
    journal.append(&record("acme-web-of-records"), Durability::Synced).unwrap();
    assert_eq!(journal.state().resources[&at("app")], *entry("acme-web-of-records"));
    journal.finish().unwrap();
    // What is stored already gives nothing away that is not given away.
    let mut state = recover(&place).unwrap().unwrap();
    state.resources.insert(at("former"), *entry("a-name-of-long-ago"));
    let _password = pgferry_engine::secret::Secret::new("a-name-of-long-ago");
    let journal = Journal::begin(Arc::new(place), state, SystemClock.now(), None).unwrap();
    journal.append(&record("a-name-of-long-ago"), Durability::Synced).unwrap();
}

#[tokio::test]
async fn a_journal_without_the_state_it_continues_is_refused() {
    let project = project(journey());
    assert!(project.applied().await.is_success());
    let journal =
        Journal::begin(Arc::new(project.place.clone()), project.state(), SystemClock.now(), None)
            .unwrap();
    journal.append(&Record::Forgot { address: at("smoke") }, Durability::Synced).unwrap();
    drop(journal);
    let former = std::fs::read(project.place.path()).unwrap();
    std::fs::remove_file(project.place.path()).unwrap();
    assert!(recover(&project.place).is_err(), "all that was remembered would be lost");
    let older =
        String::from_utf8(former.clone()).unwrap().replace("\"serial\": 1", "\"serial\": 0");
    assert_ne!(older.as_bytes(), former);
    std::fs::write(project.place.path(), older).unwrap();
    assert!(recover(&project.place).is_err());
    std::fs::write(project.place.path(), former).unwrap();
    assert!(recover(&project.place).is_ok());
}

/// Dies twice: at every record of the first apply, and at every tenth of the one that follows.
#[tokio::test]
async fn two_crashes_in_a_row_converge() {
    for first in (1..).step_by(7) {
        let reached = |number: u64| -> Watch {
            Arc::new(move |now, record| {
                assert!(!(now == Moment::After && record == number), "crash");
            })
        };
        let mut died = false;
        for second in (1..).step_by(5) {
            let project = project(journey());
            let options = Options::default();
            let apply = project.apply(&options, Some(reached(first)), CancellationToken::new());
            died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply))
                .await
                .is_err();
            let apply = project.apply(&options, Some(reached(second)), CancellationToken::new());
            let again = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(apply))
                .await
                .is_err();
            assert!(project.applied().await.is_success(), "{first} {second}");
            assert_eq!(open(&project), nothing(), "{first} {second}");
            assert!(!plan(&project).await.has_changes(), "{first} {second}");
            assert_eq!(project.cloud.lock().unwrap().things["thing"].len(), 5);
            if !again {
                break;
            }
        }
        if !died {
            break;
        }
    }
}

/// Dies at every record of a destroy, and destroys again.
#[tokio::test]
async fn a_destroy_cut_short_anywhere_ends_with_nothing_remembered() {
    use pgferry_engine::apply::{Applying, apply};
    use pgferry_engine::plan::{Input, Reality, destroy::destroy};
    let options = Options {
        confirmed: ["app a", "target t", "bucket b", "settings s", "cutover c"]
            .map(|pair| pair.split_once(' ').unwrap())
            .map(|(address, name)| (address.to_owned(), name.to_owned()))
            .into(),
        ..Options::default()
    };
    let destroyed = async |project: &Project, watch: Option<Watch>| {
        let state = project.state();
        let plan = destroy(&Input {
            spec: &project.spec,
            graph: &project.graph,
            catalog: &project.catalog,
            state: &state,
            options: &options,
            now: SystemClock.now(),
        });
        assert_eq!(codes(&plan), nothing());
        let applying = Applying {
            spec: Arc::new(project.spec.clone()),
            graph: Arc::new(project.graph.clone()),
            catalog: Arc::new(project.catalog.clone()),
            plan,
            reality: Reality::new(),
            handles: Default::default(),
            resources: project.resources(),
            world: project.world(CancellationToken::new()),
            journal: Journal::begin(
                Arc::new(project.place.clone()),
                state,
                SystemClock.now(),
                watch,
            )
            .unwrap(),
            parallelism: 4,
            confirmed: options.confirmed.clone(),
        };
        let apply = std::panic::AssertUnwindSafe(apply(applying));
        futures_util::FutureExt::catch_unwind(apply).await.is_err()
    };
    for record in 1.. {
        let project = project(journey());
        project.cloud.lock().unwrap().failing.insert("close window".into());
        project.applied().await;
        let watch: Watch = Arc::new(move |now, number| {
            assert!(!(now == Moment::After && number == record), "crash");
        });
        let died = destroyed(&project, Some(watch)).await;
        assert!(!destroyed(&project, None).await);
        let state = project.state();
        assert!(state.resources.is_empty() && state.operations.is_empty(), "{record}: {state:?}");
        assert!(project.cloud.lock().unwrap().things["thing"].is_empty(), "{record}");
        assert_eq!(open(&project), nothing(), "{record}");
        if !died {
            break;
        }
    }
}

#[tokio::test]
async fn a_stop_at_any_record_leaves_no_scope_open_and_nothing_undone_for_good() {
    for record in (1..).step_by(3) {
        let project = project(journey());
        let (stop, reached) =
            (CancellationToken::new(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
        let (cancel, seen) = (stop.clone(), Arc::clone(&reached));
        let watch: Watch = Arc::new(move |now, number| {
            if now == Moment::After && number == record {
                seen.store(true, std::sync::atomic::Ordering::SeqCst);
                cancel.cancel();
            }
        });
        let outcome = project.apply(&Options::default(), Some(watch), stop).await.unwrap();
        assert_eq!(open(&project), nothing(), "{record}: {:?}", outcome.held);
        assert!(outcome.is_success() || outcome.interrupted, "{record}: {outcome:?}");
        assert!(project.applied().await.is_success(), "{record}");
        assert!(!plan(&project).await.has_changes(), "{record}");
        if !reached.load(std::sync::atomic::Ordering::SeqCst) {
            break;
        }
    }
}

#[tokio::test]
async fn a_release_cut_short_is_finished_by_the_next() {
    for record in 1.. {
        let project = project(journey());
        still_running(&project, "restore");
        project.applied().await;
        let watch: Watch = Arc::new(move |now, number| {
            assert!(!(now == Moment::Before && number == record), "crash");
        });
        let closing = released_under(&project, Some(watch));
        let died = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(closing))
            .await
            .is_err();
        assert_eq!(released(&project).await.failed.len(), 0);
        assert_eq!(
            (open(&project), project.state().open_scopes().count()),
            (nothing(), 0),
            "{record}"
        );
        has_finished(&project, "restore");
        assert!(work(&plan(&project).await).contains(&"dump Run".to_owned()), "{record}");
        assert!(project.applied().await.is_success());
        assert!(!plan(&project).await.has_changes());
        if !died {
            break;
        }
    }
}

/// Wide, as a fleet of databases is; what one costs must not grow with the others.
#[tokio::test]
async fn a_thousand_resources_side_by_side_are_done_in_seconds() {
    let mut all = vec![block("w", "mem.window", &[("name", "w")], &[])];
    for number in 0..500 {
        let (thing, job) = (format!("t{number:03}"), format!("j{number:03}"));
        all.push(block(&thing, "mem.thing", &[("name", thing.as_str())], &[]));
        all.push(block(&job, "mem.job", &[], &["w", &thing]));
    }
    let project = project(all);
    let begun = std::time::Instant::now();
    assert!(project.applied().await.is_success());
    let applied = begun.elapsed();
    assert!(!plan(&project).await.has_changes());
    let planned = begun.elapsed() - applied;
    assert!(begun.elapsed().as_secs() < 60, "applied in {applied:?}, planned in {planned:?}");
    println!("applied in {applied:?}, planned in {planned:?}");
}

/// What nothing else changes of would keep its former dependencies, and what changes depend on it: a circle.
#[tokio::test]
async fn what_is_remembered_of_dependencies_follows_the_spec() {
    let one = |name: &str, size: &str, after: &[&str]| {
        block(name, "mem.thing", &[("name", name), ("size", size)], after)
    };
    let mut first = project(vec![one("a", "1", &["b"]), one("b", "1", &[])]);
    assert!(first.applied().await.is_success());
    let turned = project(vec![one("a", "1", &[]), one("b", "2", &["a"])]);
    (first.spec, first.graph) = (turned.spec, turned.graph);
    assert!(first.applied().await.is_success());
    let state = recover(&first.place).unwrap().unwrap();
    let after = |name: &str| state.resources[&at(name)].dependencies.clone();
    assert_eq!((after("a"), after("b")), (vec![], vec![at("a")]));
}
