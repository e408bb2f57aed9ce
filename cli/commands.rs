//! One file a command: arguments → operation → view.

use crate::arguments::{Arguments, Command, Mode, Planning};
use crate::outcome::{Exit, Stop};

mod apply;
mod completions;
mod explain;
mod force_unlock;
mod graph;
mod import;
mod init;
mod output;
mod plan;
mod release;
mod retire;
#[cfg(feature = "sandbox")]
mod sandbox;
mod schema;
mod show;
mod state;
mod status;
mod validate;
mod verify;

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
    if common.json && goes_on(&command) {
        crate::view::tell_in_lines();
    }
    match command {
        Command::Init(told) => init::run(&common, told),
        Command::Validate => validate::run(&common),
        Command::Plan { planning, mode, out, detailed_exitcode } => {
            plan::run(&common, &planning, &mode, out.as_deref(), detailed_exitcode).await
        }
        Command::Apply { plan: Some(plan), .. } => apply::saved(&common, &plan).await,
        Command::Apply { plan: None, planning, mode, auto_approve } => {
            apply::run(&common, &planning, &mode, auto_approve).await
        }
        Command::Destroy { confirm, target, exclude, auto_approve } => {
            let planning = Planning { confirm, target, exclude, ..Planning::default() };
            let mode = Mode { destroy: true, ..Mode::default() };
            apply::run(&common, &planning, &mode, auto_approve).await
        }
        Command::Status => status::run(&common),
        Command::Release => release::run(&common).await,
        Command::Retire { address, confirm } => {
            retire::run(&common, &address, confirm.as_deref()).await
        }
        Command::Verify => verify::run(&common).await,
        Command::Preflight { planning } => plan::preflight(&common, &planning).await,
        Command::Show { plan: Some(plan) } => show::saved(&common, &plan),
        Command::Show { plan: None } => show::run(&common),
        Command::Output { name, reveal } => output::run(&common, name.as_deref(), reveal).await,
        Command::Import { address, id } => import::run(&common, &address, &id).await,
        Command::State(command) => state::run(&common, &command),
        Command::ForceUnlock { id } => force_unlock::run(&common, id.as_deref()),
        Command::Graph => graph::run(&common),
        Command::Explain { code } => explain::run(&code),
        Command::Schema { of } => schema::run(of),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(command) => sandbox::run(&command, common.json).await,
        Command::Completions { shell } => completions::run(shell),
        Command::Version => {
            crate::view::print(&format!("pgferry v{}", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Done)
        }
    }
}

/// Whether a command goes on for a while, and so tells programs in lines what happens, errors included.
fn goes_on(command: &Command) -> bool {
    matches!(
        command,
        Command::Plan { .. }
            | Command::Apply { .. }
            | Command::Destroy { .. }
            | Command::Release
            | Command::Retire { .. }
            | Command::Verify
            | Command::Preflight { .. }
    )
}
