//! What is written down of an act: entries, circumstances, and whether the plan was kept.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{Acting, without_secrets};
use crate::address::Address;
use crate::apply::walk::dependencies;
use crate::cx::Cx;
use crate::fault::Fault;
use crate::info::{FieldRole, Kind};
use crate::plan::{Answer, Ask, Change};
use crate::resource::{Done, Remembered};
use crate::state::StateError;
use crate::state::{DoneUnder, Entry, Expanded, Record};
use crate::tree::{Fields, Handle, Tree};

impl Acting {
    /// The run label and the epochs of the windows above, as of now.
    pub(super) fn under(&self, cx: &Cx) -> DoneUnder {
        let epochs = self.applying.journal.with_state(|state| {
            // One that is not open, because nothing directly under it has work, vouches for nothing.
            let epoch = |window: &Address| {
                let scope = state.scopes.get(window).filter(|scope| scope.is_open())?;
                Some((window.clone(), scope.epoch))
            };
            self.around.windows.iter().filter_map(epoch).collect()
        });
        let replace_when = self.replace_when();
        DoneUnder { run: self.applying.spec.run.clone(), at: cx.now(), epochs, replace_when }
    }

    /// What the references in `replace_when` are now.
    fn replace_when(&self) -> BTreeMap<String, Json> {
        let resolve = |address: &Address| self.around.handles.get(address);
        let block = self.applying.spec.resources.get(&self.address);
        block.map(|block| block.lifecycle.known(&resolve)).unwrap_or_default()
    }

    pub(super) fn entry(
        &self,
        change: &Change,
        want: &Tree,
        done: &Done<Tree>,
        expanded: Option<IndexMap<String, Json>>,
        under: Option<DoneUnder>,
    ) -> Entry {
        let block = self.applying.spec.resources.get(&self.address);
        let traits = self.info().map(|info| info.traits);
        let on_remove = block.and_then(|block| block.on_remove);
        let run = self.applying.spec.run.clone();
        let replace_when = match change.kind {
            Kind::Managed => self.replace_when(),
            _ => BTreeMap::new(),
        };
        Entry {
            type_name: change.type_name.clone(),
            kind: change.kind,
            remembered: Remembered {
                id: done.id.clone(),
                inputs: want.stored(),
                attrs: self.info().map_or(Tree::Null, |i| without_secrets(i, &done.attrs)),
                memory: Tree::from_stored(&done.memory),
            },
            dependencies: dependencies(&self.applying, &self.address),
            on_remove: on_remove
                .or(traits.map(|t| t.on_remove))
                .unwrap_or(crate::info::OnRemove::Keep),
            prevent_destroy: block.is_some_and(|block| block.lifecycle.prevent_destroy),
            replace_when,
            expanded: expanded.map(|fields| Box::new(Expanded { run, fields })),
            removal: None,
            cut_over: self
                .info()
                .filter(|info| info.traits.cutover)
                .map(|_| self.applying.world.clock.now()),
            done: under.filter(|_| change.kind == Kind::Run).map(Box::new),
            // Until it is measured anew, what was measured before is the best that is known.
            pace: self
                .applying
                .journal
                .with_state(|state| state.resources.get(&self.address)?.pace),
        }
    }

    pub(super) fn handle(&self, done: &Done<Tree>) -> Handle {
        let attrs = match &done.attrs {
            Tree::Map(map) => map.clone(),
            _ => Fields::new(),
        };
        Handle { address: self.address.clone(), id: Some(done.id.clone()), attrs }
    }

    /// What was shown must be what came about, wherever an attribute repeats a field.
    pub(super) fn broken_promise(&self, change: &Change, done: &Done<Tree>) -> Option<Fault> {
        let info = self.info().filter(|info| info.kind == Kind::Managed)?;
        for field in &change.fields {
            let plain = !matches!(
                info.role(&field.name),
                FieldRole::Volatile | FieldRole::Guard | FieldRole::CreationOnly
            );
            let (Some(planned), Some(came)) = (&field.after, done.attrs.get(&field.name)) else {
                continue;
            };
            let refers = planned.get("$address").is_some();
            if plain
                && !refers
                && !field.sensitive
                && came.stored() != *planned
                && *planned != Tree::Null
            {
                let (planned, came) = (planned.storable(), came.storable());
                return Some(Fault::bug(format!(
                    "`{}` planned `{}` as {planned} for `{}` and brought about {came}",
                    info.name, field.name, self.address
                )));
            }
        }
        None
    }

    pub(super) async fn write_down(
        &self,
        want: &Tree,
        done: &Done<Tree>,
        under: Option<DoneUnder>,
    ) -> Result<(), StateError> {
        let Some(change) = &self.around.change else { return Ok(()) };
        let key = (self.address.clone(), Ask::Expand);
        let expanded = match self.applying.reality.get(&key) {
            Some(Answer::Expanded(expanded)) => expanded.clone(),
            _ => None,
        };
        let entry = Box::new(self.entry(change, want, done, expanded, under));
        self.append(&Record::Succeeded { address: self.address.clone(), entry }).await
    }
}
