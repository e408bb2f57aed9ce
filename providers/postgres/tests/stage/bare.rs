//! A server of its own, whose superuser is ours, and a bucket: for what the sandbox's customers may not do.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Notes, SystemClock, World, no_rereading};
use pgferry_engine::event::Sink;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::resource::{AnyResource, Done, Remembered};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_postgres::copy::Copy;
use pgferry_postgres::dump::Dump;
use pgferry_postgres::restore::Restore;
use pgferry_postgres::verification::Verification;
use pgferry_sandbox::s3::{Grants, Key, S3};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{ACCESS_KEY, BUCKET, Heard, SECRET_KEY, change, spec};

/// The account of servers where root runs the test, as they refuse root: Debian's `nobody`.
const NOBODY: u32 = 65_534;

/// A running server, stopped when dropped.
pub(crate) struct Server {
    bin: PathBuf,
    pub(crate) data: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With lines of `postgresql.conf`.
    pub(crate) fn with(settings: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { bin: bin(), data, port };
        let path = server.data.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let initdb = [
            "-D",
            "data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        assert!(
            server.own("initdb").args(initdb).stdout(Stdio::null()).status().unwrap().success()
        );
        let conf = path.join("data/postgresql.conf");
        let mut text = std::fs::read_to_string(&conf).unwrap();
        text.extend(settings.iter().map(|line| format!("{line}\n")));
        std::fs::write(&conf, text).unwrap();
        let options = format!(
            "-p {port} -k {} -c fsync=off -c shared_buffers=16MB -h 127.0.0.1",
            path.display()
        );
        let mut start = server.own("pg_ctl");
        // A server that inherits a pipe keeps its reader waiting.
        let start = start.args(["-D", "data", "-w", "-l", "log", "-o", &options, "start"]);
        assert!(start.stdout(Stdio::null()).status().unwrap().success());
        server
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.data.path().join("log")).unwrap()).into_owned()
    }

    fn own(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.env("LC_ALL", "C").current_dir(self.data.path());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// A folder that the server may write to: a tablespace, for example.
    pub(crate) fn folder(&self, name: &str) -> String {
        let path = self.data.path().join(name);
        std::fs::create_dir(&path).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path.display().to_string()
    }

    /// A client program, as the superuser.
    pub(crate) fn client(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(self.bin.join(program));
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        command.env("PGUSER", "postgres").env("LC_ALL", "C").args(arguments);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn run(&self, database: &str, sql: &str) {
        self.client("psql", &["-qX", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
    }

    /// The only value of a query.
    #[track_caller]
    pub(crate) fn ask(&self, database: &str, sql: &str) -> String {
        self.client("psql", &["-qXAt", "-d", database, "-c", sql]).trim_end().to_owned()
    }

    /// What `pg_dump` writes of it, without what differs by the run.
    #[track_caller]
    pub(crate) fn dumped(&self, database: &str, arguments: &[&str]) -> String {
        let mut all = arguments.to_vec();
        all.push(database);
        let text = self.client("pg_dump", &all);
        let lines = text
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// As a spec's `${address}` hands it on.
    pub(crate) fn handle(&self, address: &str, role: &str, database: &str) -> Tree {
        let url = format!("postgres://{role}@127.0.0.1:{}/{database}", self.port);
        let attrs = [
            ("url".to_owned(), Tree::Secret(Secret::new(url))),
            ("tls".to_owned(), Tree::text("none")),
        ];
        let (address, id) = (Address::new(address), Some(format!("id-of-{database}")));
        Tree::Resource(Arc::new(Handle { address, id, attrs: attrs.into() }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _stopped = self.own("pg_ctl").args(["-D", "data", "-m", "immediate", "stop"]).output();
    }
}

/// The programs that a user named, or the newest of this machine.
fn bin() -> PathBuf {
    if let Some(named) = std::env::var_os("PGFERRY_PG_BIN") {
        return std::env::split_paths(&named).next().unwrap();
    }
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = installed
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().unwrap()
}

fn is_root() -> bool {
    Path::new("/proc/self").metadata().is_ok_and(|metadata| metadata.uid() == 0)
}

/// A bucket, and the world that resources see.
pub(crate) struct Yard {
    pub(crate) home: tempfile::TempDir,
    pub(crate) heard: Arc<Heard>,
    origin: String,
    serving: JoinHandle<()>,
    /// Requests for a part of an object so far.
    pub(crate) ranges: Arc<AtomicUsize>,
}

impl Drop for Yard {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Yard {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let s3 = S3::open(&home.path().join("s3"), host.clone()).unwrap();
        s3.create_bucket(BUCKET).unwrap();
        s3.add_key(Key {
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            grants: Grants::Unlimited,
            active_after: None,
        });
        let ranges = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ranges);
        let counted = move |request: Request, next: Next| {
            if request.headers().contains_key("range") {
                count.fetch_add(1, Ordering::Relaxed);
            }
            next.run(request)
        };
        let router = s3.router().layer(axum::middleware::from_fn(counted));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { home, heard: Arc::default(), origin: format!("http://{host}"), serving, ranges }
    }

    pub(crate) fn cx(&self, address: &str) -> Cx {
        let world = World {
            clock: Arc::new(SystemClock),
            sink: Arc::clone(&self.heard) as Arc<dyn Sink>,
            notes: Arc::clone(&self.heard) as Arc<dyn Notes>,
            hook: None,
            cancel: Default::default(),
            env: Arc::new(
                [
                    ("PGFERRY_PG_BIN".to_owned(), bin().display().to_string()),
                    ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
                    ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET_KEY.to_owned()),
                ]
                .into(),
            ),
            base: self.home.path().to_owned(),
            lineage: "l".into(),
            migration: "m".into(),
            run: "r".into(),
            intent: Arc::new(|_| None),
            reread: no_rereading(),
            remembered: Arc::new(|_, _| Vec::<(Address, Remembered)>::new()),
        };
        Cx::new(world, Address::new(address), "running")
    }

    fn bucket(&self) -> Tree {
        let attrs = json!({ "label": BUCKET, "endpoint": self.origin, "region": "us-ord" });
        let Tree::Map(attrs) = Tree::from_json(&attrs) else { unreachable!() };
        let (address, id) = (Address::new("bucket"), Some("b".into()));
        Tree::Resource(Arc::new(Handle { address, id, attrs }))
    }

    /// What a plan says of it.
    pub(crate) async fn told<R: AnyResource>(&self, resource: &R, want: &Tree) -> Vec<Finding> {
        let facts = resource.inspect(&self.cx("told"), want, None).await;
        let facts = facts.map_err(|fault| fault.chain()).unwrap().unwrap();
        resource.judge(want, &facts, &[])
    }

    pub(crate) fn copy_of(&self, from: Tree, into: Tree, confirm: &str) -> Tree {
        spec(vec![
            ("from", from),
            ("into", into),
            ("confirm", Tree::text(confirm)),
            ("jobs", Tree::from_json(&json!(2))),
        ])
    }

    pub(crate) async fn copy(&self, want: Tree) -> Result<Done<Tree>, Fault> {
        AnyResource::act(&Copy, &self.cx("copy"), change(want)).await
    }

    pub(crate) fn dump_of(&self, from: Tree, into: Option<Tree>, object: &str) -> Tree {
        let to = spec(vec![("bucket", self.bucket()), ("object", Tree::text(object))]);
        let mut fields = vec![("source", from), ("to", to), ("jobs", Tree::from_json(&json!(2)))];
        fields.extend(into.map(|into| ("for", into)));
        spec(fields)
    }

    /// A finished dump, as a spec's `${dump}` hands it on.
    pub(crate) async fn dump(&self, want: Tree) -> (Done<Tree>, Tree) {
        let done = AnyResource::act(&Dump, &self.cx("dump"), change(want)).await;
        let done = done.map_err(|fault| fault.chain()).unwrap();
        let Tree::Map(attrs) = done.attrs.clone() else { panic!("attributes") };
        let (address, id) = (Address::new("dump"), Some(done.id.clone()));
        let handle = Tree::Resource(Arc::new(Handle { address, id, attrs }));
        (done, handle)
    }

    pub(crate) async fn restore(&self, dump: Tree, into: Tree, confirm: &str) -> Done<Tree> {
        let want = spec(vec![
            ("from", dump),
            ("into", into),
            ("confirm", Tree::text(confirm)),
            ("jobs", Tree::from_json(&json!(2))),
        ]);
        let done = AnyResource::act(&Restore, &self.cx("restore"), change(want)).await;
        done.map_err(|fault| fault.chain()).unwrap()
    }

    /// Proves `actual` equal to `expected`; `read` is what has read the latter.
    pub(crate) async fn verify(
        &self,
        expected: Tree,
        actual: Tree,
        read: Option<(&'static str, Remembered)>,
    ) -> Result<Done<Tree>, Fault> {
        let mut cx = self.cx("verified");
        cx.world.remembered = Arc::new(move |_, wanted| {
            let of = read.iter().filter(|(of, _)| *of == wanted);
            of.map(|(_, what)| (Address::new("before"), what.clone())).collect()
        });
        let want = spec(vec![("expected", expected), ("actual", actual)]);
        AnyResource::act(&Verification, &cx, change(want)).await
    }

    pub(crate) fn opened(&self) -> pgferry_objects::Bucket {
        let endpoint = pgferry_objects::Endpoint::from_url(&self.origin, "us-ord").unwrap();
        let keys = pgferry_objects::Credentials::new(ACCESS_KEY, SECRET_KEY);
        pgferry_objects::Bucket::open(&endpoint, BUCKET, keys).unwrap()
    }

    /// The archive as a file.
    pub(crate) async fn file(&self, object: &str) -> String {
        let bucket = self.opened();
        let size = bucket.head(object).await.unwrap().unwrap().size;
        let bytes = bucket.get_range(object, 0..size).await.unwrap();
        let file = self.home.path().join(object);
        std::fs::write(&file, bytes).unwrap();
        file.display().to_string()
    }
}
