//! `status`: what is open, what has not ended, and who works on it; without the lock, and without asking any provider.

use std::fmt::Write;
use std::time::Duration;

use pgferry_engine::address::Address;
use pgferry_engine::state::store::Store;
use pgferry_engine::state::{Operation, Outcome, Scope, ScopeStatus, State, StateError, journal};
use serde_json::{Value as Json, json};

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::place::Place;
use crate::view;

/// How often a state is read again that another run is just saving.
const TRIES: usize = 5;

pub(super) fn run(common: &Common) -> Result<Exit, Stop> {
    let store = Place::find(common)?.store;
    let running = store.holder()?;
    let state = read(store.as_ref())?;
    if common.json {
        view::print_json(&document(&store.name(), running.as_deref(), state.as_ref()));
    } else {
        view::print(text(&store.name(), running.as_deref(), state.as_ref()).trim_end());
    }
    Ok(Exit::Done)
}

/// The state with the journal folded in, also while another run saves it: between the two files it may save both.
fn read(store: &dyn Store) -> Result<Option<State>, Stop> {
    let mut tries = 0;
    loop {
        tries += 1;
        match journal::recover(store) {
            Err(StateError::Journal { .. }) if tries < TRIES => {
                std::thread::sleep(Duration::from_millis(100));
            }
            read => return Ok(read?),
        }
    }
}

fn text(place: &str, running: Option<&str>, state: Option<&State>) -> String {
    let Some(state) = state else {
        let running = running.map(|holder| format!("\nRunning now: {holder}.")).unwrap_or_default();
        return format!("No state at `{place}` yet; nothing was begun.{running}");
    };
    let mut out = format!("State: `{place}`, serial {}.\n", state.serial);
    match running {
        Some(holder) => _ = writeln!(out, "Running now: {holder}."),
        None => out.push_str("No command is running.\n"),
    }
    if state.open_scopes().next().is_some() {
        out.push_str("\nOpen:\n");
        for (address, scope) in state.open_scopes() {
            let _ = writeln!(out, "  {address} ({}): {}", scope.type_name, of_scope(scope));
        }
    }
    if !state.operations.is_empty() {
        out.push_str(if running.is_some() { "\nUnder way:\n" } else { "\nNot finished:\n" });
        for (address, operation) in &state.operations {
            let said = of_operation(operation, running.is_some());
            let _ = writeln!(out, "  {address} ({}): {said}", operation.type_name);
        }
    }
    if running.is_none() {
        let next = next(state);
        if next.is_empty() {
            out.push_str("\nNothing is left over: the next apply plans as usual.\n");
        } else {
            let _ = writeln!(out, "\nThe next apply first has to:");
            for step in next {
                let _ = writeln!(out, "  - {step}");
            }
        }
    }
    out
}

fn of_scope(scope: &Scope) -> String {
    let since = scope.intent.at;
    match (&scope.close_failed, &scope.status) {
        (Some(why), _) => {
            format!("open since {since}; could not be closed: {why}; `pgferry release` tries again")
        }
        (None, ScopeStatus::Held) => {
            format!("held open on purpose, opened at {since}; `pgferry release` closes it")
        }
        (None, _) => format!("open since {since}; `pgferry release` closes it"),
    }
}

fn of_operation(operation: &Operation, is_running: bool) -> String {
    let since = operation.intent.at;
    match &operation.outcome {
        Outcome::Begun if is_running => format!("begun at {since}"),
        Outcome::Begun => format!("begun at {since}, and its end was not recorded"),
        Outcome::Unknown { message } => {
            format!("begun at {since}; may still be running: {message}")
        }
        Outcome::Failed { message } => format!("begun at {since}, and failed: {message}"),
    }
}

/// What an apply does before anything else, in its order.
fn next(state: &State) -> Vec<String> {
    let of = |address: &Address| format!("`{address}`");
    let mut steps = Vec::new();
    for (address, operation) in &state.operations {
        steps.push(match operation.outcome {
            Outcome::Failed { .. } => format!("do {} again, which failed", of(address)),
            _ => format!("find out what became of {}", of(address)),
        });
    }
    for (address, scope) in state.open_scopes() {
        if scope.close_failed.is_some() {
            steps.push(format!("close {}", of(address)));
        } else if scope.status == ScopeStatus::Open {
            let address = of(address);
            steps.push(format!("take over {address}, or end it if nothing is left to do under it"));
        }
    }
    steps
}

fn document(place: &str, running: Option<&str>, state: Option<&State>) -> Json {
    let open = state.into_iter().flat_map(State::open_scopes).map(|(address, scope)| {
        json!({
            "address": address, "type": scope.type_name, "since": scope.intent.at,
            "held": scope.status == ScopeStatus::Held, "close_failed": scope.close_failed,
        })
    });
    let begun = state.into_iter().flat_map(|state| &state.operations);
    let unfinished = begun.map(|(address, operation)| {
        let (outcome, message) = match &operation.outcome {
            Outcome::Begun => ("begun", None),
            Outcome::Unknown { message } => ("unknown", Some(message)),
            Outcome::Failed { message } => ("failed", Some(message)),
        };
        json!({
            "address": address, "type": operation.type_name, "since": operation.intent.at,
            "outcome": outcome, "message": message,
        })
    });
    json!({
        "state": place,
        "serial": state.map(|state| state.serial),
        "running": running,
        "open": open.collect::<Vec<_>>(),
        "unfinished": unfinished.collect::<Vec<_>>(),
        "next": state.filter(|_| running.is_none()).map(next),
    })
}
