//! `verify`: the spec's verifications once more, outside of an apply. Reads only, and writes nothing down.

use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::apply::{proofs, prove};
use pgferry_engine::event::{Event, Sink};
use pgferry_engine::handles::Handles;
use pgferry_engine::spec::Spec;
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::{interrupt, view};

/// The tables are what was asked for: they go to stdout, all else where it always goes.
struct Tables(Arc<dyn Sink>, Arc<Spec>);

impl Sink for Tables {
    fn event(&self, event: Event) {
        let Event::Output { address, text } = &event else { return self.0.event(event) };
        let type_of = |address: &Address| {
            let block = self.1.resources.get(address);
            block.map(|block| block.type_name.clone()).unwrap_or_default()
        };
        view::tell(&view::json::lines::event(&event, &type_of));
        view::print(&format!("{address}:\n{text}\n"));
    }
}

pub(super) async fn run(common: &Common) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let state = project.state()?;
    let resources = project.connect(&state)?;
    let sink = super::apply::sink(common, &project, &state);
    let tables = |sink| Arc::new(Tables(sink, Arc::clone(&project.spec)));
    let sink: Arc<dyn Sink> = if common.json { sink } else { tables(sink) };
    let cancel = CancellationToken::new();
    interrupt::watch(cancel.clone());
    let world = project.world(&state, sink, cancel.clone());
    let known = Arc::clone(&state);
    let handles = Handles {
        spec: Arc::clone(&project.spec),
        graph: Arc::clone(&project.graph),
        catalog: Arc::clone(&project.catalog),
        resources,
        known: Arc::new(move |address| known.resources.get(address).cloned()),
        world,
    };
    let all = proofs(&handles);
    if all.is_empty() {
        return Err(Stop::because("the spec has nothing to verify with")
            .help("add a `postgres.verification`"));
    }
    let mut differing = 0;
    for address in &all {
        if let Err(fault) = prove(&handles, address).await {
            if cancel.is_cancelled() {
                return Err(Stop::Interrupted);
            }
            differing += 1;
            view::error(&format!("{address}: {}", fault.chain()), fault.help.as_deref());
        }
    }
    if differing > 0 {
        return Ok(Exit::Error);
    }
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    if !common.json {
        view::print(&format!("Verified: {}.", names.join(", ")));
    }
    Ok(Exit::Done)
}
