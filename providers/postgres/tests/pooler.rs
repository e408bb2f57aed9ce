//! Poolers, by a real pgbouncer: one that lends by transaction is refused with nothing left behind, one in session mode
//! will do, and one that is used up is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pgferry_engine::fault::Fault;
use pgferry_engine::resource::AnyResource;
use pgferry_engine::tree::Tree;
use pgferry_postgres::connect::{Access, Format, connect};
use pgferry_postgres::copy::Copy;
use pgferry_postgres::database::Database;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::freeze::Freeze;
use pgferry_postgres::settings::Settings;
use pgferry_postgres::verification::Verification;
use serde_json::json;
use stage::filled::{make_odd, same_dump};
use stage::pool::Pool;
use stage::{Stage, change, spec};

/// All that a session of ours is ever set to, and what a client may leave in the server's process.
const LEFT: &str = "select string_agg(name || '=' || setting, E'\n' order by name) from pg_settings
    where source = 'session' and name not in ('application_name', 'client_encoding');
    show default_transaction_read_only; show statement_timeout; show search_path; show datestyle;
    select count(*) from pg_prepared_statements";

fn refused(what: &str, fault: Option<Fault>) {
    let fault = fault.unwrap_or_else(|| panic!("{what}: it was not refused"));
    let chain = fault.chain();
    assert!(chain.starts_with("[PGF1107] a connection pooler"), "{what}: {chain}");
    assert!(fault.help.unwrap().contains("the server itself"), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_that_lend_by_transaction_are_refused_with_nothing_left_in_them() {
    let stage = Stage::new().await;
    let made = "create table public.app_writes (a int)";
    stage.source().await.batch_execute(made).await.unwrap();
    for settings in [
        "pool_mode = transaction\nignore_startup_parameters = extra_float_digits,options",
        "pool_mode = transaction\ndefault_pool_size = 1",
        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 3",
        "pool_mode = statement",
    ] {
        let Some(pool) = Pool::before(&stage, settings) else { return stage.end().await };
        // An idle pool with one process, as at night.
        let write = "insert into public.app_writes values (1)";
        pool.psql(&stage, "acme_org_db", write).unwrap();
        let before = pool.psql(&stage, "acme_org_db", LEFT).unwrap();
        for access in [Access::ReadOnly, Access::ReadWrite] {
            for format in [Format::Own, Format::Canonical { float_digits: 3 }] {
                let session = connect(&pool.endpoint("acme_org_db"), access, format).await;
                refused(settings, session.err());
            }
        }
        let (cx, pooled) = (stage.cx("r"), pool.handle("pooled", "acme_org_db"));
        let url = pool.endpoint("acme_org_db").url;
        let lookup = spec(vec![("url", Tree::Secret(url)), ("tls", Tree::text("none"))]);
        refused("lookup", AnyResource::read(&Database, &cx, &lookup, None).await.err());
        for (from, into) in
            [(pooled.clone(), stage.target_handle()), (stage.target_handle(), pooled.clone())]
        {
            let copy = spec(vec![
                ("from", from.clone()),
                ("into", into.clone()),
                ("confirm", Tree::text("acme_org_db")),
            ]);
            refused("plan", AnyResource::inspect(&Copy, &cx, &copy, None).await.err());
            refused("copy", AnyResource::act(&Copy, &cx, change(copy)).await.err());
            let dump = spec(vec![
                ("source", from.clone()),
                ("for", into.clone()),
                ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text("o"))])),
            ]);
            refused("dump", AnyResource::inspect(&Dump, &cx, &dump, None).await.err());
            let sides = spec(vec![("expected", from.clone()), ("actual", into.clone())]);
            refused("proof", AnyResource::act(&Verification, &cx, change(sides)).await.err());
        }
        let frozen = spec(vec![("database", pooled.clone())]);
        refused("freeze", AnyResource::inspect(&Freeze, &cx, &frozen, None).await.err());
        refused("frozen", AnyResource::open(&Freeze, &cx, &frozen, None).await.err());
        let like = spec(vec![("database", pooled.clone()), ("like", stage.source_handle())]);
        refused("settings", AnyResource::act(&Settings, &cx, change(like)).await.err());

        assert_eq!(pool.psql(&stage, "acme_org_db", LEFT).unwrap(), before, "{settings}");
        for _ in 0..5 {
            pool.psql(&stage, "acme_org_db", write).unwrap();
        }
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_is_recognised_as_well() {
    let stage = Arc::new(Stage::new().await);
    let settings = "pool_mode = transaction\ndefault_pool_size = 5";
    let Some(pool) = Pool::before(&stage, settings) else { return };
    let (pool, done) = (Arc::new(pool), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let (pool, stage, done) = (Arc::clone(&pool), Arc::clone(&stage), Arc::clone(&done));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    pool.psql(&stage, "acme_org_db", "select pg_sleep(0.01)").unwrap();
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let session = connect(&pool.endpoint("acme_org_db"), Access::ReadOnly, Format::Own).await;
        refused("busy", session.err());
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    drop(pool);
    Arc::into_inner(stage).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_in_session_mode_carries_a_copy_and_is_left_as_it_was() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    make_odd(&from);
    let session = "pool_mode = session";
    let Some(source) = Pool::before(&from, session) else {
        from.end().await;
        return into.end().await;
    };
    let target = Pool::before(&into, session).unwrap();
    let before = source.psql(&from, "acme_org_db", LEFT).unwrap();
    let copy = spec(vec![
        ("from", source.handle("source", "acme_org_db")),
        ("into", target.handle("target", "target")),
        ("confirm", Tree::text("target")),
        ("jobs", Tree::from_json(&json!(2))),
    ]);
    let cx = from.cx("copy");
    AnyResource::inspect(&Copy, &cx, &copy, None).await.unwrap().unwrap();
    AnyResource::act(&Copy, &cx, change(copy)).await.map_err(|fault| fault.chain()).unwrap();
    same_dump(&from, &into);
    assert_eq!(source.psql(&from, "acme_org_db", LEFT).unwrap(), before);
    source.psql(&from, "acme_org_db", "create table public.after_it ()").unwrap();
    target.psql(&into, "target", "create table public.after_it ()").unwrap();
    drop((source, target));
    from.end().await;
    into.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_with_too_few_sessions_is_told_within_a_minute() {
    let (from, into) = tokio::join!(Stage::new(), Stage::new());
    let few = "pool_mode = session\ndefault_pool_size = 3\nquery_wait_timeout = 0";
    let Some(pool) = Pool::before(&from, few) else {
        from.end().await;
        return into.end().await;
    };
    let copy = spec(vec![
        ("from", pool.handle("source", "acme_org_db")),
        ("into", into.target_handle()),
        ("confirm", Tree::text("target")),
    ]);
    let begun = Instant::now();
    let fault = AnyResource::act(&Copy, &from.cx("copy"), change(copy)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let chain = fault.chain();
    assert!(chain.contains("5 sessions are needed, 3 were given"), "{chain}");
    assert!(chain.contains("had no session left for 30 s"), "{chain}");
    assert!(fault.help.unwrap().contains("the pool's size"));
    drop(pool);

    // A server says so itself; the role's limit is told with what is wanted, too.
    let limit = "create role few login password 'of-the-few' connection limit 1";
    from.source().await.batch_execute(limit).await.unwrap();
    let mut endpoint = from.endpoint("acme_org_db");
    let mut url = url::Url::parse(endpoint.url.expose()).unwrap();
    url.set_username("few").unwrap();
    url.set_password(Some("of-the-few")).unwrap();
    endpoint.url = pgferry_engine::secret::Secret::new(url.as_str());
    let _first = connect(&endpoint, Access::ReadOnly, Format::Own).await.unwrap();
    let fault = connect(&endpoint, Access::ReadOnly, Format::Own).await.err().unwrap();
    assert!(fault.chain().contains("too many connections for role"), "{}", fault.chain());
    assert!(fault.help.unwrap().contains("CONNECTION LIMIT"));
    drop(_first);
    from.end().await;
    into.end().await;
}
