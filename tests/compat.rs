//! Files of former versions, which load for ever. A fixture is never changed; a new format adds one.

#![allow(clippy::unwrap_used, reason = "a test")]

mod room;

use room::{Room, planned};
use serde_json::Value as Json;

/// A folder with a copy of a fixture in it, and the spec that a fixture of a plan carries.
fn with(fixture: &str) -> Room {
    let folder = format!("{}/tests/compat/fixtures", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(format!("{folder}/{fixture}")).unwrap();
    let plan = std::fs::read_to_string(format!("{folder}/plan-1.json")).unwrap();
    let plan: Json = serde_json::from_str(&plan).unwrap();
    let room = Room::new(plan["spec"].as_str().unwrap());
    std::fs::write(room.path(fixture), text).unwrap();
    room
}

#[test]
fn a_plan_of_format_1() {
    let room = with("plan-1.json");
    let (code, out, err) = room.run(&["show", "plan-1.json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(planned(&out), "Plan: 11 to add, 0 to change, 0 to destroy.");
    let (code, out, _) = room.run(&["show", "--json", "plan-1.json"]);
    let document: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["resource_changes"].as_array().unwrap().len()), (0, 12));
    assert_eq!(
        document["prior_state"]["values"]["root_module"]["resources"][0]["values"]["id"],
        232051
    );
    // It is read to its end before it is found to be of another state.
    let (_, _, err) = room.run(&["apply", "plan-1.json", "--state", "fresh.json"]);
    assert!(!err.contains("is no saved plan"), "{err}");
}

#[test]
fn a_state_of_format_1() {
    let room = with("state-1.json");
    let (code, out, err) = room.run(&["state", "list", "--state", "state-1.json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "announce\napp\nbucket\ndump\nextensions\nsource\ntarget\n");
    let (_, out, err) = room.run(&["show", "--state", "state-1.json"]);
    assert!(err.contains("Warning: `window` was left open at 2026-11-25"), "{err}");
    assert!(out.contains("# restore (heroku.restore) is not settled: "), "{out}");
    // What is written anew says the same.
    let text = std::fs::read_to_string(room.path("state-1.json")).unwrap();
    let (_, pulled, _) = room.run(&["state", "pull", "--state", "state-1.json"]);
    let read = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    assert_eq!(read(&pulled), read(&text));
}

#[test]
fn newer_formats_are_refused() {
    let room = with("plan-1.json");
    for (fixture, command) in [
        ("plan-1.json", &["show", "new.json"][..]),
        ("state-1.json", &["state", "list", "--state", "new.json"]),
    ] {
        let other = with(fixture);
        let text = std::fs::read_to_string(other.path(fixture)).unwrap();
        let mut json: Json = serde_json::from_str(&text).unwrap();
        json["format"] = 99.into();
        std::fs::write(room.path("new.json"), json.to_string()).unwrap();
        let (code, _, err) = room.run(command);
        assert_eq!(code, 1);
        assert!(err.contains("format 99"), "{err}");
    }
}
