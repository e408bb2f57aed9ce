//! `sandbox`: the rehearsal room on this machine.

use pgferry_sandbox::{Options, Status};
use serde_json::json;

use crate::arguments::{SandboxCommand, SandboxDir};
use crate::outcome::{Exit, Stop};
use crate::view;

pub(super) async fn run(command: &SandboxCommand, json: bool) -> Result<Exit, Stop> {
    match command {
        SandboxCommand::Up(place) => up(place, json).await,
        SandboxCommand::Down(SandboxDir { dir }) => {
            let was = pgferry_sandbox::down(dir).await.map_err(stop)?;
            let words = match was {
                Status::Running { .. } | Status::Starting { .. } => "The sandbox is down.",
                Status::Remains => "The sandbox had crashed; what it left is gone.",
                Status::Absent => "No sandbox is there.",
            };
            view::print(words);
            Ok(Exit::Done)
        }
        SandboxCommand::Status(SandboxDir { dir }) => status(dir, json),
        SandboxCommand::Serve(SandboxDir { dir }) => {
            pgferry_sandbox::serve(dir).await.map_err(stop)?;
            Ok(Exit::Done)
        }
    }
}

async fn up(SandboxDir { dir }: &SandboxDir, json: bool) -> Result<Exit, Stop> {
    let program = std::env::current_exe().map_err(|cause| {
        Stop::because(format!("finding this program to start it again: {cause}"))
    })?;
    view::talk(
        "Starting two Postgres servers, and a Linode, a Heroku and a bucket store around them...",
    );
    let environment =
        pgferry_sandbox::up(dir, &program, &Options::default()).await.map_err(stop)?;
    let file = dir.join("env");
    if json {
        let names: Vec<&str> = environment.iter().map(|(name, _)| name).collect();
        view::print_json(&json!({"env": file.display().to_string(), "names": names}));
    } else {
        view::print(&format!("Ready. Point this shell at it:\n\n  source {}\n", file.display()));
    }
    Ok(Exit::Done)
}

fn status(dir: &std::path::Path, json: bool) -> Result<Exit, Stop> {
    let status = pgferry_sandbox::status(dir).map_err(stop)?;
    let (word, pid, exit) = match &status {
        Status::Running { pid, .. } => ("running", Some(*pid), Exit::Done),
        Status::Starting { pid } => ("starting", Some(*pid), Exit::Done),
        Status::Remains => ("crashed", None, Exit::Error),
        Status::Absent => ("absent", None, Exit::Error),
    };
    if json {
        view::print_json(&json!({"status": word, "pid": pid, "dir": dir.display().to_string()}));
        return Ok(exit);
    }
    let dir = dir.display();
    view::print(&match pid {
        Some(pid) => format!(
            "The sandbox in `{dir}` is {word} (process {pid}). `source {dir}/env` points a shell at it."
        ),
        None if status == Status::Remains => {
            format!(
                "The sandbox in `{dir}` has crashed; `pgferry sandbox down --dir {dir}` clears what it left."
            )
        }
        None => format!("No sandbox is in `{dir}`; `pgferry sandbox up --dir {dir}` starts one."),
    });
    Ok(exit)
}

fn stop(error: pgferry_sandbox::Error) -> Stop {
    Stop::from(anyhow::Error::new(error))
}
