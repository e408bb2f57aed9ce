//! Handles read from reality, without a plan: what a resource of the spec is now, secrets included.
//!
//! For what happens long after a plan, maybe in another process: closing a scope, proving again. Reads what the
//! resource's own fields refer to first, and nothing else. Tested by `tests/attack/releases.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::cx::{Cx, NoNotes, World};
use crate::fault::Fault;
use crate::graph::Graph;
use crate::info::{Catalog, Kind};
use crate::refresh::Resources;
use crate::spec::Spec;
use crate::state::Entry;
use crate::state::journal::Journal;
use crate::template::Template;
use crate::tree::{Fields, Handle, Tree};

/// What the state remembers of an address.
pub type Known = Arc<dyn Fn(&Address) -> Option<Entry> + Send + Sync>;

/// Everything that is needed to read a resource of the spec.
#[derive(Clone)]
pub struct Handles {
    pub spec: Arc<Spec>,
    pub graph: Arc<Graph>,
    pub catalog: Arc<Catalog>,
    pub resources: Resources,
    pub known: Known,
    pub world: World,
}

impl Handles {
    /// What the resource at `address` is now; `None` if it is not in the spec, or not there.
    ///
    /// # Errors
    /// Something on the way could not be read. Nothing was changed, so a retry is always safe.
    pub async fn of(&self, address: &Address) -> Result<Option<Arc<Handle>>, Fault> {
        let mut needed = BTreeSet::new();
        let mut next = vec![address.clone()];
        while let Some(address) = next.pop() {
            let Some(block) = self.spec.resources.get(&address) else { continue };
            next.extend(block.fields.values().flat_map(referred));
            needed.insert(address);
        }
        let mut found = BTreeMap::new();
        for address in self.graph.order.iter().filter(|address| needed.contains(*address)) {
            if let Some(handle) = self.read(address, &found).await? {
                found.insert(address.clone(), handle);
            }
        }
        Ok(found.remove(address))
    }

    /// The fields of the resource at `address`, with everything put in that can be read now.
    ///
    /// # Errors
    /// As [`Handles::of`].
    pub async fn fields(&self, address: &Address) -> Result<Option<Tree>, Fault> {
        let Some(block) = self.spec.resources.get(address) else { return Ok(None) };
        let mut found = BTreeMap::new();
        for dependency in block.fields.values().flat_map(referred) {
            if !found.contains_key(&dependency)
                && let Some(handle) = self.of(&dependency).await?
            {
                found.insert(dependency, handle);
            }
        }
        Ok(self.written(address, &found))
    }

    /// The fields as written, with `found` put in.
    fn written(&self, address: &Address, found: &BTreeMap<Address, Arc<Handle>>) -> Option<Tree> {
        let block = self.spec.resources.get(address)?;
        let resolve = |address: &Address| found.get(address);
        let fields = block.fields.iter();
        let mut fields: Fields =
            fields.map(|(name, field)| (name.clone(), field.evaluate(&resolve))).collect();
        self.catalog.get(&block.type_name)?.put_defaults(&mut fields);
        Some(Tree::Map(fields))
    }

    async fn read(
        &self,
        address: &Address,
        found: &BTreeMap<Address, Arc<Handle>>,
    ) -> Result<Option<Arc<Handle>>, Fault> {
        let Some(want) = self.written(address, found) else { return Ok(None) };
        let Some(block) = self.spec.resources.get(address) else { return Ok(None) };
        let (Some(info), Some(resource)) =
            (self.catalog.get(&block.type_name), self.resources.get(&block.type_name))
        else {
            return Ok(None);
        };
        let entry = (self.known)(address).filter(|entry| entry.type_name == block.type_name);
        let remembered = entry.map(|entry| entry.remembered);
        let (id, attrs) = match (info.kind, remembered) {
            (Kind::Lookup, _) if want.has_unknown() => return Ok(None),
            (Kind::Lookup, _) => match resource.read(&self.cx(address), &want, None).await? {
                Some(live) => (live.id, live.attrs),
                None => return Ok(None),
            },
            (Kind::Managed, Some(remembered)) => {
                match resource.read(&self.cx(address), &want, Some(&remembered)).await? {
                    Some(live) => (live.id, live.attrs),
                    None => return Ok(None),
                }
            }
            // What a run brought about is what is remembered of it.
            (Kind::Run, Some(remembered)) => (remembered.id, remembered.attrs.recalled()),
            _ => return Ok(None),
        };
        let attrs = match attrs {
            Tree::Map(attrs) => attrs,
            _ => Fields::new(),
        };
        Ok(Some(Arc::new(Handle { address: address.clone(), id: Some(id), attrs })))
    }

    /// Not stopped by Ctrl-C: who closes a scope has to finish.
    fn cx(&self, address: &Address) -> Cx {
        let world = World {
            notes: Arc::new(NoNotes),
            cancel: CancellationToken::new(),
            ..self.world.clone()
        };
        Cx::new(world, address.clone(), "reading")
    }
}

/// `world`, in which a resource can read others anew, as far as `journal` knows them.
pub(crate) fn rereading(
    spec: &Arc<Spec>,
    graph: &Arc<Graph>,
    catalog: &Arc<Catalog>,
    resources: &Resources,
    world: &World,
    journal: &Journal,
) -> World {
    let journal = journal.clone();
    let handles = Arc::new(Handles {
        spec: Arc::clone(spec),
        graph: Arc::clone(graph),
        catalog: Arc::clone(catalog),
        resources: resources.clone(),
        known: Arc::new(move |address| {
            journal.with_state(|state| state.resources.get(address).cloned())
        }),
        world: world.clone(),
    });
    let reread = move |address: Address| -> BoxFuture<'static, Result<Option<Arc<Handle>>, Fault>> {
        let handles = Arc::clone(&handles);
        Box::pin(async move { handles.of(&address).await })
    };
    World { reread: Arc::new(reread), ..world.clone() }
}

fn referred(field: &Template) -> Vec<Address> {
    field.references().into_iter().map(|reference| reference.address.clone()).collect()
}
