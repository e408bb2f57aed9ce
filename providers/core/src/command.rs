//! `core.command` — a command of the user's own: a notice, an acceptance test.
//!
//! No shell; output passes on line by line. At least once: a command that was cut short is run again, once nothing of it
//! runs any more. Tested beside it with real processes.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::Kind;
use pgferry_engine::resource::{Change, Done, Resource};
use pgferry_engine::secret::{Secret, is_secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::command::output::Lines;
use crate::command::process::{Group, command, end_former, start};

mod output;
pub mod process;

/// Keys of providers in our environment, which a command gets only if its `env` says so; as all variables whose
/// value is a secret. One that has a secret in it stays: a password may be a word that stands in many paths.
const OURS: [&str; 5] = [
    "LINODE_TOKEN",
    "HEROKU_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The type.
pub struct Command;

/// A program that is run once, without a shell; it fails the apply unless it exits with 0.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Program and arguments. No shell: `*`, `|` and `$` mean nothing. `./script.sh` is beside the spec. No secrets:
    /// argument lists are seen by everybody on the machine.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// Environment variables to set beside the inherited ones; the place for secrets.
    #[serde(default)]
    env: Option<IndexMap<String, Setting>>,
    /// How long it may take: `30s`, `10m`, `1h`. Default: as long as it likes.
    #[serde(default)]
    #[schemars(with = "Option<TimeSpan>")]
    timeout: Option<String>,
    /// The folder to run in, relative to the spec's.
    #[serde(default)]
    dir: Option<String>,
    /// `once` (default), or `always`: in each apply.
    #[serde(default)]
    #[expect(dead_code, reason = "for the plan, which decides whether to run it")]
    when: Option<When>,
}

/// How often a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum When {
    Once,
    Always,
}

struct TimeSpan;

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]{1,9}(ms|s|m|h)){1,4}$", "x-pattern-help": "a number and `ms`, `s`, `m` or `h`, such as `90s` or `1h30m`" })
    }
}

/// The value of an environment variable.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Setting {
    Text(String),
    Flag(bool),
    Number(serde_json::Number),
    Secret(Secret),
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"], "x-accepts-secrets": true })
    }
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// Of the command that succeeded: 0.
    pub exit_code: i32,
}

impl Resource for Command {
    const TYPE: &'static str = "core.command";
    const KIND: Kind = Kind::Run;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let spec = change.want;
        let Some((program, arguments)) = spec.command.split_first() else {
            return Err(Fault::new(Class::Rejected, "`command` is empty"));
        };
        let timeout = spec.timeout.as_deref().map(time_span).transpose()?;
        let folder = cx.base().join(spec.dir.as_deref().unwrap_or("."));
        if let Some(prior) = &change.prior {
            end_former(cx, &prior.notes).await;
        }
        cx.effect("run command")?;
        let set = spec.env.iter().flatten().find(|(name, _)| *name == "PATH");
        let path = set.map(|(_, value)| value.text()).or_else(|| cx.env("PATH").map(str::to_owned));
        let program_file = located(program, &folder, cx.base(), path.as_deref());
        let mut command = command(&program_file);
        command
            .args(arguments)
            .current_dir(&folder)
            .env_clear()
            .envs(cx.world.env.iter().filter(|(name, value)| is_for_all(name, value)))
            .envs(spec.env.iter().flatten().map(|(name, value)| (name, value.text())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let started = start(command).await;
        let mut child = started
            .map_err(|cause| Fault::failed(format!("starting `{program}`")).because(cause))?;
        let group = Group::of(&child);
        cx.note(group.note())?;
        let lines = Lines::follow(cx, &mut child);
        let over = async {
            match timeout {
                Some(time) => cx.world.clock.sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let status = tokio::select! {
            status = child.wait() => status,
            () = over => {
                group.end(cx, &mut child).await;
                let text = spec.timeout.as_deref().unwrap_or_default();
                return Err(failed(&format!("`{program}` took longer than {text}"), &lines.last(cx).await));
            }
            () = cx.world.cancel.cancelled() => {
                group.end(cx, &mut child).await;
                return Err(Fault::new(Class::Interrupted, format!("`{program}` was stopped on request")));
            }
        };
        let status = status
            .map_err(|cause| Fault::failed(format!("waiting for `{program}`")).because(cause))?;
        group.leave();
        let last = lines.last(cx).await;
        if !status.success() {
            return Err(failed(&format!("`{program}` failed ({status})"), &last));
        }
        Ok(Done { id: program.clone(), attrs: Attrs { exit_code: 0 }, memory: Json::Null })
    }
}

impl Setting {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Secret(secret) => secret.expose().to_owned(),
        }
    }
}

fn is_for_all(name: &str, value: &str) -> bool {
    !OURS.contains(&name) && !is_secret(value)
}

fn failed(message: &str, last: &[String]) -> Fault {
    let fault = Fault::failed(message);
    if last.is_empty() { fault } else { fault.because(last.join("\n")) }
}

fn time_span(text: &str) -> Result<Duration, Fault> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|span| Duration::try_from(span).ok())
        .ok_or_else(|| {
            Fault::new(Class::Rejected, format!("`timeout` is `{text}`, which is no time"))
                .help("write `30s`, `10m` or `1h`")
        })
}

/// A path is relative to the folder that the command runs in, else to the spec's; a bare name is looked up in `path`.
///
/// Looked up here and not by the system when it starts the program: with a path, the standard library need not copy
/// this process for that (`posix_spawn`), which takes longer than all else that is done for a short command.
fn located(program: &str, folder: &Path, base: &Path, path: Option<&str>) -> PathBuf {
    if Path::new(program).is_absolute() {
        return PathBuf::from(program);
    }
    if !program.contains('/') {
        let runs = |file: &PathBuf| {
            file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        let folders = path.map(std::env::split_paths).into_iter().flatten();
        // Not found: as it is written, so that the system says what is wrong.
        let found = folders.map(|place| folder.join(place).join(program)).find(runs);
        return found.unwrap_or_else(|| PathBuf::from(program));
    }
    let here = folder.join(program);
    if here.exists() { here } else { base.join(program) }
}

#[cfg(test)]
mod tests;
