//! `state`: a look into what is remembered, and careful changes to it, each with a backup.

use std::path::Path;
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::state::file::StateFile;
use pgferry_engine::state::journal::{self, Durability, Journal};
use pgferry_engine::state::store::{load, save};
use pgferry_engine::state::{Record, State, check};

use crate::arguments::{Common, StateCommand};
use crate::outcome::{Exit, Stop};
use crate::place::Place;
use crate::view;

mod migrate;
mod repair;

pub(super) fn run(common: &Common, command: &StateCommand) -> Result<Exit, Stop> {
    let place = Place::find(common)?;
    match command {
        StateCommand::Rm { address } => return remove(&place, common, address),
        StateCommand::Mv { from, to } => return rename(&place, common, from, to),
        StateCommand::Push { pushed, force } => return push(&place, common, pushed, *force),
        StateCommand::Repair { use_backup, cut_journal } => {
            return repair::run(&place, common, *use_backup, *cut_journal);
        }
        StateCommand::Migrate { to } => return migrate::run(&place, common, to),
        StateCommand::Pull => {
            // Also one that contradicts itself: it can be put right only by hand.
            let state = journal::unchecked(place.store.as_ref())?;
            let state = state.map_or_else(|| place.state(), Ok)?;
            view::print(&json(&state)?);
            return Ok(Exit::Done);
        }
        StateCommand::List | StateCommand::Show { .. } => {}
    }
    let state = place.state()?;
    match command {
        StateCommand::List if common.json => {
            view::print_json(&serde_json::json!(state.resources.keys().collect::<Vec<_>>()));
        }
        StateCommand::List => {
            for address in state.resources.keys() {
                view::print(address.as_str());
            }
        }
        StateCommand::Show { address } => {
            let entry = state.resources.get(&Address::new(address.clone())).ok_or_else(|| {
                Stop::because(format!("nothing is remembered of `{address}`"))
                    .help("`pgferry state list` shows the addresses")
            })?;
            if common.json {
                let json = serde_json::to_value(entry).map_err(|cause| {
                    Stop::because(format!("writing `{address}` as JSON: {cause}"))
                })?;
                view::print_json(&json);
            } else {
                view::print(super::show::block(address, entry).trim_end());
            }
        }
        _ => {}
    }
    Ok(Exit::Done)
}

fn json(state: &State) -> Result<String, Stop> {
    serde_json::to_string_pretty(state)
        .map_err(|cause| Stop::because(format!("writing the state as JSON: {cause}")))
}

/// Forgets; the former state stays as the backup.
fn remove(place: &Place, common: &Common, addresses: &[String]) -> Result<Exit, Stop> {
    let _lock = place.lock("state rm", common.lock_timeout)?;
    let state = place.state()?;
    for address in addresses {
        let address = Address::new(address.clone());
        if !state.resources.contains_key(&address) && !state.operations.contains_key(&address) {
            return Err(Stop::because(format!("nothing is remembered of `{address}`"))
                .help("`pgferry state list` shows the addresses; nothing was changed"));
        }
    }
    let journal = Journal::begin(Arc::clone(&place.store), state, SystemClock.now(), None)?;
    for address in addresses {
        let record = Record::Forgot { address: Address::new(address.clone()) };
        journal.append(&record, Durability::Batched)?;
    }
    journal.finish()?;
    view::print(&format!(
        "Forgotten: {}. What they stand for was not touched.",
        addresses.join(", ")
    ));
    Ok(Exit::Done)
}

/// Under another address from now on; the spec has to follow.
fn rename(place: &Place, common: &Common, from: &str, to: &str) -> Result<Exit, Stop> {
    let address = |text: &str| {
        text.parse::<Address>().map_err(|cause| {
            Stop::because(cause.to_string()).help("in a shell: 'dump[\"eu\"]', in single quotes")
        })
    };
    let (from, to) = (address(from)?, address(to)?);
    let _lock = place.lock("state mv", common.lock_timeout)?;
    let state = place.state()?;
    if !state.knows(&from) {
        return Err(Stop::because(format!("nothing is remembered of `{from}`"))
            .help("`pgferry state list` shows the addresses; nothing was changed"));
    }
    if state.knows(&to) {
        return Err(Stop::because(format!("`{to}` is remembered already, as something else"))
            .help(format!(
                "forget that first, with `pgferry state rm {to}`; nothing was changed"
            )));
    }
    let journal = Journal::begin(Arc::clone(&place.store), state, SystemClock.now(), None)?;
    let moves = [(from.clone(), to.clone())].into();
    journal.append(&Record::Renamed { moves }, Durability::Synced)?;
    journal.finish()?;
    view::print(&format!("`{from}` is known as `{to}` now. The spec has to call it so, too."));
    Ok(Exit::Done)
}

fn push(place: &Place, common: &Common, file: &Path, force: bool) -> Result<Exit, Stop> {
    let _lock = place.lock("state push", common.lock_timeout)?;
    let pushed = load(&StateFile::new(file))?
        .ok_or_else(|| Stop::because(format!("there is no file `{}`", file.display())))?;
    check::refuse(&pushed, &file.display().to_string())?;
    let known = if force { None } else { journal::recover(place.store.as_ref())? };
    if let Some(known) = known {
        let refused = |why: String| {
            Err(Stop::because(why).help("nothing was changed; `--force` pushes all the same"))
        };
        if known.lineage != pushed.lineage {
            let (mine, its) = (&known.lineage, &pushed.lineage);
            return refused(format!("it is of lineage {its}, the state of {mine}"));
        }
        if pushed.serial < known.serial {
            let (mine, its) = (known.serial, pushed.serial);
            return refused(format!("it has serial {its}, the state has {mine}"));
        }
    }
    if !force && place.store.read_journal(0)?.is_some() {
        return Err(Stop::because("an apply was cut short, and its journal is not folded yet")
            .help("run `pgferry apply` first, or push with `--force`, which drops the journal"));
    }
    place.store.remove_journal(u64::MAX)?;
    save(place.store.as_ref(), &pushed)?;
    view::print(&format!("Pushed serial {} of lineage {}.", pushed.serial, pushed.lineage));
    Ok(Exit::Done)
}
