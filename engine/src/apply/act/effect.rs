//! Effects on resources: an intent before, the outcome after, and tries in between.

use serde_json::Value as Json;

use super::{Acting, Ended, Stop, unstorable, without_secrets};
use crate::apply::retries::Retries;
use crate::apply::walk::failure;
use crate::cx::Cx;
use crate::fault::{Class, Fault};
use crate::info::Kind;
use crate::plan::{Action, Answer, Ask, Change};
use crate::resource::{self, Done, Intent, Remembered, Verb};
use crate::spec::OnExists;
use crate::state::{Entry, Operation, Outcome, Record, StateError};
use crate::tree::Tree;

impl Acting {
    pub(super) async fn effect(
        &self,
        change: &Change,
        verb: Verb,
        word: &'static str,
    ) -> Result<Ended, Stop> {
        let cx = self.cx(word);
        let (mut want, expanded) =
            self.want(true).await.map_err(|fault| self.reported(&cx, fault))?;
        if verb == Verb::Update {
            self.leave_ignored(&mut want);
        }
        if change.action == Action::Create {
            self.must_not_exist(&cx, &want).await.map_err(|fault| self.reported(&cx, fault))?;
        }
        if let Some(name) = unknown_field(&want) {
            let message = format!("`{name}` of `{}` is not known", self.address);
            let fault = Fault::failed(message)
                .help("what it refers to was not read; look at the findings of `pgferry plan`");
            return Err(self.reported(&cx, fault).into());
        }
        let operation =
            self.applying.journal.with_state(|state| state.operations.get(&self.address).cloned());
        let operation = operation.filter(|operation| operation.type_name == change.type_name);
        let prior = operation.as_ref().map(|operation| operation.intent.clone());
        let before = self.before(change);
        // What is taken up was begun back then, and under what was so back then.
        let (under, begun) = match &operation {
            Some(operation) if change.takes_up => (operation.under.clone(), operation.intent.at),
            _ => (self.under(&cx), cx.now()),
        };
        let intent = Intent {
            verb,
            inputs: want.stored(),
            at: begun,
            notes: prior.as_ref().map_or(Json::Null, |prior| prior.notes.clone()),
            before: before.clone(),
        };
        let carried = !change.takes_up && !intent.notes.is_null();
        let type_name = change.type_name.clone();
        let operation =
            Operation { type_name, intent, under: under.clone(), outcome: Outcome::Begun, carried };
        let operation = Box::new(operation);
        self.append(&Record::Intent { address: self.address.clone(), operation }).await?;
        self.started(&cx, before.as_ref().map(|b| b.id.as_str()));
        let limit = self.limit(if verb == Verb::Update { "update" } else { "create" });
        let cx = limit.stoppable(&cx);
        let act = self.try_act(&cx, change, verb, &want, before, prior);
        let result = limit.hold(&cx, act).await;
        match result {
            Ok(done) => {
                let mut entry = self.entry(change, &want, &done, expanded, Some(under));
                // What was taken up had begun elsewhere.
                if verb == Verb::Run && !change.takes_up {
                    entry.pace = cx.pace().or(entry.pace);
                }
                // It counts as done under its windows only while they are this run's own.
                self.applying.journal.confirm()?;
                let entry = Box::new(entry);
                let record = Record::Succeeded { address: self.address.clone(), entry };
                match self.append(&record).await {
                    // It has happened. The next apply finds it, or does it again.
                    Err(cause @ StateError::GivesAway { .. }) => {
                        let fault = self.reported(&cx, unstorable(&cause));
                        let (address, message) = (self.address.clone(), fault.chain());
                        self.append(&Record::Failed { address, message }).await?;
                        return Err(fault.into());
                    }
                    recorded => recorded?,
                }
                let handle = self.handle(&done);
                if let Some(fault) = self.broken_promise(change, &done) {
                    let failure = failure(&self.address, &self.reported(&cx, fault));
                    return Ok(Ended::Failed { failure, elsewhere: false, handle: Some(handle) });
                }
                self.succeeded(&cx, Some(&done.id));
                Ok(Ended::Done { handle: Some(handle), action: Some(change.action) })
            }
            Err(fault) => {
                let (address, message) = (self.address.clone(), fault.chain());
                let record = match fault.class {
                    Class::Unknown | Class::StillRunning => Record::Unknown { address, message },
                    _ => Record::Failed { address, message },
                };
                self.append(&record).await?;
                Err(self.reported(&cx, fault).into())
            }
        }
    }

    /// Fields of `ignore_changes` as they are there, so that an update of others does not change them.
    pub(super) fn leave_ignored(&self, want: &mut Tree) {
        let (Some(block), Tree::Map(fields)) =
            (self.applying.spec.resources.get(&self.address), want)
        else {
            return;
        };
        for name in &block.lifecycle.ignore_changes {
            let live = [Ask::Read, Ask::Find].into_iter().find_map(|ask| {
                match self.applying.reality.get(&(self.address.clone(), ask))? {
                    Answer::Live(Some(live)) => live.fields.get(name).map(Tree::from_stored),
                    _ => None,
                }
            });
            let there = live.or_else(|| self.remembered()?.inputs.get(name).cloned());
            if let (Some(field), Some(there)) = (fields.get_mut(name), there)
                && is_plain(field)
            {
                *field = there;
            }
        }
    }

    /// With `on_exists: fail`: what could not be looked for when planning is looked for now.
    pub(super) async fn must_not_exist(&self, cx: &Cx, want: &Tree) -> Result<(), Fault> {
        let block = self.applying.spec.resources.get(&self.address);
        let looked = self.applying.reality.contains_key(&(self.address.clone(), Ask::Find));
        let ours = self.applying.journal.with_state(|state| {
            state.resources.contains_key(&self.address) || state.begun(&self.address).is_some()
        });
        if block.is_none_or(|block| block.on_exists != OnExists::Fail) || looked || ours {
            return Ok(());
        }
        match self.resource.find(cx, want).await? {
            None => Ok(()),
            Some(found) => Err(Fault::failed(format!(
                "`{}` exists already, as `{}`, and its `on_exists` is `fail`",
                self.address, found.id
            ))
            .help(
                "give it another name; or, if this is the one that is meant, leave `on_exists` out",
            )),
        }
    }

    pub(super) async fn try_act(
        &self,
        cx: &Cx,
        change: &Change,
        verb: Verb,
        want: &Tree,
        before: Option<Remembered>,
        mut prior: Option<Intent>,
    ) -> Result<Done<Tree>, Fault> {
        let mut retries = Retries::default();
        loop {
            let change = resource::Change {
                verb,
                want: want.clone(),
                before: before.clone(),
                fields: change.fields.iter().map(|field| field.name.clone()).collect(),
                prior: prior.clone(),
                confirmed: self.applying.confirmed.clone(),
            };
            cx.attempt();
            match self.resource.act(cx, change).await {
                // With its intent before it, an act looks for what became of the last try before it tries again.
                Err(fault) => {
                    retries.again(cx, fault).await?;
                    prior = self.applying.journal.with_state(|state| {
                        state.operations.get(&self.address).map(|op| op.intent.clone())
                    });
                }
                done => return done,
            }
        }
    }

    /// What is there now: as remembered, or as it was found when planning.
    pub(super) fn before(&self, change: &Change) -> Option<Remembered> {
        let found = self.around.own.as_ref().and_then(|handle| {
            let info = self.info()?;
            let id = handle.id.clone()?;
            let attrs = without_secrets(info, &Tree::Map(handle.attrs.clone()));
            Some(Remembered { id, attrs, ..Remembered::default() })
        });
        match (self.remembered(), found) {
            (Some(remembered), Some(found)) if change.kind == Kind::Managed => {
                Some(Remembered { id: found.id, attrs: found.attrs, ..remembered })
            }
            (Some(remembered), _) => Some(remembered),
            (None, found) => found,
        }
    }

    pub(super) async fn delete(&self) -> Result<Ended, Stop> {
        let cx = self.cx("destroying");
        let Some(entry) =
            self.applying.journal.with_state(|state| state.resources.get(&self.address).cloned())
        else {
            return Ok(Ended::Done { handle: None, action: None });
        };
        let Entry { remembered, type_name, kind, .. } = entry;
        let inputs = remembered.inputs.clone();
        let intent = Intent {
            verb: Verb::Delete,
            inputs,
            at: cx.now(),
            notes: Json::Null,
            before: Some(remembered.clone()),
        };
        let under = self.under(&cx);
        let operation =
            Operation { type_name, intent, under, outcome: Outcome::Begun, carried: false };
        let operation = Box::new(operation);
        self.append(&Record::Intent { address: self.address.clone(), operation }).await?;
        self.started(&cx, Some(&remembered.id));
        let limit = self.limit("delete");
        let cx = limit.stoppable(&cx);
        match limit.hold(&cx, self.resource.delete(&cx, &remembered)).await {
            Ok(()) => {
                self.append(&Record::Forgot { address: self.address.clone() }).await?;
                self.succeeded(&cx, None);
                Ok(Ended::Done { handle: None, action: Some(Action::Delete) })
            }
            Err(fault) => {
                let (address, message) = (self.address.clone(), fault.chain());
                // Of what a run left, another deletion is all that can follow.
                let record = match fault.class {
                    Class::Unknown if kind == Kind::Managed => Record::Unknown { address, message },
                    _ => Record::Failed { address, message },
                };
                self.append(&record).await?;
                Err(self.reported(&cx, fault).into())
            }
        }
    }
}

/// Whether what is remembered of a value is all of it: secrets are masked there, whole resources known by identity.
fn is_plain(tree: &Tree) -> bool {
    match tree {
        Tree::Secret(_) | Tree::Resource(_) | Tree::Unknown => false,
        Tree::List(items) => items.iter().all(is_plain),
        Tree::Map(map) => map.values().all(is_plain),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => true,
    }
}

/// A field with a value in it that nobody knows. It would be stored as nothing. What is not known of a whole resource
/// that is handed on is for whoever takes it to judge.
fn unknown_field(want: &Tree) -> Option<&str> {
    fn unknown(tree: &Tree) -> bool {
        match tree {
            Tree::Unknown => true,
            Tree::List(items) => items.iter().any(unknown),
            Tree::Map(map) => map.values().any(unknown),
            _ => false,
        }
    }
    let Tree::Map(fields) = want else { return None };
    fields.iter().find(|(_, value)| unknown(value)).map(|(name, _)| name.as_str())
}
