//! The command line on a spec that needs no service: exit codes, saved plans, the state's commands, the lock.

#![allow(clippy::unwrap_used)]

mod room;

use std::path::Path;
use std::process::Command;

use room::{Room, planned};

const SPEC: &str = r#"
pgferry: 1
name: small
variables:
  word: { default: hello }
resources:
  first:
    type: core.value
    input: { word: "${var.word}", list: [1, 2] }
  second:
    type: core.value
    input: "${first.output.word} again"
  told:
    type: core.command
    command: [sh, -c, "echo told"]
    depends_on: [second]
outputs:
  said: ${second.output}
"#;

#[test]
fn plan_apply_and_nothing_more_to_do() {
    let room = Room::new(SPEC);
    let (code, out, _) = room.run(&["plan", "--detailed-exitcode"]);
    assert_eq!((code, planned(&out)), (2, "Plan: 3 to add, 0 to change, 0 to destroy."));
    assert!(!room.path("pgferry.state.json").exists(), "a plan writes no state");
    let (code, _, err) = room.run(&["apply"]);
    assert_eq!(code, 1, "nobody is there to approve");
    assert!(err.contains("`--auto-approve`"), "{err}");
    let (code, out, err) = room.run(&["apply", "--auto-approve"]);
    assert_eq!(code, 0, "{err}");
    let end = "Apply complete! Resources: 3 added, 0 changed, 0 destroyed.\n\nOutputs:\n\nsaid = \"hello again\"\n";
    assert!(out.ends_with(end), "{out}");
    assert!(err.contains("told: told\n"), "{err}");
    let (code, out, _) = room.run(&["plan", "--detailed-exitcode"]);
    assert_eq!((code, out.as_str()), (0, "No changes. Your databases match the spec.\n"));
    let (code, out, _) = room.run(&["plan", "--detailed-exitcode", "--var", "word=bye"]);
    assert_eq!((code, planned(&out)), (2, "Plan: 0 to add, 2 to change, 0 to destroy."));
    assert_eq!(room.run(&["output", "said"]).1, "hello again\n");
}

#[test]
fn variables_have_terraforms_precedence() {
    let room = Room::new(SPEC);
    std::fs::write(room.path("a.yaml"), "word: file").unwrap();
    let env = [("PGFERRY_VAR_word", "environment")];
    let word = |arguments: &[&str]| {
        let all = [&["plan", "--json"], arguments].concat();
        let (code, ..) = room.run_with(&all, &env);
        assert_eq!(code, 0);
        let all = [&["apply", "--auto-approve", "--state", "s.json"], arguments].concat();
        room.run_with(&all, &env);
        let (_, out, _) =
            room.run_with(&[&["output", "said", "--state", "s.json"], arguments].concat(), &env);
        out.trim_end().to_owned()
    };
    assert_eq!(word(&[]), "environment again");
    assert_eq!(word(&["--var-file", "a.yaml"]), "file again");
    assert_eq!(word(&["--var", "word=line", "--var-file", "a.yaml"]), "line again");
}

#[test]
fn a_saved_plan_is_applied_as_it_was_shown_or_not_at_all() {
    let room = Room::new(SPEC);
    assert_eq!(room.run(&["plan", "--out", "p", "--var", "word=saved"]).0, 0);
    let (code, out, _) = room.run(&["show", "p"]);
    assert_eq!((code, planned(&out)), (0, "Plan: 3 to add, 0 to change, 0 to destroy."));
    let (_, out, _) = room.run(&["show", "p", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["resource_changes"][0]["change"]["actions"], serde_json::json!(["create"]));
    assert_eq!(json["applyable"], true);
    // The plan carries its spec: what becomes of the file meanwhile does not matter.
    std::fs::write(room.path("pgferry.yaml"), "pgferry: 1\nname: other\nresources: {}\n").unwrap();
    let (code, out, err) = room.run(&["apply", "p"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.ends_with("said = \"saved again\"\n"), "{out}");
    std::fs::write(room.path("pgferry.yaml"), SPEC).unwrap();
    let (code, _, err) = room.run(&["apply", "p"]);
    let want = "Error: the saved plan is stale: it was made against serial 0 of the state, which is at serial 1 now\n  \
                help: nothing was changed; plan again, review it, and apply that\n";
    assert_eq!((code, err.as_str()), (1, want));
    let (code, _, err) = room.run(&["apply", "pgferry.yaml"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("Error: `pgferry.yaml` is no saved plan"), "{err}");
}

#[test]
fn a_saved_plan_whose_environment_moved_says_what_moved() {
    let spec = SPEC
        .replace("hello }", "hello }\n  env_word: { default: \"\" }")
        .replace("word: \"${var.word}\"", "word: \"${env.WORD}\"");
    let room = Room::new(&spec);
    assert_eq!(room.run_with(&["plan", "--out", "p"], &[("WORD", "one")]).0, 0);
    let (code, _, err) = room.run_with(&["apply", "p"], &[("WORD", "two")]);
    assert_eq!(code, 1);
    assert!(
        err.starts_with("Error: the saved plan is stale: `input` of `first` has moved"),
        "{err}"
    );
    assert_eq!(room.run_with(&["apply", "p"], &[("WORD", "one")]).0, 0);
}

#[test]
fn secrets_stay_out_of_plans_and_states() {
    let spec = SPEC.replace("word: { default: hello }", "word: { sensitive: true }");
    let room = Room::new(&spec);
    let secret = "correct-horse-battery";
    let given = format!("word={secret}");
    let (code, out, err) = room.run(&["plan", "--out", "p", "--var", &given]);
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains(secret) && !err.contains(secret));
    let (code, _, err) = room.run(&["apply", "p", "--var", &given]);
    assert_eq!(code, 0, "{err}");
    let (_, out, err) = room.run(&["output", "--var", &given]);
    assert_eq!(out, "said = \"(sensitive)\"\n", "{err}");
    for file in std::fs::read_dir(room.folder.path()).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(secret), "in {}", path.display());
    }
    assert_eq!(room.run(&["plan", "--detailed-exitcode", "--var", &given]).0, 0);
}

#[test]
fn the_state_can_be_looked_at_and_carefully_changed() {
    let room = Room::new(SPEC);
    assert_eq!(room.run(&["apply", "--auto-approve"]).0, 0);
    assert_eq!(room.run(&["state", "list"]).1, "first\nsecond\ntold\n");
    let (_, pulled, _) = room.run(&["state", "pull"]);
    assert_eq!(room.run(&["state", "rm", "nobody"]).0, 1);
    assert_eq!(room.run(&["state", "rm", "told"]).0, 0);
    assert_eq!(room.run(&["state", "list"]).1, "first\nsecond\n");
    let backup = std::fs::read_to_string(room.path("pgferry.state.json.backup")).unwrap();
    assert_eq!(backup, pulled);
    std::fs::write(room.path("old.json"), &pulled).unwrap();
    let (code, _, err) = room.run(&["state", "push", "old.json"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("Error: it has serial 1, the state has 2"), "{err}");
    assert_eq!(room.run(&["state", "push", "--force", "old.json"]).0, 0);
    assert_eq!(room.run(&["state", "list"]).1, "first\nsecond\ntold\n");
    let (code, out, _) = room.run(&["state", "show", "first"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("# first:\nfirst: core.value\n"), "{out}");
    let (_, out, _) = room.run(&["graph"]);
    assert!(out.contains("  \"second\" -> \"first\"\n"), "{out}");
}

#[test]
fn a_damaged_state_is_refused_with_the_way_out() {
    let room = Room::new(SPEC);
    std::fs::write(room.path("pgferry.state.json"), "").unwrap();
    for command in [&["plan"][..], &["apply", "--auto-approve"], &["state", "list"], &["show"]] {
        let (code, _, err) = room.run(command);
        assert_eq!(code, 1, "{command:?}");
        assert!(err.contains("is empty or cut short"), "{err}");
        assert!(err.contains("help: nothing was changed; `pgferry state repair` tells"), "{err}");
    }
}

#[test]
fn one_at_a_time() {
    let room = Room::new(&SPEC.replace("echo told", "echo here; cat < gate"));
    let gate = room.path("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let mut first = Command::new(env!("CARGO_BIN_EXE_pgferry"));
    first.args(["apply", "--auto-approve"]).current_dir(room.folder.path());
    let first = first.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut first = first.spawn().unwrap();
    // The command has been begun, so the lock is held.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(first.stderr.take().unwrap()));
    assert!(lines.any(|line| line.unwrap() == "told: here"));
    let (code, _, err) = room.run(&["apply", "--auto-approve"]);
    assert_eq!(code, 1);
    let want = format!("Error: the state is locked by process {} (apply)\n", first.id());
    assert!(err.starts_with(&want), "{err}");
    std::fs::write(&gate, "").unwrap();
    lines.for_each(drop);
    assert!(first.wait().unwrap().success());
}

#[test]
fn people_and_programs_are_told_at_once() {
    let room = Room::new(SPEC);
    let (code, out, _) = room.run(&["apply", "--auto-approve", "--json-into", "log"]);
    assert_eq!(code, 0);
    assert!(out.contains("Apply complete! Resources: 3 added, 0 changed, 0 destroyed."), "{out}");
    let text = std::fs::read_to_string(room.path("log")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = lines.iter().filter_map(|line| line["type"].as_str()).collect();
    assert_eq!(
        types[..5],
        ["version", "planned_change", "planned_change", "planned_change", "change_summary"]
    );
    assert_eq!(types.iter().filter(|kind| **kind == "apply_complete").count(), 3);
    let end: Vec<&str> = types[types.len() - 2..].to_vec();
    assert_eq!(end, ["change_summary", "outputs"]);
    assert_eq!(lines[lines.len() - 2]["changes"]["operation"], "apply");
    assert_eq!(lines.last().unwrap()["outputs"]["said"]["value"], "hello again");
}

#[test]
fn usage_errors_are_no_changes() {
    let room = Room::new(SPEC);
    assert_eq!(room.run(&["plan", "--nonsense"]).0, 1);
    assert_eq!(room.run(&["--help"]).0, 0);
    assert_eq!(room.run(&["version"]).1, format!("pgferry v{}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(room.run(&["explain", "PGF0104"]).0, 0);
    assert_eq!(room.run(&["explain", "PGF9999"]).0, 1);
    assert!(!Path::new("pgferry.state.json").exists());
}
