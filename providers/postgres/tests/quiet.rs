//! Whether the source was written to since its copy: at once, and by rows rather than by what the server counts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod own;
mod stage;

use pgferry_engine::resource::{AnyResource, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::verification::Verification;
use serde_json::json;

use own::{OWNER, Own, SUPERUSER};
use stage::{change, spec};

const SOURCE: &str = "
create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 1000) g;
create table shifting (id int); insert into shifting values (1);
create table parent (id int) partition by range (id); create table part partition of parent for values from (0) to (9);
insert into parent values (1); create materialized view m as select * from t where id < 5;
create materialized view hollow as select 1 as one with no data";

/// Copies, has something happen, and says what verification makes of the source: `None` if it was quiet.
struct Night {
    server: Own,
    role: &'static str,
    copied: Remembered,
}

impl Night {
    async fn copied(server: Own, role: &'static str) -> Self {
        let want = spec(vec![
            ("from", server.handle("source", role)),
            ("into", server.handle("target", role)),
            ("confirm", Tree::text("target")),
        ]);
        server.run("postgres", SUPERUSER, "drop database if exists target").await;
        server.run("postgres", SUPERUSER, &format!("create database target owner {role}")).await;
        server.run("target", SUPERUSER, &format!("grant all on schema public to {role}")).await;
        let done = AnyResource::act(&Copy, &server.cx("copy"), change(want)).await;
        let done = done.map_err(|fault| fault.chain()).unwrap();
        let inputs = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
        let copied = stage::filled::remembered(&done, inputs);
        Self { server, role, copied }
    }

    /// Only whether it was quiet: rows that differ would be found anyway.
    async fn written(&self) -> Option<String> {
        let cx = self.server.cx_with("verified", vec![("postgres.copy", self.copied.clone())]);
        let want = spec(vec![
            ("expected", self.server.handle("source", self.role)),
            ("actual", self.server.handle("target", self.role)),
            ("rows", Tree::text("none")),
            ("contents", Tree::text("none")),
            ("objects", Tree::Bool(false)),
        ]);
        let ended = AnyResource::act(&Verification, &cx, change(want)).await;
        ended.err().map(|fault| fault.message)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_seen_at_once_and_what_is_rolled_back_is_nothing() {
    for role in [SUPERUSER, OWNER] {
        let server = Own::start(&["track_counts = off", "autovacuum = off"]);
        server.run("postgres", SUPERUSER, &format!("create role {OWNER} login")).await;
        server.run("postgres", SUPERUSER, &format!("create database source owner {role}")).await;
        server.run("source", SUPERUSER, &format!("grant all on schema public to {OWNER}")).await;
        server.run("source", role, SOURCE).await;
        // Another database has a transaction under way all the time.
        let elsewhere = server.session("postgres", SUPERUSER).await;
        elsewhere.batch_execute("begin; create table noise ()").await.unwrap();
        server.run("source", role, "insert into t values (1001, 'just before')").await;
        let mut night = Night::copied(server, role).await;
        let busy = night.server.session("source", role).await;
        for harmless in [
            "create temporary table own (id int)",
            "analyze t",
            "vacuum full shifting",
            "vacuum freeze t",
        ] {
            busy.batch_execute(harmless).await.unwrap();
        }
        busy.batch_execute(
            "begin; insert into t values (0, 'lost'); delete from shifting; rollback",
        )
        .await
        .unwrap();
        elsewhere.batch_execute("commit; begin; drop table noise").await.unwrap();
        assert_eq!(night.written().await, None, "{role}");

        for (write, table) in [
            ("insert into t values (2000, 'y')", "public.t"),
            ("update t set v = 'z' where id = 5", "public.t"),
            ("delete from t where id = 6", "public.t"),
            ("delete from t where id = 7; insert into t values (7, 'x')", "public.t"),
            ("truncate shifting", "public.shifting"),
            ("insert into parent values (2)", "public.part"),
            ("refresh materialized view m", "public.m"),
            ("create table late ()", "public.late"),
            ("drop table late", "public.late"),
        ] {
            busy.batch_execute(write).await.unwrap();
            let written =
                night.written().await.unwrap_or_else(|| panic!("{role}, {write}: not seen"));
            assert!(written.contains("was written to after"), "{role}, {write}: {written}");
            assert!(written.contains(&format!("`{table}`")), "{role}, {write}: {written}");
            night = Night::copied(night.server, role).await;
        }

        // A subtransaction that ended before the snapshot, of a transaction that ended after it.
        busy.batch_execute("begin; savepoint s; update t set v = 'late' where id = 8; release s")
            .await
            .unwrap();
        night.server.run("source", role, "insert into shifting values (3)").await;
        night = Night::copied(night.server, role).await;
        busy.batch_execute("commit").await.unwrap();
        let written = night.written().await.unwrap();
        assert!(written.contains("`public.t`"), "{role}: {written}");
        elsewhere.batch_execute("rollback").await.unwrap();
    }
}

/// On servers of their own: what fills the target is no transaction of the source's.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_rolled_back_is_no_write_although_the_server_counts_it() {
    let (from, into) = (Own::start(&["autovacuum = off"]), Own::start(&["autovacuum = off"]));
    from.run("postgres", SUPERUSER, "create database source").await;
    into.run("postgres", SUPERUSER, "create database target").await;
    from.run("source", SUPERUSER, SOURCE).await;
    let want = spec(vec![
        ("from", from.handle("source", SUPERUSER)),
        ("into", into.handle("target", SUPERUSER)),
        ("confirm", Tree::text("target")),
    ]);
    let done = AnyResource::act(&Copy, &from.cx("copy"), change(want)).await;
    let done = done.map_err(|fault| fault.chain()).unwrap();
    let inputs = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
    let copied = stage::filled::remembered(&done, inputs);
    let written = async || {
        let cx = from.cx_with("verified", vec![("postgres.copy", copied.clone())]);
        let want = spec(vec![
            ("expected", from.handle("source", SUPERUSER)),
            ("actual", into.handle("target", SUPERUSER)),
        ]);
        AnyResource::act(&Verification, &cx, change(want)).await.err().map(|it| it.message)
    };
    // The counters say it once the session has ended.
    let counted = async |times: i64| {
        let counts = "select n_tup_ins || ' ' || n_tup_del from pg_stat_user_tables where relname = 'shifting'";
        let expect = format!("{} {times}", times + 1);
        while from.text("source", counts).await != expect {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let both = "insert into shifting values (8); delete from shifting where id = 8";
    from.run("source", SUPERUSER, &format!("begin; {both}; rollback")).await;
    counted(1).await;
    assert_eq!(written().await, None);

    from.run("source", SUPERUSER, both).await;
    counted(2).await;
    let said = written().await.unwrap();
    assert!(said.contains("was written to after") && said.contains("`public.shifting`"), "{said}");
}
