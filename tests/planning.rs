//! A night in which somebody looks before acting: a limit that a restore exceeds, drift that is shown and taken down,
//! plans from memory, and an import. Against the sandbox.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use serde_json::json;
use stage::project::Project;
use stage::{APP, QUICK, Request, Stage, until};

/// Requests that change something.
fn writes(stage: &Stage) -> Vec<Request> {
    stage.log().into_iter().filter(|request| !request.line.starts_with("GET ")).collect()
}

#[test]
fn looking_before_acting() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    let confirm =
        "    confirm: psql-migration-from-linode       # the app whose database is overwritten\n";
    project.edit(confirm, &format!("{confirm}    timeouts: {{ create: 3s }}\n"));

    // A restore that takes longer than it may is left running, and the next apply takes it up.
    stage.faults(json!({ "hold_restore": true }));
    let ended = project.run(&["apply", "--auto-approve"]);
    ended.assert_code(1);
    ended.assert_says(&[
        "running `restore` did not end within 3s (`timeouts.create`) and was stopped",
        "if it needs longer: `timeouts: { create: … }` of `restore`",
        "Still running: restore",
        "`window` stays open",
    ]);
    assert!(stage.transfers()[0]["finished_at"].is_null(), "it goes on");
    stage.faults(json!({ "hold_restore": false }));
    until("the restore is over", || !stage.transfers()[0]["finished_at"].is_null());
    project.apply();
    assert_eq!(stage.left()["transfers"], 1, "no second transfer");
    stage.assert_settled("after the restore was settled");

    // Nothing has moved since.
    stage.forget();
    let look = project.run(&["plan", "--refresh-only", "--detailed-exitcode"]);
    look.assert_code(0);
    assert_eq!(look.stdout, "No changes. What is there is still what is remembered.\n");
    assert!(stage.log().len() > 3, "everything was looked at");

    // From memory, nobody is asked.
    stage.forget();
    project.run(&["plan", "--refresh=false", "--detailed-exitcode"]).assert_code(0);
    assert_eq!(stage.log(), []);

    // What somebody changes is shown, field by field, and taken down when asked for.
    let database = stage.target("select current_database()");
    stage.target(&format!("alter database \"{database}\" set statement_timeout = '7min'"));
    let look = project.run(&["plan", "--refresh-only", "--detailed-exitcode", "--out", "seen"]);
    look.assert_code(2);
    look.assert_says(&[
        "Note: Objects have changed outside of pgferry\n",
        "  # settings has changed\n  ~ settings: postgres.settings\n",
        "          - statement_timeout = \"5min\"\n          + statement_timeout = \"7min\"\n",
        "This is a refresh-only plan, so pgferry will not take any actions to undo these.",
    ]);
    project.run(&["plan", "--refresh=false", "--detailed-exitcode"]).assert_code(0);
    stage.forget();
    let applied = project.run(&["apply", "seen"]);
    applied.assert_code(0);
    applied.assert_says(&["Apply complete! Resources: 0 added, 0 changed, 0 destroyed."]);
    assert_eq!(writes(&stage), []);
    assert_eq!(stage.target("show statement_timeout"), "7min");
    project.run(&["plan", "--refresh-only", "--detailed-exitcode"]).assert_code(0);
    let plan = project.run(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.planned(), ["settings will be updated in-place"]);
    project.apply();
    project.assert_nothing_to_do("after the setting was put back");

    // What the state has lost is found again by its name, and what the spec says of it is shown.
    project.run(&["state", "rm", "app", "settings"]).assert_code(0);
    let import = project.run(&["import", "app", APP]);
    import.assert_code(0);
    import.assert_says(&[
        "    name = \"psql-migration-from-linode\"\n",
        "Import successful! `app` is in the state now.",
        "It is as the spec says: the next plan changes nothing of it.",
    ]);
    let again = project.run(&["import", "app", APP]);
    again.assert_code(1);
    again.assert_says(&["Error: `app` is in the state already"]);
    let strange = project.run(&["import", "settings", "nobody"]);
    strange.assert_code(1);
    let id = project.state()["resources"]["extensions"]["id"].as_str().unwrap().to_owned();
    strange.assert_says(&[&format!("`pgferry import 'settings' '{id}'`")]);
    project.run(&["import", "settings", &id]).assert_code(0);
    project.assert_nothing_to_do("after the imports");
}
