//! What a server runs with: its own list of settings, the differences between two, and their export as CSV.
//!
//! Reads `pg_settings` (`reset_val`, so that what we set for our own session does not count). Tested in `tests/`.

use std::collections::BTreeMap;
use std::path::Path;

use pgferry_engine::fault::Fault;
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::connect::Session;

/// One parameter of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parameter {
    pub(super) value: String,
    unit: Option<String>,
    context: String,
    /// Where its value comes from: `default`, `configuration file`, `database`…
    source: String,
    default: Option<String>,
}

/// Parameters that tell where a server lives rather than how it behaves, or that we set ourselves.
const PLACES: [&str; 32] = [
    "application_name",
    "archive_cleanup_command",
    "archive_command",
    "client_encoding",
    "cluster_name",
    "config_file",
    "data_directory",
    "data_directory_mode",
    "external_pid_file",
    "hba_file",
    "ident_file",
    "in_hot_standby",
    "lc_messages",
    "listen_addresses",
    "log_directory",
    "log_filename",
    "port",
    "primary_conninfo",
    "primary_slot_name",
    "recovery_end_command",
    "restore_command",
    "server_version",
    "server_version_num",
    "shared_memory_size",
    "shared_memory_size_in_huge_pages",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_key_file",
    "stats_temp_directory",
    "transaction_read_only",
    "transaction_isolation",
    "unix_socket_directories",
];

impl Parameter {
    /// With its unit, as `SET` understands it.
    pub(super) fn spelled(&self) -> String {
        let Some(unit) = &self.unit else { return self.value.clone() };
        // `8kB`, `16MB`: the number counts blocks of that size.
        let digits: String = unit.chars().take_while(char::is_ascii_digit).collect();
        match (digits.parse::<i64>(), self.value.parse::<i64>()) {
            (Ok(block), Ok(count)) if count > 0 => {
                format!("{}{}", count * block, &unit[digits.len()..])
            }
            (Err(_), Ok(count)) if count > 0 => format!("{count}{unit}"),
            _ => self.value.clone(),
        }
    }

    /// Why it is not carried over by itself.
    fn reason(&self, name: &str, source: &Self) -> &'static str {
        match self.context.as_str() {
            _ if name == "default_transaction_read_only" => "never carried over",
            _ if source.source == "user" => "a setting of the role that connects to the source",
            _ if source.source == "database user" => {
                "a setting of the role that connects to the source, in this database"
            }
            "internal" | "postmaster" | "sighup" => "belongs to the server, not to a database",
            "superuser" | "superuser-backend" => "only a superuser may set it",
            _ => "set for the whole server; name it in `include` to carry it over",
        }
    }
}

/// All parameters of the session's server, by their names in lower case: `pg_settings` says `TimeZone`, `pg_db_role_setting`
/// what somebody typed.
pub(super) async fn parameters(session: &Session) -> Result<BTreeMap<String, Parameter>, Fault> {
    let rows = session
        .query("select name, coalesce(reset_val, ''), unit, context, source, boot_val from pg_settings", &[])
        .await
        .map_err(|cause| session.fault("reading the server's settings", cause))?;
    Ok(rows
        .iter()
        .map(|row| {
            let parameter = Parameter {
                value: row.get(1),
                unit: row.get(2),
                context: row.get(3),
                source: row.get(4),
                default: row.get(5),
            };
            (row.get::<_, &str>(0).to_ascii_lowercase(), parameter)
        })
        .collect())
}

/// A setting with which the two servers differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Difference {
    pub(super) name: String,
    pub(super) source: String,
    /// `None`: the target does not know it.
    pub(super) target: Option<String>,
    pub(super) reason: String,
}

/// What the source runs with that is not its default, and the target not; without `carried` names.
pub(super) fn differences(
    source: &BTreeMap<String, Parameter>,
    target: &BTreeMap<String, Parameter>,
    carried: impl Fn(&str) -> bool,
) -> Vec<Difference> {
    source
        .iter()
        .filter(|(name, _)| !PLACES.contains(&name.as_str()) && !carried(name))
        .filter(|(_, parameter)| parameter.default.as_ref() != Some(&parameter.value))
        .filter(|(_, parameter)| parameter.source != "default" && parameter.source != "client")
        .filter_map(|(name, parameter)| {
            let there = target.get(name);
            if there.is_some_and(|there| there.spelled() == parameter.spelled()) {
                return None;
            }
            let reason = match there {
                Some(there) => there.reason(name, parameter),
                None => "the target does not know it",
            };
            Some(Difference {
                name: name.clone(),
                source: parameter.spelled(),
                target: there.map(Parameter::spelled),
                reason: reason.to_owned(),
            })
        })
        .collect()
}

/// The differences as a line diff, the target's lines first gone, the source's come.
pub(super) fn diff(differences: &[Difference]) -> String {
    let lines = |value: &dyn Fn(&Difference) -> Option<String>| {
        differences
            .iter()
            .filter_map(|difference| {
                value(difference).map(|value| format!("{} = {value}\n", difference.name))
            })
            .collect::<String>()
    };
    let source = lines(&|difference| Some(difference.source.clone()));
    let target = lines(&|difference| difference.target.clone());
    TextDiff::from_lines(&source, &target)
        .unified_diff()
        .context_radius(0)
        .header("settings of the source", "settings of the target")
        .to_string()
        .lines()
        .filter(|line| !line.starts_with("@@"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Writes all parameters as CSV, one a line, with a header.
///
/// Parameters that may hold connection strings or commands are written as `(not exported)`.
///
/// # Errors
/// The folder or the file cannot be written.
pub(super) fn export(path: &Path, parameters: &BTreeMap<String, Parameter>) -> Result<(), Fault> {
    let fault = |cause: std::io::Error| {
        Fault::failed(format!("writing the settings to `{}`", path.display())).because(cause)
    };
    let mut text = "name,setting,unit,context,source\n".to_owned();
    for (name, parameter) in parameters {
        let private =
            name.contains("conninfo") || name.contains("command") || name.contains("password");
        let value = if private && !parameter.value.is_empty() {
            "(not exported)"
        } else {
            &parameter.value
        };
        let cells = [
            name,
            value,
            parameter.unit.as_deref().unwrap_or(""),
            &parameter.context,
            &parameter.source,
        ];
        text.push_str(&cells.map(cell).join(","));
        text.push('\n');
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fault)?;
    }
    std::fs::write(path, text).map_err(fault)
}

fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(value: &str, unit: Option<&str>, context: &str, default: &str) -> Parameter {
        Parameter {
            value: value.into(),
            unit: unit.map(str::to_owned),
            context: context.into(),
            source: "configuration file".into(),
            default: Some(default.into()),
        }
    }

    #[test]
    fn differences_come_with_reasons_and_as_a_diff() {
        let source: BTreeMap<String, Parameter> = [
            ("work_mem", parameter("16384", Some("kB"), "user", "4096")),
            ("shared_buffers", parameter("4096", Some("8kB"), "postmaster", "1024")),
            ("pg_cron.db", parameter("x", None, "postmaster", "")),
            ("port", parameter("5433", None, "postmaster", "5432")),
            ("jit", parameter("on", None, "user", "on")),
        ]
        .map(|(name, parameter)| (name.to_owned(), parameter))
        .into();
        let of_a_role = Parameter { source: "user".into(), ..source["work_mem"].clone() };
        assert_eq!(
            source["work_mem"].reason("work_mem", &of_a_role),
            "a setting of the role that connects to the source"
        );
        let target: BTreeMap<String, Parameter> = [
            ("work_mem", parameter("4096", Some("kB"), "user", "4096")),
            ("shared_buffers", parameter("8192", Some("8kB"), "postmaster", "1024")),
            ("port", parameter("5432", None, "postmaster", "5432")),
        ]
        .map(|(name, parameter)| (name.to_owned(), parameter))
        .into();
        let found = differences(&source, &target, |_| false);
        let told: Vec<String> = found.iter().map(|d| format!("{}: {}", d.name, d.reason)).collect();
        assert_eq!(
            told,
            [
                "pg_cron.db: the target does not know it",
                "shared_buffers: belongs to the server, not to a database",
                "work_mem: set for the whole server; name it in `include` to carry it over",
            ]
        );
        assert_eq!(
            diff(&found),
            "\
--- settings of the source
+++ settings of the target
-pg_cron.db = x
-shared_buffers = 32768kB
-work_mem = 16384kB
+shared_buffers = 65536kB
+work_mem = 4096kB"
        );
    }
}
