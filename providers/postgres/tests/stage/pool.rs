//! A real pgbouncer before a stage's server. It takes no TLS of its own, on this machine only.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use pgferry_engine::address::Address;
use pgferry_engine::reference::{Endpoint, Tls};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};

use super::Stage;

/// Stopped when dropped.
pub(crate) struct Pool {
    process: Child,
    port: u16,
    user: String,
}

impl Pool {
    /// One with these settings; `None`, with a word, where there is no pgbouncer.
    #[allow(clippy::print_stderr, reason = "who runs the tests shall see it")]
    pub(crate) fn before(stage: &Stage, settings: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        let Some(program) = folders.map(|it| it.join("pgbouncer")).find(|it| it.is_file()) else {
            eprintln!("skipped: no pgbouncer on this machine");
            return None;
        };
        let server = url::Url::parse(&stage.url("acme_org_db")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = stage.home.path().join(format!("pgbouncer-{port}.ini"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={} password={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n\
             server_tls_sslmode = require\nmax_client_conn = 200\n{settings}\n",
            server.port().unwrap(),
            server.username(),
            server.password().unwrap(),
        );
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "postgres"]);
        }
        let mut process = command.arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut all = String::new();
        while !all.contains("process up") {
            assert!(said.read_line(&mut all).unwrap() > 0, "pgbouncer does not start: {all}");
        }
        // It must be able to say more.
        std::thread::spawn(move || said.read_to_end(&mut Vec::new()));
        Some(Self { process, port, user: server.username().to_owned() })
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{}@127.0.0.1:{}/{database}?sslmode=disable", self.user, self.port)
    }

    pub(crate) fn handle(&self, address: &str, database: &str) -> Tree {
        let attrs = [
            ("url".to_owned(), Tree::Secret(Secret::new(self.url(database)))),
            ("tls".to_owned(), Tree::text("none")),
        ];
        Tree::Resource(std::sync::Arc::new(Handle {
            address: Address::new(address),
            id: Some(format!("pooled-{database}")),
            attrs: attrs.into(),
        }))
    }

    pub(crate) fn endpoint(&self, database: &str) -> Endpoint {
        let mut endpoint: Endpoint = self.handle(database, database).to_typed().unwrap();
        endpoint.tls = Some(Tls::None);
        endpoint
    }

    /// What another client of the pool gets for `sql`, in one transaction for each statement.
    pub(crate) fn psql(&self, stage: &Stage, database: &str, sql: &str) -> Result<String, String> {
        let out = Command::new(stage.program_path("psql"))
            .args(["-qXAt", "-v", "ON_ERROR_STOP=1", "-c", sql, "-d", &self.url(database)])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
