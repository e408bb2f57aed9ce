//! Archives of every pair of server and `pg_dump`, read by every `pg_restore`, and every server moved into every later one,
//! proved: as many as there are on this machine.
//!
//! `PGFERRY_MATRIX` names folders of binaries, as `PATH` does (left out, Debian's); each with `initdb` and `postgres` is a
//! server, each with `pg_dump` and `pg_restore` a client. `cargo test -p pgferry-postgres --test matrix -- --ignored --nocapture` prints
//! the table.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::process::{Command, Stdio};
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::AnyResource;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::copy::Copy;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::restore::Restore;
use pgferry_postgres::verification::Verification;
use serde_json::json;
use stage::servers::{Bin, Server, endpoint, folders};
use stage::{Stage, change, spec};

/// Smaller than in `parallel`: it is made for each version of a server.
const WILD: &str = include_str!("parallel/wild.sql");
/// One of each kind of object.
const KINDS: &str = include_str!("catalogue/kinds.sql");
fn wild(major: u32) -> String {
    let smaller = [("(1, 18000)", "(1, 900)"), ("(1, 108)", "(1, 2)")];
    let mut sql = WILD.to_owned();
    for (from, to) in smaller {
        assert!(sql.contains(from), "{from}");
        sql = sql.replace(from, to);
    }
    if major < 14 {
        sql = sql.replace("'{[1,2),[5,)}'::int4multirange as m, ", "");
    }
    sql
}

/// The only error that costs nothing: a limit that `pg_restore` knows since 17, and older servers do not.
fn harmless(said: &str) -> bool {
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("error: ")).collect();
    errors.len() == 1 && errors[0].contains("\"transaction_timeout\"")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants servers and clients of several versions, named by PGFERRY_MATRIX"]
async fn every_version_reads_what_every_version_writes() {
    let folders = folders();
    let mut servers: Vec<Bin> =
        folders.iter().filter_map(|folder| Bin::of(folder, "postgres")).collect();
    let mut clients: Vec<Bin> =
        folders.iter().filter_map(|folder| Bin::of(folder, "pg_restore")).collect();
    servers.sort_by_key(Bin::major);
    servers.dedup_by(|one, other| one.version == other.version);
    clients.sort_by_key(Bin::major);
    let newest = clients.last().expect("a client").clone();
    let stage = Stage::new().await;
    let mut tried = 0;
    for bin in servers.iter().filter(|server| server.major() <= newest.major()) {
        let server = Server::start(bin);
        server.run("postgres", "create database wild").await;
        server.run("wild", &wild(bin.major())).await;
        let source = server.described(&newest, "wild");
        let dumpers = clients.iter().filter(|client| client.major() >= bin.major());
        let archives = dumpers.flat_map(|dumper| ["zlib", "zstd"].map(|method| (dumper, method)));
        for (dumper, method) in archives {
            let object = format!("{}-{}-{method}", bin.version, dumper.version);
            let bucket = spec(vec![
                ("bucket", stage.bucket_handle()),
                ("object", Tree::text(object.clone())),
            ]);
            let want = spec(vec![
                ("source", endpoint(&server, "source", "wild")),
                ("for", endpoint(&server, "target", "postgres")),
                ("to", bucket),
                ("jobs", Tree::from_json(&json!(3))),
                ("compression", Tree::text(method)),
            ]);
            let (folder, libraries) = (dumper.folder.display().to_string(), dumper.libraries());
            let env = [("PGFERRY_PG_BIN", folder.as_str()), ("LD_LIBRARY_PATH", &libraries)];
            let cx = stage.cx_with("dump", &env, Vec::new());
            let made = AnyResource::act(&Dump, &cx, change(want)).await;
            let attrs = made.map_err(|fault| fault.chain()).unwrap().attrs.storable();
            assert_eq!(attrs["pg_dump_version"], *dumper.version);
            let size = attrs["size"].as_u64().unwrap();
            let file = stage.home.path().join(&object);
            let bytes = stage.bucket().get_range(&object, 0..size).await.unwrap();
            std::fs::write(&file, bytes).unwrap();
            for restorer in clients.iter().filter(|restorer| restorer.reads(method)) {
                server.run("postgres", "drop database if exists other").await;
                server.run("postgres", "create database other").await;
                let mut cat =
                    Command::new("cat").arg(&file).stdout(Stdio::piped()).spawn().unwrap();
                let mut restore = server.client(restorer, "pg_restore");
                let restore = restore.args(["-d", "other"]).stdin(cat.stdout.take().unwrap());
                let out = restore.output().unwrap();
                let said = String::from_utf8_lossy(&out.stderr);
                assert!(out.status.success() || harmless(&said), "{object}: {said}");
                assert!(cat.wait().unwrap().success());
                let found = server.described(&newest, "other");
                let differs = source.iter().zip(&found).find(|(one, other)| one != other);
                assert!(source == found, "{object} by {}: {differs:?}", restorer.version);
                println!(
                    "server {:<8} pg_dump {:<8} archive {} {method} pg_restore {:<8} equal",
                    bin.version,
                    dumper.version,
                    attrs["archive_version"].as_str().unwrap(),
                    restorer.version
                );
                tried += 1;
            }
            std::fs::remove_file(&file).unwrap();
        }
    }
    assert!(tried > 0, "no server and client fit in {folders:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants servers of several versions, named by PGFERRY_MATRIX"]
async fn every_server_is_moved_into_every_later_one_and_proved() {
    let folders = folders();
    let mut servers: Vec<Bin> =
        folders.iter().filter_map(|folder| Bin::of(folder, "postgres")).collect();
    servers.sort_by_key(Bin::major);
    servers.dedup_by(|one, other| one.version == other.version);
    let clients = folders.iter().filter_map(|folder| Bin::of(folder, "pg_restore"));
    let newest = clients.max_by_key(Bin::major).expect("a client");
    let servers: Vec<Server> = servers.iter().map(Server::start).collect();
    let stage = Stage::new().await;
    let (folder, libraries) = (newest.folder.display().to_string(), newest.libraries());
    let env = [("PGFERRY_PG_BIN", folder.as_str()), ("LD_LIBRARY_PATH", &libraries)];
    // Not every package is built with ICU.
    let kinds: String = KINDS
        .lines()
        .filter(|line| !line.contains("provider = icu"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut wrong = Vec::new();
    for from in &servers {
        from.run("postgres", "create database wild").await;
        from.run("wild", &wild(from.bin.major())).await;
        from.run("wild", &kinds).await;
        for into in servers.iter().filter(|into| into.bin.major() >= from.bin.major()) {
            for way in ["postgres.copy", "postgres.restore"] {
                into.run("postgres", "drop database if exists other").await;
                into.run("postgres", "create database other").await;
                let pair = format!("{} into {} by {way}", from.bin.version, into.bin.version);
                match moved_and_proved(&stage, &env, way, from, into).await {
                    Ok(()) => println!("{pair}: proved"),
                    Err(fault) => wrong.push(format!("{pair}: {}", fault.chain())),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    stage.end().await;
}

async fn moved_and_proved(
    stage: &Stage,
    env: &[(&str, &str)],
    way: &str,
    from: &Server,
    into: &Server,
) -> Result<(), Fault> {
    let (source, target) = (endpoint(from, "source", "wild"), endpoint(into, "target", "other"));
    let confirm = ("confirm", Tree::text("other"));
    let cx = stage.cx_with("moved", env, Vec::new());
    let read = if way == "postgres.copy" {
        let want = vec![("from", source.clone()), ("into", target.clone()), confirm];
        let copied = AnyResource::act(&Copy, &cx, change(spec(want))).await?;
        let ends = json!({ "from": { "$address": "source" }, "into": { "$address": "target" } });
        ("postgres.copy", stage::filled::remembered(&copied, ends))
    } else {
        let object = format!("{}-{}", from.bin.version, into.bin.version);
        let want = vec![
            ("source", source.clone()),
            ("for", target.clone()),
            ("to", spec(vec![("bucket", stage.bucket_handle()), ("object", Tree::text(object))])),
            ("compression", Tree::text("zstd")),
        ];
        let dumped = AnyResource::act(&Dump, &cx, change(spec(want))).await?;
        let Tree::Map(attrs) = dumped.attrs.clone() else { panic!("attributes") };
        let handle = Handle { address: Address::new("dump"), id: Some(dumped.id.clone()), attrs };
        let dump = Tree::Resource(Arc::new(handle));
        let want = vec![("from", dump), ("into", target.clone()), confirm];
        AnyResource::act(&Restore, &cx, change(spec(want))).await?;
        let source = json!({ "source": { "$address": "source" } });
        ("postgres.dump", stage::filled::remembered(&dumped, source))
    };
    let cx = stage.cx_with("verified", env, vec![read]);
    let want = vec![("expected", source), ("actual", target)];
    AnyResource::act(&Verification, &cx, change(spec(want))).await.map(drop)
}
