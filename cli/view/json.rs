//! The same facts as JSON: event lines and plans in the shapes that readers of Terraform's know.
//!
//! Names and meanings are those of Terraform's machine-readable UI 1.2 and plan format 1.2, with every secret already
//! left out; what has no counterpart there (`run`, scopes, findings) is added beside.

use std::collections::BTreeSet;

use pgferry_engine::diag::{Diagnostic, Severity};
use pgferry_engine::plan::{Action, Change, Plan};
use pgferry_engine::source::Source;
use serde_json::{Value as Json, json};

pub(crate) mod document;
pub(crate) mod lines;
pub(crate) mod shape;

/// The answer of `validate --json`.
pub(crate) fn validation(source: &Source, found: &[Diagnostic]) -> Json {
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    json!({
        "format_version": "1.0",
        "valid": errors == 0,
        "error_count": errors,
        "warning_count": found.len() - errors,
        "diagnostics": found.iter().map(|d| d.to_json(source)).collect::<Vec<_>>(),
    })
}

/// Terraform's word for an action.
fn word(action: Action) -> &'static str {
    match action {
        Action::NoOp | Action::Settle => "noop",
        Action::Create => "create",
        Action::Import => "import",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Delete => "delete",
        Action::Forget => "remove",
        Action::Read => "read",
        Action::Run => "run",
    }
}

/// Terraform's reasons for the changes of a plan.
struct Reasons<'a> {
    plan: &'a Plan,
    /// Names of blocks of which at least one instance stays.
    staying: BTreeSet<&'a str>,
}

impl<'a> Reasons<'a> {
    fn of(plan: &'a Plan) -> Self {
        let stays = |change: &&Change| !matches!(change.action, Action::Delete | Action::Forget);
        let staying = plan.changes.values().filter(stays).map(|change| change.address.name());
        Self { plan, staying: staying.collect() }
    }

    /// The reason for one of them, where Terraform has a word for it.
    fn why(&self, change: &Change) -> Option<&'static str> {
        match change.action {
            Action::Replace if change.reasons.iter().any(|r| r.contains("--replace")) => {
                Some("replace_by_request")
            }
            Action::Replace if change.fields.iter().any(|field| field.forces) => {
                Some("replace_because_cannot_update")
            }
            Action::Replace => Some("replace_by_triggers"),
            Action::Delete if self.plan.destroy => None,
            Action::Delete
                if change.address.key().is_some()
                    && self.staying.contains(change.address.name()) =>
            {
                Some("delete_because_each_key")
            }
            Action::Delete => Some("delete_because_no_resource_config"),
            Action::Read => Some("read_because_config_unknown"),
            _ => None,
        }
    }
}
