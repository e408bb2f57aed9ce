//! Plans, events and ends as JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pgferry_engine::address::Address;
use pgferry_engine::apply::Outcome;
use pgferry_engine::event::Event;
use pgferry_engine::finding::{Finding, Severity};
use pgferry_engine::plan::{Action, OutputChange, Plan, ScopeAction};
use pgferry_engine::secret::redact;
use pgferry_engine::tree::Tree;
use serde_json::Value as Json;

use super::shape::{
    Changes, Diagnostic, Failed, Found, Hook, Level, Line, Operation, Output, Planned, Resource,
    Told,
};
use super::{Reasons, word};
use crate::view::running;
use crate::view::words::{action, bracket, capital, clock, far, noun};

fn line(level: Level, message: String, told: Told) -> Line {
    use pgferry_engine::cx::{Clock, SystemClock};
    let timestamp = SystemClock.now().to_string();
    Line { level, message, module: "pgferry.ui", timestamp, told }
}

/// The first line of every stream.
pub(crate) fn version() -> Line {
    let pgferry = env!("CARGO_PKG_VERSION");
    line(Level::Info, format!("pgferry {pgferry}"), Told::Version { pgferry, ui: "1.2" })
}

fn resource(address: &Address, type_name: &str) -> Resource {
    Resource {
        addr: address.clone(),
        module: "",
        resource: address.clone(),
        implied_provider: type_name.split('.').next().unwrap_or_default().to_owned(),
        resource_type: type_name.to_owned(),
        resource_name: address.name().to_owned(),
        resource_key: address.key().map(str::to_owned),
    }
}

/// The plan as lines: drift, one `planned_change` each, findings, `change_summary`, outputs. `to` takes each.
pub(crate) fn plan(plan: &Plan, to: &mut dyn FnMut(&Line)) {
    for (address, drift) in &plan.drift {
        let (action, what) =
            if drift.gone { ("delete", "has been deleted") } else { ("update", "has changed") };
        let change = Planned {
            resource: resource(address, &drift.type_name),
            previous_resource: None,
            action,
            reason: None,
            reasons: Vec::new(),
            expected: None,
        };
        to(&line(
            Level::Info,
            format!("{address}: Drift detected ({what})"),
            Told::ResourceDrift { change },
        ));
    }
    let reasons = Reasons::of(plan);
    for change in plan.changes.values() {
        let from = plan.moved.get(&change.address);
        let action = match (change.action, from) {
            (Action::NoOp, None) => continue,
            (Action::NoOp, Some(_)) => "move",
            (action, _) => word(action),
        };
        let planned = Planned {
            resource: resource(&change.address, &change.type_name),
            previous_resource: from.map(|from| resource(from, &change.type_name)),
            action,
            reason: reasons.why(change).map(short),
            reasons: change.reasons.clone(),
            expected: plan.expected.get(&change.address).cloned(),
        };
        let message = format!("{}: Plan to {action}", change.address);
        to(&line(Level::Info, message, Told::PlannedChange { change: planned }));
    }
    for change in plan.removals.keys().filter_map(|address| plan.changes.get(address)) {
        let planned = Planned {
            resource: resource(&change.address, &change.type_name),
            previous_resource: None,
            action: "delete",
            reason: None,
            reasons: vec!["has served by then".to_owned()],
            expected: None,
        };
        let message = format!("{}: Plan to delete after use", change.address);
        to(&line(Level::Info, message, Told::PlannedChange { change: planned }));
    }
    for (address, scope) in &plan.scopes {
        let action = match scope.what {
            ScopeAction::OpenAndClose => "open",
            ScopeAction::TakeOver => "renew",
            ScopeAction::Close => "close",
            ScopeAction::Hold => "hold",
        };
        let planned = Planned {
            resource: resource(address, &scope.type_name),
            previous_resource: None,
            action,
            reason: None,
            reasons: Vec::new(),
            expected: plan.expected.get(address).cloned(),
        };
        let message = format!("{address}: Plan to {action}");
        to(&line(Level::Info, message, Told::PlannedChange { change: planned }));
    }
    for located in &plan.findings {
        to(&finding(&located.address, &located.finding));
    }
    if let Some(partial) = crate::view::partial::warning(plan) {
        to(&diagnostic(Level::Warn, None, &partial, Some(crate::view::partial::HELP)));
    }
    let changes = Changes::of(plan.counts(), Operation::Plan);
    to(&line(Level::Info, crate::view::plan::counts(plan), Told::ChangeSummary { changes }));
    if !plan.outputs.is_empty() {
        let outputs: BTreeMap<String, Output> = plan
            .outputs
            .iter()
            .map(|(name, change)| (name.clone(), planned_output(change)))
            .collect();
        to(&line(Level::Info, format!("Outputs: {}", outputs.len()), Told::Outputs { outputs }));
    }
}

/// Terraform's shorter words for the same reasons, in lines.
fn short(reason: &'static str) -> &'static str {
    match reason {
        "replace_by_request" => "requested",
        "replace_because_cannot_update" => "cannot_update",
        "replace_by_triggers" => "replace_triggered_by",
        other => other,
    }
}

fn planned_output(change: &OutputChange) -> Output {
    Output {
        sensitive: change.sensitive,
        action: Some(if change.before.is_some() { "update" } else { "create" }),
        value: change.after.clone().filter(|_| !change.unknown && !change.sensitive),
    }
}

/// The outputs after an apply.
pub(crate) fn outputs<'a>(values: impl Iterator<Item = (&'a String, &'a Tree)>) -> Option<Line> {
    let outputs: BTreeMap<String, Output> = values
        .map(|(name, value)| {
            let sensitive = value.has_secret();
            let shown = (!sensitive && !value.has_unknown()).then(|| value.storable());
            (name.clone(), Output { sensitive, action: None, value: shown })
        })
        .collect();
    let message = format!("Outputs: {}", outputs.len());
    (!outputs.is_empty()).then(|| line(Level::Info, message, Told::Outputs { outputs }))
}

/// What the preflight or the gate found.
pub(crate) fn finding(address: &Address, finding: &Finding) -> Line {
    let level = match finding.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warn,
        Severity::Note => Level::Info,
    };
    let found = Found { address: address.clone(), finding: finding.clone() };
    line(level, format!("{address}: {}", finding.message), Told::Finding { finding: found })
}

/// An error or a warning about no place in the spec.
pub(crate) fn diagnostic(
    level: Level,
    address: Option<&Address>,
    message: &str,
    help: Option<&str>,
) -> Line {
    let word = if level == Level::Error { "Error" } else { "Warning" };
    let diagnostic = Diagnostic {
        severity: word.to_lowercase(),
        summary: message.to_owned(),
        detail: help.unwrap_or_default().to_owned(),
        address: address.cloned(),
        code: None,
        range: None,
        snippet: None,
    };
    line(level, format!("{word}: {message}"), Told::Diagnostic { diagnostic })
}

/// A mistake in a spec.
pub(crate) fn mistake(said: &Json) -> Line {
    let text = |key: &str| said.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let (severity, summary) = (text("severity"), text("summary"));
    let (level, word) =
        if severity == "error" { (Level::Error, "Error") } else { (Level::Warn, "Warning") };
    let message = format!("{word}: {summary}");
    let diagnostic = Diagnostic {
        severity,
        summary,
        detail: text("detail"),
        address: None,
        code: Some(text("code")),
        range: said.get("range").cloned(),
        snippet: said.get("snippet").cloned(),
    };
    line(level, message, Told::Diagnostic { diagnostic })
}

/// Anything that people are told.
pub(crate) fn log(level: Level, message: &str) -> Line {
    line(level, message.to_owned(), Told::Log { hook: None })
}

/// The last line of an apply or destroy: what was done; of one that did not do all of it, also what failed and what
/// was not attempted.
pub(crate) fn ended(outcome: &Outcome, destroy: bool) -> Line {
    let operation = if destroy { Operation::Destroy } else { Operation::Apply };
    let changes = Changes::of(outcome.counts, operation);
    if outcome.is_success() {
        let message = crate::view::summary::complete(outcome, destroy);
        return line(Level::Info, message, Told::ChangeSummary { changes });
    }
    let failed = outcome.failed.iter().map(|failure| Failed {
        address: failure.address.clone(),
        message: failure.message.clone(),
        unknown: failure.unknown,
    });
    let done: BTreeSet<Address> = outcome.done.iter().map(|(address, _)| address.clone()).collect();
    let told = Told::ApplyIncomplete {
        changes,
        done: done.into_iter().collect(),
        failed: failed.collect(),
        not_attempted: outcome.skipped.clone(),
        held: outcome.held.iter().cloned().collect(),
        interrupted: outcome.interrupted,
    };
    let message = format!(
        "Apply incomplete: {} done, {} failed, {} not attempted",
        outcome.done.len(),
        outcome.failed.len(),
        outcome.skipped.len()
    );
    line(Level::Error, message, told)
}

/// What failed, as `diagnostic` lines.
pub(crate) fn failures(outcome: &Outcome) -> impl Iterator<Item = Line> {
    outcome.failed.iter().map(|failure| {
        let level = if failure.unknown { Level::Warn } else { Level::Error };
        let message = format!("{}: {}", failure.address, failure.message);
        diagnostic(level, Some(&failure.address), &message, failure.help.as_deref())
    })
}

/// One event as a line; `type_of` tells the type of a resource.
pub(crate) fn event(event: &Event, type_of: &dyn Fn(&Address) -> String) -> Line {
    let hook = |address: &Address, verb: &str, elapsed: Option<&Duration>, id: Option<&str>| Hook {
        resource: resource(address, &type_of(address)),
        action: (!verb.is_empty()).then(|| action(verb)),
        id_key: id.map(|_| "id"),
        id_value: id.map(str::to_owned),
        elapsed_seconds: elapsed.map(Duration::as_secs),
    };
    match event {
        Event::Reading { address } => {
            let told = Told::RefreshStart { hook: hook(address, "", None, None) };
            line(Level::Info, format!("{address}: Refreshing state..."), told)
        }
        Event::Read { address, id } => {
            let told = Told::RefreshComplete { hook: hook(address, "", None, id.as_deref()) };
            let id = bracket(id.as_deref());
            line(Level::Info, format!("{address}: Refresh complete{id}"), told)
        }
        Event::Started { address, verb, id } => {
            let told = Told::ApplyStart { hook: hook(address, verb, None, id.as_deref()) };
            let id = bracket(id.as_deref());
            line(Level::Info, format!("{address}: {}...{id}", capital(verb)), told)
        }
        Event::Progress { address, verb, elapsed, progress } => {
            let speed = running::speed(address);
            let (time, far) = (clock(*elapsed), far(progress, speed));
            let message = format!("{address}: Still {verb}... [{time} elapsed]{far}");
            let hook = hook(address, verb, Some(elapsed), None);
            let rate = speed.map(|speed| speed.rate);
            let seconds_left = speed.and_then(|speed| speed.left).map(|left| left.as_secs());
            let progress = progress.clone();
            line(Level::Info, message, Told::ApplyProgress { hook, progress, rate, seconds_left })
        }
        Event::Succeeded { address, verb, elapsed, id } => {
            let hook = hook(address, verb, Some(elapsed), id.as_deref());
            let (time, id) = (clock(*elapsed), bracket(id.as_deref()));
            let message = format!("{address}: {} complete after {time}{id}", noun(verb));
            line(Level::Info, message, Told::ApplyComplete { hook })
        }
        Event::Unsettled { address, verb, elapsed, message } => {
            let hook = hook(address, verb, Some(elapsed), None);
            let message = format!("{address}: outcome not known yet: {message}");
            line(Level::Warn, message, Told::ApplyUnsettled { hook })
        }
        Event::Failed { address, verb, elapsed, message, help } => {
            let hook = hook(address, verb, Some(elapsed), None);
            let (time, help) = (clock(*elapsed), help.clone());
            let message = format!("{address}: {} failed after {time}: {message}", noun(verb));
            line(Level::Error, message, Told::ApplyErrored { hook, help })
        }
        Event::Finding { address, finding: found } => finding(address, found),
        Event::Warning { address, message } => {
            diagnostic(Level::Warn, Some(address), message, None)
        }
        Event::Output { address, text } => {
            let output = redact(text).into_owned();
            let hook = hook(address, "running", None, None);
            line(
                Level::Info,
                format!("{address}: {output}"),
                Told::ProvisionProgress { hook, output },
            )
        }
        Event::Retrying { address, message, after } => {
            let message = format!("{address}: trying again in {}: {message}", clock(*after));
            line(Level::Warn, message, Told::Log { hook: Some(hook(address, "", None, None)) })
        }
        Event::Holding { address, running, what } => {
            let message = crate::view::summary::holding(address, running, what);
            line(Level::Warn, message, Told::Log { hook: Some(hook(address, "", None, None)) })
        }
    }
}
