//! Resources that go by another address: everything that the state says of the old one is said of the new one.
//!
//! All moves of a plan at once, in one walk over the state. Tested below and by `tests/features.rs`.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{DoneUnder, Entry, IllegalEvent, Scope, State};
use crate::address::Address;
use crate::resource::{Intent, Remembered};
use crate::tree::Tree;

/// Among the notes of what was begun before the move: the address whose natural key it was begun with.
pub(crate) const BEGUN_AS: &str = "$begun_as";

type Moves = BTreeMap<Address, Address>;

impl State {
    /// Whether anything at all is remembered of `address`.
    pub fn knows(&self, address: &Address) -> bool {
        self.resources.contains_key(address)
            || self.scopes.contains_key(address)
            || self.operations.contains_key(address)
    }

    /// Renames, from the former to the present address.
    pub(super) fn rename(&mut self, moves: &Moves) -> Result<(), IllegalEvent> {
        let wrong = moves.iter().find(|(from, to)| !self.knows(from) || self.knows(to));
        if let Some((from, _)) = wrong {
            return Err(IllegalEvent { event: "renamed", address: from.to_string() });
        }
        for (address, operation) in &mut self.operations {
            intent(&mut operation.intent, moves);
            under(&mut operation.under, moves);
            if moves.contains_key(address) {
                begun_as(&mut operation.intent, address);
            }
        }
        for (address, Scope { intent: opened, .. }) in &mut self.scopes {
            intent(opened, moves);
            if moves.contains_key(address) {
                begun_as(opened, address);
            }
        }
        for entry in self.resources.values_mut() {
            readdress(entry, moves);
        }
        keys(&mut self.resources, moves);
        keys(&mut self.scopes, moves);
        keys(&mut self.operations, moves);
        Ok(())
    }
}

fn readdress(entry: &mut Entry, moves: &Moves) {
    remembered(&mut entry.remembered, moves);
    for dependency in &mut entry.dependencies {
        if let Some(to) = moves.get(dependency) {
            dependency.clone_from(to);
        }
    }
    entry.dependencies.sort();
    if let Some(expanded) = &mut entry.expanded {
        expanded.fields.values_mut().for_each(|field| mentions(field, moves));
    }
    if let Some(done) = &mut entry.done {
        under(done, moves);
    }
}

fn keys<T>(map: &mut BTreeMap<Address, T>, moves: &Moves) {
    let moved: Vec<(Address, T)> = moves
        .iter()
        .filter_map(|(from, to)| map.remove(from).map(|value| (to.clone(), value)))
        .collect();
    map.extend(moved);
}

fn under(under: &mut DoneUnder, moves: &Moves) {
    // By its own few scopes, since the moves may be many.
    let moved: Vec<Address> =
        under.epochs.keys().filter(|scope| moves.contains_key(*scope)).cloned().collect();
    for from in moved {
        if let (Some(epoch), Some(to)) = (under.epochs.remove(&from), moves.get(&from)) {
            under.epochs.insert(to.clone(), epoch);
        }
    }
}

fn intent(intent: &mut Intent, moves: &Moves) {
    handed_on(&mut intent.inputs, moves);
    mentions(&mut intent.notes, moves);
    if let Some(before) = &mut intent.before {
        remembered(before, moves);
    }
}

/// What has no name of its own was begun under one made from the address; it is found by that until it is finished.
fn begun_as(intent: &mut Intent, address: &Address) {
    match &mut intent.notes {
        Json::Object(notes) => {
            notes.entry(BEGUN_AS).or_insert_with(|| json!(address));
        }
        notes => *notes = json!({ BEGUN_AS: address }),
    }
}

fn remembered(remembered: &mut Remembered, moves: &Moves) {
    let Remembered { inputs, attrs, memory, .. } = remembered;
    [inputs, attrs, memory].into_iter().for_each(|stored| handed_on(stored, moves));
}

/// As [`mentions`], in what is a tree already.
fn handed_on(stored: &mut Tree, moves: &Moves) {
    match stored {
        Tree::List(items) => items.iter_mut().for_each(|item| handed_on(item, moves)),
        Tree::Map(map) => {
            for (key, value) in map.iter_mut() {
                let to = match (key.as_str(), &*value) {
                    ("$address", Tree::Text(from)) => moves.get(&Address::new(from)),
                    _ => None,
                };
                match to {
                    Some(to) => *value = Tree::text(to.as_str()),
                    None => handed_on(value, moves),
                }
            }
        }
        _ => {}
    }
}

/// Whole resources handed on are known by their address.
fn mentions(json: &mut Json, moves: &Moves) {
    match json {
        Json::Array(items) => items.iter_mut().for_each(|item| mentions(item, moves)),
        Json::Object(map) => {
            for (key, value) in map {
                let to = match (key.as_str(), &*value) {
                    ("$address", Json::String(from)) => moves.get(&Address::new(from.clone())),
                    _ => None,
                };
                match to {
                    Some(to) => *value = json!(to),
                    None => mentions(value, moves),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    /// As an older build wrote it, without anything that came later.
    fn state() -> State {
        let under = json!({"run": "1", "at": "2026-01-01T00:00:00Z", "epochs": {"window": 2}});
        let target = json!({"$address": "target", "$id": "7"});
        let intent = json!({
            "verb": "run", "inputs": {"into": target}, "at": "2026-01-01T00:00:00Z", "notes": null,
            "before": null,
        });
        let entry = |kind: &str, inputs: Json, dependencies: Json| {
            json!({
                "type": "t", "kind": kind, "id": "7", "inputs": inputs, "attrs": {}, "memory": null,
                "dependencies": dependencies, "on_remove": "keep",
            })
        };
        let mut done = entry("run", json!({"list": [target]}), json!(["target", "window"]));
        done["done"] = under.clone();
        let state = json!({
            "format": 1, "lineage": "l", "serial": 3, "name": "m",
            "resources": {"target": entry("managed", json!({}), json!([])), "done": done},
            "scopes": {"window": {
                "type": "w", "epoch": 2, "intent": intent, "status": {"is": "open"},
            }},
            "operations": {"restore": {
                "type": "t", "intent": intent, "under": under, "outcome": {"is": "begun"},
            }},
        });
        serde_json::from_value(state).expect("an old state")
    }

    fn renamed(pairs: &[(&str, &str)]) -> Result<State, IllegalEvent> {
        let moves = pairs.iter().map(|(a, b)| (Address::new(*a), Address::new(*b))).collect();
        let mut state = state();
        state.fold(Record::Renamed { moves })?;
        Ok(state)
    }

    #[test]
    fn everything_said_of_the_old_is_said_of_the_new() {
        let state = renamed(&[("target", "new"), ("window", "quiet"), ("restore", "filled")])
            .expect("follows");
        let json = serde_json::to_value(&state).expect("serialises");
        let text = json.to_string();
        for (gone, times) in [("\"target\"", 0), ("\"window\"", 1), ("\"restore\"", 1)] {
            assert_eq!(text.matches(gone).count(), times, "{gone} in {text}");
        }
        assert_eq!(json["resources"]["done"]["dependencies"], json!(["new", "quiet"]));
        assert_eq!(json["resources"]["done"]["done"]["epochs"], json!({"quiet": 2}));
        assert_eq!(json["resources"]["done"]["inputs"]["list"][0]["$address"], "new");
        assert_eq!(json["operations"]["filled"]["intent"]["inputs"]["into"]["$address"], "new");
        // The one place where the former names stay: natural keys were made from them.
        assert_eq!(json["operations"]["filled"]["intent"]["notes"], json!({BEGUN_AS: "restore"}));
        assert_eq!(json["scopes"]["quiet"]["intent"]["notes"], json!({BEGUN_AS: "window"}));
    }

    #[test]
    fn moves_that_do_not_follow() {
        for pairs in [[("nowhere", "new")], [("target", "done")], [("target", "window")]] {
            assert!(renamed(&pairs).is_err(), "{pairs:?}");
        }
    }
}
