//! What the parameters of a connection string mean, and which of them pgferry does not obey.
//!
//! Each is obeyed, of no effect on what pgferry does, or refused by its name. Tested in `location`.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use pgferry_engine::reference::Tls;
use pgferry_engine::secret::Secret;

use super::words::Words;
use super::{ChannelBinding, ClientCertificate, Location};

/// Names that pgferry gives its own sessions, which it finds them by: taken and passed over.
const OUR_OWN: [&str; 3] = ["application_name", "fallback_application_name", "client_encoding"];

/// Numbers with which others notice a dead server; pgferry's own notice it within a minute.
const NUMBERS: [&str; 5] = [
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// The location that `words` give, of one server.
pub(super) fn location(words: &Words) -> Result<Location, String> {
    for (key, value) in &words.0 {
        known(key, value)?;
    }
    let host = words.get("host").or(words.get("hostaddr")).unwrap_or_default();
    if host.starts_with('/') {
        return Err("it names a Unix socket; give a host and a port instead".to_owned());
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    if host.contains(',') {
        return Err("it names several hosts; give the one to use".to_owned());
    }
    let address = words.get("hostaddr").map(|address| {
        IpAddr::from_str(address).map_err(|_| "its `hostaddr` is no IP address".to_owned())
    });
    let port = words.get("port").map_or(Ok(5432), str::parse);
    let port = port.map_err(|_| "its `port` is no port number".to_owned())?;
    let user = words.get("user").ok_or("it names no user")?.to_owned();
    let database = words.get("dbname").unwrap_or(&user).to_owned();
    let certificate = match (words.get("sslcert"), words.get("sslkey")) {
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: certificate.into(), key: key.into() })
        }
        (None, None) => None,
        (Some(_), None) => {
            return Err("it gives `sslcert` without `sslkey`: give the files of both".to_owned());
        }
        (None, Some(_)) => {
            return Err("it gives `sslkey` without `sslcert`: give the files of both".to_owned());
        }
    };
    // As libpq: no number or 0 waits for ever, which here is as long as pgferry does.
    let connect_timeout = words.get("connect_timeout").and_then(|value| value.parse().ok());
    Ok(Location {
        host,
        port,
        address: address.transpose()?,
        user,
        password: words.get("password").map(Secret::new),
        database,
        tls: words.get("sslmode").map_or(Ok(Tls::VerifyFull), protection)?,
        options: words.get("options").map(str::to_owned),
        channel_binding: words
            .get("channel_binding")
            .map_or(Ok(ChannelBinding::Prefer), binding)?,
        connect_timeout: connect_timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        certificate,
    })
}

/// Whether a parameter is one that pgferry takes; its value is looked at where it is used.
fn known(key: &str, value: &str) -> Result<(), String> {
    match key {
        "host" | "hostaddr" | "port" | "user" | "password" | "dbname" | "sslmode" | "options"
        | "channel_binding" | "sslcert" | "sslkey" => Ok(()),
        "connect_timeout" if value.parse::<i32>().is_err() => {
            Err("its `connect_timeout` is no whole number".to_owned())
        }
        "connect_timeout" => Ok(()),
        _ if OUR_OWN.contains(&key) => Ok(()),
        _ if NUMBERS.contains(&key) => match value.parse::<i32>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("its `{key}` is no whole number")),
        },
        "gssencmode" if matches!(value, "disable" | "prefer") => Ok(()),
        "sslcompression" if value == "0" => Ok(()),
        "load_balance_hosts" if value == "disable" => Ok(()),
        "target_session_attrs" if value == "any" => Ok(()),
        _ => Err(unsupported(key)),
    }
}

fn unsupported(key: &str) -> String {
    let why = match key {
        "sslrootcert" => "give the certificate as `ca_certificate` of a `postgres.database`",
        "sslpassword" => "decrypt the file of `sslkey` and give that",
        "sslcrl" | "sslcrldir" => "pgferry reads no revocation lists",
        "passfile" | "service" | "servicefile" | "target_session_attrs" => {
            "only the `url` of a `postgres.database` may have it"
        }
        "load_balance_hosts" => "pgferry tries the hosts in their order; take it out",
        "gssencmode" | "krbsrvname" | "gsslib" => "pgferry does not speak GSSAPI; take it out",
        "sslcompression" => "TLS is not compressed; take it out",
        "pgbouncer" => "it marks a pooler: give the direct host and port, without it",
        _ => "take it out",
    };
    if is_name(key) {
        format!("its parameter `{key}` is not supported: {why}")
    } else {
        "it has a parameter that is not supported: take it out".to_owned()
    }
}

/// Whether `key` is, or begins like, a parameter of libpq or of another client: all else may be a part of a password that
/// was not encoded, and is not shown.
fn is_name(key: &str) -> bool {
    const NAMES: [&str; 34] = [
        "channel_binding",
        "connect_timeout",
        "connection_limit",
        "currentschema",
        "gssencmode",
        "hostaddr",
        "keepalives",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "options",
        "passfile",
        "pgbouncer",
        "pool_timeout",
        "pool",
        "prepare_threshold",
        "prepared_statements",
        "replication",
        "requirepeer",
        "require_auth",
        "schema",
        "scram_client_key",
        "scram_server_key",
        "search_path",
        "service",
        "socket_timeout",
        "sslmode",
        "statement_cache_size",
        "statement_timeout",
        "target_session_attrs",
        "tcp_user_timeout",
        "timeout",
        "uselibpqcompat",
    ];
    let plain = key.len() < 30 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    plain
        && NAMES.iter().any(|name| key == *name || (key.len() > 3 && name.get(..3) == key.get(..3)))
}

/// The protection that is asked for; what is weaker than `require` is made stronger.
fn protection(sslmode: &str) -> Result<Tls, String> {
    match sslmode {
        "disable" => Ok(Tls::None),
        "require" => Ok(Tls::Require),
        "allow" | "prefer" | "verify-ca" | "verify-full" => Ok(Tls::VerifyFull),
        _ => Err("its `sslmode` is not one of `disable`, `require`, `verify-full`".to_owned()),
    }
}

fn binding(value: &str) -> Result<ChannelBinding, String> {
    match value {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err("its `channel_binding` is not one of `disable`, `prefer`, `require`".to_owned()),
    }
}
