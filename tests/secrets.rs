//! No token, password, key, signature or connection string in a file that is written, in anything that is said, or in
//! an argument list.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;
use stage::programs::{Hold, record_arguments};
use stage::project::Project;
use stage::tap::Tap;
use stage::{APP, QUICK, Stage, password, until};

/// A project whose talk with both APIs is listened to.
fn overheard(stage: &Stage) -> (Project, Tap, Tap) {
    let mut project = Project::new(stage);
    let linode = Tap::on(&stage.value("LINODE_URL"));
    let heroku = Tap::on(&stage.value("HEROKU_HOST"));
    project.set("LINODE_URL", &linode.origin);
    project.set("HEROKU_HOST", &heroku.origin);
    (project, linode, heroku)
}

/// Every secret of this run, with a word for it.
fn secrets(stage: &Stage, linode: &Tap, heroku: &Tap) -> Vec<(&'static str, String)> {
    let source = stage.value("SOURCE_DATABASE_URL");
    let target = stage.target_url();
    let mut secrets = vec![
        ("Linode token", stage.value("LINODE_TOKEN")),
        ("Heroku key", stage.value("HEROKU_API_KEY")),
        ("unlimited access key", stage.value("AWS_ACCESS_KEY_ID")),
        ("unlimited secret key", stage.value("AWS_SECRET_ACCESS_KEY")),
        ("password of the source", password(&source)),
        ("password of the target", password(&target)),
        ("connection string of the source", source),
        ("connection string of the target", target),
    ];
    let listed = |tap: &Tap, key: &str| {
        let values = tap.values(key);
        assert!(!values.is_empty(), "no `{key}` was seen on the wire");
        values
    };
    let keep = |name: &'static str, values: Vec<String>| values.into_iter().map(move |v| (name, v));
    secrets.extend(keep("access key", listed(linode, "access_key")));
    secrets.extend(keep("secret key", listed(linode, "secret_key")));
    let urls = listed(heroku, "backup_url");
    for url in &urls {
        let (_, signature) = url.split_once("X-Amz-Signature=").unwrap();
        let signature = signature.split('&').next().unwrap();
        assert_eq!(signature.len(), 64, "a signature in {url}");
        secrets.push(("signature", signature.to_owned()));
    }
    secrets.extend(keep("signed URL", urls));
    secrets.retain(|(_, secret)| secret != "[REDACTED]");
    assert!(secrets.iter().all(|(_, secret)| secret.len() > 10), "too short to look for");
    secrets
}

/// Every file under `folder`, with its text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            found.push((path, text));
        }
    }
    found
}

fn assert_clean(secrets: &[(&str, String)], what: &str, text: &str) {
    for (name, secret) in secrets {
        assert!(!text.contains(secret.as_str()), "the {name} is in {what}");
    }
    for word in ["X-Amz-Signature", "X-Amz-Credential"] {
        assert!(!text.contains(word), "`{word}` is in {what}");
    }
}

/// Runs a whole life of a project and looks everywhere. `more` are arguments of every run.
fn nowhere(stage: &Stage, more: &[&str]) {
    let (mut project, linode, heroku) = overheard(stage);
    let arguments = record_arguments(&mut project);
    let hold = Hold::new(&project.path("."), "announce");
    let script = project.read("notify.sh").replacen('\n', &format!("\n{}\n", hold.words()), 1);
    project.script("notify.sh", &script);

    let mut said = Vec::new();
    let mut run = |arguments: &[&str]| {
        let ended = project.run(&[arguments, more].concat());
        said.push((arguments.join(" "), ended.text()));
        ended
    };
    run(&["plan", "--verbose"]).assert_code(0);
    // A failure first: what goes wrong is where secrets like to turn up.
    stage.faults(serde_json::json!({ "fail_next_restore": "no space left" }));
    let running = project.spawn(&[&["apply", "--auto-approve", "--verbose"], more].concat());
    until("the announcement", || hold.is_reached());
    let journal = project.path("pgferry.state.json.journal");
    fs::hard_link(&journal, project.path("journal-of-a-failure")).unwrap();
    hold.let_go();
    let failed = running.end();
    failed.assert_code(1);
    project.script("notify.sh", "#!/bin/sh\n");
    let applied = project.run(&[&["apply", "--auto-approve", "--verbose"], more].concat());
    applied.assert_code(0);
    for arguments in [
        &["plan", "--verbose"][..],
        &["preflight"],
        &["show"],
        &["state", "list"],
        &["state", "show", "dump"],
        &["output"],
        &["validate"],
    ] {
        run(arguments).assert_code(0);
    }
    project.label("night-2");
    run(&["plan", "--verbose"]).assert_code(0);
    said.push(("the apply that failed".to_owned(), failed.text()));
    said.push(("the apply that succeeded".to_owned(), applied.text()));

    let secrets = secrets(stage, &linode, &heroku);
    for (what, text) in &said {
        assert_clean(&secrets, &format!("what `{what}` said"), text);
    }
    let files = files(&project.path("."));
    for name in [
        "pgferry.state.json",
        "pgferry.state.json.backup",
        "journal-of-a-failure",
        "pgferry.state.json.lock",
    ] {
        assert!(files.iter().any(|(path, _)| path.ends_with(name)), "`{name}` was written");
    }
    for (path, text) in &files {
        assert_clean(&secrets, &path.display().to_string(), text);
    }
    let recorded = fs::read_to_string(arguments).unwrap();
    for program in ["pg_dump\n", "psql\n", "notify.sh\n", "smoke-test.sh\n"] {
        assert!(recorded.contains(program), "{program} was called:\n{recorded}");
    }
    // The other way round: the one command that is asked for a secret tells it.
    let revealed = project.run(&["output", "--reveal", "database_url"]);
    assert_eq!(revealed.stdout.trim(), stage.target_url());
}

#[test]
fn nowhere_in_what_is_written_said_or_called() {
    nowhere(&Stage::start(&QUICK), &[]);
}

#[test]
fn nowhere_in_what_is_written_said_or_called_as_json() {
    let stage = Stage::start(&QUICK);
    nowhere(&stage, &["--json"]);
}

#[test]
fn the_state_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    let hold = Hold::new(&project.path("."), "announce");
    let script = project.read("notify.sh").replacen('\n', &format!("\n{}\n", hold.words()), 1);
    project.script("notify.sh", &script);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the announcement", || hold.is_reached());
    let mode = |name: &str| fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("pgferry.state.json.journal"), 0o600);
    hold.let_go();
    running.end().assert_code(0);
    project.label("night-2");
    project.apply();
    for name in ["pgferry.state.json", "pgferry.state.json.backup", "pgferry.state.json.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    let state: Value = project.state();
    assert_eq!(state["name"], "acme-to-heroku");
}

/// A password that is the same as the app's name, and one as the database's: both are stored as they are, so that the
/// next plan finds what was made, and a destroy destroys it.
#[test]
fn a_password_that_is_also_a_name_corrupts_nothing() {
    let stage = Stage::start(&QUICK);
    let mut project = Project::new(&stage);
    let variables = "variables:\n  pin: { sensitive: true }\n  code: { sensitive: true }\n";
    project.edit("variables:\n", variables);
    let command = "    command: [./notify.sh, \"migration starts\"]\n";
    let env = format!("{command}    env: {{ PIN: \"${{var.pin}}\", CODE: \"${{var.code}}\" }}\n");
    project.edit(command, &env);
    project.set("PGFERRY_VAR_pin", APP);
    project.set("PGFERRY_VAR_code", "acme_org_db");
    project.run(&["plan", "--out", "night.plan"]).assert_code(0);
    let plan: Value = serde_json::from_str(&project.read("night.plan")).unwrap();
    assert_eq!(plan["values"]["app"]["after"]["name"], APP);
    assert!(plan["spec"].as_str().unwrap().contains(APP), "the spec is in it as it is");
    project.run(&["apply", "night.plan"]).assert_code(0);
    let state = project.state();
    assert_eq!(state["resources"]["app"]["attrs"]["name"], APP);
    assert_eq!(state["resources"]["source"]["attrs"]["database"], "acme_org_db");
    project.assert_nothing_to_do("with a password that is also a name");
    let target = state["resources"]["target"]["attrs"]["name"].as_str().unwrap().to_owned();
    // `acme-web` lets go of it first.
    for attached in stage.look("/apps/acme-web/addon-attachments").as_array().unwrap() {
        let path = format!("/addon-attachments/{}", attached["id"].as_str().unwrap());
        stage.heroku(Method::DELETE, &path, &Value::Null);
    }
    let (app, target) = (format!("app={APP}"), format!("target={target}"));
    let confirmed = ["destroy", "--auto-approve", "--confirm", &app, "--confirm", &target];
    project.run(&confirmed).assert_code(0);
    let left = stage.left();
    assert_eq!(left["addons"], serde_json::json!([]), "{left}");
    assert_eq!(left["apps"], serde_json::json!(["acme-web"]), "{left}");
}
