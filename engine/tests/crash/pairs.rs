//! Two crashes in a row: the second one at every effect of the apply that follows the first.

use super::*;
use crate::world::disk::Dice;

/// The same pairs each time.
const SEED: u64 = 20_261_125;

/// Of those that begin with a `first` and are `wanted`; gives how many were tried, of how many.
async fn pairs(
    resources: &str,
    first: impl Fn(usize) -> bool,
    mut wanted: impl FnMut() -> bool,
) -> (usize, usize) {
    let (world, options) = (world(resources), Options::default());
    let firsts = points(&world, Operation::Apply, &options).await;
    let reached = end(&world);
    let (mut tried, mut all) = (0, 0);
    for (number, point) in firsts.iter().enumerate().filter(|(number, _)| first(*number)) {
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
    assert!(tried > 0, "a journey has effects");
    (tried, all)
}

#[test]
fn sampled_of_the_whole_journey() {
    let mut dice = Dice(SEED);
    let (tried, all) = run(pairs(JOURNEY, |_| true, || dice.roll(600) == 0));
    println!("{tried} pairs of crashes, of {all}");
}

#[test]
#[ignore = "hours in a debug build, minutes with --release; `make test-slow` runs it"]
fn all_of_the_whole_journey() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tried: usize = std::thread::scope(|scope| {
        let share = |mine| move || run(pairs(JOURNEY, |first| first % threads == mine, || true)).0;
        let all: Vec<_> = (0..threads).map(|mine| scope.spawn(share(mine))).collect();
        all.into_iter()
            .map(|share| share.join().expect("every pair ends as one without crash"))
            .sum()
    });
    println!("{tried} pairs of crashes");
}
