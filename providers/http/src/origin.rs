//! Where a service is: https anywhere, plain http on this machine only.
//!
//! Knows no service. Tested beside.

use pgferry_engine::fault::{Class, Fault};
use url::{Host, Url};

/// Reads the base address of `service`: a URL without user, query or fragment; without a scheme, https is meant.
///
/// # Errors
/// [`Class::Rejected`]: no URL, or one that would carry a token in clear text over a network.
pub fn origin(service: &str, text: &str) -> Result<Url, Fault> {
    let fault = |why: &str| {
        Fault::new(Class::Rejected, format!("the address of {service} {why}"))
            .help("write it as `https://host`; plain `http://` is accepted for this machine only")
    };
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&whole).map_err(|cause| fault("is no URL").because(cause))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault("holds a user or a password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(fault("is not encrypted")),
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Whether `url` points at this machine itself.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_be_spoken_to_in_clear() {
        let check = |text: &str| origin("Test", text).map(|url| url.to_string()).ok();
        assert_eq!(check("api.test").as_deref(), Some("https://api.test/"));
        assert_eq!(check("https://api.test/v4?x=1").as_deref(), Some("https://api.test/v4"));
        assert_eq!(check("http://127.0.0.1:80/").as_deref(), Some("http://127.0.0.1/"));
        assert_eq!(check("http://[::1]:9").as_deref(), Some("http://[::1]:9/"));
        assert_eq!(check("http://localhost:9").as_deref(), Some("http://localhost:9/"));
        assert_eq!(check("http://api.test"), None);
        assert_eq!(check("http://127.0.0.1.api.test"), None);
        assert_eq!(check("https://u:p@api.test"), None);
        assert_eq!(check("ftp://127.0.0.1"), None);
    }
}
