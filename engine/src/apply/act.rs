//! One step of the walk, outside the walk's own thread: effect, records around it, events about it.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::walk::failure;
use super::{Applying, Failure};
use crate::address::Address;
use crate::cx::Cx;
use crate::event::Event;
use crate::fault::{Class, Fault};
use crate::finding::Severity;
use crate::info::{Kind, TypeInfo};
use crate::plan::{Action, Answer, Ask, Change, StepKind};
use crate::resource::{AnyResource, Done, Remembered, Settled, Verb};
use crate::state::Record;
use crate::state::journal::Durability;
use crate::state::{SECRET_IN_CLEAR, StateError};
use crate::tree::{Fields, Handle, Handles, Tree};

mod effect;
pub(super) mod limit;
mod memory;
mod removal;
mod scope;

use limit::Limit;

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
    pub(super) handles: Handles,
    /// Itself, as it was found when planning.
    pub(super) own: Option<Arc<Handle>>,
    /// What is planned for it, if this is the step that does it.
    pub(super) change: Option<Change>,
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
        match cause {
            // The others can still be recorded.
            StateError::GivesAway { .. } => Self::Fault(unstorable(&cause)),
            cause => Self::Journal(cause),
        }
    }
}

/// The failure of something that cannot be remembered without giving a secret away.
fn unstorable(cause: &StateError) -> Fault {
    Fault::failed(cause.to_string()).help(SECRET_IN_CLEAR)
}

struct Acting {
    applying: Arc<Applying>,
    address: Address,
    type_name: String,
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
    let type_name = match (&around.change, applying.plan.scopes.get(&address)) {
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
    let acting = Acting { type_name, resource, around, address, applying: Arc::clone(&applying) };
    let result = match what {
        StepKind::Gate => acting.gate().await,
        StepKind::Open => acting.open().await,
        StepKind::Close => acting.close().await,
        StepKind::Delete => acting.delete().await,
        StepKind::Act => acting.change().await,
        StepKind::Remove => acting.remove_after_use().await,
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
    fn info(&self) -> Option<&TypeInfo> {
        self.applying.catalog.get(&self.type_name)
    }

    fn cx(&self, verb: &'static str) -> Cx {
        Cx::new(self.applying.world.clone(), self.address.clone(), verb)
    }

    /// How long an act may take, by its key under `timeouts:`.
    fn limit(&self, key: &'static str) -> Limit {
        Limit::of(&self.applying.spec, &self.address, key)
    }

    async fn append(&self, record: &Record) -> Result<(), StateError> {
        let internal = self.info().is_some_and(|info| info.traits.internal);
        let durability = if internal { Durability::Batched } else { Durability::Synced };
        self.applying.journal.appended(record, durability).await
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
        let resolve = |address: &Address| self.around.handles.get(address);
        let mut fields: Fields = block
            .fields
            .iter()
            .map(|(name, field)| (name.clone(), field.evaluate(&resolve)))
            .collect();
        if let Some(info) = self.info() {
            info.put_defaults(&mut fields);
        }
        let refers = fields.values().any(|tree| matches!(tree, Tree::Resource(_)));
        let managed = self.info().is_some_and(|i| i.kind == Kind::Managed && !i.traits.internal);
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
        let Some(change) = &self.around.change else {
            return Err(Fault::bug(format!("`{}` has a step but no change", self.address)).into());
        };
        match change.action {
            Action::Read => self.look_up().await,
            Action::Settle => self.settle().await,
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
        self.write_down(&want, &done, None).await?;
        Ok(Ended::Done { handle: Some(self.handle(&done)), action: None })
    }

    async fn settle(&self) -> Result<Ended, Stop> {
        let key = (self.address.clone(), Ask::Settle);
        let Some(Answer::Settled(Settled::Done(done))) = self.applying.reality.get(&key) else {
            return Err(Fault::bug("a settled run without its result").into());
        };
        let operation =
            self.applying.journal.with_state(|state| state.operations.get(&self.address).cloned());
        let inputs = operation.as_ref().map_or(Tree::Null, |op| op.intent.inputs.clone());
        self.write_down(&inputs, done, operation.map(|op| op.under)).await?;
        Ok(Ended::Done { handle: Some(self.handle(done)), action: Some(Action::Settle) })
    }

    async fn import(&self) -> Result<Ended, Stop> {
        let (want, _) = self.want(false).await?;
        let own = self.around.own.as_ref();
        let Some((id, attrs)) = own.and_then(|own| Some((own.id.clone()?, own.attrs.clone())))
        else {
            return Err(Fault::bug("an import of what was not found").into());
        };
        let done = Done { id, attrs: Tree::Map(attrs), memory: Json::Null };
        self.write_down(&want, &done, None).await?;
        Ok(Ended::Done { handle: Some(self.handle(&done)), action: Some(Action::Import) })
    }
}

/// Attributes as they may be stored: the secret ones left out, whatever else is secret masked.
pub(crate) fn without_secrets(info: &TypeInfo, attrs: &Tree) -> Tree {
    let Tree::Map(map) = attrs else { return Tree::Null };
    let kept =
        map.iter().filter(|(name, tree)| !info.is_secret(name) && !matches!(tree, Tree::Secret(_)));
    Tree::Map(kept.map(|(name, tree)| (name.clone(), tree.stored())).collect())
}
