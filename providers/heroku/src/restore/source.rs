//! The dump that is restored: whether it is still what was dumped, and a URL by which Heroku may fetch it.
//!
//! The URL is made at the last moment, tried out as Heroku will use it, and kept nowhere.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::secret::Secret;
use pgferry_objects::reference::{CredentialsRef, DumpRef};
use pgferry_objects::{Bucket, Credentials, Endpoint, ObjectError, SignedUrl, probe};

const DEFAULT_EXPIRY: Duration = Duration::from_secs(6 * 60 * 60);
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = pgferry_objects::MAX_EXPIRES;
/// `PGDMP`, then the version of the archive in three bytes.
const HEADER: u64 = 8;

/// How long a URL lasts: `90m`, by default six hours.
pub(super) fn expires_in(text: Option<&str>) -> Result<Duration, Fault> {
    let Some(text) = text else { return Ok(DEFAULT_EXPIRY) };
    let fault = || {
        Fault::new(Class::Rejected, format!("`expires_in: {text}` is not from `1m` to `7d`"))
            .help("Heroku may wait before it fetches the dump: give it hours")
    };
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(fault()),
    };
    let number: u64 = number.parse().map_err(|_| fault())?;
    let time = Duration::from_secs(number.saturating_mul(seconds));
    if (SHORTEST..=LONGEST).contains(&time) { Ok(time) } else { Err(fault()) }
}

/// As the official tool sends them.
pub(super) fn extensions(wanted: &[String]) -> Vec<String> {
    let mut names: Vec<String> = wanted
        .iter()
        .map(|name| name.trim().to_lowercase())
        .filter(|name| !name.is_empty() && name != "plpgsql")
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What tells this dump from an earlier one of the same name.
pub(super) fn digest(dump: &DumpRef) -> Option<String> {
    dump.sha256.clone().or_else(|| dump.etag.clone())
}

/// The bucket that holds `dump`.
pub(super) fn open(
    cx: &Cx,
    dump: &DumpRef,
    credentials: Option<&CredentialsRef>,
) -> Result<Bucket, Fault> {
    let (Some(name), Some(host)) = (&dump.bucket, &dump.endpoint) else {
        let what = format!("`{}` is in no bucket that Heroku could fetch it from", dump.address);
        return Err(Fault::new(Class::Rejected, what).help("dump to a `bucket`, not to a `url`"));
    };
    let region = dump.region.as_deref().unwrap_or("us-east-1");
    let endpoint = Endpoint::from_host(host, region, cx.env("AWS_ENDPOINT_URL_S3"))
        .map_err(|error| fault(error, dump))?;
    let credentials = match credentials {
        Some(key) => Credentials::new(key.access_key.expose(), key.secret_key.expose()),
        None => match (cx.env("AWS_ACCESS_KEY_ID"), cx.env("AWS_SECRET_ACCESS_KEY")) {
            (Some(access), Some(secret)) => Credentials::new(access, Secret::new(secret).expose()),
            _ => {
                let what = format!("there is no key to bucket `{name}`");
                return Err(Fault::new(Class::Denied, what)
                    .help("set `credentials`, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
            }
        },
    };
    Bucket::open(&endpoint, name, credentials).map_err(|error| fault(error, dump))
}

/// Checks that the object is the dump, and makes a URL by which it can be fetched.
pub(super) async fn signed(
    cx: &Cx,
    bucket: &Bucket,
    dump: &DumpRef,
    expires: Duration,
) -> Result<SignedUrl, Fault> {
    let object = &dump.object;
    let meta = bucket.head(object).await.map_err(|error| fault(error, dump))?;
    let Some(meta) = meta else {
        let what = format!("the dump `{object}` is no longer in bucket `{}`", bucket.name());
        return Err(
            Fault::new(Class::Gone, what).help(format!("dump again: --replace {}", dump.address))
        );
    };
    let etag = dump.etag.as_deref().map(unquoted).filter(|etag| !etag.is_empty());
    let same = etag.is_none_or(|etag| meta.etag.is_empty() || etag == unquoted(&meta.etag));
    if meta.size != dump.size || !same {
        return Err(another(dump, bucket.name()));
    }
    let url = bucket.signed_get(object, expires).await.map_err(|error| fault(error, dump))?;
    // Known from here on to whatever is printed.
    let _known = Secret::new(url.expose());
    let _known = url.expose().split_once('?').map(|(_, query)| Secret::new(query));
    if cx.cancelled() {
        return Err(Fault::new(Class::Interrupted, "stopped on request"));
    }
    let look = probe(&url, 0..HEADER).await.map_err(|error| fault(error, dump))?;
    if look.total_size != dump.size {
        return Err(another(dump, bucket.name()));
    }
    if !look.bytes.starts_with(b"PGDMP") {
        let what = format!("`{object}` is no archive of `pg_dump` in custom format");
        return Err(Fault::failed(what).help(format!("dump again: --replace {}", dump.address)));
    }
    let version = look.bytes.get(5..7).map(|bytes| format!("{}.{}", bytes[0], bytes[1]));
    if let (Some(version), Some(expected)) = (&version, &dump.archive_version)
        && version != expected
        && !expected.starts_with(&format!("{version}."))
    {
        return Err(another(dump, bucket.name()));
    }
    Ok(url)
}

/// The path of a URL: what a transfer is known by.
pub(super) fn path(url: &SignedUrl) -> Option<String> {
    url::Url::parse(url.expose()).ok().map(|url| url.path().to_owned())
}

fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}

fn another(dump: &DumpRef, bucket: &str) -> Fault {
    let what = format!("`{}` in bucket `{bucket}` is not what was dumped", dump.object);
    Fault::new(Class::Conflict, what)
        .help(format!("somebody wrote to it; dump again: --replace {}", dump.address))
}

fn fault(error: ObjectError, dump: &DumpRef) -> Fault {
    use pgferry_objects::Class as Of;
    let class = match error.class() {
        Of::Denied => Class::Denied,
        Of::Missing => Class::Gone,
        Of::Conflict => Class::Conflict,
        Of::Transient => Class::Retry { after: None },
        Of::Rejected => Class::Rejected,
    };
    Fault::new(class, format!("preparing the restore of `{}`", dump.object)).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_lasts_from_a_minute_to_a_week() {
        let check = |text: &str| expires_in(Some(text)).ok().map(|time| time.as_secs());
        assert_eq!(expires_in(None).expect("a default").as_secs(), 21_600);
        assert_eq!(check("1m"), Some(60));
        assert_eq!(check("7d"), Some(604_800));
        assert_eq!(check("59s"), None);
        assert_eq!(check("8d"), None);
        assert_eq!(check("6"), None);
        assert_eq!(check("h"), None);
        assert_eq!(check(""), None);
        assert_eq!(check("99999999999999999999h"), None);
    }

    #[test]
    fn extensions_are_sent_as_the_official_tool_does() {
        let wanted = ["uuid-ossp", " Hstore ", "plpgsql", "hstore"].map(str::to_owned);
        assert_eq!(extensions(&wanted), ["hstore", "uuid-ossp"]);
    }
}
