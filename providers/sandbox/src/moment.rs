//! The present time, in the four spellings that the emulated services use.
//!
//! Tested by one fixed instant.

use jiff::Timestamp;

/// `2026-01-02T03:04:05Z`, as the Heroku Platform API writes it.
pub(crate) fn platform(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02 03:04:05 +0000`, as the Heroku Data API writes it.
pub(crate) fn data(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S +0000").to_string()
}

/// `2026-01-02T03:04:05`, UTC without saying so, as the Linode API writes it.
pub(crate) fn linode(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// `2026-01-02T03:04:05.678Z`, as the Linode API writes it in lists of objects.
pub(crate) fn linode_object(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_spelling() {
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(
            [platform(at), data(at), linode(at), linode_object(at)],
            [
                "2026-01-02T03:04:05Z",
                "2026-01-02 03:04:05 +0000",
                "2026-01-02T03:04:05",
                "2026-01-02T03:04:05.678Z"
            ]
        );
    }
}
