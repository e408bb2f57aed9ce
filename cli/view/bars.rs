//! Bars on a terminal: one line for each act that takes more than a moment, below the lines that pass by.
//!
//! Only where stderr is a terminal; lines and prompts step aside through [`apart`]. Plain characters, so that nothing
//! depends on colour. Tested in `tests/terminal.rs` on a pseudo-terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pgferry_engine::address::Address;
use pgferry_engine::event::Progress;

use super::running;
use super::speed::Speed;
use super::words::{amount, clock, part, size};

/// Acts that are over sooner get no bar.
const MOMENT: Duration = Duration::from_secs(1);

/// A line is cut off here: what a person types (`^C`) must find room behind it, or the line cannot be wiped.
const COLUMNS: usize = 76;

/// So many tables are shown below an act.
const TABLES: usize = 4;

/// How many characters a bar has.
const CELLS: u64 = 20;

struct Bars {
    all: MultiProgress,
    each: Mutex<BTreeMap<Address, ProgressBar>>,
}

static BARS: OnceLock<Bars> = OnceLock::new();

/// Shows bars from now on, if stderr is a terminal that can move its cursor.
pub(crate) fn show() {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    if !dumb && std::io::stderr().is_terminal() {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        let _already = BARS.set(Bars { all, each: Mutex::default() });
    }
}

/// Whether there are bars.
pub(crate) fn are_shown() -> bool {
    BARS.get().is_some()
}

/// Writes lines with the bars out of the way.
pub(crate) fn apart<T>(write: impl FnOnce() -> T) -> T {
    match BARS.get() {
        Some(bars) => bars.all.suspend(write),
        None => write(),
    }
}

/// How far an act is now. Its bar appears with the first of these that comes late enough.
pub(crate) fn update(address: &Address, verb: &str, elapsed: Duration, progress: &Progress) {
    let Some(bars) = BARS.get().filter(|_| elapsed >= MOMENT) else { return };
    let mut each = bars.each.lock().unwrap_or_else(PoisonError::into_inner);
    let bar = each.entry(address.clone()).or_insert_with(|| {
        let style = ProgressStyle::with_template("{msg}").expect("the template is right");
        bars.all.add(ProgressBar::new_spinner().with_style(style))
    });
    let mut lines = vec![text(address, verb, elapsed, progress, running::speed(address))];
    lines.extend(progress.parts.iter().take(TABLES).map(|table| format!("  {}", part(table))));
    let cut = |line: &String| line.chars().take(COLUMNS).collect::<String>();
    bar.set_message(lines.iter().map(cut).collect::<Vec<_>>().join("\n"));
}

/// An act is over.
pub(crate) fn remove(address: &Address) {
    let Some(bars) = BARS.get() else { return };
    let mut each = bars.each.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bar) = each.remove(address) {
        bar.finish_and_clear();
        bars.all.remove(&bar);
    }
}

/// Leaves the terminal clean.
pub(crate) fn clear() {
    if let Some(bars) = BARS.get() {
        let _nobody_looks = bars.all.clear();
    }
}

/// `dump [########------------] 41% 24.6 MB of 60.0 MB, 4.1 MB/s, 9s left`, or without a total
/// `target: creating [12s] provisioning`.
fn text(
    address: &Address,
    verb: &str,
    elapsed: Duration,
    progress: &Progress,
    speed: Option<Speed>,
) -> String {
    let time = clock(elapsed);
    let Progress { what, done, total, unit, .. } = progress;
    let (Some(done), Some(total)) = (*done, total.filter(|total| *total > 0)) else {
        let done = done.map(|done| format!(": {}", amount(done, *unit))).unwrap_or_default();
        return format!("{address}: {verb} [{time}] {what}{done}").trim_end().to_owned();
    };
    let share = u128::from(done.min(total)) * 100 / u128::from(total);
    let cells = u64::try_from(share).unwrap_or(100) * CELLS / 100;
    let bar: String = (0..CELLS).map(|cell| if cell < cells { '#' } else { '-' }).collect();
    let (done_text, total_text) = (amount(done, *unit), amount(total, *unit));
    let mut text = format!("{address} [{bar}] {share}% {done_text} of {total_text}");
    if let Some(speed) = speed.filter(|_| *unit == Some("bytes")) {
        text.push_str(&format!(", {}/s", size(speed.rate)));
    }
    if let Some(left) = speed.and_then(|speed| speed.left) {
        text.push_str(&format!(", {} left", clock(left)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fits_a_line() {
        let address = Address::new("restore");
        let seconds = Duration::from_secs;
        let progress = Progress {
            what: "restoring".into(),
            done: Some(24_600_000),
            total: Some(60_000_000),
            unit: Some("bytes"),
            ..Progress::default()
        };
        let speed = Speed { rate: 4_100_000, left: Some(seconds(8)) };
        let said = text(&address, "running", seconds(6), &progress, Some(speed));
        let bar = "[########------------]";
        assert_eq!(said, format!("restore {bar} 41% 24.6 MB of 60.0 MB, 4.1 MB/s, 8s left"));
        let waiting = Progress { what: "provisioning".into(), ..Progress::default() };
        assert_eq!(
            text(&address, "creating", seconds(185), &waiting, None),
            "restore: creating [3m05s] provisioning"
        );
    }
}
