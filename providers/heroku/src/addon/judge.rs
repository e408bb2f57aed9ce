//! What a person should know before an add-on is made or changed.
//!
//! The findings are pure; the facts come from the Platform API. Tested beside.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::api::Api;
use crate::plans::{self, Tier};
use crate::wire::Price;

/// What the findings are made from.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    /// Of the add-on that is there.
    plan: Option<String>,
    version: Option<String>,
    /// The service knows no such plan.
    no_such_plan: bool,
    price: Option<String>,
    /// The account has no payment method on file.
    unverified: bool,
    /// A config var that the attachment would overwrite.
    overwrites: Option<String>,
}

pub(super) async fn facts(
    api: &Api,
    cx: &Cx,
    want: &Tree,
    remembered: Option<&Remembered>,
) -> Result<Option<Json>, Fault> {
    let Some(plan) = want.get("plan").and_then(Tree::as_text) else { return Ok(None) };
    let known = |name: &str| {
        let value = remembered?.attrs.get(name)?.as_text()?;
        Some(value.to_owned())
    };
    let mut facts = Facts { plan: known("plan"), version: known("version"), ..Facts::default() };
    // What is only told to people must not stop a plan when it cannot be read.
    match api.plan(cx, &plans::full(plan)).await {
        Ok(plan) => {
            facts.no_such_plan = plan.is_none();
            facts.price = plan.and_then(|plan| plan.price).as_ref().and_then(Price::text);
        }
        Err(error) if error.is_passing() || error.is_absent() => {}
        Err(error) => return Err(error.during(format!("reading the plan `{plan}`"))),
    }
    if facts.plan.is_none() {
        let account = api.account(cx).await;
        facts.unverified = account.is_ok_and(|account| account.verified == Some(false));
        let app = want.get("app").and_then(Tree::as_text);
        let attached_as = want.get("as").and_then(Tree::as_text);
        if let (Some(app), Some(attached_as)) = (app, attached_as) {
            let name = format!("{attached_as}_URL");
            match api.config_vars(cx, app).await {
                Ok(vars) if vars.contains_key(&name) => facts.overwrites = Some(name),
                Ok(_) => {}
                Err(error) if error.is_absent() => {}
                Err(error) => {
                    return Err(error.during(format!("reading the config of app `{app}`")));
                }
            }
        }
    }
    serde_json::to_value(&facts)
        .map(Some)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

pub(super) fn findings(want: &Tree, facts: &Json) -> Vec<Finding> {
    let Ok(facts) = serde_json::from_value::<Facts>(facts.clone()) else { return Vec::new() };
    let Some(plan) = want.get("plan").and_then(Tree::as_text) else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some(why) = unusable(plan) {
        findings.push(
            Finding::error("PGF1501", format!("plan `{plan}` cannot be restored into: {why}"))
                .help("choose a plan of the essential, standard, premium or private tier"),
        );
    } else if facts.no_such_plan {
        findings.push(
            Finding::error("PGF1502", format!("Heroku has no plan `{}`", plans::full(plan)))
                .help("`heroku addons:plans heroku-postgresql` lists the plans"),
        );
    }
    match &facts.plan {
        Some(current) if plans::tier(current) != plans::tier(plan) => findings.push(
            Finding::error(
                "PGF1503",
                format!(
                    "`{}` cannot become `{}` in place: they are of different tiers",
                    plans::bare(current),
                    plans::bare(plan)
                ),
            )
            .help(
                "declare a second `heroku.addon` with the new plan, point `into`, `for` and the \
                 attachment at it, and change `run:`; the old one stays until you remove it",
            ),
        ),
        _ => {}
    }
    let wanted = want.get("version").and_then(Tree::to_text).filter(|text| !text.is_empty());
    if let (Some(wanted), Some(current)) = (wanted, &facts.version)
        && major(&wanted) != major(current)
    {
        findings.push(
            Finding::error(
                "PGF1504",
                format!("the add-on has Postgres {current}, not {wanted}, and cannot change that"),
            )
            .help(
                "declare a second `heroku.addon` with the new version, point `into` and `for` at \
                 it, and change `run:`",
            ),
        );
    }
    if facts.plan.as_deref().map(plans::bare) != Some(plans::bare(plan))
        && let Some(price) = &facts.price
    {
        findings.push(Finding::note("PGF1505", format!("plan `{plan}` costs {price}")));
    }
    if facts.plan.is_none() {
        findings.push(certificates(want));
    }
    if facts.unverified {
        findings.push(
            Finding::warning("PGF1507", "the Heroku account has no verified payment method")
                .help("Heroku refuses paid add-ons until one is added on its account page"),
        );
    }
    if let Some(name) = &facts.overwrites {
        findings.push(
            Finding::error("PGF1508", format!("the app has a config var `{name}` already"))
                .help("leave out `as`, and attach it with a `heroku.attachment` and its `confirm`"),
        );
    }
    findings
}

fn certificates(want: &Tree) -> Finding {
    match want.get("tls").and_then(Tree::as_text) {
        Some("verify-full") => Finding::warning(
            "PGF1506",
            "Heroku's certificates cannot be verified, so `tls: verify-full` will be refused",
        )
        .help("leave out `tls`, or set it to `require`"),
        _ => Finding::note(
            "PGF1506",
            "connections to Heroku Postgres are encrypted, but its certificates cannot be verified",
        ),
    }
}

fn unusable(plan: &str) -> Option<&'static str> {
    match plans::tier(plan) {
        Tier::Advanced => Some("the Advanced tier has another interface"),
        Tier::Shield => Some("backups and restores do not work on Shield"),
        Tier::Retired => Some("Heroku no longer offers it"),
        _ if plan.starts_with("heroku-postgresql:") || !plan.contains(':') => None,
        _ => Some("it is no plan of `heroku-postgresql`"),
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(want: Json, facts: Json) -> Vec<String> {
        let mut whole = json!({ "no_such_plan": false, "unverified": false });
        for (key, value) in facts.as_object().expect("an object") {
            whole[key] = value.clone();
        }
        findings(&Tree::from_json(&want), &whole).into_iter().map(|f| f.code).collect()
    }

    #[test]
    fn a_plan_changes_within_its_tier_only() {
        let there = json!({ "plan": "heroku-postgresql:essential-1", "version": "17.2" });
        let check = |want: Json| codes(want, there.clone());
        assert!(check(json!({ "plan": "heroku-postgresql:essential-2" })).is_empty());
        assert_eq!(check(json!({ "plan": "heroku-postgresql:standard-0" })), ["PGF1503"]);
        assert_eq!(check(json!({ "plan": "essential-1", "version": 16 })), ["PGF1504"]);
        assert!(check(json!({ "plan": "essential-1", "version": "17" })).is_empty());
    }

    #[test]
    fn a_new_one_tells_its_price_and_its_limits() {
        let check = |plan: &str, facts: Json| codes(json!({ "plan": plan }), facts);
        let price = json!({ "price": "$9/month" });
        assert_eq!(check("heroku-postgresql:essential-1", price), ["PGF1505", "PGF1506"]);
        assert_eq!(check("heroku-postgresql:shield-0", json!({})), ["PGF1501", "PGF1506"]);
        assert_eq!(check("advanced", json!({})), ["PGF1501", "PGF1506"]);
        assert_eq!(check("other:thing", json!({})), ["PGF1501", "PGF1506"]);
        assert_eq!(check("essential-9", json!({ "no_such_plan": true })), ["PGF1502", "PGF1506"]);
    }
}
