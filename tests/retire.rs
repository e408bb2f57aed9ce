//! After the night: proving again, and the end of the database that was left.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use stage::project::Project;
use stage::{QUICK, Stage};

fn instances(stage: &Stage) -> usize {
    let all = stage.linode(Method::GET, "/databases/postgresql/instances", &Value::Null);
    all["data"].as_array().unwrap().len()
}

/// As if the night had been long ago.
fn later(project: &Project) {
    let mut state = project.state();
    let ago = "2026-01-01T00:00:00Z";
    state["resources"]["cutover"]["cut_over"] = json!(ago);
    state["resources"]["verified"]["done"]["at"] = json!(ago);
    fs::write(project.path("pgferry.state.json"), state.to_string()).unwrap();
}

#[test]
fn the_source_goes_a_week_after_its_cutover_by_its_name_and_not_before() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    let early = project.run(&["retire", "source", "--confirm", "acme-prod"]);
    early.assert_code(1);
    early.assert_says(&["nothing is remembered of `source`"]);
    project.apply();

    let equal = project.run(&["verify"]);
    equal.assert_code(0);
    for line in ["verified:\n", "public.accounts", "  equal", "Verified: verified."] {
        assert!(equal.stdout.contains(line), "{line} in {}", equal.stdout);
    }
    stage.target("update public.accounts set balance = balance + 1 where id = 1");
    let differs = project.run(&["verify"]);
    differs.assert_code(1);
    assert!(differs.stdout.contains("CONTENTS DIFFER"), "{}", differs.stdout);
    differs.assert_says(&["`target` is not what `source` is: "]);
    project.assert_nothing_to_do("after verifying again");

    let soon = project.run(&["retire", "source", "--confirm", "acme-prod"]);
    soon.assert_code(1);
    soon.assert_says(&["`source` was cut over from at ", "it is the way back"]);
    later(&project);
    let unnamed = project.run(&["retire", "source"]);
    unnamed.assert_code(1);
    unnamed.assert_says(&["nothing was deleted", "pgferry retire source --confirm NAME"]);
    let misnamed = project.run(&["retire", "source", "--confirm", "acme"]);
    misnamed.assert_code(1);
    misnamed.assert_says(&["is not labelled `acme`, and was not touched"]);
    let other = project.run(&["retire", "target", "--confirm", "target"]);
    other.assert_says(&["`target` is no database that the spec looks up"]);

    // Somebody went back: the source is in use.
    let (read, back) =
        (stage.target_url(), json!({ "DATABASE_URL": stage.value("SOURCE_DATABASE_URL") }));
    let cutover = stage.look("/apps/acme-web/addon-attachments/DATABASE");
    let path = format!("/addon-attachments/{}", cutover["id"].as_str().unwrap());
    stage.heroku(Method::DELETE, &path, &Value::Null);
    stage.heroku(Method::PATCH, "/apps/acme-web/config-vars", &back);
    let used = project.run(&["retire", "source", "--confirm", "acme-prod"]);
    used.assert_code(1);
    used.assert_says(&["`cutover` is not as it was when `source` was cut over from"]);
    assert_eq!(instances(&stage), 1);
    project.apply();
    assert_eq!(stage.config("acme-web")["DATABASE_URL"], json!(read));
    project.run(&["retire", "source", "--confirm", "acme-prod"]).assert_code(1);

    later(&project);
    let retired = project.run(&["retire", "source", "--confirm", "acme-prod"]);
    retired.assert_code(0);
    retired.assert_says(&["source: Destruction complete", "Retired: source."]);
    assert_eq!(instances(&stage), 0);
    project.assert_nothing_to_do("after the source was retired");
    let again = project.run(&["retire", "source", "--confirm", "acme-prod"]);
    again.assert_code(1);
    again.assert_says(&["`source` was retired already"]);
    project.label("night-2");
    project.run(&["plan"]).assert_says(&["error[PGF0202] source: `source` was retired"]);
}
