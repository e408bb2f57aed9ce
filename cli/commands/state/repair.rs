//! `state repair`: what is wrong with a state and its journal. What needs no guess is put right, the rest is shown with
//! what could be done about it; whatever is replaced is kept.

use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::state::format::{decode, encode};
use pgferry_engine::state::journal::{Durability, Journal, continued, cut};
use pgferry_engine::state::{Record, State, StateError, check};

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::place::Place;
use crate::view;

pub(super) fn run(
    place: &Place,
    common: &Common,
    use_backup: bool,
    cut_journal: bool,
) -> Result<Exit, Stop> {
    let _lock = place.lock("state repair", common.lock_timeout)?;
    let mut told = Vec::new();
    let saved = readable(place, use_backup, &mut told)?;
    let state = folded(place, saved, cut_journal, &mut told)?;
    let state = consistent(place, state, &mut told)?;
    for line in &told {
        view::print(line);
    }
    let (serial, count) = (state.serial, state.resources.len());
    let nothing = if told.is_empty() { "Nothing is wrong: " } else { "" };
    view::print(&format!("{nothing}serial {serial}, {count} resources."));
    Ok(Exit::Done)
}

/// The saved state, or the backup in its place.
fn readable(place: &Place, use_backup: bool, told: &mut Vec<String>) -> Result<State, Stop> {
    let (store, name) = (place.store.as_ref(), place.store.name());
    let bytes = store.read()?;
    let wrong = match &bytes {
        Some(bytes) => match decode(bytes, &name) {
            Ok(state) => return Ok(state),
            Err(newer @ StateError::Newer { .. }) => return Err(newer.into()),
            // It is elsewhere, and whole.
            Err(moved @ StateError::MovedAway { .. }) if !use_backup => return Err(moved.into()),
            Err(wrong) => wrong.to_string(),
        },
        None if store.read_backup()?.is_none() && store.read_journal(0)?.is_some() => {
            // An apply that was the first was cut short: the journal is all there is.
            return journal_alone(place);
        }
        None => format!("there is no state at `{name}`"),
    };
    let backup = store.read_backup()?;
    let good = backup.as_ref().and_then(|backup| Some((backup, decode(backup, &name).ok()?)));
    let Some((backup, state)) = good else {
        return Err(Stop::because(format!("{wrong}; there is no backup that can be read"))
            .help("with a copy from elsewhere: `pgferry state push --force FILE`"));
    };
    let (serial, count) = (state.serial, state.resources.len());
    if !use_backup {
        return Err(Stop::because(format!(
            "{wrong}; the backup is serial {serial} with {count} resources"
        ))
        .help("`pgferry state repair --use-backup` puts that in its place, and keeps what is there now"));
    }
    if let Some(bytes) = &bytes {
        told.push(format!(
            "kept what could not be read as `{}`",
            store.set_aside("damaged", bytes)?
        ));
    }
    // The write makes a backup of what is damaged, so the good one is kept by another name first.
    store.set_aside("restored", backup)?;
    store.write(backup)?;
    told.push(format!("put the backup in its place: serial {serial} with {count} resources"));
    Ok(state)
}

fn journal_alone(place: &Place) -> Result<State, Stop> {
    let bytes = place.store.read_journal(0)?.unwrap_or_default();
    let begun = continued(None, &bytes, &place.store.name())?;
    begun.map(|state| State::new(&state.name, state.lineage)).ok_or_else(|| {
        Stop::because(format!("there is no state at `{}` yet", place.store.name()))
            .help("the first `pgferry apply` makes it")
    })
}

/// With the journal that was left behind, all of it or as far as it can be read; saved, and the journal removed.
fn folded(
    place: &Place,
    saved: State,
    cut_journal: bool,
    told: &mut Vec<String>,
) -> Result<State, Stop> {
    let (store, name) = (place.store.as_ref(), place.store.name());
    let Some(bytes) = store.read_journal(saved.serial)? else { return Ok(saved) };
    let (state, lines, why) = cut(Some(saved.clone()), &bytes, &name);
    let mut state = state.unwrap_or(saved);
    if let Some(why) = why {
        if !cut_journal {
            return Err(Stop::because(format!("{why}; {lines} lines before that can be read")).help(
                "`pgferry state repair --cut-journal` goes by these alone, and keeps the journal; what the rest says was \
                 done is then not remembered",
            ));
        }
        told.push(format!("kept the journal as `{}`", store.set_aside("journal.kept", &bytes)?));
    }
    store.seal_journal(state.serial)?;
    state.serial += 1;
    store.write(&encode(&state, &name)?)?;
    store.remove_journal(u64::MAX)?;
    told.push(format!("took {lines} lines of the journal into the state"));
    Ok(state)
}

/// Without dependencies on what is gone; whatever else cannot be is a matter for people.
fn consistent(place: &Place, state: State, told: &mut Vec<String>) -> Result<State, Stop> {
    let gone = check::dangling(&state);
    let mut dependents: Vec<&Address> = gone.iter().map(|(dependent, _)| dependent).collect();
    dependents.dedup();
    let records: Vec<Record> = dependents
        .into_iter()
        .filter_map(|address| {
            let kept = state.resources.get(address)?.dependencies.iter();
            let dependencies = kept.filter(|to| state.knows(to)).cloned().collect();
            Some(Record::Depends { address: address.clone(), dependencies })
        })
        .collect();
    let mut put_right = state.clone();
    for record in &records {
        put_right.fold(record.clone()).map_err(|cause| Stop::because(cause.to_string()))?;
    }
    let wrong = check::violations(&put_right);
    if !wrong.is_empty() {
        let list: String = wrong.iter().map(|wrong| format!("\n  - {wrong}")).collect();
        return Err(Stop::because(format!(
            "the state `{}` contradicts itself:{list}",
            place.store.name()
        ))
        .help(
            "only you can know what is true: `pgferry state pull > state.json`, put it right there, raise its `serial`, \
             then `pgferry state push --force state.json`",
        ));
    }
    if records.is_empty() {
        return Ok(state);
    }
    let journal = Journal::begin(Arc::clone(&place.store), state, SystemClock.now(), None)?;
    for record in &records {
        journal.append(record, Durability::Batched)?;
    }
    let state = State { serial: journal.state().serial + 1, ..journal.state() };
    journal.finish()?;
    let list = gone.iter().map(|(dependent, to)| {
        format!("dropped: `{dependent}` depended on `{to}`, which is not remembered")
    });
    told.extend(list);
    Ok(state)
}
