//! Another run takes the lock at every effect: from then on nothing is requested any more and no window is ended, the
//! run says why it stops, and the other comes to the same end.

use super::*;

/// Carries it out with the lock lost before each effect; then `next`, as the other run, must come to the same end.
async fn at_every_effect(
    prepared: impl AsyncFn() -> World,
    operation: Operation,
    next: Operation,
    end_of: impl Fn(&World) -> Json,
) -> u64 {
    let options = Options::default();
    let plain = prepared().await;
    plain.mishaps([]);
    operate(&plain, operation, &options).await.unwrap();
    let count = plain.count();
    operate(&plain, next, &options).await.unwrap();
    let reached = end_of(&plain);
    for number in 1..=count {
        let world = prepared().await;
        world.mishaps([(number, Mishap::Stolen)]);
        let ran = operate(&world, operation, &options).await;
        let when = format!("the lock is lost at effect {number}");
        let trespasses = world.shared.look(|outside| outside.trespasses.clone());
        assert_eq!(trespasses, Vec::<String>::new(), "{when}: the run went on");
        // What was lost once all was recorded and saved is no loss.
        let fenced = matches!(ran, Err(StateError::Fenced { .. }));
        assert!(fenced || number == count, "{when}: {ran:?}");
        let other = world.again(&world.point(), Loss::Nothing, Duration::from_secs(1));
        let ran = operate(&other, next, &options).await;
        assert!(matches!(&ran, Ok(ran) if ran.is_success()), "{when}: {ran:?}");
        assert_same(&end_of(&other), &reached, &when);
    }
    count
}

#[test]
fn of_an_apply() {
    run(async {
        let apply = Operation::Apply;
        let effects = at_every_effect(async || world(JOURNEY), apply, apply, end).await;
        println!("the lock was lost at {effects} effects of an apply");
    });
}

#[test]
fn of_a_release() {
    run(async {
        let plain = world(JOURNEY);
        let options = Options::default();
        let points = points(&plain, Operation::Apply, &options).await;
        let asked = points.iter().position(|point| point.next.starts_with("ask for")).unwrap();
        // Stopped as soon as the restore is asked for: it goes on, so the scopes that it needs are held.
        let held = async || {
            let world = world(JOURNEY);
            world.mishaps([(asked as u64 + 1, Mishap::Stop)]);
            world.apply(&options).await.unwrap();
            assert_eq!(world.state().open_scopes().count(), 3);
            world
        };
        let released =
            |world: &World| json!({ "open": world.cloud(|cloud| cloud.summary())["open"] });
        let release = Operation::Release;
        let effects = at_every_effect(held, release, release, released).await;
        println!("the lock was lost at {effects} effects of a release");
    });
}
