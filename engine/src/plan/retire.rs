//! Whether the database that a migration left may be deleted: proved equal, cut over, and nothing else for a week.
//!
//! Pure, on what the state remembers. Whether it still holds in reality is for a plan to say. Tested by
//! `tests/retirement.rs`.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::Input;
use super::draft::mentions;
use crate::address::Address;
use crate::info::{Kind, Traits};
use crate::state::Removal;
use crate::tree::Tree;

/// How long after a verified cutover the former database stays, whatever anybody says.
pub const REST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A verified cutover, long enough ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retiring {
    /// The later of proof and cutover.
    pub since: Timestamp,
    /// The proofs and cutovers that it rests on.
    pub rests_on: BTreeSet<Address>,
}

/// Why not: what is missing, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub help: String,
}

/// Whether the lookup at `address` may be retired as of `input.now`.
///
/// # Errors
/// What is missing, in the order in which it would come about.
pub fn retirement(input: &Input<'_>, address: &Address) -> Result<Retiring, Refusal> {
    let refuse = |message: String, help: &str| Err(Refusal { message, help: help.to_owned() });
    let block = input.spec.resources.get(address);
    let info = block.and_then(|block| input.catalog.get(&block.type_name));
    if info.is_none_or(|info| info.kind != Kind::Lookup) {
        let message = format!("`{address}` is no database that the spec looks up");
        return refuse(message, "name the lookup that the data came from");
    }
    let state = input.state;
    let Some(entry) = state.resources.get(address) else {
        let message = format!("nothing is remembered of `{address}`");
        return refuse(message, "`pgferry apply` comes first");
    };
    if entry.removal == Some(Removal::Done) {
        return refuse(format!("`{address}` was retired already"), "nothing is left to do");
    }
    if let Some(unsettled) = state.operations.keys().next() {
        let message = format!("`{unsettled}` was begun and is not done");
        return refuse(message, "`pgferry apply` goes on from there");
    }
    let of = |address: &Address, is: fn(Traits) -> bool| {
        let block = input.spec.resources.get(address);
        let info = block.and_then(|block| input.catalog.get(&block.type_name));
        info.is_some_and(|info| is(info.traits))
    };
    let proofs = state.resources.iter().filter(|(proof, entry)| {
        let done = entry.done.as_ref().is_some_and(|done| done.run == input.spec.run);
        done && of(proof, |traits| traits.proof) && is_about(&entry.remembered.inputs, address)
    });
    let (mut since, mut rests_on) = (Timestamp::MIN, BTreeSet::new());
    for (proof, entry) in proofs {
        let cutovers = input.graph.descendants(proof);
        for cutover in cutovers.iter().filter(|below| of(below, |traits| traits.cutover)) {
            let at = state.resources.get(cutover).and_then(|entry| entry.cut_over);
            let Some(at) = at else {
                let message = format!("`{cutover}`, the cutover after `{proof}`, is not done");
                return refuse(message, "`pgferry apply` comes first");
            };
            since = since.max(at);
            rests_on.insert(cutover.clone());
        }
        if let Some(done) = entry.done.as_ref().filter(|_| !cutovers.is_disjoint(&rests_on)) {
            since = since.max(done.at);
            rests_on.insert(proof.clone());
        }
    }
    if rests_on.is_empty() {
        let message = format!("no verified cutover away from `{address}` is remembered");
        return refuse(
            message,
            "a verification of it, and a cutover that depends on it, come first",
        );
    }
    let may = since.checked_add(REST).unwrap_or(Timestamp::MAX);
    if input.now < may {
        let day = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        let message = format!(
            "`{address}` was cut over from at {}; until {} it is the way back",
            day(since),
            day(may)
        );
        return refuse(message, "nothing needs to be done before");
    }
    Ok(Retiring { since, rests_on })
}

/// Whether fields mention a whole resource.
fn is_about(inputs: &Tree, address: &Address) -> bool {
    let mut found = Vec::new();
    mentions(inputs, &mut found);
    found.iter().any(|(of, _)| *of == address.as_str())
}
