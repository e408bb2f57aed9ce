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

use crate::connect::{Access, Format, Session, connect};
use crate::facts::plain_version;
use crate::location::resolved::{Wanted, resolve};

/// The type.
pub struct Database;

/// Any Postgres database that a URL leads to; looked at, never changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `postgres://user:password@host:port/database`, or libpq's `host=… user=… dbname=…`; best `${env.SOMETHING}`.
    /// Without a password, `passfile`, `PGPASSFILE` and `~/.pgpass` are looked into, for a `service` the service files.
    /// `sslrootcert`, `sslcert` and `sslkey` are paths from the spec's folder. Of several hosts the first that
    /// `target_session_attrs` wants is used throughout.
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
    /// The connection string: a URL of the one server that is used, with the password that was found.
    pub url: Secret,
}

/// An endpoint for each host of the connection string, and which of them is meant.
fn endpoints(cx: &Cx, want: &Tree) -> Result<(Vec<Endpoint>, Wanted), Fault> {
    let spec: Spec = want.to_typed().map_err(|cause| {
        Fault::new(Class::Rejected, "reading the fields of a `postgres.database`").because(cause)
    })?;
    let rejected = |why: String| {
        Fault::new(Class::Rejected, format!("reading the URL of `{}`: {why}", cx.address))
    };
    let found = resolve(spec.url.expose(), &|name| cx.env(name), cx.base()).map_err(rejected)?;
    if found.authority.is_some() && spec.ca_certificate.is_some() {
        return Err(rejected("it has `sslrootcert` beside `ca_certificate`: give one".to_owned()));
    }
    let ca_certificate = spec.ca_certificate.or(found.authority);
    let endpoints = found.urls.into_iter().map(|url| Endpoint {
        address: cx.address.clone(),
        id: None,
        url: Secret::new(url),
        tls: spec.tls,
        ca_certificate: ca_certificate.clone(),
        database: None,
        version: None,
        plan: None,
        app: None,
        name: None,
    });
    Ok((endpoints.collect(), found.wanted))
}

/// Connects to the first of `endpoints` that is the server which is meant.
///
/// # Errors
/// As [`connect`], for the last; or none is such a server. A login that one of them refuses is not tried at the next.
async fn chosen(endpoints: Vec<Endpoint>, wanted: Wanted) -> Result<(Endpoint, Session), Fault> {
    let mut why_not = Vec::new();
    let mut class = Class::Failed;
    let several = endpoints.len() > 1;
    let passes = match wanted {
        Wanted::PreferStandby => vec![Wanted::Standby, Wanted::Any],
        other => vec![other],
    };
    for wanted in passes {
        for endpoint in &endpoints {
            let session = match connect(endpoint, Access::ReadOnly, Format::Own).await {
                Ok(session) => session,
                Err(fault)
                    if !several || matches!(fault.class, Class::Denied | Class::Rejected) =>
                {
                    return Err(fault);
                }
                Err(fault) => {
                    if matches!(fault.class, Class::Retry { .. }) {
                        class = fault.class;
                    }
                    why_not.push(fault.chain());
                    continue;
                }
            };
            if wanted == Wanted::Any {
                return Ok((endpoint.clone(), session));
            }
            let state = session
                .query_one(
                    "select pg_is_in_recovery(), (select reset_val = 'on' from pg_settings
                       where name = 'default_transaction_read_only')",
                    &[],
                )
                .await
                .map_err(|cause| session.fault("asking whether it is a standby", cause))?;
            match wanted.refuses(state.get(0), state.get(1)) {
                None => return Ok((endpoint.clone(), session)),
                Some(why) => why_not.push(format!("{}: {why}", session.location.server())),
            }
        }
    }
    let address =
        endpoints.first().map(|endpoint| endpoint.address.to_string()).unwrap_or_default();
    Err(Fault::new(class, format!("finding a server of `{address}`"))
        .because(why_not.join("; "))
        .help("change the hosts of its URL, or `target_session_attrs`"))
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
        let (endpoints, wanted) = endpoints(cx, want)?;
        let (endpoint, session) = chosen(endpoints, wanted).await?;
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
        let Ok((endpoints, _)) = endpoints(cx, want) else { return Ok(None) };
        let Some(endpoint) = endpoints.first() else { return Ok(None) };
        let location = crate::location::Location::of(endpoint)?;
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
            .help("give the authority's certificate as `ca_certificate`, or its file as `sslrootcert` of the URL"),
        ]
    }
}
