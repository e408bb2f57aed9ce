//! How a command ends: the exit code, and the error that is printed once, at the edge.

use std::process::ExitCode;

use pgferry_engine::diag::Diagnostic;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::source::Source;
use pgferry_engine::state::StateError;

/// The exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done,
    Error,
    /// `plan --detailed-exitcode` found changes.
    Changes,
    /// Stopped by Ctrl-C.
    Interrupted,
}

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Interrupted => 130,
        })
    }
}

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The spec has mistakes.
    Spec {
        source: Box<Source>,
        mistakes: Vec<Diagnostic>,
        json: bool,
    },
    /// Something said no.
    Because {
        message: String,
        help: Option<String>,
    },
    Interrupted,
}

impl Stop {
    pub(crate) fn because(message: impl Into<String>) -> Self {
        Self::Because { message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        match self {
            Self::Because { message, .. } => Self::Because { message, help: Some(help.into()) },
            other => other,
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Interrupted => Exit::Interrupted,
            _ => Exit::Error,
        }
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Self::Because { message: error.chain(), help: error.help() }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        if fault.class == Class::Interrupted {
            return Self::Interrupted;
        }
        Self::Because { message: fault.chain(), help: fault.help }
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::because(format!("{error:#}"))
    }
}
