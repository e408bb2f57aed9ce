//! A running apply as lines: on stderr for people, on stdout as JSON for programs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use pgferry_engine::address::Address;
use pgferry_engine::event::{Event, Progress, Sink};

use super::{print_json, talk};

/// The pause between two lines of progress of one resource.
const QUIET: Duration = Duration::from_secs(5);

/// Events as lines for people.
#[derive(Default)]
pub(crate) struct Human {
    told: Mutex<BTreeMap<Address, Duration>>,
}

/// Events as JSON lines.
pub(crate) struct Machine;

impl Sink for Human {
    fn event(&self, event: Event) {
        super::record(&super::json::event(&event));
        match event {
            Event::Started { address, verb, id } => {
                let id = id.map(|id| format!(" [id={id}]")).unwrap_or_default();
                talk(&format!("{address}: {}...{id}", capital(verb)));
            }
            Event::Progress { address, verb, elapsed, progress } => {
                let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let last = told.get(&address).copied();
                if last.is_some_and(|last| elapsed >= last && elapsed - last < QUIET) {
                    return;
                }
                if last.is_none() && elapsed < QUIET / 5 {
                    return;
                }
                told.insert(address.clone(), elapsed);
                drop(told);
                let verb = verb.to_owned();
                talk(&format!(
                    "{address}: Still {verb}... [{} elapsed]{}",
                    clock(elapsed),
                    far(&progress, elapsed)
                ));
            }
            Event::Succeeded { address, verb, elapsed, id } => {
                let id = id.map(|id| format!(" [id={id}]")).unwrap_or_default();
                talk(&format!("{address}: {} complete after {}{id}", noun(verb), clock(elapsed)));
            }
            Event::Unsettled { address, verb, elapsed, message } => {
                let time = clock(elapsed);
                talk(&format!(
                    "{address}: No longer watched while {verb}, after {time}: {message}"
                ));
            }
            Event::Failed { address, verb, elapsed, message, .. } => {
                talk(&format!(
                    "{address}: {} failed after {}: {message}",
                    noun(verb),
                    clock(elapsed)
                ));
            }
            Event::Finding { address, finding } => talk(&super::plan::finding(&address, &finding)),
            Event::Warning { address, message } => super::warning(&format!("{address}: {message}")),
            Event::Output { address, text } => {
                for line in text.lines() {
                    talk(&format!("{address}: {line}"));
                }
            }
            Event::Retrying { address, message, after } => {
                talk(&format!("{address}: trying again in {}: {message}", clock(after)));
            }
            Event::Stopping { held } => {
                for address in held {
                    talk(&format!("{address}: Stays open; what still runs needs it"));
                }
            }
        }
    }
}

impl Sink for Machine {
    fn event(&self, event: Event) {
        let line = super::json::event(&event);
        super::record(&line);
        print_json(&line);
    }
}

fn capital(verb: &str) -> String {
    let mut letters = verb.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn noun(verb: &str) -> &'static str {
    match verb {
        "creating" => "Creation",
        "modifying" => "Modifications",
        "destroying" => "Destruction",
        "replacing" => "Replacement",
        "running" => "Run",
        "opening" => "Opening",
        "closing" => "Closing",
        "checking" => "Check",
        _ => "Read",
    }
}

/// `12s`, `3m05s`, `2h10m`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// ` dumping: 12.3 MB of about 60 MB, 4.1 MB/s`.
fn far(progress: &Progress, elapsed: Duration) -> String {
    let mut text =
        if progress.what.is_empty() { String::new() } else { format!(" {}", progress.what) };
    let Some(done) = progress.done else { return text };
    let bytes = progress.unit == Some("bytes");
    let amount = |number: u64| match (bytes, progress.unit) {
        (true, _) => size(number),
        (false, Some(unit)) => format!("{number} {unit}"),
        (false, None) => number.to_string(),
    };
    text.push_str(&format!(": {}", amount(done)));
    if let Some(total) = progress.total {
        text.push_str(&format!(" of about {}", amount(total)));
    }
    if bytes && elapsed.as_secs() > 0 {
        text.push_str(&format!(", {}/s", size(done / elapsed.as_secs())));
    }
    text
}

/// Bytes in decimal units, as storage is sold.
pub(crate) fn size(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let number = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", number / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number / 1e6),
        _ => format!("{:.1} GB", number / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_numbers() {
        assert_eq!(clock(Duration::from_secs(12)), "12s");
        assert_eq!(clock(Duration::from_secs(185)), "3m05s");
        assert_eq!(size(1_234_567), "1.2 MB");
        let progress = Progress {
            what: "dumping".into(),
            done: Some(5_000_000),
            total: Some(60_000_000),
            unit: Some("bytes"),
        };
        assert_eq!(
            far(&progress, Duration::from_secs(5)),
            " dumping: 5.0 MB of about 60.0 MB, 1.0 MB/s"
        );
    }
}
