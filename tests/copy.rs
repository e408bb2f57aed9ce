//! `examples/postgres-to-postgres` between two servers: killed and stopped in the middle, done, proved, done again.

#![allow(clippy::unwrap_used, reason = "a test")]

mod expected;
mod stage;

use expected::Expected;
use rustix::process::Signal;
use stage::project::Project;
use stage::{QUICK, Stage, psql, until};

/// A second server, the target's, and the example between both.
struct Ends {
    from: Stage,
    into: Stage,
    project: Project,
    target: String,
}

impl Ends {
    fn new() -> Self {
        let (from, into) = (Stage::start(&QUICK), Stage::start(&QUICK));
        into.source("create database acme");
        let target = into.value("SOURCE_DATABASE_URL").replace("/acme_org_db?", "/acme?");
        let mut project = Project::of(&from, "postgres-to-postgres", &["pgferry.yaml"]);
        project.set("TARGET_DATABASE_URL", &target);
        Self { from, into, project, target }
    }

    fn ask(&self, query: &str) -> String {
        psql(&self.target, query)
    }

    /// Sessions of copies at the target's server.
    fn sessions(&self) -> String {
        self.into.source(
            "select count(*) from pg_stat_activity where application_name like 'pgferry-% copy'",
        )
    }
}

/// Keeps the target's table locked until dropped, so that a copy waits in the middle.
struct Held(std::process::Child);

impl Held {
    fn new(url: &str) -> Self {
        let place = url::Url::parse(url).unwrap();
        let wait = "set client_min_messages = error;
            do $$ begin
              while to_regclass('public.accounts') is null loop perform pg_sleep(0.002); end loop;
            end $$;
            begin; lock table public.accounts in access exclusive mode; select pg_sleep(600)";
        let child = std::process::Command::new("psql")
            .args(["-X", "-q", "-c", wait])
            .env("PGHOST", place.host_str().unwrap())
            .env("PGPORT", place.port().unwrap().to_string())
            .env("PGUSER", place.username())
            .env("PGPASSWORD", place.password().unwrap())
            .env("PGDATABASE", place.path().trim_start_matches('/'))
            .env("PGSSLMODE", "require")
            .env("PGAPPNAME", "holder")
            .stdout(std::process::Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Ends {
    /// Applies, and sends `signal` while rows are waiting at the target.
    fn cut_short(&self, signal: Signal) -> stage::project::Ended {
        let held = Held::new(&self.target);
        let running = self.project.spawn(&["apply", "--auto-approve"]);
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'
            and application_name like 'pgferry-% copy'";
        until("the copy waits", || self.into.source(waiting) != "0");
        running.signal(signal);
        let ended = running.end();
        let holder = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'holder'";
        self.into.source(holder);
        drop(held);
        ended
    }
}

#[test]
fn one_server_into_another_through_kills_and_back_to_nothing_to_do() {
    let ends = Ends::new();
    let project = &ends.project;
    let plan = project.run(&["plan"]);
    plan.assert_code(0);
    let (shown, after) = plan.stdout.split_once("Findings:\n").unwrap();
    let summary = after.split_once("\n\n").unwrap().1;
    let mut expected = Expected::default();
    expected.compare("examples/postgres-to-postgres/plan.txt", &format!("{shown}{summary}"));
    expected.settle("cargo test --test copy");

    ends.cut_short(Signal::KILL).assert_killed("while rows moved");
    let ended = ends.cut_short(Signal::INT);
    ended.assert_code(130);
    assert_eq!(ends.sessions(), "0", "sessions after Ctrl-C");

    let ended = project.apply();
    ended.assert_says(&[
        "Apply complete! Resources: 3 added, 0 changed, 0 destroyed.",
        "not written to since",
    ]);
    let sums = "select count(*), sum(balance), md5(string_agg(email, ',' order by id)) from public.accounts";
    assert_eq!(ends.ask(sums), ends.from.source(sums));
    assert_eq!(ends.sessions(), "0");
    let state = project.read("pgferry.state.json");
    assert!(!state.contains("postgres://") && !state.contains("AVNS_"), "{state}");
    let again = project.run(&["plan", "--detailed-exitcode"]);
    again.assert_code(0);
    again.assert_says(&["No changes."]);

    // Another night: what is there is ours. What somebody wrote is not.
    project.run(&["release"]).assert_code(0);
    ends.from.source("insert into billing.rates values ('IT', '2026-01-01', 0.22)");
    project.label("night-2");
    project.apply();
    assert_eq!(ends.ask("select rate from billing.rates where country = 'IT'"), "0.2200");
    ends.ask("delete from billing.rates where country = 'IT'");
    project.label("night-3");
    let refused = project.run(&["apply", "--auto-approve"]);
    refused.assert_code(1);
    refused.assert_says(&["error[PGF1201] copy: ", "--confirm target=acme"]);
    project.apply_with(&["--confirm", "target=acme"]);
    assert_eq!(ends.ask("select rate from billing.rates where country = 'IT'"), "0.2200");
}
