//! What a refresh-only plan has found, in Terraform's words and shapes.

use pgferry_engine::plan::Plan;
use serde_json::{Map, Value as Json, json};

use super::plan::{attribute, findings, line};

/// The whole plan, findings included.
pub(crate) fn text(plan: &Plan) -> String {
    let mut out = String::new();
    if !plan.drift.is_empty() {
        out.push_str("Note: Objects have changed outside of pgferry\n\n");
        out.push_str("pgferry detected the following changes made outside of pgferry since the last \"pgferry apply\":\n");
    }
    for (address, drift) in &plan.drift {
        let (what, sign) = if drift.gone { ("deleted", "-") } else { ("changed", "~") };
        let verb = if drift.gone { "has been" } else { "has" };
        line(&mut out, &format!("\n  # {address} {verb} {what}"));
        line(&mut out, &format!("  {sign} {address}: {}", drift.type_name));
        let width = drift.fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
        for field in &drift.fields {
            attribute(&mut out, field, width);
        }
    }
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

/// Each resource that is not as it is remembered, in the shape of `resource_drift`.
pub(crate) fn resources(plan: &Plan) -> impl Iterator<Item = Json> {
    plan.drift.iter().map(|(address, drift)| {
        let side = |before: bool| {
            let fields = drift.fields.iter().map(|field| {
                let value = if before { &field.before } else { &field.after };
                (field.name.clone(), value.clone().unwrap_or(Json::Null))
            });
            Json::Object(fields.collect::<Map<_, _>>())
        };
        json!({
            "address": address,
            "mode": if drift.kind == pgferry_engine::info::Kind::Lookup { "data" } else { "managed" },
            "type": drift.type_name,
            "name": address.name(),
            "provider_name": drift.type_name.split('.').next(),
            "change": {
                "actions": [if drift.gone { "delete" } else { "update" }],
                "before": side(true),
                "after": if drift.gone { Json::Null } else { side(false) },
                "after_unknown": {},
                "before_sensitive": {},
                "after_sensitive": {},
            },
        })
    })
}
