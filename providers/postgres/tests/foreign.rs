//! Foreign tables whose server cannot be reached: neither a failure nor a difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_engine::finding::Severity;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::dump::Dump;
use serde_json::json;
use stage::bare::{Server, Yard};
use stage::filled::remembered;

/// Alone, as a partition, as a child, behind a view; nobody listens at port 1.
const SOURCE: &str = "
create extension postgres_fdw;
create server gone foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1', connect_timeout '2');
create user mapping for public server gone options (user 'x', password 'y');
create foreign table far (id int, t text) server gone;
create view far_view as select * from far;
create table parent (id serial, at int not null) partition by range (at);
create index on parent (id);
create table near partition of parent for values from (0) to (100);
create foreign table distant partition of parent for values from (100) to (200) server gone;
insert into near (at) select g from generate_series(1, 50) g;
create table base (id serial primary key, t text); insert into base (t) values ('a'), ('b');
create foreign table far_child () inherits (base) server gone;
create materialized view m as select count(*) from near;
create table plain (id int primary key); insert into plain values (1)";

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_foreign_server_is_neither_a_failure_nor_a_difference() {
    let (yard, from, into) = (Yard::new().await, Server::start(), Server::start());
    from.run("postgres", "create database source");
    from.run("source", SOURCE);
    for database in ["copied", "restored", "twin"] {
        into.run("postgres", &format!("create database {database}"));
    }
    let source = || from.handle("source", "postgres", "source");
    let target = |database: &str| into.handle("target", "postgres", database);

    let want = yard.copy_of(source(), target("copied"), "copied");
    let told = yard.told(&Copy, &want).await;
    assert!(told.iter().all(|it| it.severity != Severity::Error), "{told:#?}");
    assert!(told.iter().any(|it| it.message.contains("3 foreign tables")), "{told:#?}");
    let done = yard.copy(want).await.map_err(|fault| fault.chain()).unwrap();
    let ends = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
    let read = Some(("postgres.copy", remembered(&done, ends)));
    let proof = yard.verify(source(), target("copied"), read).await;
    proof.map_err(|fault| fault.chain()).unwrap();

    let want = yard.dump_of(source(), Some(target("restored")), "far");
    let told = yard.told(&Dump, &want).await;
    assert!(told.iter().all(|it| it.severity != Severity::Error), "{told:#?}");
    let (done, dump) = yard.dump(want).await;
    yard.restore(dump, target("restored"), "restored").await;
    let read = remembered(&done, json!({ "source": { "$address": "source" } }));
    let read = Some(("postgres.dump", read));
    let proof = yard.verify(source(), target("restored"), read).await;
    proof.map_err(|fault| fault.chain()).unwrap();

    // Made by hand, an index of the parent is good although a foreign partition has none.
    into.run("twin", SOURCE);
    let proof = yard.verify(source(), target("twin"), None).await;
    proof.map_err(|fault| fault.chain()).unwrap();
    for database in ["copied", "restored"] {
        assert_eq!(into.dumped(database, &[]), from.dumped("source", &[]), "{database}");
        let analysed = "select count(*) from pg_stats where tablename in ('near', 'plain')";
        assert_eq!(into.ask(database, analysed), "3", "{database}");
    }
}

/// What a materialized view holds of such a table cannot be computed on the target: it arrives empty, and the proof says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_over_what_cannot_be_reached_arrives_empty_and_is_named() {
    let (yard, server) = (Yard::new().await, Server::start());
    for database in ["far", "source", "copied", "restored"] {
        server.run("postgres", &format!("create database {database}"));
    }
    server.run("far", "create table t (id int); insert into t values (1)");
    let port = server.ask("far", "select inet_server_port()");
    let made = format!(
        "create extension postgres_fdw;
         create server far foreign data wrapper postgres_fdw options (host '127.0.0.1', port '{port}', dbname 'far');
         create user mapping for public server far options (user 'postgres', password_required 'false');
         create foreign table t (id int) server far; create materialized view m as select * from t;
         create table plain (id int primary key); insert into plain values (1);
         alter server far options (set port '1')"
    );
    server.run("source", &made);
    let source = || server.handle("source", "postgres", "source");
    let target = |database: &str| server.handle("target", "postgres", database);
    let copied = yard.copy(yard.copy_of(source(), target("copied"), "copied")).await;
    copied.map_err(|fault| fault.chain()).unwrap();
    let (_, dump) = yard.dump(yard.dump_of(source(), Some(target("restored")), "far")).await;
    yard.restore(dump, target("restored"), "restored").await;
    let said = yard.heard.warnings.lock().unwrap().join("\n");
    assert_eq!(said.matches("so the view is there without rows").count(), 2, "{said}");
    for database in ["copied", "restored"] {
        let said = yard.verify(source(), target(database), None).await.unwrap_err().message;
        let expect = "table `public.m`: 1 row expected, the table is missing";
        assert!(said.contains(expect) && said.lines().count() == 2, "{said}");
    }
}
