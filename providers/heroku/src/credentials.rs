//! The token: from the spec, from `HEROKU_API_KEY`, or from the `.netrc` that Heroku's own tool writes.
//!
//! Tested beside.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::secret::Secret;
use url::Url;

/// The token for `platform`.
pub(crate) fn token(
    setting: Option<Secret>,
    platform: &Url,
    env: &BTreeMap<String, String>,
) -> Result<Secret, Fault> {
    let set = |name: &str| env.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
    if let Some(token) = setting.filter(|token| !token.expose().trim().is_empty()) {
        return Ok(token);
    }
    if let Some(token) = set("HEROKU_API_KEY") {
        return Ok(Secret::new(token));
    }
    let file = set("NETRC_PATH")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".netrc")));
    let machine = machine(platform);
    let text = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    password(&text, &machine).map(Secret::new).ok_or_else(|| {
        Fault::new(Class::Denied, "there are no credentials for Heroku").help(
            "run `heroku login`, or set `HEROKU_API_KEY` to the output of `heroku auth:token`",
        )
    })
}

/// The name of the `.netrc` entry: the host, with the port where there is one.
fn machine(platform: &Url) -> String {
    let host = platform.host_str().unwrap_or_default();
    platform.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The password of `machine` in the text of a `.netrc`.
fn password(netrc: &str, machine: &str) -> Option<String> {
    let mut words = netrc
        .lines()
        .map(|line| {
            line.split_once('#')
                .filter(|(before, _)| before.is_empty() || before.ends_with(char::is_whitespace))
                .map_or(line, |(before, _)| before)
        })
        .flat_map(str::split_whitespace);
    let mut ours = false;
    while let Some(word) = words.next() {
        match word {
            "machine" => ours = words.next() == Some(machine),
            "default" => ours = false,
            "password" => {
                let value = words.next()?;
                if ours {
                    return Some(value.to_owned());
                }
            }
            "login" | "account" => {
                words.next();
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_of_the_host_is_found() {
        let netrc = "machine git.heroku.com\n  login a@b.c\n  password other\n\
                     machine api.heroku.com login machine password tok#en # kept by the tool\n\
                     machine 127.0.0.1:80\n\tlogin x\n\tpassword local\n";
        assert_eq!(password(netrc, "api.heroku.com").as_deref(), Some("tok#en"));
        assert_eq!(password(netrc, "127.0.0.1:80").as_deref(), Some("local"));
        assert_eq!(password(netrc, "api.test"), None);
        assert_eq!(password("machine api.heroku.com password", "api.heroku.com"), None);
    }

    #[test]
    fn without_any_the_way_out_is_named() {
        let platform = Url::parse("https://api.heroku.com").expect("a URL");
        let fault = token(None, &platform, &BTreeMap::new()).expect_err("none");
        assert_eq!(fault.class, Class::Denied);
        assert!(fault.help.is_some());
    }
}
