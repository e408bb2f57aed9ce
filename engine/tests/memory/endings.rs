//! The end of a journey in the small cloud: a proof that two databases are equal, and a cutover.

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Shared, fails};

pub(crate) struct Proof(pub(super) Shared);
pub(crate) struct Cutover(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ProofSpec {
    expected: Endpoint,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct CutoverSpec {}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Attrs {
    place: String,
}

fn done(place: &str) -> Done<Attrs> {
    Done { id: place.into(), attrs: Attrs { place: place.into() }, memory: Json::Null }
}

impl Resource for Proof {
    const TYPE: &'static str = "mem.proof";
    const KIND: Kind = Kind::Run;
    const TRAITS: Traits = Traits { proof: true, ..Traits::DEFAULT };
    type Spec = ProofSpec;
    type Attrs = Attrs;
    async fn act(&self, cx: &Cx, change: Change<ProofSpec>) -> Result<Done<Attrs>, Fault> {
        fails(&self.0, cx)?;
        let url = change.want.expected.url;
        self.0.lock().unwrap().log.push(format!("prove {}", url.expose()));
        Ok(done("proved"))
    }
}

impl Resource for Cutover {
    const TYPE: &'static str = "mem.cutover";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { cutover: true, ..Traits::DEFAULT };
    type Spec = CutoverSpec;
    type Attrs = Attrs;
    async fn read(
        &self,
        _: &Cx,
        _: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Done { id, attrs, .. } = done("app");
        Ok(Some(Live { id, attrs, fields: IndexMap::new() }))
    }
    async fn act(&self, cx: &Cx, _: Change<CutoverSpec>) -> Result<Done<Attrs>, Fault> {
        fails(&self.0, cx)?;
        Ok(done("app"))
    }
}
