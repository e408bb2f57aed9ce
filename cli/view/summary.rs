//! The end of an apply, destroy or release: what was done, what failed, what was not attempted.

use std::collections::BTreeSet;

use pgferry_engine::address::Address;
use pgferry_engine::apply::Outcome;
use pgferry_engine::state::{ScopeStatus, State, StateError};

use super::{print, talk, talk_error, talk_warning, warning};

/// How many of many are named.
const NAMED: usize = 8;

/// After an apply, to people. The success line is Terraform's to the letter.
pub(crate) fn applied(outcome: &Outcome, destroy: bool) {
    for failure in &outcome.failed {
        let message = format!("{}: {}", failure.address, failure.message);
        if failure.unknown {
            talk_warning(&message, failure.help.as_deref());
        } else {
            talk_error(&message, failure.help.as_deref());
        }
    }
    for (address, why) in &outcome.held {
        talk_warning(&format!("`{address}` stays open: {why}"), None);
    }
    if outcome.is_success() {
        print(&format!("\n{}", complete(outcome, destroy)));
        return;
    }
    if outcome.failed.iter().all(|failure| failure.unknown) {
        let what = if destroy { "destroy" } else { "apply" };
        talk_error(&format!("the {what} did not finish"), None);
    }
    let names = |addresses: &mut dyn Iterator<Item = &Address>| {
        let sorted: BTreeSet<&Address> = addresses.collect();
        first_of(sorted.into_iter().map(ToString::to_string).collect())
    };
    let (unknown, failed): (Vec<_>, Vec<_>) =
        outcome.failed.iter().partition(|failure| failure.unknown);
    talk("");
    talk(&format!("Done:          {}", names(&mut outcome.done.iter().map(|(a, _)| a))));
    talk(&format!("Failed:        {}", names(&mut failed.iter().map(|f| &f.address))));
    if !unknown.is_empty() {
        let unknown = names(&mut unknown.iter().map(|f| &f.address));
        talk(&format!(
            "Still running: {unknown} (or its outcome is not known; the next apply settles it)"
        ));
    }
    talk(&format!("Not attempted: {}", names(&mut outcome.skipped.iter())));
    let command = if destroy { "destroy" } else { "apply" };
    talk(&format!("Everything done so far is recorded; `pgferry {command}` goes on from here."));
}

/// Terraform's line after an apply or destroy that did all of it.
pub(crate) fn complete(outcome: &Outcome, destroy: bool) -> String {
    let counts = outcome.counts;
    let (add, change, destroyed) = (counts.add, counts.change, counts.destroy);
    if destroy {
        return format!("Destroy complete! Resources: {destroyed} destroyed.");
    }
    let import = match counts.import {
        0 => String::new(),
        number => format!("{number} imported, "),
    };
    format!(
        "Apply complete! Resources: {import}{add} added, {change} changed, {destroyed} destroyed."
    )
}

/// All of them, or, of many, how many and the first few.
pub(crate) fn first_of(names: Vec<String>) -> String {
    match names.len() {
        0 => "nothing".to_owned(),
        number if number <= NAMED => names.join(", "),
        number => {
            format!("{number}: {} and {} more", names[..NAMED].join(", "), number - NAMED)
        }
    }
}

/// Why a scope is not closed yet.
pub(crate) fn holding(address: &Address, running: &Address, what: &str) -> String {
    // "restore r003 still running" says already who runs.
    match what.contains(running.as_str()) {
        true => format!("Holding {address}: {what}"),
        false => format!("Holding {address}: {running} may still be running: {what}"),
    }
}

/// What every command says first: scopes that are open although nothing runs.
pub(crate) fn leftovers(state: &State) {
    for (address, scope) in state.open_scopes() {
        if let Some(why) = &scope.close_failed {
            let help = Some("`pgferry release` tries again");
            warning(&format!("`{address}` could not be closed: {why}"), help);
        } else if scope.status == ScopeStatus::Held {
            warning(
                &format!(
                    "`{address}` is held open since {}; `pgferry release` closes it",
                    scope.intent.at
                ),
                None,
            );
        } else {
            warning(
                &format!(
                    "`{address}` was left open at {}; the next apply takes it over, `pgferry release` closes it",
                    scope.intent.at
                ),
                None,
            );
        }
    }
}

/// What stays open because an apply ends at once: nothing can be recorded any more, for that `cause`.
pub(crate) fn left_open(open: &[(Address, String)], cause: &StateError) {
    let (why, unless) = match cause {
        _ if cause.is_of_another() => (
            "this run has lost the lock, and another may be working under it",
            "if no other run is, ",
        ),
        StateError::GivesAway { .. } => ("nothing under it was tried", ""),
        _ => ("what is done can no longer be recorded", ""),
    };
    for (address, how) in open {
        let help = format!("{unless}{how}; or the next apply takes it over");
        warning(&format!("`{address}` stays open: {why}"), Some(&help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_few() {
        let names = |count: usize| (1..=count).map(|n| format!("r{n}")).collect::<Vec<_>>();
        assert_eq!(first_of(names(0)), "nothing");
        assert_eq!(first_of(names(8)), "r1, r2, r3, r4, r5, r6, r7, r8");
        assert_eq!(first_of(names(300)), "300: r1, r2, r3, r4, r5, r6, r7, r8 and 292 more");
    }
}
