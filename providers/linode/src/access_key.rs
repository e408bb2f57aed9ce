//! `linode.access_key`: a key to buckets that lives no longer than it is needed.
//!
//! API: v4, `/object-storage/keys`. The secret is told once, so a key found under our label is made anew; the former
//! one stays until the closing if it was in use, since a restore that goes on elsewhere may still fetch by it. Keys do
//! not expire by themselves: whatever was made is revoked. Tested against the emulator.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::Kind;
use pgferry_engine::resource::{Done, Intent, Resource};
use pgferry_engine::secret::Secret;
use pgferry_objects::reference::BucketRef;
use pgferry_objects::{Bucket, Credentials, Endpoint, ObjectError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::wire::Key;

/// A new key may be refused for up to a minute (Akamai TechDocs; 30 s have been seen).
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a failing revocation is tried before it is left to the next run.
const TRIES: u32 = 5;

/// A key to buckets at Linode.
pub(crate) struct AccessKey {
    api: Arc<Api>,
}

impl AccessKey {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// A key to buckets of Linode Object Storage, made for this apply and revoked at its end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// What it may do, and where.
    #[schemars(extend("x-change" = "volatile"))]
    access: Vec<Access>,
}

/// One bucket that the key opens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Access {
    /// The bucket: `${bucket}`.
    bucket: BucketRef,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Permissions {
    ReadOnly,
    ReadWrite,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    access_key: Secret,
    secret_key: Secret,
}

const LABEL: &str = "label";
const IDS: &str = "ids";

/// The keys that an earlier opening made and noted.
fn noted(intent: &Intent) -> Vec<u64> {
    let ids = intent.notes.get(IDS).and_then(Json::as_array);
    ids.into_iter().flatten().filter_map(Json::as_u64).collect()
}

/// Makes a key called `label`, after deleting those of that label but not in `keep`, whose secrets nobody has.
pub(crate) async fn make(
    api: &Api,
    cx: &Cx,
    label: &str,
    regions: &[&str],
    access: Json,
    keep: &[u64],
) -> Result<Key, Fault> {
    revoke_labelled(api, cx, label, keep).await?;
    let body = json!({ "label": label, "regions": regions, "bucket_access": access });
    api.create_key(cx, body).await.map_err(|error| {
        let unknown = error.class() == Class::Unknown;
        let fault = error.during(format!("making access key `{label}`"));
        // If it was made after all, the next attempt finds it by its label and deletes it.
        let class = if unknown { Class::Retry { after: None } } else { fault.class };
        Fault { class, ..fault }
    })
}

/// Deletes every key called `label` but those in `keep`.
async fn revoke_labelled(api: &Api, cx: &Cx, label: &str, keep: &[u64]) -> Result<(), Fault> {
    let keys = api.keys(cx).await;
    let keys = keys.map_err(|error| error.during("listing the access keys of Linode"))?;
    for key in keys.iter().filter(|key| key.label == label && !keep.contains(&key.id)) {
        revoke(api, cx, key.id).await?;
    }
    Ok(())
}

/// Deletes a key, with patience: one that is left behind never expires. Already gone is success.
pub(crate) async fn revoke(api: &Api, cx: &Cx, id: u64) -> Result<(), Fault> {
    let mut pause = Duration::from_millis(500);
    for tried in 1.. {
        match api.delete_key(cx, id).await {
            Ok(()) => break,
            Err(error) if error.is_passing() && tried < TRIES => {
                cx.sleep(pause).await?;
                pause *= 2;
            }
            Err(error) => {
                let what = format!("revoking access key {id} of Linode");
                return Err(error.during(what).help(format!(
                    "it does not expire by itself: `pgferry release`, or `linode-cli object-storage \
                     keys-delete {id}`"
                )));
            }
        }
    }
    Ok(())
}

/// Waits until the key of `bucket` is let in.
pub(crate) async fn usable(cx: &Cx, bucket: &Bucket) -> Result<(), Fault> {
    let nap = |time: Duration| {
        let what = format!("waiting until the key opens `{}`", bucket.name());
        cx.progress(Progress { what, ..Progress::default() });
        // Whether the wait was cut short is asked below.
        async move { drop(cx.sleep(time).await) }
    };
    let usable = bucket.wait_until_usable(PATIENCE, nap).await;
    if cx.cancelled() {
        return Err(Fault::new(Class::Interrupted, "stopped on request"));
    }
    usable.map_err(|error| fault(error, format!("opening bucket `{}`", bucket.name())))
}

/// What the engine may conclude from what the store says.
pub(crate) fn fault(error: ObjectError, attempted: String) -> Fault {
    use pgferry_objects::Class as Of;
    let class = match error.class() {
        Of::Denied => Class::Denied,
        Of::Missing => Class::Gone,
        Of::Conflict => Class::Conflict,
        Of::Transient => Class::Retry { after: None },
        Of::Rejected => Class::Rejected,
    };
    Fault::new(class, attempted).because(error)
}

impl Resource for AccessKey {
    const TYPE: &'static str = "linode.access_key";
    const KIND: Kind = Kind::Scoped;
    type Spec = Spec;
    type Attrs = Attrs;

    async fn open(
        &self,
        cx: &Cx,
        want: Spec,
        prior: Option<&Intent>,
    ) -> Result<Done<Attrs>, Fault> {
        if want.access.is_empty() {
            return Err(Fault::new(Class::Rejected, "an access key opens at least one bucket")
                .help("name a bucket in `access`"));
        }
        let label = cx.natural_key();
        // Noted before it exists, so that it is found and revoked whatever happens from here on.
        let mut ids = prior.map(noted).unwrap_or_default();
        cx.note(json!({ LABEL: label, IDS: ids }))?;
        let access: Vec<Json> = want
            .access
            .iter()
            .map(|access| {
                json!({
                    "bucket_name": access.bucket.name, "region": access.bucket.region,
                    "permissions": access.permissions,
                })
            })
            .collect();
        let regions: BTreeSet<&str> =
            want.access.iter().map(|access| access.bucket.region.as_str()).collect();
        let regions: Vec<&str> = regions.into_iter().collect();
        let key = make(&self.api, cx, &label, &regions, access.into(), &ids).await?;
        ids.push(key.id);
        cx.note(json!({ IDS: ids }))?;
        for Access { bucket, .. } in &want.access {
            let during = || format!("opening bucket `{}`", bucket.name);
            let host = &bucket.endpoint;
            let endpoint = Endpoint::from_host(host, &bucket.region, cx.env("AWS_ENDPOINT_URL_S3"))
                .map_err(|error| fault(error, during()))?;
            let credentials = Credentials::new(key.access_key.expose(), key.secret_key.expose());
            let bucket = Bucket::open(&endpoint, &bucket.name, credentials)
                .map_err(|error| fault(error, during()))?;
            usable(cx, &bucket).await?;
        }
        let Key { access_key, secret_key, .. } = key;
        let attrs = Attrs { access_key, secret_key };
        Ok(Done { id: key.id.to_string(), attrs, memory: json!({ LABEL: label, IDS: ids }) })
    }

    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        for id in noted(intent) {
            revoke(&self.api, cx, id).await?;
        }
        match intent.notes.get(LABEL).and_then(Json::as_str) {
            Some(label) => revoke_labelled(&self.api, cx, label, &[]).await,
            None => Ok(()),
        }
    }

    fn by_hand(intent: &Intent) -> Option<String> {
        let label = intent.notes.get(LABEL).and_then(Json::as_str)?;
        let delete = |id: u64| format!("`linode-cli object-storage keys-delete {id}`");
        let commands: Vec<String> = noted(intent).into_iter().map(delete).collect();
        Some(match commands.is_empty() {
            true => format!("delete the access key `{label}`, if there is one"),
            false => commands.join(", then "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand_each_key_that_was_made() {
        let by_hand = |notes: Json| {
            let at = jiff::Timestamp::UNIX_EPOCH;
            let verb = pgferry_engine::resource::Verb::Open;
            let intent = Intent { verb, inputs: Default::default(), at, notes, before: None };
            AccessKey::by_hand(&intent)
        };
        let made = json!({ "label": "pgferry-01", "ids": [7, 9] });
        let want = "`linode-cli object-storage keys-delete 7`, then `linode-cli object-storage keys-delete 9`";
        assert_eq!(by_hand(made).as_deref(), Some(want));
        let asked = json!({ "label": "pgferry-01", "ids": [] });
        let want = "delete the access key `pgferry-01`, if there is one";
        assert_eq!(by_hand(asked).as_deref(), Some(want));
        assert_eq!(by_hand(Json::Null), None);
    }
}
