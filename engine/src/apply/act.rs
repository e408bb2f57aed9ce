//! One step of the walk, outside the walk's own thread: effect, records around it, events about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::walk::{dependencies, failure};
use super::{Applying, FIRST_PAUSE, Failure, TRIES};
use crate::address::Address;
use crate::cx::Cx;
use crate::event::Event;
use crate::fault::{Class, Fault};
use crate::finding::Severity;
use crate::info::{FieldRole, Kind, TypeInfo};
use crate::plan::{Action, Answer, Ask, Change, StepKind};
use crate::resource::{self, AnyResource, Done, Intent, Remembered, Settled, Verb};
use crate::spec::OnExists;
use crate::state::file::StateError;
use crate::state::journal::Durability;
use crate::state::{DoneUnder, Entry, Expanded, Operation, Outcome, Record, ScopeStatus};
use crate::tree::{Handle, Tree};

/// How a step ended.
pub(super) enum Ended {
    Done {
        handle: Option<Handle>,
        action: Option<Action>,
    },
    Failed {
        failure: Failure,
        elsewhere: bool,
        handle: Option<Handle>,
    },
    /// The record could not be written: everything stops.
    Journal(StateError),
}

/// What a step knows of the others.
pub(super) struct Surroundings {
    pub(super) handles: BTreeMap<Address, Handle>,
    /// Itself, as it was found when planning.
    pub(super) own: Option<Handle>,
    /// The windows and freezes that it is under.
    pub(super) windows: Vec<Address>,
    /// Of a scope that closes: everything under it is done.
    pub(super) complete: bool,
}

/// A step's failure: of the resource, or of the record.
enum Stop {
    Fault(Fault),
    Journal(StateError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StateError> for Stop {
    fn from(cause: StateError) -> Self {
        Self::Journal(cause)
    }
}

struct Acting {
    applying: Arc<Applying>,
    address: Address,
    info: Option<TypeInfo>,
    resource: Arc<dyn AnyResource>,
    around: Surroundings,
}

/// Carries out step `index`.
pub(super) async fn act(applying: Arc<Applying>, index: usize, around: Surroundings) -> Ended {
    let step = &applying.plan.steps[index];
    let (address, what) = (step.address.clone(), step.what);
    if what == StepKind::Forget {
        let record = Record::Forgot { address };
        return match applying.journal.append(&record, Durability::Batched) {
            Ok(()) => Ended::Done { handle: None, action: Some(Action::Forget) },
            Err(cause) => Ended::Journal(cause),
        };
    }
    let type_name = match (applying.plan.changes.get(&address), applying.plan.scopes.get(&address))
    {
        (_, Some(scope)) => scope.type_name.clone(),
        (Some(change), None) => change.type_name.clone(),
        (None, None) => {
            applying.spec.resources.get(&address).map(|b| b.type_name.clone()).unwrap_or_default()
        }
    };
    let Some(resource) = applying.resources.get(&type_name).cloned() else {
        let fault = Fault::failed(format!("no provider is connected for `{type_name}`"));
        return Ended::Failed {
            failure: failure(&address, &fault),
            elsewhere: false,
            handle: None,
        };
    };
    let info = applying.catalog.get(&type_name).cloned();
    let acting = Acting { info, resource, around, address, applying: Arc::clone(&applying) };
    let result = match what {
        StepKind::Gate => acting.gate().await,
        StepKind::Open => acting.open().await,
        StepKind::Close => acting.close().await,
        StepKind::Delete => acting.delete().await,
        StepKind::Act => acting.change().await,
        StepKind::Pass | StepKind::Forget => Ok(Ended::Done { handle: None, action: None }),
    };
    match result {
        Ok(ended) => ended,
        Err(Stop::Journal(cause)) => Ended::Journal(cause),
        Err(Stop::Fault(fault)) => {
            let elsewhere = matches!(fault.class, Class::Unknown | Class::StillRunning);
            Ended::Failed { failure: failure(&acting.address, &fault), elsewhere, handle: None }
        }
    }
}

impl Acting {
    fn cx(&self, verb: &'static str) -> Cx {
        Cx::new(self.applying.world.clone(), self.address.clone(), verb)
    }

    fn append(&self, record: &Record) -> Result<(), StateError> {
        let internal = self.info.as_ref().is_some_and(|info| info.traits.internal);
        let durability = if internal { Durability::Batched } else { Durability::Synced };
        self.applying.journal.append(record, durability)
    }

    fn started(&self, cx: &Cx, id: Option<&str>) {
        cx.world.sink.event(Event::Started {
            address: self.address.clone(),
            verb: cx.verb,
            id: id.map(str::to_owned),
        });
    }

    fn succeeded(&self, cx: &Cx, id: Option<&str>) {
        cx.world.sink.event(Event::Succeeded {
            address: self.address.clone(),
            verb: cx.verb,
            elapsed: cx.elapsed(),
            id: id.map(str::to_owned),
        });
    }

    fn reported(&self, cx: &Cx, fault: Fault) -> Fault {
        let (address, verb, elapsed) = (self.address.clone(), cx.verb, cx.elapsed());
        let message = fault.chain();
        cx.world.sink.event(match fault.class {
            Class::Unknown | Class::StillRunning => {
                Event::Unsettled { address, verb, elapsed, message }
            }
            _ => Event::Failed { address, verb, elapsed, message, help: fault.help.clone() },
        });
        fault
    }

    /// The fields, with everything put in that is known by now.
    async fn want(&self, expand: bool) -> Result<(Tree, Option<IndexMap<String, Json>>), Fault> {
        let Some(block) = self.applying.spec.resources.get(&self.address) else {
            return Ok((Tree::Null, None));
        };
        let resolve = |address: &Address| match self.around.handles.get(address) {
            Some(handle) => Tree::Resource(Box::new(handle.clone())),
            None => Tree::Unknown,
        };
        let mut fields: IndexMap<String, Tree> = block
            .fields
            .iter()
            .map(|(name, field)| (name.clone(), field.evaluate(&resolve)))
            .collect();
        if let Some(info) = &self.info {
            info.put_defaults(&mut fields);
        }
        let refers = fields.values().any(|tree| matches!(tree, Tree::Resource(_)));
        let managed =
            self.info.as_ref().is_some_and(|i| i.kind == Kind::Managed && !i.traits.internal);
        let mut expanded = None;
        if managed && refers {
            let remembered = self.applying.journal.with_state(|state| {
                let entry = state.resources.get(&self.address);
                entry
                    .and_then(|entry| entry.expanded.clone())
                    .filter(|e| e.run == self.applying.spec.run)
            });
            let key = (self.address.clone(), Ask::Expand);
            expanded = match (self.applying.reality.get(&key), remembered) {
                (Some(Answer::Expanded(fields)), _) => fields.clone(),
                (_, Some(remembered)) => Some(remembered.fields),
                _ if expand => {
                    self.resource.expand(&self.cx("reading"), &Tree::Map(fields.clone())).await?
                }
                _ => None,
            };
            for (name, json) in expanded.iter().flatten() {
                fields.entry(name.clone()).or_insert_with(|| Tree::from_json(json));
            }
        }
        Ok((Tree::Map(fields), expanded))
    }

    async fn gate(&self) -> Result<Ended, Stop> {
        let (want, _) = self.want(false).await?;
        let cx = self.cx("checking");
        let remembered = self.remembered();
        let facts = self.resource.inspect(&cx, &want, remembered.as_ref()).await;
        let facts = facts.map_err(|fault| self.reported(&cx, fault))?;
        let Some(facts) = facts else { return Ok(Ended::Done { handle: None, action: None }) };
        let findings = self.resource.judge(&want, &facts, &self.applying.confirmed);
        let mut errors = Vec::new();
        for finding in findings {
            let known = self.applying.plan.findings.iter().any(|known| known.finding == finding);
            match finding.severity {
                Severity::Error => errors.push(finding),
                _ if known => {}
                _ => {
                    let address = self.address.clone();
                    cx.world.sink.event(Event::Finding { address, finding });
                }
            }
        }
        if errors.is_empty() {
            return Ok(Ended::Done { handle: None, action: None });
        }
        let message =
            errors.iter().map(|f| format!("[{}] {}", f.code, f.message)).collect::<Vec<_>>();
        let mut fault = Fault::failed(message.join("; "));
        fault.help = errors.into_iter().find_map(|finding| finding.help);
        Err(self.reported(&cx, fault).into())
    }

    fn remembered(&self) -> Option<Remembered> {
        self.applying.journal.with_state(|state| {
            state.resources.get(&self.address).map(|entry| entry.remembered.clone())
        })
    }

    async fn change(&self) -> Result<Ended, Stop> {
        let Some(change) = self.applying.plan.changes.get(&self.address) else {
            return Err(Fault::bug(format!("`{}` has a step but no change", self.address)).into());
        };
        match change.action {
            Action::Read => self.look_up().await,
            Action::Settle => self.settle(),
            Action::Import if change.fields.is_empty() => self.import().await,
            Action::Replace => {
                self.delete().await?;
                self.effect(change, Verb::Create, "replacing").await
            }
            Action::Import | Action::Update => self.effect(change, Verb::Update, "modifying").await,
            Action::Run => self.effect(change, Verb::Run, "running").await,
            _ => self.effect(change, Verb::Create, "creating").await,
        }
    }

    async fn effect(&self, change: &Change, verb: Verb, word: &'static str) -> Result<Ended, Stop> {
        let cx = self.cx(word);
        let (mut want, expanded) =
            self.want(true).await.map_err(|fault| self.reported(&cx, fault))?;
        if verb == Verb::Update {
            self.leave_ignored(&mut want);
        }
        if change.action == Action::Create {
            self.must_not_exist(&cx, &want).await.map_err(|fault| self.reported(&cx, fault))?;
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
            inputs: want.storable(),
            at: begun,
            notes: prior.as_ref().map_or(Json::Null, |prior| prior.notes.clone()),
            before: before.clone(),
        };
        let carried = !change.takes_up && !intent.notes.is_null();
        let type_name = change.type_name.clone();
        let operation =
            Operation { type_name, intent, under: under.clone(), outcome: Outcome::Begun, carried };
        let operation = Box::new(operation);
        self.append(&Record::Intent { address: self.address.clone(), operation })?;
        self.started(&cx, before.as_ref().map(|b| b.id.as_str()));
        let result = self.try_act(&cx, change, verb, &want, before, prior).await;
        match result {
            Ok(done) => {
                let entry = self.entry(change, &want, &done, expanded, Some(under));
                self.append(&Record::Succeeded {
                    address: self.address.clone(),
                    entry: Box::new(entry),
                })?;
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
                self.append(&record)?;
                Err(self.reported(&cx, fault).into())
            }
        }
    }

    /// Fields of `ignore_changes` as they are there, so that an update of others does not change them.
    fn leave_ignored(&self, want: &mut Tree) {
        let (Some(block), Tree::Map(fields)) =
            (self.applying.spec.resources.get(&self.address), want)
        else {
            return;
        };
        for name in &block.lifecycle.ignore_changes {
            let live = [Ask::Read, Ask::Find].into_iter().find_map(|ask| {
                match self.applying.reality.get(&(self.address.clone(), ask))? {
                    Answer::Live(Some(live)) => live.fields.get(name).cloned(),
                    _ => None,
                }
            });
            let there = live.or_else(|| self.remembered()?.inputs.get(name).cloned());
            if let (Some(field), Some(there)) = (fields.get_mut(name), there)
                && is_plain(field)
            {
                *field = Tree::from_json(&there);
            }
        }
    }

    /// With `on_exists: fail`: what could not be looked for when planning is looked for now.
    async fn must_not_exist(&self, cx: &Cx, want: &Tree) -> Result<(), Fault> {
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

    async fn try_act(
        &self,
        cx: &Cx,
        change: &Change,
        verb: Verb,
        want: &Tree,
        before: Option<Remembered>,
        mut prior: Option<Intent>,
    ) -> Result<Done<Tree>, Fault> {
        let mut pause = FIRST_PAUSE;
        for tried in 1.. {
            let change = resource::Change {
                verb,
                want: want.clone(),
                before: before.clone(),
                fields: change.fields.iter().map(|field| field.name.clone()).collect(),
                prior: prior.clone(),
                confirmed: self.applying.confirmed.clone(),
            };
            match self.resource.act(cx, change).await {
                Err(fault) if matches!(fault.class, Class::Retry { .. }) && tried < TRIES => {
                    let after = match fault.class {
                        Class::Retry { after: Some(after) } => after,
                        _ => pause,
                    };
                    self.retrying(cx, &fault, after);
                    cx.sleep(after).await?;
                    pause *= 2;
                    prior = self.applying.journal.with_state(|state| {
                        state.operations.get(&self.address).map(|op| op.intent.clone())
                    });
                }
                ended => return ended,
            }
        }
        Err(Fault::bug("counted past the last try"))
    }

    fn retrying(&self, cx: &Cx, fault: &Fault, after: Duration) {
        let address = self.address.clone();
        cx.world.sink.event(Event::Retrying { address, message: fault.chain(), after });
    }

    /// What is there now: as remembered, or as it was found when planning.
    fn before(&self, change: &Change) -> Option<Remembered> {
        let found = self.around.own.as_ref().and_then(|handle| {
            let info = self.info.as_ref()?;
            let id = handle.id.clone()?;
            let attrs = without_secrets(info, &Tree::Map(handle.attrs.clone()));
            Some(Remembered { id, attrs, inputs: Json::Null, memory: Json::Null })
        });
        match (self.remembered(), found) {
            (Some(remembered), Some(found)) if change.kind == Kind::Managed => {
                Some(Remembered { id: found.id, attrs: found.attrs, ..remembered })
            }
            (Some(remembered), _) => Some(remembered),
            (None, found) => found,
        }
    }

    /// The run label and the epochs of the windows above, as of now.
    fn under(&self, cx: &Cx) -> DoneUnder {
        let epochs = self.applying.journal.with_state(|state| {
            // One that is not open, because nothing directly under it has work, vouches for nothing.
            let epoch = |window: &Address| {
                let scope = state.scopes.get(window).filter(|scope| scope.is_open())?;
                Some((window.clone(), scope.epoch))
            };
            self.around.windows.iter().filter_map(epoch).collect()
        });
        DoneUnder { run: self.applying.spec.run.clone(), at: cx.now(), epochs }
    }

    fn entry(
        &self,
        change: &Change,
        want: &Tree,
        done: &Done<Tree>,
        expanded: Option<IndexMap<String, Json>>,
        under: Option<DoneUnder>,
    ) -> Entry {
        let block = self.applying.spec.resources.get(&self.address);
        let traits = self.info.as_ref().map(|info| info.traits);
        let on_remove = block.and_then(|block| block.on_remove);
        let run = self.applying.spec.run.clone();
        Entry {
            type_name: change.type_name.clone(),
            kind: change.kind,
            remembered: Remembered {
                id: done.id.clone(),
                inputs: want.storable(),
                attrs: self.info.as_ref().map_or(Json::Null, |i| without_secrets(i, &done.attrs)),
                memory: done.memory.clone(),
            },
            dependencies: dependencies(&self.applying, &self.address),
            on_remove: on_remove
                .or(traits.map(|t| t.on_remove))
                .unwrap_or(crate::info::OnRemove::Keep),
            prevent_destroy: block.is_some_and(|block| block.lifecycle.prevent_destroy),
            expanded: expanded.map(|fields| Expanded { run, fields }),
            done: under.filter(|_| change.kind == Kind::Run),
        }
    }

    fn handle(&self, done: &Done<Tree>) -> Handle {
        let attrs = match &done.attrs {
            Tree::Map(map) => map.clone(),
            _ => IndexMap::new(),
        };
        Handle { address: self.address.clone(), id: Some(done.id.clone()), attrs }
    }

    /// What was shown must be what came about, wherever an attribute repeats a field.
    fn broken_promise(&self, change: &Change, done: &Done<Tree>) -> Option<Fault> {
        let info = self.info.as_ref().filter(|info| info.kind == Kind::Managed)?;
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
                && came.storable() != *planned
                && !planned.is_null()
            {
                let came = came.storable();
                return Some(Fault::bug(format!(
                    "`{}` planned `{}` as {planned} for `{}` and brought about {came}",
                    info.name, field.name, self.address
                )));
            }
        }
        None
    }

    async fn look_up(&self) -> Result<Ended, Stop> {
        let cx = self.cx("reading");
        let (want, _) = self.want(false).await?;
        self.started(&cx, None);
        let read = self.resource.read(&cx, &want, None).await;
        let live = read.map_err(|fault| self.reported(&cx, fault))?;
        let Some(live) = live else {
            let fault = Fault::failed(format!("`{}` is not there", self.address));
            return Err(self.reported(&cx, fault).into());
        };
        self.succeeded(&cx, Some(&live.id));
        let done = Done { id: live.id, attrs: live.attrs, memory: Json::Null };
        self.write_down(&want, &done, None)?;
        Ok(Ended::Done { handle: Some(self.handle(&done)), action: None })
    }

    fn settle(&self) -> Result<Ended, Stop> {
        let key = (self.address.clone(), Ask::Settle);
        let Some(Answer::Settled(Settled::Done(done))) = self.applying.reality.get(&key) else {
            return Err(Fault::bug("a settled run without its result").into());
        };
        let operation =
            self.applying.journal.with_state(|state| state.operations.get(&self.address).cloned());
        let inputs = operation.as_ref().map_or(Json::Null, |op| op.intent.inputs.clone());
        self.write_down(&Tree::from_json(&inputs), done, operation.map(|op| op.under))?;
        Ok(Ended::Done { handle: Some(self.handle(done)), action: Some(Action::Settle) })
    }

    async fn import(&self) -> Result<Ended, Stop> {
        let (want, _) = self.want(false).await?;
        let Some(Handle { id: Some(id), attrs, .. }) = self.around.own.clone() else {
            return Err(Fault::bug("an import of what was not found").into());
        };
        let done = Done { id, attrs: Tree::Map(attrs), memory: Json::Null };
        self.write_down(&want, &done, None)?;
        Ok(Ended::Done { handle: Some(self.handle(&done)), action: Some(Action::Import) })
    }

    fn write_down(
        &self,
        want: &Tree,
        done: &Done<Tree>,
        under: Option<DoneUnder>,
    ) -> Result<(), StateError> {
        let Some(change) = self.applying.plan.changes.get(&self.address) else { return Ok(()) };
        let key = (self.address.clone(), Ask::Expand);
        let expanded = match self.applying.reality.get(&key) {
            Some(Answer::Expanded(expanded)) => expanded.clone(),
            _ => None,
        };
        let entry = Box::new(self.entry(change, want, done, expanded, under));
        self.append(&Record::Succeeded { address: self.address.clone(), entry })
    }

    async fn delete(&self) -> Result<Ended, Stop> {
        let cx = self.cx("destroying");
        let Some(entry) =
            self.applying.journal.with_state(|state| state.resources.get(&self.address).cloned())
        else {
            return Ok(Ended::Done { handle: None, action: None });
        };
        let Entry { remembered, type_name, .. } = entry;
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
        self.append(&Record::Intent { address: self.address.clone(), operation })?;
        self.started(&cx, Some(&remembered.id));
        match self.resource.delete(&cx, &remembered).await {
            Ok(()) => {
                self.append(&Record::Forgot { address: self.address.clone() })?;
                self.succeeded(&cx, None);
                Ok(Ended::Done { handle: None, action: Some(Action::Delete) })
            }
            Err(fault) => {
                let (address, message) = (self.address.clone(), fault.chain());
                self.append(&Record::Failed { address, message })?;
                Err(self.reported(&cx, fault).into())
            }
        }
    }

    async fn open(&self) -> Result<Ended, Stop> {
        let cx = self.cx("opening");
        let (want, _) = self.want(false).await?;
        let Some(scope) = self.applying.plan.scopes.get(&self.address) else {
            return Err(Fault::bug("an opening that is not planned").into());
        };
        let prior = self.applying.journal.with_state(|state| {
            let known = state.scopes.get(&self.address).filter(|scope| scope.is_open());
            known.map(|scope| scope.intent.clone())
        });
        let intent = Intent {
            verb: Verb::Open,
            inputs: want.storable(),
            at: prior.as_ref().map_or_else(|| cx.now(), |prior| prior.at),
            notes: prior.as_ref().map_or(Json::Null, |prior| prior.notes.clone()),
            before: None,
        };
        self.append(&Record::Opening {
            address: self.address.clone(),
            type_name: scope.type_name.clone(),
            epoch: scope.epoch,
            intent: Box::new(intent),
        })?;
        self.started(&cx, None);
        match self.resource.open(&cx, &want, prior.as_ref()).await {
            Ok(done) => {
                self.succeeded(&cx, Some(&done.id));
                Ok(Ended::Done { handle: Some(self.handle(&done)), action: None })
            }
            Err(fault) => {
                let (address, message) = (self.address.clone(), fault.chain());
                self.append(&Record::NotOpened { address, message })?;
                Err(self.reported(&cx, fault).into())
            }
        }
    }

    async fn close(&self) -> Result<Ended, Stop> {
        let cx = self.cx("closing");
        let scope =
            self.applying.journal.with_state(|state| state.scopes.get(&self.address).cloned());
        let Some(scope) =
            scope.filter(|scope| !matches!(scope.status, ScopeStatus::Released { .. }))
        else {
            return Ok(Ended::Done { handle: None, action: None });
        };
        super::closing::close(
            &self.applying,
            &cx,
            self.resource.as_ref(),
            &scope,
            self.around.complete,
        )
        .await
        .map(|()| Ended::Done { handle: None, action: None })
        .map_err(|stop| match stop {
            super::closing::Stop::Fault(fault) => Stop::Fault(fault),
            super::closing::Stop::Journal(cause) => Stop::Journal(cause),
        })
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

/// Attributes as they may be stored: the secret ones left out, whatever else is secret masked.
pub(super) fn without_secrets(info: &TypeInfo, attrs: &Tree) -> Json {
    let Tree::Map(map) = attrs else { return Json::Null };
    let kept =
        map.iter().filter(|(name, tree)| !info.is_secret(name) && !matches!(tree, Tree::Secret(_)));
    Json::Object(kept.map(|(name, tree)| (name.clone(), tree.storable())).collect::<Map<_, _>>())
}
