//! The end of an apply, destroy or release: what was done, what failed, what was not attempted.

use pgferry_engine::apply::Outcome;
use pgferry_engine::state::{ScopeStatus, State};

use super::{error, print, talk, warning};

/// After an apply. The success line is Terraform's to the letter.
pub(crate) fn applied(outcome: &Outcome, destroy: bool) {
    for failure in &outcome.failed {
        let message = format!("{}: {}", failure.address, failure.message);
        if failure.unknown {
            warning(&message);
            if let Some(help) = &failure.help {
                talk(&format!("  help: {help}"));
            }
        } else {
            error(&message, failure.help.as_deref());
        }
    }
    for (address, why) in &outcome.held {
        warning(&format!("`{address}` stays open: {why}"));
    }
    if outcome.is_success() {
        let counts = outcome.counts;
        let (add, change, destroyed) = (counts.add, counts.change, counts.destroy);
        if destroy {
            print(&format!("\nDestroy complete! Resources: {destroyed} destroyed."));
        } else {
            let import = if counts.import > 0 {
                format!("{} imported, ", counts.import)
            } else {
                String::new()
            };
            print(&format!(
                "\nApply complete! Resources: {import}{add} added, {change} changed, {destroyed} destroyed."
            ));
        }
        return;
    }
    if outcome.failed.iter().all(|failure| failure.unknown) {
        error("the apply did not finish", None);
    }
    let list = |addresses: Vec<String>| match addresses.is_empty() {
        true => "nothing".to_owned(),
        false => addresses.join(", "),
    };
    let done = list(outcome.done.iter().map(|(address, _)| address.to_string()).collect());
    let (unknown, failed): (Vec<_>, Vec<_>) =
        outcome.failed.iter().partition(|failure| failure.unknown);
    talk("");
    talk(&format!("Done:          {done}"));
    talk(&format!(
        "Failed:        {}",
        list(failed.iter().map(|f| f.address.to_string()).collect())
    ));
    if !unknown.is_empty() {
        let unknown = list(unknown.iter().map(|f| f.address.to_string()).collect());
        talk(&format!(
            "Still running: {unknown} (or its outcome is not known; the next apply settles it)"
        ));
    }
    talk(&format!(
        "Not attempted: {}",
        list(outcome.skipped.iter().map(ToString::to_string).collect())
    ));
    talk("Everything done so far is recorded; `pgferry apply` goes on from here.");
}

/// What every command says first: scopes that are open although nothing runs.
pub(crate) fn leftovers(state: &State) {
    for (address, scope) in state.open_scopes() {
        if let Some(why) = &scope.close_failed {
            warning(&format!("`{address}` could not be closed: {why}"));
            talk("  help: `pgferry release` tries again");
        } else if scope.status == ScopeStatus::Held {
            warning(&format!(
                "`{address}` is held open since {}; `pgferry release` closes it",
                scope.intent.at
            ));
        } else {
            warning(&format!(
                "`{address}` was left open at {}; the next apply takes it over, `pgferry release` closes it",
                scope.intent.at
            ));
        }
    }
}
