//! What is no part of a database does not travel with it, and what the target's settings would change is made as it was.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use pgferry_archive::Toc;
use serde_json::json;
use stage::bare::{Server, Yard};

/// Rights, settings and a comment of the database itself.
const OWN: &str = "
create table t (id int primary key); insert into t values (1);
revoke connect, temporary on database s_51 from public; grant connect on database s_51 to reader;
comment on database s_51 is 'the source''s own';
alter database s_51 set work_mem = '7MB'; alter database s_51 connection limit 50;
alter role app in database s_51 set search_path = 'x'";

/// All that a server keeps of its databases and roles, beyond what is in them.
fn outside(server: &Server) -> String {
    server.ask(
        "postgres",
        "select string_agg(x, ' | ' order by x) from (
           select format('%s %s %s %s', datname, datacl, datconnlimit, shobj_description(oid, 'pg_database')) as x from pg_database
           union all select format('%s %s %s', setdatabase, setrole, setconfig) from pg_db_role_setting) as all_of_it",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_a_database_itself() {
    let (yard, server) = (Yard::new().await, Server::start());
    for sql in [
        "create role tapp login createdb",
        "create role reader",
        "create role app",
        "create database s_51",
        "create database mine",
        "create database theirs owner tapp",
    ] {
        server.run("postgres", sql);
    }
    server.run("s_51", OWN);
    // Everybody's database is called `postgres`, with a comment of `initdb`'s.
    server.run("postgres", "create table app_t (id int primary key); insert into app_t values (1)");
    for (from, table) in [("s_51", "t"), ("postgres", "app_t")] {
        for (role, into) in [("postgres", "mine"), ("tapp", "theirs")] {
            for known in [true, false] {
                let target = || server.handle("target", role, into);
                let object = format!("{from}-{into}-{known}");
                let source = server.handle("source", "postgres", from);
                let want = yard.dump_of(source, known.then(target), &object);
                let (done, dump) = yard.dump(want).await;
                let before = outside(&server);
                yard.heard.warnings.lock().unwrap().clear();
                yard.restore(dump, target(), into).await;
                assert_eq!(outside(&server), before, "{object}");
                assert_eq!(server.ask(into, &format!("select count(*) from {table}")), "1");
                let told = match known {
                    true => done.memory["left_out"].to_string(),
                    false => yard.heard.warnings.lock().unwrap().join("\n"),
                };
                let expect = match (from, known) {
                    ("s_51", true) => {
                        &["ACL DATABASE s_51", "COMMENT DATABASE s_51", "DATABASE PROPERTIES s_51"]
                            [..]
                    }
                    // Without a target, an archive has no rights.
                    ("s_51", false) => {
                        &["comment `DATABASE s_51`", "database properties `s_51`"][..]
                    }
                    (_, true) => &["COMMENT DATABASE postgres"][..],
                    (_, false) => &["comment `DATABASE postgres`"][..],
                };
                for name in expect {
                    assert!(told.contains(name), "{object}: {told}");
                }
                if known {
                    let file = std::fs::read(yard.file(&object).await).unwrap();
                    let toc = Toc::read(&mut file.as_slice()).unwrap();
                    let named = |entry: &pgferry_archive::Entry| {
                        entry.definition.shown().contains("DATABASE")
                    };
                    assert!(!toc.entries.iter().any(named), "{object}");
                }
                server.run(into, &format!("drop table {table}"));
            }
        }
    }
}

/// A statement that no other server takes, beside one that all do.
const NOTED: &str = "
create table t (id int primary key, \"a SET (b)\" text, c int);
insert into t select i, i, i from generate_series(1, 50) i;
alter table t alter column c set (n_distinct = -0.5), alter column id set statistics 50;
create materialized view v as select * from t;
set allow_system_table_mods = on;
update pg_attribute set attoptions = coalesce(attoptions, '{}') || '{pg_attver=30893192}'
  where attrelid in ('t'::regclass, 'v'::regclass) and attnum > 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_own_notes_stay_where_they_are() {
    let (yard, server) = (Yard::new().await, Server::start());
    for database in ["noted", "copied", "restored", "piped"] {
        server.run("postgres", &format!("create database {database}"));
    }
    server.run("noted", NOTED);
    // A server that keeps such notes has a `pg_dump` that knows them; this one is of a time before.
    let raw = server.dumped("noted", &["-s"]);
    let is_old = raw.contains("pg_attver");
    let source = || server.handle("source", "postgres", "noted");
    let target = |name: &str| server.handle("target", "postgres", name);
    let done = yard.copy(yard.copy_of(source(), target("copied"), "copied")).await;
    let done = done.map_err(|fault| fault.chain()).unwrap();
    assert_eq!(done.attrs.storable()["warnings"], json!([]));
    let (_, dump) = yard.dump(yard.dump_of(source(), None, "noted")).await;
    yard.restore(dump, target("restored"), "restored").await;
    server.client("pg_restore", &["-e", "-d", "piped", &yard.file("noted").await]);
    let options = "select string_agg(format('%s %s %s', attrelid::regclass, attname, attoptions), ' ' order by 1)
        from pg_attribute where attrelid in ('t'::regclass, 'v'::regclass) and attnum > 0 and attoptions is not null";
    for database in ["copied", "restored", "piped"] {
        let found = server.ask(database, options);
        assert!(!is_old || found == "t c {n_distinct=-0.5}", "{database}: {found}");
        assert!(found.contains("n_distinct=-0.5"), "{database}: {found}");
    }
}

/// A partitioned table, which may be in no tablespace by default; a view and a check whose meaning is at stake.
const ORDINARY: &str = "
create table p (at date, n int) partition by range (at);
create table p1 partition of p for values from ('2024-01-01') to ('2025-01-01');
insert into p values ('2024-02-01', 1); create index on p (n);
create table c (a int check (a <> 5 or (a = null) is null)); insert into c values (5);
create view never as select 1 as one where 1 = null;
create materialized view m as select * from c;
create function f() returns int language sql as 'select 1'";

#[tokio::test(flavor = "multi_thread")]
async fn the_targets_settings_change_nothing_of_what_is_made() {
    let (yard, server) = (Yard::new().await, Server::start());
    server.run("postgres", "create role tapp login superuser");
    for database in ["plain", "copied", "restored"] {
        server.run("postgres", &format!("create database {database}"));
    }
    let fast = server.folder("fast");
    server.run("postgres", &format!("create tablespace fast location '{fast}'"));
    server.run("plain", ORDINARY);
    for database in ["copied", "restored"] {
        // What a table is made with there, and a role's own.
        for setting in [
            "default_tablespace = pg_default",
            "default_toast_compression = lz4",
            "check_function_bodies = on",
            "transform_null_equals = on",
            "default_transaction_isolation = serializable",
            "search_path = nowhere",
            "xmloption = document",
        ] {
            let (name, value) = setting.split_once(" = ").unwrap();
            let have = server.ask("postgres", &format!("select count(*) from pg_settings where name = '{name}' and ('{value}' <> 'lz4' or 'lz4' = any(enumvals))"));
            if have == "1" {
                server.run("postgres", &format!("alter database {database} set {setting}"));
            }
        }
        server.run(
            "postgres",
            &format!("alter role tapp in database {database} set default_tablespace = fast"),
        );
    }
    let before = server.dumped("plain", &["--no-owner"]);
    for role in ["postgres", "tapp"] {
        let source = || server.handle("source", "postgres", "plain");
        let target = |name: &str| server.handle("target", role, name);
        let done = yard.copy(yard.copy_of(source(), target("copied"), "copied")).await;
        done.map_err(|fault| fault.chain()).unwrap();
        let (_, dump) = yard.dump(yard.dump_of(source(), None, role)).await;
        yard.restore(dump, target("restored"), "restored").await;
        for database in ["copied", "restored"] {
            assert_eq!(server.dumped(database, &["--no-owner"]), before, "{database} as {role}");
            let elsewhere = server.ask(
                database,
                "select count(*) from pg_class where reltablespace <> 0 and oid > 16384",
            );
            assert_eq!(elsewhere, "0", "{database} as {role}");
            for relation in ["table p, c cascade", "function f()", "view never"] {
                server.run(database, &format!("set search_path = public; drop {relation}"));
            }
        }
    }
}
