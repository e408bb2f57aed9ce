//! What a person should know before a copy: all that a dump's preflight says of both ends, and what only a copy needs.
//!
//! Looking is in [`super::look`]; judging is pure. Codes and remedies are listed in [`crate::codes`]. Tested beside it
//! and in `tests/copy.rs`.

use pgferry_engine::finding::Finding;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::dump::preflight as dump;
use crate::fill::guard::{self, Sessions, Writable};
use crate::target::{Emptying, Occupancy, judge_occupancy};

/// Sessions besides the workers': the snapshot's, its observer's and two of `pg_dump`; the one that makes the schema and
/// the one that looks.
pub(super) const BESIDES_AT_SOURCE: i64 = 4;
pub(super) const BESIDES_AT_TARGET: i64 = 2;

/// Facts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Facts of the dump's preflight.
    pub(super) dump: Json,
    /// Of the target in the spec.
    pub(super) address: String,
    pub(super) names: Vec<String>,
    /// Both ends are one database.
    pub(super) same: bool,
    pub(super) target: Writable,
    pub(super) jobs: i64,
    /// Sessions that each end has left.
    pub(super) room: (i64, i64),
    /// Extensions of the source that the target's server does not offer.
    pub(super) missing: Vec<String>,
    pub(super) occupancy: Occupancy,
    pub(super) accepted: Vec<Json>,
    pub(super) ours: bool,
}

/// That both ends are one.
pub(super) fn one_and_the_same(address: &str) -> Finding {
    let message =
        format!("`{address}` is the very database that is copied: it would be emptied first");
    Finding::error("PGF1212", message).help("let `into` be another database")
}

/// The findings.
pub(super) fn judge(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
    // Facts of another shape are not ours to judge: nothing was looked at yet.
    let Ok(seen) = serde_json::from_value::<Seen>(facts.clone()) else { return Vec::new() };
    // No archive is written, so nobody has to read one, and it has no settings of its own.
    let mut findings: Vec<Finding> = dump::judge(&Tree::Null, &seen.dump)
        .into_iter()
        .filter(|finding| !["PGF1103", "PGF1117"].contains(&finding.code.as_str()))
        .collect();
    let confirm = want.get("confirm").and_then(Tree::as_text).unwrap_or_default();
    findings.extend(guard::misnamed(confirm, &seen.address, &seen.names));
    if seen.same {
        findings.push(one_and_the_same(&seen.address));
        return findings;
    }
    guard::unfit(&seen.target, &seen.address, &mut findings);
    let (source, target) = seen.room;
    for (end, room, besides, for_each_job) in
        [("source", source, BESIDES_AT_SOURCE, 1), ("target", target, BESIDES_AT_TARGET, 2)]
    {
        let jobs = seen.jobs;
        findings.extend(Sessions { end, room, besides, for_each_job, jobs }.finding());
    }
    findings.extend(guard::not_offered(&seen.target.server, &seen.missing));
    let named = (seen.address.as_str(), seen.names.as_slice());
    let (found, ours) = (&seen.occupancy, seen.ours);
    findings.extend(judge_occupancy(found, &seen.accepted, ours, Emptying::Ours, named, confirmed));
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(change: Json, confirmed: &[(&str, &str)]) -> Vec<String> {
        let mut facts = json!({
            "dump": null, "address": "target", "names": ["acme"], "same": false, "jobs": 4, "room": [90, 90],
            "missing": [], "accepted": [], "ours": false,
            "target": { "server": "h:1", "standby": false, "read_only": false, "pooled": false,
                        "may_create_schemas": true, "may_create_in_public": true },
            "occupancy": { "relations": [], "relation_count": 0, "large_objects": 0, "rows": 0,
                           "fingerprint": { "sha256": "aa" } },
        });
        for (key, value) in change.as_object().expect("an object") {
            match (value.as_object(), facts[key].as_object_mut()) {
                (Some(more), Some(there)) => there.extend(more.clone()),
                _ => facts[key] = value.clone(),
            }
        }
        let confirmed: Vec<(String, String)> =
            confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let want = Tree::from_json(&json!({ "confirm": "acme" }));
        judge(&want, &facts, &confirmed).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn each_obstacle_is_told() {
        assert_eq!(codes(json!({}), &[]), Vec::<String>::new());
        assert_eq!(codes(json!({ "names": ["other"] }), &[]), ["PGF1211"]);
        assert_eq!(codes(json!({ "same": true }), &[]), ["PGF1212"]);
        let locked = json!({ "target": { "standby": true, "pooled": true } });
        assert_eq!(codes(locked, &[]), ["PGF1213", "PGF1213"]);
        assert_eq!(codes(json!({ "target": { "may_create_schemas": false } }), &[]), ["PGF1214"]);
        assert_eq!(codes(json!({ "room": [5, 90] }), &[]), ["PGF1215"]);
        assert_eq!(codes(json!({ "room": [90, 2] }), &[]), ["PGF1215"]);
        assert_eq!(codes(json!({ "missing": ["postgis"] }), &[]), ["PGF1301"]);
    }

    #[test]
    fn a_full_target_is_ours_confirmed_or_refused() {
        let full = || json!({ "occupancy": { "relation_count": 1, "relations": ["public.t"] } });
        let with = |key: &str, value: Json| {
            let mut facts = full();
            facts[key] = value;
            facts
        };
        assert_eq!(codes(full(), &[]), ["PGF1201"]);
        assert!(codes(full(), &[("target", "acme")]).is_empty());
        assert!(codes(with("accepted", json!([{ "sha256": "aa" }])), &[]).is_empty());
        assert_eq!(codes(with("accepted", json!([{ "sha256": "bb" }])), &[]), ["PGF1201"]);
        assert!(codes(with("ours", json!(true)), &[]).is_empty());
    }
}
