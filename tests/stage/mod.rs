//! The stage of the end-to-end tests: a sandbox inside the test, the built binary outside of it, and eyes on both.
//!
//! It owns a sandbox and the questions to it; [`project`] owns the runs of the binary, [`programs`] stand-ins for
//! programs on the `PATH`, [`tap`] what goes over the wire. Nothing outlives a [`Stage`], also when a test panics.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;
use std::time::{Duration, Instant};

use pgferry_objects::{Bucket, Credentials, Endpoint};
use pgferry_sandbox::{Options, Sandbox};
use reqwest::Method;
use serde_json::{Value, json};

pub mod programs;
pub mod project;
pub mod tap;

/// The app that the example makes.
pub const APP: &str = "psql-migration-from-linode";

/// The bucket that the example makes.
pub const BUCKET: &str = "postgres-for-migration";

/// A source of the least size, and no waiting that is not asked for.
pub const QUICK: Options =
    Options { megabytes: 1, provision_seconds: 0.05, key_delay_ms: 0, durable: false };

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running sandbox with a client for each of its services.
pub struct Stage {
    // In the order in which they are dropped: the sandbox before what it runs in.
    sandbox: Option<Sandbox>,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    pub home: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        drop(self.sandbox.take());
    }
}

/// A request that reached a service, as `METHOD /path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub service: String,
    pub line: String,
    /// RFC 3339.
    pub at: String,
}

impl Stage {
    pub fn start(options: &Options) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let home = tempfile::tempdir().unwrap();
        let sandbox = runtime.block_on(Sandbox::start(&home.path().join("sandbox"), options));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { sandbox: Some(sandbox.unwrap()), runtime, client, home }
    }

    /// Name and value of each variable that points at the sandbox.
    pub fn environment(&self) -> Vec<(String, String)> {
        let sandbox = self.sandbox.as_ref().unwrap();
        let pairs = sandbox.environment().iter();
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub fn value(&self, name: &str) -> String {
        self.sandbox.as_ref().unwrap().environment().get(name).to_owned()
    }

    /// Asks Heroku; fails the test unless it agrees.
    pub fn heroku(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.value("HEROKU_HOST"));
        let request = self
            .client
            .request(method, url)
            .bearer_auth(self.value("HEROKU_API_KEY"))
            .header("accept", "application/vnd.heroku+json; version=3");
        self.answer(path, request, body)
    }

    /// Asks Linode; fails the test unless it agrees.
    pub fn linode(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/v4{path}", self.value("LINODE_URL"));
        let request = self.client.request(method, url).bearer_auth(self.value("LINODE_TOKEN"));
        self.answer(path, request, body)
    }

    fn answer(&self, path: &str, request: reqwest::RequestBuilder, body: &Value) -> Value {
        let request = if body.is_null() { request } else { request.json(body) };
        self.runtime.block_on(async {
            let response = request.send().await.unwrap();
            let status = response.status();
            let text = response.text().await.unwrap();
            assert!(status.is_success(), "{path}: {status} {text}");
            serde_json::from_str(&text).unwrap_or(Value::Null)
        })
    }

    pub fn look(&self, path: &str) -> Value {
        self.heroku(Method::GET, path, &Value::Null)
    }

    /// Sets switches of the sandbox.
    pub fn faults(&self, switches: Value) {
        self.heroku(Method::POST, "/sandbox/faults", &switches);
    }

    /// What is left at the services.
    pub fn left(&self) -> Value {
        self.look("/sandbox/state")
    }

    /// All requests since the last [`Stage::forget`], in order.
    pub fn log(&self) -> Vec<Request> {
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
        let log = self.look("/sandbox/log");
        let entries = log.as_array().unwrap().iter();
        entries
            .map(|entry| Request {
                service: text(entry, "service"),
                line: format!("{} {}", text(entry, "method"), text(entry, "path")),
                at: text(entry, "at"),
            })
            .collect()
    }

    pub fn forget(&self) {
        self.heroku(Method::DELETE, "/sandbox/log", &Value::Null);
    }

    /// The config vars of an app.
    pub fn config(&self, app: &str) -> Value {
        self.look(&format!("/apps/{app}/config-vars"))
    }

    /// Whether `acme-web` is in maintenance, and how many workers it has.
    pub fn acme_web(&self) -> (bool, u64) {
        let app = self.look("/apps/acme-web");
        let formation = self.look("/apps/acme-web/formation");
        let workers = formation.as_array().unwrap().iter().find(|kind| kind["type"] == "worker");
        (app["maintenance"].as_bool().unwrap(), workers.unwrap()["quantity"].as_u64().unwrap())
    }

    /// The connection string of the target, as its app reads it.
    pub fn target_url(&self) -> String {
        self.config(APP)["DATABASE_URL"].as_str().unwrap().to_owned()
    }

    /// The transfers into the target, first to last.
    pub fn transfers(&self) -> Vec<Value> {
        self.look(&format!("/client/v11/apps/{APP}/transfers")).as_array().unwrap().clone()
    }

    /// One query to the source; its rows as text, one a line, columns parted by `|`.
    pub fn source(&self, query: &str) -> String {
        psql(&self.value("SOURCE_DATABASE_URL"), query)
    }

    /// One query to the target.
    pub fn target(&self, query: &str) -> String {
        psql(&self.target_url(), query)
    }

    /// The example's bucket, through an unlimited key.
    fn bucket(&self) -> Bucket {
        let endpoint = Endpoint::from_url(&self.value("AWS_ENDPOINT_URL_S3"), "us-ord").unwrap();
        let credentials =
            Credentials::new(self.value("AWS_ACCESS_KEY_ID"), self.value("AWS_SECRET_ACCESS_KEY"));
        Bucket::open(&endpoint, BUCKET, credentials).unwrap()
    }

    /// Removes every object of the example's bucket.
    pub fn empty_bucket(&self) {
        let bucket = self.bucket();
        self.runtime.block_on(async {
            for object in bucket.list("").await.unwrap() {
                bucket.delete(&object.key).await.unwrap();
            }
        });
    }

    /// The whole story anew: what the example makes is gone, and `acme-web` reads the source again.
    pub fn reset(&self) {
        let left = self.left();
        if has(&left["apps"], APP) {
            self.heroku(Method::DELETE, &format!("/apps/{APP}"), &Value::Null);
        }
        if left["buckets"].as_array().unwrap().iter().any(|bucket| bucket["name"] == BUCKET) {
            self.empty_bucket();
            let path = format!("/object-storage/buckets/us-ord/{BUCKET}");
            self.linode(Method::DELETE, &path, &Value::Null);
        }
        let source = json!({ "DATABASE_URL": self.value("SOURCE_DATABASE_URL") });
        self.heroku(Method::PATCH, "/apps/acme-web/config-vars", &source);
    }

    /// Fails unless everything is as after one apply: nothing twice, nothing left over, the window closed.
    pub fn assert_settled(&self, when: &str) {
        let left = self.left();
        let buckets = left["buckets"].as_array().unwrap();
        assert_eq!(buckets.len(), 1, "{when}: {left}");
        let (bucket, keys, addons) = (&buckets[0], &left["keys"], left["addons"].as_array());
        assert_eq!(
            (&bucket["objects"], &bucket["uploads"]),
            (&json!(1), &json!(0)),
            "{when}: {left}"
        );
        assert_eq!(keys, &json!([]), "{when}: access keys are left");
        assert_eq!(left["apps"], json!(["acme-web", APP]), "{when}");
        assert_eq!(addons.map(Vec::len), Some(1), "{when}: {left}");
        assert_eq!(self.acme_web(), (false, 2), "{when}: maintenance and workers of acme-web");
        let read = &self.config("acme-web")["DATABASE_URL"];
        assert_eq!(read.as_str(), Some(self.target_url().as_str()), "{when}: what acme-web reads");
    }
}

/// Whether a JSON list has that text.
pub fn has(list: &Value, text: &str) -> bool {
    list.as_array().is_some_and(|items| items.iter().any(|item| item == text))
}

/// Waits until `ready`; what it does not become, `what` says.
pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The password in a connection string.
pub fn password(url: &str) -> String {
    url::Url::parse(url).unwrap().password().unwrap().to_owned()
}

/// Runs one query by `psql` as a client of that connection string.
pub fn psql(url: &str, query: &str) -> String {
    let place = url::Url::parse(url).unwrap();
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", query])
        .env("PGHOST", place.host_str().unwrap())
        .env("PGPORT", place.port().unwrap().to_string())
        .env("PGUSER", place.username())
        .env("PGPASSWORD", place.password().unwrap())
        .env("PGDATABASE", place.path().trim_start_matches('/'))
        .env("PGSSLMODE", "require")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(output.status.success(), "{query}: {}", text(&output.stderr));
    text(&output.stdout)
}
