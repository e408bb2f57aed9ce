//! `state migrate`: the state goes on elsewhere, and its former place says so.

use pgferry_engine::state::StateError;
use pgferry_engine::state::format::{decode, moved};
use pgferry_engine::state::journal::recover;
use pgferry_engine::state::store::load;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::place::Place;
use crate::view;

/// Copies, reads back, and only then leaves word at the former place; repeated after a crash, it goes on.
pub(super) fn run(place: &Place, common: &Common, to: &str) -> Result<Exit, Stop> {
    let other = place.other(to)?;
    let (from, into) = (place.store.as_ref(), other.store.as_ref());
    if from.name() == into.name() {
        return Err(Stop::because(format!("the state is at `{}` already", from.name())));
    }
    let _lock = place.lock("state migrate", common.lock_timeout)?;
    let state = place.state()?;
    if from.read_journal(state.serial)?.is_some() {
        return Err(Stop::because("an apply was cut short, and its journal is not folded yet")
            .help("run `pgferry apply` or `pgferry state repair` first; nothing was changed"));
    }
    // Bytes, not what they say: a later pgferry may have written more than this one reads.
    let bytes = from.read()?.unwrap_or_default();
    let _other_lock = other.lock("state migrate", common.lock_timeout)?;
    match load(into) {
        // A former place of it may be its next one.
        Ok(None) | Err(StateError::MovedAway { .. }) => into.write(&bytes)?,
        Ok(Some(there)) if there == state => {}
        Ok(Some(there)) => {
            let (lineage, serial) = (&there.lineage, there.serial);
            return Err(Stop::because(format!(
                "there is a state at `{}` already, serial {serial} of lineage {lineage}",
                into.name()
            ))
            .help("nothing was changed; name a place where nothing is"));
        }
        Err(other) => return Err(other.into()),
    }
    let there = recover(into)?;
    if there.as_ref() != Some(&state) {
        return Err(Stop::because(format!("what is at `{}` is not what was written", into.name()))
            .help("nothing was changed at the former place"));
    }
    decode(&bytes, &from.name())?;
    // The former state becomes its backup.
    from.write(&moved(&into.name()))?;
    view::print(&format!(
        "Moved serial {} with {} resources. Write `state: {}` in the spec; the former place says so too, and has a backup.",
        state.serial,
        state.resources.len(),
        into.name()
    ));
    Ok(Exit::Done)
}
