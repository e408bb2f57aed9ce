//! What is in a target, and when it counts as changed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_postgres::target::{judge_occupancy, occupancy};
use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn the_fingerprint_changes_with_data_and_with_nothing_else() {
    let stage = Stage::new().await;
    let cx = stage.cx("restore");
    let endpoint = stage.endpoint("target");
    let run = async |statement: &str| {
        // Its own session: counters are handed in when it ends.
        let session = stage.target().await;
        session.batch_execute(statement).await.unwrap();
        session.batch_execute("select 1").await.unwrap();
        let backend: i32 = session.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        drop(session);
        gone(&stage, backend).await;
        occupancy(&endpoint, &cx).await.unwrap()
    };

    let names = ["db".to_owned()];
    let target = ("target", names.as_slice());
    let empty = run("create extension tablefunc").await;
    assert!(empty.is_empty());
    assert_eq!(judge_occupancy(&empty, &[], false, target, &[]), None);

    let routine = run("create function only_this() returns int language sql as 'select 1'").await;
    assert!(!routine.is_empty());
    let finding = judge_occupancy(&routine, &[], false, target, &[]).unwrap();
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
    let finding = judge_occupancy(&made, &[], false, target, &[]).unwrap();
    assert_eq!(finding.code, "PGF1201");
    assert!(finding.help.unwrap().ends_with("--confirm target=db"));

    for harmless in [
        "analyze t",
        "vacuum t",
        "alter database target set work_mem to '9MB'",
        "alter database target set search_path to pg_catalog",
        "alter database target reset search_path",
        "grant select on t to public",
        "select * from t",
    ] {
        assert_eq!(run(harmless).await.fingerprint, made.fingerprint, "{harmless}");
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
        "select lo_create(0)",
        "create function f() returns int language sql as 'select 1'",
    ] {
        let now = run(change).await.fingerprint;
        assert_ne!(now, last, "{change}");
        last = now;
    }
    stage.end().await;
}

async fn gone(stage: &Stage, backend: i32) {
    let source = stage.source().await;
    loop {
        let query = "select count(*) from pg_stat_activity where pid = $1";
        let count: i64 = source.query_one(query, &[&backend]).await.unwrap().get(0);
        if count == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
