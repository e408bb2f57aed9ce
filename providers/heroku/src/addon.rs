//! `heroku.addon`: a Postgres database of Heroku's.
//!
//! API: Platform API v3, `/apps/{app}/addons`, and the Data API's `wait_status`. Add-ons of one app are made one after
//! the other, since an app takes one such request at a time. Tested beside and against the emulator.

mod judge;
mod ready;

use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Tls;
use pgferry_engine::resource::{Change, Done, Intent, Live, Remembered, Resource, Settled, Verb};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::app::is_taken;
use crate::patience::Pace;
use crate::{plans, wire};
use ready::{POLL, Ready};

/// An add-on of Heroku's.
pub(crate) struct AddOn {
    api: Arc<Api>,
}

impl AddOn {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// A Postgres database of Heroku's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The name of the app that it belongs to.
    #[schemars(extend("x-change" = "identity"))]
    app: String,
    /// `heroku-postgresql:essential-1`. Within a tier it can be changed in place.
    plan: String,
    /// Unique in all of Heroku. Default: `pgferry-` and 8 hex digits.
    #[serde(default)]
    #[schemars(extend(
        "x-change" = "identity",
        "pattern" = "^[a-zA-Z][A-Za-z0-9_-]+$",
        "x-pattern-help" = "letters, digits, dashes and underscores, beginning with a letter"
    ))]
    name: Option<String>,
    /// The major version of Postgres, such as `17`. Default: Heroku's choice.
    #[serde(default, deserialize_with = "version")]
    #[schemars(extend("x-change" = "creation_only", "type" = ["string", "integer", "null"]))]
    version: Option<String>,
    /// The name of its attachment to the app; `DATABASE` makes the config var `DATABASE_URL`. Default: Heroku's choice.
    #[serde(default, rename = "as")]
    #[schemars(extend(
        "x-change" = "creation_only",
        "pattern" = "^[A-Z][A-Z0-9_]*$",
        "x-pattern-help" = "upper-case letters, digits and underscores, beginning with a letter"
    ))]
    attached_as: Option<String>,
    /// Options of the service, as after `--` of `heroku addons:create`.
    #[serde(default)]
    #[schemars(extend("x-change" = "creation_only"))]
    config: BTreeMap<String, String>,
    /// How connections prove whom they talk to. Default: `require`, since Heroku's certificates cannot be verified.
    #[serde(default)]
    #[schemars(extend("x-change" = "volatile"))]
    tls: Option<Tls>,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    id: String,
    name: String,
    /// The app that it belongs to.
    app: String,
    plan: String,
    /// `provisioned` once it can be used.
    #[schemars(extend("x-change" = "volatile"))]
    state: String,
    /// `$9/month`, as the service tells it.
    #[schemars(extend("x-change" = "volatile"))]
    price: Option<String>,
    /// Of Postgres, such as `16.4`.
    version: Option<String>,
    /// The database's name in the URL.
    database: Option<String>,
    /// What the plan holds, in bytes, as published.
    storage_bytes: Option<u64>,
    /// Connections that the plan allows, as published.
    connection_limit: Option<u32>,
    tls: Tls,
    /// Heroku may change it; applications should read it from their config.
    url: Secret,
}

fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<Json>::deserialize(deserializer)? {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text),
        Some(Json::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(serde::de::Error::custom("a version is a number or text")),
    })
}

fn tls_of(want: &Tree) -> Tls {
    match want.get("tls").and_then(Tree::as_text) {
        Some("verify-full") => Tls::VerifyFull,
        Some("none") => Tls::None,
        _ => Tls::Require,
    }
}

/// How the spec spells what reality spells out.
#[derive(Clone, Debug, Default)]
struct Spelling {
    tls: Option<Tls>,
    /// Of the plan, maybe without the service's name.
    plan: Option<String>,
    /// Maybe the major version alone.
    version: Option<String>,
}

impl Spelling {
    fn of(want: &Tree) -> Self {
        let text = |name: &str| want.get(name).and_then(Tree::to_text).filter(|t| !t.is_empty());
        Self { tls: Some(tls_of(want)), plan: text("plan"), version: text("version") }
    }

    fn of_spec(want: &Spec) -> Self {
        Self { tls: want.tls, plan: Some(want.plan.clone()), version: want.version.clone() }
    }

    fn plan(&self, plan: &str) -> String {
        let short = self.plan.as_ref().is_some_and(|wanted| !wanted.contains(':'));
        if short { plans::bare(plan).to_owned() } else { plan.to_owned() }
    }

    /// A version that was asked for is told as it was asked for, as long as it is that version.
    fn version(&self, version: Option<&String>) -> Option<String> {
        let version = version?;
        let wanted = self
            .version
            .as_ref()
            .filter(|wanted| version == *wanted || version.starts_with(&format!("{wanted}.")));
        Some(wanted.unwrap_or(version).clone())
    }
}

fn attrs(ready: &Ready, spelling: &Spelling) -> Attrs {
    let addon = &ready.addon;
    let limits = plans::plan_limits(&addon.plan.name);
    let price = addon.billed_price.as_ref().or(addon.plan.price.as_ref());
    let url = url::Url::parse(ready.url.expose()).ok();
    Attrs {
        id: addon.id.clone(),
        name: addon.name.clone(),
        app: addon.app.name.clone(),
        plan: spelling.plan(&addon.plan.name),
        state: addon.state.clone(),
        price: price.and_then(wire::Price::text),
        version: spelling.version(ready.version.as_ref()),
        database: url
            .map(|url| url.path().trim_start_matches('/').to_owned())
            .filter(|name| !name.is_empty()),
        storage_bytes: limits.map(|limits| limits.storage_bytes),
        connection_limit: limits.and_then(|limits| limits.connections),
        tls: spelling.tls.unwrap_or(Tls::Require),
        url: ready.url.clone(),
    }
}

fn live(ready: &Ready, want: &Tree) -> Live<Attrs> {
    let (addon, spelling) = (&ready.addon, Spelling::of(want));
    let mut fields = IndexMap::from([
        ("app".to_owned(), Json::from(addon.app.name.clone())),
        ("plan".to_owned(), Json::from(spelling.plan(&addon.plan.name))),
    ]);
    if want.get("name").is_some_and(|name| !matches!(name, Tree::Null)) {
        fields.insert("name".to_owned(), Json::from(addon.name.clone()));
    }
    Live { id: addon.id.clone(), attrs: attrs(ready, &spelling), fields }
}

fn done(ready: &Ready, want: &Spec) -> Done<Attrs> {
    let attrs = attrs(ready, &Spelling::of_spec(want));
    Done { id: ready.addon.id.clone(), attrs, memory: Json::Null }
}

impl AddOn {
    /// The add-on as it is, waiting while it is still being made; one that is going away counts as gone.
    async fn look(&self, cx: &Cx, found: Option<wire::AddOn>) -> Result<Option<Ready>, Fault> {
        match found {
            None => Ok(None),
            Some(found) if found.state.starts_with("deprovision") => Ok(None),
            Some(found) if found.state == "provisioning" => {
                ready::wait(&self.api, cx, &found.app.name, &found.name, None).await.map(Some)
            }
            Some(found) => ready::read(&self.api, cx, found).await.map(Some),
        }
    }

    async fn create(&self, cx: &Cx, want: &Spec, name: &str) -> Result<(), Fault> {
        let app = &want.app;
        let mut config = want.config.clone();
        if let Some(version) = &want.version {
            config.insert("version".to_owned(), version.clone());
        }
        let mut body = json!({
            "plan": plans::full(&want.plan), "name": name, "config": config, "confirm": app,
        });
        if let Some(attached_as) = &want.attached_as {
            body["attachment"] = json!({ "name": attached_as });
        }
        let _turn = self.api.turn(app).await;
        self.api.create_addon(cx, app, body).await.map(drop).map_err(|error| {
            let (taken, busy) = (is_taken(&error), error.status() == Some(409));
            let fault = error.during(format!("creating add-on `{name}` on app `{app}`"));
            if busy {
                // Somebody else's request of the same app is not done yet.
                Fault { class: Class::Retry { after: Some(POLL.1) }, ..fault }
            } else if taken {
                Fault { class: Class::Conflict, ..fault }
                    .help("names of add-ons are unique in all of Heroku: set another `name`")
            } else {
                fault
            }
        })
    }

    async fn change_plan(&self, cx: &Cx, want: &Spec, addon: &str) -> Result<(), Fault> {
        let plan = plans::full(&want.plan);
        let current = self.api.addon(cx, &want.app, addon).await;
        let current = current.map_err(|error| error.during(format!("reading add-on `{addon}`")))?;
        if current.is_some_and(|current| current.plan.name == plan) {
            return Ok(());
        }
        let _turn = self.api.turn(&want.app).await;
        self.api.change_plan(cx, &want.app, addon, &plan).await.map(drop).map_err(|error| {
            error.during(format!("changing the plan of add-on `{addon}` to `{plan}`"))
        })
    }
}

/// The URL of an add-on that is provisioned.
pub(crate) async fn url(api: &Api, cx: &Cx, addon: wire::AddOn) -> Result<Secret, Fault> {
    Ok(ready::read(api, cx, addon).await?.url)
}

impl Resource for AddOn {
    const TYPE: &'static str = "heroku.addon";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { guarded: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(app) = want.get("app").and_then(Tree::as_text) else { return Ok(None) };
        let name = match want.get("name") {
            Some(Tree::Unknown) => return Ok(None),
            Some(Tree::Text(name)) => name.clone(),
            _ => cx.natural_key(),
        };
        let found = self.api.addon(cx, app, &name).await;
        let found = found.map_err(|error| error.during(format!("reading add-on `{name}`")))?;
        Ok(self.look(cx, found).await?.map(|ready| live(&ready, want)))
    }

    async fn read(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(remembered) = remembered else { return Ok(None) };
        // By its own id: that its app has another name now says nothing of the add-on.
        let id = &remembered.id;
        let found = self.api.addon_by_id(cx, id).await;
        let found = found.map_err(|error| error.during(format!("reading add-on `{id}`")))?;
        Ok(self.look(cx, found).await?.map(|ready| live(&ready, want)))
    }

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        judge::facts(&self.api, cx, want, remembered).await
    }

    fn judge(want: &Tree, facts: &Json, _confirmed: &[(String, String)]) -> Vec<Finding> {
        judge::findings(want, facts)
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Change { verb, want, before, prior, .. } = change;
        let name = want.name.clone().unwrap_or_else(|| cx.natural_key());
        if verb == Verb::Update {
            let addon = before.map_or(name, |before| before.id);
            self.change_plan(cx, &want, &addon).await?;
            let plan = plans::full(&want.plan);
            let ready = ready::wait(&self.api, cx, &want.app, &addon, Some(&plan)).await?;
            return Ok(done(&ready, &want));
        }
        let begun = match prior {
            None => None,
            Some(_) => self
                .api
                .addon(cx, &want.app, &name)
                .await
                .map_err(|error| error.during(format!("reading add-on `{name}`")))?,
        };
        if begun.is_none() {
            self.create(cx, &want, &name).await?;
        }
        Ok(done(&ready::wait(&self.api, cx, &want.app, &name, None).await?, &want))
    }

    async fn settle(&self, cx: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        let field = |name: &str| intent.inputs.get(name).and_then(Tree::as_text);
        let Some(app) = field("app") else {
            return Ok(Settled::Not("the app of the add-on is not known".to_owned()));
        };
        let remembered = intent.before.as_ref().map(|before| before.id.clone());
        let name = remembered
            .or_else(|| field("name").map(str::to_owned))
            .unwrap_or_else(|| cx.natural_key());
        let found = self.api.addon(cx, app, &name).await;
        Ok(match found.map_err(|error| error.during(format!("reading add-on `{name}`")))? {
            Some(found) if !found.state.starts_with("deprovision") => {
                Settled::Running(format!("add-on `{name}`, {}", found.state))
            }
            _ => Settled::Not(format!("app `{app}` has no add-on `{name}`")),
        })
    }

    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        let id = &remembered.id;
        let name = remembered.attrs.get("name").and_then(Tree::as_text).unwrap_or(id);
        let during = || format!("deleting add-on `{name}`");
        let mut pace = Pace::new(POLL.0, POLL.1);
        let mut asked = false;
        loop {
            let found =
                self.api.addon_by_id(cx, id).await.map_err(|error| error.during(during()))?;
            let Some(found) = found.filter(|found| found.state != "deprovisioned") else {
                return Ok(());
            };
            if asked {
                cx.sleep(pace.wait()).await?;
                continue;
            }
            let app = &found.app.name;
            let _turn = self.api.turn(app).await;
            let deleted = self.api.delete_addon(cx, app, id).await;
            deleted.map_err(|error| error.during(during()))?;
            asked = true;
        }
    }
}
