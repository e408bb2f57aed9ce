//! The head of a request, taken apart: whose bucket, which key, which parameters.
//!
//! Path-style addressing only. Decides nothing. Tested here.

use axum::http::{HeaderMap, Method, request::Parts};

use super::failure::Failure;
use super::uri;

/// A request without its body. `bucket` and `key` are empty where the path names none.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// The whole decoded path.
    pub(crate) path: String,
}

impl Head {
    pub(crate) fn read(parts: Parts) -> Result<Self, Failure> {
        let path = uri::decode(parts.uri.path()).ok_or_else(Failure::invalid_uri)?;
        let query = uri::query_pairs(parts.uri.query().unwrap_or_default())
            .ok_or_else(Failure::invalid_uri)?;
        let below = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = below.split_once('/').unwrap_or((below, ""));
        Ok(Self {
            method: parts.method,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query,
            headers: parts.headers,
            path: path.clone(),
        })
    }

    /// The value of a parameter, empty if it came without one.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A header as text; one that is no text counts as absent.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The parameters that are neither part of a signature nor a mere label of the client.
    pub(crate) fn operands(&self) -> impl Iterator<Item = &str> {
        self.query
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !name.starts_with("X-Amz-") && *name != "x-id")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn head(uri: &str) -> Result<Head, Failure> {
        Head::read(Request::get(uri).body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn takes_paths_apart() {
        for (uri, bucket, key) in [
            ("/", "", ""),
            ("/b", "b", ""),
            ("/b/", "b", ""),
            ("/b/k", "b", "k"),
            ("/b/k/l%20m/", "b", "k/l m/"),
        ] {
            let head = head(uri).expect("well formed");
            assert_eq!((head.bucket.as_str(), head.key.as_str()), (bucket, key), "{uri}");
        }
        assert_eq!(head("/b/%GG").map(|_| ()), Err(Failure::invalid_uri()));
    }

    #[test]
    fn sets_signature_parameters_apart() {
        let head = head("/b?acl&X-Amz-Date=1&x-id=GetObject").expect("well formed");
        assert_eq!(head.operands().collect::<Vec<_>>(), ["acl"]);
        assert_eq!(head.parameter("acl"), Some(""));
    }
}
