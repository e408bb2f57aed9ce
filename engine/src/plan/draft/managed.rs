//! What happens to a managed resource: nothing, create, import, update; never a replacement by itself.

use std::sync::Arc;

use indexmap::IndexMap;

use super::super::compare::difference;
use super::super::drift::ABSENT;
use super::super::question::{Answer, Ask};
use super::super::{Action, FieldChange, steps};
use super::staging::NEEDED_AGAIN;
use super::{Drafting, Refresh, Wanted, recalled};
use crate::address::Address;
use crate::finding::Finding;
use crate::info::{FieldRole, Kind, TypeInfo};
use crate::resource::Live;
use crate::spec::{Block, OnExists};
use crate::tree::Tree;

impl Drafting<'_> {
    pub(super) fn managed(
        &mut self,
        address: &Address,
        block: &Block,
        info: &TypeInfo,
        mut wanted: Wanted,
    ) {
        if !self.expand(address, info, &mut wanted) || !self.triggers_read(block) {
            self.pending.insert(address.clone());
            self.set_unknown(address, info, &wanted.tree);
            return;
        }
        let entry = self.input.state.resources.get(address);
        let entry = entry.filter(|entry| entry.type_name == info.name);
        if let Some(entry) = entry.filter(|_| self.is_used_up(address, info)) {
            self.set_remembered(address, info, &entry.remembered);
            let change = self.change(address, info, Action::NoOp, Vec::new());
            change.notes.push("was removed after use".to_owned());
            return;
        }
        let remembered_live;
        let never = self.input.options.refresh == Refresh::Never;
        let asked = self.reality.contains_key(&(address.clone(), Ask::Read));
        // What has no effect outside is as it was remembered, but for secrets, which are not: those it tells anew.
        let by_heart = (info.traits.internal && !wanted.tree.has_secret()) || (never && !asked);
        let live: Option<&Live<Tree>> = if let (true, Some(entry)) = (by_heart, entry) {
            remembered_live = Live {
                id: entry.remembered.id.clone(),
                attrs: Tree::Map(recalled(info, &entry.remembered)),
                fields: IndexMap::new(),
            };
            Some(&remembered_live)
        } else if ((info.traits.internal || never) && entry.is_none()) || wanted.in_something_new {
            None
        } else {
            let identity_known = wanted_fields(&wanted.tree)
                .all(|(name, tree)| info.role(name) != FieldRole::Identity || !tree.has_unknown());
            let ask = if entry.is_some() { Ask::Read } else { Ask::Find };
            if !identity_known {
                None
            } else {
                match self.ask(address, info.name, ask, &wanted.tree) {
                    Some(Answer::Live(live)) => live.as_ref(),
                    Some(_) => {
                        self.set_unknown(address, info, &wanted.tree);
                        self.change(address, info, Action::NoOp, Vec::new());
                        return;
                    }
                    None => {
                        self.pending.insert(address.clone());
                        self.set_unknown(address, info, &wanted.tree);
                        return;
                    }
                }
            }
        };
        let Some(live) = live else {
            self.absent(address, info, &wanted, entry.is_some());
            return;
        };
        let inputs = entry.map_or(&Tree::Null, |entry| &entry.remembered.inputs);
        let (fields, forced, notes) =
            self.differences(address, block, info, &wanted.tree, live, inputs);
        let asked = self.input.options.replace.contains(address);
        let triggers = entry.map(|entry| self.triggers(block, entry.replace_when()));
        let triggers = triggers.unwrap_or_default();
        if (!forced.is_empty() || !triggers.is_empty() || asked) && entry.is_some() {
            self.forced(address, info, &wanted.tree, fields, &forced, triggers);
            return;
        }
        let unchanged = match entry {
            Some(_) => wanted_fields(&wanted.tree).count().saturating_sub(fields.len()),
            None => 0,
        };
        let begun = self.intent(address).is_some() && entry.is_none();
        let (action, reasons) = match (entry, fields.is_empty()) {
            // An act of ours was cut short: finish it, whatever it got done.
            (None, _) if begun => (Action::Create, vec!["was begun and cut short".to_owned()]),
            (None, _) => (Action::Import, vec!["exists already".to_owned()]),
            (Some(_), false) => (Action::Update, Vec::new()),
            (Some(_), true) => (Action::NoOp, Vec::new()),
        };
        if action == Action::Import && block.on_exists == OnExists::Fail {
            self.in_the_way(address, &live.id);
        }
        if action == Action::Create {
            self.set_unknown(address, info, &wanted.tree);
        } else {
            self.set(address, Some(live.id.clone()), &live.attrs);
            self.carry_changes(address, info, &wanted.tree, &fields);
        }
        let change = self.change(address, info, action, reasons);
        change.fields = fields;
        change.unchanged = unchanged;
        change.id = (action == Action::Import).then(|| live.id.clone());
        change.notes = notes;
        if action != Action::NoOp || self.input.options.preflight {
            self.preflight(address, info, &wanted.tree);
        }
    }

    /// It exists, is not ours, and the spec says that it must not.
    fn in_the_way(&mut self, address: &Address, id: &str) {
        let finding = Finding::error(
            "PGF0207",
            format!("`{address}` exists already, as `{id}`, and its `on_exists` is `fail`"),
        )
        .help("give it another name; or, if this is the one that is meant, leave `on_exists` out");
        self.find(address, finding);
    }

    /// Puts in what `like` stands for. False while that is not known.
    fn expand(&mut self, address: &Address, info: &TypeInfo, wanted: &mut Wanted) -> bool {
        let refers = wanted_fields(&wanted.tree).any(|(_, tree)| matches!(tree, Tree::Resource(_)));
        if !refers || info.traits.internal {
            return true;
        }
        let remembered =
            self.input.state.resources.get(address).and_then(|e| e.expanded.as_deref());
        let expanded = match remembered.filter(|expanded| expanded.run == self.input.spec.run) {
            Some(expanded) => Some(&expanded.fields),
            None => {
                let unreadable = self.dependencies(address).into_iter().any(|dep| {
                    self.kind(dep) == Some(Kind::Lookup)
                        && self.changes.get(dep).is_some_and(|c| c.action == Action::Read)
                });
                if unreadable {
                    return true;
                }
                if !self.lookups_read(address) {
                    return false;
                }
                match self.ask(address, info.name, Ask::Expand, &wanted.tree) {
                    Some(Answer::Expanded(expanded)) => expanded.as_ref(),
                    Some(_) => None,
                    None => return false,
                }
            }
        };
        if let (Some(expanded), Tree::Map(fields)) = (expanded, &mut wanted.tree) {
            for (name, json) in expanded {
                fields.entry(name.clone()).or_insert_with(|| Tree::from_json(json));
            }
        }
        true
    }

    /// Not there: made, or, if it is staging whose work is done, not missed.
    fn absent(&mut self, address: &Address, info: &TypeInfo, wanted: &Wanted, remembered: bool) {
        if remembered
            && info.traits.staging
            && self.purpose_is_served(address)
            && !self.is_needed_again(address)
        {
            if let Some(entry) = self.input.state.resources.get(address) {
                self.set_remembered(address, info, &entry.remembered);
            }
            let change = self.change(address, info, Action::NoOp, Vec::new());
            change.notes.push("is gone, and no longer needed".to_owned());
            return;
        }
        self.set_unknown(address, info, &wanted.tree);
        let reason = match self.removal(address) {
            Some(_) => NEEDED_AGAIN,
            None => ABSENT,
        };
        let reasons = if remembered { vec![reason.to_owned()] } else { Vec::new() };
        let fields = inputs(info, &wanted.tree);
        self.change(address, info, Action::Create, reasons).fields = fields;
        self.preflight(address, info, &wanted.tree);
    }

    /// Whether every run that depends on `address` is done and stays done.
    pub(super) fn purpose_is_served(&self, address: &Address) -> bool {
        let state = self.input.state;
        self.input.graph.descendants(address).iter().all(|dependent| {
            self.kind(dependent) != Some(Kind::Run)
                || (self.stays_done(dependent) && state.resources.contains_key(dependent))
        })
    }

    #[allow(clippy::type_complexity, reason = "three lists, used once")]
    fn differences(
        &self,
        address: &Address,
        block: &Block,
        info: &TypeInfo,
        want: &Tree,
        live: &Live<Tree>,
        inputs: &Tree,
    ) -> (Vec<FieldChange>, Vec<String>, Vec<String>) {
        let (mut fields, mut forced, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let known_before = *inputs != Tree::Null;
        for (name, tree) in wanted_fields(want) {
            let role = info.role(name);
            if matches!(role, FieldRole::Guard | FieldRole::Volatile)
                || block.lifecycle.ignore_changes.iter().any(|ignored| ignored == name)
                || self.not_comparable(block, name, tree)
            {
                continue;
            }
            let found = live.fields.get(name).map(Tree::from_stored);
            let there = found.as_ref().or_else(|| inputs.get(name));
            if there.is_none() && !known_before {
                continue;
            }
            let Some(mut change) = difference(name, tree, there, info.field(name)) else {
                continue;
            };
            match role {
                FieldRole::CreationOnly if there.is_none() => continue,
                FieldRole::CreationOnly => {
                    notes.push(format!(
                        "`{name}` is used only when creating; the difference is left as it is"
                    ));
                    continue;
                }
                FieldRole::Identity | FieldRole::Replaces => {
                    change.forces = true;
                    forced.push(name.to_owned());
                }
                _ => {}
            }
            fields.push(change);
        }
        let _ = address;
        (fields, forced, notes)
    }

    /// Values that scopes and unread lookups bring are not there to be compared.
    fn not_comparable(&self, block: &Block, name: &str, tree: &Tree) -> bool {
        let references = block.fields.get(name).map(|field| field.references()).unwrap_or_default();
        let of = |kind| references.iter().any(|r| self.kind(&r.address) == Some(kind));
        // What nobody looked at is unknown only because of that; what is made anew by this plan is another matter.
        let anew = |reference: &&crate::template::Reference| {
            self.changes.get(&reference.address).is_some_and(|change| {
                let info = self.input.catalog.get(&change.type_name);
                let internal = info.is_some_and(|info| info.traits.internal);
                change.action.makes_new() || (internal && change.action.is_work())
            })
        };
        let unseen = self.input.options.refresh == Refresh::Never
            && of(Kind::Managed)
            && !references.iter().any(anew);
        of(Kind::Scoped)
            || (unseen && tree.has_unknown())
            || (of(Kind::Lookup) && !matches!(tree, Tree::Resource(_)) && tree.has_unknown())
    }

    /// A field that would need another thing changed, or another thing is asked for, by a person or by `replace_when`.
    /// Light resources are made anew: beside the old one where that is another, else in its place. What holds data, or
    /// is guarded, never is without being asked for.
    fn forced(
        &mut self,
        address: &Address,
        info: &TypeInfo,
        want: &Tree,
        fields: Vec<FieldChange>,
        forced: &[String],
        triggers: Vec<String>,
    ) {
        let mut reasons: Vec<String> =
            forced.iter().map(|name| format!("forced by `{name}`")).collect();
        let asked = self.input.options.replace.contains(address);
        if asked {
            reasons.push("requested by --replace".to_owned());
        }
        let replaces = asked || forced.is_empty();
        let holds_data = info.traits.guarded || info.traits.staging;
        if holds_data && !asked && forced.is_empty() {
            let finding = Finding::error(
                "PGF0203",
                format!(
                    "`{address}` would be made anew ({}), which is never done by itself",
                    triggers.join("; ")
                ),
            )
            .help(format!(
                "replace it on purpose with `--replace {address}`; or take the reference out of `replace_when`"
            ));
            self.find(address, finding);
        }
        reasons.extend(triggers);
        if holds_data && !asked && !forced.is_empty() {
            let names = forced.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" and ");
            let finding = Finding::error(
                "PGF0203",
                format!("`{address}` exists with another {names}, which cannot be changed in place"),
            )
            .help(format!(
                "put the former value back; or give the new one a block of its own and a new `run:`; or replace it on purpose with `--replace {address}`"
            ));
            self.find(address, finding);
        }
        if replaces {
            // Replacing deletes: what it holds goes only when it is named on the day.
            if let Some(located) = steps::protected(self.input, address) {
                self.findings.push(located);
            } else if asked
                && info.traits.guarded
                && let Some(finding) = steps::unconfirmed_delete(self.input, address)
            {
                self.find(address, finding);
            }
        }
        self.set_unknown(address, info, want);
        let change = self.change(
            address,
            info,
            if replaces { Action::Replace } else { Action::Create },
            reasons,
        );
        change.fields = fields;
        self.preflight(address, info, want);
    }

    /// Attributes that repeat a changed field will have the new value.
    fn carry_changes(
        &mut self,
        address: &Address,
        info: &TypeInfo,
        want: &Tree,
        fields: &[FieldChange],
    ) {
        let Some(handle) = self.handles.get_mut(address).map(Arc::make_mut) else { return };
        if info.traits.internal && !fields.is_empty() {
            // It follows from its fields alone, so all of it may change with them.
            handle.attrs.values_mut().for_each(|value| *value = Tree::Unknown);
        }
        for field in fields {
            if info.attribute(&field.name).is_some()
                && let Some(tree) = want.get(&field.name)
            {
                handle.attrs.insert(field.name.clone(), tree.clone());
            }
        }
    }
}

pub(super) fn wanted_fields(want: &Tree) -> impl Iterator<Item = (&str, &Tree)> {
    let map = match want {
        Tree::Map(map) => Some(map),
        _ => None,
    };
    map.into_iter().flatten().map(|(name, tree)| (name.as_str(), tree))
}

/// Every field as something new, for what is made or run; empty defaults are left out.
pub(super) fn inputs(info: &TypeInfo, want: &Tree) -> Vec<FieldChange> {
    let empty = |tree: &Tree| match tree {
        Tree::Map(map) => map.is_empty(),
        Tree::List(items) => items.is_empty(),
        _ => false,
    };
    let mut fields: Vec<FieldChange> = wanted_fields(want)
        .filter(|(name, tree)| info.role(name) != FieldRole::Guard && !empty(tree))
        .filter_map(|(name, tree)| difference(name, tree, None, info.field(name)))
        .collect();
    fields.shrink_to_fit();
    fields
}
