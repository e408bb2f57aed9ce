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
        from.source(SLOW);
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

/// An index that takes for ever to make on a server with a database `held`, which the source's server has not.
const SLOW: &str = "create function public.held(text) returns text language plpgsql immutable as
    'begin if exists (select from pg_catalog.pg_database where datname = ''held'') then
       perform pg_catalog.pg_sleep(3600); end if; return $1; end';
    create table public.slow (a text); insert into public.slow values ('a');
    create index on public.slow (public.held(a))";

impl Ends {
    /// Applies, and sends `signal` while an index is made at the target.
    fn cut_short(&self, signal: Signal) -> stage::project::Ended {
        self.into.source("create database held");
        let begun = self.into.source("select clock_timestamp()");
        let mut running = self.project.spawn(&["apply", "--auto-approve"]);
        // Not the session that a killed one has left.
        let waiting = format!(
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep'
             and application_name like 'pgferry-% copy' and backend_start > '{begun}'"
        );
        until("an index is being made", || {
            assert!(running.is_alive(), "it did not wait:\n{}", running.said());
            self.into.source(&waiting) != "0"
        });
        running.signal(signal);
        let ended = running.end();
        self.into.source("drop database held");
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
    // How many bytes a database takes on disk is not the same twice.
    let sized = |line: &str| match line.split_once(" MB; how long") {
        Some((_, rest)) => format!("  # 60 MB; how long{rest}"),
        None => line.to_owned(),
    };
    let shown: String = shown.lines().map(|line| format!("{}\n", sized(line))).collect();
    let mut expected = Expected::default();
    expected.compare("examples/postgres-to-postgres/plan.txt", &format!("{shown}{summary}"));
    expected.settle("cargo test --test copy");

    ends.cut_short(Signal::KILL).assert_killed("while an index was made");
    assert_ne!(ends.sessions(), "0", "a server does not notice while it is busy");
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
    ends.ask("update billing.rates set rate = 0 where country = 'IT'");
    project.label("night-3");
    let refused = project.run(&["apply", "--auto-approve"]);
    refused.assert_code(1);
    refused.assert_says(&["error[PGF1201] copy: ", "--confirm target=acme"]);
    project.apply_with(&["--confirm", "target=acme"]);
    assert_eq!(ends.ask("select rate from billing.rates where country = 'IT'"), "0.2200");
    project.run(&["plan", "--detailed-exitcode"]).assert_code(0);

    // Dropped and made again under the same name, it is another database.
    ends.into.source("drop database acme");
    ends.into.source("create database acme");
    let other = project.run(&["plan", "--detailed-exitcode"]);
    other.assert_code(2);
    other.assert_says(&["`target` is another database than the one that was filled at 20"]);
    project.apply();
    assert_eq!(ends.ask("select rate from billing.rates where country = 'IT'"), "0.2200");
}
