//! A run that moves bytes at a pace, and may know before how many there are.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::Kind;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{JobAttrs, Shared, fails};

pub(crate) struct Mover(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct MoverSpec {
    #[serde(default)]
    bytes: Option<u64>,
    /// Whether it knows that before.
    #[serde(default)]
    #[allow(dead_code, reason = "it is read before it is decoded")]
    known: bool,
    seconds: u64,
}

impl Resource for Mover {
    const TYPE: &'static str = "mem.mover";
    const KIND: Kind = Kind::Run;
    type Spec = MoverSpec;
    type Attrs = JobAttrs;
    async fn inspect(
        &self,
        _: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let want = want.storable();
        Ok(Some(if want["known"] == true { want["bytes"].clone() } else { Json::Null }))
    }
    fn size(facts: &Json) -> Option<u64> {
        facts.as_u64()
    }
    async fn act(&self, cx: &Cx, change: Change<MoverSpec>) -> Result<Done<JobAttrs>, Fault> {
        let MoverSpec { bytes, seconds, .. } = change.want;
        cx.note(json!({"started": true}))?;
        let left = self.0.lock().unwrap().running.remove(cx.address.as_str());
        if left == Some(false) {
            return Err(Fault::new(Class::StillRunning, "it goes on elsewhere"));
        }
        cx.sleep(Duration::from_secs(seconds)).await?;
        // One that fails has wasted its time.
        fails(&self.0, cx)?;
        if let Some(bytes) = bytes {
            cx.moved(bytes);
        }
        Ok(Done { id: "1".into(), attrs: JobAttrs { times: 1 }, memory: Json::Null })
    }
    async fn settle(&self, _: &Cx, _: &Intent) -> Result<Settled<JobAttrs>, Fault> {
        Ok(Settled::Running("the mover".to_owned()))
    }
}
