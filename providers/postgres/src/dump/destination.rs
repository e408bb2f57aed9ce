//! Where a dump goes: an object in a bucket, and whether that place is ours to take.
//!
//! Knows S3 through `pgferry-objects` only. Tested in `tests/`.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::resource::{Intent, Remembered};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use pgferry_objects::reference::{BucketRef, CredentialsRef};
use pgferry_objects::{Bucket, Credentials, Endpoint, ObjectError, Upload};
use schemars::JsonSchema;
use serde::Deserialize;

/// An object in a bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Destination {
    /// The bucket: `${bucket}`.
    pub(crate) bucket: BucketRef,
    /// The key to it: `${key}`. Left out, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are used.
    #[serde(default)]
    pub(crate) credentials: Option<CredentialsRef>,
    /// Name of the object. One of that name which is not ours is never overwritten.
    #[schemars(length(min = 1, max = 1024))]
    pub(crate) object: String,
}

/// A fault of the store.
pub(crate) fn fault(error: ObjectError) -> Fault {
    let class = match error.class() {
        pgferry_objects::Class::Denied => Class::Denied,
        pgferry_objects::Class::Missing => Class::Failed,
        pgferry_objects::Class::Conflict => Class::Conflict,
        pgferry_objects::Class::Transient => Class::Retry { after: None },
        pgferry_objects::Class::Rejected => Class::Rejected,
    };
    Fault::new(class, error.to_string()).because(error)
}

/// As [`fault`], for what must not be repeated by itself.
pub(crate) fn final_fault(error: ObjectError) -> Fault {
    let mut fault = fault(error);
    if matches!(fault.class, Class::Retry { .. }) {
        fault.class = Class::Failed;
    }
    fault
}

impl Destination {
    /// Opens the bucket, waiting for a key that was made just now.
    ///
    /// # Errors
    /// No credentials, or the store refuses them.
    pub(crate) async fn open(&self, cx: &Cx) -> Result<Bucket, Fault> {
        let credentials = match &self.credentials {
            Some(key) => Credentials::new(key.access_key.expose(), key.secret_key.expose()),
            None => ambient(cx)?,
        };
        let bucket =
            open(cx, &self.bucket.endpoint, &self.bucket.region, &self.bucket.name, credentials)?;
        let nap = |time: Duration| {
            let slept = cx.world.clock.sleep(time);
            let cancel = cx.world.cancel.clone();
            async move {
                tokio::select! { () = slept => {}, () = cancel.cancelled() => {} }
            }
        };
        bucket.wait_until_usable(Duration::from_secs(90), nap).await.map_err(fault)?;
        if cx.cancelled() { Err(crate::interrupted()) } else { Ok(bucket) }
    }

    /// Makes the place free: aborts uploads that were cut short, and makes sure that an object already there is ours.
    ///
    /// It is ours if `before` remembers it by its ETag, or if `prior`, an attempt cut short, had claimed the place:
    /// its note was made after this very check.
    ///
    /// # Errors
    /// [`Class::Conflict`] for a foreign object.
    pub(crate) async fn claim(
        &self,
        cx: &Cx,
        bucket: &Bucket,
        before: Option<&Remembered>,
        prior: Option<&Intent>,
    ) -> Result<(), Fault> {
        let claimed = prior.is_some_and(|intent| {
            intent.notes.get("object").and_then(|o| o.as_str()) == Some(&self.object)
                && intent.notes.get("bucket").and_then(|b| b.as_str()) == Some(bucket.name())
        });
        if !claimed && let Some(there) = bucket.head(&self.object).await.map_err(fault)? {
            let remembered = before.is_some_and(|before| {
                let is = |key: &str, value: &str| {
                    before.attrs.get(key).and_then(Tree::as_text) == Some(value)
                };
                is("object", &self.object) && is("bucket", bucket.name()) && is("etag", &there.etag)
            });
            if !remembered {
                let message = format!(
                    "an object `{}` of {} bytes is in bucket `{}` already, and it is not ours",
                    self.object,
                    there.size,
                    bucket.name()
                );
                return Err(Fault::new(Class::Conflict, message)
                    .help("choose another `object`, or remove that one yourself"));
            }
        }
        self.abort_uploads(cx, bucket, None).await
    }

    /// Begins an upload, and makes sure that it is the only one: the request is repeated when its answer is lost, and
    /// each may have begun one.
    ///
    /// # Errors
    /// The store refuses it, or cannot be reached.
    pub(crate) async fn start_upload(&self, cx: &Cx, bucket: &Bucket) -> Result<Upload, Fault> {
        cx.effect("start upload")?;
        let upload =
            bucket.start_marked_upload(&self.object, &cx.world.lineage).await.map_err(fault)?;
        self.abort_uploads(cx, bucket, Some(&upload.upload_id)).await?;
        Ok(upload)
    }

    async fn abort_uploads(
        &self,
        cx: &Cx,
        bucket: &Bucket,
        except: Option<&str>,
    ) -> Result<(), Fault> {
        for upload in bucket.uploads(&self.object).await.map_err(fault)? {
            if upload.key == self.object && Some(upload.upload_id.as_str()) != except {
                cx.effect("abort upload")?;
                bucket.abort(&upload.key, &upload.upload_id).await.map_err(fault)?;
            }
        }
        Ok(())
    }
}

/// Opens a bucket; `AWS_ENDPOINT_URL_S3` counts instead of its endpoint.
pub(crate) fn open(
    cx: &Cx,
    endpoint: &str,
    region: &str,
    name: &str,
    credentials: Credentials,
) -> Result<Bucket, Fault> {
    let instead = cx.env("AWS_ENDPOINT_URL_S3");
    let endpoint = if endpoint.contains("://") && instead.is_none() {
        Endpoint::from_url(endpoint, region)
    } else {
        Endpoint::from_host(endpoint, region, instead)
    };
    endpoint.and_then(|endpoint| Bucket::open(&endpoint, name, credentials)).map_err(fault)
}

/// The keys of the environment.
pub(crate) fn ambient(cx: &Cx) -> Result<Credentials, Fault> {
    match (cx.env("AWS_ACCESS_KEY_ID"), cx.env("AWS_SECRET_ACCESS_KEY")) {
        (Some(access), Some(secret)) => {
            // So that it is blanked out wherever it might turn up.
            Ok(Credentials::new(access, Secret::new(secret).expose()))
        }
        _ => Err(Fault::new(Class::Denied, "no key to the bucket is known").help(
            "write `credentials: ${key}`, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )),
    }
}
