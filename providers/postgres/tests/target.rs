//! What is in a target, and when it counts as changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::cx::Cx;
use pgferry_engine::reference::Endpoint;
use pgferry_postgres::target::{Emptying, Known, Look, Occupancy, judge_occupancy, occupancy};
use serde_json::Value as Json;
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_fingerprint_changes_with_data_and_with_nothing_else() {
    let stage = Stage::new().await;
    let cx = stage.cx("restore");
    let endpoint = stage.endpoint("target");
    let busy = stage.target().await;
    let run = async |statement: &str| {
        // The session stays, and hands in no counters until later.
        busy.batch_execute(statement).await.unwrap();
        looked(&endpoint, &cx, &[]).await
    };

    let names = ["db".to_owned()];
    let judged = |found: &Occupancy, accepted: &[Json]| {
        judge_occupancy(found, accepted, false, Emptying::Ours, ("target", &names), &[])
    };
    let empty = run("create extension tablefunc").await;
    assert!(empty.is_empty());
    assert_eq!(judged(&empty, &[]), None);

    let routine = run("create function only_this() returns int language sql as 'select 1'").await;
    assert!(!routine.is_empty());
    let finding = judged(&routine, &[]).unwrap();
    assert!(finding.message.contains("it holds 1 functions and types"), "{}", finding.message);
    assert!(run("drop function only_this").await.is_empty());

    let made = run(
        "create table t (id serial primary key, v text); insert into t (v) values ('a'), ('b');
         create view w as select id, v from t",
    )
    .await;
    assert_eq!(
        (made.relations.as_slice(), made.relation_count),
        (&["public.t".to_owned(), "public.w".to_owned()][..], 3)
    );
    let finding = judged(&made, &[]).unwrap();
    assert_eq!(finding.code, "PGF1201");
    assert!(finding.help.unwrap().ends_with("--confirm target=db"));

    for harmless in [
        "analyze t",
        "vacuum t",
        "vacuum full t",
        "vacuum freeze t",
        "cluster t using t_pkey",
        "reindex table t",
        "begin; insert into t (id, v) values (9, 'lost'); rollback",
        "begin; delete from t; rollback",
        "alter database target set work_mem to '9MB'",
        "alter database target set search_path to pg_catalog",
        "alter database target reset search_path",
        "grant select on t to public",
        "select * from t",
    ] {
        for statement in harmless.split_inclusive("; ") {
            busy.batch_execute(statement).await.unwrap();
        }
        let accepted = std::slice::from_ref(&made.fingerprint);
        let now = looked(&endpoint, &cx, accepted).await;
        assert_eq!(judged(&now, accepted), None, "{harmless}");
    }
    let mut last = made.fingerprint;
    for change in [
        "insert into t (v) values ('c')",
        "update t set v = 'x' where id = 1",
        "delete from t where id = 1",
        "truncate t",
        "create table u ()",
        "alter table u add column w int",
        "create view l as select 1 as one",
        "create or replace view l as select 2 as one",
        "create type mood as enum ('sad')",
        "alter type mood add value 'ok'",
        "select nextval('t_id_seq')",
        "select lo_create(4711)",
        "create index t_v on t (v)",
        "alter table t add check (v <> '')",
        "create schema app",
        "create collation c (locale = 'C')",
        "create function f() returns int language sql as 'select 1'",
        "create policy p on t",
        "alter policy p on t to current_user",
        "alter table t force row level security",
        "alter table t replica identity full",
        "alter table t set (fillfactor = 50)",
        "alter sequence t_id_seq increment by 5",
        "create domain d as int",
        "alter domain d set default 7",
        "alter domain d set not null",
        "create type pair as (a int)",
        "alter type pair add attribute b text",
        "create text search configuration words (copy = simple)",
        "alter text search configuration words drop mapping for word",
    ] {
        busy.batch_execute(change).await.unwrap();
        let now = looked(&endpoint, &cx, &[last.clone()]).await;
        assert!(judged(&now, &[last]).is_some(), "{change}");
        last = run("select 1").await.fingerprint;
    }
    stage.end().await;
}

/// What is there, as remembered after a run.
async fn looked(endpoint: &Endpoint, cx: &Cx, accepted: &[Json]) -> Occupancy {
    let known = Known { accepted: accepted.to_vec(), ..Known::default() };
    occupancy(endpoint, cx, &known, Look::Remember).await.unwrap()
}
