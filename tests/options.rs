//! Variables, selections, plans to destroy, `init` and `completions`, on specs that need no service.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::Command;

const SPEC: &str = r#"
pgferry: 1
name: small
variables:
  word: { default: hello, validation: { pattern: "^[a-z]+$", message: only small letters } }
  regions: { type: list, default: [us, eu], validation: { one_of: [us, eu, asia] } }
resources:
  first:
    type: core.value
    input: { word: "${var.word}" }
  second:
    type: core.value
    for_each: ${var.regions}
    input: "${first.output.word} ${each.value}"
  told:
    type: core.command
    command: [sh, -c, "echo told"]
    depends_on: [second]
    lifecycle: { replace_when: ["${first.output.word}"] }
outputs:
  word: ${first.output.word}
"#;

struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    fn new(spec: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pgferry.yaml"), spec).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgferry"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(env.iter().copied()).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_with(arguments, &[])
    }

    fn applied(&self, more: &[&str]) {
        let (code, out, err) = self.run(&[&["apply", "--auto-approve"], more].concat());
        assert_eq!(code, 0, "{out}{err}");
    }
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

/// The line with the numbers of a plan; changes of outputs follow it.
fn summary(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("Plan: ")).unwrap_or_default()
}

#[test]
fn files_of_variables_beside_the_spec_are_read_in_order() {
    let room = Room::new(SPEC);
    let word = |arguments: &[&str]| {
        let env = [("PGFERRY_VAR_word", "environment")];
        let state = format!("{}.json", arguments.len());
        std::fs::remove_file(room.path(&state)).ok();
        let all = [&["apply", "--auto-approve", "--state", &state], arguments].concat();
        let (code, out, err) = room.run_with(&all, &env);
        assert_eq!(code, 0, "{out}{err}");
        last_line(&out).to_owned()
    };
    assert_eq!(word(&[]), "word = \"environment\"");
    room.write("pgferry.vars.yaml", "word: file\nregions: null\n");
    assert_eq!(word(&[]), "word = \"file\"");
    room.write("b.auto.vars.yaml", "word: second");
    room.write("a.auto.vars.yaml", "word: first\nregions: [asia]\n");
    room.write("c.vars.yaml", "word: other\n");
    assert_eq!(word(&[]), "word = \"second\"");
    assert_eq!(word(&["--var-file", "c.vars.yaml"]), "word = \"other\"");
    assert_eq!(word(&["--var-file", "c.vars.yaml", "--var", "word=line"]), "word = \"line\"");
    assert_eq!(
        room.run(&["state", "list", "--state", "0.json"]).1,
        "first\nsecond[\"asia\"]\ntold\n"
    );
    // They lie beside the spec, wherever pgferry is run.
    let (spec, state) = (room.path("pgferry.yaml"), room.path("there.json"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgferry"));
    command.args(["apply", "--auto-approve", "-f"]).arg(&spec).arg("--state").arg(&state);
    let output = command.current_dir(std::env::temp_dir()).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("word = \"second\"\n"));
    room.write("a.auto.vars.yaml", "- word");
    let (code, _, err) = room.run(&["validate"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("Error: reading the variables in `./a.auto.vars.yaml`"), "{err}");
}

#[test]
fn a_list_makes_the_instances_and_a_bad_value_is_told() {
    let room = Room::new(SPEC);
    let regions = "regions=[asia, us]";
    room.applied(&["--var", regions]);
    let list = "first\nsecond[\"asia\"]\nsecond[\"us\"]\ntold\n";
    assert_eq!(room.run(&["state", "list"]).1, list);
    let (code, _, err) = room.run(&["plan", "--var", "regions=[mars]", "--var", "word=Bye"]);
    assert_eq!(code, 1);
    assert!(err.contains("error[PGF0135]: variable `regions` cannot hold `mars`"), "{err}");
    assert!(err.contains("help: only small letters"), "{err}");
    // A value that is watched has changed: the run is done again.
    let (code, out, _) = room.run(&["plan", "--var", regions, "--var", "word=bye"]);
    assert_eq!((code, summary(&out)), (0, "Plan: 1 to add, 3 to change, 0 to destroy."));
    assert!(
        out.contains("  # told will be run\n  # (`${first.output.word}` of `replace_when`"),
        "{out}"
    );
}

#[test]
fn a_partial_plan_says_so() {
    let room = Room::new(SPEC);
    let (code, out, err) = room.run(&["plan", "--target", "first"]);
    assert_eq!((code, summary(&out)), (0, "Plan: 1 to add, 0 to change, 0 to destroy."));
    let left_out = "`second[\"eu\"]`, `second[\"us\"]`, `told`";
    let want =
        format!("Warning: the plan is partial: `--target` or `--exclude` leaves out {left_out}\n");
    assert!(err.starts_with(&want), "{err}");
    assert_eq!(room.run(&["plan", "--exclude", "told", "--out", "p"]).0, 0);
    let (_, out, _) = room.run(&["show", "p", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["complete"], false);
    let (_, out, _) = room.run(&["plan", "--target", "first", "--json"]);
    assert!(out.contains(r#""summary":"the plan is partial: "#), "{out}");
    let (_, out, _) = room.run(&["plan", "--target", "told", "--json"]);
    assert!(!out.contains("partial"), "all of it is there: {out}");
}

#[test]
fn a_former_name_selects_nothing() {
    let room = Room::new(SPEC);
    room.applied(&[]);
    let spec = SPEC.replace(
        "  first:\n    type: core.value\n",
        "  one:\n    type: core.value\n    renamed_from: first\n",
    );
    room.write("pgferry.yaml", &spec.replace("${first.", "${one."));
    for flag in ["--target", "--exclude", "--replace"] {
        let (code, _, err) = room.run(&["plan", flag, "first"]);
        let want = format!(
            "Error: `{flag} first`: the spec has renamed `first` to `one`\n  help: `{flag} 'one'`\n"
        );
        assert_eq!((code, err), (1, want));
    }
    assert_eq!(room.run(&["plan", "--target", "one"]).0, 0);
}

#[test]
fn a_plan_to_destroy_can_be_reviewed_and_applied() {
    let room = Room::new(SPEC);
    room.applied(&[]);
    let (code, out, _) = room.run(&["plan", "--destroy", "--detailed-exitcode", "--out", "p"]);
    assert_eq!(code, 2);
    assert!(out.contains("To forget, and keep in reality: 4.\n"), "{out}");
    assert_eq!(room.run(&["state", "list"]).1.lines().count(), 4, "nothing was done yet");
    let (code, out, err) = room.run(&["apply", "p"]);
    assert_eq!((code, last_line(&out)), (0, "Destroy complete! Resources: 0 destroyed."), "{err}");
    assert_eq!(room.run(&["state", "list"]).1, "");
    let (code, _, err) = room.run(&["apply", "p"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("Error: the saved plan is stale"), "{err}");
    // A part of it.
    room.applied(&[]);
    let (code, ..) = room.run(&["destroy", "--auto-approve", "--target", "second"]);
    assert_eq!((code, room.run(&["state", "list"]).1.as_str()), (0, "first\n"));
    room.applied(&[]);
    let (code, ..) = room.run(&["apply", "--destroy", "--auto-approve", "--exclude", "first"]);
    assert_eq!((code, room.run(&["state", "list"]).1.as_str()), (0, "first\n"));
    for senseless in [
        &["plan", "--destroy", "--refresh-only"][..],
        &["plan", "--destroy", "--replace", "told"],
        &["plan", "--refresh-only", "--refresh=false"],
        &["plan", "--refresh-only", "--replace", "told"],
        &["apply", "p", "--refresh-only"],
        &["apply", "p", "--destroy"],
    ] {
        let (code, out, err) = room.run(senseless);
        assert_eq!((code, out.as_str()), (1, ""), "{senseless:?}");
        assert!(err.contains("cannot be used with"), "{err}");
    }
}

#[test]
fn a_spec_to_start_from() {
    let room = Room::new(SPEC);
    let (code, _, err) =
        room.run(&["init", "--from", "linode", "--to", "heroku", "--name", "acme"]);
    let want = "Error: `pgferry.yaml` is there already, and is not overwritten\n  \
                help: write the new one elsewhere: `pgferry init --file other.yaml`\n";
    assert_eq!((code, err.as_str()), (1, want));
    assert_eq!(std::fs::read_to_string(room.path("pgferry.yaml")).unwrap(), SPEC);
    let source = ("SOURCE_DATABASE_URL", "postgres://u:secret-of-nobody@db.example/acme");
    let target = ("TARGET_DATABASE_URL", "postgres://u:secret-of-another@db2.example/acme");
    for (from, to, needs, gaps, resources) in [
        ("linode", "heroku", &[][..], 5, 12),
        ("postgres", "heroku", &[source], 5, 12),
        ("linode", "postgres", &[target], 3, 6),
        ("postgres", "postgres", &[source, target], 1, 6),
    ] {
        let file = format!("{from}-{to}.yaml");
        let arguments = ["init", "--from", from, "--to", to, "--name", "big-corp", "-f", &file];
        let (code, out, err) = room.run(&arguments);
        assert_eq!(code, 0, "{err}");
        // What is to be filled in is listed with its line.
        let spec = std::fs::read_to_string(room.path(&file)).unwrap();
        assert!(!spec.contains("acme"), "{spec}");
        let marked = spec.lines().filter(|line| line.contains("# fill in: ")).count();
        let listed = out.lines().filter(|line| line.starts_with(&format!("  {file}:"))).count();
        assert!(marked >= gaps && marked == listed, "{marked} marked, {listed} listed: {out}");
        assert!(needs.iter().all(|(name, _)| out.contains(name)), "{out}");
        let (code, out, err) = room.run_with(&["validate", "-f", &file], needs);
        let want = format!("Success! `{file}` is valid: {resources} resources.\n");
        assert_eq!((code, out, err), (0, want, String::new()));
    }
    let (code, _, err) = room.run(&["init", "-f", "new.yaml", "--from", "linode"]);
    assert_eq!(code, 1);
    assert!(
        err.starts_with("Error: `--to` is missing, and nobody is at a terminal to ask\n"),
        "{err}"
    );
    assert!(!room.path("new.yaml").exists());
    let (code, _, err) = room.run(&["init", "--name", "Acme Corp"]);
    assert_eq!(code, 1);
    assert!(err.contains("2 to 20 of `a-z`, `0-9` and `-`"), "{err}");
    let (code, _, err) = room.run(&["init", "--from", "linode", "--to", "mysql"]);
    assert_eq!(code, 1);
    assert!(err.contains("[possible values: heroku, postgres]"), "{err}");
}

#[test]
fn shells_are_told_what_can_be_typed() {
    let room = Room::new(SPEC);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = room.run(&["completions", shell]);
        assert!(code == 0 && out.contains("refresh-only"), "{shell}");
    }
    let (_, script, _) = room.run(&["completions", "bash"]);
    room.write("completions", &script);
    let ask = "source ./completions && COMP_WORDS=(pgferry plan --refresh-o) COMP_CWORD=2 \
               && _pgferry pgferry --refresh-o plan && echo ${COMPREPLY[*]}";
    let said = Command::new("bash").args(["-c", ask]).current_dir(room.folder.path()).output();
    assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), "--refresh-only\n");
}

/// A saved plan says whose state is to be made only where nothing was begun. Here another run has begun something and
/// died: taking its place would forget that, and make it twice under another name.
#[test]
fn a_saved_plan_replaces_nothing_that_was_begun() {
    let spec = "
pgferry: 1
name: begun
resources:
  told: { type: core.command, command: [sh, -c, 'echo told >> told'] }
";
    for point in ["before:1", "after:1", "before:2", "after:2"] {
        let room = Room::new(spec);
        assert_eq!(room.run(&["plan", "--out", "p"]).0, 0);
        let (code, ..) = room.run_with(&["apply", "--auto-approve"], &[("PGFERRY_KILL", point)]);
        assert_eq!(code, -1, "killed");
        let journal = std::fs::read(room.path("pgferry.state.json.journal")).unwrap();
        let (code, out, err) = room.run(&["apply", "p"]);
        assert_eq!(code, 1, "{point}: {out}{err}");
        let want = "Error: the saved plan is stale: it was made against another state: of lineage ";
        assert!(err.starts_with(want), "{point}: {err}");
        let after = std::fs::read(room.path("pgferry.state.json.journal")).unwrap();
        assert_eq!(after, journal, "{point}: the journal is not touched");
        let (code, _, err) = room.run(&["apply", "--auto-approve"]);
        assert_eq!(code, 0, "{point}: {err}");
    }
    // Where nothing was begun, it does.
    let room = Room::new(spec);
    assert_eq!(room.run(&["plan", "--out", "p"]).0, 0);
    assert_eq!(room.run(&["apply", "p"]).0, 0);
}

/// What is stored is stored as it is, or not at all: never with a mask in it.
#[test]
fn a_value_that_would_give_a_secret_away_is_refused_by_name() {
    let room = Room::new(
        "
pgferry: 1
name: given-away
variables:
  pin: { sensitive: true }
resources:
  touch:
    type: core.command
    command: [touch, 'file-of-${env.WORD}']
    env: { PIN: '${var.pin}' }
",
    );
    let env = [("WORD", "some-pin-of-mine"), ("PGFERRY_VAR_pin", "some-pin-of-mine")];
    for arguments in [&["plan"][..], &["plan", "--out", "p"], &["apply", "--auto-approve"]] {
        let (code, out, err) = room.run_with(arguments, &env);
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
        let want = "Error: `command` of `touch` holds a secret, and would be stored in clear\n  help: hand it on as what it is, ";
        assert!(err.contains(want), "{arguments:?}: {err}");
        assert!(!out.contains("some-pin") && !err.contains("some-pin"), "{out}{err}");
    }
    let names = std::fs::read_dir(room.folder.path()).unwrap();
    let names: Vec<String> =
        names.map(|one| one.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name == "p" || name.starts_with("file-of")), "{names:?}");
    let other = [("WORD", "something-else"), env[1]];
    assert_eq!(room.run_with(&["plan", "--out", "p"], &other).0, 0);
    assert_eq!(room.run_with(&["apply", "p"], &other).0, 0);
    assert!(room.path("file-of-something-else").exists());
}

/// A runner of CI throws its files away: whoever keeps the state in one is told before anything is made.
#[test]
fn a_local_state_in_ci_is_warned_of() {
    let room = Room::new("pgferry: 1\nname: ci\nresources:\n  a: { type: core.value, input: 1 }\n");
    let said = |env: &[(&str, &str)], arguments: &[&str]| room.run_with(arguments, env).2;
    let path = room.path("pgferry.state.json");
    let want = format!(
        "Warning: `CI` is set, and the state is the local file `{}`: a job that does not find it makes everything a second time\n  help: write `state: s3://BUCKET/KEY` in the spec, a private bucket that all jobs reach; ",
        path.canonicalize().unwrap_or(path).display()
    );
    assert!(said(&[("CI", "true")], &["plan"]).contains(&want), "{want}");
    assert!(said(&[("CI", "1")], &["apply", "--auto-approve"]).contains("Warning: `CI` is set"));
    for env in [&[][..], &[("CI", "")], &[("CI", "false")]] {
        assert!(!said(env, &["plan"]).contains("`CI`"), "{env:?}");
    }
}

#[test]
fn status_tells_what_was_cut_short() {
    let room = Room::new(
        "pgferry: 1\nname: s\nresources:\n  told: { type: core.command, command: [echo, told] }\n",
    );
    let (code, out, _) = room.run(&["status"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("No state at `") && out.ends_with("` yet; nothing was begun.\n"),
        "{out}"
    );
    room.run_with(&["apply", "--auto-approve"], &[("PGFERRY_KILL", "after:1")]);
    let (code, out, _) = room.run(&["status"]);
    assert_eq!(code, 0);
    for said in [
        "\nNo command is running.\n\nNot finished:\n  told (core.command): begun at ",
        ", and its end was not recorded\n\nThe next apply first has to:\n  - find out what became of `told`\n",
    ] {
        assert!(out.contains(said), "{out}");
    }
    let (_, out, _) = room.run(&["status", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&told["unfinished"][0]["address"], &told["open"]),
        (&"told".into(), &serde_json::json!([]))
    );
    assert_eq!(told["next"], serde_json::json!(["find out what became of `told`"]));
    assert_eq!(room.run(&["apply", "--auto-approve"]).0, 0);
    assert!(room.run(&["status"]).1.ends_with("plans as usual.\n"));
}
