//! Servers of their own for a test, of any version whose programs are in one folder, and what is in them.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};

/// The account of servers where root runs the test, as they refuse root: Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// A folder of programs of one version.
#[derive(Clone)]
pub(crate) struct Bin {
    pub(crate) folder: PathBuf,
    pub(crate) version: String,
}

impl Bin {
    pub(crate) fn of(folder: &Path, program: &str) -> Option<Self> {
        let mut bin = Self { folder: folder.to_owned(), version: String::new() };
        let text = String::from_utf8(bin.command(program).arg("--version").output().ok()?.stdout);
        bin.version =
            text.ok()?.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?.to_owned();
        Some(bin)
    }

    pub(crate) fn major(&self) -> u32 {
        self.version.split('.').next().unwrap().parse().unwrap()
    }

    /// Whether it reads an archive in this compression, of which `pg_dump` knows as much.
    pub(crate) fn reads(&self, method: &str) -> bool {
        let mut asked = self.command("pg_dump");
        let asked = asked.args(["-Fc", &format!("--compress={method}"), "-h", "/nowhere"]);
        let said = String::from_utf8(asked.output().unwrap().stderr).unwrap();
        method == "zlib" || (said.contains("/nowhere") && self.major() >= 16)
    }

    pub(crate) fn libraries(&self) -> String {
        self.folder.with_file_name("lib").display().to_string()
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command.env("LD_LIBRARY_PATH", self.libraries()).env("LC_ALL", "C").current_dir("/");
        command
    }
}

/// A server of its own, stopped when dropped.
pub(crate) struct Server {
    pub(crate) bin: Bin,
    data: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub(crate) fn start(bin: &Bin) -> Self {
        let server = Self::folder(bin);
        let initdb = ["-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"];
        done(server.own("initdb").args(initdb).output().unwrap());
        server.up()
    }

    /// A standby that follows it.
    pub(crate) fn standby(&self) -> Self {
        let server = Self::folder(&self.bin);
        let port = self.port.to_string();
        let copy = ["-D", "data", "-R", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        let copy = [&copy[..], &["-c", "fast", "--no-sync"]].concat();
        done(server.own("pg_basebackup").args(copy).output().unwrap());
        server.up()
    }

    /// One that is not there yet.
    fn folder(bin: &Bin) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = data.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        if is_root(path) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { bin: bin.clone(), data, port }
    }

    fn up(self) -> Self {
        let (port, path) = (self.port, self.data.path().display());
        let options = format!("-p {port} -k {path} -c fsync=off -h 127.0.0.1");
        let mut start = self.own("pg_ctl");
        // A server that inherits a pipe keeps its reader waiting.
        let start = start.args(["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
        assert!(start.stdout(Stdio::null()).status().unwrap().success());
        self
    }

    pub(crate) fn own(&self, program: &str) -> Command {
        let mut command = self.bin.command(program);
        command.current_dir(self.data.path());
        if is_root(Path::new("/proc/self")) {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    pub(crate) fn client(&self, bin: &Bin, program: &str) -> Command {
        let mut command = bin.command(program);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        command.env("PGUSER", "postgres").env("PGSSLMODE", "disable");
        command
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) async fn run(&self, database: &str, sql: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
    }

    /// What the newest `pg_dump` says of a database.
    pub(crate) fn described(&self, newest: &Bin, database: &str) -> Vec<String> {
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
pub(crate) fn done(out: Output) -> Output {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out
}

pub(crate) fn endpoint(server: &Server, address: &str, database: &str) -> Tree {
    let attrs = [
        ("url".to_owned(), Tree::Secret(Secret::new(server.url(database)))),
        ("tls".to_owned(), Tree::text("none")),
    ];
    let (address, id) = (Address::new(address), Some("id".to_owned()));
    Tree::Resource(Arc::new(Handle { address, id, attrs: attrs.into() }))
}

/// Folders of programs: those that `PGFERRY_MATRIX` names, else Debian's.
pub(crate) fn folders() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("PGFERRY_MATRIX") {
        return std::env::split_paths(&named).collect();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    installed.filter_map(Result::ok).map(|version| version.path().join("bin")).collect()
}
