//! Requests for a bucket as such, which the store's library does not make: signed by its signer, sent by hand.
//!
//! Reading only, so each may be repeated. Tested through `tests/bucket.rs`.

use std::time::Duration;

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::Method;
use url::form_urlencoded;

use crate::bucket::Bucket;
use crate::error::{Class, ObjectError};

const ATTEMPTS: u32 = 4;

impl Bucket {
    /// The body of a signed `GET /bucket?…`, tried a few times.
    pub(crate) async fn signed_get_document(
        &self,
        attempt: &str,
        query: &[(&str, &str)],
    ) -> Result<String, ObjectError> {
        let mut tried = 1;
        loop {
            match self.signed_get_once(attempt, query).await {
                Err(error) if error.class() == Class::Transient && tried < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(tried)).await;
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }

    pub(crate) async fn signed_get_once(
        &self,
        attempt: &str,
        query: &[(&str, &str)],
    ) -> Result<String, ObjectError> {
        let url = format!("{}/{}?{}", self.endpoint.origin(), self.name, encoded(query));
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() =
            url.parse().map_err(|_| ObjectError::rejected(attempt, "it makes no URL"))?;
        let credential = AwsCredential {
            key_id: self.credentials.access_key.clone(),
            secret_key: self.credentials.secret_key.expose().to_owned(),
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", &self.endpoint.region)
            .try_authorize(&mut request, None)
            .map_err(|error| ObjectError::from_store(attempt, &error))?;
        let response = self
            .http
            .get(url)
            .headers(request.headers().clone())
            .send()
            .await
            .map_err(|error| ObjectError::from_transport(attempt, &error))?;
        let status = response.status();
        let body =
            response.text().await.map_err(|error| ObjectError::from_transport(attempt, &error))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(ObjectError::from_answer(attempt, status.as_u16(), &body))
        }
    }
}

// A plus would be a space to some servers and a plus to others.
fn encoded(query: &[(&str, &str)]) -> String {
    let part = |text: &str| {
        form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    };
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", part(name), part(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_queries() {
        assert_eq!(
            encoded(&[("prefix", "a b/+ü"), ("uploads", "")]),
            "prefix=a%20b%2F%2B%C3%BC&uploads="
        );
    }
}
