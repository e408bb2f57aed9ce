//! Words and JSON for people and programs: stdout is data, stderr is talk.
//!
//! Colour is decoration only and goes with `NO_COLOR`, pipes and `--no-color`. Whatever is printed has passed
//! [`redact`]. A command that tells programs in JSON lines says everything in them, errors included.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use pgferry_engine::diag::{Paint, Severity};
use pgferry_engine::secret::redact;
use serde::Serialize;

use crate::outcome::Stop;
use json::lines;
use json::shape::{Level, Line};

pub(crate) mod bars;
pub(crate) mod drift;
pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod partial;
pub(crate) mod plan;
pub(crate) mod running;
pub(crate) mod speed;
mod stdout;
pub(crate) mod summary;
pub(crate) mod words;

/// Prints data on stdout.
pub(crate) fn print(text: &str) {
    print_pieces(|to| to(text));
}

/// Prints what is too long to be held as a whole: pieces, each but the last of whole lines.
pub(crate) fn print_pieces(pieces: impl FnOnce(&mut dyn FnMut(&str))) {
    let colour = stdout::takes_colour();
    stdout::write(|out| {
        let mut written = Ok(());
        pieces(&mut |piece| {
            if written.is_ok() {
                let text = redact(piece);
                written = match colour {
                    true => write!(out, "{text}"),
                    false => write!(out, "{}", anstream::adapter::strip_str(&text)),
                };
            }
        });
        written.and_then(|()| writeln!(out))
    });
}

/// Prints one JSON document on a line of stdout.
pub(crate) fn print_json(document: &impl Serialize) {
    // Maps with keys that are no text are the only thing that JSON refuses, and there are none.
    let text = serde_json::to_string(document).expect("keys are text");
    stdout::write(|out| writeln!(out, "{}", redact(&text)));
}

/// Whether everything is told in JSON lines on stdout.
static IN_LINES: AtomicBool = AtomicBool::new(false);

/// From now on everything is told in JSON lines on stdout, beginning with the version.
pub(crate) fn tell_in_lines() {
    IN_LINES.store(true, Ordering::Relaxed);
    print_json(&lines::version());
}

fn in_lines() -> bool {
    IN_LINES.load(Ordering::Relaxed)
}

static RECORD: OnceLock<Mutex<File>> = OnceLock::new();

/// From now on JSON lines also go to `path`, which is made anew.
pub(crate) fn record_into(path: &Path) -> std::io::Result<()> {
    let file = File::create(path)?;
    // Called once, before anything is shown.
    let _ = RECORD.set(Mutex::new(file));
    record(&lines::version());
    Ok(())
}

/// Writes one line to the file of `--json-into`, if there is one. A full disk there does not stop the work.
fn record(line: &Line) {
    if let Some(file) = RECORD.get()
        && let Ok(text) = serde_json::to_string(line)
    {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(file, "{}", redact(&text));
    }
}

/// Tells programs a line: on stdout with `--json`, in the file of `--json-into`.
pub(crate) fn tell(line: &Line) {
    record(line);
    if in_lines() {
        print_json(line);
    }
}

/// Tells programs many lines, through one writer.
pub(crate) fn tell_all(lines: impl FnOnce(&mut dyn FnMut(&Line))) {
    if !in_lines() {
        return lines(&mut record);
    }
    stdout::write(|out| {
        let mut out = BufWriter::new(out);
        let mut written = Ok(());
        lines(&mut |line| {
            record(line);
            if let (true, Ok(text)) = (written.is_ok(), serde_json::to_string(line)) {
                written = writeln!(out, "{}", redact(&text));
            }
        });
        written.and_then(|()| out.flush())
    });
}

/// Whether any program listens. If not, lines need not be made.
pub(crate) fn somebody_listens() -> bool {
    in_lines() || RECORD.get().is_some()
}

/// Prints talk on stderr.
pub(crate) fn talk(text: &str) {
    // One write a line, so that those of other programs do not come in between.
    let line = format!("{}\n", redact(text));
    bars::apart(|| {
        let mut err = anstream::stderr().lock();
        // Nobody is left to tell if stderr is gone.
        let _ = err.write_all(line.as_bytes());
    });
}

/// Tells people something, and programs the same as a `log` line.
pub(crate) fn say(text: &str) {
    tell(&lines::log(Level::Warn, text));
    if !in_lines() {
        talk(text);
    }
}

/// Prints how a command ended; for programs a `log` line.
pub(crate) fn conclude(text: &str) {
    tell(&lines::log(Level::Info, text));
    if !in_lines() {
        print(text);
    }
}

/// `Error: …`, as scripts look for it; for programs a `diagnostic` line.
pub(crate) fn error(message: &str, help: Option<&str>) {
    tell(&lines::diagnostic(Level::Error, None, message, help));
    if !in_lines() {
        talk_error(message, help);
    }
}

/// `Error: …` to people alone.
pub(crate) fn talk_error(message: &str, help: Option<&str>) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    talk(&format!("{red}Error: {red:#}{message}"));
    if let Some(help) = help {
        talk(&format!("  help: {help}"));
    }
}

/// `Warning: …`; for programs a `diagnostic` line.
pub(crate) fn warning(message: &str, help: Option<&str>) {
    tell(&lines::diagnostic(Level::Warn, None, message, help));
    if !in_lines() {
        talk_warning(message, help);
    }
}

/// `Warning: …` to people alone.
pub(crate) fn talk_warning(message: &str, help: Option<&str>) {
    let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
    talk(&format!("{yellow}Warning: {yellow:#}{message}"));
    if let Some(help) = help {
        talk(&format!("  help: {help}"));
    }
}

/// The end of a command that did not do what was asked.
pub(crate) fn stop(stop: &Stop) {
    match stop {
        Stop::Interrupted => say("Stopped on request; nothing was changed."),
        Stop::Because { message, help } => error(message, help.as_deref()),
        Stop::Spec { source, mistakes, json: true } if !in_lines() => {
            print_json(&json::validation(source, mistakes));
        }
        Stop::Spec { source, mistakes, .. } => {
            for mistake in mistakes {
                tell(&lines::mistake(&mistake.to_json(source)));
                if !in_lines() {
                    talk(mistake.render_in(source, paint()).trim_end());
                    talk("");
                }
            }
            let errors = mistakes.iter().filter(|one| one.severity == Severity::Error);
            let count = errors.count();
            let plural = if count == 1 { "" } else { "s" };
            if !in_lines() {
                talk_error(&format!("{count} mistake{plural} in `{}`", source.name), None);
            }
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
