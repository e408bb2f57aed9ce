//! Crashes within the other operations: a release, a destroy, and an apply under a new `run:`.

use super::*;
use pgferry_engine::apply::{Failure, Outcome};

/// The rehearsal of the first night leaves out the cutover; the second night moves the data again.
#[test]
fn at_every_effect_of_a_second_night() {
    run(async {
        let mut world = world(JOURNEY);
        let rehearsal =
            Options { excludes: ["cutover".parse().unwrap()].into(), ..Options::default() };
        assert!(world.apply(&rehearsal).await.unwrap().is_success());
        world.says(JOURNEY, "night-2");
        let options = Options::default();
        let points = points(&world, Operation::Apply, &options).await;
        assert_eq!(world.cloud(|cloud| cloud.transfers.len()), 2);
        let crashes = everywhere(&world, &points, Operation::Apply, &options, end).await;
        println!("{crashes} crashes at {} points of a second night", points.len());
    });
}

/// Everything that may go goes; what was named today too.
#[test]
fn at_every_effect_of_a_destroy() {
    run(async {
        let world = world(JOURNEY);
        points(&world, Operation::Apply, &Options::default()).await;
        let named = ["app acme", "target db", "extensions ext", "settings set", "config conf"];
        let named = named.map(|pair| pair.split_once(' ').unwrap());
        let confirmed = named.map(|(address, name)| (address.to_owned(), name.to_owned())).into();
        let options = Options { confirmed, ..Options::default() };
        let points = points(&world, Operation::Destroy, &options).await;
        let left = |world: &World| {
            world.cloud(|cloud| {
                cloud.things.values().map(|thing| thing.name.clone()).collect::<Vec<_>>()
            })
        };
        // The cutover is kept: nobody named it, and its `on_remove` is `keep`.
        assert_eq!(left(&world), ["cut"]);
        let crashes = everywhere(&world, &points, Operation::Destroy, &options, end).await;
        assert!(world.state().resources.is_empty());
        println!("{crashes} crashes at {} points of a destroy", points.len());
    });
}

/// A restore goes on elsewhere and a verification is to fail: windows and key are held, and released by hand.
#[test]
fn at_every_effect_of_a_release() {
    run(async {
        let options = Options::default();
        let plain = world(JOURNEY);
        let applied = points(&plain, Operation::Apply, &options).await;
        let reached = end(&plain);
        let asked = applied.iter().position(|point| point.next.starts_with("ask for")).unwrap();
        let world = world(JOURNEY);
        // Stopped as soon as the restore is asked for: it goes on, so the scopes that it needs are held.
        world.mishaps([(asked as u64 + 1, Mishap::Stop)]);
        let ran = world.apply(&options).await.unwrap();
        assert!(matches!(&ran, Ran::Ended(outcome) if outcome.held.len() == 3), "{ran:?}");
        world.mishaps([]);
        let points = points(&world, Operation::Release, &options).await;
        let released = |world: &World| {
            let open = world.state().open_scopes().count();
            let summary = world.cloud(|cloud| cloud.summary());
            json!({ "remembered": open, "open": summary["open"], "keys": summary["keys"] })
        };
        let crashes = everywhere(&world, &points, Operation::Release, &options, released).await;
        let (mut finished, mut found) = (0, 0);
        let found_closed = |outcome: &Outcome| {
            let closed = |failure: &Failure| failure.message.ends_with("was closed by somebody");
            outcome.failed.iter().any(closed)
        };
        for point in &points {
            for loss in Loss::ALL {
                // Whether it is released again or not, the next apply comes to the end. The data are moved anew.
                let again = world.again(point, loss, gap(loss));
                let when = format!("released up to ({}), lost {loss:?}", point.next);
                let mut ran = again.apply(&options).await;
                // Where only the record of a closing is missing, the first apply finds the window closed.
                if matches!(&ran, Ok(Ran::Ended(outcome)) if found_closed(outcome)) {
                    found += 1;
                    ran = again.apply(&options).await;
                }
                assert!(matches!(&ran, Ok(ran) if ran.is_success()), "{when}: {ran:?}");
                let mut is = end(&again);
                is["restores"] = json!(1);
                restored(&mut is);
                let mut should = reached.clone();
                restored(&mut should);
                assert_same(&is, &should, &when);
                assert_settled(&again, &options, &when).await;
                finished += 1;
            }
        }
        println!(
            "{crashes} crashes at {} points of a release, {finished} times applied instead, {found} of them twice",
            points.len()
        );
    });
}

/// Nothing but the cutover is left to do as the window is released, and only the record of that is missing: what users
/// write from then on is not left behind by a cutover to what was moved before.
#[test]
fn a_window_that_was_closed_without_a_record_is_not_built_on() {
    let spec = "
  target: { type: sim.thing, name: db }
  window: { type: sim.window, name: w, on_failure: hold }
  dump: { type: sim.dump, object: night.dump, depends_on: [window] }
  restore: { type: sim.restore, into: '${target}', from: '${dump}' }
  cutover: { type: sim.cutover, name: cut, owner: '${target.id}', depends_on: [restore] }
";
    run(async {
        let options = Options::default();
        let applied = points(&world(spec), Operation::Apply, &options).await;
        let cutover = applied.iter().position(|point| point.next == "make cutover").unwrap();
        let world = world(spec);
        world.mishaps([(cutover as u64 + 1, Mishap::Fails)]);
        world.apply(&options).await.unwrap();
        assert_eq!(world.cloud(|cloud| cloud.summary()["open"].clone()), json!(["w"]));
        world.mishaps([]);
        let points = points(&world, Operation::Release, &options).await;
        let mut found = 0;
        for point in &points {
            for loss in Loss::ALL {
                let again = world.again(point, loss, gap(loss));
                let mut ran = again.apply(&options).await.unwrap();
                if !ran.is_success() {
                    found += 1;
                    ran = again.apply(&options).await.unwrap();
                }
                let when = format!("released up to ({}), lost {loss:?}", point.next);
                assert!(ran.is_success(), "{when}: {ran:?}");
                assert!(again.cloud(|cloud| cloud.cut_over.is_some()), "{when}");
            }
        }
        assert!(found > 0, "no release was cut short between the closing and its record");
    });
}

/// No room, or no disk, at every effect of a release that has begun: what is open is closed all the same.
#[test]
fn a_release_closes_whatever_the_disk_takes_down() {
    run(async {
        let options = Options::default();
        let plain = world(JOURNEY);
        let applied = points(&plain, Operation::Apply, &options).await;
        let asked = applied.iter().position(|point| point.next.starts_with("ask for")).unwrap();
        let held = async || {
            let world = world(JOURNEY);
            world.mishaps([(asked as u64 + 1, Mishap::Stop)]);
            world.apply(&options).await.unwrap();
            world
        };
        let points = points(&held().await, Operation::Release, &options).await;
        let mut closed = 0;
        for (number, point) in (1..).zip(&points) {
            let world = held().await;
            world.mishaps([(number, Mishap::Fails)]);
            let ran = world.release().await;
            let touched = world.shared.look(|outside| outside.touched.len());
            if matches!(ran, Ok(Ran::Ended(outcome)) if !outcome.failed.is_empty()) || touched == 0
            {
                // A service that did not close it, or no journal to begin with.
                continue;
            }
            let open = world.cloud(|cloud| cloud.summary()["open"].clone());
            assert_eq!(open, json!([]), "no room for ({})", point.next);
            closed += 1;
        }
        assert!(closed > 6, "{closed} releases");
    });
}

/// Without which restore, and which epoch of a window, was the good one.
fn restored(end: &mut Json) {
    end["state"]["restore"]["id"] = Json::Null;
    end["state"]["restore"]["attrs"] = Json::Null;
    for entry in end["state"].as_object_mut().unwrap().values_mut() {
        if let Some(done) = entry.get_mut("done") {
            *done = Json::Null;
        }
    }
}
