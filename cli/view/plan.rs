//! A plan as text: Terraform's signs, comment lines and summary, to the letter where tools read them.
//!
//! One pass, in the order of the plan. Tested in `tests/output.rs` with the patterns of such tools.

use std::fmt::Write;

use pgferry_engine::address::Address;
use pgferry_engine::finding::{Finding, Severity};
use pgferry_engine::info::OnRemove;
use pgferry_engine::plan::{Action, Change, Expected, Plan, ScopeAction};

mod field;
mod times;

use field::{Field, fields};

/// Bytes that are handed on together, a resource more or less.
const PIECE: usize = 64 * 1024;

/// The whole plan, findings included, in pieces of whole lines; the last is without its line break.
pub(crate) fn text(plan: &Plan, verbose: bool, to: &mut dyn FnMut(&str)) {
    if plan.refresh_only {
        return to(&super::drift::text(plan));
    }
    let mut out = String::new();
    let mut first = true;
    let mut hand_on = |out: &mut String| {
        to(if first { out.trim_start_matches('\n') } else { out });
        first = false;
        out.clear();
    };
    let shown = || plan.changes.values().filter(|c| verbose || c.action != Action::NoOp);
    drift(&mut out, plan);
    if plan.has_changes() {
        legend(&mut out, shown());
        out.push_str(match plan.errors().next() {
            None => "pgferry will perform the following actions:\n",
            Some(_) => "pgferry planned the following actions, but then encountered a problem:\n",
        });
    }
    for (to, from) in &plan.moved {
        if plan.changes.get(to).is_none_or(|change| change.action == Action::NoOp) {
            line(&mut out, &format!("\n  # {from} has moved to {to}"));
        }
    }
    for (address, keeping) in &plan.keeping {
        let destroy = keeping.on_remove == OnRemove::Destroy;
        let on_remove = if destroy { "destroy" } else { "keep" };
        line(&mut out, &format!("\n  # {address} stays as it is; to be remembered of it:"));
        line(&mut out, &format!("        prevent_destroy = {}", keeping.prevent_destroy));
        line(&mut out, &format!("        on_remove       = \"{on_remove}\""));
        for (reference, now) in &keeping.replace_when {
            line(&mut out, &format!("        replace_when    : {reference} = {now}"));
        }
    }
    for change in shown() {
        let expected = plan.expected.get(&change.address);
        resource(&mut out, change, plan.moved.get(&change.address), expected);
        if out.len() >= PIECE {
            hand_on(&mut out);
        }
    }
    if !plan.scopes.is_empty() {
        scopes(&mut out, plan);
    }
    if !plan.removals.is_empty() {
        removals(&mut out, plan);
    }
    findings(&mut out, plan);
    out.push('\n');
    out.push_str(&summary(plan));
    if plan.has_changes() && !plan.outputs.is_empty() {
        outputs(&mut out, plan);
    }
    hand_on(&mut out);
}

pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// `Plan: 7 to add, 0 to change, 0 to destroy.`, or that nothing is to be done; and what else there is to count.
pub(crate) fn summary(plan: &Plan) -> String {
    let mut text = counts(plan);
    if !plan.has_changes() {
        return text;
    }
    let opened = plan.scopes.values().filter(|s| s.what.opens()).count();
    let held = plan.scopes.values().filter(|s| s.what == ScopeAction::Hold).count();
    let closed = plan.scopes.len() - opened - held;
    if opened > 0 {
        let _ = write!(text, "\nScopes: {opened} to open and close.");
    }
    if closed > 0 {
        let _ = write!(text, "\nScopes left open: {closed} to close.");
    }
    if held > 0 {
        let _ = write!(text, "\nScopes left open: {held} to hold.");
    }
    let forgotten = plan.changes.values().filter(|c| c.action == Action::Forget).count();
    if forgotten > 0 {
        let _ = write!(text, "\nTo forget, and keep in reality: {forgotten}.");
    }
    text
}

/// The one line that scripts look for.
pub(crate) fn counts(plan: &Plan) -> String {
    if !plan.has_changes() {
        return "No changes. Your databases match the spec.".to_owned();
    }
    let counts = plan.counts();
    let import = match counts.import {
        0 => String::new(),
        number => format!("{number} to import, "),
    };
    let (add, change, destroy) = (counts.add, counts.change, counts.destroy);
    format!("Plan: {import}{add} to add, {change} to change, {destroy} to destroy.")
}

fn sign(action: Action) -> (&'static str, &'static str) {
    match action {
        Action::Create => ("  +", "create"),
        Action::Import => ("  &", "import"),
        Action::Update => ("  ~", "update in-place"),
        Action::Replace => ("-/+", "destroy and then create replacement"),
        Action::Delete => ("  -", "destroy"),
        Action::Forget => ("  .", "forget, and keep in reality"),
        Action::Read => (" <=", "read (lookups)"),
        Action::Run => ("  >", "run"),
        Action::Settle => ("  =", "take down as done"),
        Action::NoOp => ("   ", "leave as it is"),
    }
}

/// Whether what exists is taken over and changed at once: Terraform calls that an update.
fn is_changed(change: &Change) -> bool {
    change.action == Action::Import && !change.fields.is_empty()
}

/// The action by which a change is shown.
fn shown_as(change: &Change) -> Action {
    if is_changed(change) { Action::Update } else { change.action }
}

fn legend<'a>(out: &mut String, shown: impl Iterator<Item = &'a Change>) {
    let mut actions: Vec<Action> = Vec::new();
    for change in shown {
        let action = shown_as(change);
        if action != Action::NoOp && !actions.contains(&action) {
            actions.push(action);
        }
    }
    if actions.is_empty() {
        return;
    }
    actions.sort();
    out.push_str("Resource actions are indicated with the following symbols:\n");
    for action in actions {
        let (sign, word) = sign(action);
        line(out, &format!("{sign} {word}"));
    }
    out.push('\n');
}

/// What was changed behind our back, with both values.
pub(super) fn drift(out: &mut String, plan: &Plan) {
    if plan.drift.is_empty() {
        return;
    }
    out.push_str("Note: Objects have changed outside of pgferry\n");
    for (address, drift) in &plan.drift {
        if drift.gone {
            line(out, &format!("\n  # {address} has been deleted"));
            line(out, &format!("  - {address}: {}", drift.type_name));
        } else {
            line(out, &format!("\n  # {address} has changed"));
            line(out, &format!("  ~ {address}: {}", drift.type_name));
            fields(out, drift.fields.iter().map(Field::of));
        }
    }
    out.push('\n');
}

fn resource(
    out: &mut String,
    change: &Change,
    moved_from: Option<&Address>,
    expected: Option<&Expected>,
) {
    let address = &change.address;
    let requested = change.reasons.iter().any(|reason| reason == "requested by --replace");
    let what = match change.action {
        Action::Create => "will be created",
        Action::Import if is_changed(change) => "will be updated in-place",
        Action::Import => "will be imported",
        Action::Update => "will be updated in-place",
        Action::Replace if requested => "will be replaced, as requested",
        Action::Replace
            if change.reasons.iter().any(|reason| reason.contains("`replace_when`")) =>
        {
            "will be replaced due to changes in replace_when"
        }
        Action::Replace => "must be replaced",
        Action::Delete => "will be destroyed",
        Action::Forget => "will no longer be managed by pgferry, but will not be destroyed",
        Action::Read => "will be read during apply",
        Action::Run => "will be run",
        Action::Settle => "is done and will be taken down as such",
        Action::NoOp => "stays as it is",
    };
    let _ = write!(out, "\n  # {address} {what}\n");
    if let Some(from) = moved_from {
        let _ = writeln!(out, "  # (moved from {from})");
    }
    if let (true, Some(id)) = (is_changed(change), &change.id) {
        let _ = writeln!(out, "  # (imported from \"{id}\")");
    }
    for reason in &change.reasons {
        let _ = writeln!(out, "  # ({reason})");
    }
    if let Some(expected) = expected {
        let _ = writeln!(out, "  # {}", times::of_run(expected));
    }
    for note in &change.notes {
        let _ = writeln!(out, "  # note: {note}");
    }
    let (sign, _) = sign(shown_as(change));
    let _ = writeln!(out, "{sign} {address}: {}", change.type_name);
    if let (false, Some(id)) = (is_changed(change), &change.id) {
        let _ = writeln!(out, "        id = \"{id}\"");
    }
    fields(out, change.fields.iter().map(Field::of));
    if change.unchanged > 0 && !change.fields.is_empty() {
        let plural = if change.unchanged == 1 { "" } else { "s" };
        let _ =
            writeln!(out, "        # ({} unchanged attribute{plural} hidden)", change.unchanged);
    }
}

fn scopes(out: &mut String, plan: &Plan) {
    out.push_str("\nOpen only while needed:\n");
    for (address, scope) in &plan.scopes {
        let what = match scope.what {
            ScopeAction::OpenAndClose => "opens and closes",
            ScopeAction::TakeOver => "is open since the last run; is taken over, then closes",
            ScopeAction::Close => "was left open and closes",
            ScopeAction::Hold => "was left open and is held: `on_success` is `hold`",
        };
        let _ = write!(out, "  {address} ({}) {what}", scope.type_name);
        if let Some(expected) = plan.expected.get(address) {
            let _ = write!(out, "; {}", times::of_window(expected));
        }
        out.push('\n');
    }
}

fn outputs(out: &mut String, plan: &Plan) {
    out.push_str("\n\nChanges to Outputs:\n");
    let mut text = String::new();
    fields(&mut text, plan.outputs.iter().map(|(name, change)| Field::of_output(name, change)));
    // Two steps further left than the fields of resources.
    for said in text.lines() {
        line(out, said.strip_prefix("    ").unwrap_or(said));
    }
    out.truncate(out.trim_end().len());
}

fn removals(out: &mut String, plan: &Plan) {
    out.push_str("\nRemoved after use:\n");
    for (address, runs) in &plan.removals {
        let kind = plan.changes.get(address).map_or("", |change| change.type_name.as_str());
        let runs: Vec<&str> = runs.iter().map(Address::as_str).collect();
        line(out, &format!("  - {address} ({kind}) once done: {}", runs.join(", ")));
    }
}

/// What the preflight found, worst first.
pub(crate) fn findings(out: &mut String, plan: &Plan) {
    if plan.findings.is_empty() {
        return;
    }
    out.push_str("\nFindings:\n");
    for located in &plan.findings {
        line(out, &format!("  {}", finding(&located.address, &located.finding)));
    }
}

/// `warning[PGF1102] dump: …`, with its remedy on a line of its own.
pub(crate) fn finding(address: &Address, finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let mut text = format!("{word}[{}] {address}: {}", finding.code, finding.message);
    if let Some(help) = &finding.help {
        let _ = write!(text, "\n      help: {help}");
    }
    text
}
