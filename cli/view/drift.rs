//! A plan that only looks: how reality is not as it is remembered, and what becomes of that.

use pgferry_engine::plan::Plan;

use super::plan::{drift, findings, line};

/// The whole plan, findings included.
pub(crate) fn text(plan: &Plan) -> String {
    let mut out = String::new();
    drift(&mut out, plan);
    for (to, from) in &plan.moved {
        line(&mut out, &format!("\n  # {from} has moved to {to}"));
    }
    findings(&mut out, plan);
    out.push('\n');
    out.push_str(if plan.has_changes() {
        "This is a refresh-only plan, so pgferry will not take any actions to undo these. If you were expecting these\n\
         changes, apply this plan: it records them in the state and changes nothing else. To see what the spec wants\n\
         instead, plan without `--refresh-only`."
    } else if plan.errors().next().is_some() {
        "Not everything could be looked at."
    } else {
        "No changes. What is there is still what is remembered."
    });
    out.trim_start_matches('\n').to_owned()
}
