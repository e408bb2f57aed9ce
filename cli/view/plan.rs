//! A plan as text: Terraform's signs, comment lines and summary, to the letter where tools read them.

use std::fmt::Write;

use pgferry_engine::address::Address;
use pgferry_engine::finding::{Finding, Severity};
use pgferry_engine::info::OnRemove;
use pgferry_engine::plan::{Action, Change, FieldChange, Plan, ScopeAction};
use pgferry_engine::tree::KNOWN_AFTER_APPLY;
use serde_json::Value as Json;
use similar::{ChangeTag, TextDiff};

/// The whole plan, findings included.
pub(crate) fn text(plan: &Plan, verbose: bool) -> String {
    if plan.refresh_only {
        return super::drift::text(plan);
    }
    let mut out = String::new();
    let shown: Vec<&Change> =
        plan.changes.values().filter(|change| verbose || change.action != Action::NoOp).collect();
    let absent: Vec<&Change> = plan
        .changes
        .values()
        .filter(|change| change.reasons.iter().any(|reason| reason == "absent in reality"))
        .collect();
    if !absent.is_empty() {
        out.push_str("Note: Objects have changed outside of pgferry\n\n");
        for change in absent {
            line(&mut out, &format!("  # {} has been deleted", change.address));
        }
        out.push('\n');
    }
    if plan.has_changes() {
        legend(&mut out, &shown);
        out.push_str("pgferry will perform the following actions:\n");
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
    for change in shown {
        resource(&mut out, change, plan.moved.get(&change.address));
    }
    if !plan.scopes.is_empty() {
        scopes(&mut out, plan);
    }
    findings(&mut out, plan);
    out.push('\n');
    out.push_str(&summary(plan));
    out.trim_start_matches('\n').to_owned()
}

pub(super) fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// `Plan: 7 to add, 0 to change, 0 to destroy.`, or that nothing is to be done.
pub(crate) fn summary(plan: &Plan) -> String {
    if !plan.has_changes() {
        return "No changes. Your databases match the spec.".to_owned();
    }
    let counts = plan.counts();
    let import = match counts.import {
        0 => String::new(),
        number => format!("{number} to import, "),
    };
    let (add, change, destroy) = (counts.add, counts.change, counts.destroy);
    let mut text = format!("Plan: {import}{add} to add, {change} to change, {destroy} to destroy.");
    let opened = plan.scopes.values().filter(|s| s.what != ScopeAction::Close).count();
    let closed = plan.scopes.len() - opened;
    if opened > 0 {
        let _ = write!(text, "\nScopes: {opened} to open and close.");
    }
    if closed > 0 {
        let _ = write!(text, "\nScopes left open: {closed} to close.");
    }
    let forgotten = plan.changes.values().filter(|c| c.action == Action::Forget).count();
    if forgotten > 0 {
        let _ = write!(text, "\nTo forget, and keep in reality: {forgotten}.");
    }
    text
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

fn legend(out: &mut String, shown: &[&Change]) {
    let mut actions: Vec<Action> = shown.iter().map(|change| change.action).collect();
    actions.sort();
    actions.dedup();
    actions.retain(|action| *action != Action::NoOp);
    if actions.is_empty() {
        return;
    }
    out.push_str("Resource actions are indicated with the following symbols:\n");
    for action in actions {
        let (sign, word) = sign(action);
        line(out, &format!("{sign} {word}"));
    }
    out.push('\n');
}

fn resource(out: &mut String, change: &Change, moved_from: Option<&Address>) {
    let address = &change.address;
    let what = match change.action {
        Action::Create => "will be created",
        Action::Import => "will be imported",
        Action::Update => "will be updated in-place",
        Action::Replace
            if change.reasons.iter().any(|reason| reason.contains("`replace_when`")) =>
        {
            "will be replaced due to changes in replace_when"
        }
        Action::Replace => "will be replaced, as requested",
        Action::Delete => "will be destroyed",
        Action::Forget => "will no longer be managed by pgferry, but will not be destroyed",
        Action::Read => "will be read during apply",
        Action::Run => "will be run",
        Action::Settle => "is done and will be taken down as such",
        Action::NoOp => "stays as it is",
    };
    line(out, &format!("\n  # {address} {what}"));
    if let Some(from) = moved_from {
        line(out, &format!("  # (moved from {from})"));
    }
    for reason in &change.reasons {
        line(out, &format!("  # ({reason})"));
    }
    for note in &change.notes {
        line(out, &format!("  # note: {note}"));
    }
    let (sign, _) = sign(change.action);
    line(out, &format!("{sign} {address}: {}", change.type_name));
    let width = change.fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
    for field in &change.fields {
        attribute(out, field, width);
    }
}

pub(super) fn attribute(out: &mut String, field: &FieldChange, width: usize) {
    let FieldChange { name, before, after, .. } = field;
    let forces = if field.forces { " # forces replacement" } else { "" };
    let after_text = if field.sensitive && after.as_ref().is_none_or(|after| !after.is_object()) {
        "(sensitive value)".to_owned()
    } else if field.unknown {
        match after.as_ref() {
            Some(after) if identity(after).is_some() => {
                format!("{} {KNOWN_AFTER_APPLY}", value(after))
            }
            Some(after) => value(after),
            None => KNOWN_AFTER_APPLY.to_owned(),
        }
    } else {
        after.as_ref().map_or_else(|| "null".to_owned(), value)
    };
    match before {
        None => line(out, &format!("      + {name:width$} = {after_text}")),
        Some(before) if is_long(before) || after.as_ref().is_some_and(is_long) => {
            line(out, &format!("      ~ {name:width$} ={forces}"));
            let empty = Json::Null;
            diff(out, before, after.as_ref().unwrap_or(&empty));
        }
        Some(before) => {
            let before =
                if field.sensitive { "(sensitive value)".to_owned() } else { value(before) };
            line(out, &format!("      ~ {name:width$} = {before} -> {after_text}{forces}"));
        }
    }
}

/// The address of a whole resource, for `source = ${source}`.
fn identity(json: &Json) -> Option<String> {
    json.get("$address").and_then(Json::as_str).map(|address| format!("${{{address}}}"))
}

/// A value on one line, whole resources as references.
fn value(json: &Json) -> String {
    let list = |items: Vec<String>, open, close| format!("{open}{}{close}", items.join(", "));
    match json {
        Json::String(text) if text == KNOWN_AFTER_APPLY => text.clone(),
        Json::Array(items) => list(items.iter().map(value).collect(), "[", "]"),
        Json::Object(map) => identity(json).unwrap_or_else(|| {
            list(map.iter().map(|(k, v)| format!("{k} = {}", value(v))).collect(), "{ ", " }")
        }),
        other => other.to_string(),
    }
}

fn is_long(json: &Json) -> bool {
    identity(json).is_none()
        && (json.is_object() || json.is_array() || json.as_str().is_some_and(|t| t.contains('\n')))
}

/// A line diff of two values with more than one line.
fn diff(out: &mut String, before: &Json, after: &Json) {
    let (before, after) = (lines(before), lines(after));
    for change in TextDiff::from_lines(&before, &after).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => "-",
            ChangeTag::Insert => "+",
            ChangeTag::Equal => " ",
        };
        line(out, &format!("          {sign} {}", change.value().trim_end()));
    }
}

fn lines(json: &Json) -> String {
    match json {
        Json::String(text) => format!("{text}\n"),
        Json::Object(map) => map.iter().map(|(k, v)| format!("{k} = {}\n", value(v))).collect(),
        Json::Array(items) => items.iter().map(|v| format!("{}\n", value(v))).collect(),
        other => format!("{other}\n"),
    }
}

fn scopes(out: &mut String, plan: &Plan) {
    out.push_str("\nOpen only while needed:\n");
    for (address, scope) in &plan.scopes {
        let what = match scope.what {
            ScopeAction::OpenAndClose => "opens and closes",
            ScopeAction::TakeOver => "is open since the last run; is taken over, then closes",
            ScopeAction::Close => "was left open and closes",
        };
        line(out, &format!("  {address} ({}) {what}", scope.type_name));
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
