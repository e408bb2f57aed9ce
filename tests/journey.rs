//! The whole journey of `examples/linode-to-heroku`, from nothing to a cutover and everything that may come after it.
//!
//! Tried on the built binary against a sandbox: real servers, a real dump, a real restore.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use reqwest::Method;
use serde_json::{Value, json};
use stage::programs::{Hold, hold_dump};
use stage::project::{Ended, Project};
use stage::{APP, BUCKET, QUICK, Request, Stage, until};

#[test]
fn from_nothing_to_the_cutover_and_then_nothing() {
    let stage = Stage::start(&QUICK);
    let mut project = Project::new(&stage);
    let ended = applied_under_watch(&stage, &mut project);
    ended.assert_code(0);
    ended.assert_says(&["Apply complete! Resources: 11 added, 0 changed, 0 destroyed."]);
    in_order(&ended.stderr, &stage.log());
    stage.assert_settled("after the first apply");
    assert_eq!(stage.left()["transfers"], 1);
    every_table_is_listed(&stage, &ended);
    the_target_is_like_the_source(&stage);
    the_target_is_fast_on_its_first_day(&stage);

    let again = project.apply();
    again.assert_says(&[
        "No changes.",
        "Apply complete! Resources: 0 added, 0 changed, 0 destroyed.",
    ]);
    project.assert_nothing_to_do("after a second apply");
    stage.source("insert into billing.rates values ('IT', '2026-01-01', 0.22)");
    project.assert_nothing_to_do("after the source was written to");
    stage.empty_bucket();
    project.assert_nothing_to_do("after the bucket was emptied");
    plans_of_another_size(&project);
    let instances = stage.linode(Method::GET, "/databases/postgresql/instances", &Value::Null);
    let path = format!("/databases/postgresql/instances/{}", instances["data"][0]["id"]);
    stage.linode(Method::DELETE, &path, &Value::Null);
    project.assert_nothing_to_do("after the Linode instance is gone");
    project.apply().assert_says(&["No changes."]);
}

/// Applies, and looks at `acme-web` while the dump is half-way and while the smoke test runs.
fn applied_under_watch(stage: &Stage, project: &mut Project) -> Ended {
    let dump = hold_dump(project, 10_000);
    let smoke = Hold::new(&project.path("held-bin"), "smoke");
    let script = project.read("smoke-test.sh").replacen('\n', &format!("\n{}\n", smoke.words()), 1);
    project.script("smoke-test.sh", &script);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the dump begins", || dump.is_reached());
    assert_eq!(stage.acme_web(), (true, 0), "maintenance and workers during the dump");
    let left = stage.left();
    assert_eq!(left["addons"].as_array().map(Vec::len), Some(1), "provisioned before: {left}");
    assert_eq!(left["keys"].as_array().map(Vec::len), Some(1), "{left}");
    let read = stage.config("acme-web")["DATABASE_URL"].clone();
    assert_eq!(read, json!(stage.value("SOURCE_DATABASE_URL")), "no cutover yet");
    dump.let_go();
    until("the smoke test begins", || smoke.is_reached());
    assert_eq!(stage.acme_web(), (true, 0), "maintenance and workers during the smoke test");
    assert_eq!(stage.left()["keys"], json!([]), "the key is revoked after its last use");
    smoke.let_go();
    running.end()
}

/// What began when: by what was said, and by the requests that came in.
fn in_order(said: &str, log: &[Request]) {
    let line = |text: &str| {
        let found = said.lines().position(|line| line.starts_with(text));
        found.unwrap_or_else(|| panic!("no `{text}` in:\n{said}"))
    };
    for (before, after) in [
        ("app: Creation complete", "target: Creating"),
        ("target: Creation complete", "extensions: Creating"),
        ("bucket: Creation complete", "key: Opening"),
        ("extensions: Creation complete", "announce: Running"),
        ("announce: Run complete", "window: Opening"),
        ("key: Opening complete", "window: Opening"),
        ("window: Opening complete", "dump: Running"),
        ("dump: Run complete", "restore: Running"),
        ("restore: Run complete", "settings: Creating"),
        ("restore: Run complete", "key: Closing"),
        ("settings: Creation complete", "verified: Running"),
        ("verified: Run complete", "cutover: Creating"),
        ("cutover: Creation complete", "smoke: Running"),
        ("smoke: Run complete", "window: Closing"),
    ] {
        assert!(line(before) < line(after), "`{before}` comes before `{after}` in:\n{said}");
    }
    let first = |text: &str| log.iter().position(|request| request.line == text);
    let last = |text: &str| log.iter().rposition(|request| request.line == text);
    // The window names its app by the id, which no other request changes.
    let switched =
        |line: &str| line.strip_prefix("PATCH /apps/").is_some_and(|app| !app.contains('/'));
    let upload = format!("POST /{BUCKET}/data-for-migration.dump");
    let order = [
        ("the add-on is asked for", first(&format!("POST /apps/{APP}/addons"))),
        ("the window opens", log.iter().position(|request| switched(&request.line))),
        ("the upload begins", first(&upload)),
        ("the upload is complete", last(&upload)),
        ("the app is cut over", first("POST /addon-attachments")),
        ("the window closes", log.iter().rposition(|request| switched(&request.line))),
    ];
    assert!(order.iter().all(|(_, at)| at.is_some()), "{order:?}");
    assert!(order.is_sorted_by_key(|(_, at)| *at), "{order:?}");
    let revoked = log.iter().filter(|r| r.line.starts_with("DELETE /v4/object-storage/keys/"));
    assert_eq!(revoked.count(), 1);
}

fn every_table_is_listed(stage: &Stage, ended: &Ended) {
    let tables = stage.source(
        "select nspname || '.' || relname, reltuples from pg_class join pg_namespace n on n.oid = relnamespace
         where relkind in ('r', 'm') and nspname !~ '^pg_' and nspname <> 'information_schema' order by 1",
    );
    assert!(tables.lines().count() > 20, "{tables}");
    for line in tables.lines() {
        let name = line.split('|').next().unwrap();
        // A materialized view without data has nothing to be compared.
        if name == "billing.next_year" {
            continue;
        }
        let head = format!("verified: {name} ");
        let listed = ended.stderr.lines().map(|line| line.replace('"', ""));
        let equal = listed.filter(|line| line.starts_with(&head) && line.ends_with("  equal"));
        assert_eq!(
            equal.count(),
            1,
            "`{name}` in the table of the verification:\n{}",
            ended.stderr
        );
    }
}

/// Every table with rows has statistics, and so has every view that was filled; nothing of it shows in the log.
fn the_target_is_fast_on_its_first_day(stage: &Stage) {
    let without = stage.target(
        "select c.oid::regclass from pg_class c join pg_namespace n on n.oid = relnamespace
         where relkind in ('r', 'm') and nspname !~ '^pg_' and nspname <> 'information_schema'
           and pg_relation_size(c.oid) > 0
           and not exists (select from pg_stats s where (s.schemaname, s.tablename) = (nspname, relname))",
    );
    assert_eq!(without, "");
    let uuid = stage.transfers()[0]["uuid"].as_str().unwrap().to_owned();
    let path = format!("/client/v11/apps/{APP}/transfers/{uuid}?verbose=true");
    let log = stage.look(&path)["logs"].to_string();
    assert!(log.contains("creating PGFERRY \\\"statistics\\\""), "{log}");
    assert!(!log.contains("WARNING") && !log.contains("COMMENT \\\"EXTENSION"), "{log}");
}

fn the_target_is_like_the_source(stage: &Stage) {
    for query in [
        "select extname, nspname from pg_extension join pg_namespace n on n.oid = extnamespace order by 1",
        // Heroku lists what may be installed in a setting of each database's.
        "select lower(split_part(s, '=', 1)), split_part(s, '=', 2) from pg_db_role_setting, unnest(setconfig) s
         where setrole = 0 and s !~ '^rds[.]' and setdatabase = (select oid from pg_database where datname = current_database()) order by 1",
        "select schemaname, sequencename, last_value, start_value, increment_by, cycle from pg_sequences order by 1, 2",
        "select oid, md5(lo_get(oid)) from pg_largeobject_metadata order by 1",
        "select count(*), sum(balance), md5(string_agg(name || email, ',' order by id)) from public.accounts",
        "show timezone",
    ] {
        let (source, target) = (stage.source(query), stage.target(query));
        assert!(!source.is_empty(), "{query}");
        assert_eq!(source, target, "{query}");
    }
}

fn plans_of_another_size(project: &Project) {
    let larger = project.run(&["plan", "--detailed-exitcode", "--var", "plan=essential-2"]);
    larger.assert_code(2);
    assert_eq!(larger.planned(), ["target will be updated in-place"]);
    larger.assert_says(&[
        "\"heroku-postgresql:essential-1\" -> \"heroku-postgresql:essential-2\"",
        "Plan: 0 to add, 1 to change, 0 to destroy.",
    ]);
    let other = project.run(&["plan", "--var", "plan=standard-0"]);
    other.assert_code(1);
    other.assert_says(&[
        "error[PGF1503] target: `essential-1` cannot become `standard-0` in place: they are of different tiers",
        "help: declare a second `heroku.addon` with the new plan",
    ]);
}

/// The headlines of a plan that moves the data again.
const RUNS: [&str; 5] = [
    "announce will be run",
    "dump will be run",
    "restore will be run",
    "smoke will be run",
    "verified will be run",
];

#[test]
fn the_data_is_moved_again_by_a_new_label_only_and_hand_made_rows_are_not_lost() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    project.apply();
    stage.source("insert into billing.rates values ('IT', '2026-01-01', 0.22)");

    project.label("night-2");
    let plan = project.run(&["plan", "--detailed-exitcode"]);
    plan.assert_code(2);
    assert_eq!(plan.planned(), RUNS);
    plan.assert_says(&[
        "# (`run` is now `night-2`)",
        "Plan: 5 to add, 0 to change, 0 to destroy.",
        "Scopes: 2 to open and close.",
    ]);
    it_tells_how_long_it_will_take(&project, &plan);
    project.apply();
    project.assert_nothing_to_do("after night-2");
    stage.assert_settled("after night-2");
    assert_eq!(stage.target("select rate from billing.rates where country = 'IT'"), "0.2200");

    stage.target("insert into billing.rates values ('ES', '2026-01-01', 0.21)");
    project.assert_nothing_to_do("after a row was written to the target");
    project.label("night-3");
    let refused = project.run(&["apply", "--auto-approve"]);
    refused.assert_code(1);
    refused.assert_says(&["error[PGF1201] restore: ", "--confirm target="]);
    assert_eq!(stage.target("select rate from billing.rates where country = 'ES'"), "0.2100");
    assert_eq!(stage.left()["transfers"], 2, "nothing was restored");
    assert_eq!(stage.acme_web(), (false, 2), "no window was opened");
    let name = stage.left()["addons"][0].as_str().unwrap().to_owned();
    let other = project.run(&["plan", "--confirm", "target=postgresql-other-12345"]);
    other.assert_code(1);
    project.apply_with(&["--confirm", &format!("target={name}")]);
    project.assert_nothing_to_do("after night-3");
    assert_eq!(stage.target("select count(*) from billing.rates where country = 'ES'"), "0");
}

/// By the night before: each run, and the window by the chain under it.
fn it_tells_how_long_it_will_take(project: &Project, plan: &Ended) {
    let opens = "window (heroku.maintenance) opens and closes; open for about ";
    let window = plan.stdout.lines().find_map(|line| line.trim().strip_prefix(opens)).unwrap();
    assert!(window.ends_with(" (dump, restore, verified, smoke)"), "{window}");
    let dump = plan.stdout.split_once("# dump will be run\n").unwrap().1;
    let dump = dump.lines().find(|line| line.starts_with("  # about ")).unwrap();
    let done_at = project.state()["resources"]["dump"]["pace"]["at"].as_str().unwrap().to_owned();
    assert!(dump.contains(" MB at "), "{dump}");
    assert!(dump.ends_with(&format!("/s, as on {})", &done_at[..10])), "{dump}");

    let saved = project.run(&["plan", "--out", "night-2.plan"]);
    saved.assert_code(0);
    let shown = project.run(&["show", "--json", "night-2.plan"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let expected = &shown["expected"];
    let seconds = |address: &str| expected[address]["seconds"].as_u64().unwrap();
    let path = ["dump", "restore", "verified", "smoke"];
    assert_eq!(expected["window"]["path"], json!(path), "{expected}");
    assert_eq!(seconds("window"), path.iter().map(|run| seconds(run)).sum::<u64>(), "{expected}");
    assert!(expected["dump"]["bytes"].as_u64() > Some(10_000_000), "{expected}");
    assert_eq!(expected["dump"]["as_on"], json!(done_at));
    assert_eq!(expected.get("key"), None, "a key is no window");
}

#[test]
fn an_app_deleted_behind_its_back_is_not_quietly_made_anew() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    project.apply();
    stage.heroku(Method::DELETE, &format!("/apps/{APP}"), &Value::Null);
    let plan = project.run(&["plan"]);
    plan.assert_code(1);
    plan.assert_says(&[
        "  # app has been deleted",
        "  # target has been deleted",
        "  # app will be created\n  # (absent in reality)",
        "  # target will be created",
        "error[PGF0204] target: `target` is gone, and with it what was done to it:",
        "change `run:` (now `night-1`)",
    ]);
    project.label("night-2");
    project.apply();
    stage.assert_settled("after the app was made anew");
    project.assert_nothing_to_do("after the app was made anew");
}
