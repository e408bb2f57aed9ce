//! Archives of every pair of server and `pg_dump`, read by every `pg_restore`, and every server moved into every later one,
//! proved: as many as there are on this machine.
//!
//! `PGFERRY_MATRIX` names folders of binaries, as `PATH` does (left out, Debian's); each with `initdb` and `postgres` is a
//! server, each with `pg_dump` and `pg_restore` a client. `cargo test -p pgferry-postgres --test matrix -- --ignored --nocapture` prints
//! the table.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::AnyResource;
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::copy::Copy;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::restore::Restore;
use pgferry_postgres::verification::Verification;
use serde_json::json;
use stage::{Stage, change, spec};

/// Smaller than in `parallel`: it is made for each version of a server.
const WILD: &str = include_str!("parallel/wild.sql");
/// One of each kind of object.
const KINDS: &str = include_str!("catalogue/kinds.sql");
/// The account of servers where root runs the test, as they refuse root: Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// A folder of programs of one version.
#[derive(Clone)]
struct Bin {
    folder: PathBuf,
    version: String,
}

impl Bin {
    fn of(folder: &Path, program: &str) -> Option<Self> {
        let mut bin = Self { folder: folder.to_owned(), version: String::new() };
        let text = String::from_utf8(bin.command(program).arg("--version").output().ok()?.stdout);
        bin.version =
            text.ok()?.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?.to_owned();
        Some(bin)
    }

    fn major(&self) -> u32 {
        self.version.split('.').next().unwrap().parse().unwrap()
    }

    /// Whether it reads an archive in this compression, of which `pg_dump` knows as much.
    fn reads(&self, method: &str) -> bool {
        let mut asked = self.command("pg_dump");
        let asked = asked.args(["-Fc", &format!("--compress={method}"), "-h", "/nowhere"]);
        let said = String::from_utf8(asked.output().unwrap().stderr).unwrap();
        method == "zlib" || (said.contains("/nowhere") && self.major() >= 16)
    }

    fn libraries(&self) -> String {
        self.folder.with_file_name("lib").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.env("LD_LIBRARY_PATH", self.libraries()).env("LC_ALL", "C").current_dir("/");
        command
    }
}

/// A server of its own, stopped when dropped.
struct Server {
    bin: Bin,
    data: tempfile::TempDir,
    port: u16,
}

impl Server {
    fn start(bin: &Bin) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin: bin.clone(), data, port };
        let path = server.data.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        if is_root(path) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let initdb = ["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"];
        done(server.own("initdb").args(initdb).output().unwrap());
        let options = format!("-p {port} -k {} -c fsync=off -h 127.0.0.1", path.display());
        let mut start = server.own("pg_ctl");
        // A server that inherits a pipe keeps its reader waiting.
        let start = start.args(["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
        assert!(start.stdout(Stdio::null()).status().unwrap().success());
        server
    }

    fn own(&self, program: &str) -> Command {
        let mut command = self.bin.command(program);
        command.current_dir(self.data.path());
        if is_root(Path::new("/proc/self")) {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn client(&self, bin: &Bin, program: &str) -> Command {
        let mut command = bin.command(program);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        command.env("PGUSER", "postgres").env("PGSSLMODE", "disable");
        command
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    async fn run(&self, database: &str, sql: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    }

    /// What the newest `pg_dump` says of a database.
    fn described(&self, newest: &Bin, database: &str) -> Vec<String> {
        let out = done(self.client(newest, "pg_dump").args(["-b", database]).output().unwrap());
        let text = String::from_utf8(out.stdout).unwrap();
        // A key that differs each time; and rows that are in a partition by a hash of their database's own numbers.
        let odd = ["\\restrict ", "\\unrestrict ", "sad\t", "ok\t", "happy\t"];
        let lines = text.lines().filter(|line| !odd.iter().any(|odd| line.starts_with(odd)));
        lines.map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _stopped = self.own("pg_ctl").args(["-D", "data", "-m", "immediate", "stop"]).output();
    }
}

fn is_root(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.uid() == 0)
}

#[track_caller]
fn done(out: Output) -> Output {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out
}

fn endpoint(server: &Server, address: &str, database: &str) -> Tree {
    let attrs = [
        ("url".to_owned(), Tree::Secret(Secret::new(server.url(database)))),
        ("tls".to_owned(), Tree::text("none")),
    ];
    let (address, id) = (Address::new(address), Some("id".to_owned()));
    Tree::Resource(Arc::new(Handle { address, id, attrs: attrs.into() }))
}

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

fn folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("PGFERRY_MATRIX") {
        return std::env::split_paths(&named).collect();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    installed.filter_map(Result::ok).map(|version| version.path().join("bin")).collect()
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
    let cx = stage.cx_with("verified", &[], vec![read]);
    let want = vec![("expected", source), ("actual", target)];
    AnyResource::act(&Verification, &cx, change(spec(want))).await.map(drop)
}
