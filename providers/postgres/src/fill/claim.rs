//! The claim on a target: noted before it is changed, and what is left there known afterwards, come what may.
//!
//! A run that fails, is stopped or dies is begun anew by the next one, which knows from the notes that what is there is
//! ours. Tested in `tests/copy.rs` and `tests/restore.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;

use pgferry_engine::cx::{Cx, World};
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Intent, Remembered};
use serde_json::{Value as Json, json};

use super::notes::Notes;
use super::written::Written;
use super::{empty, guard};
use crate::connect::{Access, Format, Session, connect};
use crate::target::{Emptying, Known, Look, Object, Occupancy, Rows, judge_occupancy, occupancy};

/// A target that may be emptied and filled.
pub(crate) struct Claim<'a> {
    cx: &'a Cx,
    /// What sessions of this address are called, in this and in every other attempt.
    pub(crate) name: String,
    /// The database, as notes and memory name it.
    pub(crate) place: String,
    into: &'a Endpoint,
    /// Where else its sessions are.
    from: Option<&'a Endpoint>,
    pristine: bool,
    /// What was there before our first run, and stays.
    prepared: BTreeSet<String>,
    /// The fingerprint before this attempt.
    found: Json,
    /// What is put into tables.
    pub(crate) written: Arc<Written>,
}

impl<'a> Claim<'a> {
    /// Ends what an earlier attempt has left, makes sure that the target may be replaced, and notes that it will be.
    /// `name` is that of the run's sessions; `from` and `source` the other end, if it is a server.
    ///
    /// # Errors
    /// [`Class::Rejected`] if `confirm` names something else, [`Class::Conflict`] if it holds what is not ours.
    pub(crate) async fn take<S>(
        cx: &'a Cx,
        name: String,
        (into, target): (&'a Endpoint, &Session),
        source: Option<(&'a Endpoint, &Session)>,
        confirm: &str,
        change: &Change<S>,
        brought: Vec<String>,
    ) -> Result<Self, Fault> {
        let names = guard::names(into, &target.location);
        let address = into.address.to_string();
        if let Some(finding) = guard::misnamed(confirm, &address, &names) {
            return Err(finding.into_fault(Class::Rejected));
        }
        cx.effect("end sessions")?;
        for session in source.iter().map(|(_, session)| *session).chain([target]) {
            empty::end_sessions(cx, session, &name).await?;
        }
        let earlier = change.prior.as_ref().map(Notes::of).unwrap_or_default();
        let place = place(target);
        let known = earlier.known(&place, change.before.as_ref());
        let found = occupancy(into, cx, &known, Look::Judge).await?;
        let named = (address.as_str(), names.as_slice());
        let (accepted, ours) = (&known.accepted, found.is_begun(&known));
        let refused =
            judge_occupancy(&found, accepted, ours, Emptying::Ours, named, &change.confirmed);
        if let Some(finding) = refused {
            return Err(finding.into_fault(Class::Conflict));
        }
        let pristine = found.is_empty() && earlier.target.is_none() && change.before.is_none();
        let prepared = prepared(&found, &brought);
        let mut found = found.fingerprint;
        found["prepared"] = json!(prepared);
        let notes =
            Notes { target: Some(place.clone()), found: Some(found.clone()), brought, left: None };
        cx.note(notes.json()?)?;
        let from = source.map(|(from, _)| from);
        Ok(Self { cx, name, place, into, from, pristine, prepared, found, written: Arc::default() })
    }

    /// Empties the target in the session `target`, lets `filling` fill it until it has or the user asks to stop, and
    /// gives the fingerprint of what is there then.
    ///
    /// # Errors
    /// Those of `filling`; what is left is noted then, if it can be known.
    pub(crate) async fn fill<T>(
        &self,
        target: Session,
        filling: impl Future<Output = Result<T, Fault>>,
    ) -> Result<(T, Json), Fault> {
        let cx = self.cx;
        let filling = async {
            if !self.pristine {
                cx.effect("empty target")?;
                empty::empty(&target, &self.prepared).await?;
            }
            drop(target);
            filling.await
        };
        let filled = tokio::select! {
            filled = filling => filled,
            () = cx.world.cancel.cancelled() => Err(crate::interrupted()),
        };
        let left = self.fingerprint(filled.is_ok()).await;
        match filled {
            Ok(filled) => Ok((filled, left?)),
            Err(fault) => {
                // Without it, the next attempt takes what is there for ours, as after a crash.
                if let Ok(left) = left {
                    cx.note(json!({ "left": left }))?;
                }
                Err(fault)
            }
        }
    }

    /// The target's fingerprint, once no session of ours can change it any more. Ctrl-C does not stop it. What was written is
    /// known only if all of it `is_there`.
    async fn fingerprint(&self, is_there: bool) -> Result<Json, Fault> {
        let world = World { cancel: Default::default(), ..self.cx.world.clone() };
        let cx = &Cx::new(world, self.cx.address.clone(), self.cx.verb);
        for endpoint in self.from.into_iter().chain([self.into]) {
            let session = connect(endpoint, Access::ReadOnly, Format::Own).await?;
            empty::end_sessions(cx, &session, &self.name).await?;
        }
        let written = if is_there { self.written.rows() } else { Rows::default() };
        let known = Known { accepted: vec![self.found.clone()], written, ..Known::default() };
        Ok(occupancy(self.into, cx, &known, Look::Remember).await?.fingerprint)
    }
}

/// Whether an intent had come as far as changing its target; says what follows.
pub(crate) fn cut_short(intent: &Intent) -> String {
    let begun = Notes::of(intent).target.is_some();
    if begun { "it was cut short, and starts over" } else { "it had not begun" }.to_owned()
}

/// What earlier attempts know of the session's database.
pub(crate) fn earlier(cx: &Cx, target: &Session, remembered: Option<&Remembered>) -> Known {
    let earlier = (cx.world.intent)(&cx.address).as_ref().map(Notes::of).unwrap_or_default();
    earlier.known(&place(target), remembered)
}

/// What stays when the target is emptied, by name.
///
/// Where nobody noted what was there before our first run (a state of before, or a person who confirmed), data go, and of
/// the rest what is `brought` again.
fn prepared(found: &Occupancy, brought: &[String]) -> BTreeSet<String> {
    if let Some(prepared) = &found.prepared {
        return prepared.clone();
    }
    let all = || found.inventory.iter();
    if found.is_empty() {
        return all().map(Object::to_string).collect();
    }
    let of_data: BTreeSet<&str> =
        all().filter(|it| it.data).filter_map(|it| it.schema.as_deref()).collect();
    let stays = |object: &&Object| {
        let holds_data = object.kind == "schema"
            && object.schema.as_deref().is_some_and(|it| of_data.contains(it));
        !object.data && !holds_data && !brought.contains(&object.key)
    };
    all().filter(stays).map(Object::to_string).collect()
}

fn place(target: &Session) -> String {
    format!("{}/{}", target.location.server(), target.location.database)
}
