//! The committed schemas, held against specs and states by an independent implementation of JSON Schema.
//!
//! What editors mark while people type is what the reader would say later. That the files are current is tested by
//! the root package.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use pgferry_engine::address::Address;
use pgferry_engine::resource::{Intent, Remembered, Verb};
use pgferry_engine::state::file::StateFile;
use pgferry_engine::state::{DoneUnder, Entry, Operation, Outcome, Record, State};
use serde_json::{Value as Json, json};

/// Broken specs that are well formed to a schema: what is wrong is in two places, in the environment, on the command
/// line, or in what a name means.
const BEYOND_A_SCHEMA: &[&str] = &[
    "cycle",
    "cycle-with-itself",
    "deep-nesting",
    "duplicate-key",
    "lists-and-maps",
    "malformed-reference",
    "missing-environment",
    "resource-for-value",
    "secret-in-command",
    "secret-in-plain-field",
    "unknown-attribute",
    "unknown-reference",
    "unknown-variable",
    "variable-not-allowed",
    "variable-without-value",
    "wrong-attribute",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn schema(name: &str) -> Validator {
    let text = std::fs::read_to_string(root().join("schema").join(name)).expect("is committed");
    let schema: Json = serde_json::from_str(&text).expect("is JSON");
    jsonschema::meta::validate(&schema).expect("is a JSON Schema");
    jsonschema::validator_for(&schema).expect("is a JSON Schema")
}

/// What is wrong with `instance`, one a line.
fn faults(schema: &Validator, instance: &Json) -> Vec<String> {
    schema.iter_errors(instance).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

fn specs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("is there") {
        let path = entry.expect("is readable").path();
        if path.is_dir() {
            found.extend(specs(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_example_is_valid() {
    let schema = schema("pgferry.schema.json");
    let examples = [specs(&root().join("examples")), specs(&root().join("tests/good"))].concat();
    assert!(examples.len() > 3);
    for path in examples {
        let text = std::fs::read_to_string(&path).expect("is readable");
        let spec: Json = serde_yaml::from_str(&text).expect("is YAML");
        assert_eq!(faults(&schema, &spec), [""; 0], "{}", path.display());
    }
}

#[test]
fn broken_specs_are_marked_while_they_are_typed() {
    let schema = schema("pgferry.schema.json");
    let mut accepted = BTreeSet::new();
    for path in specs(&root().join("tests/broken")) {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("is text").to_owned();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        // What no YAML reader takes is marked by the editor itself.
        let Ok(spec) = serde_yaml::from_str::<Json>(&text) else { continue };
        if schema.is_valid(&spec) {
            accepted.insert(name);
        }
    }
    let beyond = BEYOND_A_SCHEMA.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(accepted, beyond);
}

/// A state with everything in it that a state can hold.
fn full_state() -> State {
    let now = "2026-11-22T10:00:00Z".parse().expect("an instant");
    let address = |name: &str| Address::new(name);
    let intent = |verb| Intent {
        verb,
        inputs: json!({"app": "acme-web"}).into(),
        at: now,
        notes: json!({"was": {"maintenance": false}}),
        before: Some(Remembered { id: "1".to_owned(), ..Remembered::default() }),
    };
    let under = DoneUnder {
        run: "night-1".to_owned(),
        at: now,
        epochs: [(address("window"), 2)].into(),
        replace_when: [("${dump.etag}".to_owned(), json!("abc"))].into(),
    };
    let entry = |kind: &str, done: Option<&DoneUnder>| -> Box<Entry> {
        let entry = json!({
            "type": "core.value",
            "kind": kind,
            "id": "x",
            "inputs": {"input": [1, "two", null]},
            "attrs": {"output": {"a": true}},
            "memory": null,
            "dependencies": ["window"],
            "on_remove": "destroy",
            "prevent_destroy": true,
            "replace_when": {"${app.id}": "x"},
            "expanded": {"run": "night-1", "fields": {"names": ["tablefunc"]}},
            "done": done,
        });
        Box::new(serde_json::from_value(entry).expect("an entry"))
    };
    let opening = |name: &str, epoch| Record::Opening {
        address: address(name),
        type_name: "heroku.maintenance".to_owned(),
        epoch,
        intent: Box::new(intent(Verb::Open)),
    };
    let operation = |verb| Operation {
        type_name: "postgres.dump".to_owned(),
        intent: intent(verb),
        under: under.clone(),
        outcome: Outcome::Begun,
        carried: true,
    };
    let begun = |name: &str| Record::Intent {
        address: address(name),
        operation: Box::new(operation(Verb::Run)),
    };
    let message = "the server closed the connection".to_owned();
    let mut state = State::new("acme", "3f1c".to_owned());
    for record in [
        opening("window", 1),
        Record::Released { address: address("window"), at: now, complete: false },
        opening("window", 2),
        opening("held", 1),
        Record::Held { address: address("held"), complete: true },
        Record::CloseFailed { address: address("held"), message: message.clone() },
        begun("begun"),
        begun("unknown"),
        Record::Unknown { address: address("unknown"), message: message.clone() },
        begun("failed"),
        Record::Failed { address: address("failed"), message },
        Record::Succeeded { address: address("dump[\"eu\"]"), entry: entry("run", Some(&under)) },
        Record::Succeeded { address: address("value"), entry: entry("managed", None) },
    ] {
        state.fold(record).expect("follows from what was before");
    }
    state
}

#[test]
fn a_state_file_is_valid_and_a_damaged_one_is_not() {
    let schema = schema("state.schema.json");
    let folder = tempfile::tempdir().expect("a folder");
    let place = StateFile::new(folder.path().join("pgferry.state.json"));
    pgferry_engine::state::store::save(&place, &full_state()).expect("is written");
    let text = std::fs::read_to_string(place.path()).expect("was written");
    let state: Json = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(faults(&schema, &state), [""; 0]);
    for (pointer, value) in [
        ("/format", json!(2)),
        ("/serial", json!("1")),
        ("/resources/value/kind", json!("thing")),
        ("/resources/value/on_remove", json!("delete")),
        ("/scopes/window/status", json!({"is": "ajar"})),
        ("/operations/begun/intent/verb", json!("guess")),
    ] {
        let mut damaged = state.clone();
        *damaged.pointer_mut(pointer).expect(pointer) = value;
        assert!(!schema.is_valid(&damaged), "{pointer}");
    }
}
