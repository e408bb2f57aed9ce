//! `import`: what exists already is taken into the state, and what the next plan would change of it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::adopt::adopt;
use pgferry_engine::cx::{Clock, SystemClock};
use pgferry_engine::event::Silent;
use pgferry_engine::plan::values::Whole;
use pgferry_engine::plan::{Options, Plan};
use pgferry_engine::state::Record;
use pgferry_engine::state::journal::{Durability, Journal};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;
use crate::view::json::document::{Parts, document};

pub(super) async fn run(common: &Common, address: &str, id: &str) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let _lock = project.lock("import", common.lock_timeout)?;
    let state = project.state()?;
    view::summary::leftovers(&state);
    let address = Address::new(address);
    let resources = project.connect(&state)?;
    let world = project.world(&state, Arc::new(Silent), CancellationToken::new());
    let options = Options::default();
    let input = project.input(&state, &options);
    let entry = adopt(&input, &resources, &world, &address, id).await?;
    drop(world);
    let state = Arc::unwrap_or_clone(state);
    let journal = Journal::begin(Arc::clone(&project.store), state, SystemClock.now(), None)?;
    let record = Record::Succeeded { address: address.clone(), entry: Box::new(entry.clone()) };
    journal.append(&record, Durability::Synced)?;
    journal.finish()?;
    let state = project.state()?;
    if !common.json {
        view::print(super::show::block(address.as_str(), &entry).trim_end());
        view::print(&format!("\nImport successful! `{address}` is in the state now."));
    }
    // Only what follows from it: the rest of the migration is no news.
    let options = Options { targets: [address.clone()].into(), ..options };
    let world = project.world(&state, Arc::new(Silent), CancellationToken::new());
    let (mut draft, reality) = project.plan(&state, &options, &resources, &world).await?;
    draft.plan = only(draft.plan, &address);
    let plan = &draft.plan;
    if common.json {
        let input = project.input(&state, &options);
        let whole = Whole::new(&input, &draft, &reality);
        let values = plan.changes.values().map(|c| (c.address.clone(), whole.values(c))).collect();
        let parts = Parts {
            plan,
            values: &values,
            drifted: &BTreeMap::new(),
            variables: &BTreeMap::new(),
            complete: false,
        };
        view::print_json(&json!({
            "address": address,
            "type": entry.type_name,
            "id": entry.remembered.id,
            "attributes": entry.remembered.attrs,
            "plan": document(&parts),
        }));
    } else if plan.has_changes() || !plan.findings.is_empty() {
        view::print("What the next plan says of it:\n");
        view::print_pieces(|to| view::plan::text(plan, common.verbose, to));
    } else {
        view::print("It is as the spec says: the next plan changes nothing of it.");
    }
    Ok(Exit::Done)
}

/// The part of a plan that is about one resource.
fn only(mut plan: Plan, address: &Address) -> Plan {
    plan.changes.retain(|known, _| known == address);
    plan.keeping.retain(|known, _| known == address);
    plan.findings.retain(|located| located.address == *address);
    plan.moved.clear();
    plan.scopes.clear();
    plan.steps.clear();
    plan
}
