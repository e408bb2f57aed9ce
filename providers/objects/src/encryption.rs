//! Whether the store says that it encrypts an object at rest.
//!
//! Ceph takes the request for encryption silently and ignores it, so only an echo on the object itself counts. Tested
//! in `tests/bucket.rs`.

use std::time::Duration;

use object_store::signer::Signer;
use reqwest::Method;

use crate::bucket::Bucket;
use crate::error::ObjectError;

const ECHO: &str = "x-amz-server-side-encryption";

impl Bucket {
    /// The algorithm that the store names for an object (`AES256`, `aws:kms`); `None` if it names none, which does not
    /// prove that it encrypts nothing.
    ///
    /// # Errors
    /// `Denied`, `Missing`, `Transient` (may be repeated), `Rejected`.
    pub async fn encryption_of(&self, key: &str) -> Result<Option<String>, ObjectError> {
        let attempt = format!("reading the encryption of `{key}` in `{}`", self.name);
        let path = self.path(&attempt, key)?;
        let url = self
            .store
            .signed_url(Method::HEAD, &path, Duration::from_secs(60))
            .await
            .map_err(|error| ObjectError::from_store(&attempt, &error))?;
        let response = self
            .http
            .head(url)
            .send()
            .await
            .map_err(|error| ObjectError::from_transport(&attempt, &error))?;
        if !response.status().is_success() {
            return Err(ObjectError::from_answer(&attempt, response.status().as_u16(), ""));
        }
        let echo = response.headers().get(ECHO).and_then(|value| value.to_str().ok());
        Ok(echo.map(str::to_owned))
    }
}
