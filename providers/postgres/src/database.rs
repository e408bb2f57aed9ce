//! `postgres.database` — any Postgres database, looked up by its URL and never changed.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::Kind;
use pgferry_engine::reference::{Endpoint, Tls};
use pgferry_engine::resource::{Live, Remembered, Resource};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::connect::{Access, Format, connect};
use crate::facts::plain_version;

/// The type.
pub struct Database;

/// Any Postgres database that a URL leads to; looked at, never changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `postgres://user:password@host:port/database`; best `${env.SOMETHING}`.
    #[schemars(extend("x-change" = "identity"))]
    url: Secret,
    /// PEM of the authority that signed the server's certificate, instead of the machine's own store.
    #[serde(default)]
    ca_certificate: Option<String>,
    /// How the connection is protected: `verify-full` by default, `require` (encrypted only), `none` on loopback only.
    #[serde(default)]
    tls: Option<Tls>,
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the role.
    pub user: String,
    /// Name of the database.
    pub database: String,
    /// Of the server: `16.4`.
    pub version: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// PEM of the authority to trust, if one was given.
    pub ca_certificate: Option<String>,
    /// The connection string.
    pub url: Secret,
}

fn endpoint(cx: &Cx, want: &Tree) -> Result<Endpoint, Fault> {
    let spec: Spec = want.to_typed().map_err(|cause| {
        Fault::new(Class::Rejected, "reading the fields of a `postgres.database`").because(cause)
    })?;
    Ok(Endpoint {
        address: cx.address.clone(),
        id: None,
        url: spec.url,
        tls: spec.tls,
        ca_certificate: spec.ca_certificate,
        database: None,
        version: None,
        plan: None,
        app: None,
        name: None,
    })
}

impl Resource for Database {
    const TYPE: &'static str = "postgres.database";
    const KIND: Kind = Kind::Lookup;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let endpoint = endpoint(cx, want)?;
        let session = connect(&endpoint, Access::ReadOnly, Format::Own).await?;
        let row = session
            .query_one("select current_setting('server_version')", &[])
            .await
            .map_err(|cause| session.fault("asking for the version", cause))?;
        let location = session.location.clone();
        Ok(Some(Live {
            id: format!("{}/{}", location.server(), location.database),
            fields: indexmap::IndexMap::new(),
            attrs: Attrs {
                version: plain_version(row.get(0)),
                host: location.host,
                port: location.port,
                user: location.user,
                database: location.database,
                tls: location.tls,
                ca_certificate: endpoint.ca_certificate,
                url: endpoint.url,
            },
        }))
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Ok(endpoint) = endpoint(cx, want) else { return Ok(None) };
        let location = crate::location::Location::of(&endpoint)?;
        Ok(Some(json!({ "server": location.server(), "tls": location.tls })))
    }

    fn judge(_: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        let server = facts.get("server").and_then(Json::as_str).unwrap_or_default();
        if facts.get("tls").and_then(Json::as_str) != Some("require") {
            return Vec::new();
        }
        vec![
            Finding::warning(
                "PGF1116",
                format!(
                    "the connection to `{server}` is encrypted, but its certificate is not verified"
                ),
            )
            .help("give the authority's certificate as `ca_certificate`"),
        ]
    }
}
