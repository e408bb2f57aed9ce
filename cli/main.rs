//! The command line: arguments → operation → view. The only place that prints, reads the environment or exits.

use std::process::ExitCode;

use pgferry_core::command::process::{BECOME, become_command, start_through};

mod arguments;
mod catalog;
mod commands;
mod environment;
mod interrupt;
mod outcome;
mod place;
mod project;
mod saved;
mod view;

/// Specs, plans and states are many small values; the system's allocator spends more time and memory on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    use clap::Parser;
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == BECOME) {
        view::error(&become_command(words), None);
        // As a shell says that a command cannot be started.
        return ExitCode::from(127);
    }
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(said) => {
            // Nobody is left to tell if the terminal is gone.
            let _ = said.print();
            // 2 is kept for "changes present".
            return if said.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    // The program that runs, whatever has become of its file.
    start_through("/proc/self/exe".into());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            view::error(&format!("starting up: {cause}"), None);
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = commands::run(arguments) => ended,
            () = interrupt::at_once() => Ok(outcome::Exit::Interrupted),
        }
    });
    view::bars::clear();
    // Long enough for what was dropped to end its child processes; helper threads (name look-ups) do not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match ended {
        // The work may be done, but whoever reads stdout was not told all of it.
        Ok(outcome::Exit::Done | outcome::Exit::Interrupted) if interrupt::is_unread() => {
            ExitCode::from(141)
        }
        Ok(exit) => exit.code(),
        Err(stop) => {
            view::stop(&stop);
            stop.exit().code()
        }
    }
}
