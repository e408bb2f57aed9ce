//! The commands on a local state: moved, renamed, damaged and repaired, locked by nobody.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

const SPEC: &str = r#"
pgferry: 1
name: small
resources:
  first:
    type: core.value
    input: [1, 2]
  second:
    type: core.value
    input: "${first.output[0]} again"
  told:
    type: core.command
    command: [sh, -c, "echo told"]
    depends_on: [second]
"#;

struct Room {
    folder: tempfile::TempDir,
}

impl Room {
    /// A folder in which the spec was applied.
    fn applied() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pgferry.yaml"), SPEC).unwrap();
        let room = Self { folder };
        room.good(&["apply", "--auto-approve"]);
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.read("pgferry.state.json")).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Whether it succeeded, stdout, stderr.
    fn run(&self, arguments: &[&str], kill: Option<&str>) -> (bool, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgferry"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(kill.map(|point| ("PGFERRY_KILL", point)));
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    fn good(&self, arguments: &[&str]) -> String {
        let (good, out, err) = self.run(arguments, None);
        assert!(good, "{arguments:?}: {out}{err}");
        out
    }

    fn bad(&self, arguments: &[&str]) -> String {
        let (good, out, err) = self.run(arguments, None);
        assert!(!good, "{arguments:?}: {out}");
        err
    }
}

#[test]
fn a_resource_gets_another_address() {
    let room = Room::applied();
    assert_eq!(
        room.good(&["state", "mv", "first", "one[\"a\"]"]),
        "`first` is known as `one[\"a\"]` now. The spec has to call it so, too.\n"
    );
    assert_eq!(room.good(&["state", "list"]), "one[\"a\"]\nsecond\ntold\n");
    assert_eq!(room.state()["resources"]["second"]["dependencies"], json!(["one[\"a\"]"]));
    let taken = room.bad(&["state", "mv", "told", "second"]);
    assert!(taken.starts_with("Error: `second` is remembered already, as something else\n"));
    let gone = room.bad(&["state", "mv", "first", "two"]);
    assert!(gone.starts_with("Error: nothing is remembered of `first`\n"), "{gone}");
    let odd = room.bad(&["state", "mv", "told", "a b"]);
    assert!(odd.starts_with("Error: `a b` is no address of a resource;"), "{odd}");
    room.good(&["state", "mv", "one[\"a\"]", "first"]);
    assert_eq!(room.good(&["plan"]), "No changes. Your databases match the spec.\n");
}

#[test]
fn a_state_moves_and_nobody_goes_on_with_the_former_one() {
    let room = Room::applied();
    let before = room.read("pgferry.state.json");
    let said = room.good(&["state", "migrate", "--to", "elsewhere/s.json"]);
    assert!(said.starts_with("Moved serial 1 with 3 resources. Write `state: /"), "{said}");
    assert_eq!(room.read("elsewhere/s.json"), before);
    assert_eq!(room.read("pgferry.state.json.backup"), before);
    for command in [&["plan"][..], &["apply", "--auto-approve"], &["state", "repair"]] {
        let refused = room.bad(command);
        let to = room.path("elsewhere/s.json").canonicalize().unwrap();
        assert!(refused.contains("has moved to `") && refused.contains("elsewhere/s.json`"));
        assert!(refused.contains("help: write `state: "), "{refused} {}", to.display());
    }
    assert_eq!(
        room.good(&["state", "list", "--state", "elsewhere/s.json"]),
        "first\nsecond\ntold\n"
    );
    room.write("other.json", &before.replace("\"serial\": 1", "\"serial\": 9"));
    let refused =
        room.bad(&["state", "migrate", "--state", "elsewhere/s.json", "--to", "other.json"]);
    assert!(refused.contains("there is a state at `"), "{refused}");
    room.good(&["state", "migrate", "--state", "elsewhere/s.json", "--to", "pgferry.state.json"]);
    assert_eq!(room.good(&["plan"]), "No changes. Your databases match the spec.\n");
}

#[test]
fn a_damaged_state_is_replaced_by_its_backup_on_request() {
    let room = Room::applied();
    room.good(&["state", "rm", "told"]);
    let damaged = &room.read("pgferry.state.json")[..99];
    room.write("pgferry.state.json", damaged);
    let said = room.bad(&["state", "repair"]);
    assert!(said.contains("is empty or cut short"), "{said}");
    assert!(said.contains("; the backup is serial 1 with 3 resources\n"), "{said}");
    assert_eq!(room.read("pgferry.state.json"), damaged, "nothing was guessed");
    let said = room.good(&["state", "repair", "--use-backup"]);
    let want = "put the backup in its place: serial 1 with 3 resources\nserial 1, 3 resources.\n";
    assert!(said.starts_with("kept what could not be read as `") && said.ends_with(want), "{said}");
    assert_eq!(room.read("pgferry.state.json.damaged"), damaged);
    assert_eq!(room.good(&["plan"]), "No changes. Your databases match the spec.\n");
    room.write("pgferry.state.json", "");
    room.write("pgferry.state.json.backup", "");
    let said = room.bad(&["state", "repair", "--use-backup"]);
    assert!(said.contains("there is no backup that can be read"), "{said}");
}

#[test]
fn a_journal_is_folded_or_cut_on_request() {
    let room = Room::applied();
    let kill = |point| room.run(&["apply", "--auto-approve", "--replace", "told"], Some(point));
    assert!(!kill("after:1").0);
    let said = room.good(&["state", "repair"]);
    assert!(said.starts_with("took "), "{said}");
    assert!(!room.path("pgferry.state.json.journal").exists());
    assert_eq!(room.state()["operations"]["told"]["outcome"]["is"], "begun");
    room.good(&["apply", "--auto-approve"]);
    assert!(!kill("after:2").0);
    let whole = room.read("pgferry.state.json.journal");
    assert!(whole.lines().count() >= 3, "{whole}");
    let spoilt: Vec<&str> = whole.lines().take(2).chain(["nonsense"]).collect();
    let spoilt = spoilt.join("\n") + "\n";
    room.write("pgferry.state.json.journal", &spoilt);
    for command in [&["plan"][..], &["state", "repair"]] {
        let said = room.bad(command);
        assert!(said.contains("cannot be continued: line 3: expected"), "{said}");
    }
    let said = room.good(&["state", "repair", "--cut-journal"]);
    assert!(said.contains("took 2 lines of the journal into the state\n"), "{said}");
    assert_eq!(room.read("pgferry.state.json.journal.kept"), spoilt);
    room.good(&["apply", "--auto-approve"]);
    assert_eq!(room.good(&["plan"]), "No changes. Your databases match the spec.\n");
}

#[test]
fn what_contradicts_itself_is_refused_and_what_dangles_is_dropped() {
    let room = Room::applied();
    room.good(&["state", "rm", "first"]);
    let said = room.good(&["state", "repair"]);
    let want =
        "dropped: `second` depended on `first`, which is not remembered\nserial 3, 2 resources.\n";
    assert_eq!(said, want);
    assert_eq!(room.state()["resources"]["second"]["dependencies"], json!([]));
    let mut state = room.state();
    state["resources"]["second"]["dependencies"] = json!(["told"]);
    room.write("pgferry.state.json", &state.to_string());
    for command in [&["plan"][..], &["apply", "--auto-approve"], &["state", "list"]] {
        let said = room.bad(command);
        let want = "contradicts itself: these depend on each other: `second`, `told`\n  help: nothing was changed; `pgferry state repair`";
        assert!(said.contains(want), "{said}");
    }
    let said = room.bad(&["state", "repair"]);
    assert!(said.contains("\n  - these depend on each other: `second`, `told`\n"), "{said}");
    // As the help says.
    let mut pulled: Value = serde_json::from_str(&room.good(&["state", "pull"])).unwrap();
    assert!(room.bad(&["state", "push", "pgferry.state.json"]).contains("contradicts itself"));
    pulled["resources"]["second"]["dependencies"] = json!([]);
    pulled["serial"] = json!(4);
    room.write("right.json", &pulled.to_string());
    room.good(&["state", "push", "--force", "right.json"]);
    assert_eq!(room.good(&["state", "list"]), "second\ntold\n");
}

#[test]
fn a_local_lock_goes_with_its_process() {
    let room = Room::applied();
    let said = room.good(&["force-unlock"]);
    let want = "`pgferry.state.json`: it is not locked: the lock of process ";
    let said = said.replace(&format!("{}/", room.folder.path().display()), "");
    assert!(
        said.starts_with(want) && said.ends_with(" (apply) went with that process.\n"),
        "{said}"
    );
}
