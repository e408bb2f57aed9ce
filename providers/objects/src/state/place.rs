//! From `s3://bucket/key` and the environment to a store: which vendor, which bucket, which credentials.
//!
//! Credentials come from the environment alone, never from the URL: states are named in specs and messages. Tested
//! here, and against the sandbox in `tests/state.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use pgferry_engine::secret::Secret;
use pgferry_engine::state::StateError;
use url::Url;

use crate::endpoint::Endpoint;
use crate::error::ObjectError;
use crate::patience::Patience;

/// Variables whose values are shown nowhere.
const SECRETS: &[&str] = &[
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];

/// Where a state is, understood but not yet reached.
#[derive(Clone, Debug)]
pub(super) struct Place {
    vendor: Vendor,
    bucket: String,
    pub(super) key: String,
    endpoint: Option<String>,
    region: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    S3,
    Google,
    Azure,
}

impl Place {
    /// Takes the URL apart, offline.
    pub(super) fn read(url: &str) -> Result<Self, StateError> {
        // Not the URL itself: somebody may have put a password into it.
        let shown = url.split(['?', '#']).next().unwrap_or_default();
        let shown = match shown.split_once("://") {
            Some((scheme, rest)) => {
                format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or(rest))
            }
            None => shown.to_owned(),
        };
        let unfit = |why: &str| {
            StateError::Unfit {
            path: shown.clone(),
            why: why.to_owned(),
            help: "write `s3://BUCKET/KEY`, `s3://BUCKET/KEY?endpoint=HOST&region=REGION`, `gs://BUCKET/KEY` or \
                   `az://CONTAINER/KEY`; credentials come from the environment"
                .to_owned(),
        }
        };
        let parsed = Url::parse(url).map_err(|cause| unfit(&cause.to_string()))?;
        let vendor = match parsed.scheme() {
            "s3" => Vendor::S3,
            "gs" => Vendor::Google,
            "az" => Vendor::Azure,
            other => return Err(unfit(&format!("`{other}` is no kind of store that is known"))),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(unfit("credentials do not belong into its URL"));
        }
        let key = parsed.path().trim_start_matches('/');
        let is_plain = Path::parse(key).is_ok_and(|path| path.as_ref() == key);
        if key.is_empty() || !is_plain {
            return Err(unfit("its URL names no object"));
        }
        let mut place = Self {
            vendor,
            bucket: parsed.host_str().unwrap_or_default().to_owned(),
            key: key.to_owned(),
            endpoint: None,
            region: None,
        };
        if place.bucket.is_empty() {
            return Err(unfit("its URL names no bucket"));
        }
        for (name, value) in parsed.query_pairs() {
            match &*name {
                "endpoint" if vendor == Vendor::S3 => place.endpoint = Some(value.into_owned()),
                "region" if vendor == Vendor::S3 => place.region = Some(value.into_owned()),
                other => return Err(unfit(&format!("its URL says `{other}`, which is not known"))),
            }
        }
        Ok(place)
    }

    /// The store, with credentials from `env`. Nothing is sent yet.
    pub(super) fn connect(
        &self,
        env: &BTreeMap<String, String>,
    ) -> Result<Arc<dyn ObjectStore>, ObjectError> {
        for name in SECRETS {
            if let Some(value) = env.get(*name).filter(|value| !value.is_empty()) {
                let _known_from_now_on = Secret::new(value.as_str());
            }
        }
        match self.vendor {
            Vendor::S3 => self.s3(env),
            Vendor::Google => {
                let builder = settings(env, "GOOGLE_").fold(
                    GoogleCloudStorageBuilder::new(),
                    |builder, (name, value)| match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    },
                );
                let builder = builder.with_bucket_name(&self.bucket).with_retry(once());
                Ok(Arc::new(builder.build().map_err(|error| self.failed(&error))?))
            }
            Vendor::Azure => {
                let builder = settings(env, "AZURE_").fold(
                    MicrosoftAzureBuilder::new(),
                    |builder, (name, value)| match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    },
                );
                let builder = builder.with_container_name(&self.bucket).with_retry(once());
                Ok(Arc::new(builder.build().map_err(|error| self.failed(&error))?))
            }
        }
    }

    fn s3(&self, env: &BTreeMap<String, String>) -> Result<Arc<dyn ObjectStore>, ObjectError> {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).cloned();
        let region = self.region.clone().or_else(|| set("AWS_REGION"));
        let region = region.or_else(|| set("AWS_DEFAULT_REGION"));
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = self.endpoint.clone().or_else(|| set("AWS_ENDPOINT_URL_S3"));
        let endpoint = endpoint.or_else(|| set("AWS_ENDPOINT_URL"));
        let endpoint =
            endpoint.map(|host| Endpoint::from_host(&host, &region, None)).transpose()?;
        let is_loopback = endpoint.as_ref().is_some_and(Endpoint::is_loopback);
        let mut builder = settings(env, "AWS_")
            .filter(|(name, _)| !name.starts_with("aws_endpoint"))
            .fold(AmazonS3Builder::new(), |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
        if let Some(endpoint) = &endpoint {
            builder = builder
                .with_endpoint(endpoint.origin())
                .with_virtual_hosted_style_request(false)
                .with_allow_http(is_loopback);
        }
        let builder = builder
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(once())
            .with_http_connector(Patience::default().connector(&self.attempt(), is_loopback)?);
        Ok(Arc::new(builder.build().map_err(|error| self.failed(&error))?))
    }

    fn attempt(&self) -> String {
        format!("opening the bucket `{}`", self.bucket)
    }

    fn failed(&self, error: &object_store::Error) -> ObjectError {
        ObjectError::from_store(&self.attempt(), error)
    }
}

/// The variables that begin with `prefix`, by the names that the library has for them.
fn settings<'e>(
    env: &'e BTreeMap<String, String>,
    prefix: &'static str,
) -> impl Iterator<Item = (String, &'e String)> {
    env.iter()
        .filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty())
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
}

/// Requests are repeated by [`super::remote`], which knows what may have happened.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Place::read(url).expect_err(url).to_string()
    }

    #[test]
    fn urls_are_taken_apart() {
        let url = "s3://acme-states/pgferry/night.json?endpoint=us-ord-10.linodeobjects.com&region=us-ord";
        let place = Place::read(url).expect("a place");
        assert_eq!(
            (place.vendor, place.bucket.as_str(), place.key.as_str()),
            (Vendor::S3, "acme-states", "pgferry/night.json")
        );
        assert_eq!(place.endpoint.as_deref(), Some("us-ord-10.linodeobjects.com"));
        assert_eq!(place.region.as_deref(), Some("us-ord"));
        assert_eq!(Place::read("gs://b/k").expect("a place").vendor, Vendor::Google);
        assert_eq!(Place::read("az://c/k").expect("a place").vendor, Vendor::Azure);
    }

    #[test]
    fn what_is_no_place_is_refused_without_showing_a_password() {
        let cases = [
            (
                "ftp://b/k",
                "a state cannot be kept at `ftp://b/k`: `ftp` is no kind of store that is known",
            ),
            ("s3://b", "a state cannot be kept at `s3://b`: its URL names no object"),
            ("s3://b/k/", "a state cannot be kept at `s3://b/k/`: its URL names no object"),
            ("s3:///k", "a state cannot be kept at `s3:///k`: its URL names no bucket"),
            (
                "s3://me:hunter2@b/k",
                "a state cannot be kept at `s3://b/k`: credentials do not belong into its URL",
            ),
            (
                "s3://b/k?secret_access_key=hunter2",
                "a state cannot be kept at `s3://b/k`: its URL says `secret_access_key`, which is not known",
            ),
            (
                "gs://b/k?region=r",
                "a state cannot be kept at `gs://b/k`: its URL says `region`, which is not known",
            ),
        ];
        for (url, want) in cases {
            assert_eq!(refused(url), want);
        }
    }

    #[test]
    fn every_vendor_connects_with_its_variables() {
        let env = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let aws = env(&[("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "0123456789")]);
        let azure = env(&[
            ("AZURE_STORAGE_ACCOUNT_NAME", "acme"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "MDEyMzQ1Njc4OQ=="),
        ]);
        for (url, env, shown) in [
            ("s3://b-b/k", &aws, "AmazonS3(b-b)"),
            ("gs://b-b/k", &BTreeMap::new(), "GoogleCloudStorage(b-b)"),
            ("az://c-c/k", &azure, "MicrosoftAzure { account: acme, container: c-c }"),
        ] {
            let store = Place::read(url).expect("a place").connect(env).expect("a store");
            assert_eq!(store.to_string(), shown);
        }
        assert!(pgferry_engine::secret::gives_away("it was 0123456789"));
    }
}
