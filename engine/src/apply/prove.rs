//! Proves again, outside of an apply: what only compares is run once more, and nothing is written down.

use super::retries::Retries;
use crate::address::Address;
use crate::cx::Cx;
use crate::event::Event;
use crate::fault::Fault;
use crate::handles::Handles;
use crate::info::TypeInfo;
use crate::resource::{AnyResource, Change, Verb};
use crate::tree::Tree;

/// The resources of the spec that prove something, in the order of their dependencies.
pub fn proofs(handles: &Handles) -> Vec<Address> {
    let proves = |address: &&Address| info(handles, address).is_some_and(|info| info.traits.proof);
    handles.graph.order.iter().filter(proves).cloned().collect()
}

/// Runs the proof at `address` against what is there now. Reads only.
///
/// # Errors
/// It is not proved: the sides differ, or one of them could not be looked at.
pub async fn prove(handles: &Handles, address: &Address) -> Result<(), Fault> {
    let cx = Cx::new(handles.world.clone(), address.clone(), "running");
    let resource = info(handles, address).and_then(|info| handles.resources.get(info.name));
    let Some(resource) = resource else {
        return Err(Fault::failed(format!("no provider is connected for `{address}`")));
    };
    let (sink, verb) = (&cx.world.sink, cx.verb);
    sink.event(Event::Started { address: address.clone(), verb, id: None });
    let ended = tried(handles, &cx, resource.as_ref()).await;
    let (address, elapsed) = (address.clone(), cx.elapsed());
    sink.event(match &ended {
        Ok(()) => Event::Succeeded { address, verb, elapsed, id: None },
        Err(fault) => {
            let (message, help) = (fault.chain(), fault.help.clone());
            Event::Failed { address, verb, elapsed, message, help }
        }
    });
    ended
}

async fn tried(handles: &Handles, cx: &Cx, resource: &dyn AnyResource) -> Result<(), Fault> {
    let mut retries = Retries::default();
    while let Err(fault) = once(handles, cx, resource).await {
        retries.again(cx, fault).await?;
    }
    Ok(())
}

async fn once(handles: &Handles, cx: &Cx, resource: &dyn AnyResource) -> Result<(), Fault> {
    let Some(want) = handles.fields(&cx.address).await? else {
        return Err(Fault::bug(format!("`{}` is not in the spec", cx.address)));
    };
    if let Tree::Map(fields) = &want
        && let Some((name, _)) = fields.iter().find(|(_, field)| **field == Tree::Unknown)
    {
        let message = format!("what `{name}` of `{}` refers to is not there", cx.address);
        return Err(Fault::failed(message).help("`pgferry plan` says what is missing"));
    }
    let change = Change {
        verb: Verb::Run,
        want,
        before: None,
        fields: Vec::new(),
        prior: None,
        confirmed: Vec::new(),
    };
    resource.act(cx, change).await.map(drop)
}

fn info<'h>(handles: &'h Handles, address: &Address) -> Option<&'h TypeInfo> {
    handles.catalog.get(&handles.spec.resources.get(address)?.type_name)
}
