//! The words and numbers of a running apply, Terraform's where it has them.

use std::time::Duration;

use pgferry_engine::event::Progress;

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
pub(crate) fn far(progress: &Progress, elapsed: Duration) -> String {
    let mut text =
        if progress.what.is_empty() { String::new() } else { format!(" {}", progress.what) };
    let Some(done) = progress.done else { return text };
    text.push_str(&format!(": {}", amount(done, progress.unit)));
    if let Some(total) = progress.total {
        text.push_str(&format!(" of about {}", amount(total, progress.unit)));
    }
    let seconds = elapsed.as_secs();
    if seconds == 0 || done == 0 {
        return text;
    }
    if progress.unit == Some("bytes") {
        text.push_str(&format!(", {}/s", size(done / seconds)));
    }
    if let Some(left) = left(progress, elapsed) {
        text.push_str(&format!(", about {} left", clock(left)));
    }
    text
}

/// The time that is left if it goes on as it went so far. Not told before it can be estimated.
pub(crate) fn left(progress: &Progress, elapsed: Duration) -> Option<Duration> {
    let (done, total) = (progress.done?, progress.total?);
    if elapsed < Duration::from_secs(5) || done == 0 || total <= done {
        return None;
    }
    let seconds = u128::from(elapsed.as_secs()) * u128::from(total - done) / u128::from(done);
    u64::try_from(seconds).ok().map(Duration::from_secs)
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
        };
        assert_eq!(
            far(&progress, Duration::from_secs(5)),
            " dumping: 5.0 MB of about 60.0 MB, 1.0 MB/s, about 55s left"
        );
        assert_eq!(left(&progress, Duration::from_secs(4)), None);
    }
}
