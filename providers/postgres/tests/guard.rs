//! What a run may take away on its target, and what it may not: as a superuser, and as an ordinary role that owns the
//! database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod own;
mod stage;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{AnyResource, Change, Done, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::target::{Emptying, Known, Look, Occupancy, judge_occupancy, occupancy};
use serde_json::{Value as Json, json};

use own::{OWNER, Own, SUPERUSER};
use stage::{change, spec};

const SOURCE: &str = "
create schema app; create table app.t (id serial primary key, v text); insert into app.t (v) values ('a'), ('b');
create type app.mood as enum ('sad'); create function app.f() returns int language sql as 'select 1';
create collation app.c (locale = 'C'); create text search configuration app.ts (copy = english);
create table public.keep (id int); insert into public.keep values (1)";

/// By the role itself.
const PREPARED: &str = "
create schema app; grant usage on schema app to reader; create schema prep; grant all on schema prep to reader;
alter default privileges in schema prep grant select on tables to reader;
alter default privileges in schema app grant select on tables to reader;
create collation prep.c (locale = 'C'); create text search configuration prep.ts (copy = english);
create conversion prep.cv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8";

/// By the superuser, for `OWNER` where there can be an owner.
const PREPARED_BY_SUPERUSER: &str = "
create foreign data wrapper w; create server s foreign data wrapper w options (host 'h');
create user mapping for reader server s; create trusted language prepared handler plpgsql_call_handler;
create function public.hears() returns event_trigger language plpgsql as 'begin end';
create event trigger hears on ddl_command_end when tag in ('CREATE CAST') execute function public.hears()";

/// All that was prepared, with its rights.
const LISTED: &str = "
select string_agg(line, E'\\n' order by line) from (
  select format('schema %s %s', nspname, nspacl) from pg_namespace where nspname in ('app', 'prep')
  union all select format('default %s %s', defaclnamespace::regnamespace, defaclacl) from pg_default_acl
  union all select format('server %s %s', srvname, srvoptions) from pg_foreign_server
  union all select format('wrapper %s', fdwname) from pg_foreign_data_wrapper
  union all select format('mapping %s %s', srvname, usename) from pg_user_mappings
  union all select format('language %s', lanname) from pg_language where oid >= 16384
  union all select format('collation %s', oid::regcollation) from pg_collation where collnamespace = 'prep'::regnamespace
  union all select format('search %s', cfgname) from pg_ts_config where cfgnamespace = 'prep'::regnamespace
  union all select format('conversion %s', conname) from pg_conversion where connamespace = 'prep'::regnamespace
  union all select format('trigger %s', evtname) from pg_event_trigger) as all_of_it (line)";

fn wanted(server: &Own, role: &str) -> Tree {
    spec(vec![
        ("from", server.handle("source", role)),
        ("into", server.handle("target", role)),
        ("confirm", Tree::text("target")),
        ("jobs", Tree::from_json(&json!(2))),
    ])
}

async fn copy(cx: &Cx, change: Change<Tree>) -> Result<Done<Tree>, Fault> {
    AnyResource::act(&Copy, cx, change).await
}

fn remembered(done: &Done<Tree>) -> Remembered {
    let inputs = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
    stage::filled::remembered(done, inputs)
}

/// A server with a source that `OWNER` owns, and a target that `role` does.
async fn server(role: &str) -> Own {
    let server = Own::start(&[]);
    let create = format!("create role {OWNER} login; create role reader");
    server.run("postgres", SUPERUSER, &create).await;
    server.run("postgres", SUPERUSER, &format!("create database source owner {OWNER}")).await;
    server.run("postgres", SUPERUSER, &format!("create database target owner {role}")).await;
    server.run("target", SUPERUSER, &format!("grant all on schema public to {OWNER}")).await;
    server.run("source", SUPERUSER, &format!("grant all on schema public to {OWNER}")).await;
    server.run("source", OWNER, SOURCE).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_survives_and_what_appears_later_is_refused_by_name() {
    for role in [SUPERUSER, OWNER] {
        let server = server(role).await;
        server.run("target", role, PREPARED).await;
        server.run("target", SUPERUSER, PREPARED_BY_SUPERUSER).await;
        let give = format!(
            "grant usage on foreign data wrapper w to {OWNER}; alter server s owner to {OWNER}"
        );
        server.run("target", SUPERUSER, &give).await;
        let listed = async || server.text("target", LISTED).await;
        let prepared = listed().await;
        assert!(prepared.contains("server s") && prepared.contains("mapping s"), "{prepared}");

        let cx = server.cx("copy");
        let first = copy(&cx, change(wanted(&server, role))).await.map_err(|f| f.chain()).unwrap();
        assert_eq!(listed().await, prepared, "{role}: the first night");
        let night = async |before: &Remembered, confirmed: &[(&str, &str)]| {
            let confirmed =
                confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let before = Some(before.clone());
            copy(&cx, Change { before, confirmed, ..change(wanted(&server, role)) }).await
        };
        let second = night(&remembered(&first), &[]).await.map_err(|f| f.chain()).unwrap();
        assert_eq!(listed().await, prepared, "{role}: the second night");
        assert_eq!(server.text("target", "select count(*)::text from app.t").await, "2");

        // What appears later is nobody's of ours.
        let before = remembered(&second);
        for (made, named) in [
            ("create schema theirs", "schema theirs"),
            ("create server theirs foreign data wrapper w", "server theirs"),
            (
                "create user mapping for current_user server s",
                &format!("user mapping {role} on server s"),
            ),
            ("create collation app.theirs (locale = 'C')", "collation app.theirs"),
            (
                "create text search configuration app.theirs (copy = english)",
                "text search configuration app.theirs",
            ),
            (
                "create function app.theirs() returns int language sql as 'select 2'",
                "function app.theirs()",
            ),
            ("create table app.theirs ()", "table app.theirs"),
        ] {
            let made_by = server.session("target", role).await;
            made_by.batch_execute(&format!("begin; {made}; commit")).await.unwrap();
            let fault = night(&before, &[]).await.unwrap_err();
            assert_eq!(fault.class, Class::Conflict, "{role}, {made}: {}", fault.chain());
            assert!(fault.message.contains(&format!("`{named}`")), "{made}: {}", fault.message);
            let drop = format!(
                "drop {}",
                named
                    .replace("user mapping ", "user mapping for ")
                    .replace(" on server", " server")
            );
            made_by.batch_execute(&drop).await.unwrap();
        }
        server.run("target", role, "create schema theirs; create table app.theirs ()").await;
        let third = night(&before, &[("target", "target")]).await.map_err(|f| f.chain()).unwrap();
        assert_eq!(listed().await, prepared, "{role}: confirmed");
        let theirs = "select count(*)::text from pg_namespace where nspname = 'theirs'";
        assert_eq!(server.text("target", theirs).await, "0");
        night(&remembered(&third), &[]).await.map_err(|f| f.chain()).unwrap();

        // Cut short, what is there is ours only as far as the source has it.
        let prior = stage::filled::prior(&cx, server.noted_cut_short());
        let again = || {
            let (prior, before) = (Some(prior.clone()), Some(remembered(&third)));
            Change { prior, before, ..change(wanted(&server, role)) }
        };
        server.run("target", role, "create table app.theirs (); create schema theirs").await;
        let fault = copy(&cx, again()).await.unwrap_err();
        assert!(fault.message.contains("`table app.theirs`, `schema theirs`"), "{}", fault.message);
        server.run("target", role, "drop table app.theirs; drop schema theirs").await;
        copy(&cx, again()).await.map_err(|fault| fault.chain()).unwrap();
        assert_eq!(listed().await, prepared, "{role}: after it was cut short");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_seen_at_once_whatever_is_counted() {
    for role in [SUPERUSER, OWNER] {
        let server = Own::start(&["track_counts = off", "autovacuum = off"]);
        server.run("postgres", SUPERUSER, &format!("create role {OWNER} login")).await;
        server.run("postgres", SUPERUSER, &format!("create database target owner {role}")).await;
        server.run("target", SUPERUSER, &format!("grant all on schema public to {OWNER}")).await;
        let busy = server.session("target", role).await;
        busy.batch_execute(
            "create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 1000) g;
             create table gone (id int); insert into gone values (1); select lo_create(7)",
        )
        .await
        .unwrap();
        let cx = server.cx("restore");
        let endpoint = server.endpoint("target", role);
        let looked = async |accepted: &[Json], look| {
            let known = Known { accepted: accepted.to_vec(), ..Known::default() };
            occupancy(&endpoint, &cx, &known, look).await.unwrap()
        };
        let names = ["target".to_owned()];
        let judged = |found: &Occupancy, accepted: &[Json]| {
            judge_occupancy(found, accepted, false, Emptying::Ours, ("target", &names), &[])
        };
        let mut accepted = vec![looked(&[], Look::Remember).await.fingerprint];
        assert_eq!(judged(&looked(&accepted, Look::Judge).await, &accepted), None);
        // Another database of the cluster is none of our business.
        server.run("postgres", SUPERUSER, "create table noise (); drop table noise").await;
        assert_eq!(judged(&looked(&accepted, Look::Judge).await, &accepted), None);
        for (write, table) in [
            ("insert into t values (1001, 'y')", "public.t"),
            ("update t set v = 'z' where id = 5", "public.t"),
            ("delete from t where id = 6; insert into t values (6, 'x')", "public.t"),
            ("delete from t where id = 7", "public.t"),
            ("truncate gone", "public.gone"),
        ] {
            busy.batch_execute(write).await.unwrap();
            let found = judged(&looked(&accepted, Look::Judge).await, &accepted).unwrap();
            let told = format!("was written to since our restore (`{table}`)");
            assert!(found.message.contains(&told), "{role}, {write}: {}", found.message);
            accepted = vec![looked(&[], Look::Remember).await.fingerprint];
        }
        if role == SUPERUSER {
            busy.batch_execute("select lo_put(7, 0, 'x')").await.unwrap();
            let found = judged(&looked(&accepted, Look::Judge).await, &accepted);
            assert!(found.unwrap().message.contains("(`pg_catalog.pg_largeobject`)"));
            accepted = vec![looked(&[], Look::Remember).await.fingerprint];
        }
        // One that is under way counts from its commit on.
        busy.batch_execute("begin; savepoint s; update t set v = 'late' where id = 8; release s")
            .await
            .unwrap();
        accepted.push(looked(&[], Look::Remember).await.fingerprint);
        assert_eq!(judged(&looked(&accepted, Look::Judge).await, &accepted), None);
        busy.batch_execute("commit").await.unwrap();
        assert!(judged(&looked(&accepted, Look::Judge).await, &accepted).is_some(), "{role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_before_is_compared_by_its_own_rule() {
    let server = server(OWNER).await;
    server.run("target", SUPERUSER, "create foreign data wrapper w").await;
    let cx = server.cx("copy");
    let done = copy(&cx, change(wanted(&server, OWNER))).await.map_err(|f| f.chain()).unwrap();
    // As it was remembered once: its rule is asked for by any such fingerprint.
    let endpoint = server.endpoint("target", OWNER);
    let old = Known { accepted: vec![json!({ "sha256": "" })], ..Known::default() };
    let former = occupancy(&endpoint, &cx, &old, Look::Judge).await.unwrap().former.unwrap();
    assert_eq!(former.as_object().unwrap().keys().collect::<Vec<_>>(), ["sha256"]);
    let mut memory = done.memory.clone();
    memory["fingerprint"] = former;
    let before = Remembered { memory: memory.into(), ..remembered(&done) };
    let want = wanted(&server, OWNER);
    assert_eq!(AnyResource::lost(&Copy, &cx, &want, &before).await.unwrap(), None);
    let next = Change { before: Some(before), ..change(want) };
    let done = copy(&cx, next).await.map_err(|fault| fault.chain()).unwrap();
    assert_eq!(done.memory["fingerprint"]["version"], 2);
    assert_eq!(
        server.text("target", "select count(*)::text from pg_foreign_data_wrapper").await,
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_made_again_is_another_one() {
    for role in [SUPERUSER, OWNER] {
        let server = server(role).await;
        let (cx, want) = (server.cx("copy"), wanted(&server, role));
        let done = copy(&cx, change(want.clone())).await.map_err(|fault| fault.chain()).unwrap();
        let before = remembered(&done);
        assert_eq!(AnyResource::lost(&Copy, &cx, &want, &before).await.unwrap(), None);
        server.run("postgres", SUPERUSER, "drop database target").await;
        server.run("postgres", SUPERUSER, &format!("create database target owner {role}")).await;
        server.run("target", SUPERUSER, &format!("grant all on schema public to {OWNER}")).await;
        let why = AnyResource::lost(&Copy, &cx, &want, &before).await.unwrap().unwrap();
        assert!(
            why.starts_with("`target` is another database than the one that was filled at 20"),
            "{why}"
        );

        // What was remembered of the first is no word on the second.
        server.run("target", role, "create schema prep; grant all on schema prep to public").await;
        let next = Change { before: Some(before), ..change(want) };
        copy(&cx, next).await.map_err(|fault| fault.chain()).unwrap();
        let rights = "select nspacl::text from pg_namespace where nspname = 'prep'";
        assert!(server.text("target", rights).await.contains("=UC/"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn emptying_that_is_blocked_says_by_whom() {
    let server = server(OWNER).await;
    let (cx, want) = (server.cx("copy"), wanted(&server, OWNER));
    let done = copy(&cx, change(want.clone())).await.map_err(|fault| fault.chain()).unwrap();
    let night = async || {
        let before = Some(remembered(&done));
        copy(&cx, Change { before, ..change(want.clone()) }).await
    };
    let reader = server.session("target", OWNER).await;
    reader.batch_execute("begin; select count(*) from app.t").await.unwrap();
    let process: i32 = reader.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let patience = std::time::Duration::from_secs(120);
    let fault = tokio::time::timeout(patience, night()).await.unwrap().unwrap_err();
    let help = fault.help.clone().unwrap_or_default();
    let expect = format!("process {process} of user `{OWNER}` has locked `app.t");
    assert!(help.starts_with(&expect), "{}\n{help}", fault.chain());
    assert!(fault.message.starts_with("emptying the target"), "{}", fault.chain());
    reader.batch_execute("commit").await.unwrap();
    night().await.map_err(|fault| fault.chain()).unwrap();
}
