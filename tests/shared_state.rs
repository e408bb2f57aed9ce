//! A state in a bucket, shared by machines that come and go: each folder here is a machine of its own.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::collections::BTreeMap;

use pgferry_objects::{Bucket, Credentials, Endpoint};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use stage::programs::Hold;
use stage::project::{Ended, Project, Running};
use stage::{APP, QUICK, Stage, until};

const STATES: &str = "acme-states";
const PLACE: &str = "s3://acme-states/migrations/acme.json";

const SMALL: &str = r#"
pgferry: 1
name: small
state: s3://acme-states/migrations/acme.json
resources:
  first:
    type: core.value
    input: [1, 2]
  told:
    type: core.command
    command: [sh, -c, "echo told"]
    depends_on: [first]
"#;

/// A sandbox with a bucket for states.
fn stage() -> Stage {
    let stage = Stage::start(&QUICK);
    let bucket = json!({ "label": STATES, "region": "us-ord", "endpoint_type": "E1" });
    stage.linode(Method::POST, "/object-storage/buckets", &bucket);
    stage
}

/// The example on another machine, with its state in the bucket.
fn machine(stage: &Stage) -> Project {
    let project = Project::new(stage);
    project.edit("state: ./pgferry.state.json", &format!("state: {PLACE}"));
    project
}

fn small(stage: &Stage, spec: &str) -> Project {
    let project = Project::new(stage);
    std::fs::write(project.path("pgferry.yaml"), spec).unwrap();
    project
}

/// Every object of the bucket of states, by key.
fn objects(stage: &Stage) -> BTreeMap<String, String> {
    let endpoint = Endpoint::from_url(&stage.value("AWS_ENDPOINT_URL_S3"), "us-ord").unwrap();
    let (key, secret) = (stage.value("AWS_ACCESS_KEY_ID"), stage.value("AWS_SECRET_ACCESS_KEY"));
    let bucket = Bucket::open(&endpoint, STATES, Credentials::new(key, secret)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut found = BTreeMap::new();
        for object in bucket.list("").await.unwrap() {
            let text = match object.size {
                0 => String::new(),
                size => {
                    // Taken away or written anew since it was listed: whoever waits looks again.
                    let Ok(bytes) = bucket.get_range(&object.key, 0..size).await else { continue };
                    String::from_utf8(bytes.to_vec()).unwrap()
                }
            };
            found.insert(object.key, text);
        }
        found
    })
}

/// The lock of whoever died has run out.
fn a_minute_passes(stage: &Stage, minutes: u32) {
    stage.faults(json!({ "s3_clock_ahead_seconds": 70 * minutes }));
}

/// What names the lock in a refusal.
fn id(refused: &Ended) -> String {
    let (_, rest) = refused.stderr.split_once("`pgferry force-unlock ").unwrap();
    rest.split_once('`').unwrap().0.to_owned()
}

fn assert_settled(stage: &Stage, machine: &Project) {
    let left = stage.left();
    assert_eq!(left["keys"], json!([]), "{left}");
    assert_eq!(left["apps"], json!(["acme-web", APP]), "{left}");
    assert_eq!(left["addons"].as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(left["transfers"], 1, "{left}");
    assert_eq!(stage.acme_web(), (false, 2));
    machine.assert_nothing_to_do("on another machine");
    assert!(!machine.path("pgferry.state.json").exists());
}

fn assert_no_secrets(stage: &Stage) {
    let mut secrets = ["LINODE_TOKEN", "HEROKU_API_KEY", "AWS_SECRET_ACCESS_KEY"]
        .map(|name| stage.value(name))
        .to_vec();
    secrets.push(stage::password(&stage.value("SOURCE_DATABASE_URL")));
    if stage::has(&stage.left()["apps"], APP) && stage.config(APP)["DATABASE_URL"].is_string() {
        secrets.push(stage::password(&stage.target_url()));
    }
    for (key, text) in objects(stage) {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "a secret in `{key}`");
        }
    }
}

#[test]
fn an_apply_killed_on_one_machine_goes_on_on_others() {
    let stage = stage();
    for (minutes, point) in (1..).zip(["after:3", "before:14", "after:14"]) {
        let ended = machine(&stage).run_with(&["apply", "--auto-approve"], "PGFERRY_KILL", point);
        ended.assert_killed(point);
        assert_no_secrets(&stage);
        let refused = machine(&stage).run(&["plan"]);
        refused.assert_code(1);
        refused.assert_says(&["Error: the state is locked by ", "(apply) since "]);
        a_minute_passes(&stage, minutes);
    }
    let last = machine(&stage);
    last.apply();
    assert_settled(&stage, &machine(&stage));
    let names: Vec<String> = objects(&stage).into_keys().collect();
    let kept: Vec<&str> =
        names.iter().filter_map(|name| name.strip_prefix("migrations/")).collect();
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert_eq!((kept[0], kept[1], kept[3]), ("acme.json", "acme.json.backup", "acme.json.lock"));
    assert!(kept[2].starts_with("acme.json.journal/"), "the seal of the last that died");
    assert_no_secrets(&stage);
}

#[test]
fn the_second_of_two_applies_waits_or_is_refused() {
    let stage = stage();
    let first = machine(&stage);
    let hold = Hold::new(&first.path("."), "announce");
    let script = first.read("notify.sh").replacen('\n', &format!("\n{}\n", hold.words()), 1);
    first.script("notify.sh", &script);
    let running = first.spawn(&["apply", "--auto-approve"]);
    until("the announcement", || hold.is_reached());
    let second = machine(&stage);
    let refused = second.run(&["apply", "--auto-approve"]);
    refused.assert_code(1);
    refused.assert_says(&[
        &format!(", process {} (apply) since ", running.id()),
        "unless it is renewed, it ends by itself in ",
        "help: wait for it, or give `--lock-timeout 5m`; if you know that its process is gone: `pgferry force-unlock ",
    ]);
    assert_eq!(second.run(&["force-unlock"]).status.code(), Some(1), "it may be alive");
    let mut waiting = second.spawn(&["apply", "--auto-approve", "--lock-timeout", "5m"]);
    until("it waits", || waiting.said().contains("Waiting for the lock: the state is locked by "));
    assert!(waiting.is_alive());
    hold.let_go();
    running.end().assert_code(0);
    let ended = waiting.end();
    ended.assert_code(0);
    assert_eq!(stage.left()["transfers"], 1, "nothing was done twice");
    assert_settled(&stage, &machine(&stage));
}

#[test]
fn a_run_that_was_frozen_finds_itself_replaced_and_stops() {
    let stage = stage();
    let hold = Hold::new(stage.home.path(), "told");
    let words = hold.words();
    let spec = SMALL.replace("echo told", &format!("{words}; echo told"));
    let (first, second) = (small(&stage, &spec), small(&stage, &spec));
    let running = first.spawn(&["apply", "--auto-approve"]);
    until("the command", || hold.is_reached());
    running.signal(Signal::STOP);
    a_minute_passes(&stage, 1);
    hold.let_go();
    second.apply();
    let after = objects(&stage);
    running.signal(Signal::CONT);
    let ended = running.end();
    ended.assert_code(1);
    ended.assert_says(&[
        &format!("Error: the lock on the state `{PLACE}` is lost: "),
        "; nothing more is done\n  help: what was begun is in the journal; when the other run has ended, ",
    ]);
    assert_eq!(objects(&stage), after, "it has left everything as the other made it");
    second.assert_nothing_to_do("on the machine that went on");
}

/// A run works under a freeze and loses the lock: freed by its id, though its lease has not run out.
#[test]
fn a_run_whose_lock_is_freed_by_force_stops_and_leaves_the_freeze_alone() {
    replaced_under_a_freeze(|_, _, second| {
        let lock = id(&second.run(&["apply", "--auto-approve"]));
        second.run(&["force-unlock", &lock]).assert_code(0);
    });
}

/// The same, where its process was stopped until the lease had run out.
#[test]
fn a_run_whose_lease_has_run_out_stops_and_leaves_the_freeze_alone() {
    replaced_under_a_freeze(|stage, first, _| {
        first.signal(Signal::STOP);
        a_minute_passes(stage, 1);
    });
}

/// Whoever was replaced stops by itself, and ends nothing that is the other's now.
fn replaced_under_a_freeze(replace: impl Fn(&Stage, &Running, &Project)) {
    let stage = stage();
    let hold = Hold::new(stage.home.path(), "told");
    let freeze = "  source:\n    type: postgres.database\n    url: ${env.SOURCE_DATABASE_URL}\n  freeze:\n    type: postgres.freeze\n    database: ${source}\n    on_success: release\n  first:\n";
    let spec = SMALL
        .replace("echo told", &format!("{}; echo told", hold.words()))
        .replace("  first:\n", freeze)
        .replace("depends_on: [first]", "depends_on: [first, freeze]");
    let frozen = || stage.source("show default_transaction_read_only") == "on";
    let (first, second) = (small(&stage, &spec), small(&stage, &spec));
    let running = first.spawn(&["apply", "--auto-approve"]);
    until("the command", || hold.is_reached());
    replace(&stage, &running, &second);
    let mut other = second.spawn(&["apply", "--auto-approve"]);
    until("the other goes on", || {
        assert!(other.is_alive(), "{}", other.said());
        other.said().contains("told: Running...")
    });
    running.signal(Signal::CONT);
    let ended = running.end();
    ended.assert_code(1);
    ended.assert_says(&[
        "Warning: `freeze` stays open: this run has lost the lock, and another may be working under it\n  help: if no other run is, `pgferry release` closes it; by hand: ",
        // Seen at the lock, or at the next line of the journal, whichever comes first.
        &format!("Error: the lock on the state `{PLACE}` is lost: "),
    ]);
    assert!(frozen(), "the other works under it");
    hold.let_go();
    let ended = other.end();
    ended.assert_code(0);
    assert!(!frozen(), "it is released by who opened it last");
    second.assert_nothing_to_do("on the machine that went on");
}

/// The bucket of the state cannot be reached any more while a run works under a freeze: it says what stays open and how
/// that is closed without the bucket.
#[test]
fn a_state_out_of_reach_leaves_nothing_open_without_a_word() {
    let stage = stage();
    let hold = Hold::new(stage.home.path(), "told");
    let freeze = "  source:\n    type: postgres.database\n    url: ${env.SOURCE_DATABASE_URL}\n  freeze:\n    type: postgres.freeze\n    database: ${source}\n  first:\n";
    let spec = SMALL
        .replace("echo told", &hold.words())
        .replace("  first:\n", freeze)
        .replace("depends_on: [first]", "depends_on: [first, freeze]");
    let machine = small(&stage, &spec);
    let running = machine.spawn(&["apply", "--auto-approve"]);
    until("the command", || hold.is_reached());
    stage.faults(json!({ "s3_503_next": 1_000_000 }));
    hold.let_go();
    let ended = running.end();
    ended.assert_code(1);
    ended.assert_says(&[
        "Warning: `freeze` stays open: ",
        "`pgferry release` closes it; by hand: as the owner: `begin read write; alter database \"acme_org_db\" reset default_transaction_read_only; commit`; or the next apply takes it over\n",
    ]);
    assert_eq!(stage.source("show default_transaction_read_only"), "on");
    stage.faults(json!({ "s3_503_next": 0 }));
    a_minute_passes(&stage, 1);
    machine.run(&["release"]).assert_says(&["Released: 1. Left open: 0."]);
    assert_eq!(stage.source("show default_transaction_read_only"), "off");
}

#[test]
fn a_lock_that_nobody_holds_any_more_can_be_freed() {
    let stage = stage();
    let ended =
        small(&stage, SMALL).run_with(&["apply", "--auto-approve"], "PGFERRY_KILL", "after:2");
    ended.assert_killed("after:2");
    let other = small(&stage, SMALL);
    let refused = other.run(&["apply", "--auto-approve"]);
    refused.assert_code(1);
    let id = id(&refused);
    other.run(&["force-unlock", "0123456789abcdef"]).assert_code(1);
    let freed = other.run(&["force-unlock", &id]);
    freed.assert_code(0);
    freed.assert_says(&[&format!("`{PLACE}`: freed; it was locked by "), ", process "]);
    other.apply();
    let said = other.run(&["force-unlock"]);
    said.assert_says(&[": it is not locked: ", " has ended."]);
}

#[test]
fn a_plan_that_is_interrupted_gives_the_lock_back() {
    let stage = stage();
    let project = machine(&stage);
    stage.faults(json!({ "slow_ms": 20_000 }));
    let running = project.spawn(&["plan"]);
    let lock = || objects(&stage).get("migrations/acme.json.lock").cloned().unwrap_or_default();
    until("the lock", || lock().contains("\"is\": \"held\""));
    running.signal(Signal::INT);
    running.end().assert_code(130);
    assert!(lock().contains("\"is\": \"left\""), "{}", lock());
}

#[test]
fn the_commands_on_states_work_on_shared_ones() {
    let stage = stage();
    let project = small(&stage, SMALL);
    project.apply();
    let run = |arguments: &[&str]| {
        let ended = project.run(arguments);
        ended.assert_code(0);
        ended.stdout
    };
    assert_eq!(run(&["state", "list"]), "first\ntold\n");
    let pulled = run(&["state", "pull"]);
    assert_eq!(objects(&stage)["migrations/acme.json"], pulled);
    run(&["state", "mv", "told", "announced"]);
    assert_eq!(run(&["state", "list"]), "announced\nfirst\n");
    run(&["state", "rm", "announced"]);
    assert!(run(&["state", "show", "first"]).starts_with("# first:\nfirst: core.value\n"));
    assert_eq!(run(&["state", "repair"]), "Nothing is wrong: serial 3, 1 resources.\n");
    std::fs::write(project.path("old.json"), &pulled).unwrap();
    project.run(&["state", "push", "old.json"]).assert_code(1);
    run(&["state", "push", "--force", "old.json"]);
    assert_eq!(run(&["state", "list"]), "first\ntold\n");
    // From the bucket into a file, and back again; each time the former place says so.
    let said = run(&["state", "migrate", "--to", "here.json"]);
    assert!(said.starts_with("Moved serial 1 with 2 resources. Write `state: /"), "{said}");
    let gone = project.run(&["plan"]);
    gone.assert_code(1);
    gone.assert_says(&[&format!("Error: the state that was at `{PLACE}` has moved to `")]);
    assert_eq!(run(&["state", "list", "--state", "here.json"]), "first\ntold\n");
    run(&["state", "migrate", "--state", "here.json", "--to", PLACE]);
    project.assert_nothing_to_do("back in the bucket");
    project.run(&["state", "list", "--state", "here.json"]).assert_code(1);
}

#[test]
fn a_bucket_that_cannot_lock_is_refused() {
    let stage = stage();
    let project = small(&stage, &SMALL.replace(STATES, "nowhere"));
    let refused = project.run(&["plan"]);
    refused.assert_code(1);
    refused.assert_says(&["help: make the bucket first"]);
    let project = small(&stage, &SMALL.replace("acme.json\n", "acme.json?secret=x\n"));
    let refused = project.run(&["validate"]);
    refused.assert_code(1);
    refused.assert_says(&["its URL says `secret`, which is not known"]);
}
