//! A started sandbox and a client for each of its services, for the tests beside this folder.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::process::Command;
use std::time::{Duration, Instant};

use pgferry_sandbox::{Options, Sandbox};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) home: tempfile::TempDir,
    client: reqwest::Client,
}

impl Stage {
    /// A sandbox with a small source, where nothing takes longer than it must.
    pub(crate) async fn quick() -> Self {
        Self::with(Options {
            megabytes: 2,
            provision_seconds: 0.1,
            key_delay_ms: 0,
            ..Options::default()
        })
        .await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let home = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(home.path(), &options).await.unwrap();
        Self { sandbox, home, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        self.sandbox.environment().get(name)
    }

    pub(crate) fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    pub(crate) async fn heroku(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self
            .request(method, &format!("{}{path}", self.value("HEROKU_HOST")))
            .bearer_auth(self.value("HEROKU_API_KEY"))
            .header("accept", "application/vnd.heroku+json; version=3");
        finish(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub(crate) async fn linode(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = self
            .request(method, &format!("{}/v4{path}", self.value("LINODE_URL")))
            .bearer_auth(self.value("LINODE_TOKEN"));
        finish(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub(crate) async fn look(&self, path: &str) -> Value {
        let (status, body) = self.heroku(Method::GET, path, Value::Null).await;
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    pub(crate) async fn set(&self, switches: Value) {
        let (status, body) = self.heroku(Method::POST, "/sandbox/faults", switches).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// An app with a database that is ready; returns the add-on and its connection string.
    pub(crate) async fn target(&self, app: &str, plan: &str) -> (Value, String) {
        self.heroku(Method::POST, "/apps", json!({ "name": app })).await;
        let order = json!({ "plan": format!("heroku-postgresql:{plan}") });
        let (status, addon) =
            self.heroku(Method::POST, &format!("/apps/{app}/addons"), order).await;
        assert_eq!(status, StatusCode::CREATED, "{addon}");
        let path = format!("/apps/{app}/addons/{}", addon["name"].as_str().unwrap());
        let addon = self.until(&path, |addon| addon["state"] == "provisioned").await;
        let vars = self.look(&format!("/apps/{app}/config-vars")).await;
        let url = vars["DATABASE_URL"].as_str().unwrap().to_owned();
        (addon, url)
    }

    /// Asks until `ready` holds of the answer.
    pub(crate) async fn until(&self, path: &str, ready: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, body) = self.heroku(Method::GET, path, Value::Null).await;
            if ready(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} stays {body}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn finish(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Runs one query by `psql`; the error text if it fails.
pub(crate) fn psql(url: &str, query: &str) -> Result<String, String> {
    let url = url::Url::parse(url).unwrap();
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", query, "-h", "127.0.0.1"])
        .args([
            "-p",
            &url.port().unwrap().to_string(),
            "-U",
            url.username(),
            "-d",
            url.path().trim_start_matches('/'),
        ])
        .env("PGPASSWORD", url.password().unwrap())
        .env("PGSSLMODE", "require")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
