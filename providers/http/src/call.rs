//! One request before it is sent.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value as Json;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(60);

/// A request: method, path by segments (each percent-encoded), query, headers of its own, a JSON body.
///
/// GET, PUT and DELETE may be repeated after a passing fault; POST and PATCH only after [`Call::repeatable`].
#[derive(Clone)]
pub struct Call {
    pub(crate) method: Method,
    segments: Vec<String>,
    query: Vec<(String, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Json>,
    pub(crate) repeatable: bool,
    pub(crate) patience: Duration,
}

impl Call {
    /// A request to the path that `segments` make below the base address.
    pub fn new(method: Method, segments: &[&str]) -> Self {
        let repeatable = method.is_idempotent();
        Self {
            method,
            segments: segments.iter().map(|&segment| segment.to_owned()).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            repeatable,
            patience: PATIENCE,
        }
    }

    /// Reads.
    pub fn get(segments: &[&str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// Makes something; not repeated.
    pub fn post(segments: &[&str]) -> Self {
        Self::new(Method::POST, segments)
    }

    /// Changes something; not repeated.
    pub fn patch(segments: &[&str]) -> Self {
        Self::new(Method::PATCH, segments)
    }

    /// Sets something.
    pub fn put(segments: &[&str]) -> Self {
        Self::new(Method::PUT, segments)
    }

    /// Removes something.
    pub fn delete(segments: &[&str]) -> Self {
        Self::new(Method::DELETE, segments)
    }

    /// Adds `?name=value`.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends a header of its own; replaces the service's header of that name.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends `body` as JSON.
    #[must_use]
    pub fn json(mut self, body: Json) -> Self {
        self.body = Some(body);
        self
    }

    /// Says that sending it twice does no more than sending it once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// How long to wait for the whole answer, instead of a minute.
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Whether it changes anything.
    pub(crate) fn is_effect(&self) -> bool {
        !self.method.is_safe()
    }

    /// `POST /apps`: what tests watch for and errors say. Never holds the query.
    pub(crate) fn effect(&self) -> String {
        format!("{} /{}", self.method, self.segments.join("/"))
    }

    /// The address below `base`.
    pub(crate) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.segments);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cannot_leave_their_place() {
        let base = Url::parse("https://api.test/v4").expect("a URL");
        let call = Call::get(&["engines", "mysql/8?x", ".."]).query("a", "b&c");
        assert_eq!(call.url(&base).as_str(), "https://api.test/v4/engines/mysql%2F8%3Fx?a=b%26c");
        assert_eq!(Call::post(&["apps"]).query("a", "b").effect(), "POST /apps");
    }
}
