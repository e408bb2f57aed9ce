//! One file a command: arguments → operation → view.

use crate::arguments::{Arguments, Command};
use crate::outcome::{Exit, Stop};

mod apply;
mod destroy;
mod explain;
mod force_unlock;
mod graph;
mod output;
mod plan;
mod release;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schema;
mod show;
mod state;
mod validate;

/// Runs the command that was typed.
pub(crate) async fn run(arguments: Arguments) -> Result<Exit, Stop> {
    let Arguments { command, common } = arguments;
    if let Some(path) = &common.json_into {
        crate::view::record_into(path).map_err(|cause| {
            Stop::because(format!("writing JSON lines into `{}`: {cause}", path.display()))
        })?;
    }
    if common.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    match command {
        Command::Validate => validate::run(&common),
        Command::Plan { planning, out, detailed_exitcode } => {
            plan::run(&common, &planning, out.as_deref(), detailed_exitcode).await
        }
        Command::Apply { plan: Some(plan), .. } => apply::saved(&common, &plan).await,
        Command::Apply { plan: None, planning, auto_approve } => {
            apply::run(&common, &planning, auto_approve).await
        }
        Command::Destroy { confirm, auto_approve } => {
            destroy::run(&common, confirm, auto_approve).await
        }
        Command::Release => release::run(&common).await,
        Command::Preflight { planning } => plan::preflight(&common, &planning).await,
        Command::Show { plan: Some(plan) } => show::saved(&common, &plan),
        Command::Show { plan: None } => show::run(&common),
        Command::Output { name, reveal } => output::run(&common, name.as_deref(), reveal).await,
        Command::State(command) => state::run(&common, &command),
        Command::ForceUnlock { id } => force_unlock::run(&common, id.as_deref()),
        Command::Graph => graph::run(&common),
        Command::Explain { code } => explain::run(&code),
        Command::Schema => schema::run(),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(command) => sandbox::run(&command, common.json).await,
        Command::Version => {
            crate::view::print(&format!("pgferry v{}", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Done)
        }
    }
}
