//! Something managed that is made anew without anybody losing anything; otherwise like a thing.

use std::sync::Arc;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::info::Kind;
use pgferry_engine::resource::{Change, Done, Live, Remembered, Resource};
use pgferry_engine::tree::Tree;

use super::{Shared, Thing, ThingAttrs, ThingSpec};

pub(crate) struct Light(pub(super) Shared);

impl Resource for Light {
    const TYPE: &'static str = "mem.light";
    const KIND: Kind = Kind::Managed;
    type Spec = ThingSpec;
    type Attrs = ThingAttrs;
    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<ThingAttrs>>, Fault> {
        Thing(Arc::clone(&self.0)).read(cx, want, remembered).await
    }
    async fn act(&self, cx: &Cx, change: Change<ThingSpec>) -> Result<Done<ThingAttrs>, Fault> {
        Thing(Arc::clone(&self.0)).act(cx, change).await
    }
    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        Thing(Arc::clone(&self.0)).delete(cx, remembered).await
    }
}
