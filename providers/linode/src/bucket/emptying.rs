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

/// Empties `found`, or stops before anything is deleted.
pub(super) async fn empty(
    api: &Api,
    cx: &Cx,
    region: &str,
    found: &wire::Bucket,
) -> Result<(), Fault> {
    let label = format!("{}-delete", cx.natural_key());
    let access = json!([{
        "bucket_name": found.label, "region": region, "permissions": "read_write",
    }]);
    let key = access_key::make(api, cx, &label, &[region], access, &[]).await?;
    let emptied = contents(cx, region, found, &key).await;
    let revoked = access_key::revoke(api, cx, key.id).await;
    emptied.and(revoked)
}

async fn contents(
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
    objects(cx, region, &bucket).await?;
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

/// Deletes the objects that carry the mark of this migration. One of somebody else's stops before the first deletion.
async fn objects(cx: &Cx, region: &str, bucket: &Bucket) -> Result<(), Fault> {
    const NAMED: usize = 5;
    let label = bucket.name();
    let during = || format!("emptying bucket `{label}` in `{region}`");
    let all = bucket.list("").await.map_err(|error| fault(error, during()))?;
    let mut foreign = Vec::new();
    for object in &all {
        let mark = bucket.mark_of(&object.key).await.map_err(|error| fault(error, during()))?;
        if mark.as_deref() != Some(cx.world.lineage.as_str()) {
            foreign.push(format!("`{}`", object.key));
        }
    }
    if foreign.is_empty() {
        for object in &all {
            cx.effect(&format!("delete object {}", object.key))?;
            bucket.delete(&object.key).await.map_err(|error| fault(error, during()))?;
        }
        return Ok(());
    }
    if foreign.len() > NAMED {
        foreign.truncate(NAMED);
        foreign.push("more".to_owned());
    }
    let what = format!(
        "bucket `{label}` in `{region}` holds what is not of this migration: {}",
        foreign.join(", ")
    );
    Err(Fault::new(Class::Conflict, what)
        .help("remove what may go, and try again; or leave the bucket as it is"))
}
