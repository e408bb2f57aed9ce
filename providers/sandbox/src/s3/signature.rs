//! AWS Signature Version 4: who claims to have sent a request, and whether it is so.
//!
//! Header and query form, `UNSIGNED-PAYLOAD` and hashed payloads; no chunked signing, no version 2. It knows neither
//! buckets nor permissions. The region of a scope is not compared, as in Ceph. Tested here against the vectors of the
//! AWS documentation, and over HTTP in `tests/s3.rs`.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::failure::Failure;
use super::head::Head;
use super::uri;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(15);
const MAX_EXPIRES_SECONDS: i64 = 7 * 24 * 60 * 60;

/// What the signature says of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing.
    Unsigned,
    /// Its SHA-256.
    Hashed([u8; 32]),
}

/// A signature found on a request, not yet checked.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) access_key: String,
    pub(crate) payload: Payload,
    payload_text: String,
    scope: String,
    date: String,
    signed_at: Timestamp,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
    /// Of a signed URL only.
    expires: Option<SignedDuration>,
}

impl Claim {
    /// Finds the signature of a request; `None` if it carries none.
    pub(crate) fn find(head: &Head) -> Result<Option<Self>, Failure> {
        if let Some(authorization) = head.header("authorization") {
            return Self::from_header(head, authorization).map(Some);
        }
        if head.query.iter().any(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Signature")) {
            return Self::from_query(head).map(Some);
        }
        if head.parameter("Signature").is_some() {
            return Err(Failure::access_denied()); // version 2
        }
        Ok(None)
    }

    fn from_header(head: &Head, authorization: &str) -> Result<Self, Failure> {
        let fields =
            authorization.strip_prefix(ALGORITHM).ok_or_else(Failure::invalid_request)?.trim();
        let field = |name: &str| {
            fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .ok_or_else(Failure::invalid_argument)
        };
        let date = match head.header("x-amz-date") {
            Some(date) => date,
            None => return Err(Failure::access_denied()),
        };
        let payload_text =
            head.header("x-amz-content-sha256").ok_or_else(Failure::invalid_argument)?;
        let payload = match payload_text {
            "UNSIGNED-PAYLOAD" => Payload::Unsigned,
            streamed if streamed.starts_with("STREAMING-") => {
                return Err(Failure::not_implemented());
            }
            hashed => {
                let digest = unhex(hashed).ok_or_else(Failure::invalid_argument)?;
                Payload::Hashed(digest.try_into().map_err(|_| Failure::invalid_argument())?)
            }
        };
        Self::new(
            field("Credential")?,
            date,
            field("SignedHeaders")?,
            field("Signature")?,
            payload,
            payload_text,
            None,
        )
    }

    fn from_query(head: &Head) -> Result<Self, Failure> {
        let field = |name: &str| head.parameter(name).ok_or_else(Failure::access_denied);
        if field("X-Amz-Algorithm")? != ALGORITHM {
            return Err(Failure::access_denied());
        }
        let expires: i64 = field("X-Amz-Expires")?.parse().map_err(|_| Failure::access_denied())?;
        if !(1..=MAX_EXPIRES_SECONDS).contains(&expires) {
            return Err(Failure::access_denied());
        }
        Self::new(
            field("X-Amz-Credential")?,
            field("X-Amz-Date")?,
            field("X-Amz-SignedHeaders")?,
            field("X-Amz-Signature")?,
            Payload::Unsigned,
            "UNSIGNED-PAYLOAD",
            Some(SignedDuration::from_secs(expires)),
        )
    }

    fn new(
        credential: &str,
        date: &str,
        signed_headers: &str,
        signature: &str,
        payload: Payload,
        payload_text: &str,
        expires: Option<SignedDuration>,
    ) -> Result<Self, Failure> {
        let (access_key, scope) =
            credential.split_once('/').ok_or_else(Failure::invalid_argument)?;
        let [day, region, "s3", "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
            return Err(Failure::invalid_argument());
        };
        if region.is_empty() || !date.starts_with(day) {
            return Err(Failure::invalid_argument());
        }
        let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", date)
            .and_then(|date| date.to_zoned(TimeZone::UTC))
            .map_err(|_| Failure::access_denied())?
            .timestamp();
        Ok(Self {
            access_key: access_key.to_owned(),
            payload,
            payload_text: payload_text.to_owned(),
            scope: scope.to_owned(),
            date: date.to_owned(),
            signed_at,
            signed_headers: signed_headers.split(';').map(str::to_owned).collect(),
            // One that is no hexadecimal text is simply wrong.
            signature: unhex(signature).unwrap_or_default(),
            expires,
        })
    }

    /// Checks the signature against the secret, and then the times.
    pub(crate) fn verify(
        &self,
        head: &Head,
        secret_key: &str,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.check_signed_headers(&head.headers)?;
        let request = self.canonical_request(head);
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            self.date,
            self.scope,
            hex(&Sha256::digest(request))
        );
        let mut key = format!("AWS4{secret_key}").into_bytes();
        for step in self.scope.split('/') {
            key = keyed(&key, step).finalize().into_bytes().to_vec();
        }
        keyed(&key, &to_sign)
            .verify_slice(&self.signature)
            .map_err(|_| Failure::signature_mismatch())?;
        let age = now.duration_since(self.signed_at);
        match self.expires {
            Some(expires) if age > expires => Err(Failure::expired()),
            Some(_) if age < -MAX_SKEW => Err(Failure::access_denied()),
            None if age.abs() > MAX_SKEW => Err(Failure::time_skewed()),
            _ => Ok(()),
        }
    }

    // The host and every `x-amz-` header must be covered, or a thief could change them.
    fn check_signed_headers(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        if !is_signed("host") {
            return Err(Failure::unsigned_header());
        }
        for name in headers.keys().map(axum::http::HeaderName::as_str) {
            let exempt = self.expires.is_some() && name == "x-amz-content-sha256";
            if name.starts_with("x-amz-") && !exempt && !is_signed(name) {
                return Err(Failure::unsigned_header());
            }
        }
        Ok(())
    }

    fn canonical_request(&self, head: &Head) -> String {
        let mut query: Vec<(String, String)> = head
            .query
            .iter()
            .filter(|(name, _)| self.expires.is_none() || name != "X-Amz-Signature")
            .map(|(name, value)| (uri::encode(name, false), uri::encode(value, false)))
            .collect();
        query.sort_unstable();
        let query: Vec<String> =
            query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers: String = self
            .signed_headers
            .iter()
            .map(|name| format!("{name}:{}\n", canonical_value(&head.headers, name)))
            .collect();
        format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            head.method,
            uri::encode(&head.path, true),
            query.join("&"),
            self.signed_headers.join(";"),
            self.payload_text
        )
    }
}

fn canonical_value(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    values.join(",")
}

fn keyed(key: &[u8], message: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message.as_bytes());
    mac
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits; `None` if it is no such text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    // AWS docs, "Authenticating Requests: Using Query Parameters" and "Signature Calculations for the
    // Authorization Header": their example key, requests and signatures.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const HOST: &str = "examplebucket.s3.amazonaws.com";

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn presigned(method: &str, signature: &str) -> Head {
        let uri = format!(
            "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F\
             us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature={signature}"
        );
        let request = Request::builder().method(method).uri(uri).header("host", HOST).body(());
        Head::read(request.expect("a request").into_parts().0).expect("well formed")
    }

    fn verdict(head: &Head, now: &str) -> Result<(), Failure> {
        Claim::find(head)?.expect("signed").verify(head, SECRET, at(now))
    }

    const GOOD: &str = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

    #[test]
    fn accepts_the_documented_url() {
        let head = presigned("GET", GOOD);
        assert_eq!(verdict(&head, "2013-05-24T12:00:00Z"), Ok(()));
    }

    #[test]
    fn refuses_a_late_an_early_and_a_bent_url() {
        let head = presigned("GET", GOOD);
        assert_eq!(verdict(&head, "2013-05-25T00:00:01Z"), Err(Failure::expired()));
        assert_eq!(verdict(&head, "2013-05-23T23:00:00Z"), Err(Failure::access_denied()));
        let other_method = presigned("HEAD", GOOD);
        let mismatch = Err(Failure::signature_mismatch());
        assert_eq!(verdict(&other_method, "2013-05-24T12:00:00Z"), mismatch);
        for bent in [GOOD.replace('a', "b"), String::new(), "zz".to_owned(), GOOD[..62].to_owned()]
        {
            assert_eq!(
                verdict(&presigned("GET", &bent), "2013-05-24T12:00:00Z"),
                mismatch,
                "{bent}"
            );
        }
    }

    #[test]
    fn accepts_the_documented_header_and_refuses_a_changed_one() {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let head = |range: &str| {
            let request = Request::get("/test.txt")
                .header("host", HOST)
                .header("range", range)
                .header("x-amz-content-sha256", EMPTY)
                .header("x-amz-date", "20130524T000000Z")
                .header(
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                     SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
                     Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
                );
            Head::read(request.body(()).expect("a request").into_parts().0).expect("well formed")
        };
        assert_eq!(verdict(&head("bytes=0-9"), "2013-05-24T00:10:00Z"), Ok(()));
        let bent = verdict(&head("bytes=0-8"), "2013-05-24T00:10:00Z");
        assert_eq!(bent, Err(Failure::signature_mismatch()));
        let late = verdict(&head("bytes=0-9"), "2013-05-24T00:15:01Z");
        assert_eq!(late, Err(Failure::time_skewed()));
    }

    #[test]
    fn refuses_more_than_seven_days_and_unsigned_amz_headers() {
        let mut head = presigned("GET", GOOD);
        head.headers.insert("x-amz-acl", "public-read".parse().expect("a value"));
        assert_eq!(verdict(&head, "2013-05-24T12:00:00Z"), Err(Failure::unsigned_header()));
        let mut long = presigned("GET", GOOD);
        for (name, value) in &mut long.query {
            if name == "X-Amz-Expires" {
                *value = "604801".to_owned();
            }
        }
        assert_eq!(verdict(&long, "2013-05-24T12:00:00Z"), Err(Failure::access_denied()));
    }
}
