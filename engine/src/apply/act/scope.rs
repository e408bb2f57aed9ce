//! Scopes: opened with what closing needs written down first, closed with nothing but that.

use serde_json::Value as Json;

use super::{Acting, Ended, Stop};
use crate::apply::closing;
use crate::apply::retries::Retries;
use crate::cx::Cx;
use crate::fault::{Class, Fault};
use crate::resource::{Done, Intent, Verb};
use crate::state::{Record, ScopeStatus};
use crate::tree::Tree;

impl Acting {
    pub(super) async fn open(&self) -> Result<Ended, Stop> {
        let cx = self.cx("opening");
        let (want, _) = self.want(false).await?;
        let Some(scope) = self.applying.plan.scopes.get(&self.address) else {
            return Err(Fault::bug("an opening that is not planned").into());
        };
        let prior = self.applying.journal.with_state(|state| {
            let known = state.scopes.get(&self.address).filter(|scope| scope.is_open());
            known.map(|scope| scope.intent.clone())
        });
        let was_open = prior.is_some();
        let intent = Intent {
            verb: Verb::Open,
            inputs: want.stored(),
            at: prior.as_ref().map_or_else(|| cx.now(), |prior| prior.at),
            notes: prior.as_ref().map_or(Json::Null, |prior| prior.notes.clone()),
            before: None,
        };
        self.append(&Record::Opening {
            address: self.address.clone(),
            type_name: scope.type_name.clone(),
            epoch: scope.epoch,
            intent: Box::new(intent),
        })
        .await?;
        self.started(&cx, None);
        let limit = self.limit("create");
        let cx = limit.stoppable(&cx);
        match limit.hold(&cx, self.try_open(&cx, &want, prior)).await {
            Ok(done) => {
                self.succeeded(&cx, Some(&done.id));
                Ok(Ended::Done { handle: Some(self.handle(&done)), action: None })
            }
            Err(fault) => {
                let (address, message) = (self.address.clone(), fault.chain());
                self.append(&Record::NotOpened { address, message }).await?;
                let fault = self.reported(&cx, fault);
                if fault.class == Class::Gone && was_open {
                    self.end_epoch().await?;
                }
                Err(fault.into())
            }
        }
    }

    /// Somebody else has closed it, at least in part: what was done under it is done again under the next epoch. The rest
    /// of it is put back.
    async fn end_epoch(&self) -> Result<(), Stop> {
        let scope =
            self.applying.journal.with_state(|state| state.scopes.get(&self.address).cloned());
        let Some(scope) = scope else { return Ok(()) };
        let (cx, resource) = (self.cx("closing"), self.resource.as_ref());
        closing::close(&self.applying, &cx, resource, &scope, false).await.map_err(Stop::from)
    }

    async fn try_open(
        &self,
        cx: &Cx,
        want: &Tree,
        mut prior: Option<Intent>,
    ) -> Result<Done<Tree>, Fault> {
        let mut retries = Retries::default();
        loop {
            match self.resource.open(cx, want, prior.as_ref()).await {
                Err(fault) => {
                    retries.again(cx, fault).await?;
                    prior = self.applying.journal.with_state(|state| {
                        state.scopes.get(&self.address).map(|scope| scope.intent.clone())
                    });
                }
                done => return done,
            }
        }
    }

    pub(super) async fn close(&self) -> Result<Ended, Stop> {
        let cx = self.cx("closing");
        let scope =
            self.applying.journal.with_state(|state| state.scopes.get(&self.address).cloned());
        let Some(scope) =
            scope.filter(|scope| !matches!(scope.status, ScopeStatus::Released { .. }))
        else {
            return Ok(Ended::Done { handle: None, action: None });
        };
        closing::close(&self.applying, &cx, self.resource.as_ref(), &scope, self.around.complete)
            .await
            .map(|()| Ended::Done { handle: None, action: None })
            .map_err(Stop::from)
    }
}

impl From<closing::Stop> for Stop {
    fn from(stop: closing::Stop) -> Self {
        match stop {
            closing::Stop::Fault(fault) => Self::Fault(fault),
            closing::Stop::Journal(cause) => Self::Journal(cause),
        }
    }
}
