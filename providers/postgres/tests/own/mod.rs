//! A server of the test's own, to which it may connect as the superuser.

#![allow(dead_code, reason = "each test uses its part")]

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Notes, SystemClock, World, no_rereading};
use pgferry_engine::event::Sink;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::connect::{Access, Format, Session, connect};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::stage::Heard;

pub(crate) const SUPERUSER: &str = "postgres";
/// An ordinary role.
pub(crate) const OWNER: &str = "owner";
/// Servers refuse to run as root.
const NOBODY: u32 = 65534;

pub(crate) struct Own {
    bin: PathBuf,
    data: TempDir,
    port: u16,
    pub(crate) heard: Arc<Heard>,
}

impl Own {
    /// With lines of `postgresql.conf`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let bin = std::env::var("PGFERRY_PG_BIN").unwrap_or("/usr/lib/postgresql/15/bin".into());
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin: bin.into(), data, port, heard: Arc::default() };
        let path = server.data.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let initdb = ["-D", "data", "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--no-sync"];
        assert!(server.own("initdb").args(initdb).output().unwrap().status.success());
        let mut conf = std::fs::read_to_string(path.join("data/postgresql.conf")).unwrap();
        conf.extend(settings.iter().map(|line| format!("{line}\n")));
        std::fs::write(path.join("data/postgresql.conf"), conf).unwrap();
        let options = format!("-p {port} -k {} -c fsync=off -h 127.0.0.1", path.display());
        let mut start = server.own("pg_ctl");
        // A server that inherits a pipe keeps its reader waiting.
        let start = start.args(["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
        assert!(start.stdout(Stdio::null()).status().unwrap().success());
        server
    }

    fn own(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(self.data.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    pub(crate) fn handle(&self, database: &str, role: &str) -> Tree {
        let url = format!("postgres://{role}@127.0.0.1:{}/{database}", self.port);
        let attrs = [
            ("url".to_owned(), Tree::Secret(Secret::new(url))),
            ("tls".to_owned(), Tree::text("none")),
        ];
        let id = Some(format!("id-of-{database}"));
        Tree::Resource(Arc::new(Handle {
            address: Address::new(database),
            id,
            attrs: attrs.into(),
        }))
    }

    pub(crate) fn endpoint(&self, database: &str, role: &str) -> Endpoint {
        self.handle(database, role).to_typed().unwrap()
    }

    pub(crate) async fn session(&self, database: &str, role: &str) -> Session {
        let endpoint = self.endpoint(database, role);
        connect(&endpoint, Access::ReadWrite, Format::Own).await.unwrap()
    }

    pub(crate) async fn run(&self, database: &str, role: &str, sql: &str) {
        let session = self.session(database, role).await;
        session.batch_execute(sql).await.unwrap_or_else(|cause| panic!("{sql}: {cause:?}"));
    }

    /// One text, asked for by the superuser.
    pub(crate) async fn text(&self, database: &str, sql: &str) -> String {
        let session = self.session(database, SUPERUSER).await;
        session.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// What was noted last, as if the attempt had been killed.
    pub(crate) fn noted_cut_short(&self) -> Json {
        let mut notes = json!({});
        for note in self.heard.notes.lock().unwrap().iter() {
            for (key, value) in note.as_object().unwrap() {
                notes[key] = value.clone();
            }
        }
        notes["left"] = Json::Null;
        notes
    }

    pub(crate) fn cx(&self, address: &str) -> Cx {
        self.cx_with(address, Vec::new())
    }

    /// With what the state remembers of other resources.
    pub(crate) fn cx_with(&self, address: &str, remembered: Vec<(&'static str, Remembered)>) -> Cx {
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let bin =
            std::env::var("PGFERRY_PG_BIN").ok().map(|bin| ("PGFERRY_PG_BIN".to_owned(), bin));
        let world = World {
            clock: Arc::new(SystemClock),
            sink: Arc::clone(&self.heard) as Arc<dyn Sink>,
            notes: Arc::clone(&self.heard) as Arc<dyn Notes>,
            hook: None,
            cancel: Default::default(),
            env: Arc::new(bin.into_iter().chain([path]).collect()),
            base: self.data.path().to_owned(),
            lineage: "l".into(),
            migration: "m".into(),
            run: "r".into(),
            intent: Arc::new(|_| None),
            reread: no_rereading(),
            remembered: Arc::new(move |_, wanted| {
                let of_type = remembered.iter().filter(|(of, _)| *of == wanted);
                of_type.map(|(_, what)| (Address::new("before"), what.clone())).collect()
            }),
        };
        Cx::new(world, Address::new(address), "running")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _stopped = self.own("pg_ctl").args(["-D", "data", "-m", "immediate", "stop"]).output();
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|it| it.uid() == 0)
}
