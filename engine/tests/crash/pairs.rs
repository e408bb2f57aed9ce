//! Two crashes in a row: the second one at every effect of the apply that follows the first.

use super::*;
use crate::world::disk::Dice;

/// The same pairs each time.
const SEED: u64 = 20_261_125;

/// Crashes `how` says which pairs to try, of all that there are.
async fn pairs(resources: &str, mut wanted: impl FnMut() -> bool) -> (usize, usize) {
    let (world, options) = (world(resources), Options::default());
    let firsts = points(&world, Operation::Apply, &options).await;
    let reached = end(&world);
    let (mut tried, mut all) = (0, 0);
    for (number, point) in firsts.iter().enumerate() {
        for loss in Loss::ALL {
            let second = world.again(point, loss, gap(loss));
            for (again, point) in
                points(&second, Operation::Apply, &options).await.iter().enumerate()
            {
                for other in Loss::ALL {
                    all += 1;
                    if !wanted() {
                        continue;
                    }
                    tried += 1;
                    let when = format!(
                        "stopped before effect {number} ({loss:?}), then before {again} ({}, {other:?})",
                        point.next
                    );
                    let last = world.again(point, other, gap(other));
                    let ran = last.apply(&options).await;
                    assert!(matches!(&ran, Ok(ran) if ran.is_success()), "{when}: {ran:?}");
                    assert_same(&end(&last), &reached, &when);
                    assert_settled(&last, &options, &when).await;
                }
            }
        }
    }
    (tried, all)
}

#[test]
fn sampled_of_the_whole_journey() {
    let mut dice = Dice(SEED);
    let (tried, all) = run(pairs(JOURNEY, || dice.roll(600) == 0));
    println!("{tried} pairs of crashes, of {all}");
}

#[test]
#[ignore = "takes many minutes"]
fn all_of_the_whole_journey() {
    let (tried, _) = run(pairs(JOURNEY, || true));
    println!("{tried} pairs of crashes");
}
