//! `state list` and `state show`.

use pgferry_engine::address::Address;

use crate::arguments::{Common, StateCommand};
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;

pub(super) fn run(common: &Common, command: &StateCommand) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let state = project.state()?;
    match command {
        StateCommand::List if common.json => {
            view::print_json(&serde_json::json!(state.resources.keys().collect::<Vec<_>>()));
        }
        StateCommand::List => {
            for address in state.resources.keys() {
                view::print(address.as_str());
            }
        }
        StateCommand::Show { address } => {
            let entry = state.resources.get(&Address::new(address.clone())).ok_or_else(|| {
                Stop::because(format!("nothing is remembered of `{address}`"))
                    .help("`pgferry state list` shows the addresses")
            })?;
            if common.json {
                let json = serde_json::to_value(entry).map_err(|cause| {
                    Stop::because(format!("writing `{address}` as JSON: {cause}"))
                })?;
                view::print_json(&json);
            } else {
                view::print(super::show::block(address, entry).trim_end());
            }
        }
    }
    Ok(Exit::Done)
}
