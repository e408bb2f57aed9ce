//! A plan as one document, in the shape of Terraform's plan JSON 1.2: what policy tools and pull-request bots read.
//!
//! `before` and `after` are whole: attributes, and over them the fields. Secrets stand as `(sensitive)`; what is known
//! only after apply is left out of `after` and marked in `after_unknown`. Beside Terraform's members stand `kind`,
//! `reasons` and `notes` of each change, `scopes`, `expected`, `removals`, `findings` and `moved`.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::address::Address;
use pgferry_engine::info::Kind;
use pgferry_engine::plan::values::Values;
use pgferry_engine::plan::{Action, Change, Expected, Located, OutputChange, Plan, ScopeChange};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{Reasons, word};

/// What a document is made from.
pub(crate) struct Parts<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) values: &'a BTreeMap<Address, Values>,
    /// What was found of the resources that drifted.
    pub(crate) drifted: &'a BTreeMap<Address, Values>,
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// Whether it is of the whole spec.
    pub(crate) complete: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: &'static str,
    pgferry_version: &'static str,
    variables: BTreeMap<&'a str, Json>,
    planned_values: State<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_drift: Vec<ResourceChange<'a>>,
    resource_changes: Vec<ResourceChange<'a>>,
    output_changes: BTreeMap<&'a str, ValueChange<'a>>,
    prior_state: Prior<'a>,
    checks: Vec<Json>,
    timestamp: String,
    applyable: bool,
    complete: bool,
    errored: bool,
    scopes: &'a BTreeMap<Address, ScopeChange>,
    /// How long runs are expected to take, and windows to be open.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expected: &'a BTreeMap<Address, Expected>,
    /// What goes after use, and the runs that it waits for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    removals: &'a BTreeMap<Address, Vec<Address>>,
    findings: &'a [Located],
}

#[derive(Serialize)]
struct Prior<'a> {
    format_version: &'static str,
    values: State<'a>,
}

#[derive(Serialize)]
struct State<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<&'a str, Json>,
    root_module: Module<'a>,
}

#[derive(Serialize)]
struct Module<'a> {
    resources: Vec<Resource<'a>>,
}

/// Where a resource is, in Terraform's terms.
#[derive(Clone, Serialize)]
struct Place<'a> {
    address: &'a Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_address: Option<&'a Address>,
    mode: &'static str,
    #[serde(rename = "type")]
    type_name: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<&'a str>,
    provider_name: &'a str,
}

#[derive(Serialize)]
struct Resource<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    schema_version: u32,
    values: &'a Map<String, Json>,
    sensitive_values: &'a Map<String, Json>,
}

#[derive(Serialize)]
struct ResourceChange<'a> {
    #[serde(flatten)]
    place: Place<'a>,
    change: ValueChange<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_reason: Option<&'static str>,
    /// The rest is beside Terraform's.
    kind: Kind,
    action: &'static str,
    reasons: &'a [String],
    notes: &'a [String],
}

#[derive(Serialize)]
struct ValueChange<'a> {
    actions: &'static [&'static str],
    before: Option<Shown<'a>>,
    after: Option<Shown<'a>>,
    after_unknown: Shown<'a>,
    before_sensitive: Shown<'a>,
    after_sensitive: Shown<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replace_paths: Vec<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    importing: Option<Json>,
}

/// A value that is borrowed, whole or as a map, or a plain yes or no.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Map(&'a Map<String, Json>),
    Value(&'a Json),
    Is(bool),
}

/// The whole document.
pub(crate) fn document(parts: &Parts<'_>) -> impl Serialize {
    let Parts { plan, values, drifted, variables, complete } = parts;
    let reasons = Reasons::of(plan);
    let changes = plan.changes.values();
    let errored = plan.errors().next().is_some();
    Document {
        format_version: "1.2",
        pgferry_version: env!("CARGO_PKG_VERSION"),
        variables: variables
            .iter()
            .map(|(name, value)| (name.as_str(), json!({ "value": value })))
            .collect(),
        planned_values: State {
            outputs: plan
                .outputs
                .iter()
                .map(|(name, output)| (name.as_str(), planned(output)))
                .collect(),
            root_module: Module {
                resources: resources(plan, values, |values| {
                    Some((values.after.as_ref()?, &values.after_sensitive))
                }),
            },
        },
        resource_drift: plan
            .drift
            .iter()
            .filter_map(|(address, drift)| {
                let change = plan.changes.get(address)?;
                let actions: &[&str] = if drift.gone { &["delete"] } else { &["update"] };
                Some(ResourceChange {
                    place: place(plan, change),
                    change: value_change(actions, change, drifted.get(address)?, false),
                    action_reason: None,
                    kind: change.kind,
                    action: if drift.gone { "delete" } else { "update" },
                    reasons: &[],
                    notes: &[],
                })
            })
            .collect(),
        resource_changes: changes
            .filter_map(|change| {
                let values = values.get(&change.address)?;
                Some(ResourceChange {
                    place: place(plan, change),
                    change: value_change(actions(change), change, values, true),
                    action_reason: reasons.why(change),
                    kind: change.kind,
                    action: word(change.action),
                    reasons: &change.reasons,
                    notes: &change.notes,
                })
            })
            .collect(),
        output_changes: plan
            .outputs
            .iter()
            .map(|(name, output)| (name.as_str(), output_change(output)))
            .collect(),
        prior_state: Prior {
            format_version: "1.0",
            values: State {
                outputs: BTreeMap::new(),
                root_module: Module {
                    resources: resources(plan, values, |values| {
                        Some((values.before.as_ref()?, &values.before_sensitive))
                    }),
                },
            },
        },
        checks: checks(plan),
        timestamp: plan.at.to_string(),
        applyable: plan.has_changes() && !errored,
        complete: *complete,
        errored,
        scopes: &plan.scopes,
        expected: &plan.expected,
        removals: &plan.removals,
        findings: &plan.findings,
    }
}

fn place<'a>(plan: &'a Plan, change: &'a Change) -> Place<'a> {
    Place {
        address: &change.address,
        previous_address: plan.moved.get(&change.address),
        mode: if change.kind == Kind::Lookup { "data" } else { "managed" },
        type_name: &change.type_name,
        name: change.address.name(),
        index: change.address.key(),
        provider_name: change.type_name.split('.').next().unwrap_or_default(),
    }
}

type Half<'a> = Option<(&'a Map<String, Json>, &'a Map<String, Json>)>;

/// The resources that are there before, or afterwards.
fn resources<'a>(
    plan: &'a Plan,
    values: &'a BTreeMap<Address, Values>,
    half: impl Fn(&'a Values) -> Half<'a>,
) -> Vec<Resource<'a>> {
    let changes = plan.changes.values();
    let found = changes.filter_map(|change| {
        let (values, sensitive_values) = half(values.get(&change.address)?)?;
        let place = Place { previous_address: None, ..place(plan, change) };
        Some(Resource { place, schema_version: 0, values, sensitive_values })
    });
    found.collect()
}

/// What happens, in Terraform's terms: a run is something created; what is only taken into the state is left as it is.
fn actions(change: &Change) -> &'static [&'static str] {
    match change.action {
        Action::Import if !change.fields.is_empty() => &["update"],
        Action::NoOp | Action::Import | Action::Settle => &["no-op"],
        Action::Create | Action::Run => &["create"],
        Action::Update => &["update"],
        Action::Replace => &["delete", "create"],
        Action::Delete => &["delete"],
        Action::Forget => &["forget"],
        Action::Read => &["read"],
    }
}

fn value_change<'a>(
    actions: &'static [&'static str],
    change: &'a Change,
    values: &'a Values,
    planned: bool,
) -> ValueChange<'a> {
    let marks = |there: bool, marks: &'a Map<String, Json>| {
        if there { Shown::Map(marks) } else { Shown::Is(false) }
    };
    let forcing = change.fields.iter().filter(|field| planned && field.forces);
    ValueChange {
        actions,
        before: values.before.as_ref().map(Shown::Map),
        after: values.after.as_ref().map(Shown::Map),
        after_unknown: Shown::Map(&values.after_unknown),
        before_sensitive: marks(values.before.is_some(), &values.before_sensitive),
        after_sensitive: marks(values.after.is_some(), &values.after_sensitive),
        replace_paths: forcing.map(|field| [field.name.as_str()]).collect(),
        importing: change.id.as_ref().filter(|_| planned).map(|id| json!({ "id": id })),
    }
}

fn planned(output: &OutputChange) -> Json {
    let mut said = json!({ "sensitive": output.sensitive });
    if let (false, false, Some(value), Some(map)) =
        (output.sensitive, output.unknown, &output.after, said.as_object_mut())
    {
        map.insert("value".to_owned(), value.clone());
    }
    said
}

fn output_change(output: &OutputChange) -> ValueChange<'_> {
    ValueChange {
        actions: if output.before.is_some() { &["update"] } else { &["create"] },
        before: output.before.as_ref().map(Shown::Value),
        after: output.after.as_ref().filter(|_| !output.unknown).map(Shown::Value),
        after_unknown: Shown::Is(output.unknown),
        before_sensitive: Shown::Is(output.sensitive && output.before.is_some()),
        after_sensitive: Shown::Is(output.sensitive),
        replace_paths: Vec::new(),
        importing: None,
    }
}

/// Findings as Terraform's checks: of each resource that has some, whether one of them stops the plan, and which.
fn checks(plan: &Plan) -> Vec<Json> {
    let concerned: BTreeSet<&Address> = plan.findings.iter().map(|found| &found.address).collect();
    let mut problems = BTreeMap::<&Address, Vec<Json>>::new();
    for found in plan.errors() {
        let finding = &found.finding;
        let message = format!("[{}] {}", finding.code, finding.message);
        problems.entry(&found.address).or_default().push(json!({ "message": message }));
    }
    let check = |address: &Address| {
        let problems = problems.get(address).cloned().unwrap_or_default();
        let status = if problems.is_empty() { "pass" } else { "fail" };
        let type_name = plan.changes.get(address).map(|change| change.type_name.as_str());
        json!({
            "address": {
                "kind": "resource", "to_display": address, "mode": "managed",
                "type": type_name, "name": address.name(),
            },
            "status": status,
            "instances": [{ "address": { "to_display": address }, "status": status, "problems": problems }],
        })
    };
    concerned.into_iter().map(check).collect()
}
