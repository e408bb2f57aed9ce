//! How long a store may keep us waiting: one that takes a request and never answers must not keep a window open.
//!
//! The network's own silence ends after half a minute already (`TCP_USER_TIMEOUT`, set by the library). Tested beside it
//! with a store that falls silent.

use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use crate::error::{Class, ObjectError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest that a part may be sent, in bytes a second. A few of them share the line.
const SLOWEST: u64 = 64 << 10;

/// The limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Without a byte of an answer to a request that only asks.
    pub(crate) asking: Duration,
    /// From the last byte of a body to the answer: to put an object together takes a store a while.
    pub(crate) sending: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { asking: Duration::from_secs(45), sending: Duration::from_secs(90) }
    }
}

impl Patience {
    /// A client of small requests. Redirections are refused: a signed request is meant for one host.
    ///
    /// # Errors
    /// `Rejected` if this machine cannot do TLS.
    pub(crate) fn client(
        self,
        attempt: &str,
        is_loopback: bool,
    ) -> Result<reqwest::Client, ObjectError> {
        built(attempt, builder(is_loopback).read_timeout(self.asking))
    }

    /// What the store's library speaks through.
    ///
    /// # Errors
    /// As [`Self::client`].
    pub(crate) fn connector(
        self,
        attempt: &str,
        is_loopback: bool,
    ) -> Result<Patient, ObjectError> {
        Ok(Patient {
            asking: self.client(attempt, is_loopback)?,
            sending: built(attempt, builder(is_loopback))?,
            patience: self,
        })
    }
}

fn builder(is_loopback: bool) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("pgferry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    // No proxy stands between this machine and itself.
    if is_loopback { builder.no_proxy() } else { builder }
}

fn built(attempt: &str, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ObjectError> {
    builder
        .build()
        .map_err(|error| ObjectError::new(Class::Rejected, attempt, None, error.to_string()))
}

/// Sends requests, and gives up one that is not answered.
#[derive(Clone, Debug)]
pub(crate) struct Patient {
    asking: reqwest::Client,
    sending: reqwest::Client,
    patience: Patience,
}

#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
struct Silent(Duration);

#[async_trait::async_trait]
impl HttpService for Patient {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let length = request.body().content_length() as u64;
        if length == 0 {
            return self.asking.call(request).await;
        }
        let allowed = self.patience.sending + Duration::from_secs(length / SLOWEST);
        match tokio::time::timeout(allowed, self.sending.call(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(HttpError::new(HttpErrorKind::Timeout, Silent(allowed))),
        }
    }
}

impl HttpConnector for Patient {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use object_store::client::HttpRequestBody;

    use super::*;

    /// Takes connections, reads, says `first`, and then nothing more.
    fn silent(first: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let mut taken = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _head = stream.read(&mut [0; 4096]);
                let _gone = stream.write_all(first.as_bytes());
                taken.push(stream);
            }
        });
        format!("http://{address}/bucket/object")
    }

    fn request(url: &str, body: &'static str) -> HttpRequest {
        let mut request = HttpRequest::new(HttpRequestBody::from(body.to_owned()));
        *request.uri_mut() = url.parse().expect("a URL");
        request
    }

    fn impatient() -> Patient {
        let brief = Duration::from_millis(100);
        let patience = Patience { asking: brief, sending: brief };
        patience.connector("a test", true).expect("a client")
    }

    #[tokio::test]
    async fn a_store_that_never_answers_is_given_up() {
        let url = silent("");
        for body in ["", "a part"] {
            let error = impatient().call(request(&url, body)).await.expect_err("no answer");
            assert_eq!(error.kind(), HttpErrorKind::Timeout, "{body}");
        }
    }

    #[tokio::test]
    async fn a_store_that_stops_in_the_middle_is_given_up() {
        let url = silent("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        let answer = impatient().call(request(&url, "")).await.expect("a head");
        let error = answer.into_body().bytes().await.expect_err("half a body");
        assert_eq!(error.kind(), HttpErrorKind::Timeout);
    }
}
