//! `linode.bucket`: a bucket of Linode Object Storage, by its control plane.
//!
//! API: v4, `/object-storage/buckets`. Where it is reached is read, never derived: a region can have several endpoints.
//! Tested beside and against the emulator.

mod emptying;
mod judge;

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Intent, Live, Remembered, Resource, Settled, Verb};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::wire;

/// An endpoint that is not there after this long will not be there soon.
const ENDPOINT_PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_secs(3);

/// A bucket at Linode.
pub(crate) struct Bucket {
    api: Arc<Api>,
}

impl Bucket {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// A bucket of Linode Object Storage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Unique in its region over all customers: 3 to 63 of `a-z`, `0-9`, `.` and `-`.
    #[schemars(extend(
        "x-change" = "identity",
        "pattern" = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "x-pattern-help" = "3 to 63 lower-case letters, digits, dots and dashes, beginning and ending with a letter or digit"
    ))]
    label: String,
    /// The region, such as `us-ord`.
    #[schemars(extend("x-change" = "identity"))]
    region: String,
    /// Who may use it besides the account. Default: `private`.
    #[serde(default)]
    acl: Acl,
    /// The generation of the store: `E0` to `E3`. Default: Linode's choice for the region.
    #[serde(default)]
    #[schemars(extend("x-change" = "replaces"))]
    endpoint_type: Option<EndpointType>,
    /// Whether objects must be encrypted at rest. Default: `none`, nothing is asked for.
    #[serde(default, rename = "encryption")]
    #[schemars(extend("x-change" = "volatile"))]
    _encryption: Encryption,
    /// `remove`: it goes, with the dumps in it, in the same apply, once every run that depends on it is done. Default:
    /// `keep`, until `destroy`.
    #[serde(default, rename = "after_use")]
    #[schemars(extend("x-change" = "volatile"))]
    _after_use: AfterUse,
}

/// What becomes of it once it has served; the engine reads it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AfterUse {
    #[default]
    Keep,
    Remove,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Acl {
    #[default]
    Private,
    PublicRead,
    AuthenticatedRead,
    PublicReadWrite,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
enum EndpointType {
    E0,
    E1,
    E2,
    E3,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Encryption {
    /// An error where it is not known to be so.
    Required,
    #[default]
    None,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    label: String,
    region: String,
    /// The S3 host.
    endpoint: String,
    /// The S3 host with the bucket's name before it.
    hostname: Option<String>,
    endpoint_type: Option<String>,
}

fn id(region: &str, label: &str) -> String {
    format!("{region}/{label}")
}

fn attrs(found: &wire::Bucket, region: &str) -> Option<Attrs> {
    Some(Attrs {
        label: found.label.clone(),
        region: region.to_owned(),
        endpoint: found.s3_endpoint.clone().filter(|host| !host.is_empty())?,
        hostname: found.hostname.clone(),
        endpoint_type: found.endpoint_type.clone(),
    })
}

fn spelled<T: Serialize>(value: &T) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}

impl Bucket {
    async fn look(
        &self,
        cx: &Cx,
        region: &str,
        label: &str,
    ) -> Result<Option<wire::Bucket>, Fault> {
        let found = self.api.bucket(cx, region, label).await;
        found.map_err(|error| error.during(format!("reading bucket `{label}` in `{region}`")))
    }

    async fn live(&self, cx: &Cx, region: &str, label: &str) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(found) = self.look(cx, region, label).await? else { return Ok(None) };
        let access = self.api.access(cx, region, label).await;
        let access = access.map_err(|error| {
            error.during(format!("reading who may use bucket `{label}` in `{region}`"))
        })?;
        let Some(attrs) = attrs(&found, region) else { return Err(no_endpoint(region, label)) };
        let mut fields = IndexMap::from([
            ("label".to_owned(), Json::from(label)),
            ("region".to_owned(), Json::from(region)),
        ]);
        if let Some(acl) = access.acl {
            fields.insert("acl".to_owned(), Json::from(acl));
        }
        if let Some(kind) = &found.endpoint_type {
            fields.insert("endpoint_type".to_owned(), Json::from(kind.clone()));
        }
        Ok(Some(Live { id: id(region, label), attrs, fields }))
    }

    /// Waits until the bucket has an address.
    async fn ready(&self, cx: &Cx, region: &str, label: &str) -> Result<Done<Attrs>, Fault> {
        let mut waited = Duration::ZERO;
        loop {
            let found = self.look(cx, region, label).await?;
            if let Some(attrs) = found.as_ref().and_then(|found| attrs(found, region)) {
                return Ok(Done { id: id(region, label), attrs, memory: Json::Null });
            }
            if waited >= ENDPOINT_PATIENCE {
                return Err(no_endpoint(region, label));
            }
            let what = "waiting for the bucket's endpoint".to_owned();
            cx.progress(Progress { what, ..Progress::default() });
            cx.sleep(POLL).await?;
            waited += POLL;
        }
    }

    async fn create(&self, cx: &Cx, want: &Spec) -> Result<(), Fault> {
        let Spec { label, region, acl, .. } = want;
        let mut body = json!({ "label": label, "region": region, "acl": spelled(acl) });
        if let Some(kind) = &want.endpoint_type {
            body["endpoint_type"] = spelled(kind);
        }
        let Err(error) = self.api.create_bucket(cx, body).await else { return Ok(()) };
        let limited = error.refused().is_some_and(|refused| refused.retry_after.is_some());
        let status = error.status();
        let fault = error.during(format!("creating bucket `{label}` in `{region}`"));
        // A name that somebody else has is answered like too many requests.
        if status == Some(429) && !limited {
            if self.look(cx, region, label).await?.is_some() {
                return Ok(());
            }
            return Err(Fault { class: Class::Conflict, ..fault }.help(
                "the name may be taken: names are unique in a region over all customers; choose \
                 another `label`",
            ));
        }
        // Creating one's own bucket again succeeds and changes nothing.
        let class = match fault.class {
            Class::Unknown => Class::Retry { after: None },
            class => class,
        };
        Err(Fault { class, ..fault })
    }
}

fn no_endpoint(region: &str, label: &str) -> Fault {
    let what = format!("bucket `{label}` in `{region}` has no S3 endpoint yet");
    Fault::new(Class::Retry { after: Some(POLL) }, what)
        .help("Linode has not set it up: try again later, or choose another region")
}

/// Region and label, as written or as remembered.
fn place(want: &Tree, remembered: Option<&Remembered>) -> Option<(String, String)> {
    let field = |name: &str| {
        let written = want.get(name).and_then(Tree::as_text);
        written.or_else(|| remembered?.attrs.get(name)?.as_text()).map(str::to_owned)
    };
    Some((field("region")?, field("label")?))
}

impl Resource for Bucket {
    const TYPE: &'static str = "linode.bucket";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { staging: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        let Some((region, label)) = place(want, None) else { return Ok(None) };
        self.live(cx, &region, &label).await
    }

    async fn read(
        &self,
        cx: &Cx,
        _want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some((region, label)) = place(&Tree::Null, remembered) else { return Ok(None) };
        self.live(cx, &region, &label).await
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some((region, label)) = place(want, None) else { return Ok(None) };
        let found = self.look(cx, &region, &label).await?;
        let endpoints = self.api.endpoints(cx).await;
        let endpoints =
            endpoints.map_err(|error| error.during("reading the endpoints of Object Storage"))?;
        judge::facts(&region, found.as_ref(), &endpoints).map(Some)
    }

    fn judge(want: &Tree, facts: &Json, _confirmed: &[(String, String)]) -> Vec<Finding> {
        judge::findings(want, facts)
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let want = &change.want;
        let (region, label) = (want.region.as_str(), want.label.as_str());
        if change.verb == Verb::Update {
            let acl = spelled(&want.acl);
            let set = self.api.set_acl(cx, region, label, acl.as_str().unwrap_or("private")).await;
            set.map_err(|error| {
                error.during(format!("setting who may use bucket `{label}` in `{region}`"))
            })?;
        } else {
            self.create(cx, want).await?;
        }
        self.ready(cx, region, label).await
    }

    async fn settle(&self, cx: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        let Some((region, label)) = place(&intent.inputs, None) else {
            return Ok(Settled::Not("the name of the bucket is not known".to_owned()));
        };
        if intent.verb == Verb::Update {
            return Ok(Settled::Not(format!("the change of bucket `{label}` is sent again")));
        }
        let found = self.look(cx, &region, &label).await?;
        Ok(match found.map(|found| attrs(&found, &region)) {
            Some(Some(attrs)) => {
                Settled::Done(Done { id: id(&region, &label), attrs, memory: Json::Null })
            }
            Some(None) => Settled::Running(format!("the making of bucket `{label}`")),
            None => Settled::Not(format!("there is no bucket `{label}` in `{region}`")),
        })
    }

    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        let Some((region, label)) = place(&Tree::Null, Some(remembered)) else { return Ok(()) };
        let Some(found) = self.look(cx, &region, &label).await? else { return Ok(()) };
        emptying::empty(&self.api, cx, &region, &found).await?;
        self.api
            .delete_bucket(cx, &region, &label)
            .await
            .map_err(|error| error.during(format!("deleting bucket `{label}` in `{region}`")))
    }
}
