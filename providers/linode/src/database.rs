//! `linode.database`: a managed Postgres database, looked up and never changed.
//!
//! API: v4, `/databases/postgresql/instances`, with its credentials and the certificate of its authority. Labels are
//! not unique. Tested beside and against the emulator.

use std::sync::Arc;

use base64::Engine;
use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::Kind;
use pgferry_engine::reference::Tls;
use pgferry_engine::resource::{Live, Remembered, Resource};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::wire::Instance;

/// The database that every instance has; the API does not tell it.
const DEFAULT_DATABASE: &str = "defaultdb";
/// States in which nobody can connect. Others, known or not, are tried.
const UNUSABLE: [&str; 7] =
    ["provisioning", "suspending", "suspended", "resuming", "failed", "deleting", "deleted"];

/// A managed database at Linode.
pub(crate) struct Database {
    api: Arc<Api>,
}

impl Database {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// A managed Postgres database at Linode, found by its label or its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["label"] }, { "required": ["id"] }]))]
pub(crate) struct Spec {
    /// Its label, where only one has it.
    #[serde(default, rename = "label")]
    #[schemars(extend("x-change" = "identity"))]
    _label: Option<String>,
    /// Its number, where labels are not unique.
    #[serde(default, rename = "id")]
    #[schemars(extend("x-change" = "identity", "type" = ["integer", "string", "null"]))]
    _id: Option<Json>,
    /// The database in it. Default: `defaultdb`.
    #[serde(default, rename = "database")]
    #[schemars(extend("x-change" = "identity"))]
    _database: Option<String>,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    id: u64,
    host: String,
    port: u16,
    user: String,
    database: String,
    /// Of Postgres, such as `16.9`.
    version: Option<String>,
    region: Option<String>,
    /// The size of its machines: `g6-dedicated-2`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// How far back its backups reach, RFC 3339.
    #[schemars(extend("x-change" = "volatile"))]
    oldest_restore_time: Option<String>,
    /// PEM of the authority that vouches for it.
    ca_certificate: Option<String>,
    tls: Tls,
    password: Secret,
    url: Secret,
}

impl Database {
    /// Exactly one instance, or none.
    async fn look(&self, cx: &Cx, want: &Tree) -> Result<Option<Instance>, Fault> {
        let id = want.get("id").and_then(Tree::to_text).filter(|id| !id.is_empty());
        if let Some(id) = id {
            let found = self.api.instance(cx, &id).await;
            return found.map_err(|error| error.during(format!("reading database {id} of Linode")));
        }
        let Some(label) = want.get("label").and_then(Tree::as_text) else {
            return Err(Fault::new(
                Class::Rejected,
                "a `linode.database` is looked up by something",
            )
            .help("set its `label` or its `id`"));
        };
        let found = self.api.instances(cx, label).await;
        let mut found = found.map_err(|error| {
            error.during(format!("looking for the Postgres database labelled `{label}` at Linode"))
        })?;
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().map(|found| found.id.to_string()).collect();
            let what = format!("several databases are labelled `{label}`: {}", ids.join(", "));
            return Err(Fault::new(Class::Conflict, what).help("choose one by its `id`"));
        }
        Ok(found.pop())
    }
}

/// Percent-encodes all but what is never special in a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

fn url(user: &str, password: &Secret, host: &str, port: u16, database: &str) -> Secret {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Secret::new(format!(
        "postgres://{}:{}@{host}:{port}/{}",
        encoded(user),
        encoded(password.expose()),
        encoded(database)
    ))
}

impl Resource for Database {
    const TYPE: &'static str = "linode.database";
    const KIND: Kind = Kind::Lookup;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(found) = self.look(cx, want).await? else { return Ok(None) };
        let (id, label) = (found.id.to_string(), &found.label);
        if UNUSABLE.contains(&found.status.as_str()) {
            let what = format!("database `{label}` of Linode is {}", found.status);
            return Err(Fault::new(Class::Conflict, what)
                .help("it can be read once it is active: look at it in Cloud Manager"));
        }
        let host = found.hosts.as_ref().and_then(|hosts| hosts.primary.clone());
        let (Some(host), Some(port)) = (host, found.port) else {
            let what = format!("database `{label}` of Linode has no address yet");
            return Err(Fault::new(Class::Retry { after: None }, what));
        };
        let login = self.api.credentials(cx, &id).await;
        let login =
            login.map_err(|error| error.during(format!("reading the credentials of `{label}`")))?;
        let certificate = self.api.certificate(cx, &id).await;
        let certificate = certificate
            .map_err(|error| error.during(format!("reading the certificate of `{label}`")))?;
        let ca_certificate =
            certificate.ca_certificate.map(|text| pem(label, &text)).transpose()?;
        let database = want.get("database").and_then(Tree::as_text).unwrap_or(DEFAULT_DATABASE);
        let attrs = Attrs {
            id: found.id,
            url: url(&login.username, &login.password, &host, port, database),
            host,
            port,
            user: login.username,
            database: database.to_owned(),
            version: found.version.clone(),
            region: found.region.clone(),
            kind: found.kind.clone(),
            oldest_restore_time: found.oldest_restore_time().map(|time| time.to_string()),
            ca_certificate,
            tls: Tls::VerifyFull,
            password: login.password,
        };
        Ok(Some(Live { id, attrs, fields: IndexMap::new() }))
    }

    async fn retire(&self, cx: &Cx, remembered: &Remembered, name: &str) -> Result<(), Fault> {
        let id = &remembered.id;
        let found = self.api.instance(cx, id).await;
        let found =
            found.map_err(|error| error.during(format!("reading database {id} of Linode")))?;
        let Some(found) = found else { return Ok(()) };
        let label = &found.label;
        if label != name {
            let what =
                format!("database {id} of Linode is not labelled `{name}`, and was not touched");
            return Err(Fault::new(Class::Rejected, what)
                .help("`--confirm` takes its label, as Cloud Manager shows it"));
        }
        cx.effect("DELETE database instance")?;
        self.api
            .delete_instance(cx, id)
            .await
            .map_err(|error| error.during(format!("deleting database `{label}` of Linode")))
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(found) = self.look(cx, want).await? else { return Ok(Some(Json::Null)) };
        let oldest = found.oldest_restore_time();
        let hours = oldest.map(|oldest| cx.now().duration_since(oldest).as_hours());
        Ok(Some(json!({
            "label": found.label, "status": found.status, "oldest": oldest, "hours": hours,
        })))
    }

    fn judge(_want: &Tree, facts: &Json, _confirmed: &[(String, String)]) -> Vec<Finding> {
        let text = |key: &str| facts.get(key).and_then(Json::as_str);
        let (Some(label), Some(status)) = (text("label"), text("status")) else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        if status != "active" {
            findings.push(
                Finding::warning("PGF1401", format!("database `{label}` of Linode is {status}"))
                    .help("wait until it is active, unless this is known"),
            );
        }
        let hours = facts.get("hours").and_then(Json::as_i64);
        findings.push(match (text("oldest"), hours) {
            (Some(oldest), Some(hours)) => {
                let reach = if hours >= 48 {
                    format!("{} days", hours / 24)
                } else {
                    format!("{hours} hours")
                };
                let message = format!("backups of `{label}` reach back {reach}, to {oldest}");
                Finding::note("PGF1402", message)
            }
            _ => Finding::warning("PGF1403", format!("no backup of `{label}` is proved"))
                .help("Linode tells no time to which it could be restored; make a backup first"),
        });
        findings
    }
}

fn pem(label: &str, text: &str) -> Result<String, Fault> {
    let fault = || Fault::failed(format!("the certificate of `{label}` is not readable"));
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .map_err(|cause| fault().because(cause))?;
    String::from_utf8(bytes).map_err(|cause| fault().because(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_encoded_whatever_the_password_holds() {
        let password = Secret::new("p%:@/?#[ ]ä");
        let made = url("akmadmin", &password, "db.test", 21699, "My DB");
        assert_eq!(
            made.expose(),
            "postgres://akmadmin:p%25%3A%40%2F%3F%23%5B%20%5D%C3%A4@db.test:21699/My%20DB"
        );
        let parsed = url::Url::parse(made.expose()).expect("a URL");
        assert_eq!((parsed.port(), parsed.path()), (Some(21699), "/My%20DB"));
    }

    #[test]
    fn backups_are_told_or_missed() {
        let codes = |facts: Json| -> Vec<String> {
            Database::judge(&Tree::Null, &facts, &[]).into_iter().map(|f| f.code).collect()
        };
        let facts = json!({ "label": "a", "status": "active", "oldest": "2026-01-01T00:00:00Z", "hours": 150 });
        assert_eq!(codes(facts), ["PGF1402"]);
        assert_eq!(
            codes(json!({ "label": "a", "status": "updating", "oldest": null, "hours": null })),
            ["PGF1401", "PGF1403"]
        );
        assert!(codes(Json::Null).is_empty());
    }
}
