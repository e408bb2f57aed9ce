//! The words and numbers of a running apply, Terraform's where it has them.

use std::time::Duration;

use pgferry_engine::event::{Part, Progress};

use super::speed::Speed;

/// `Creating...`, for the beginning of an act.
pub(crate) fn capital(verb: &str) -> String {
    let mut letters = verb.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// `Creation`, as in "Creation complete after 3s".
pub(crate) fn noun(verb: &str) -> &'static str {
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

/// The action that an act carries out, as programs know it.
pub(crate) fn action(verb: &str) -> &'static str {
    match verb {
        "creating" => "create",
        "modifying" => "update",
        "destroying" => "delete",
        "replacing" => "replace",
        "running" => "run",
        "opening" => "open",
        "closing" => "close",
        "checking" => "check",
        _ => "read",
    }
}

/// ` [id=…]`, if there is one.
pub(crate) fn bracket(id: Option<&str>) -> String {
    id.map(|id| format!(" [id={id}]")).unwrap_or_default()
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

/// ` dumping: 12.3 MB of about 60 MB, 4.1 MB/s, about 12s left`.
pub(crate) fn far(progress: &Progress, speed: Option<Speed>) -> String {
    let mut text =
        if progress.what.is_empty() { String::new() } else { format!(" {}", progress.what) };
    let Some(done) = progress.done else { return text };
    text.push_str(&format!(": {}", amount(done, progress.unit)));
    if let Some(total) = progress.total {
        text.push_str(&format!(" of about {}", amount(total, progress.unit)));
    }
    if let Some(rows) = progress.rows {
        text.push_str(&format!(", {rows} rows"));
    }
    if let Some(speed) = speed {
        if progress.unit == Some("bytes") {
            text.push_str(&format!(", {}/s", size(speed.rate)));
        }
        if let Some(left) = speed.left {
            text.push_str(&format!(", about {} left", clock(left)));
        }
    }
    text
}

/// `public.order_lines: 12.0 MB of about 20.0 MB, 60000 rows`.
pub(crate) fn part(part: &Part) -> String {
    let mut text = format!("{}: {}", part.name, size(part.bytes));
    if let Some(total) = part.total_bytes {
        text.push_str(&format!(" of about {}", size(total.max(part.bytes))));
    }
    if let Some(rows) = part.rows {
        text.push_str(&format!(", {rows} rows"));
    }
    text
}

/// `40s`, `4 min`, `2 h 10 min`: as exact as an estimate is.
pub(crate) fn about(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    match seconds {
        0..90 => format!("{seconds}s"),
        90..5400 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// `12.3 MB`, `4000 rows`.
pub(crate) fn amount(number: u64, unit: Option<&str>) -> String {
    match unit {
        Some("bytes") => size(number),
        Some(unit) => format!("{number} {unit}"),
        None => number.to_string(),
    }
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
            rows: Some(700),
            ..Progress::default()
        };
        let speed = Speed { rate: 1_000_000, left: Some(Duration::from_secs(55)) };
        assert_eq!(
            far(&progress, Some(speed)),
            " dumping: 5.0 MB of about 60.0 MB, 700 rows, 1.0 MB/s, about 55s left"
        );
        assert_eq!(far(&progress, None), " dumping: 5.0 MB of about 60.0 MB, 700 rows");
        let (name, total_bytes) = ("a.t".to_owned(), Some(20_000_000));
        let table = Part { name, bytes: 1_000_000, total_bytes, rows: Some(7) };
        assert_eq!(part(&table), "a.t: 1.0 MB of about 20.0 MB, 7 rows");
        let said = [1, 89, 90, 240, 5399, 7801].map(about);
        assert_eq!(said, ["1s", "89s", "2 min", "4 min", "90 min", "2 h 11 min"]);
    }
}
