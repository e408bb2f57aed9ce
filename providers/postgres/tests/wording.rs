//! What two servers store differently and means the same is no difference; and what a side cannot read is told, not
//! taken for equal.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::process::Stdio;
use std::sync::Arc;

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::{AnyResource, Done, Remembered};
use pgferry_engine::tree::Tree;
use pgferry_postgres::copy::Copy;
use pgferry_postgres::verification::Verification;
use serde_json::{Value as Json, json};
use stage::servers::{Bin, Server, done, endpoint, folders};
use stage::{Heard, Stage, change, spec};

/// A database that a server stores in its own way.
const STORED: &str = "
    create table t (id int primary key, a text, b int);
    insert into t values (1, 'x', 2);
    alter table t alter b set (n_distinct = 5);
    create foreign data wrapper plain options (z '1', a '2');
    create server far foreign data wrapper plain options (port '5432', host '127.0.0.1', dbname 'x');
    create foreign table ft (a int options (column_name 'b', another 'c')) server far
      options (table_name 't', schema_name 's', fetch_size '10');";

const LATIN: &str = "
    create table \"naïve\" (id int primary key, t text default 'é');
    insert into \"naïve\" values (1, 'Ünïcödé'), (2, 'plain');
    comment on table \"naïve\" is 'à la';
    create function f() returns text language sql immutable as $$ select 'ß'::text $$;
    create index on \"naïve\" ((t || f()));
    create foreign data wrapper plain options (z 'ü', a 'ß');";

fn bins() -> Vec<Bin> {
    let mut bins: Vec<Bin> =
        folders().iter().filter_map(|folder| Bin::of(folder, "postgres")).collect();
    bins.sort_by_key(|bin| {
        let numbers = bin.version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
        numbers.collect::<Vec<_>>()
    });
    bins
}

fn newest() -> Bin {
    bins().pop().expect("a server")
}

/// Moves `database` of `from` into a new one of `into`, as `pg_dump` and `psql` do.
fn moved(programs: &Bin, from: &Server, into: &Server, database: &str) {
    let mut dump = from.client(programs, "pg_dump");
    let mut dump = dump.arg(database).stdout(Stdio::piped()).spawn().unwrap();
    let mut psql = into.client(programs, "psql");
    let psql = psql.args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", "other"]);
    done(psql.stdin(dump.stdout.take().unwrap()).output().unwrap());
    assert!(dump.wait().unwrap().success());
}

async fn verify(
    stage: &Stage,
    (from, database): (&Server, &str),
    (into, other): (&Server, &str),
) -> Result<Done<Tree>, Fault> {
    let programs = newest().folder.display().to_string();
    let cx = stage.cx_with("verified", &[("PGFERRY_PG_BIN", &programs)], Vec::new());
    let fields = vec![
        ("expected", endpoint(from, "source", database)),
        ("actual", endpoint(into, "target", other)),
    ];
    AnyResource::act(&Verification, &cx, change(spec(fields))).await
}

fn warned(heard: &Arc<Heard>, part: &str) -> bool {
    heard.warnings.lock().unwrap().iter().any(|said| said.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_of_a_server_and_the_order_of_options_are_no_difference() {
    let stage = Stage::new().await;
    let server = Server::start(&newest());
    server.run("postgres", "create database stored").await;
    server.run("postgres", "create database other").await;
    server.run("stored", STORED).await;
    moved(&server.bin, &server, &server, "stored");
    // As 15.20 does by itself; others change no column of which they do not know an option.
    let noted = |number: i32| {
        format!(
            "set allow_system_table_mods = on;
             update pg_attribute set attoptions = '{{pg_attver={number}}}'
               where attrelid = 't'::regclass and attname in ('id', 'a')"
        )
    };
    server.run("stored", &noted(30_893_192)).await;
    server.run("other", &noted(30_886_888)).await;
    let (one, other) = ((&server, "stored"), (&server, "other"));
    verify(&stage, one, other).await.map_err(|fault| fault.message).unwrap();
    server.run("other", "alter server far options (set port '5433')").await;
    let fault = verify(&stage, one, other).await.unwrap_err();
    assert_eq!(fault.message.lines().count(), 2, "{}", fault.message);
    assert!(fault.message.contains("`far`"), "{}", fault.message);
    server.run("other", "alter server far options (set port '5432')").await;
    server.run("other", "alter table t alter b set (n_distinct = 6)").await;
    let fault = verify(&stage, one, other).await.unwrap_err();
    assert_eq!(fault.message.lines().count(), 2, "{}", fault.message);
    drop(server);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_other_minor_versions_are_equal() {
    let bins = bins();
    let pairs: Vec<(&Bin, &Bin)> = bins
        .windows(2)
        .filter(|pair| pair[0].major() == pair[1].major() && pair[0].version != pair[1].version)
        .map(|pair| (&pair[0], &pair[1]))
        .collect();
    if pairs.is_empty() {
        println!("skipped: PGFERRY_MATRIX names no two minor versions of one major");
        return;
    }
    let stage = Stage::new().await;
    for (old, new) in pairs {
        let servers = [Server::start(old), Server::start(new)];
        for (from, into) in [(0, 1), (1, 0), (1, 1)] {
            let (from, into) = (&servers[from], &servers[into]);
            from.run("postgres", "create database stored").await;
            into.run("postgres", "create database other").await;
            from.run("stored", STORED).await;
            moved(new, from, into, "stored");
            let pair = format!("{} into {}", from.bin.version, into.bin.version);
            let proved = verify(&stage, (from, "stored"), (into, "other")).await;
            proved.unwrap_or_else(|fault| panic!("{pair}: {}", fault.message));
            from.run("postgres", "drop database stored").await;
            into.run("postgres", "drop database other").await;
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_encoding_is_no_difference() {
    let stage = Stage::new().await;
    let server = Server::start(&newest());
    let latin = "create database latin template template0 encoding 'LATIN1' locale 'C'";
    server.run("postgres", latin).await;
    server.run("postgres", "create database other").await;
    server.run("latin", LATIN).await;
    moved(&server.bin, &server, &server, "latin");
    let (one, other) = ((&server, "latin"), (&server, "other"));
    verify(&stage, one, other).await.map_err(|fault| fault.message).unwrap();
    let change = "create or replace function f() returns text language sql immutable as $$ select 's'::text $$";
    server.run("other", change).await;
    let fault = verify(&stage, one, other).await.unwrap_err();
    assert!(fault.message.contains("function") && fault.message.contains("public.f()"));
    drop(server);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_cannot_read_is_told() {
    let stage = Stage::new().await;
    let server = Server::start(&newest());
    server.run("postgres", "create database stored").await;
    let logged = "create table kept (id serial primary key); insert into kept default values";
    server.run("stored", logged).await;
    let unlogged = "create unlogged table fleeting (a int); insert into fleeting values (1);
        create unlogged table halved (k int) partition by hash (k)";
    server.run("stored", unlogged).await;
    if server.bin.major() >= 15 {
        let sequence = "create unlogged sequence useq; select nextval('useq'), nextval('useq')";
        server.run("stored", sequence).await;
    }
    let standby = server.standby();
    server.run("postgres", "create database other").await;
    let programs = newest().folder.display().to_string();
    let cx = stage.cx_with("copy", &[("PGFERRY_PG_BIN", &programs)], Vec::new());
    let want = vec![
        ("from", endpoint(&standby, "source", "stored")),
        ("into", endpoint(&server, "target", "other")),
        ("confirm", Tree::text("other")),
    ];
    let copied = AnyResource::act(&Copy, &cx, change(spec(want))).await;
    copied.map_err(|fault| fault.chain()).unwrap();
    let (one, other) = ((&standby, "stored"), (&server, "other"));
    verify(&stage, one, other).await.map_err(|fault| fault.chain()).unwrap();
    assert!(warned(&stage.heard, "not compared: `public.fleeting`"));
    assert!(warned(&stage.heard, "not compared: public.useq") || server.bin.major() < 15);
    drop((standby, server));
    stage.end().await;
}

/// What takes a superuser, or what no query over the catalogue was once made for.
const RARE: &str = "
    create type point2;
    create function point2_in(cstring) returns point2 language internal immutable strict as 'textin';
    create function point2_out(point2) returns cstring language internal immutable strict as 'textout';
    create type point2 (input = point2_in, output = point2_out, storage = extended);
    create type years as enum ('one');
    create function of_years(internal) returns internal language internal immutable as 'boolin';
    create transform for years language plpgsql (from sql with function of_years(internal));
    create table t (id int primary key, a text);
    grant select on t to somebody;
    alter default privileges in schema public grant select on tables to somebody;
    comment on schema public is 'ours';
    create materialized view kept as select 1 as a, 'x'::text as b;
    alter materialized view kept alter a set statistics 50;
    create foreign data wrapper plain;
    create server far foreign data wrapper plain;
    create user mapping for somebody server far options (password 'first');
    create extension tablefunc;
    create collation german (provider = icu, locale = 'de-u-co-phonebk');
    create event trigger watched on ddl_command_start execute function watch();";

#[tokio::test(flavor = "multi_thread")]
async fn rare_kinds_of_difference_are_found() {
    let stage = Stage::new().await;
    let server = Server::start(&newest());
    server.run("postgres", "create role somebody; create role another").await;
    for database in ["stored", "other"] {
        server.run("postgres", &format!("create database {database}")).await;
    }
    let watch = "create function watch() returns event_trigger language plpgsql as 'begin end'";
    server.run("stored", &format!("{watch};{RARE}")).await;
    moved(&server.bin, &server, &server, "stored");
    // The rights were carried: a dump for the target, and a restore there.
    let read =
        |inputs: Json| Remembered { inputs: Tree::from_json(&inputs), ..Remembered::default() };
    let remembered = vec![
        (
            "postgres.dump",
            read(json!({ "source": { "$address": "source" }, "for": { "$address": "target" } })),
        ),
        ("postgres.restore", read(json!({ "into": { "$address": "target" } }))),
    ];
    let check = async || {
        let programs = newest().folder.display().to_string();
        let env = [("PGFERRY_PG_BIN", programs.as_str())];
        let cx = stage.cx_with("verified", &env, remembered.clone());
        let fields = vec![
            ("expected", endpoint(&server, "source", "stored")),
            ("actual", endpoint(&server, "target", "other")),
        ];
        AnyResource::act(&Verification, &cx, change(spec(fields))).await
    };
    check().await.map_err(|fault| fault.chain()).unwrap();

    let changes = [
        (
            "update pg_type set typstorage = 'p' where typname = 'point2'",
            "type `public.point2` differs: ",
        ),
        (
            "drop transform for years language plpgsql",
            "transform `TRANSFORM FOR public.years LANGUAGE plpgsql` is missing",
        ),
        ("grant insert on t to somebody", "rights `table public.t` differs: "),
        (
            "alter default privileges in schema public grant insert on tables to somebody",
            "rights on new objects `public.\"DEFAULT PRIVILEGES FOR TABLES\"` differs: ",
        ),
        (
            "alter function of_years(internal) owner to another",
            "function `public.of_years(internal)`: owner `postgres` expected, `another` found",
        ),
        ("comment on schema public is 'theirs'", "comment `schema public` differs: "),
        (
            "alter materialized view kept alter a set statistics 60",
            "materialized view `public.kept` differs: ",
        ),
        (
            "alter user mapping for somebody server far options (set password 'second')",
            "user mapping `USER MAPPING somebody SERVER far` differs: a value in `password '…'` is another",
        ),
        (
            "create schema ext; alter extension tablefunc set schema ext",
            "extension `tablefunc`: schema `public` expected, `ext` found",
        ),
        (
            "drop collation german; create collation german (provider = icu, locale = 'de')",
            "collation `public.german` differs: ",
        ),
        ("alter event trigger watched disable", "event trigger `watched` differs: "),
    ];
    for (change, _) in changes {
        server.run("other", change).await;
    }
    let fault = check().await.unwrap_err();
    let said: Vec<&str> = fault.message.lines().skip(1).map(str::trim).collect();
    for (_, told) in changes {
        let found = said.iter().filter(|line| line.starts_with(told)).count();
        assert_eq!(found, 1, "`{told}` in:\n{}", fault.message);
    }
    assert_eq!(said.len(), changes.len(), "{}", fault.message);
    assert!(!fault.message.contains("second"), "{}", fault.message);
    drop(server);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_and_rights_that_a_copy_carries_are_compared() {
    let stage = Stage::new().await;
    let server = Server::start(&newest());
    server.run("postgres", "create role somebody; create role another").await;
    for database in ["stored", "other"] {
        server.run("postgres", &format!("create database {database}")).await;
    }
    let owned = "
        create table t (id int primary key, a text); alter table t owner to somebody;
        grant select on t to another; grant update (a) on t to another;
        create function f() returns int language sql security definer as 'select 1';
        alter function f() owner to somebody; revoke execute on function f() from public;
        revoke usage on schema public from public;
        alter default privileges for role somebody grant select on tables to another";
    server.run("stored", owned).await;
    let programs = newest().folder.display().to_string();
    let env = [("PGFERRY_PG_BIN", programs.as_str())];
    let ends = || (endpoint(&server, "source", "stored"), endpoint(&server, "target", "other"));
    let cx = stage.cx_with("copy", &env, Vec::new());
    let (from, into) = ends();
    let want = vec![("from", from), ("into", into), ("confirm", Tree::text("other"))];
    let copied = AnyResource::act(&Copy, &cx, change(spec(want))).await;
    let copied = copied.map_err(|fault| fault.chain()).unwrap();
    let inputs = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
    let copied = stage::filled::remembered(&copied, inputs);
    let check = async || {
        let remembered = vec![("postgres.copy", copied.clone())];
        let cx = stage.cx_with("verified", &env, remembered);
        let (expected, actual) = ends();
        let fields = vec![("expected", expected), ("actual", actual)];
        AnyResource::act(&Verification, &cx, change(spec(fields))).await
    };
    check().await.map_err(|fault| fault.message).unwrap();
    let table = stage.heard.output.lock().unwrap().pop().unwrap();
    assert!(!table.contains("rights (") && !table.contains("owners ("), "{table}");

    let changes = [
        (
            "alter function f() owner to postgres",
            "function `public.f()`: owner `somebody` expected",
        ),
        ("grant execute on function f() to public", "rights `function public.f()` "),
        ("revoke select on t from another", "rights `table public.t` is missing"),
    ];
    for (change, _) in changes {
        server.run("other", change).await;
    }
    let fault = check().await.unwrap_err();
    for (_, told) in changes {
        assert!(fault.message.contains(told), "`{told}` in:\n{}", fault.message);
    }
    drop(server);
    stage.end().await;
}
