//! A real Postgres server of the sandbox: made, started on a free loopback port with TLS, and stopped.
//!
//! It owns the data directory and the server's configuration; it does not know what the databases are for. Connections
//! for the sandbox's own use go through the Unix socket in the data directory. Tested in `tests/servers.rs`.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};

use crate::error::Error;
use crate::installation::{Account, Installation};
use crate::random;
use crate::tls::Identity;

/// The superuser of the sandbox's servers; no customer ever sees it.
const SUPERUSER: &str = "internal";

/// Settings of servers that lose everything with the machine.
const QUICK: &str = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = '32MB'\n\
    max_wal_size = '1GB'";
/// And of those that lose nothing, as people have them.
const DURABLE: &str = "fsync = on\nsynchronous_commit = on\nfull_page_writes = on\nshared_buffers = '1GB'\n\
    max_wal_size = '8GB'";

/// A running server.
pub(crate) struct Cluster {
    pub(crate) installation: Installation,
    pub(crate) port: u16,
    data: PathBuf,
    account: Account,
    superuser_password: String,
}

/// A role of a server and its password.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Cluster {
    /// Makes a server in `data` (which must not exist; its parent must belong to `account`) and starts it.
    ///
    /// # Errors
    /// When a program fails, or no port stays free through five attempts; `data` is then left for the caller to remove.
    pub(crate) async fn start(
        data: PathBuf,
        installation: Installation,
        account: Account,
        (identity, durable): (&Identity, bool),
    ) -> Result<Self, Error> {
        let mut cluster =
            Self { installation, port: 0, data, account, superuser_password: random::secret(32) };
        cluster.initialise().await?;
        cluster.configure(identity, durable)?;
        let mut last = None;
        for _ in 0..5 {
            cluster.port = free_port()?;
            match cluster.launch().await {
                Ok(()) => return Ok(cluster),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("five attempts were made"))
    }

    fn command(&self, program: &'static str) -> Command {
        let mut command = Command::new(self.installation.program(program));
        command.env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Account::Other { user, group } = self.account {
            command.uid(user).gid(group);
        }
        command
    }

    async fn initialise(&self) -> Result<(), Error> {
        let password_file = self.data.with_extension("password");
        write_private(&password_file, &self.superuser_password)?;
        self.account.give(&password_file)?;
        let mut said = String::new();
        // `C.UTF-8` sorts alike everywhere, but older systems lack it.
        for locale in ["C.UTF-8", "C"] {
            let output = self
                .command("initdb")
                .arg("--pgdata")
                .arg(&self.data)
                .args([
                    "--encoding=UTF8",
                    "--no-sync",
                    "--auth=scram-sha-256",
                    "--username",
                    SUPERUSER,
                ])
                .arg(format!("--locale={locale}"))
                .arg("--pwfile")
                .arg(&password_file)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .output()
                .await
                .map_err(Error::system("running `initdb`"))?;
            if output.status.success() {
                return std::fs::remove_file(&password_file)
                    .map_err(Error::file("removing", &password_file));
            }
            said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
        }
        Err(Error::Program { program: "initdb", output: tail(&said) })
    }

    fn configure(&self, identity: &Identity, durable: bool) -> Result<(), Error> {
        for (name, text) in [("server.crt", &identity.certificate), ("server.key", &identity.key)] {
            let path = self.data.join(name);
            write_private(&path, text)?;
            self.account.give(&path)?;
        }
        let settings = self.data.join("postgresql.conf");
        let mut text =
            std::fs::read_to_string(&settings).map_err(Error::file("reading", &settings))?;
        let kept = if durable { DURABLE } else { QUICK };
        text.push_str(&format!(
            "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{socket}'\nssl = on\n{kept}\n\
             max_connections = 100\npassword_encryption = 'scram-sha-256'\n\
             log_min_error_statement = 'panic'\nlog_statement = 'none'\n",
            socket = self.data.display().to_string().replace('\'', "''"),
        ));
        std::fs::write(&settings, text).map_err(Error::file("writing", &settings))?;
        let access = self.data.join("pg_hba.conf");
        let rules = "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all 0.0.0.0/0 reject\n";
        std::fs::write(&access, rules).map_err(Error::file("writing", &access))
    }

    async fn launch(&self) -> Result<(), Error> {
        let log = self.data.with_extension("log");
        let status = self
            .command("pg_ctl")
            .args(["start", "--silent", "--wait", "--timeout=60", "--pgdata"])
            .arg(&self.data)
            .arg("--log")
            .arg(&log)
            .arg("--options")
            .arg(format!("-p {}", self.port))
            .status()
            .await
            .map_err(Error::system("running `pg_ctl`"))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        Err(Error::Program { program: "pg_ctl", output: tail(&said) })
    }

    /// Connects through the Unix socket.
    ///
    /// # Errors
    /// When the server is gone or refuses the login.
    pub(crate) async fn connect(&self, login: &Login, database: &str) -> Result<Client, Error> {
        let (client, connection) = tokio_postgres::Config::new()
            .host_path(&self.data)
            .port(self.port)
            .user(&login.user)
            .password(&login.password)
            .dbname(database)
            .application_name("sandbox")
            .connect_timeout(Duration::from_secs(10))
            .connect(NoTls)
            .await
            .map_err(Error::postgres("connecting to a server of the sandbox"))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Connects as the superuser.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) async fn superuser(&self, database: &str) -> Result<Client, Error> {
        let login = Login { user: SUPERUSER.into(), password: self.superuser_password.clone() };
        self.connect(&login, database).await
    }

    /// Returns when no client is connected to `database` any more (or, with `program`, none of that name), so that all
    /// they counted in the statistics of the server has arrived there.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) async fn settle(&self, database: &str, program: Option<&str>) -> Result<(), Error> {
        let outside = self.superuser("template1").await?;
        let query = "select count(*) from pg_stat_activity
            where datname = $1 and backend_type = 'client backend' and ($2::text is null or application_name = $2)";
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let row = outside.query_one(query, &[&database, &program]).await;
            let row = row.map_err(Error::postgres("counting the clients of a database"))?;
            if row.get::<_, i64>(0) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Stops the server at once; stopping twice is no error.
    ///
    /// # Errors
    /// [`Error::Immortal`] when it outlives even `SIGKILL`.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        let data = self.data.clone();
        tokio::task::spawn_blocking(move || stop_server_in(&data))
            .await
            .expect("stopping a server does not panic")
    }
}

/// Stops the server whose data directory is `data`, if one runs: also one that another process started. Blocks.
///
/// `postmaster.pid` names the process; it is believed only if that process was started with this very directory.
///
/// # Errors
/// [`Error::Immortal`] when it outlives even `SIGKILL`.
pub(crate) fn stop_server_in(data: &Path) -> Result<(), Error> {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|pid| runs_with(*pid, data)) else { return Ok(()) };
    for (signal, patience) in [(Signal::QUIT, 10), (Signal::KILL, 5)] {
        let _gone_already = rustix::process::kill_process(pid, signal);
        let deadline = Instant::now() + Duration::from_secs(patience);
        while Instant::now() < deadline {
            if !runs_with(pid, data) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Err(Error::Immortal { pid: pid.as_raw_nonzero().get() })
}

/// Whether process `pid` is a server started with `data`.
fn runs_with(pid: Pid, data: &Path) -> bool {
    let pid = pid.as_raw_nonzero().get();
    let arguments = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(arguments) => arguments,
        Err(_) if Path::new("/proc/self").exists() => return false,
        Err(_) => std::process::Command::new("ps")
            .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default(),
    };
    String::from_utf8_lossy(&arguments).contains(&*data.to_string_lossy())
}

fn free_port() -> Result<u16, Error> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::system("looking for a free port"))
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::file("creating", path))?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .map_err(Error::file("protecting", path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("writing", path))
}

/// The last lines of what a program said.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
