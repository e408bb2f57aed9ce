//! When a request is sent again, and after how long. Pure; tested beside.

use std::time::Duration;

use crate::error::{Error, Refused};

/// How often a request is sent at most.
const TRIES: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A service that wants to be left alone for longer is left to the engine.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// How long to wait before sending again after `tries` tries, or `None`: give up.
pub(crate) fn wait(
    error: &Error,
    repeatable: bool,
    reading: bool,
    tries: u32,
    busy: fn(&Refused) -> bool,
) -> Option<Duration> {
    if !repeatable || tries >= TRIES {
        return None;
    }
    let backoff = FIRST_WAIT.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_WAIT);
    match error {
        Error::Unreachable { .. } => Some(backoff),
        Error::Lost { .. } if reading => Some(backoff),
        Error::Refused { refused, .. } => {
            let again = match refused.status {
                429 => true,
                503 => !refused.maintenance,
                502 | 504 => reading,
                _ => busy(refused),
            };
            match refused.retry_after {
                _ if !again => None,
                Some(asked) if asked > LONGEST_ASKED => None,
                Some(asked) => Some(asked),
                // Without a word on when, a limit per minute is likely: start with a second.
                None if refused.status == 429 => Some((backoff * 4).min(LONGEST_WAIT)),
                None => Some(backoff),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    fn refused(status: u16, headers: &[(&'static str, &'static str)]) -> Error {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect();
        Error::Refused { refused: Box::new(Refused::read(status, &headers, b"")), repeatable: true }
    }

    #[test]
    fn only_what_may_pass_and_may_be_repeated_is_sent_again() {
        let check = |error: Error, repeatable, reading, tries| {
            wait(&error, repeatable, reading, tries, |_| false).map(|time| time.as_millis())
        };
        assert_eq!(check(refused(429, &[]), true, true, 1), Some(1000));
        assert_eq!(check(refused(429, &[("retry-after", "7")]), true, true, 1), Some(7000));
        assert_eq!(check(refused(429, &[("retry-after", "700")]), true, true, 1), None);
        assert_eq!(check(refused(429, &[]), false, false, 1), None);
        assert_eq!(check(refused(503, &[]), true, false, 2), Some(500));
        assert_eq!(check(refused(503, &[("x-maintenance-mode", "1")]), true, true, 1), None);
        assert_eq!(check(refused(502, &[]), true, true, 1), Some(250));
        assert_eq!(check(refused(502, &[]), true, false, 1), None);
        assert_eq!(check(refused(500, &[]), true, true, 1), None);
        assert_eq!(check(refused(503, &[]), true, true, 6), None);
    }
}
