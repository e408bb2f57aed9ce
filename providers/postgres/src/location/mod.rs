//! A connection string taken apart: where the server is, who we are, and what was said about TLS.
//!
//! Both forms that libpq reads: the URL and `key=value`. It connects to nothing and reads no file: [`resolved`] does,
//! once, for what people write. Tested with the odd strings beside it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use self::words::Words;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::reference::{Endpoint, Tls};
use pgferry_engine::secret::Secret;

mod files;
mod parameters;
pub(crate) mod resolved;
mod words;

/// The parts of a connection string.
#[derive(Clone, Debug)]
pub struct Location {
    /// A host name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
    /// Where to connect instead of asking the DNS for `host`, which is what the certificate must name.
    pub address: Option<IpAddr>,
    pub user: String,
    pub password: Option<Secret>,
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// Command-line options for the server's session, such as `-c role=owner`.
    pub options: Option<String>,
    pub channel_binding: ChannelBinding,
    /// How long to wait for the server, where the string says so.
    pub connect_timeout: Option<Duration>,
    /// What we show the server, where it asks who we are.
    pub certificate: Option<ClientCertificate>,
}

/// The files of a client certificate and of its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
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
        parameters::location(&Words::read(text)?)
    }

    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.address {
            Some(address) => address.is_loopback(),
            None => {
                self.host.eq_ignore_ascii_case("localhost")
                    || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
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
            (
                "mysql://h",
                "it must begin with `postgres://`, or be of the form `host=… user=… dbname=…`",
            ),
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
                "its parameter `sslmod` is not supported: take it out",
            ),
            (
                "postgres://u:p?SecretTail@h/d",
                "a `?` in its user, password or database is not encoded: write `%3F` for it",
            ),
            (
                "postgres://u:p@h/d?sslmode=off",
                "its `sslmode` is not one of `disable`, `require`, `verify-full`",
            ),
            (
                "postgres://u:p@h/d?sslcert=x",
                "it gives `sslcert` without `sslkey`: give the files of both",
            ),
        ] {
            assert_eq!(read(url), expect, "{url}");
        }
    }

    #[test]
    fn pairs_of_key_and_value() {
        for (text, expect) in [
            ("host=h user=u dbname=d password=p port=1", "h:1 u p d VerifyFull"),
            (
                "host = h  user= u\ndbname = 'd b' password='p\\'q\\\\'",
                "h:5432 u p'q\\ d b VerifyFull",
            ),
            ("host=h user=u password=a@b#c%/? sslmode=require", "h:5432 u a@b#c%/? u Require"),
            ("host=h user=u password=", "h:5432 u - u VerifyFull"),
            ("hostaddr=10.1.2.3 user=u", "10.1.2.3:5432 u - u VerifyFull"),
            (
                "host=h user=u password=my SecretTail",
                "a word in it is not of the form `key=value`: write `key='two words'` for a value with spaces",
            ),
            (
                "host=h user=u password='SecretTail",
                "a quoted value in it does not end: write `\\'` for a `'` in it",
            ),
            (
                "host=h user=u password=my secrettail=1",
                "it has a parameter that is not supported: take it out",
            ),
            (
                "host=h user=u Secret!Tail=1",
                "it has a parameter that is not supported: take it out",
            ),
            ("host=h1,h2 user=u", "it names several hosts; give the one to use"),
            (
                "host=h user=u sslmode=off",
                "its `sslmode` is not one of `disable`, `require`, `verify-full`",
            ),
            ("host=h user=u connect_timeout=soon", "its `connect_timeout` is no whole number"),
            (
                "host=h user=u sslpassword=SecretTail",
                "its parameter `sslpassword` is not supported: decrypt the file of `sslkey` and give that",
            ),
        ] {
            assert_eq!(read(text), expect, "{text}");
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
