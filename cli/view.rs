//! Words and JSON for people and programs: stdout is data, stderr is talk.
//!
//! Colour is decoration only and goes with `NO_COLOR`, pipes and `--no-color`. Whatever is printed has passed
//! [`redact`].

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use pgferry_engine::diag::{Paint, Severity};
use pgferry_engine::secret::redact;

use crate::outcome::Stop;

pub(crate) mod drift;
pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod partial;
pub(crate) mod plan;
pub(crate) mod summary;

/// Prints data on stdout. A closed pipe ends quietly.
pub(crate) fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    if writeln!(out, "{}", redact(text)).is_err() {
        std::process::exit(141);
    }
}

/// Prints one JSON object on a line of stdout.
pub(crate) fn print_json(json: &serde_json::Value) {
    print(&json.to_string());
}

static RECORD: OnceLock<Mutex<File>> = OnceLock::new();

/// From now on [`record`] writes to `path`, which is made anew.
pub(crate) fn record_into(path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    // Called once, before anything is shown.
    let _ = RECORD.set(Mutex::new(file));
    record(&json::version());
    Ok(())
}

/// Writes one JSON line to the file of `--json-into`, if there is one. A full disk there does not stop the work.
pub(crate) fn record(json: &serde_json::Value) {
    if let Some(file) = RECORD.get() {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{}", redact(&json.to_string()));
    }
}

/// Prints talk on stderr.
pub(crate) fn talk(text: &str) {
    let mut err = anstream::stderr().lock();
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(err, "{}", redact(text));
}

/// `Error: …`, as scripts look for it.
pub(crate) fn error(message: &str, help: Option<&str>) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    talk(&format!("{red}Error: {red:#}{message}"));
    if let Some(help) = help {
        talk(&format!("  help: {help}"));
    }
}

/// `Warning: …`.
pub(crate) fn warning(message: &str) {
    let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
    talk(&format!("{yellow}Warning: {yellow:#}{message}"));
}

/// The end of a command that did not do what was asked.
pub(crate) fn stop(stop: &Stop) {
    match stop {
        Stop::Interrupted => talk("Stopped on request; nothing was changed."),
        Stop::Because { message, help } => error(message, help.as_deref()),
        Stop::Spec { source, mistakes, json: true } => {
            print_json(&json::validation(source, mistakes));
        }
        Stop::Spec { source, mistakes, json: false } => {
            for mistake in mistakes {
                talk(mistake.render_in(source, paint()).trim_end());
                talk("");
            }
            let errors = mistakes.iter().filter(|one| one.severity == Severity::Error);
            let count = errors.count();
            error(
                &format!(
                    "{count} mistake{} in `{}`",
                    if count == 1 { "" } else { "s" },
                    source.name
                ),
                None,
            );
        }
    }
}

/// Whether stderr takes colour.
pub(crate) fn paint() -> Paint {
    match anstream::AutoStream::choice(&std::io::stderr()) {
        anstream::ColorChoice::Never => Paint::Plain,
        _ => Paint::Colour,
    }
}
