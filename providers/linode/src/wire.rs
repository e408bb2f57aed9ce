//! What Linode's API answers, as far as we read it. Unknown keys are ignored and most are optional, since it grows.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pgferry_engine::secret::Secret;
use serde::Deserialize;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    #[serde(default = "one")]
    pub(crate) pages: u32,
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Instance {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) region: Option<String>,
    #[serde(rename = "type", default)]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) hosts: Option<Hosts>,
    /// UTC without saying so.
    #[serde(default)]
    pub(crate) oldest_restore_time: Option<String>,
}

impl Instance {
    /// How far back the backups reach.
    pub(crate) fn oldest_restore_time(&self) -> Option<Timestamp> {
        time(self.oldest_restore_time.as_deref()?)
    }
}

/// `2026-01-02T03:04:05`, in UTC, without a zone.
fn time(text: &str) -> Option<Timestamp> {
    let local: Option<DateTime> = text.parse().ok();
    text.parse().ok().or_else(|| Some(local?.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hosts {
    #[serde(default)]
    pub(crate) primary: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Certificate {
    /// Base64 of the text of a PEM file.
    #[serde(default)]
    pub(crate) ca_certificate: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) label: String,
    #[serde(default)]
    pub(crate) hostname: Option<String>,
    /// `E0` to `E3`; older services do not tell.
    #[serde(default)]
    pub(crate) endpoint_type: Option<String>,
    /// `None` while the endpoint is not there yet.
    #[serde(default)]
    pub(crate) s3_endpoint: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Access {
    #[serde(default)]
    pub(crate) acl: Option<String>,
}

/// Where a region's buckets can be.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Endpoint {
    #[serde(default)]
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) endpoint_type: String,
    #[serde(default)]
    pub(crate) s3_endpoint: Option<String>,
}

/// A key that was just made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Key {
    pub(crate) id: u64,
    pub(crate) access_key: Secret,
    pub(crate) secret_key: Secret,
}

/// A key in the list of all, anybody's: its secret is blanked out, or left out.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ListedKey {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) label: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_others_may_lack_what_ours_have() {
        let list =
            r#"[{ "id": 7, "label": "theirs" }, { "id": 8, "access_key": "A", "limited": true }]"#;
        let keys: Vec<ListedKey> = serde_json::from_str(list).expect("keys");
        assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [7, 8]);
    }

    #[test]
    fn times_without_a_zone_are_utc() {
        let read = |text: &str| time(text).map(|time| time.to_string());
        assert_eq!(read("2026-01-02T03:04:05").as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(read("2026-01-02T03:04:05Z").as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(read("soon"), None);
    }
}
