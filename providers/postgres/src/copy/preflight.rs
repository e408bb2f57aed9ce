//! What a person should know before a copy: all that a dump's preflight says of both ends, and what only a copy needs.
//!
//! Looking is in [`super::look`]; judging is pure. Codes and remedies are listed in [`crate::codes`]. Tested beside it
//! and in `tests/copy.rs`.

use pgferry_engine::finding::Finding;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::dump::preflight as dump;
use crate::target::{Occupancy, judge_occupancy};

/// Sessions besides the workers': the snapshot's, its observer's and two of `pg_dump`; the one that makes the schema and
/// the one that looks.
const BESIDES_AT_SOURCE: i64 = 4;
const BESIDES_AT_TARGET: i64 = 2;

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
    /// Relations of the source that are in a tablespace of their own.
    pub(super) in_tablespaces: i64,
    pub(super) occupancy: Occupancy,
    pub(super) accepted: Vec<Json>,
    pub(super) ours: bool,
}

/// What may be done at the target.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Writable {
    pub(super) server: String,
    pub(super) standby: bool,
    pub(super) read_only: bool,
    pub(super) pooled: bool,
    pub(super) may_create_schemas: bool,
    pub(super) may_create_in_public: bool,
}

/// Why the target may not be replaced. `ours`: what is there came from an attempt of ours that was cut short.
pub(super) fn refusal(
    found: &Occupancy,
    accepted: &[Json],
    ours: bool,
    target: (&str, &[String]),
    confirmed: &[(String, String)],
) -> Option<Finding> {
    if ours || accepted.contains(&found.fingerprint) {
        return None;
    }
    let names: Vec<&str> = target.1.iter().map(String::as_str).collect();
    judge_occupancy(found, accepted.first(), (target.0, &names), confirmed)
}

/// That `confirm` names something else than the target.
pub(super) fn misnamed(confirm: &str, address: &str, names: &[String]) -> Option<Finding> {
    if names.iter().any(|name| name == confirm) {
        return None;
    }
    let name = names.first().map_or("", String::as_str);
    let message =
        format!("`confirm: {confirm}` does not name `{address}`, whose data are replaced");
    let help = format!("if its data may be replaced, set `confirm: {name}`");
    Some(Finding::error("PGF1211", message).help(help))
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
    // No archive is written, so nobody has to read one.
    let mut findings: Vec<Finding> =
        dump::judge(&seen.dump).into_iter().filter(|finding| finding.code != "PGF1103").collect();
    let confirm = want.get("confirm").and_then(Tree::as_text).unwrap_or_default();
    findings.extend(misnamed(confirm, &seen.address, &seen.names));
    if seen.same {
        findings.push(one_and_the_same(&seen.address));
        return findings;
    }
    target(&seen, &mut findings);
    sessions(&seen, &mut findings);
    if !seen.missing.is_empty() {
        let names: Vec<String> = seen.missing.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("`{}` does not offer {}", seen.target.server, names.join(", "));
        let help = "drop the extension from the source, or choose another target";
        findings.push(Finding::error("PGF1301", message).help(help));
    }
    if seen.in_tablespaces > 0 {
        let message = format!(
            "{} tables and indexes in a tablespace of their own go to the target's default one",
            seen.in_tablespaces
        );
        findings.push(Finding::note("PGF1110", message));
    }
    let named = (seen.address.as_str(), seen.names.as_slice());
    findings.extend(refusal(&seen.occupancy, &seen.accepted, seen.ours, named, confirmed));
    findings
}

fn target(seen: &Seen, findings: &mut Vec<Finding>) {
    let (target, address) = (&seen.target, &seen.address);
    for (is, what, help) in [
        (target.standby, "is a standby", "name its primary"),
        (
            target.read_only,
            "is read only by default",
            "alter database … reset default_transaction_read_only",
        ),
        (target.pooled, "is behind a connection pooler", "give the URL of the server itself"),
    ] {
        if is {
            let message = format!("`{address}` {what}, and cannot be filled");
            findings.push(Finding::error("PGF1213", message).help(help));
        }
    }
    for (may, what) in [
        (target.may_create_schemas, "schemas"),
        (target.may_create_in_public, "tables in the schema `public`"),
    ] {
        if !may {
            let message = format!("the role of `{address}` may not create {what}");
            let help = "use the database's owner, or grant it CREATE";
            findings.push(Finding::warning("PGF1214", message).help(help));
        }
    }
}

fn sessions(seen: &Seen, findings: &mut Vec<Finding>) {
    let (source, target) = seen.room;
    for (end, room, besides, each) in
        [("source", source, BESIDES_AT_SOURCE, 1), ("target", target, BESIDES_AT_TARGET, 2)]
    {
        let wanted = besides + seen.jobs * each;
        let message =
            format!("the {end} has {room} sessions left, and `jobs: {}` wants {wanted}", seen.jobs);
        let finding = match room {
            room if room < besides + each => Finding::error("PGF1215", message),
            room if room < wanted => Finding::warning("PGF1215", message),
            _ => continue,
        };
        findings.push(finding.help("end other sessions, or set fewer `jobs`"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(change: Json, confirmed: &[(&str, &str)]) -> Vec<String> {
        let mut facts = json!({
            "dump": null, "address": "target", "names": ["acme"], "same": false, "jobs": 4, "room": [90, 90],
            "missing": [], "in_tablespaces": 0, "accepted": [], "ours": false,
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
