//! `heroku.attachment`: the cutover. An app reads an add-on under a name, such as `DATABASE`.
//!
//! Follows the steps of the official tool's promotion: the add-on that had the name keeps another one, then the name
//! moves. API: Platform API v3, `/addon-attachments`. Tested beside and against the emulator.

use std::sync::Arc;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Intent, Live, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::release_phase;
use crate::wire;

/// An add-on under a name of an app's.
pub(crate) struct Attachment {
    api: Arc<Api>,
}

impl Attachment {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// An add-on under a name of an app's: the app's config var `<as>_URL` follows it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The name of the add-on.
    addon: String,
    /// The name of the app that reads it.
    #[schemars(extend("x-change" = "identity"))]
    app: String,
    /// The name that it has there; `DATABASE` makes the config var `DATABASE_URL`.
    #[serde(rename = "as")]
    #[schemars(extend(
        "x-change" = "identity",
        "pattern" = "^[A-Z][A-Z0-9_]*$",
        "x-pattern-help" = "upper-case letters, digits and underscores, beginning with a letter"
    ))]
    attached_as: String,
    /// The name of the app again, where its config var is there already and will be overwritten.
    #[serde(default)]
    #[schemars(extend("x-change" = "guard"))]
    confirm: Option<String>,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    id: String,
    name: String,
    /// The config var that holds the add-on's URL.
    config_var: String,
}

fn attrs(attachment: &wire::Attachment) -> Attrs {
    Attrs {
        id: attachment.id.clone(),
        name: attachment.name.clone(),
        config_var: format!("{}_URL", attachment.name),
    }
}

fn is_of(attachment: &wire::Attachment, addon: &str) -> bool {
    attachment.addon.name == addon || attachment.addon.id.as_deref() == Some(addon)
}

/// What is to be known before the name moves.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    /// The add-on that has the name now.
    addon: Option<String>,
    /// The config var is there, and no add-on owns it.
    by_hand: bool,
    /// The latest release: the way back.
    release: Option<u64>,
    /// The add-on was made by pgferry, and not under this state.
    #[serde(default)]
    elsewhere: bool,
    /// The resource that `--confirm` names.
    #[serde(default)]
    address: String,
}

impl Facts {
    /// What only the confirmation of the day allows.
    fn refusal(&self, app: &str, confirmed: &[(String, String)]) -> Option<Finding> {
        let is_meant =
            confirmed.iter().any(|(address, name)| *address == self.address && name == app);
        let addon = self.addon.as_ref().filter(|_| self.elsewhere && !is_meant)?;
        let message = format!(
            "app `{app}` reads add-on `{addon}`, to which another migration of pgferry has moved it; what users have written there since would be left behind"
        );
        Some(Finding::error("PGF1523", message).help(format!(
            "if the state of that migration was lost, find it and name it with `state:`; if this cutover is meant, say so today: `--confirm {}={app}`",
            self.address
        )))
    }
}

/// Whether pgferry has given an add-on that name: see [`Cx::natural_key`].
fn is_made_by_pgferry(name: &str) -> bool {
    let key = name.strip_prefix("pgferry-");
    key.is_some_and(|key| {
        key.len() == 8 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl Attachment {
    async fn look(
        &self,
        cx: &Cx,
        app: &str,
        name: &str,
    ) -> Result<Option<wire::Attachment>, Fault> {
        let found = self.api.attachment(cx, app, name).await;
        found.map_err(|error| error.during(format!("reading attachment `{name}` of app `{app}`")))
    }

    /// `cut_over`: this state has moved the name before.
    async fn facts(
        &self,
        cx: &Cx,
        app: &str,
        name: &str,
        addon: &str,
        cut_over: bool,
    ) -> Result<Facts, Fault> {
        let current = self.look(cx, app, name).await?;
        if current.as_ref().is_some_and(|current| is_of(current, addon)) {
            return Ok(Facts::default());
        }
        let during = || format!("reading the config of app `{app}`");
        let vars = self.api.config_vars(cx, app).await;
        let vars = vars.map_err(|error| error.during(during()))?;
        let release = self.api.latest_release(cx, app).await;
        let release = release.map_err(|error| error.during(during()))?;
        let known = (cx.world.remembered)(&cx.address, "heroku.addon");
        let is_known = |name: &str| {
            known.iter().any(|(_, it)| it.attrs.get("name").and_then(Tree::as_text) == Some(name))
        };
        let elsewhere = current.as_ref().is_some_and(|current| {
            let name = &current.addon.name;
            is_made_by_pgferry(name) && !cut_over && !is_known(name)
        });
        Ok(Facts {
            elsewhere,
            address: cx.address.to_string(),
            by_hand: current.is_none() && vars.contains_key(&format!("{name}_URL")),
            addon: current.map(|current| current.addon.name),
            release: release.map(|release| release.version),
        })
    }

    /// Gives the add-on behind `current` another name of the app's, if it has none.
    async fn keep_reachable(
        &self,
        cx: &Cx,
        app: &str,
        current: &wire::Attachment,
    ) -> Result<(), Fault> {
        let addon = &current.addon.name;
        let during = || format!("giving add-on `{addon}` another name on app `{app}`");
        let all = self.api.attachments(cx, app).await;
        let all = all.map_err(|error| error.during(during()))?;
        let named = all.iter().any(|other| {
            other.id != current.id && other.namespace == current.namespace && is_of(other, addon)
        });
        if named {
            return Ok(());
        }
        let body = json!({
            "addon": addon, "app": app, "confirm": app, "namespace": current.namespace,
        });
        self.api.attach(cx, body).await.map(drop).map_err(|error| error.during(during()))
    }

    async fn attach(&self, cx: &Cx, want: &Spec, by_hand: bool) -> Result<wire::Attachment, Fault> {
        let Spec { addon, app, attached_as, confirm } = want;
        let mut body = json!({
            "addon": addon, "app": app, "name": attached_as, "namespace": null,
        });
        if let Some(confirm) = confirm {
            body["confirm"] = Json::from(confirm.clone());
        }
        let during = || format!("attaching add-on `{addon}` to app `{app}` as `{attached_as}`");
        let refused = match self.api.attach(cx, body.clone()).await {
            Ok(attachment) => return Ok(attachment),
            Err(error) => error,
        };
        // A config var set by hand may have to go first. Its value stays in the release before.
        if !by_hand || refused.status() != Some(422) || confirm.as_ref() != Some(app) {
            let unconfirmed = refused.is("confirmation_required");
            let fault = refused.during(during());
            return Err(if unconfirmed {
                fault.help(format!("if it may be overwritten, set `confirm: {app}`"))
            } else {
                fault
            });
        }
        let name = format!("{attached_as}_URL");
        let removed = self.api.remove_config_var(cx, app, &name).await;
        removed.map_err(|error| error.during(format!("removing `{name}` from app `{app}`")))?;
        self.api.attach(cx, body).await.map_err(|error| {
            error.during(during()).help(format!(
                "`{name}` is removed meanwhile; `heroku releases --app {app}` and `heroku rollback` \
                 bring it back"
            ))
        })
    }
}

impl Resource for Attachment {
    const TYPE: &'static str = "heroku.attachment";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { cutover: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        self.read(cx, want, None).await
    }

    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        // By app and name, not by id: whoever points the name elsewhere makes a new id.
        let field = |name: &str| {
            let written = want.get(name).and_then(Tree::as_text);
            written.or_else(|| remembered?.inputs.get(name)?.as_text()).map(str::to_owned)
        };
        let (Some(app), Some(name)) = (field("app"), field("as")) else { return Ok(None) };
        let Some(found) = self.look(cx, &app, &name).await? else { return Ok(None) };
        let wanted = field("addon").filter(|addon| is_of(&found, addon));
        let addon = wanted.unwrap_or_else(|| found.addon.name.clone());
        let fields = IndexMap::from([
            ("addon".to_owned(), Json::from(addon)),
            ("app".to_owned(), Json::from(app)),
            ("as".to_owned(), Json::from(found.name.clone())),
        ]);
        Ok(Some(Live { id: found.id.clone(), attrs: attrs(&found), fields }))
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let text = |name: &str| want.get(name).and_then(Tree::as_text);
        let (Some(app), Some(name)) = (text("app"), text("as")) else { return Ok(None) };
        // An add-on without a name yet has no attachments either.
        let addon = text("addon").unwrap_or_default();
        let facts = self.facts(cx, app, name, addon, remembered.is_some()).await?;
        serde_json::to_value(facts)
            .map(Some)
            .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
    }

    fn judge(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
        let Ok(facts) = serde_json::from_value::<Facts>(facts.clone()) else { return Vec::new() };
        let text = |name: &str| want.get(name).and_then(Tree::as_text).unwrap_or_default();
        let (app, name) = (text("app"), text("as"));
        if let Some(refusal) = facts.refusal(app, confirmed) {
            return vec![refusal];
        }
        let owner = match (&facts.addon, facts.by_hand) {
            (Some(addon), _) => format!("now of add-on `{addon}`"),
            (None, true) => "now set by hand".to_owned(),
            (None, false) => return Vec::new(),
        };
        if text("confirm") != app {
            let message =
                format!("config var `{name}_URL` of app `{app}`, {owner}, would be overwritten");
            return vec![
                Finding::error("PGF1521", message)
                    .help(format!("if that is meant, set `confirm: {app}`")),
            ];
        }
        let message = format!("config var `{name}_URL` of app `{app}`, {owner}, is overwritten");
        let back = facts.release.map_or_else(String::new, |version| {
            format!("; the way back is `heroku rollback v{version} --app {app}`")
        });
        vec![Finding::note("PGF1522", format!("{message}{back}"))]
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let want = &change.want;
        let Spec { addon, app, attached_as, confirm } = want;
        let cut_over = change.before.is_some() || change.prior.is_some();
        let facts = self.facts(cx, app, attached_as, addon, cut_over).await?;
        if let Some(refusal) = facts.refusal(app, &change.confirmed) {
            let fault = Fault::new(Class::Conflict, refusal.message).coded("PGF1523");
            return Err(fault.help(refusal.help.unwrap_or_default()));
        }
        let earlier = change.prior.as_ref().and_then(|prior| prior.notes.get("before").cloned());
        let memory = match earlier {
            Some(before) => json!({ "before": before }),
            None => {
                let memory = json!({ "before": facts });
                cx.note(memory.clone())?;
                memory
            }
        };
        let current = self.look(cx, app, attached_as).await?;
        let attachment = match current {
            Some(current) if is_of(&current, addon) => current,
            current => {
                let overwrites = current.is_some() || facts.by_hand;
                if overwrites && confirm.as_ref() != Some(app) {
                    let what = format!("config var `{attached_as}_URL` of app `{app}` is there");
                    return Err(Fault::new(Class::Conflict, what)
                        .help(format!("if it may be overwritten, set `confirm: {app}`")));
                }
                let _turn = self.api.turn(app).await;
                if let Some(current) = &current {
                    self.keep_reachable(cx, app, current).await?;
                }
                self.attach(cx, want, facts.by_hand).await?
            }
        };
        release_phase::wait(&self.api, cx, app).await?;
        Ok(Done { id: attachment.id.clone(), attrs: attrs(&attachment), memory })
    }

    async fn settle(&self, cx: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        let field = |name: &str| intent.inputs.get(name).and_then(Tree::as_text);
        let (Some(app), Some(name), Some(addon)) = (field("app"), field("as"), field("addon"))
        else {
            return Ok(Settled::Not("what was to be attached is not known".to_owned()));
        };
        Ok(match self.look(cx, app, name).await? {
            Some(found) if is_of(&found, addon) => Settled::Done(Done {
                id: found.id.clone(),
                attrs: attrs(&found),
                memory: json!({ "before": intent.notes.get("before") }),
            }),
            _ => Settled::Not(format!("app `{app}` does not read `{addon}` as `{name}`")),
        })
    }

    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        self.api
            .detach(cx, &remembered.id)
            .await
            .map_err(|error| error.during("removing an attachment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overwriting_needs_the_name_of_the_app() {
        let codes = |confirm: Json, facts: Json| -> Vec<String> {
            let want =
                json!({ "addon": "pg", "app": "acme-web", "as": "DATABASE", "confirm": confirm });
            Attachment::judge(&Tree::from_json(&want), &facts, &[])
                .into_iter()
                .map(|finding| finding.code)
                .collect()
        };
        let by_hand = || json!({ "addon": null, "by_hand": true, "release": 7 });
        assert_eq!(codes(Json::Null, by_hand()), ["PGF1521"]);
        assert_eq!(codes(json!("acme"), by_hand()), ["PGF1521"]);
        assert_eq!(codes(json!("acme-web"), by_hand()), ["PGF1522"]);
        let nothing = json!({ "addon": null, "by_hand": false, "release": null });
        assert!(codes(Json::Null, nothing).is_empty());
    }

    #[test]
    fn away_from_the_target_of_another_migration_only_with_a_word_of_today() {
        let want =
            json!({ "addon": "pg", "app": "acme-web", "as": "DATABASE", "confirm": "acme-web" });
        let facts = json!({
            "addon": "pgferry-0123abcd", "by_hand": false, "release": 7, "elsewhere": true, "address": "cutover",
        });
        let codes = |confirmed: &[(&str, &str)]| -> Vec<String> {
            let confirmed: Vec<_> =
                confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let found = Attachment::judge(&Tree::from_json(&want), &facts, &confirmed);
            found.into_iter().map(|finding| finding.code).collect()
        };
        assert_eq!(codes(&[]), ["PGF1523"]);
        assert_eq!(codes(&[("cutover", "other"), ("app", "acme-web")]), ["PGF1523"]);
        assert_eq!(codes(&[("cutover", "acme-web")]), ["PGF1522"]);
        for (name, ours) in
            [("pgferry-0123abcd", true), ("pgferry-rehearsal", false), ("pg-01", false)]
        {
            assert_eq!(is_made_by_pgferry(name), ours, "{name}");
        }
    }
}
