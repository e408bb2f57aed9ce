//! Two plain Postgres servers, a source's and a target's, with a superuser and the roles that cases name.
//!
//! It owns starting, stopping and administering them; which databases they hold is the tests' own business. The servers
//! of the sandbox play hosting providers and let nobody be superuser, so these are not of it. Nothing outlives a [`Server`].

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The roles that are on both servers; each can log in.
const ROLES: &str = "create role app login; create role other login; create role reader login;
    create role appowner login; create role tapp login; create database admin";

/// Settings of the tests' own sessions, whatever a database sets.
const OWN: &str = "-c client_min_messages=warning -c timezone=UTC -c bytea_output=hex -c quote_all_identifiers=off \
    -c default_transaction_isolation=read\\ committed -c default_transaction_deferrable=off -c xmloption=content \
    -c standard_conforming_strings=on";

/// Where Debian has it.
pub const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

/// The folder of the Postgres programs to use: `PGFERRY_PG_BIN`, or the newest that Debian has, or that of the `PATH`.
pub fn programs() -> PathBuf {
    if let Some(named) = std::env::var_os("PGFERRY_PG_BIN") {
        return std::env::split_paths(&named).next().unwrap();
    }
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let versions = installed.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").is_file().then_some((version, bin))
    });
    if let Some((_, newest)) = versions.max() {
        return newest;
    }
    let found = Command::new("sh").args(["-c", "command -v initdb"]).output().unwrap();
    let found = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
    found.parent().expect("`initdb` is installed").to_owned()
}

/// A server, stopped when dropped.
pub struct Server {
    pub bin: PathBuf,
    pub port: u16,
    home: tempfile::TempDir,
}

impl Server {
    /// With settings beyond those of every server here, such as `wal_level = 'logical'`.
    pub fn start(settings: &str) -> Self {
        let server = Self::new();
        server.own_done("initdb", &["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        server.launch(settings);
        server.ask("postgres", ROLES);
        server
    }

    /// A standby of `self`.
    pub fn standby(&self) -> Self {
        let server = Self::new();
        let port = self.port.to_string();
        let data = server.data().display().to_string();
        let place = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", &data];
        server.own_done("pg_basebackup", &[&place[..], &["-R", "-c", "fast"]].concat());
        server.launch("");
        server
    }

    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(account) = account() {
            chown(home.path(), Some(account), None).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { bin: programs(), port, home }
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A folder beside the data, which the server may write to.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.home.path().join(name);
        fs::create_dir(&folder).unwrap();
        if let Some(account) = account() {
            chown(&folder, Some(account), None).unwrap();
        }
        folder
    }

    fn launch(&self, settings: &str) {
        let socket = self.home.path().display();
        let text = format!(
            "\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{socket}'\nfsync = off\n\
             synchronous_commit = off\nfull_page_writes = off\nmax_connections = 60\nautovacuum = off\n{settings}\n",
            self.port
        );
        let configuration = self.data().join("postgresql.conf");
        let all = fs::read_to_string(&configuration).unwrap() + &text;
        fs::write(configuration, all).unwrap();
        let log = self.home.path().join("log").display().to_string();
        self.own_done("pg_ctl", &["--silent", "--wait", "--log", &log, "start"]);
    }

    /// One of the server's own programs, under its own account.
    fn own(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).env("PGDATA", self.data()).env("LC_ALL", "C.UTF-8");
        command.current_dir(self.home.path());
        if let Some(account) = account() {
            command.uid(account);
        }
        // A server that inherits a pipe keeps its reader waiting.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn own_done(&self, program: &str, arguments: &[&str]) {
        let status = self.own(program, arguments).status().unwrap();
        let log = || fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
        assert!(status.success(), "`{program} {}` failed\n{}", arguments.join(" "), log());
    }

    /// The connection string of a database for a role.
    pub fn url(&self, role: &str, database: &str) -> String {
        url(self.port, role, database)
    }

    /// A client program, as the superuser.
    pub fn client(&self, program: &str, database: &str) -> Command {
        let mut command = client(self.port, &self.bin.join(program), database);
        command.env("PGOPTIONS", OWN);
        command
    }

    /// One query; its rows as text, one a line, columns parted by `|`.
    pub fn ask(&self, database: &str, query: &str) -> String {
        ask(self.client("psql", database), query)
    }

    /// A pooler before the server, which hands each transaction to whatever session is free.
    pub fn pooler(&self) -> Pooler {
        let folder = self.folder("pooler");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            self.port
        );
        let settings = folder.join("pgbouncer.ini");
        fs::write(&settings, text).unwrap();
        let mut pgbouncer = self.own(PGBOUNCER, &["-q", &settings.display().to_string()]);
        let pooler = Pooler { child: pgbouncer.spawn().unwrap(), port };
        super::stage::until("the pooler listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        pooler
    }

    /// Runs a file, in which `:"database"` is the database's name.
    pub fn run(&self, database: &str, file: &Path) {
        let mut psql = self.client("psql", database);
        let named = format!("database={database}");
        let psql = psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", &named, "-f"]).arg(file);
        done(&file.display().to_string(), psql.output().unwrap());
    }
}

/// `pgbouncer`, killed when dropped.
pub struct Pooler {
    child: Child,
    pub port: u16,
}

impl Pooler {
    /// What one query through it is answered, errors included.
    pub fn ask(&self, database: &str, query: &str) -> String {
        let mut psql = client(self.port, Path::new("psql"), database);
        let output = psql.args(["-X", "-A", "-t", "-q", "-c", query]).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The connection string of a database for a role. Any password will do.
pub fn url(port: u16, role: &str, database: &str) -> String {
    format!("postgres://{role}:any@127.0.0.1:{port}/{database}?sslmode=disable")
}

fn client(port: u16, program: &Path, database: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGUSER", "postgres");
    command.env("PGDATABASE", database).env("PGSSLMODE", "disable").stdin(Stdio::null());
    command
}

fn ask(mut psql: Command, query: &str) -> String {
    // Each statement by itself: a database cannot be made in a transaction.
    let statements = query.split_inclusive(';').flat_map(|statement| ["-c", statement]);
    let psql = psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]).args(statements);
    done(query, psql.output().unwrap())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.own("pg_ctl", &["-m", "immediate", "stop"]).status();
    }
}

/// What a program that must succeed said.
#[track_caller]
pub fn done(what: &str, output: Output) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The account of servers where root runs the tests, since they refuse root: `postgres`, or else `nobody`.
fn account() -> Option<u32> {
    if fs::metadata("/proc/self").is_ok_and(|me| me.uid() != 0) {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of = |name: &str| {
        let line = accounts.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        line.split(':').nth(2)?.parse().ok()
    };
    of("postgres").or_else(|| of("nobody"))
}
