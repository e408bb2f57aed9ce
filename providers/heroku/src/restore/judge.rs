//! Whether the target may be overwritten, and whether Heroku is free to do it.
//!
//! The findings are pure; the facts come from the target itself and from the Data API. Tested beside.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use pgferry_postgres::dump::is_zstd;
use pgferry_postgres::target::{Emptying, Known, Look, Occupancy, judge_occupancy, occupancy};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::notes::Notes;
use super::{Target, source, watch};
use crate::api::Api;

/// What the findings are made from.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    /// The add-on's address, name and app.
    address: String,
    names: Vec<String>,
    app: Option<String>,
    /// `None`: it is being restored into by our own earlier attempt.
    occupancy: Option<Occupancy>,
    /// Fingerprints of what our own restores left there, or what was there when one was asked for.
    accepted: Vec<Json>,
    /// An earlier attempt of ours emptied it and put in what is there.
    ours: bool,
    /// Another transfer of the same database, by its number.
    in_progress: Option<String>,
    /// Apps besides its own that read the database now, and by which config var.
    in_use: Vec<(String, String)>,
}

pub(super) async fn facts(
    api: &Api,
    cx: &Cx,
    want: &Tree,
    remembered: Option<&Remembered>,
) -> Result<Option<Json>, Fault> {
    // Known once the dump is made.
    if is_zstd(compression(want)) {
        return Ok(Some(Json::Null));
    }
    let Some(endpoint) = endpoint(want) else { return Ok(None) };
    let names = names(&endpoint);
    let address = endpoint.address.to_string();
    let earlier = (cx.world.intent)(&cx.address).as_ref().map(Notes::of).unwrap_or_default();
    let mut known = known(remembered, &earlier);
    let mut facts = Facts {
        address,
        names,
        app: endpoint.app.clone(),
        occupancy: None,
        accepted: known.accepted.clone(),
        ours: false,
        in_progress: None,
        in_use: Vec::new(),
    };
    if let Ok(target) = Target::of(endpoint.clone()) {
        let begun = watch::find(api, cx, &target.app, &earlier).await?;
        let going = begun.as_ref().filter(|begun| !begun.is_over()).map(|it| it.uuid.clone());
        if begun.is_some() && earlier.left.is_none() {
            known.begun = earlier.found.clone();
        }
        let database = url::Url::parse(target.endpoint.url.expose()).ok();
        let database = database.as_ref().map(url::Url::path);
        let used = api.attachments_of(cx, &target.database).await;
        let used = used.map_err(|error| {
            error.during(format!("listing the apps that use add-on `{}`", target.name))
        })?;
        facts.in_use = used
            .into_iter()
            .filter(|attachment| attachment.app.name != target.app)
            .map(|attachment| (attachment.app.name, format!("{}_URL", attachment.name)))
            .collect();
        let all = api.transfers(cx, &target.app).await;
        let all = all.map_err(|error| {
            error.during(format!("listing the transfers of app `{}`", target.app))
        })?;
        facts.in_progress = all
            .iter()
            .filter(|transfer| !transfer.is_over() && Some(&transfer.uuid) != going.as_ref())
            .find(|transfer| {
                let touches = [transfer.to_path.as_deref(), transfer.from_path.as_deref()];
                touches.contains(&database)
            })
            .map(crate::wire::Transfer::display);
        if going.is_some() {
            return json(&facts).map(Some);
        }
    }
    let found = occupancy(&endpoint, cx, &known, Look::Judge).await?;
    facts.ours = found.is_begun(&known);
    facts.occupancy = Some(found);
    json(&facts).map(Some)
}

/// The target, where it is known.
pub(super) fn endpoint(want: &Tree) -> Option<Endpoint> {
    let into = want.get("into").filter(|into| !matches!(into, Tree::Unknown))?;
    into.get("url").filter(|url| !matches!(url, Tree::Unknown))?;
    into.to_typed().ok()
}

fn json(facts: &Facts) -> Result<Json, Fault> {
    serde_json::to_value(facts)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

fn names(endpoint: &Endpoint) -> Vec<String> {
    [&endpoint.name, &endpoint.app, &endpoint.database].into_iter().flatten().cloned().collect()
}

/// What is known of the target before it is looked at.
pub(super) fn known(remembered: Option<&Remembered>, earlier: &Notes) -> Known {
    let done = remembered.and_then(|it| it.memory.get("fingerprint")).map(Tree::storable);
    let accepted = [done, earlier.found.clone(), earlier.left.clone()];
    Known { accepted: accepted.into_iter().flatten().collect(), ..Known::default() }
}

/// Why the target may not be overwritten. `ours`: what is there came from an attempt of ours that was cut short.
pub(super) fn refusal(
    found: &Occupancy,
    accepted: &[Json],
    ours: bool,
    target: &Target,
    confirmed: &[(String, String)],
) -> Option<Finding> {
    let names = names(&target.endpoint);
    let target = (target.endpoint.address.as_str(), names.as_slice());
    judge_occupancy(found, accepted, ours, Emptying::Everything, target, confirmed)
}

/// What the dump says of its compression.
fn compression(want: &Tree) -> Option<&Tree> {
    want.get("from")?.get("compression")
}

/// Why an archive in zstd is not restored.
pub(super) fn unreadable() -> Finding {
    let what = "the archive is compressed by zstd, which Heroku's `pg_restore` may not read";
    Finding::error("PGF1516", what)
        .help("leave `compression` out at the dump, or restore by `postgres.restore`")
}

pub(super) fn findings(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
    if is_zstd(compression(want)) {
        return vec![unreadable()];
    }
    let Ok(facts) = serde_json::from_value::<Facts>(facts.clone()) else { return Vec::new() };
    let mut findings = Vec::new();
    let confirm = want.get("confirm").and_then(Tree::as_text).unwrap_or_default();
    match &facts.app {
        None => findings.push(
            Finding::error("PGF1512", format!("`{}` is no database of Heroku's", facts.address))
                .help("restore into a `heroku.addon`"),
        ),
        Some(app) if app != confirm => findings.push(
            Finding::error(
                "PGF1511",
                format!("`confirm: {confirm}` does not name app `{app}`, whose data are replaced"),
            )
            .help(format!("if its database may be replaced, set `confirm: {app}`")),
        ),
        Some(_) => {}
    }
    if let Some(Tree::Text(text)) = want.get("expires_in")
        && let Err(fault) = source::expires_in(Some(text))
    {
        findings.push(Finding::error("PGF1514", fault.message));
    }
    if let Some(transfer) = &facts.in_progress {
        let app = facts.app.as_deref().unwrap_or_default();
        findings.push(
            Finding::error(
                "PGF1513",
                format!("transfer {transfer} of `{}` is still in progress", facts.address),
            )
            .help(format!(
                "wait for it, or cancel it: heroku pg:backups:cancel {transfer} --app {app}"
            )),
        );
    }
    for (app, config_var) in &facts.in_use {
        findings.push(Finding::warning(
            "PGF1515",
            format!(
                "app `{app}` reads `{}` by its `{config_var}` and is without data while the restore runs",
                facts.address
            ),
        ));
    }
    if let Some(found) = &facts.occupancy {
        let target = (facts.address.as_str(), facts.names.as_slice());
        let (accepted, ours) = (&facts.accepted, facts.ours);
        let everything = Emptying::Everything;
        findings.extend(judge_occupancy(found, accepted, ours, everything, target, confirmed));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(change: Json, confirmed: &[(&str, &str)]) -> Vec<String> {
        let mut facts = json!({
            "address": "target", "names": ["pg-1", "acme"], "app": "acme", "accepted": [], "ours": false, "in_use": [],
            "occupancy": { "relations": [], "relation_count": 0, "large_objects": 0, "rows": 0,
                           "fingerprint": { "sha256": "aa" } },
        });
        for (key, value) in change.as_object().expect("an object") {
            facts[key] = value.clone();
        }
        let confirmed: Vec<(String, String)> =
            confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let want = Tree::from_json(&json!({ "confirm": "acme" }));
        findings(&want, &facts, &confirmed).into_iter().map(|finding| finding.code).collect()
    }

    fn full() -> Json {
        json!({ "relations": ["public.t"], "relation_count": 1, "large_objects": 0, "rows": 3,
                "fingerprint": { "sha256": "bb" } })
    }

    #[test]
    fn a_full_target_is_ours_confirmed_or_refused() {
        assert!(codes(json!({}), &[]).is_empty());
        assert_eq!(codes(json!({ "occupancy": full() }), &[]), ["PGF1201"]);
        assert!(codes(json!({ "occupancy": full() }), &[("target", "pg-1")]).is_empty());
        let ours = json!({ "occupancy": full(), "accepted": [{ "sha256": "bb" }] });
        assert!(codes(ours, &[]).is_empty());
        assert!(codes(json!({ "occupancy": full(), "ours": true }), &[]).is_empty());
        let written = json!({ "occupancy": full(), "accepted": [{ "sha256": "cc" }] });
        assert_eq!(codes(written, &[]), ["PGF1201"]);
    }

    #[test]
    fn an_archive_that_heroku_may_not_read_is_refused() {
        for (compression, expect) in [
            (json!("zstd"), true),
            (json!("zstd 1 to 3"), true),
            (json!({ "method": "zstd", "min": 3 }), true),
            (json!({ "min": 3 }), false),
            (json!("zlib 2"), false),
            (json!(2), false),
            (json!(null), false),
        ] {
            let want = json!({ "from": { "compression": compression }, "confirm": "acme" });
            let found = findings(&Tree::from_json(&want), &Json::Null, &[]);
            let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
            assert_eq!(codes == ["PGF1516"], expect, "{compression}: {codes:?}");
        }
    }

    #[test]
    fn guard_and_queue_are_checked() {
        assert_eq!(codes(json!({ "app": "other" }), &[]), ["PGF1511"]);
        assert_eq!(codes(json!({ "app": null }), &[]), ["PGF1512"]);
        assert_eq!(codes(json!({ "in_progress": "r002" }), &[]), ["PGF1513"]);
    }
}
