//! How long a plan is expected to take: runs by their pace of the last time, windows by the longest chain of runs
//! under them.
//!
//! Pure, and no part of what is decided: an estimate stops nothing, and a saved plan holds whatever becomes of it. What
//! was never done has no estimate, and none is made up. Tested in `tests/planning/times.rs` of the engine.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::question::{Answer, Ask, Reality};
use super::{Change, Input, ScopeChange, Step, StepKind};
use crate::address::Address;
use crate::info::Kind;
use crate::pace::scaled;

/// How long something is expected to take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// Of a run, until it is done; of a window, until it closes again. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Of a run: how many bytes there are to move or compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Of a run: bytes a second, as the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// Of a run: when the last time was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub as_on: Option<Timestamp>,
    /// Of a window: the runs that it stays open for, one after another; others are done beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Address>,
    /// Of a window: runs under it that were never done before. Their time is not in `seconds`, so it is longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Address>,
}

/// What is expected of the runs and the windows of a plan.
pub(super) fn times(
    input: &Input<'_>,
    reality: &Reality,
    changes: &BTreeMap<Address, Change>,
    scopes: &BTreeMap<Address, ScopeChange>,
    steps: &[Step],
) -> BTreeMap<Address, Expected> {
    let mut expected = BTreeMap::new();
    let mut growths = BTreeMap::new();
    // Data grow along the way from run to run; without a run nobody asks.
    let order = if changes.values().any(is_run) { &input.graph.order[..] } else { &[] };
    for address in order {
        let above = growth(input, address, &growths);
        growths.extend(above.map(|above| (address.clone(), above)));
        let Some(change) = changes.get(address).filter(|change| is_run(change)) else { continue };
        let bytes = match reality.get(&(address.clone(), Ask::Inspect)) {
            Some(Answer::Inspected { bytes, .. }) => *bytes,
            _ => None,
        };
        let run = run(input, change, (bytes, above), &mut growths);
        if run != Expected::default() {
            expected.insert(address.clone(), run);
        }
    }
    for (scope, change) in scopes.iter().filter(|(_, scope)| scope.what.opens()) {
        let info = input.catalog.get(&change.type_name);
        if info.is_some_and(|info| info.traits.epoch)
            && let Some(window) = window(scope, changes, steps, &expected)
        {
            expected.insert(scope.clone(), window);
        }
    }
    expected
}

fn is_run(change: &Change) -> bool {
    change.kind == Kind::Run && change.action.makes_new()
}

/// By how much the data have grown that `address` depends on, as now and then: the most that any of them has.
fn growth(
    input: &Input<'_>,
    address: &Address,
    growths: &BTreeMap<Address, (u64, u64)>,
) -> Option<(u64, u64)> {
    let above = input.graph.direct_dependencies(address).filter_map(|above| growths.get(above));
    let ratio = |one: u64, of: u64| u128::from(one) * u128::from(of);
    above.copied().max_by(|(a, of_a), (b, of_b)| ratio(*a, *of_b).cmp(&ratio(*b, *of_a)))
}

/// `bytes`: what there is now, if that is known before it is done. What cannot know it, such as a restore of a dump that
/// is yet to be made, is taken to grow as what it depends on does: `above`.
fn run(
    input: &Input<'_>,
    change: &Change,
    (bytes, above): (Option<u64>, Option<(u64, u64)>),
    growths: &mut BTreeMap<Address, (u64, u64)>,
) -> Expected {
    let address = &change.address;
    let Some(pace) = input.state.resources.get(address).and_then(|entry| entry.pace) else {
        return Expected { bytes, ..Expected::default() };
    };
    let bytes = match (bytes, pace.bytes, above) {
        (Some(bytes), ..) => Some(bytes),
        (None, Some(then), Some((now, of))) => Some(scaled(then, now, of)),
        (None, then, _) => then,
    };
    if let (Some(now), Some(then)) = (bytes, pace.bytes.filter(|then| *then > 0)) {
        growths.insert(address.clone(), (now, then));
    }
    let mut seconds = Some(pace.seconds_for(bytes));
    if change.takes_up
        && let Some(operation) = input.state.operations.get(address)
    {
        // What has passed is not to be waited for again. What takes longer than last time is not known any more.
        let passed = input.now.duration_since(operation.intent.at).as_secs();
        let passed = u64::try_from(passed).unwrap_or_default();
        seconds = seconds.and_then(|all| all.checked_sub(passed)).filter(|left| *left > 0);
    }
    Expected { seconds, bytes, rate: pace.rate(), as_on: Some(pace.at), ..Expected::default() }
}

/// The longest chain of runs between the opening and the closing of `scope`.
fn window(
    scope: &Address,
    changes: &BTreeMap<Address, Change>,
    steps: &[Step],
    expected: &BTreeMap<Address, Expected>,
) -> Option<Expected> {
    let opening = steps.iter().position(|s| s.address == *scope && s.what == StepKind::Open)?;
    let closing = steps.iter().position(|s| s.address == *scope && s.what == StepKind::Close)?;
    // Of each step behind the opening: when it is over, counted from there, and the step that it waits for longest.
    let mut over: BTreeMap<usize, (u64, Option<usize>)> = BTreeMap::from([(opening, (0, None))]);
    let mut unknown = BTreeSet::new();
    let run = |index: usize| {
        let step: &Step = &steps[index];
        let acts = step.what == StepKind::Act;
        changes.get(&step.address).filter(|change| acts && is_run(change))
    };
    for (index, step) in steps.iter().enumerate().skip(opening + 1) {
        let before = step.after.iter().filter_map(|at| Some((over.get(at)?.0, *at)));
        let Some((begins, waits_for)) = before.max_by_key(|(time, at)| (*time, usize::MAX - at))
        else {
            continue;
        };
        let mut takes = 0;
        if let Some(change) = run(index) {
            match expected.get(&change.address).and_then(|expected| expected.seconds) {
                Some(seconds) => takes = seconds,
                None => {
                    unknown.insert(change.address.clone());
                }
            }
        }
        over.insert(index, (begins + takes, Some(waits_for)));
    }
    let (seconds, mut next) = *over.get(&closing)?;
    let mut path = Vec::new();
    while let Some(at) = next {
        path.extend(run(at).map(|change| change.address.clone()));
        next = over.get(&at).and_then(|(_, before)| *before);
    }
    path.reverse();
    path.retain(|address| !unknown.contains(address));
    let unknown: Vec<Address> = unknown.into_iter().collect();
    let known = !path.is_empty() || unknown.is_empty();
    Some(Expected { seconds: known.then_some(seconds), path, unknown, ..Expected::default() })
}
