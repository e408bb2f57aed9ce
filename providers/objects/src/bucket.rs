//! One bucket, seen with one key: single objects and the store beneath everything else here.
//!
//! Path-style addresses and no checksums of the newer kind, which Ceph does not take. Tested in `tests/bucket.rs`.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    Attribute, BackoffConfig, GetOptions, ObjectStore, ObjectStoreExt, RetryConfig,
};

use crate::credentials::Credentials;
use crate::endpoint::Endpoint;
use crate::error::ObjectError;
use crate::patience::Patience;
use crate::signed_url::{MAX_EXPIRES, SignedUrl};

/// The metadata key under which an object says whose it is.
pub(crate) const MARK: &str = "pgferry";

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes; empty if the store told none.
    pub etag: String,
    /// When it was put there.
    pub last_modified: Timestamp,
}

/// A bucket, opened with a key. Clones share connections.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub(crate) store: AmazonS3,
    pub(crate) http: reqwest::Client,
    pub(crate) endpoint: Endpoint,
    pub(crate) name: String,
    pub(crate) credentials: Credentials,
}

impl Bucket {
    /// Opens a bucket; nothing is sent yet.
    ///
    /// # Errors
    /// `Rejected` for a name that no bucket can have, or if this machine cannot do TLS.
    pub fn open(
        endpoint: &Endpoint,
        name: &str,
        credentials: Credentials,
    ) -> Result<Self, ObjectError> {
        let attempt = format!("opening the bucket `{name}`");
        if !is_bucket_name(name) {
            return Err(ObjectError::rejected(&attempt, "no bucket can have that name"));
        }
        let patience = Patience::default();
        let http = patience.client(&attempt, endpoint.is_loopback())?;
        let connector = patience.connector(&attempt, endpoint.is_loopback())?;
        let retries = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(200),
                max_backoff: Duration::from_secs(5),
                base: 2.0,
            },
            max_retries: 5,
            // Counted from the first try to the last one's beginning.
            retry_timeout: Duration::from_secs(80),
        };
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint.origin())
            .with_allow_http(endpoint.is_loopback())
            .with_region(&endpoint.region)
            .with_bucket_name(name)
            .with_access_key_id(&credentials.access_key)
            .with_secret_access_key(credentials.secret_key.expose())
            .with_virtual_hosted_style_request(false)
            .with_disable_bulk_delete(true)
            .with_retry(retries)
            .with_http_connector(connector)
            .build()
            .map_err(|error| ObjectError::from_store(&attempt, &error))?;
        let (endpoint, name) = (endpoint.clone(), name.to_owned());
        Ok(Self { store, http, endpoint, name, credentials })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is known of an object; `None` if it is not there.
    ///
    /// # Errors
    /// Any class but `Missing`; a missing bucket looks like a missing object, since a HEAD has no body to tell them
    /// apart.
    pub async fn head(&self, key: &str) -> Result<Option<ObjectMeta>, ObjectError> {
        let attempt = format!("looking at `{key}` in `{}`", self.name);
        match self.store.head(&self.path(&attempt, key)?).await {
            Ok(meta) => Ok(Some(ObjectMeta {
                key: key.to_owned(),
                size: meta.size,
                etag: unquoted(meta.e_tag.as_deref().unwrap_or_default()),
                last_modified: Timestamp::from_millisecond(meta.last_modified.timestamp_millis())
                    .map_err(|error| {
                    ObjectError::rejected(&attempt, error.to_string())
                })?,
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(ObjectError::from_store(&attempt, &error)),
        }
    }

    /// What an object was marked with when its upload began; `None` without a mark, or without an object.
    ///
    /// # Errors
    /// As [`Bucket::head`].
    pub async fn mark_of(&self, key: &str) -> Result<Option<String>, ObjectError> {
        let attempt = format!("looking at `{key}` in `{}`", self.name);
        let options = GetOptions { head: true, ..GetOptions::default() };
        match self.store.get_opts(&self.path(&attempt, key)?, options).await {
            Ok(found) => {
                let mark = found.attributes.get(&Attribute::Metadata(MARK.into()));
                Ok(mark.map(|mark| mark.to_string()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(ObjectError::from_store(&attempt, &error)),
        }
    }

    /// Reads part of an object; shorter than asked for if the object ends before.
    ///
    /// # Errors
    /// Any class; `Rejected` if it starts beyond the end.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let attempt = format!("reading `{key}` in `{}`", self.name);
        let path = self.path(&attempt, key)?;
        self.store
            .get_range(&path, range)
            .await
            .map_err(|error| ObjectError::from_store(&attempt, &error))
    }

    /// As [`Bucket::get_range`], of the object only that has this ETag; an empty one stands for any.
    ///
    /// # Errors
    /// Any class; `Conflict` if another object is there now.
    pub async fn get_range_of(
        &self,
        key: &str,
        etag: &str,
        range: Range<u64>,
    ) -> Result<Bytes, ObjectError> {
        let attempt = format!("reading `{key}` in `{}`", self.name);
        let path = self.path(&attempt, key)?;
        let if_match = (!etag.is_empty()).then(|| format!("\"{etag}\""));
        let options = GetOptions { if_match, range: Some(range.into()), ..GetOptions::default() };
        let reading = async { self.store.get_opts(&path, options).await?.bytes().await };
        reading.await.map_err(|error| ObjectError::from_store(&attempt, &error))
    }

    /// Deletes an object; one that is not there counts as deleted.
    ///
    /// # Errors
    /// `Denied`, `Transient` (may be repeated), `Rejected`.
    pub async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        let attempt = format!("deleting `{key}` in `{}`", self.name);
        let path = self.path(&attempt, key)?;
        match self.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectError::from_store(&attempt, &error)),
        }
    }

    /// Signs a URL with which anyone may GET (not HEAD) the object for a while. Nothing is sent.
    ///
    /// # Errors
    /// `Rejected` for no time at all, and for more than [`MAX_EXPIRES`].
    pub async fn signed_get(&self, key: &str, expires: Duration) -> Result<SignedUrl, ObjectError> {
        let attempt = format!("signing a URL of `{key}` in `{}`", self.name);
        if expires < Duration::from_secs(1) || expires > MAX_EXPIRES {
            return Err(ObjectError::rejected(&attempt, "it must last from 1 second to 7 days"));
        }
        let path = self.path(&attempt, key)?;
        let url = self
            .store
            .signed_url(reqwest::Method::GET, &path, expires)
            .await
            .map_err(|error| ObjectError::from_store(&attempt, &error))?;
        Ok(SignedUrl::new(&url))
    }

    /// The key as the store's library takes it; refused if it would be changed on the way.
    pub(crate) fn path(&self, attempt: &str, key: &str) -> Result<Path, ObjectError> {
        match Path::parse(key) {
            Ok(path) if !key.is_empty() && path.as_ref() == key => Ok(path),
            _ => Err(ObjectError::rejected(attempt, "an object cannot be given that key")),
        }
    }
}

pub(crate) fn unquoted(etag: &str) -> String {
    etag.trim_start_matches("W/").trim_matches('"').to_owned()
}

fn is_bucket_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        })
        && !name.contains("..")
}
