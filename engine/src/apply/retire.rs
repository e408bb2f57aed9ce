//! Carries out a retirement that was judged and confirmed: one deletion, written down before and after.

use std::sync::Arc;

use crate::address::Address;
use crate::cx::Cx;
use crate::event::Event;
use crate::fault::Fault;
use crate::resource::{AnyResource, Remembered};
use crate::state::journal::{Durability, Journal, WithoutNotes};
use crate::state::{Record, Removal, StateError};

/// Deletes what the lookup at the address of `cx` leads to, and writes it down. A freeze that is held on it is over
/// then. A retry after a crash is safe: gone already is success.
///
/// # Errors
/// The outer one: the journal cannot be written. The inner one: it was not deleted, or nobody can tell; it is remembered
/// as begun.
pub async fn retire(
    resource: &dyn AnyResource,
    cx: &Cx,
    remembered: &Remembered,
    name: &str,
    journal: &Journal,
) -> Result<Result<(), Fault>, StateError> {
    let mut cx = cx.clone();
    cx.world.notes = Arc::new(WithoutNotes(journal.clone()));
    let cx = &cx;
    let address = cx.address.clone();
    let record = |removal| Record::Removal { address: cx.address.clone(), removal };
    journal.append(&record(Removal::Begun), Durability::Synced)?;
    let (verb, id) = (cx.verb, Some(remembered.id.clone()));
    cx.world.sink.event(Event::Started { address: address.clone(), verb, id });
    if let Err(fault) = resource.retire(cx, remembered, name).await {
        let (message, help) = (fault.chain(), fault.help.clone());
        let elapsed = cx.elapsed();
        cx.world.sink.event(Event::Failed { address, verb, elapsed, message, help });
        return Ok(Err(fault));
    }
    journal.append(&record(Removal::Done), Durability::Synced)?;
    for (scope, complete) in over(journal, &address) {
        let released = Record::Released { address: scope, at: cx.now(), complete };
        journal.append(&released, Durability::Synced)?;
    }
    let elapsed = cx.elapsed();
    cx.world.sink.event(Event::Succeeded { address, verb, elapsed, id: None });
    Ok(Ok(()))
}

/// Open scopes of what is gone now.
fn over(journal: &Journal, address: &Address) -> Vec<(Address, bool)> {
    journal.with_state(|state| {
        let open = state.open_scopes().filter(|(_, scope)| {
            let mut found = Vec::new();
            crate::plan::draft::mentions(&scope.intent.inputs, &mut found);
            found.iter().any(|(of, _)| *of == address.as_str())
        });
        open.map(|(of, scope)| (of.clone(), scope.complete)).collect()
    })
}
