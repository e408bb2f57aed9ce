//! Where Heroku's two APIs are, by the rules of its own command-line tool.
//!
//! `HEROKU_HOST` is a URL or a bare domain; `HEROKU_DATA_HOST` a bare host whose scheme and port are those of
//! `HEROKU_HOST`. Tested beside.

use std::collections::BTreeMap;

use pgferry_engine::fault::Fault;
use pgferry_http::{is_loopback, origin};
use url::Url;

const PLATFORM: &str = "https://api.heroku.com";
const DATA: &str = "https://api.data.heroku.com";

/// The two origins.
#[derive(Debug)]
pub(crate) struct Hosts {
    pub(crate) platform: Url,
    pub(crate) data: Url,
}

impl Hosts {
    /// The origins that the environment asks for, by default Heroku's own.
    pub(crate) fn from_environment(env: &BTreeMap<String, String>) -> Result<Self, Fault> {
        let set = |name: &str| env.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
        let platform = match set("HEROKU_HOST") {
            None => origin("Heroku", PLATFORM)?,
            Some(url) if url.contains("://") => origin("Heroku (`HEROKU_HOST`)", url)?,
            Some(domain) => origin("Heroku (`HEROKU_HOST`)", &format!("https://api.{domain}"))?,
        };
        let data = match set("HEROKU_DATA_HOST").or_else(|| set("HEROKU_POSTGRESQL_HOST")) {
            // An emulator that serves the one API serves the other: no token of its leaves this machine.
            None if is_loopback(&platform) => platform.clone(),
            None => origin("Heroku Data", DATA)?,
            Some(url) if url.contains("://") => origin("Heroku Data (`HEROKU_DATA_HOST`)", url)?,
            Some(host) => {
                let port = match platform.port() {
                    Some(port) if !host.contains(':') => format!(":{port}"),
                    _ => String::new(),
                };
                let url = format!("{}://{host}{port}", platform.scheme());
                origin("Heroku Data (`HEROKU_DATA_HOST`)", &url)?
            }
        };
        Ok(Self { platform, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_api_takes_scheme_and_port_from_the_platform() {
        let check = |host: &str, data: &str| {
            let env = [("HEROKU_HOST", host), ("HEROKU_DATA_HOST", data)];
            let env = env.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            let hosts = Hosts::from_environment(&env).expect("accepted");
            (hosts.platform.to_string(), hosts.data.to_string())
        };
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(check("", ""), both("https://api.heroku.com/", "https://api.data.heroku.com/"));
        assert_eq!(
            check("http://127.0.0.1:8080", "127.0.0.1"),
            both("http://127.0.0.1:8080/", "http://127.0.0.1:8080/")
        );
        assert_eq!(
            check("http://127.0.0.1:8080", ""),
            both("http://127.0.0.1:8080/", "http://127.0.0.1:8080/")
        );
        assert_eq!(
            check("herokudev.com", "data.herokudev.com"),
            both("https://api.herokudev.com/", "https://data.herokudev.com/")
        );
    }

    #[test]
    fn clear_text_stays_on_this_machine() {
        let env = [("HEROKU_HOST".to_owned(), "http://api.heroku.com".to_owned())].into();
        assert!(Hosts::from_environment(&env).is_err());
    }
}
