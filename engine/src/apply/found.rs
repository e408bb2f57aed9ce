//! What planning has found out and no step brings: written down before the first step, as part of the apply.
//!
//! It looks at nothing itself. Tested through the whole crate's tests of what a state knows after an apply.

use std::collections::BTreeMap;

use super::Applying;
use super::walk::dependencies;
use crate::address::Address;
use crate::info::Kind;
use crate::plan::{Action, Answer, Ask};
use crate::resource::{Remembered, Verb};
use crate::state::journal::Durability;
use crate::state::{Entry, Expanded, Record, StateError};
use crate::tree::Tree;

/// Writes all of it down.
pub(super) fn write_down(applying: &Applying) -> Result<(), StateError> {
    rename(applying)?;
    take_down(applying)?;
    keep(applying)?;
    depend(applying)?;
    seen(applying)
}

/// Writes down which resources go by another address from here on.
fn rename(applying: &Applying) -> Result<(), StateError> {
    let moved = applying.plan.moved.iter();
    let moves: BTreeMap<Address, Address> =
        moved.map(|(to, from)| (from.clone(), to.clone())).collect();
    if moves.is_empty() {
        return Ok(());
    }
    applying.journal.append(&Record::Renamed { moves }, Durability::Synced)
}

/// Writes down what the spec says about the end of what is otherwise left alone.
fn keep(applying: &Applying) -> Result<(), StateError> {
    for (address, keeping) in &applying.plan.keeping {
        let known = applying.journal.with_state(|state| state.resources.get(address).cloned());
        let Some(known) = known else { continue };
        let entry = Box::new(keeping.put_into(known));
        let record = Record::Succeeded { address: address.clone(), entry };
        applying.journal.append(&record, Durability::Batched)?;
    }
    Ok(())
}

/// Writes down what each resource depends on by now, also where nothing else of it changes: what is remembered of
/// before could lead in circles with what is done today.
fn depend(applying: &Applying) -> Result<(), StateError> {
    let moved: Vec<Record> = applying.journal.with_state(|state| {
        let known = applying.spec.resources.keys();
        let known = known.filter_map(|address| Some((address, state.resources.get(address)?)));
        known
            .map(|(address, entry)| (address, entry, dependencies(applying, address)))
            .filter(|(_, entry, now)| entry.dependencies != *now)
            .map(|(address, _, dependencies)| Record::Depends {
                address: address.clone(),
                dependencies,
            })
            .collect()
    });
    for record in moved {
        applying.journal.append(&record, Durability::Batched)?;
    }
    Ok(())
}

/// Writes down what planning has found out and what no step brings: lookups, and expansions of what is unchanged.
fn take_down(applying: &Applying) -> Result<(), StateError> {
    for ((address, ask), answer) in &applying.reality {
        let Some(block) = applying.spec.resources.get(address) else { continue };
        let Some(info) = applying.catalog.get(&block.type_name) else { continue };
        let before = applying.journal.with_state(|state| state.resources.get(address).cloned());
        let entry = match (ask, answer, info.kind) {
            (Ask::Read, Answer::Live(Some(live)), Kind::Lookup) => Entry {
                type_name: block.type_name.clone(),
                kind: info.kind,
                remembered: Remembered {
                    id: live.id.clone(),
                    attrs: super::act::without_secrets(info, &live.attrs),
                    ..Remembered::default()
                },
                dependencies: dependencies(applying, address),
                on_remove: info.traits.on_remove,
                prevent_destroy: false,
                replace_when: BTreeMap::new(),
                expanded: None,
                removal: None,
                cut_over: None,
                done: None,
                pace: None,
            },
            (Ask::Expand, Answer::Expanded(fields), Kind::Managed) => {
                let acts = applying.plan.changes.get(address).is_some_and(|c| c.action.is_work());
                let Some(before) = before.as_ref().filter(|_| !acts) else { continue };
                let fields = fields.clone().unwrap_or_default();
                let expanded = Some(Box::new(Expanded { run: applying.spec.run.clone(), fields }));
                Entry { expanded, ..before.clone() }
            }
            _ => continue,
        };
        if before.as_ref() != Some(&entry) {
            let record = Record::Succeeded { address: address.clone(), entry: Box::new(entry) };
            applying.journal.append(&record, Durability::Batched)?;
        }
    }
    looked_at(applying)
}

/// Writes down what is not as it was remembered, where that is all that was asked for.
fn seen(applying: &Applying) -> Result<(), StateError> {
    if !applying.plan.refresh_only {
        return Ok(());
    }
    for (address, drift) in &applying.plan.drift {
        let known = applying.journal.with_state(|state| state.resources.get(address).cloned());
        let Some(mut entry) = known else { continue };
        let live = applying.reality.get(&(address.clone(), Ask::Read));
        let record = match live {
            Some(Answer::Live(None)) if drift.gone => Record::Forgot { address: address.clone() },
            Some(Answer::Live(Some(live))) => {
                let Some(info) = applying.catalog.get(&drift.type_name) else { continue };
                entry.remembered.id.clone_from(&live.id);
                entry.remembered.attrs = super::act::without_secrets(info, &live.attrs);
                for field in &drift.fields {
                    let Tree::Map(inputs) = &mut entry.remembered.inputs else { continue };
                    let was = inputs.get_mut(&field.name);
                    if let (Some(was), Some(now)) = (was, live.fields.get(&field.name)) {
                        *was = Tree::from_stored(now);
                    }
                }
                Record::Succeeded { address: address.clone(), entry: Box::new(entry) }
            }
            _ => continue,
        };
        applying.journal.append(&record, Durability::Batched)?;
    }
    Ok(())
}

/// An act on what is managed that got no answer is settled by looking: there is nothing left to change.
fn looked_at(applying: &Applying) -> Result<(), StateError> {
    let idle = |address: &Address| {
        let change = applying.plan.changes.get(address);
        change.is_some_and(|c| c.kind == Kind::Managed && c.action == Action::NoOp)
    };
    let settled: Vec<(Address, Entry)> = applying.journal.with_state(|state| {
        let begun = state.operations.iter().filter(|(address, operation)| {
            matches!(operation.intent.verb, Verb::Update | Verb::Delete) && idle(address)
        });
        begun.filter_map(|(a, _)| Some((a.clone(), state.resources.get(a)?.clone()))).collect()
    });
    for (address, entry) in settled {
        let record = Record::Succeeded { address, entry: Box::new(entry) };
        applying.journal.append(&record, Durability::Batched)?;
    }
    Ok(())
}
