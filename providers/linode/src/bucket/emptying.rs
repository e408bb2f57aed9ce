//! Makes a bucket empty before it is deleted, as far as what is in it is ours.
//!
//! Uploads that were cut short are nobody's and go; an object of somebody else's stops the deletion. Works with a key
//! of its own, which lives no longer than this.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_objects::{Bucket, Credentials, Endpoint};
use serde_json::json;

use crate::access_key::{self, fault};
use crate::api::Api;
use crate::wire;

/// Empties `found`.
pub(super) async fn empty(
    api: &Api,
    cx: &Cx,
    region: &str,
    found: &wire::Bucket,
) -> Result<(), Fault> {
    foreign(api, cx, region, &found.label).await?;
    let label = format!("{}-delete", cx.natural_key());
    let access = json!([{
        "bucket_name": found.label, "region": region, "permissions": "read_write",
    }]);
    let key = access_key::make(api, cx, &label, region, access, &[]).await?;
    let emptied = uploads(cx, region, found, &key).await;
    let revoked = access_key::revoke(api, cx, key.id).await;
    emptied.and(revoked)
}

/// Stops at objects that are there: pgferry cannot prove them to be its own.
async fn foreign(api: &Api, cx: &Cx, region: &str, label: &str) -> Result<(), Fault> {
    const NAMED: usize = 5;
    let objects = api.objects(cx, region, label).await;
    let objects =
        objects.map_err(|error| error.during(format!("listing bucket `{label}` in `{region}`")))?;
    if objects.data.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> =
        objects.data.iter().take(NAMED).map(|object| format!("`{}`", object.name)).collect();
    if objects.is_truncated || objects.data.len() > NAMED {
        names.push("more".to_owned());
    }
    let what = format!("bucket `{label}` in `{region}` is not empty: {}", names.join(", "));
    Err(Fault::new(Class::Conflict, what)
        .help("remove what may go, then destroy again; or keep the bucket: `pgferry state rm`"))
}

async fn uploads(
    cx: &Cx,
    region: &str,
    found: &wire::Bucket,
    key: &wire::Key,
) -> Result<(), Fault> {
    let label = &found.label;
    let during = || format!("emptying bucket `{label}` in `{region}`");
    let Some(host) = &found.s3_endpoint else { return Ok(()) };
    let endpoint = Endpoint::from_host(host, region, cx.env("AWS_ENDPOINT_URL_S3"))
        .map_err(|error| fault(error, during()))?;
    let credentials = Credentials::new(key.access_key.expose(), key.secret_key.expose());
    let bucket =
        Bucket::open(&endpoint, label, credentials).map_err(|error| fault(error, during()))?;
    access_key::usable(cx, &bucket).await?;
    let begun = bucket.uploads("").await.map_err(|error| fault(error, during()))?;
    for upload in begun {
        cx.effect(&format!("abort upload of {}", upload.key))?;
        bucket
            .abort(&upload.key, &upload.upload_id)
            .await
            .map_err(|error| fault(error, during()))?;
    }
    Ok(())
}
