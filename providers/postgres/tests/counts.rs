//! What a run asks of servers and of a bucket: counted where it is answered, never timed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stage::bare::{Server, Yard};

/// Tables of a few rows each.
const SMALL: usize = 120;

fn make_small(server: &Server) {
    server.run("postgres", "create database source");
    let made = format!(
        "do $$ begin for i in 1 .. {SMALL} loop execute format(
           'create table small_%s (id int primary key, t text);
            insert into small_%1$s select g, ''row '' || g from generate_series(1, %1$s %% 7) g;
            create index on small_%1$s (t)', i); end loop; end $$"
    );
    server.run("source", &made);
}

fn lines<'l>(log: &'l str, words: &[&str]) -> Vec<&'l str> {
    log.lines().filter(|line| words.iter().all(|word| line.contains(word))).collect()
}

/// Each is filled, and few of them in a transaction of its own.
fn filled_together(into: &Server, said_before: usize, way: &str) {
    let log = into.log().split_off(said_before);
    let filled = lines(&log, &["copy ", "small_", "from stdin"]);
    assert_eq!(filled.len(), SMALL, "{way}: {filled:#?}");
    let alone = lines(&log, &["begin; truncate only", "small_"]).len();
    let begun = log.lines().filter(|line| line.ends_with("statement: begin")).count();
    assert!(alone + begun <= SMALL / 4, "{way}: {alone} alone, {begun} transactions together");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_tables_share_transactions_and_requests() {
    let yard = Yard::new().await;
    let (from, into) = (Server::start(), Server::with(&["log_statement = all"]));
    make_small(&from);
    for database in ["copied", "restored"] {
        into.run("postgres", &format!("create database {database}"));
    }
    let source = || from.handle("source", "postgres", "source");
    let target = |database: &str| into.handle("target", "postgres", database);

    let before = into.log().len();
    let done = yard.copy(yard.copy_of(source(), target("copied"), "copied")).await;
    done.map_err(|fault| fault.chain()).unwrap();
    filled_together(&into, before, "copied");

    let (_, dump) = yard.dump(yard.dump_of(source(), Some(target("restored")), "small")).await;
    let (before, asked) = (into.log().len(), yard.ranges.load(Ordering::Relaxed));
    yard.restore(dump, target("restored"), "restored").await;
    filled_together(&into, before, "restored");
    let asked = yard.ranges.load(Ordering::Relaxed) - asked;
    assert!(asked <= SMALL / 4, "{asked} requests for {SMALL} blocks");
    for database in ["copied", "restored"] {
        assert_eq!(into.dumped(database, &[]), from.dumped("source", &[]), "{database}");
    }
}

/// It looks at every file of the database: the role's search path puts one that is counted before the server's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_asks_for_the_size_of_the_database_once() {
    let yard = Yard::new().await;
    let from = Server::with(&["track_functions = pl"]);
    make_small(&from);
    from.run("postgres", "alter role postgres set search_path = public, pg_catalog");
    from.run(
        "source",
        "create function public.pg_database_size(name) returns bigint language plpgsql
           as 'begin return pg_catalog.pg_database_size($1); end'",
    );
    let source = from.handle("source", "postgres", "source");
    yard.dump(yard.dump_of(source, None, "sized")).await;
    // Counts are handed in when a session ends.
    let begun = Instant::now();
    let calls = loop {
        let calls =
            from.ask("source", "select coalesce(sum(calls), 0) from pg_stat_user_functions");
        if calls != "0" {
            break calls;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it is not asked for, or not here");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(calls, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_build_an_index_only_if_nothing_else_is_to_be_done() {
    let yard = Yard::new().await;
    let from = Server::start();
    // It says of each index how many processes it wants for it.
    let into = Server::with(&[
        "log_min_messages = debug1",
        "max_parallel_maintenance_workers = 2",
        "min_parallel_table_scan_size = 0",
    ]);
    let rows =
        "insert into t select g, g, g, g, g, g, repeat('x', 40) from generate_series(1, 40000) g";
    let table = "create table t (a int, b int, c int, d int, e int, f int, x text)";
    for (name, indexes) in [("one", &["a"][..]), ("many", &["a", "b", "c", "d", "e", "f"])] {
        for server in [&from, &into] {
            server.run("postgres", &format!("create database {name}"));
        }
        from.run(name, table);
        from.run(name, rows);
        for column in indexes {
            from.run(name, &format!("create index {name}_{column} on t ({column})"));
        }
        let source = from.handle("source", "postgres", name);
        let target = into.handle("target", "postgres", name);
        let done = yard.copy(yard.copy_of(source, target, name)).await;
        done.map_err(|fault| fault.chain()).unwrap();
    }
    let log = into.log();
    let built = |of: &str| lines(&log, &[&format!("building index \"{of}_")]);
    let parallel = |of: &str| lines(&log, &[&format!("building index \"{of}_"), "request for"]);
    assert_eq!((built("one").len(), parallel("one").len()), (1, 1), "{:#?}", built("one"));
    // The last one at most.
    assert_eq!(built("many").len(), 6, "{:#?}", built("many"));
    assert!(parallel("many").len() <= 1, "{:#?}", built("many"));
}
