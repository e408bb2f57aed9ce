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
