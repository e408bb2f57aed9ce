//! What programs read: JSON lines and plans in Terraform's shapes, and text by the patterns of its tools.

#![allow(clippy::unwrap_used, reason = "a test")]

mod room;

use jsonschema::Validator;
use regex_lite::Regex;
use room::{Room, planned};
use serde_json::{Value as Json, json};

const SPEC: &str = r#"
pgferry: 1
name: small
variables:
  word: { default: hello }
  password: { sensitive: true }
resources:
  first:
    type: core.value
    input: { word: "${var.word}", list: [1, 2], text: "one\ntwo\nthree" }
  hidden:
    type: core.value
    input: { user: ann, password: "${var.password}" }
  copies:
    type: core.value
    for_each: [a, b]
    input: "${each.key}"
    on_remove: destroy
  told:
    type: core.command
    command: [sh, -c, "echo told"]
    env: { WORD: "${first.output.word}", PASSWORD: "${hidden.output.password}" }
outputs:
  word: ${first.output.word}
  password: ${hidden.output.password}
"#;

const PASSWORD: &str = "correct-horse-battery";
const ENV: &[(&str, &str)] = &[("PGFERRY_VAR_password", PASSWORD)];

/// A validator of one of the published schemas.
fn schema(of: &str) -> Validator {
    let path = format!("{}/schema/{of}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[track_caller]
fn assert_fits(schema: &Validator, said: &Json) {
    let wrong: Vec<String> =
        schema.iter_errors(said).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:?}\n{said:#}");
}

/// JSON lines, each of which fits the published schema and holds no secret.
#[track_caller]
fn lines(text: &str) -> Vec<Json> {
    assert!(!text.contains(PASSWORD), "{text}");
    let schema = schema("events");
    let lines: Vec<Json> = text.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
    lines.iter().for_each(|line| assert_fits(&schema, line));
    assert_eq!(lines[0]["type"], "version", "{text}");
    assert_eq!(lines[0]["ui"], "1.2");
    lines
}

fn types(lines: &[Json]) -> Vec<&str> {
    lines.iter().map(|line| line["type"].as_str().unwrap()).collect()
}

/// The document of a saved plan, `terraform show -json` as it were.
fn document(room: &Room, arguments: &[&str]) -> Json {
    let all = [&["plan", "--out", "p"], arguments].concat();
    let (code, out, err) = room.run_with(&all, ENV);
    assert_eq!(code, 0, "{out}{err}");
    let saved = std::fs::read_to_string(room.path("p")).unwrap();
    assert!(!saved.contains(PASSWORD), "{saved}");
    assert_fits(&schema("plan"), &serde_json::from_str(&saved).unwrap());
    let (code, out, err) = room.run(&["show", "--json", "p"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(!out.contains(PASSWORD), "{out}");
    serde_json::from_str(&out).unwrap()
}

fn change<'a>(document: &'a Json, address: &str) -> &'a Json {
    let changes = document["resource_changes"].as_array().unwrap();
    changes.iter().find(|change| change["address"] == address).expect(address)
}

/// A policy as people write it for Terraform's plans: what deletes, is not allowed.
fn denied(document: &Json) -> Vec<&str> {
    let changes = document["resource_changes"].as_array().unwrap().iter();
    let deleting = changes.filter(|change| {
        change["change"]["actions"].as_array().unwrap().contains(&json!("delete"))
    });
    deleting.map(|change| change["address"].as_str().unwrap()).collect()
}

#[test]
fn a_policy_for_terraforms_plans_reads_ours() {
    let room = Room::new(SPEC);
    let first = document(&room, &[]);
    assert_eq!(first["format_version"], "1.2");
    assert_eq!((&first["applyable"], &first["errored"]), (&json!(true), &json!(false)));
    assert_eq!(denied(&first), [""; 0]);
    let made = change(&first, "copies[\"a\"]");
    let place = ["type", "name", "index", "mode", "provider_name"].map(|key| &made[key]);
    assert_eq!(place, ["core.value", "copies", "a", "managed", "core"]);
    let want = json!({
        "actions": ["create"], "before": null, "after": { "input": "a" },
        "after_unknown": { "output": true }, "before_sensitive": false, "after_sensitive": {},
    });
    assert_eq!(made["change"], want);
    let hidden = &change(&first, "hidden")["change"];
    assert_eq!(hidden["after"]["input"], json!({ "user": "ann", "password": "(sensitive)" }));
    assert_eq!(hidden["after_sensitive"], json!({ "input": { "password": true } }));
    let command = &change(&first, "told")["change"];
    assert_eq!(command["after_unknown"]["env"], json!({ "WORD": true, "PASSWORD": true }));
    assert_eq!(command["after"]["env"], json!({}), "unknowns are only in `after_unknown`");
    let output = &first["output_changes"]["word"];
    assert_eq!((&output["actions"], &output["after_unknown"]), (&json!(["create"]), &json!(true)));
    let planned = first["planned_values"]["root_module"]["resources"].as_array().unwrap();
    assert_eq!(planned.len(), 5);
    assert_eq!(
        planned[0]["values"],
        change(&first, planned[0]["address"].as_str().unwrap())["change"]["after"]
    );

    assert_eq!(room.run_with(&["apply", "p"], ENV).0, 0);
    let idle = document(&room, &[]);
    assert_eq!(idle["applyable"], false);
    for change in idle["resource_changes"].as_array().unwrap() {
        assert_eq!(change["change"]["actions"], json!(["no-op"]));
        assert_eq!(change["change"]["before"], change["change"]["after"], "{change:#}");
        assert_eq!(change["change"]["after_unknown"], json!({}), "{change:#}");
    }
    assert_eq!(
        idle["prior_state"]["values"]["root_module"]["resources"],
        idle["planned_values"]["root_module"]["resources"]
    );

    std::fs::write(room.path("pgferry.yaml"), SPEC.replace("[a, b]", "[b]")).unwrap();
    let moved = document(&room, &["--var", "word=bye"]);
    assert_eq!(denied(&moved), ["copies[\"a\"]"]);
    let gone = change(&moved, "copies[\"a\"]");
    assert_eq!(gone["action_reason"], "delete_because_each_key");
    assert_eq!(gone["change"]["before"], json!({ "input": "a", "output": "a" }));
    assert_eq!(gone["change"]["after"], Json::Null);
    let updated = &change(&moved, "first")["change"];
    assert_eq!(updated["actions"], json!(["update"]));
    let (before, after) = (&updated["before"]["input"], &updated["after"]["input"]);
    assert_eq!((&before["word"], &after["word"]), (&json!("hello"), &json!("bye")));
    assert_eq!((&before["list"], &after["text"]), (&json!([1, 2]), &json!("one\ntwo\nthree")));
    assert_eq!(moved["variables"], json!({ "word": { "value": "bye" } }));
}

#[test]
fn an_apply_in_lines() {
    let room = Room::new(SPEC);
    let (code, out, err) = room.run_with(&["plan", "--json"], ENV);
    assert_eq!((code, err.as_str()), (0, ""));
    let told = lines(&out);
    let change = &told[1]["change"];
    assert_eq!(change["action"], "create");
    let want = json!({
        "addr": "copies[\"a\"]", "module": "", "resource": "copies[\"a\"]", "implied_provider": "core",
        "resource_type": "core.value", "resource_name": "copies", "resource_key": "a",
    });
    assert_eq!(change["resource"], want);
    assert_eq!(
        told.last().unwrap()["outputs"]["word"],
        json!({ "sensitive": false, "action": "create" })
    );

    let (code, out, err) = room.run_with(&["apply", "--json", "--auto-approve"], ENV);
    assert_eq!((code, err.as_str()), (0, ""));
    let told = lines(&out);
    let count = |kind: &str| types(&told).iter().filter(|other| **other == kind).count();
    assert_eq!((count("apply_start"), count("apply_complete")), (5, 5));
    let made = told.iter().find(|line| line["type"] == "apply_complete").unwrap();
    let hook = &made["hook"];
    assert_eq!((&hook["action"], &hook["id_key"]), (&json!("create"), &json!("id")));
    assert_eq!(hook["resource"]["resource_type"], "core.value");
    assert_eq!(hook["elapsed_seconds"], 0);
    let said = told.iter().find(|line| line["type"] == "provision_progress").unwrap();
    assert_eq!(said["output"], "told");
    let end: Vec<&Json> = told.iter().rev().take(2).collect();
    assert_eq!(
        end[1]["changes"],
        json!({ "add": 5, "change": 0, "import": 0, "remove": 0, "operation": "apply" })
    );
    assert_eq!(end[1]["@message"], "Apply complete! Resources: 5 added, 0 changed, 0 destroyed.");
    assert_eq!(end[0]["outputs"]["word"], json!({ "sensitive": false, "value": "hello" }));
    assert_eq!(end[0]["outputs"]["password"], json!({ "sensitive": true }));
    let state = std::fs::read_to_string(room.path("pgferry.state.json")).unwrap();
    assert_fits(&schema("state"), &serde_json::from_str(&state).unwrap());
    let (_, out, _) = room.run(&["show", "--json"]);
    assert_fits(&schema("state"), &serde_json::from_str(&out).unwrap());
}

#[test]
fn a_failure_ends_with_what_was_done_and_what_was_not() {
    let spec = SPEC.replace("echo told", "exit 3") + "  told: ${after.exit_code}\n";
    let spec = spec.replace("outputs:", "  after:\n    type: core.command\n    command: [\"true\"]\n    depends_on: [told]\noutputs:");
    let room = Room::new(&spec);
    let (code, out, err) = room.run_with(&["apply", "--json", "--auto-approve"], ENV);
    assert_eq!((code, err.as_str()), (1, ""));
    let told = lines(&out);
    assert!(!types(&told)[1..].iter().rev().take(3).any(|kind| *kind == "change_summary"), "{out}");
    let failed = told.iter().find(|line| line["type"] == "apply_errored").unwrap();
    assert_eq!(failed["hook"]["resource"]["addr"], "told");
    let [.., diagnostic, last] = &told[..] else { panic!("{out}") };
    assert_eq!(
        (&diagnostic["type"], &diagnostic["diagnostic"]["address"]),
        (&json!("diagnostic"), &json!("told"))
    );
    assert_eq!(last["type"], "apply_incomplete");
    assert_eq!(last["done"], json!(["copies[\"a\"]", "copies[\"b\"]", "first", "hidden"]));
    assert_eq!(
        (&last["failed"][0]["address"], &last["not_attempted"]),
        (&json!("told"), &json!(["after"]))
    );
    assert_eq!(last["changes"]["add"], 4);
}

#[test]
fn errors_before_an_apply_are_lines_too() {
    let room = Room::new(SPEC);
    let diagnostics = |arguments: &[&str]| {
        let (code, out, err) = room.run_with(arguments, ENV);
        assert_eq!((code, err.as_str()), (1, ""), "{out}");
        let told = lines(&out);
        let found = told.into_iter().filter(|line| line["type"] == "diagnostic");
        found.map(|line| line["diagnostic"].clone()).collect::<Vec<Json>>()
    };
    let nobody = diagnostics(&["apply", "--json"]);
    assert_eq!(
        nobody[0]["summary"],
        "nobody is at a terminal to approve the plan; nothing was changed"
    );
    assert_eq!(nobody[0]["detail"], "review it, then run again with `--auto-approve`");
    let nowhere = diagnostics(&["apply", "--json", "--file", "nowhere.yaml"]);
    assert!(nowhere[0]["summary"].as_str().unwrap().starts_with("reading the spec `nowhere.yaml`"));
    let none = diagnostics(&["apply", "--json", "pgferry.yaml"]);
    assert!(none[0]["summary"].as_str().unwrap().starts_with("`pgferry.yaml` is no saved plan"));
    std::fs::write(
        room.path("bad.yaml"),
        "pgferry: 1\nname: x\nresources:\n  a: { type: core.nothing }\n  b: { type: core.value }\n",
    )
    .unwrap();
    let mistakes = diagnostics(&["plan", "--json", "--file", "bad.yaml"]);
    let codes: Vec<&str> = mistakes.iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["PGF0103", "PGF0105", "PGF0130"], "{mistakes:?}");
    assert_eq!(mistakes[0]["range"]["start"]["line"], 4);
}

/// The patterns by which tfcmt reads Terraform (suzuki-shunsuke/tfcmt, pkg/terraform/parser.go), with what each finds.
fn found(patterns: &[&'static str], text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in patterns {
        let pattern = Regex::new(&format!("(?m){pattern}")).unwrap();
        for caught in pattern.captures_iter(text) {
            let whole = caught.get(1).or(caught.get(0)).unwrap();
            found.push(whole.as_str().to_owned());
        }
    }
    found
}

#[test]
fn text_by_the_patterns_of_terraforms_tools() {
    let spec = format!("{SPEC}\n")
        .replace("  told:\n", "  kept:\n    type: core.value\n    input: 1\n  told:\n");
    let room = Room::new(&spec);
    let (_, plan, _) = room.run_with(&["plan"], ENV);
    let made = found(&["^ *# (.*) will be created$"], &plan);
    assert_eq!(made, ["copies[\"a\"]", "copies[\"b\"]", "first", "hidden", "kept"]);
    let pass = "^(Plan: \\d|No changes.)";
    let counts = "Plan: (\\d+) to add, (\\d+) to change, (\\d+) to destroy";
    assert_eq!(found(&[pass, counts, "[1-9][0-9]* to destroy."], &plan), ["Plan: 6", "6"]);
    assert_eq!(found(&["^ *# (.*) will be run$"], &plan), ["told"]);
    assert!(!plan.contains('\u{1b}'), "no colour in a pipe");
    let legend =
        "Resource actions are indicated with the following symbols:\n  + create\n  > run\n";
    assert!(plan.starts_with(legend), "{plan}");
    let marks = found(
        &["^[a-z]+ (will perform the following actions:)$", "^(Changes to Outputs:)$"],
        &plan,
    );
    assert_eq!(marks, ["will perform the following actions:", "Changes to Outputs:"]);
    let (_, applied, _) = room.run_with(&["apply", "--auto-approve"], ENV);
    assert_eq!(found(&["^(Apply complete!)"], &applied), ["Apply complete!"]);
    let (_, idle, _) = room.run_with(&["plan"], ENV);
    assert_eq!(found(&[pass, counts], &idle), ["No changes."]);

    let moved =
        spec.replace("[a, b]", "[b]").replace("  kept:\n", "  renamed:\n    renamed_from: kept\n");
    std::fs::write(room.path("pgferry.yaml"), moved).unwrap();
    let (_, plan, _) = room.run_with(&["plan", "--var", "word=bye"], ENV);
    let patterns = [
        "^ *# (.*) will be updated in-place$",
        "^ *# (.*) will be destroyed$",
        "^ *# (.*?) has moved to .*?$",
        "[1-9][0-9]* to destroy.",
    ];
    assert_eq!(found(&patterns, &plan), ["first", "copies[\"a\"]", "kept", "1 to destroy."]);
    assert_eq!(planned(&plan), "Plan: 0 to add, 1 to change, 1 to destroy.");
    let block = "  ~ first: core.value\n      ~ input =\n          - word = \"hello\"\n          + word = \"bye\"\n            # (2 unchanged elements hidden)\n";
    assert!(plan.contains(block), "{plan}");
    assert!(plan.lines().all(|line| line.chars().count() <= 80), "{plan}");
    let (_, _, err) = room.run_with(&["apply", "p"], ENV);
    assert_eq!(found(&["^([│|] )?(Error: )"], &err).len(), 1, "{err}");
}

#[test]
fn what_is_secret_or_not_known_is_an_error_and_not_a_text() {
    let room = Room::new(SPEC);
    let (code, out, err) = room.run_with(&["output", "word"], ENV);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("output `word` is not known"), "{err}");
    let (code, out, _) = room.run_with(&["output"], ENV);
    assert_eq!((code, out.as_str()), (1, "password = (not known)\nword = (not known)\n"));
    let (code, out, _) = room.run_with(&["output", "--json"], ENV);
    let said: Json = serde_json::from_str(&out).unwrap();
    let unknown = json!({ "sensitive": false, "value": null, "unknown": true });
    assert_eq!((code, &said["word"]), (1, &unknown));

    assert_eq!(room.run_with(&["apply", "--auto-approve"], ENV).0, 0);
    assert_eq!(room.run_with(&["output", "word"], ENV).1, "hello\n");
    for arguments in [&["output", "password"][..], &["output", "password", "--json"]] {
        let (code, out, err) = room.run_with(arguments, ENV);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("output `password` is sensitive"), "{err}");
        assert!(err.contains("pgferry output --reveal password"), "{err}");
    }
    let (code, out, _) = room.run_with(&["output"], ENV);
    assert_eq!((code, out.as_str()), (0, "password = \"(sensitive)\"\nword = \"hello\"\n"));
    let revealed = room.run_with(&["output", "password", "--reveal"], ENV);
    assert_eq!((revealed.0, revealed.1), (0, format!("{PASSWORD}\n")));
}

#[test]
fn what_a_command_says_steers_no_terminal() {
    let spec = r#"
pgferry: 1
name: coloured
resources:
  told:
    type: core.command
    command: [sh, -c, "printf '\\033[2J\\033[31mred\\033[0m\\a\\n'; printf '\\033]0;title\\033\\\\\\033[1mwhy\\n' >&2; exit 3"]
"#;
    let room = Room::new(spec);
    for more in [&[][..], &["--json"]] {
        let (code, out, err) = room.run(&[&["apply", "--auto-approve"], more].concat());
        let all = format!("{out}{err}");
        assert_ne!(code, 0, "{all}");
        assert!(all.contains("red") && all.contains("why"), "{all}");
        let raw = ['\u{1b}', '\u{7}'].into_iter().find(|sign| all.contains(*sign));
        assert!(raw.is_none() && !all.contains("u001b"), "{all}");
    }
}
