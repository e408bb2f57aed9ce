//! Where a store is reached: https, or plain http on loopback alone.
//!
//! Knows no store by name. Tested here.

use url::{Host, Url};

use crate::error::ObjectError;

/// The address of an S3 service and the region that signatures name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port; no path.
    pub url: Url,
    /// What goes into signatures. Ceph does not compare it; AWS does.
    pub region: String,
}

impl Endpoint {
    /// The endpoint at a `host` or `host:port`: https, but http on loopback; a URL will do, too. If `override_url` is
    /// given (the value of `AWS_ENDPOINT_URL_S3`), it counts instead of the host.
    ///
    /// # Errors
    /// `Rejected` for what is no host or URL, and for plain http to anything but loopback.
    pub fn from_host(
        host: &str,
        region: &str,
        override_url: Option<&str>,
    ) -> Result<Self, ObjectError> {
        if let Some(url) = override_url.filter(|url| !url.is_empty()) {
            return Self::from_url(url, region);
        }
        if host.contains("://") {
            return Self::from_url(host, region);
        }
        let attempt = format!("reading the store's host `{host}`");
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
            return Err(ObjectError::rejected(&attempt, "it is no bare host"));
        }
        let secure = Url::parse(&format!("https://{host}"))
            .map_err(|error| ObjectError::rejected(&attempt, error.to_string()))?;
        if is_loopback(&secure) {
            return Self::from_url(&format!("http://{host}"), region);
        }
        Ok(Self { url: secure, region: region.to_owned() })
    }

    /// The endpoint at a URL.
    ///
    /// # Errors
    /// `Rejected` for what is no such URL, and for plain http to anything but loopback.
    pub fn from_url(url: &str, region: &str) -> Result<Self, ObjectError> {
        let attempt = "reading the store's address";
        let reject = |why: &str| ObjectError::rejected(attempt, why);
        let url = Url::parse(url).map_err(|error| reject(&error.to_string()))?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err(reject("plain http is for loopback only")),
            _ => return Err(reject("it is neither https nor http")),
        }
        let is_bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_bare {
            return Err(reject("only scheme, host and port belong there"));
        }
        Ok(Self { url, region: region.to_owned() })
    }

    /// Scheme, host and port without a slash at the end.
    pub(crate) fn origin(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, override_url: Option<&str>, expected: Option<&str>) {
        let found = Endpoint::from_host(host, "us-ord", override_url);
        let origin = found.as_ref().ok().map(Endpoint::origin);
        assert_eq!(origin, expected, "{host} {override_url:?}");
    }

    #[test]
    fn https_everywhere_but_on_loopback() {
        check("us-ord-10.linodeobjects.com", None, Some("https://us-ord-10.linodeobjects.com"));
        check("127.0.0.1:9000", None, Some("http://127.0.0.1:9000"));
        check("127.8.8.8:1", None, Some("http://127.8.8.8:1"));
        check("localhost:9000", None, Some("http://localhost:9000"));
        check("[::1]:9000", None, Some("http://[::1]:9000"));
        check("127.0.0.1.example.com", None, Some("https://127.0.0.1.example.com"));
        check("https://a.example.com", None, Some("https://a.example.com"));
        check("http://127.0.0.1:9000", None, Some("http://127.0.0.1:9000"));
        check("localhost.example.com", None, Some("https://localhost.example.com"));
    }

    #[test]
    fn an_override_counts() {
        check("a.example.com", Some("http://127.0.0.1:9000/"), Some("http://127.0.0.1:9000"));
        check(
            "a.example.com",
            Some("https://b.example.com:444"),
            Some("https://b.example.com:444"),
        );
        check("a.example.com", Some(""), Some("https://a.example.com"));
    }

    #[test]
    fn refuses_plain_http_and_odd_addresses() {
        for url in [
            "http://10.0.0.1:9000",
            "http://example.com",
            "http://127.0.0.1@example.com",
            "ftp://127.0.0.1",
            "https://example.com/path",
            "https://user@example.com",
            "nonsense",
        ] {
            check("a.example.com", Some(url), None);
        }
        for host in ["", "http://a.example.com", "a.example.com/path", "user@a.example.com"] {
            check(host, None, None);
        }
    }
}
