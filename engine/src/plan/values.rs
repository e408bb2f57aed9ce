//! Every resource of a plan whole, before and after: what programs that judge plans want to see.
//!
//! A plan itself holds only what differs. The rest is put together here, on demand and one resource at a time, from
//! what the plan was made of, so that nobody else pays for it. Secrets are masked, unknowns left out and marked, as in
//! Terraform's plan JSON. Tested in `tests/output.rs` of this crate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::moves::Moves;
use super::{Action, Answer, Ask, Change, Draft, Input, Reality};
use crate::address::Address;
use crate::info::TypeInfo;
use crate::resource::Live;
use crate::secret::MASK;
use crate::state::State;
use crate::tree::{Fields, Handle, Tree};

/// One resource, whole: its attributes, and over them its fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Values {
    /// `None`: it is not there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Map<String, Json>>,
    /// `None`: it is not there afterwards. What is known only after apply is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Map<String, Json>>,
    /// `true` in the place of every value that is known only after apply.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub after_unknown: Map<String, Json>,
    /// `true` in the place of every secret, which `before` has as `(sensitive)`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub before_sensitive: Map<String, Json>,
    /// The same of `after`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub after_sensitive: Map<String, Json>,
}

/// What whole resources are put together from.
pub struct Whole<'a> {
    input: &'a Input<'a>,
    draft: &'a Draft,
    reality: &'a Reality,
    /// The state with what was renamed under its present name, if anything was.
    moved: Option<State>,
}

impl<'a> Whole<'a> {
    /// Of a finished `draft` and what it was made from.
    pub fn new(input: &'a Input<'a>, draft: &'a Draft, reality: &'a Reality) -> Self {
        let moved = Moves::of(input.spec, input.state).done(input.state);
        Self { input, draft, reality, moved }
    }

    fn state(&self) -> &State {
        self.moved.as_ref().unwrap_or(self.input.state)
    }

    /// One resource as it is and as it will be. Costs as much as the resource is large.
    pub fn values(&self, change: &Change) -> Values {
        let address = &change.address;
        let info = self.input.catalog.get(&change.type_name);
        let live = self.live(address);
        let before = match change.action {
            Action::Create | Action::Run | Action::Read | Action::Settle => None,
            _ => Some(self.before(address, info, live)),
        };
        let after = match change.action {
            Action::Delete | Action::Forget => None,
            // Nothing changes, whatever else the spec says.
            Action::NoOp => before.clone(),
            Action::Update | Action::Import => {
                let mut after = before.clone().unwrap_or_default();
                self.overlay(address, change, &mut after);
                Some(after)
            }
            Action::Settle => Some(self.before(address, info, None)),
            Action::Create | Action::Run | Action::Read | Action::Replace => {
                let mut after = self.attributes(address);
                after.extend(self.wanted(address, change));
                Some(after)
            }
        };
        parts(info, before, after)
    }

    /// One resource as the state remembers it, and as it was found.
    pub fn drifted(&self, address: &Address) -> Values {
        let Some(entry) = self.state().resources.get(address) else { return Values::default() };
        let info = self.input.catalog.get(&entry.type_name);
        let mut before = fields(&entry.remembered.attrs);
        before.extend(fields(&entry.remembered.inputs));
        let after = self.live(address).map(|live| {
            let mut after = before.clone();
            after.extend(fields(&live.attrs));
            after.extend(live.fields.iter().map(|(k, v)| (k.clone(), Tree::from_json(v))));
            after
        });
        parts(info, Some(before), after)
    }

    fn live(&self, address: &Address) -> Option<&'a Live<Tree>> {
        [Ask::Read, Ask::Find].into_iter().find_map(|ask| {
            match self.reality.get(&(address.clone(), ask))? {
                Answer::Live(live) => live.as_ref(),
                _ => None,
            }
        })
    }

    /// What is there: as remembered, and over it as it was found.
    fn before(
        &self,
        address: &Address,
        info: Option<&TypeInfo>,
        live: Option<&Live<Tree>>,
    ) -> Fields {
        let entry = self.state().resources.get(address);
        let mut before = match live {
            Some(live) => fields(&live.attrs),
            None => entry.map(|entry| fields(&entry.remembered.attrs)).unwrap_or_default(),
        };
        if let (true, Some(handle)) = (before.is_empty(), self.draft.handles.get(address)) {
            before.clone_from(&handle.attrs);
        }
        // Stored nowhere, and there all the same.
        for name in info.into_iter().flat_map(TypeInfo::attributes) {
            if info.is_some_and(|info| info.is_secret(name)) {
                before.insert(name.to_owned(), Tree::text(MASK));
            }
        }
        if let Some(entry) = entry {
            before.extend(fields(&entry.remembered.inputs));
        }
        if let Some(live) = live {
            before.extend(live.fields.iter().map(|(k, v)| (k.clone(), Tree::from_json(v))));
        }
        before
    }

    fn attributes(&self, address: &Address) -> Fields {
        self.draft.handles.get(address).map(|handle| handle.attrs.clone()).unwrap_or_default()
    }

    /// Puts over what is there what an update changes, attributes that follow from it included.
    fn overlay(&self, address: &Address, change: &Change, after: &mut Fields) {
        for (name, tree) in self.attributes(address) {
            // A secret that is not read is there as before.
            if tree != Tree::Unknown
                || !matches!(after.get(&name), Some(Tree::Text(text)) if text == MASK)
            {
                after.insert(name, tree);
            }
        }
        for (name, tree) in self.wanted(address, change) {
            let differs = change.fields.iter().any(|field| field.name == name);
            if differs || !after.contains_key(&name) {
                after.insert(name, tree);
            }
        }
    }

    /// The fields, with everything put in that is known.
    fn wanted(&self, address: &Address, change: &Change) -> Fields {
        let Some(block) = self.input.spec.resources.get(address) else { return Fields::new() };
        let resolve = |address: &Address| self.draft.handles.get(address);
        let written = block.fields.iter();
        let mut wanted: Fields =
            written.map(|(name, field)| (name.clone(), field.evaluate(&resolve))).collect();
        if let Some(info) = self.input.catalog.get(&change.type_name) {
            info.put_defaults(&mut wanted);
        }
        let found = match self.reality.get(&(address.clone(), Ask::Expand)) {
            Some(Answer::Expanded(found)) => found.as_ref(),
            _ => None,
        };
        let entry = self.state().resources.get(address);
        let known = entry.and_then(|entry| entry.expanded.as_deref());
        let known =
            known.filter(|known| known.run == self.input.spec.run).map(|known| &known.fields);
        for (name, json) in found.or(known).into_iter().flatten() {
            wanted.entry(name.clone()).or_insert_with(|| Tree::from_json(json));
        }
        wanted
    }
}

fn fields(tree: &Tree) -> Fields {
    match tree {
        Tree::Map(map) => map.clone(),
        _ => Fields::new(),
    }
}

fn parts(info: Option<&TypeInfo>, before: Option<Fields>, after: Option<Fields>) -> Values {
    let secret = |name: &str| info.is_some_and(|info| info.is_secret(name));
    let mut values = Values::default();
    if let Some(before) = &before {
        values.before_sensitive = masks(before, &secret);
        values.before = Some(known(before));
    }
    if let Some(after) = &after {
        values.after_sensitive = masks(after, &secret);
        let unknown = after.iter().filter_map(|(k, v)| Some((k.clone(), unknown(v)?)));
        values.after_unknown = unknown.collect();
        values.after = Some(known(after));
    }
    values
}

fn masks(fields: &Fields, secret: &dyn Fn(&str) -> bool) -> Map<String, Json> {
    let marked = fields.iter().filter_map(|(name, tree)| {
        let mark = if secret(name) { Some(Json::Bool(true)) } else { sensitive(tree) };
        Some((name.clone(), mark?))
    });
    marked.collect()
}

/// A value with secrets masked; unknown members left out of maps and `null` in lists.
fn plain(tree: &Tree) -> Json {
    match tree {
        Tree::List(items) => Json::Array(items.iter().map(plain).collect()),
        Tree::Map(map) => Json::Object(known(map)),
        Tree::Resource(handle) => {
            let mut map = Map::from_iter([("$address".to_owned(), json!(handle.address))]);
            if let Some(id) = &handle.id {
                map.insert("$id".to_owned(), json!(id));
            }
            Json::Object(map)
        }
        other => other.storable(),
    }
}

fn known(map: &Fields) -> Map<String, Json> {
    let known = map.iter().filter(|(_, tree)| **tree != Tree::Unknown);
    known.map(|(name, tree)| (name.clone(), plain(tree))).collect()
}

/// `true` in the place of every unknown; `None` if there is none.
fn unknown(tree: &Tree) -> Option<Json> {
    match tree {
        Tree::Unknown => Some(Json::Bool(true)),
        Tree::Resource(handle) => is_new(handle).then(|| json!({ "$id": true })),
        other => inside(other, &unknown),
    }
}

/// `true` in the place of every secret; `None` if there is none.
fn sensitive(tree: &Tree) -> Option<Json> {
    match tree {
        Tree::Secret(_) => Some(Json::Bool(true)),
        Tree::Text(text) if text.contains(MASK) => Some(Json::Bool(true)),
        other => inside(other, &sensitive),
    }
}

fn inside(tree: &Tree, mark: &dyn Fn(&Tree) -> Option<Json>) -> Option<Json> {
    match tree {
        Tree::List(items) => {
            let marks: Vec<Option<Json>> = items.iter().map(mark).collect();
            let any = marks.iter().any(Option::is_some);
            any.then(|| marks.into_iter().map(|mark| mark.unwrap_or(Json::Bool(false))).collect())
        }
        Tree::Map(map) => {
            let marks = map.iter().filter_map(|(name, tree)| Some((name.clone(), mark(tree)?)));
            let marks: Map<String, Json> = marks.collect();
            (!marks.is_empty()).then_some(Json::Object(marks))
        }
        _ => None,
    }
}

fn is_new(handle: &Handle) -> bool {
    handle.id.is_none()
}
