//! The token: from the spec, from `LINODE_TOKEN`, or from the file that `linode-cli configure` writes.
//!
//! Tested beside.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::secret::Secret;

/// The token of the account.
pub(crate) fn token(
    setting: Option<Secret>,
    env: &BTreeMap<String, String>,
) -> Result<Secret, Fault> {
    let set = |name: &str| env.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
    if let Some(token) = setting.filter(|token| !token.expose().trim().is_empty()) {
        return Ok(token);
    }
    if let Some(token) = set("LINODE_TOKEN").or_else(|| set("LINODE_CLI_TOKEN")) {
        return Ok(Secret::new(token));
    }
    let home = |rest: &str| set("HOME").map(|home| PathBuf::from(home).join(rest));
    let files = [
        set("LINODE_CLI_CONFIG").map(PathBuf::from),
        set("XDG_CONFIG_HOME").map(|folder| PathBuf::from(folder).join("linode-cli")),
        home(".config/linode-cli"),
        home(".linode-cli"),
    ];
    files
        .into_iter()
        .flatten()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|text| stored(&text))
        .map(Secret::new)
        .ok_or_else(|| {
            Fault::new(Class::Denied, "there are no credentials for Linode").help(
                "set `LINODE_TOKEN` to a personal access token (Cloud Manager, My Profile, API \
                 Tokens), or run `linode-cli configure`",
            )
        })
}

/// The token of the default user in the text of `linode-cli`'s configuration.
fn stored(text: &str) -> Option<String> {
    let mut section = String::new();
    let mut user = None;
    let mut tokens: Vec<(String, String)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.trim().to_owned();
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            match key.trim() {
                "default-user" if section == "DEFAULT" => user = Some(value.trim().to_owned()),
                "token" => tokens.push((section.clone(), value.trim().to_owned())),
                _ => {}
            }
        }
    }
    let user = user?;
    tokens.into_iter().find(|(of, token)| *of == user && !token.is_empty()).map(|(_, token)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_user_counts() {
        let text = "[DEFAULT]\ndefault-user = ops\n\n[dev]\ntoken = wrong\n[ops]\nregion = us-ord\ntoken = right\n";
        assert_eq!(stored(text).as_deref(), Some("right"));
        assert_eq!(stored("[ops]\ntoken = right\n"), None);
        assert_eq!(stored("[DEFAULT]\ndefault-user = ops\n[ops]\ntoken =\n"), None);
    }

    #[test]
    fn the_environment_comes_before_files() {
        let env = [("LINODE_TOKEN".to_owned(), "from-environment".to_owned())].into();
        let found = token(None, &env).expect("a token");
        assert_eq!(found.expose(), "from-environment");
        let fault = token(None, &BTreeMap::new()).expect_err("none");
        assert!(fault.help.is_some());
    }
}
