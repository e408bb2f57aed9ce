//! What the preflight found: facts about both ends that a person should know before anything moves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Class, Fault};

/// How much a finding weighs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Stops the plan.
    Error,
    /// Shown, does not stop.
    Warning,
    /// A fact worth a line: what is lost on purpose, a price, a date.
    Note,
}

/// One fact with a stable code and a remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable: `PGF0xxx`; one page each under `schema/`.
    pub code: String,
    pub severity: Severity,
    /// One sentence, values in backticks.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Finding {
    /// A finding that stops the plan.
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self::of(Severity::Error, code, message)
    }

    /// A finding that is shown and does not stop.
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self::of(Severity::Warning, code, message)
    }

    /// A fact worth a line.
    pub fn note(code: &str, message: impl Into<String>) -> Self {
        Self::of(Severity::Note, code, message)
    }

    fn of(severity: Severity, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), severity, message: message.into(), help: None }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same as a fault, for an act that finds what a plan would have been stopped by.
    pub fn into_fault(self, class: Class) -> Fault {
        let fault = Fault::new(class, self.message);
        match self.help {
            Some(help) => fault.help(help),
            None => fault,
        }
    }
}
