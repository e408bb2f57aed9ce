//! The environment, read once, and the values of variables by their precedence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::arguments::{Common, pairs};

/// All of the environment that is text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// What this process is called in a lock that others see: `user@host, process 7`.
pub(crate) fn holder(env: &BTreeMap<String, String>) -> String {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
    let read = |path: &str| {
        let text = std::fs::read_to_string(path).ok()?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let user = set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| "somebody".to_owned());
    let host = set("HOSTNAME").or_else(|| read("/proc/sys/kernel/hostname"));
    let host = host.or_else(|| read("/etc/hostname")).unwrap_or_else(|| "a machine".to_owned());
    format!("{user}@{host}, process {}", std::process::id())
}

/// Variables: `PGFERRY_VAR_name`, then `pgferry.vars.yaml` and every `*.auto.vars.yaml` beside the spec, in the order
/// of their names, then `--var-file` in the order given, then `--var`; later ones win, as in Terraform. A null counts as
/// not given.
pub(crate) fn variables(
    common: &Common,
    spec: &Path,
    env: &BTreeMap<String, String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    use anyhow::Context;
    let files = beside(spec)?.into_iter().chain(common.var_file.iter().cloned());
    let mut values: BTreeMap<String, String> = env
        .iter()
        .filter_map(|(name, value)| {
            Some((name.strip_prefix("PGFERRY_VAR_")?.to_owned(), value.clone()))
        })
        .collect();
    for path in files {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("reading the variables in `{}`", path.display()))?;
        let read: BTreeMap<String, serde_json::Value> = serde_yaml::from_str(&text)
            .with_context(|| format!("reading the variables in `{}`", path.display()))?;
        values.extend(read.into_iter().filter_map(|(name, value)| {
            let text = match value {
                serde_json::Value::Null => return None,
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            Some((name, text))
        }));
    }
    values.extend(pairs(&common.var, "var")?);
    Ok(values)
}

/// Files of variables that are read by themselves, in the order in which they count.
fn beside(spec: &Path) -> anyhow::Result<Vec<PathBuf>> {
    use anyhow::Context;
    let folder = spec.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut automatic = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("looking for files of variables in `{}`", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("looking for files of variables in `{}`", folder.display()))?
            .path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".auto.vars.yaml") {
            automatic.push(path);
        }
    }
    automatic.sort();
    let first = folder.join("pgferry.vars.yaml");
    if first.is_file() {
        automatic.insert(0, first);
    }
    Ok(automatic)
}
