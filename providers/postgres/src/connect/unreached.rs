//! No session: what is said when a server is not reached, and what to do about it.
//!
//! The help fits the cause: what the server said, or what the library did. Tested by `tests/connect.rs` and
//! `tests/strings.rs` with real servers, and below by what no server of a test can be.

use std::time::Duration;

use pgferry_engine::fault::{Class, Fault};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::{AT_ONCE, HURRIED, Said, patience};
use crate::location::Location;

/// That there was no session to be had: what a run wants, and where the limit may be.
const SESSIONS_WANTED: &str = "a copy wants `jobs` + 4 sessions of its source and twice `jobs` + 2 of its target, a dump `jobs` + 3, a \
     verification 5 of each: end other sessions, raise the limit (the pool's size, `max_connections`, the role's or the \
     database's CONNECTION LIMIT), or set fewer `jobs`";

/// Why there is none.
pub(super) enum Unreached {
    Said(Error),
    Silent,
}

pub(super) fn exhausted(location: &Location) -> Fault {
    let message = format!(
        "connecting to database `{}` at {} as `{}`",
        location.database,
        location.server(),
        location.user
    );
    Fault::failed(message)
        .because(format!(
            "the pooler there had no session left for {} s",
            patience(location).as_secs() * 2
        ))
        .help(SESSIONS_WANTED)
}

pub(super) fn unreached(location: &Location, cause: Unreached) -> Fault {
    let server = location.server();
    let message = format!(
        "connecting to database `{}` at {server} as `{}`",
        location.database, location.user
    );
    let Unreached::Said(cause) = cause else {
        return Fault::failed(message).because("no answer in time").help(format!(
            "check that {} may be reached from here: the provider's allow list, firewall and port {}",
            location.host, location.port
        ));
    };
    let (class, help) = match cause.code().map(SqlState::code) {
        Some(code) if HURRIED.contains(&code) => (AT_ONCE, None),
        // Starting up, shutting down.
        Some("57P03" | "57P01") => (Class::Retry { after: Some(Duration::from_secs(2)) }, None),
        // Too many clients: of the server, of the role, of the database.
        Some("53300") => {
            (Class::Retry { after: Some(Duration::from_secs(2)) }, Some(SESSIONS_WANTED.to_owned()))
        }
        Some("28P01") => (Class::Denied, Some("the password or user name is wrong".to_owned())),
        Some("28000") => (
            Class::Denied,
            Some(
                if cause.as_db_error().is_some_and(|said| said.message().contains("certificate")) {
                    "the server asks for a client certificate: give `sslcert` and `sslkey` in the URL"
                    .to_owned()
                } else {
                    "the server refuses this user from here: check its allow list".to_owned()
                },
            ),
        ),
        Some("3D000") => {
            (Class::Failed, Some(format!("is `{}` the right name?", location.database)))
        }
        Some(_) => (Class::Failed, None),
        None => without_answer(location, &cause),
    };
    let fault = Fault::new(class, message).because(Said::of(cause));
    match help {
        Some(help) => fault.help(help),
        None => fault,
    }
}

fn without_answer(location: &Location, cause: &Error) -> (Class, Option<String>) {
    let chain = Said::chain(cause);
    let host = &location.host;
    if chain.contains("password missing") {
        let help = "it asks for a password, and none was given: write it into the URL, or into `~/.pgpass`";
        return (Class::Denied, Some(help.to_owned()));
    }
    if chain.contains("certificate") || chain.contains("UnknownIssuer") {
        return (Class::Failed, Some(untrusted(location, &chain)));
    }
    if chain.contains("server does not support TLS") {
        return (Class::Failed, Some("the server speaks no TLS".to_owned()));
    }
    if chain.contains("failed to lookup address") {
        return (
            Class::Failed,
            Some(format!("no address is known for `{host}`: is it spelled right?")),
        );
    }
    let help = format!(
        "check that {host} may be reached from here: the provider's allow list, firewall and port {}",
        location.port
    );
    let class = if chain.contains("refused") || chain.contains("reset") {
        Class::Retry { after: None }
    } else {
        Class::Failed
    };
    (class, Some(help))
}

/// What to do about a certificate, or about one that the server wants of us.
fn untrusted(location: &Location, chain: &str) -> String {
    let host = &location.host;
    if chain.contains("CertificateRequired") || chain.contains("certificate required") {
        return "the server asks for a client certificate: give `sslcert` and `sslkey` in the URL"
            .to_owned();
    }
    if chain.contains("NotValidForName") || chain.contains("not valid for name") {
        return format!(
            "the server's certificate does not name `{host}`: give the name it has as the host (and the address as `hostaddr`)"
        );
    }
    // As Heroku documents it: its certificates are signed by nobody, and its databases stand on these hosts.
    if host.ends_with(".amazonaws.com") && !host.ends_with(".rds.amazonaws.com") {
        return "Heroku's certificates cannot be verified: write `?sslmode=require` behind the URL"
            .to_owned();
    }
    "the server's certificate is not trusted: give its authority as `ca_certificate`, or as `sslrootcert=FILE` in the URL; \
     `?sslmode=require` encrypts without asking who is there"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_about_a_certificate_fits_the_host() {
        let help = |host: &str, said: &str| {
            untrusted(&Location::parse(&format!("postgres://u@{host}/d")).unwrap(), said)
        };
        let unknown = "invalid peer certificate: UnknownIssuer";
        let heroku = "ec2-52-1-2-3.compute-1.amazonaws.com";
        assert!(help(heroku, unknown).contains("`?sslmode=require`"), "as Heroku's hosts need");
        assert!(help("db.acme.org", unknown).contains("sslrootcert=FILE"));
        assert!(help("a.b.eu-central-1.rds.amazonaws.com", unknown).contains("sslrootcert=FILE"));
        let other = "invalid peer certificate: certificate not valid for name \"db.acme.org\"";
        assert!(help("db.acme.org", other).contains("does not name `db.acme.org`"));
    }
}
