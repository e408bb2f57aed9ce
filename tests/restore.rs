//! `examples/postgres-by-bucket` between two servers: killed and stopped in the middle of the restore, done, proved; and
//! what somebody has written since is not replaced.

#![allow(clippy::unwrap_used, reason = "a test")]

mod stage;

use rustix::process::Signal;
use stage::project::Project;
use stage::{QUICK, Stage, psql, until};

/// An index that takes for ever to make on a server with a database `held`, which the source's server has not.
const SLOW: &str = "create function public.held(text) returns text language plpgsql immutable as
    'begin if exists (select from pg_catalog.pg_database where datname = ''held'') then
       perform pg_catalog.pg_sleep(3600); end if; return $1; end';
    create table public.slow (a text); insert into public.slow values ('a');
    create index on public.slow (public.held(a))";

/// Applies, and sends `signal` while an index is made at `into`.
fn cut_short(project: &Project, into: &Stage, signal: Signal) -> stage::project::Ended {
    into.source("create database held");
    let begun = into.source("select clock_timestamp()");
    let mut running = project.spawn(&["apply", "--auto-approve"]);
    // Not the session that a killed one has left.
    let waiting = format!(
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep'
         and application_name like 'pgferry-% restore' and backend_start > '{begun}'"
    );
    until("an index is being made", || {
        assert!(running.is_alive(), "it did not wait:\n{}", running.said());
        into.source(&waiting) != "0"
    });
    running.signal(signal);
    let ended = running.end();
    into.source("drop database held");
    ended
}

#[test]
fn an_archive_into_another_server_through_kills_and_back_to_nothing_to_do() {
    let (from, into) = (Stage::start(&QUICK), Stage::start(&QUICK));
    from.source(SLOW);
    into.source("create database acme");
    let target = into.value("SOURCE_DATABASE_URL").replace("/acme_org_db?", "/acme?");
    let mut project = Project::of(&from, "postgres-by-bucket", &["pgferry.yaml"]);
    project.set("TARGET_DATABASE_URL", &target);
    let ours =
        "select count(*) from pg_stat_activity where application_name like 'pgferry-% restore'";

    cut_short(&project, &into, Signal::KILL).assert_killed("while an index was made");
    assert_ne!(into.source(ours), "0", "a server does not notice while it is busy");
    // The dump is there already; the restore begins anew.
    let ended = cut_short(&project, &into, Signal::INT);
    ended.assert_code(130);
    assert_eq!(into.source(ours), "0", "sessions after Ctrl-C");
    assert!(!ended.stdout.contains("dump: Running"), "{}", ended.stdout);

    let ended = project.apply();
    ended.assert_says(&["Apply complete! Resources: ", "not written to since"]);
    let sums = "select count(*), sum(balance), md5(string_agg(email, ',' order by id)) from public.accounts";
    assert_eq!(psql(&target, sums), from.source(sums));
    let state = project.read("pgferry.state.json");
    assert!(!state.contains("postgres://") && !state.contains("AVNS_"), "{state}");
    let again = project.run(&["plan", "--detailed-exitcode"]);
    again.assert_code(0);
    again.assert_says(&["No changes."]);

    psql(&target, "update billing.rates set rate = 0 where country = 'PL'");
    project.label("night-2");
    let refused = project.run(&["apply", "--auto-approve"]);
    refused.assert_code(1);
    refused.assert_says(&["error[PGF1201] restore: ", "--confirm target=acme"]);
    project.apply_with(&["--confirm", "target=acme"]);
    assert_eq!(psql(&target, "select rate from billing.rates where country = 'PL'"), "0.2300");
}
