//! The same facts as JSON: event lines and plans in the shapes that readers of Terraform's know.
//!
//! Names and meanings are those of Terraform's machine-readable UI 1.2 and plan format 1.2, with every secret already
//! left out; what has no counterpart there (`run`, scopes, findings) is added beside.

use pgferry_engine::apply::Outcome;
use pgferry_engine::diag::{Diagnostic, Severity};
use pgferry_engine::event::Event;
use pgferry_engine::plan::{Action, Change, Plan};
use pgferry_engine::secret::redact;
use pgferry_engine::source::Source;
use serde_json::{Map, Value as Json, json};

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

fn line(kind: &str, level: &str, message: String, rest: Json) -> Json {
    let mut object = Map::new();
    object.insert("@level".into(), json!(level));
    object.insert("@message".into(), json!(redact(&message)));
    object.insert("@module".into(), json!("pgferry.ui"));
    object.insert("@timestamp".into(), json!(now()));
    object.insert("type".into(), json!(kind));
    if let Json::Object(rest) = rest {
        object.extend(rest);
    }
    Json::Object(object)
}

fn now() -> String {
    use pgferry_engine::cx::{Clock, SystemClock};
    SystemClock.now().to_string()
}

/// The first line of every stream.
pub(crate) fn version() -> Json {
    let version = env!("CARGO_PKG_VERSION");
    line("version", "info", format!("pgferry {version}"), json!({"pgferry": version, "ui": "1.2"}))
}

/// Terraform's word for an action.
fn action(action: Action) -> &'static str {
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

fn resource(change: &Change) -> Json {
    json!({
        "addr": change.address,
        "resource": change.address,
        "resource_type": change.type_name,
        "resource_name": change.address.name(),
        "implied_provider": change.type_name.split('.').next(),
    })
}

fn drift_change(drift: &Json) -> Json {
    let resource = json!({
        "addr": drift["address"],
        "resource": drift["address"],
        "resource_type": drift["type"],
        "resource_name": drift["name"],
        "implied_provider": drift["provider_name"],
    });
    json!({"change": {"resource": resource, "action": drift["change"]["actions"][0]}})
}

/// The plan as lines: one `planned_change` each, then `change_summary`.
pub(crate) fn plan_lines(plan: &Plan) -> Vec<Json> {
    let drift = super::drift::resources(plan).map(|drift| {
        let message = format!("{}: Drift detected", drift["address"].as_str().unwrap_or_default());
        line("resource_drift", "info", message, drift_change(&drift))
    });
    let changes =
        plan.changes.values().filter(|change| change.action != Action::NoOp).map(|change| {
            let word = action(change.action);
            let message = format!("{}: Plan to {word}", change.address);
            let change =
                json!({"resource": resource(change), "action": word, "reasons": change.reasons});
            line("planned_change", "info", message, json!({"change": change}))
        });
    let mut lines: Vec<Json> = drift.chain(changes).collect();
    for located in &plan.findings {
        use pgferry_engine::finding::Severity;
        let level = match located.finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warn",
            Severity::Note => "info",
        };
        let message = located.finding.message.clone();
        lines.push(line("finding", level, message, json!({"finding": located})));
    }
    if let Some(partial) = super::partial::warning(plan) {
        let diagnostic = json!({
            "severity": "warning", "summary": partial, "detail": super::partial::HELP,
        });
        let message = format!("Warning: {partial}");
        lines.push(line("diagnostic", "warn", message, json!({"diagnostic": diagnostic})));
    }
    lines.push(summary(plan.counts(), "plan"));
    lines
}

/// A plan as one document: `resource_changes[].change.{actions,before,after,after_unknown}` and friends.
pub(crate) fn plan_document(plan: &Plan) -> Json {
    let changes: Vec<Json> = plan.changes.values().map(resource_change).collect();
    json!({
        "format_version": "1.2",
        "pgferry_version": env!("CARGO_PKG_VERSION"),
        "timestamp": plan.at,
        "applyable": plan.has_changes() && plan.errors().next().is_none(),
        "complete": plan.left_out.is_empty(),
        "errored": plan.errors().next().is_some(),
        "resource_drift": super::drift::resources(plan).collect::<Vec<_>>(),
        "resource_changes": changes,
        "scopes": plan.scopes,
        "findings": plan.findings,
    })
}

fn resource_change(change: &Change) -> Json {
    let actions = match change.action {
        Action::NoOp | Action::Import | Action::Settle => json!(["no-op"]),
        Action::Create | Action::Run => json!(["create"]),
        Action::Update => json!(["update"]),
        Action::Replace => json!(["delete", "create"]),
        Action::Delete => json!(["delete"]),
        Action::Forget => json!(["forget"]),
        Action::Read => json!(["read"]),
    };
    let gone = matches!(change.action, Action::Delete | Action::Forget);
    let made = matches!(change.action, Action::Create | Action::Run);
    let (mut before, mut after, mut unknown, mut sensitive) =
        (Map::new(), Map::new(), Map::new(), Map::new());
    for field in &change.fields {
        before.insert(field.name.clone(), field.before.clone().unwrap_or(Json::Null));
        match (field.unknown, &field.after) {
            (true, _) => drop(unknown.insert(field.name.clone(), json!(true))),
            (false, value) => {
                drop(after.insert(field.name.clone(), value.clone().unwrap_or(Json::Null)))
            }
        }
        if field.sensitive {
            sensitive.insert(field.name.clone(), json!(true));
        }
    }
    let forces =
        change.fields.iter().filter(|field| field.forces).map(|field| vec![field.name.clone()]);
    json!({
        "address": change.address,
        "mode": if change.kind == pgferry_engine::info::Kind::Lookup { "data" } else { "managed" },
        "type": change.type_name,
        "name": change.address.name(),
        "provider_name": change.type_name.split('.').next(),
        "change": {
            "actions": actions,
            "before": if made { Json::Null } else { Json::Object(before) },
            "after": if gone { Json::Null } else { Json::Object(after) },
            "after_unknown": unknown,
            "before_sensitive": sensitive,
            "after_sensitive": sensitive,
            "replace_paths": forces.collect::<Vec<_>>(),
        },
        "kind": change.kind,
        "action": action(change.action),
        "reasons": change.reasons,
    })
}

fn summary(counts: pgferry_engine::plan::Counts, operation: &str) -> Json {
    let (add, change, remove, import) = (counts.add, counts.change, counts.destroy, counts.import);
    let message = match operation {
        "plan" => format!("Plan: {add} to add, {change} to change, {remove} to destroy."),
        _ => {
            format!("Apply complete! Resources: {add} added, {change} changed, {remove} destroyed.")
        }
    };
    let changes = json!({"add": add, "change": change, "import": import, "remove": remove, "operation": operation});
    line("change_summary", "info", message, json!({"changes": changes}))
}

/// The end of an apply, also of one that failed: what was done, what failed, what was not attempted.
pub(crate) fn apply_lines(outcome: &Outcome) -> Vec<Json> {
    let mut lines: Vec<Json> = outcome
        .failed
        .iter()
        .map(|failure| {
            let detail = failure.help.clone().unwrap_or_default();
            let diagnostic = json!({
                "severity": "error", "summary": redact(&failure.message), "detail": detail, "address": failure.address,
            });
            line("diagnostic", "error", format!("Error: {}", failure.message), json!({"diagnostic": diagnostic}))
        })
        .collect();
    let mut last = summary(outcome.counts, "apply");
    if let Json::Object(object) = &mut last {
        object.insert("not_attempted".into(), json!(outcome.skipped));
        if !outcome.is_success() {
            object.insert("@level".into(), json!("error"));
            object.insert("@message".into(), json!("Apply did not finish"));
        }
    }
    lines.push(last);
    lines
}

/// One event as a line.
pub(crate) fn event(event: &Event) -> Json {
    let hook = |address: &pgferry_engine::address::Address,
                verb: &str,
                elapsed: Option<std::time::Duration>| {
        let mut hook =
            json!({"resource": {"addr": address, "resource_name": address.name()}, "action": verb});
        if let (Some(elapsed), Json::Object(object)) = (elapsed, &mut hook) {
            object.insert("elapsed_seconds".into(), json!(elapsed.as_secs()));
        }
        hook
    };
    match event {
        Event::Started { address, verb, id } => {
            let mut hook = hook(address, verb, None);
            if let (Some(id), Json::Object(object)) = (id, &mut hook) {
                object.insert("id_key".into(), json!("id"));
                object.insert("id_value".into(), json!(id));
            }
            line("apply_start", "info", format!("{address}: {verb}..."), json!({"hook": hook}))
        }
        Event::Progress { address, verb, elapsed, progress } => {
            let message = format!("{address}: still {verb}... [{}s elapsed]", elapsed.as_secs());
            let hook = hook(address, verb, Some(*elapsed));
            line("apply_progress", "info", message, json!({"hook": hook, "progress": progress}))
        }
        Event::Succeeded { address, verb, elapsed, id } => {
            let mut hook = hook(address, verb, Some(*elapsed));
            if let (Some(id), Json::Object(object)) = (id, &mut hook) {
                object.insert("id_key".into(), json!("id"));
                object.insert("id_value".into(), json!(id));
            }
            let message = format!("{address}: {verb} complete after {}s", elapsed.as_secs());
            line("apply_complete", "info", message, json!({"hook": hook}))
        }
        Event::Unsettled { address, verb, elapsed, message } => {
            let hook = hook(address, verb, Some(*elapsed));
            let text = format!("{address}: outcome not known yet: {message}");
            line("apply_unsettled", "warn", text, json!({"hook": hook}))
        }
        Event::Failed { address, verb, elapsed, message, help } => {
            let hook = hook(address, verb, Some(*elapsed));
            let text = format!("{address}: {verb} failed: {message}");
            line("apply_errored", "error", text, json!({"hook": hook, "help": help}))
        }
        Event::Finding { address, finding } => {
            let located = json!({"address": address, "code": finding.code, "severity": finding.severity,
                "message": redact(&finding.message), "help": finding.help});
            line(
                "finding",
                "info",
                format!("{address}: {}", finding.message),
                json!({"finding": located}),
            )
        }
        Event::Warning { address, message } => {
            let diagnostic =
                json!({"severity": "warning", "summary": redact(message), "address": address});
            line(
                "diagnostic",
                "warn",
                format!("Warning: {message}"),
                json!({"diagnostic": diagnostic}),
            )
        }
        Event::Output { address, text } => line(
            "provision_progress",
            "info",
            format!("{address}: {text}"),
            json!({"hook": hook(address, "running", None), "output": redact(text)}),
        ),
        Event::Retrying { address, message, after } => {
            let text = format!("{address}: trying again in {}s: {message}", after.as_secs());
            line("log", "warn", text, json!({"hook": hook(address, "retrying", None)}))
        }
        Event::Stopping { held } => {
            line("log", "warn", "stopping; some scopes stay open".to_owned(), json!({"held": held}))
        }
    }
}
