//! What a person should know of a bucket before a dump is put there: whether it can be made, and who can read it.
//!
//! Pure. Tested beside.

use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::wire;

/// Generations whose buckets are encrypted at rest by Akamai's own statement ("Object Storage encryption", TechDocs):
/// rolled out to all of them between 2026-10-06 and 2026-11-16.
const ENCRYPTED: [&str; 2] = ["E2", "E3"];

/// What the findings are made from.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    /// Of the bucket that is there.
    endpoint_type: Option<String>,
    exists: bool,
    /// Generations of the region that are set up.
    ready: Vec<String>,
    /// Generations of the region that are announced, but have no address yet.
    announced: Vec<String>,
}

pub(super) fn facts(
    region: &str,
    found: Option<&wire::Bucket>,
    endpoints: &[wire::Endpoint],
) -> Result<Json, Fault> {
    let of_region = |ready: bool| {
        let mut kinds: Vec<String> = endpoints
            .iter()
            .filter(|it| it.region == region && it.s3_endpoint.is_some() == ready)
            .map(|it| it.endpoint_type.clone())
            .collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    let facts = Facts {
        endpoint_type: found.and_then(|found| found.endpoint_type.clone()),
        exists: found.is_some(),
        ready: of_region(true),
        announced: of_region(false),
    };
    serde_json::to_value(facts)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

pub(super) fn findings(want: &Tree, facts: &Json) -> Vec<Finding> {
    let Ok(facts) = serde_json::from_value::<Facts>(facts.clone()) else { return Vec::new() };
    let text = |name: &str| want.get(name).and_then(Tree::as_text);
    let (label, region) = (text("label").unwrap_or_default(), text("region").unwrap_or_default());
    let wanted = text("endpoint_type");
    let mut findings = Vec::new();
    if !facts.exists {
        findings.extend(place(region, wanted, &facts));
    }
    if let Some(acl @ ("public-read" | "public-read-write" | "authenticated-read")) = text("acl") {
        findings.push(
            Finding::warning("PGF1414", format!("`acl: {acl}` lets strangers into `{label}`"))
                .help("a dump holds all your data: use `acl: private`"),
        );
    }
    if text("encryption") == Some("required") {
        let one = match facts.ready.as_slice() {
            [only] => Some(only.as_str()),
            _ => None,
        };
        let kind = facts.endpoint_type.as_deref().or(wanted).or(one);
        findings.push(encryption(label, kind));
    }
    findings
}

/// Whether the region has what is wanted.
fn place(region: &str, wanted: Option<&str>, facts: &Facts) -> Option<Finding> {
    let has = |kinds: &[String]| match wanted {
        Some(wanted) => kinds.iter().any(|kind| kind == wanted),
        None => !kinds.is_empty(),
    };
    if has(&facts.ready) {
        return None;
    }
    let what = wanted.map_or_else(|| "Object Storage".to_owned(), |wanted| format!("`{wanted}`"));
    let there = if facts.ready.is_empty() { "nothing".to_owned() } else { facts.ready.join(", ") };
    Some(if has(&facts.announced) {
        Finding::error("PGF1413", format!("{what} in region `{region}` is not set up yet"))
            .help(format!("it has: {there}; choose another region or `endpoint_type`"))
    } else {
        Finding::error("PGF1415", format!("region `{region}` has no {what}"))
            .help(format!("it has: {there}; choose another region or `endpoint_type`"))
    })
}

fn encryption(label: &str, kind: Option<&str>) -> Finding {
    match kind {
        Some(kind) if ENCRYPTED.contains(&kind) => Finding::note(
            "PGF1411",
            format!(
                "bucket `{label}` ({kind}) is encrypted at rest by Akamai's public statement of 2026-11"
            ),
        ),
        Some(kind) => Finding::error(
            "PGF1412",
            format!("bucket `{label}` ({kind}) is not known to be encrypted at rest"),
        )
        .help("use a bucket of `endpoint_type: E3`, or set `encryption: none`"),
        None => Finding::error(
            "PGF1412",
            format!("it is not known which generation of store bucket `{label}` will be on"),
        )
        .help("set `endpoint_type: E3`, which is encrypted at rest"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(change: Json, kind: Option<&str>) -> Vec<String> {
        let mut want = json!({ "label": "b", "region": "us-ord" });
        for (key, value) in change.as_object().expect("an object") {
            want[key] = value.clone();
        }
        let facts = json!({ "endpoint_type": kind, "exists": kind.is_some(),
                            "ready": ["E1", "E3"], "announced": ["E2"] });
        findings(&Tree::from_json(&want), &facts).into_iter().map(|f| f.code).collect()
    }

    #[test]
    fn encryption_is_stated_or_missed() {
        let required = json!({ "encryption": "required" });
        assert_eq!(codes(required.clone(), Some("E3")), ["PGF1411"]);
        assert_eq!(codes(required.clone(), Some("E1")), ["PGF1412"]);
        assert_eq!(codes(required, None), ["PGF1412"]);
        let e3 = json!({ "encryption": "required", "endpoint_type": "E3" });
        assert_eq!(codes(e3, None), ["PGF1411"]);
        assert!(codes(json!({}), Some("E0")).is_empty());
    }

    #[test]
    fn a_place_must_be_there() {
        assert_eq!(codes(json!({ "endpoint_type": "E2" }), None), ["PGF1413"]);
        assert_eq!(codes(json!({ "endpoint_type": "E0" }), None), ["PGF1415"]);
        assert_eq!(codes(json!({ "acl": "public-read" }), None), ["PGF1414"]);
    }
}
