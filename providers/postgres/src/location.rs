//! A connection string taken apart: where the server is, who we are, and what was said about TLS.
//!
//! It knows the URL form only (`postgres://user:password@host:port/database?sslmode=…`), since that is what every
//! provider hands out; it connects to nothing. Tested with the odd URLs beside it.

use std::net::IpAddr;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::reference::{Endpoint, Tls};
use pgferry_engine::secret::Secret;
use url::Url;

/// The parts of a connection string.
#[derive(Clone, Debug)]
pub struct Location {
    /// A host name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// Command-line options for the server's session, such as `-c role=owner`.
    pub options: Option<String>,
    pub channel_binding: ChannelBinding,
}

/// Whether a password is bound to the TLS connection (SCRAM-SHA-256-PLUS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    Require,
}

/// Parameters that hold for our own sessions in any case, or that change nothing we do: taken and passed over.
const OF_NO_EFFECT: [&str; 10] = [
    // pgferry names its own sessions, and sets these for all of them.
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    // Only of meaning with several hosts, which are refused, or without TLS.
    "load_balance_hosts",
    "sslcompression",
];

impl Location {
    /// Reads the location of `endpoint`.
    ///
    /// Protection is what the endpoint says; else full verification where it brings a certificate; else `sslmode` of
    /// the URL (`require` and `disable` are taken at their word, everything weaker or unknown is made stronger);
    /// else full verification.
    ///
    /// # Errors
    /// [`Class::Rejected`]: not such a URL, or clear text to another machine. The message never holds the URL.
    pub fn of(endpoint: &Endpoint) -> Result<Self, Fault> {
        let mut location = Self::parse(endpoint.url.expose())
            .map_err(|why| rejected(format!("reading the URL of `{}`: {why}", endpoint.address)))?;
        if let Some(database) = endpoint.database.as_ref().filter(|name| !name.is_empty()) {
            location.database.clone_from(database);
        }
        if let Some(tls) = endpoint.tls {
            location.tls = tls;
        } else if endpoint.ca_certificate.is_some() {
            location.tls = Tls::VerifyFull;
        }
        if location.tls == Tls::None && !location.is_loopback() {
            return Err(rejected(format!(
                "connecting to `{}` without TLS: clear text is for this machine only, and `{}` is another",
                endpoint.address, location.host
            ))
            .help("leave `tls` out, or write `tls: require` if its certificate cannot be verified"));
        }
        Ok(location)
    }

    /// Takes `text` apart.
    ///
    /// # Errors
    /// What is wrong with it, without quoting it.
    pub fn parse(text: &str) -> Result<Self, String> {
        well_encoded(text)?;
        let url = Url::parse(text).map_err(|cause| {
            format!("it is no URL ({cause}); in user, password and database write `%2F` for a `/`")
        })?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err("it must begin with `postgres://`".to_owned());
        }
        let (mut host, mut port) =
            (url.host_str().map(decoded).unwrap_or_default(), url.port().unwrap_or(5432));
        let mut user = decoded(url.username());
        let mut password = url.password().map(decoded);
        let mut database = decoded(url.path().trim_start_matches('/'));
        let (mut tls, mut options, mut channel_binding) =
            (Tls::VerifyFull, None, ChannelBinding::default());
        for (key, value) in url.query_pairs() {
            match &*key {
                "host" => host = value.into_owned(),
                "port" => {
                    port = value.parse().map_err(|_| "its `port` is no port number".to_owned())?;
                }
                "user" => user = value.into_owned(),
                "password" => password = Some(value.into_owned()),
                "dbname" => database = value.into_owned(),
                "sslmode" => tls = protection(&value)?,
                "options" => options = Some(value.into_owned()),
                "channel_binding" => channel_binding = binding(&value)?,
                "gssencmode" if matches!(&*value, "disable" | "prefer") => {}
                "target_session_attrs" if value == "any" => {}
                known if OF_NO_EFFECT.contains(&known) => {}
                _ => return Err(unsupported(&key)),
            }
        }
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
        if user.is_empty() {
            return Err("it names no user".to_owned());
        }
        if database.is_empty() {
            database.clone_from(&user);
        }
        let password = password.map(Secret::new);
        Ok(Self { host, port, user, password, database, tls, options, channel_binding })
    }

    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// `host:port`, for messages.
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn rejected(message: String) -> Fault {
    Fault::new(Class::Rejected, message)
}

/// Refuses what a parser would take apart at the wrong place, so that no part of a password becomes a host name
/// (RFC 3986, 2.2 and 3.2). Nothing of the text is quoted.
fn well_encoded(text: &str) -> Result<(), String> {
    let encode = |sign: char, code: &str| {
        format!(
            "a `{sign}` in its user, password or database is not encoded: write `{code}` for it"
        )
    };
    if text.contains('#') {
        return Err(encode('#', "%23"));
    }
    let whole = text.split_once("://").map_or(text, |(_, rest)| rest);
    let named = whole.split_once('?').map_or(whole, |(named, _)| named);
    let (authority, path) = named.split_once('/').unwrap_or((named, ""));
    if authority.matches('@').count() > 1 || path.contains('@') {
        return Err(encode('@', "%40"));
    }
    let escapes = text.split('%').skip(1);
    let two_digits = |after: &str| after.bytes().take_while(u8::is_ascii_hexdigit).count() >= 2;
    if !escapes.into_iter().all(two_digits) {
        return Err(encode('%', "%25"));
    }
    Ok(())
}

fn unsupported(key: &str) -> String {
    let why = match key {
        "sslrootcert" => "give the certificate as `ca_certificate` of a `postgres.database`",
        "sslcert" | "sslkey" | "sslpassword" => "pgferry does not offer client certificates",
        "hostaddr" => "give the address as the host, with `tls: require`",
        "passfile" | "service" | "servicefile" => "give user and password in the URL",
        "target_session_attrs" => "give the host of the server to use",
        "pgbouncer" => "it marks a pooler: give the direct host and port, without it",
        _ => "take it out of the URL",
    };
    // What is no plain name may be a part of a password that was not encoded.
    match key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') && key.len() < 30 {
        true => format!("its parameter `{key}` is not supported: {why}"),
        false => "it has a parameter that is not supported: take it out of the URL".to_owned(),
    }
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

/// `%40` → `@`; what is no escape stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escape = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = escape {
            out.push(byte);
            index += 3;
        } else {
            out.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match Location::parse(text) {
            Ok(l) => format!(
                "{} {} {} {} {:?}",
                l.server(),
                l.user,
                l.password.as_ref().map_or("-", Secret::expose),
                l.database,
                l.tls
            ),
            Err(why) => why,
        }
    }

    #[test]
    fn urls_of_all_kinds() {
        for (url, expect) in [
            ("postgres://u:p@h:1/d", "h:1 u p d VerifyFull"),
            ("postgresql://u@h", "h:5432 u - u VerifyFull"),
            ("postgres://u:p%40s%2F@h/d%20b?sslmode=require", "h:5432 u p@s/ d b Require"),
            ("postgres://u:p@[::1]:99/d?sslmode=disable", "[::1]:99 u p d None"),
            ("postgres://u:p@h/d?sslmode=prefer", "h:5432 u p d VerifyFull"),
            ("postgres:///d?host=/tmp", "it names a Unix socket; give a host and a port instead"),
            ("mysql://h", "it must begin with `postgres://`"),
            ("postgres://h/d", "it names no user"),
            (
                "postgres://u:p@h/d?channel_binding=require&application_name=x",
                "h:5432 u p d VerifyFull",
            ),
            (
                "postgres://u:Tr0ub4dor@SecretTail#9@db.example/d",
                "a `#` in its user, password or database is not encoded: write `%23` for it",
            ),
            (
                "postgres://u:Tr0ub4dor@SecretTail@db.example/d",
                "a `@` in its user, password or database is not encoded: write `%40` for it",
            ),
            (
                "postgres://u:12/SecretTail@db.example/d",
                "a `@` in its user, password or database is not encoded: write `%40` for it",
            ),
            (
                "postgres://u:100%sure@h/d",
                "a `%` in its user, password or database is not encoded: write `%25` for it",
            ),
            (
                "postgres://u:p@h/d?sslmod=disable",
                "its parameter `sslmod` is not supported: take it out of the URL",
            ),
            (
                "postgres://u:p?SecretTail@h/d",
                "it is no URL (invalid port number); in user, password and database write `%2F` for a `/`",
            ),
            (
                "postgres://u:p@h/d?sslmode=off",
                "its `sslmode` is not one of `disable`, `require`, `verify-full`",
            ),
            (
                "postgres://u:p@h/d?sslcert=x",
                "its parameter `sslcert` is not supported: pgferry does not offer client certificates",
            ),
        ] {
            assert_eq!(read(url), expect, "{url}");
        }
    }

    #[test]
    fn options_reach_the_session() {
        let location = Location::parse("postgres://u@h/d?options=-c%20role%3Downer");
        assert_eq!(location.map(|it| it.options), Ok(Some("-c role=owner".to_owned())));
    }

    #[test]
    fn clear_text_stays_on_this_machine() {
        let endpoint = |url: &str| Endpoint {
            address: "source".parse().unwrap(),
            id: None,
            url: Secret::new(url),
            tls: Some(Tls::None),
            ca_certificate: None,
            database: None,
            version: None,
            plan: None,
            app: None,
            name: None,
        };
        assert!(Location::of(&endpoint("postgres://u:p@127.0.0.1/d")).is_ok());
        assert!(Location::of(&endpoint("postgres://u:p@db.example.org/d")).is_err());
    }
}
