//! A URL that carries its own permission, and a look through it.
//!
//! It is made when it is needed, handed on, and stored nowhere; prints leave out its query. Tested here and in
//! `tests/bucket.rs`.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use url::Url;
use zeroize::Zeroizing;

use crate::error::ObjectError;
use crate::patience::Patience;

/// The longest that a signature of version 4 may last.
pub const MAX_EXPIRES: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A URL whose query is a permission.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl(Zeroizing<String>);

impl SignedUrl {
    /// Takes in a URL that was signed elsewhere.
    pub fn new(url: &Url) -> Self {
        Self(Zeroizing::new(url.as_str().to_owned()))
    }

    /// The whole URL, for the one that is to fetch it. Not for prints, files or arguments.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SignedUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let location = self.0.split(['?', '#']).next().unwrap_or_default();
        write!(formatter, "{location}?(sensitive)")
    }
}

impl std::fmt::Debug for SignedUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SignedUrl({self})")
    }
}

/// What a look through a signed URL showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The bytes asked for; fewer if the object is shorter.
    pub bytes: Bytes,
    /// Size of the whole object.
    pub total_size: u64,
}

/// Reads part of an object through its signed URL, as whoever restores from it will: by GET, since the signature does
/// not cover HEAD. Nothing beyond the range is read, also where the store ignores ranges.
///
/// # Errors
/// `Denied` for a URL that is late, bent or of a key that is gone, `Missing`, `Transient` (may be repeated),
/// `Rejected` for an empty object or one that ends before the range.
pub async fn probe(url: &SignedUrl, range: Range<u64>) -> Result<Probe, ObjectError> {
    let attempt = format!("looking through the signed URL `{url}`");
    if range.is_empty() {
        return Err(ObjectError::rejected(&attempt, "the range is empty"));
    }
    let parsed = Url::parse(url.expose())
        .map_err(|error| ObjectError::rejected(&attempt, error.to_string()))?;
    let is_loopback = crate::Endpoint::from_url(&parsed.origin().ascii_serialization(), "")
        .map_err(|_| ObjectError::rejected(&attempt, "plain http is for loopback only"))?
        .is_loopback();
    let response = Patience::default()
        .client(&attempt, is_loopback)?
        .get(parsed)
        .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
        .send()
        .await
        .map_err(|error| ObjectError::from_transport(&attempt, &error))?;
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let (total_size, skip) = match status {
        StatusCode::PARTIAL_CONTENT => (header(CONTENT_RANGE).and_then(total_of_content_range), 0),
        StatusCode::OK => (header(CONTENT_LENGTH).and_then(|it| it.parse().ok()), range.start),
        _ => {
            let body = response.text().await.unwrap_or_default();
            return Err(ObjectError::from_answer(&attempt, status.as_u16(), &body));
        }
    };
    let Some(total_size) = total_size else {
        return Err(ObjectError::rejected(&attempt, "the store did not tell the size"));
    };
    let wanted = range.end.min(total_size).saturating_sub(range.start);
    let mut skip = skip;
    let mut bytes = BytesMut::new();
    let mut body = response.bytes_stream();
    while (bytes.len() as u64) < wanted {
        let Some(chunk) = body.next().await else {
            return Err(ObjectError::new(
                crate::Class::Transient,
                &attempt,
                None,
                "the answer ended early".to_owned(),
            ));
        };
        let chunk = chunk.map_err(|error| ObjectError::from_transport(&attempt, &error))?;
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
        skip -= skipped as u64;
        let room = usize::try_from(wanted).unwrap_or(usize::MAX) - bytes.len();
        let chunk = &chunk[skipped..];
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(Probe { bytes: bytes.freeze(), total_size })
}

/// The number after the slash of `bytes 0-9/100`.
fn total_of_content_range(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_no_permission() {
        let url = Url::parse("https://h/b/k?X-Amz-Signature=abc").expect("a URL");
        let signed = SignedUrl::new(&url);
        assert_eq!(signed.to_string(), "https://h/b/k?(sensitive)");
        assert_eq!(format!("{signed:?}"), "SignedUrl(https://h/b/k?(sensitive))");
        assert_eq!(signed.expose(), url.as_str());
    }

    #[test]
    fn reads_totals() {
        assert_eq!(total_of_content_range("bytes 0-4/10"), Some(10));
        assert_eq!(total_of_content_range("bytes 0-4/*"), None);
        assert_eq!(total_of_content_range("0-4/10"), None);
    }
}
