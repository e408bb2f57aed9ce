//! That a plan is not all there is to do: loud, because what is left out is easily forgotten.

use pgferry_engine::plan::Plan;

pub(crate) const HELP: &str = "to see what is left to do, plan without `--target` and `--exclude`";

/// What is left out; `None` if nothing is.
pub(crate) fn warning(plan: &Plan) -> Option<String> {
    const SHOWN: usize = 8;
    let left_out = &plan.left_out;
    let more = left_out.len().saturating_sub(SHOWN);
    let mut named: Vec<String> =
        left_out.iter().take(SHOWN).map(|address| format!("`{address}`")).collect();
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    let flags = "`--target` or `--exclude`";
    (!left_out.is_empty())
        .then(|| format!("the plan is partial: {flags} leaves out {}", named.join(", ")))
}
