//! `completions`: what a shell has to know of the command line.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::outcome::{Exit, Stop};
use crate::view;

pub(super) fn run(shell: Shell) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "pgferry", &mut script);
    view::print(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}
