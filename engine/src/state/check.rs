//! Whether what a state says can be: looked at whenever one is loaded, and apart from the code that makes states.
//!
//! A state that cannot be is refused, with everything that is wrong with it; nothing is guessed. Linear in the size of
//! the state, without recursion over it: dependencies may form a chain of any length. Tested below, and by every test
//! that loads a state.

use std::collections::{BTreeMap, HashMap};

use rustc_hash::FxHashMap;

use super::{DoneUnder, Entry, State, StateError};
use crate::address::{Address, is_name};
use crate::info::Kind;
use crate::resource::{Intent, Verb};
use crate::tree::Tree;

/// So many are told of at once.
const TOLD: usize = 3;

/// Refuses a state that cannot be; `place` is where it was found.
///
/// # Errors
/// [`StateError::Invalid`], with the first of what is wrong.
pub fn refuse(state: &State, place: &str) -> Result<(), StateError> {
    let mut wrong = violations(state);
    if wrong.is_empty() {
        return Ok(());
    }
    let more = wrong.len().saturating_sub(TOLD);
    wrong.truncate(TOLD);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(StateError::Invalid { path: place.to_owned(), why: format!("{}{more}", wrong.join("; ")) })
}

/// What cannot be, each in a sentence, in the order of the addresses.
pub fn violations(state: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    if state.lineage.is_empty() {
        wrong.push("it has no lineage".to_owned());
    }
    if state.name.is_empty() {
        wrong.push("it has no name".to_owned());
    }
    for (address, entry) in &state.resources {
        let mut found = of_entry(state, entry);
        found.extend(of_place(address, &entry.type_name));
        wrong.extend(found.into_iter().map(|what| format!("`{address}` {what}")));
    }
    for (address, scope) in &state.scopes {
        let mut found = of_place(address, &scope.type_name);
        found.extend(of_intent(&scope.intent));
        if scope.epoch == 0 {
            found.push("is open without an epoch".to_owned());
        }
        if let Some(epoch) = scope.broken.keys().find(|epoch| **epoch > scope.epoch) {
            found.push(format!("broke epoch {epoch}, and has come to {} only", scope.epoch));
        }
        if scope.intent.verb != Verb::Open {
            found.push("was opened by something that opens nothing".to_owned());
        }
        wrong.extend(found.into_iter().map(|what| format!("the scope `{address}` {what}")));
    }
    for (address, operation) in &state.operations {
        let mut found = of_place(address, &operation.type_name);
        found.extend(of_intent(&operation.intent));
        found.extend(of_epochs(state, &operation.under));
        if operation.intent.verb == Verb::Open {
            found.push("opens, and is no scope".to_owned());
        }
        let known = state.resources.get(address);
        if known.is_some_and(|e| (e.kind == Kind::Run) != (operation.intent.verb == Verb::Run)) {
            found.push("does what its kind does not do".to_owned());
        }
        wrong.extend(found.into_iter().map(|what| format!("the act on `{address}` {what}")));
    }
    if let Some(cycle) = cycle(state) {
        let cycle: Vec<String> = cycle.iter().map(|address| format!("`{address}`")).collect();
        wrong.push(format!("these depend on each other: {}", cycle.join(", ")));
    }
    wrong
}

/// Dependencies on what is not remembered any more, dependent first: no contradiction, and of no use.
pub fn dangling(state: &State) -> Vec<(Address, Address)> {
    let mut found = Vec::new();
    for (address, entry) in &state.resources {
        let gone = entry.dependencies.iter().filter(|dependency| !state.knows(dependency));
        found.extend(gone.map(|gone| (address.clone(), gone.clone())));
    }
    found
}

fn of_place(address: &Address, type_name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !is_address(address.as_str()) {
        wrong.push("has no address of a resource".to_owned());
    }
    let is_type = |(provider, name): (&str, &str)| is_name(provider) && is_name(name);
    if !type_name.split_once('.').is_some_and(is_type) {
        wrong.push(format!("has the type `{type_name}`, which no resource can have"));
    }
    wrong
}

fn of_entry(state: &State, entry: &Entry) -> Vec<String> {
    let mut wrong = Vec::new();
    if entry.kind == Kind::Scoped {
        wrong.push("is a scope, and remembered as something else".to_owned());
    }
    for dependency in
        entry.dependencies.iter().filter(|dependency| !is_address(dependency.as_str()))
    {
        wrong.push(format!("depends on `{dependency}`, which is no address"));
    }
    let remembered = &entry.remembered;
    for stored in [&remembered.inputs, &remembered.attrs, &remembered.memory] {
        wrong.extend(of_references(stored));
    }
    match &entry.done {
        Some(_) if entry.kind != Kind::Run => {
            wrong.push("was done, and is nothing that is done".to_owned());
        }
        Some(done) => wrong.extend(of_epochs(state, done)),
        None => {}
    }
    wrong
}

fn of_intent(intent: &Intent) -> Vec<String> {
    let mut wrong = of_references(&intent.inputs);
    wrong.extend(of_references(&Tree::from_stored(&intent.notes)));
    wrong
}

fn of_epochs(state: &State, under: &DoneUnder) -> Vec<String> {
    let newer = under.epochs.iter().filter_map(|(scope, epoch)| match state.scopes.get(scope) {
        Some(known) if known.epoch >= *epoch => None,
        Some(known) => Some(format!(
            "is of epoch {epoch} of `{scope}`, which has come to {} only",
            known.epoch
        )),
        None => Some(format!("is of epoch {epoch} of `{scope}`, which is not remembered")),
    });
    newer.collect()
}

/// Whole resources that were handed on are known by their address.
fn of_references(stored: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut left = vec![stored];
    while let Some(stored) = left.pop() {
        match stored {
            Tree::List(items) => left.extend(items),
            Tree::Map(map) => {
                if let Some(Tree::Text(to)) = map.get("$address")
                    && !is_address(to)
                {
                    wrong.push(format!("refers to `{to}`, which is no address"));
                }
                left.extend(map.values());
            }
            _ => {}
        }
    }
    wrong
}

fn is_address(text: &str) -> bool {
    crate::address::is_address(text)
}

/// Some resources that depend on each other in a circle, from the first to the one that closes it.
fn cycle(state: &State) -> Option<Vec<&Address>> {
    let addresses: Vec<&Address> = state.resources.keys().collect();
    let numbers: FxHashMap<&Address, usize> =
        addresses.iter().enumerate().map(|(number, address)| (*address, number)).collect();
    let edges: Vec<Vec<usize>> = state
        .resources
        .values()
        .map(|entry| entry.dependencies.iter().filter_map(|to| numbers.get(to).copied()).collect())
        .collect();
    // What nothing waits for any more is taken away, until nothing can be: then the rest has circles in it.
    let mut waits: Vec<usize> = vec![0; addresses.len()];
    edges.iter().flatten().for_each(|to| waits[*to] += 1);
    let mut free: Vec<usize> = (0..waits.len()).filter(|at| waits[*at] == 0).collect();
    let mut gone = vec![false; waits.len()];
    while let Some(at) = free.pop() {
        gone[at] = true;
        for to in &edges[at] {
            waits[*to] -= 1;
            if waits[*to] == 0 {
                free.push(*to);
            }
        }
    }
    // Whatever is left is waited for by something left: going up from any of it leads into a circle.
    let mut above: BTreeMap<usize, usize> = BTreeMap::new();
    for (from, edges) in edges.iter().enumerate().filter(|(from, _)| !gone[*from]) {
        above.extend(edges.iter().map(|to| (*to, from)));
    }
    let mut at = *above.keys().next()?;
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut path = Vec::new();
    while !seen.contains_key(&at) {
        seen.insert(at, path.len());
        path.push(at);
        at = *above.get(&at)?;
    }
    let mut circle: Vec<&Address> = path[seen[&at]..].iter().map(|at| addresses[*at]).collect();
    circle.reverse();
    let first = circle.iter().enumerate().min_by_key(|(_, address)| **address).map_or(0, |f| f.0);
    circle.rotate_left(first);
    Some(circle)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn entry(kind: &str, dependencies: Json) -> Json {
        json!({
            "type": "mem.thing", "kind": kind, "id": "7", "inputs": {}, "attrs": {}, "memory": null,
            "dependencies": dependencies, "on_remove": "keep",
        })
    }

    fn state(resources: Json, scopes: Json, operations: Json) -> State {
        let state = json!({
            "format": 1, "lineage": "l", "serial": 3, "name": "m", "resources": resources,
            "scopes": scopes, "operations": operations,
        });
        serde_json::from_value(state).expect("a state")
    }

    fn intent(verb: &str) -> Json {
        json!({"verb": verb, "inputs": {}, "at": "2026-01-01T00:00:00Z", "notes": null, "before": null})
    }

    fn scope(epoch: u64) -> Json {
        json!({"type": "mem.window", "epoch": epoch, "intent": intent("open"), "status": {"is": "open"}})
    }

    fn under(epoch: u64) -> Json {
        json!({"run": "1", "at": "2026-01-01T00:00:00Z", "epochs": {"window": epoch}})
    }

    #[test]
    fn what_can_be() {
        let mut done = entry("run", json!(["a[\"x\"]", "window", "gone"]));
        done["done"] = under(2);
        done["inputs"] = json!({"of": {"$address": "gone", "$id": "1"}});
        let operation = json!({"type": "mem.job", "intent": intent("run"), "under": under(1), "outcome": {"is": "begun"}});
        let state = state(
            json!({"a[\"x\"]": entry("managed", json!([])), "done": done}),
            json!({"window": scope(2)}),
            json!({"job": operation}),
        );
        assert_eq!(violations(&state), [""; 0]);
        assert_eq!(dangling(&state), [(Address::new("done"), Address::new("gone"))]);
    }

    #[test]
    fn what_cannot_be() {
        let mut newer = entry("run", json!([]));
        newer["done"] = under(3);
        let mut done = entry("managed", json!([]));
        done["done"] = under(1);
        let mut refers = entry("managed", json!(["b c"]));
        refers["attrs"] = json!([{"of": {"$address": "../etc"}}]);
        let mut odd = entry("managed", json!([]));
        odd["type"] = json!("thing");
        let opening = json!({"type": "mem.job", "intent": intent("open"), "under": under(1), "outcome": {"is": "begun"}});
        let mut broken = scope(2);
        broken["broken"] = json!({"5": "2026-01-01T00:00:00Z"});
        let mut state = state(
            json!({"newer": newer, "done": done, "refers": refers, "odd": odd, "s": entry("scoped", json!([]))}),
            json!({"window": broken, "never": scope(0)}),
            json!({"act": opening}),
        );
        state.lineage.clear();
        let want = [
            "it has no lineage",
            "`done` was done, and is nothing that is done",
            "`newer` is of epoch 3 of `window`, which has come to 2 only",
            "`odd` has the type `thing`, which no resource can have",
            "`refers` depends on `b c`, which is no address",
            "`refers` refers to `../etc`, which is no address",
            "`s` is a scope, and remembered as something else",
            "the scope `never` is open without an epoch",
            "the scope `window` broke epoch 5, and has come to 2 only",
            "the act on `act` opens, and is no scope",
        ];
        assert_eq!(violations(&state), want);
        let refused = refuse(&state, "s.json").expect_err("refused").to_string();
        let want = "the state `s.json` contradicts itself: it has no lineage; `done` was done, and is nothing that is \
                    done; `newer` is of epoch 3 of `window`, which has come to 2 only; and 7 more";
        assert_eq!(refused, want);
    }

    #[test]
    fn a_circle_is_named_whole_and_a_long_chain_is_none() {
        let circle = json!({
            "a": entry("managed", json!(["b"])), "b": entry("managed", json!(["d", "c"])),
            "c": entry("managed", json!(["a"])), "d": entry("managed", json!([])),
            "e": entry("managed", json!(["a"])),
        });
        let found = violations(&state(circle, json!({}), json!({})));
        assert_eq!(found, ["these depend on each other: `a`, `b`, `c`"]);
        let name = |number: usize| Address::new(format!("r{number:06}"));
        let one: Entry = serde_json::from_value(entry("managed", json!([]))).expect("an entry");
        let mut chain = State::new("m", "l".into());
        for number in 0..100_000_usize {
            let dependencies = number.checked_sub(1).map(name).into_iter().collect();
            chain.resources.insert(name(number), Entry { dependencies, ..one.clone() });
        }
        assert_eq!(violations(&chain), [""; 0]);
        if let Some(first) = chain.resources.get_mut(&name(0)) {
            first.dependencies.push(name(99_999));
        }
        assert!(
            violations(&chain)[0].starts_with("these depend on each other: `r000000`, `r099999`")
        );
    }
}
