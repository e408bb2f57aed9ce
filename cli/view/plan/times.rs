//! How long something will take, in words: an estimate is called one, and what is not known is said to be.
//!
//! Tested beside it.

use pgferry_engine::address::Address;
use pgferry_engine::plan::Expected;

use crate::view::words::{about, size};

/// `about 4 min (1.2 GB at 5.1 MB/s, as on 2026-11-20)`.
pub(super) fn of_run(expected: &Expected) -> String {
    let mut why = expected.bytes.map(size).unwrap_or_default();
    if let Some(rate) = expected.rate {
        why.push_str(&format!(" at {}/s", size(rate)));
    }
    if let Some(at) = expected.as_on {
        let comma = if why.is_empty() { "" } else { ", " };
        why.push_str(&format!("{comma}as on {}", at.strftime("%Y-%m-%d")));
    }
    match (expected.seconds, expected.as_on) {
        (Some(seconds), _) => format!("about {} ({why})", about(seconds)),
        (None, Some(_)) => {
            format!("takes longer than the last time ({why}); how long is not known")
        }
        (None, None) => format!("{why}; how long it takes is not known before the first time"),
    }
}

/// `open for about 12 min (dump, restore, verified)`.
pub(super) fn of_window(expected: &Expected) -> String {
    let unknown = names(&expected.unknown);
    match expected.seconds {
        None => format!("for how long is not known: no former time of {unknown}"),
        Some(_) if expected.path.is_empty() && expected.unknown.is_empty() => {
            "open for a moment".to_owned()
        }
        Some(seconds) => {
            let (time, path) = (about(seconds), names(&expected.path));
            if expected.unknown.is_empty() {
                return format!("open for about {time} ({path})");
            }
            format!("open for more than {time} ({path}): no former time of {unknown}")
        }
    }
}

fn names(addresses: &[Address]) -> String {
    addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_in_words() {
        let all = |names: &[&str]| names.iter().map(|name| Address::new(*name)).collect::<Vec<_>>();
        let sized = Expected { bytes: Some(1_200_000_000), ..Expected::default() };
        assert_eq!(of_run(&sized), "1.2 GB; how long it takes is not known before the first time");
        let as_on = "2026-11-20T10:00:00Z".parse().ok();
        let known = Expected { seconds: Some(236), rate: Some(5_100_000), as_on, ..sized };
        assert_eq!(of_run(&known), "about 4 min (1.2 GB at 5.1 MB/s, as on 2026-11-20)");
        let command = Expected { seconds: Some(3), as_on, ..Expected::default() };
        assert_eq!(of_run(&command), "about 3s (as on 2026-11-20)");
        let (path, unknown) = (all(&["dump", "restore"]), all(&["verified"]));
        let window = Expected { seconds: Some(300), path, ..Expected::default() };
        assert_eq!(of_window(&window), "open for about 5 min (dump, restore)");
        let partly = Expected { unknown: unknown.clone(), ..window };
        assert_eq!(
            of_window(&partly),
            "open for more than 5 min (dump, restore): no former time of verified"
        );
        let none = Expected { unknown, ..Expected::default() };
        assert_eq!(of_window(&none), "for how long is not known: no former time of verified");
    }
}
