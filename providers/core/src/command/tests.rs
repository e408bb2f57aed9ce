//! Commands that really run: output, time limits, cancellation, secrets in the environment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pgferry_engine::address::Address;
use pgferry_engine::cx::{NoNotes, SystemClock, World, no_rereading};
use pgferry_engine::event::{Event, Sink};
use pgferry_engine::resource::{Intent, Verb};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use serde_json::json;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::*;

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn event(&self, event: Event) {
        if let Event::Output { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

struct Stage {
    cx: Cx,
    heard: Arc<Heard>,
    folder: tempfile::TempDir,
}

fn stage() -> Stage {
    let heard = Arc::new(Heard::default());
    let folder = tempfile::tempdir().unwrap();
    let path = "/usr/local/bin:/usr/bin:/bin".to_owned();
    let env = BTreeMap::from([
        ("PATH".to_owned(), path),
        ("KEPT".to_owned(), "kept".to_owned()),
        ("LINODE_TOKEN".to_owned(), "not-for-you".to_owned()),
        ("ANY_NAME".to_owned(), "not-for-you-either".to_owned()),
        ("A_PATH".to_owned(), "/lib/not-for-you-either/bin".to_owned()),
    ]);
    let sink = Arc::clone(&heard) as Arc<dyn Sink>;
    let world = World {
        clock: Arc::new(SystemClock),
        sink,
        notes: Arc::new(NoNotes),
        hook: None,
        cancel: Default::default(),
        env: Arc::new(env),
        base: folder.path().to_owned(),
        lineage: "l".into(),
        migration: "m".into(),
        run: "r".into(),
        remembered: Arc::new(|_, _| Vec::new()),
        intent: Arc::new(|_| None),
        reread: no_rereading(),
    };
    Stage { cx: Cx::new(world, Address::new("it"), "running"), heard, folder }
}

async fn run(stage: &Stage, spec: serde_json::Value) -> Result<(), Fault> {
    run_after(stage, spec, None).await
}

async fn run_after(stage: &Stage, spec: Json, prior: Option<Intent>) -> Result<(), Fault> {
    let want: Spec = Tree::from_json(&spec).to_typed().unwrap();
    let change =
        Change { verb: Verb::Run, want, before: None, fields: vec![], prior, confirmed: vec![] };
    Command.act(&stage.cx, change).await.map(|done| assert_eq!(done.attrs.exit_code, 0))
}

fn heard(stage: &Stage) -> Vec<String> {
    stage.heard.0.lock().unwrap().clone()
}

#[tokio::test]
async fn it_runs_beside_the_spec_with_its_environment_and_without_our_keys() {
    use std::os::unix::fs::PermissionsExt;
    let stage = stage();
    let _known = Secret::new("not-for-you-either");
    let script = stage.folder.path().join("it.sh");
    std::fs::write(
        &script,
        "#!/bin/sh\necho \"$1 $GIVEN $KEPT ${LINODE_TOKEN-none} ${ANY_NAME-none} ${A_PATH-none}\"\ncat it.sh | wc -l\n",
    )
    .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    run(&stage, json!({ "command": ["./it.sh", "a b"], "env": { "GIVEN": 7 } })).await.unwrap();
    let lines: Vec<String> = heard(&stage).iter().map(|line| line.trim().to_owned()).collect();
    assert_eq!(lines, ["a b 7 kept none none /lib/(sensitive)/bin", "3"]);
}

#[tokio::test]
async fn secrets_in_its_output_are_blanked_out() {
    let stage = stage();
    let spec = json!({
        "command": ["sh", "-c", "echo \"got $URL\"; exit 3"],
        "env": { "URL": { "$secret": "postgres://u:hunter2hunter2@h/d" } },
    });
    let fault = run(&stage, spec).await.unwrap_err();
    assert_eq!(heard(&stage), ["got (sensitive)"]);
    assert_eq!(fault.chain(), "`sh` failed (exit status: 3): got (sensitive)");
}

#[tokio::test]
async fn a_timeout_ends_it_with_all_its_children() {
    let stage = stage();
    let spec =
        json!({ "command": ["sh", "-c", "echo begun; sleep 600 & wait"], "timeout": "200ms" });
    let fault = run(&stage, spec).await.unwrap_err();
    assert_eq!(fault.chain(), "`sh` took longer than 200ms: begun");
}

#[tokio::test]
async fn a_request_to_stop_ends_it() {
    let stage = stage();
    let cancel = stage.cx.world.cancel.clone();
    let (ended, ()) = tokio::join!(run(&stage, json!({ "command": ["sleep", "600"] })), async {
        cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().class, Class::Interrupted);
}

#[tokio::test]
async fn what_cannot_be_started_is_named() {
    let stage = stage();
    let fault = run(&stage, json!({ "command": ["./missing.sh"] })).await.unwrap_err();
    assert!(fault.chain().starts_with("starting `./missing.sh`: "), "{}", fault.chain());
}

#[tokio::test]
async fn what_a_dead_run_left_of_it_is_ended_first() {
    let stage = stage();
    let shell = |script: &str| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut shell, 0).spawn().unwrap()
    };
    // Its first process is gone, and its child is not.
    let mut former = shell("sleep 600 & echo $!");
    let mut stranger = shell("sleep 600");
    former.wait().unwrap();
    for (group, began, is_ended) in [
        (former.id(), Some(1), true),
        // A number that somebody else has by now.
        (stranger.id(), Some(1), false),
    ] {
        let intent = Intent {
            verb: Verb::Run,
            inputs: Tree::Null,
            at: jiff::Timestamp::UNIX_EPOCH,
            notes: json!({ "process": { "group": group, "began": began } }),
            before: None,
        };
        run_after(&stage, json!({ "command": ["true"] }), Some(intent)).await.unwrap();
        let group = Pid::from_raw(i32::try_from(group).unwrap()).unwrap();
        assert_eq!(test_kill_process_group(group).is_err(), is_ended, "{group:?}");
    }
    let group = Pid::from_raw(i32::try_from(stranger.id()).unwrap()).unwrap();
    kill_process_group(group, Signal::KILL).unwrap();
    stranger.wait().unwrap();
}

/// A line without an end is passed on in pieces, and no border cuts a secret or a letter in two.
#[tokio::test]
async fn a_secret_is_blanked_out_wherever_a_long_line_is_cut() {
    for before in (8 * 1024 - 40..8 * 1024 + 8).step_by(3) {
        let stage = stage();
        let script = format!(
            "head -c {before} /dev/zero | tr '\\0' x; printf '%s' \"$KEY\"; head -c 9000 /dev/zero | tr '\\0' y; printf 'äöü'"
        );
        let spec = json!({
            "command": ["sh", "-c", script],
            "env": { "KEY": { "$secret": "a-key-of-thirty-letters-in-all" } },
        });
        run(&stage, spec).await.unwrap();
        let said = heard(&stage).concat();
        let want = format!("{}(sensitive){}äöü", "x".repeat(before), "y".repeat(9000));
        assert_eq!(said, want, "after {before} letters");
    }
}

#[tokio::test]
async fn each_line_of_a_secret_is_blanked_out() {
    let stage = stage();
    let key = "-----BEGIN KEY-----\nMIIfirst-line\nMIIsecond-line\n-----END KEY-----\n";
    let spec = json!({
        "command": ["sh", "-c", "printf '%s' \"$KEY\""], "env": { "KEY": { "$secret": key } },
    });
    run(&stage, spec).await.unwrap();
    let want = ["-----BEGIN KEY-----", "(sensitive)", "(sensitive)", "-----END KEY-----"];
    assert_eq!(heard(&stage), want);
}
