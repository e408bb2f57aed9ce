//! A real source, an empty target beside it, a bucket, and the world that resources see.

#![allow(dead_code, reason = "each test uses its part of the stage")]

pub(crate) mod bare;
pub(crate) mod filled;
pub(crate) mod pool;
pub(crate) mod servers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Notes, SystemClock, World, no_rereading};
use pgferry_engine::event::{Event, Sink};
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::{Endpoint, Tls};
use pgferry_engine::resource::{Change, Remembered, Verb};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::{Handle, Tree};
use pgferry_objects::{Bucket, Credentials};
use pgferry_postgres::connect::{Access, Format, Session, connect};
use pgferry_sandbox::s3::{Grants, Key, S3};
use pgferry_sandbox::{Options, Sandbox};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

pub(crate) const BUCKET: &str = "dumps";
const ACCESS_KEY: &str = "AKTEST";
const SECRET_KEY: &str = "secret-of-the-test";

/// Everything said and noted.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) output: Mutex<Vec<String>>,
    pub(crate) warnings: Mutex<Vec<String>>,
    pub(crate) notes: Mutex<Vec<Json>>,
}

impl Sink for Heard {
    fn event(&self, event: Event) {
        match event {
            Event::Output { text, .. } => self.output.lock().unwrap().push(text),
            Event::Warning { message, .. } => self.warnings.lock().unwrap().push(message),
            _ => {}
        }
    }
}

impl Notes for Heard {
    fn note(&self, _: &Address, note: Json) -> Result<(), Fault> {
        self.notes.lock().unwrap().push(note);
        Ok(())
    }
}

pub(crate) struct Stage {
    sandbox: Sandbox,
    pub(crate) home: tempfile::TempDir,
    pub(crate) heard: Arc<Heard>,
    origin: String,
    serving: JoinHandle<()>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options { megabytes: 4, ..Options::default() };
        let sandbox = Sandbox::start(&home.path().join("sandbox"), &options).await.unwrap();
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
        let router = s3.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let stage = Self {
            sandbox,
            home,
            heard: Arc::default(),
            origin: format!("http://{host}"),
            serving,
        };
        stage.source().await.batch_execute("create database target").await.unwrap();
        stage
    }

    pub(crate) async fn end(self) {
        self.serving.abort();
        self.sandbox.stop().await.unwrap();
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let url = self.sandbox.environment().get("SOURCE_DATABASE_URL").to_owned();
        let at = url.rfind("/acme_org_db").unwrap();
        format!("{}/{database}{}", &url[..at], &url[at + "/acme_org_db".len()..])
    }

    fn authority(&self) -> String {
        std::fs::read_to_string(self.sandbox.dir().join("source-ca.pem")).unwrap()
    }

    /// A whole resource, as a spec's `${source}` hands it on.
    pub(crate) fn handle(&self, address: &str, database: &str) -> Tree {
        let attrs = [
            ("url".to_owned(), Tree::Secret(Secret::new(self.url(database)))),
            ("ca_certificate".to_owned(), Tree::text(self.authority())),
        ];
        Tree::Resource(std::sync::Arc::new(Handle {
            address: Address::new(address),
            id: Some(format!("id-of-{database}")),
            attrs: attrs.into(),
        }))
    }

    pub(crate) fn source_handle(&self) -> Tree {
        self.handle("source", "acme_org_db")
    }

    pub(crate) fn target_handle(&self) -> Tree {
        self.handle("target", "target")
    }

    pub(crate) fn endpoint(&self, database: &str) -> Endpoint {
        self.handle(database, database).to_typed().unwrap()
    }

    pub(crate) async fn session(&self, database: &str) -> Session {
        let mut endpoint = self.endpoint(database);
        endpoint.tls = Some(Tls::VerifyFull);
        connect(&endpoint, Access::ReadWrite, Format::Own).await.unwrap()
    }

    pub(crate) async fn source(&self) -> Session {
        self.session("acme_org_db").await
    }

    pub(crate) async fn target(&self) -> Session {
        self.session("target").await
    }

    /// A session with the source that pgferry did not open.
    pub(crate) async fn foreign(&self, role: &str, password: &str, name: &str) -> Client {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.authority().as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trusting = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let url = url::Url::parse(&self.url("acme_org_db")).unwrap();
        let (client, connection) = tokio_postgres::Config::new()
            .host("127.0.0.1")
            .port(url.port().unwrap())
            .dbname("acme_org_db")
            .user(role)
            .password(password)
            .application_name(name)
            .ssl_mode(tokio_postgres::config::SslMode::Require)
            .connect(tokio_postgres_rustls::MakeRustlsConnect::new(trusting))
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) fn bucket(&self) -> Bucket {
        let endpoint = pgferry_objects::Endpoint::from_url(&self.origin, "us-ord").unwrap();
        Bucket::open(&endpoint, BUCKET, Credentials::new(ACCESS_KEY, SECRET_KEY)).unwrap()
    }

    pub(crate) fn bucket_handle(&self) -> Tree {
        let attrs = json!({ "label": BUCKET, "endpoint": self.origin, "region": "us-ord" });
        let Tree::Map(attrs) = Tree::from_json(&attrs) else { unreachable!() };
        Tree::Resource(std::sync::Arc::new(Handle {
            address: Address::new("bucket"),
            id: Some("b".into()),
            attrs,
        }))
    }

    pub(crate) fn cx(&self, address: &str) -> Cx {
        self.cx_with(address, &[], Vec::new())
    }

    /// With more environment, and with what the state remembers of the dumps before.
    pub(crate) fn cx_with(
        &self,
        address: &str,
        env: &[(&str, &str)],
        remembered: Vec<(&'static str, Remembered)>,
    ) -> Cx {
        let mut all = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET_KEY.to_owned()),
        ]);
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let world = World {
            clock: Arc::new(SystemClock),
            sink: Arc::clone(&self.heard) as Arc<dyn Sink>,
            notes: Arc::clone(&self.heard) as Arc<dyn Notes>,
            hook: None,
            cancel: Default::default(),
            env: Arc::new(all),
            base: self.home.path().to_owned(),
            lineage: "l".into(),
            migration: "m".into(),
            run: "r".into(),
            intent: Arc::new(|_| None),
            reread: no_rereading(),
            remembered: Arc::new(move |_, wanted| {
                remembered
                    .iter()
                    .filter(|(of, _)| *of == wanted)
                    .map(|(_, what)| (Address::new("before"), what.clone()))
                    .collect()
            }),
        };
        Cx::new(world, Address::new(address), "running")
    }

    /// A client program of Postgres, connected to `database`.
    pub(crate) fn program(&self, name: &str, database: &str, arguments: &[&str]) -> Output {
        self.command(name, database, arguments).output().unwrap()
    }

    /// The same, not started yet.
    pub(crate) fn command(&self, name: &str, database: &str, arguments: &[&str]) -> Command {
        let url = url::Url::parse(&self.url(database)).unwrap();
        let mut command = Command::new(self.program_path(name));
        command
            .args(arguments)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", url.port().unwrap().to_string())
            .env("PGUSER", url.username())
            .env("PGPASSWORD", url.password().unwrap())
            .env("PGSSLMODE", "require");
        command
    }

    pub(crate) fn program_path(&self, name: &str) -> std::path::PathBuf {
        let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin").join(name))
            .filter(|path| path.is_file())
            .collect();
        found.sort();
        found.pop().unwrap_or_else(|| name.into())
    }

    /// Puts an object into the bucket, whatever is there.
    pub(crate) async fn put(&self, key: &str, bytes: bytes::Bytes) {
        self.bucket().delete(key).await.unwrap();
        self.bucket().put_if_absent(key, bytes).await.unwrap();
    }

    /// The folder of the real client programs.
    pub(crate) fn real_programs(&self) -> std::path::PathBuf {
        self.program_path("pg_dump").parent().map(Path::to_owned).unwrap_or_default()
    }

    /// Restores the archive in object `key` into `target`, as a provider does.
    pub(crate) async fn restore(&self, key: &str) {
        let size = self.bucket().head(key).await.unwrap().unwrap().size;
        let bytes = self.bucket().get_range(key, 0..size).await.unwrap();
        let file = self.home.path().join("archive");
        std::fs::write(&file, bytes).unwrap();
        let path = file.display().to_string();
        let out = self.program(
            "pg_restore",
            "target",
            &["--no-owner", "--no-acl", "-d", "target", &path],
        );
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{said}");
    }
}

/// A spec with whole resources in it.
pub(crate) fn spec(fields: Vec<(&str, Tree)>) -> Tree {
    Tree::Map(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(crate) fn change<S>(want: S) -> Change<S> {
    Change { verb: Verb::Run, want, before: None, fields: vec![], prior: None, confirmed: vec![] }
}
