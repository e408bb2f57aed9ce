//! `heroku.app`: an empty application that later holds the add-on and its config.
//!
//! API: Platform API v3, `POST /apps` or `/teams/apps`, `GET|PATCH|DELETE /apps/{id}`. Tested against the emulator.

use std::sync::Arc;

use indexmap::IndexMap;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Change, Done, Intent, Live, Remembered, Resource, Settled, Verb};
use pgferry_engine::tree::Tree;
use pgferry_http::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::wire;

/// An app of Heroku's.
pub(crate) struct App {
    api: Arc<Api>,
}

impl App {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// An app of Heroku's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Unique in all of Heroku: 3 to 30 of `a-z`, `0-9` and `-`, beginning with a letter.
    #[schemars(extend(
        "x-change" = "identity",
        "pattern" = "^[a-z][a-z0-9-]{1,28}[a-z0-9]$",
        "x-pattern-help" = "3 to 30 lower-case letters, digits and dashes, beginning with a letter and not ending with a dash"
    ))]
    name: String,
    /// `us` or `eu`, or the region of a private space. Default: Heroku's choice.
    #[serde(default)]
    #[schemars(extend("x-change" = "replaces"))]
    region: Option<String>,
    /// The stack of the next build, such as `heroku-24`. Default: Heroku's choice.
    #[serde(default)]
    stack: Option<String>,
    /// The team that owns it. Default: the account of the token.
    #[serde(default)]
    #[schemars(extend("x-change" = "replaces"))]
    team: Option<String>,
    /// The private space that it runs in.
    #[serde(default)]
    #[schemars(extend("x-change" = "replaces"))]
    space: Option<String>,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    /// Stays the same when the app is renamed.
    id: String,
    name: String,
    region: Option<String>,
    /// Where it is served; not to be derived from the name.
    web_url: Option<String>,
}

fn attrs(app: &wire::App) -> Attrs {
    Attrs {
        id: app.id.clone(),
        name: app.name.clone(),
        region: app.region.as_ref().map(|region| region.name.clone()),
        web_url: app.web_url.clone(),
    }
}

fn live(app: &wire::App) -> Live<Attrs> {
    let mut fields = IndexMap::from([("name".to_owned(), Json::from(app.name.clone()))]);
    let stack = app.build_stack.as_ref().or(app.stack.as_ref());
    let known = [
        ("region", app.region.as_ref()),
        ("stack", stack),
        ("team", app.team.as_ref()),
        ("space", app.space.as_ref()),
    ];
    for (field, named) in known {
        if let Some(named) = named {
            fields.insert(field.to_owned(), Json::from(named.name.clone()));
        }
    }
    Live { id: app.id.clone(), attrs: attrs(app), fields }
}

fn done(app: &wire::App) -> Done<Attrs> {
    Done { id: app.id.clone(), attrs: attrs(app), memory: Json::Null }
}

impl App {
    /// Looks for an app by name or id; one of somebody else's is a conflict.
    async fn look(&self, cx: &Cx, app: &str) -> Result<Option<wire::App>, Fault> {
        self.api.app(cx, app).await.map_err(|error| {
            let foreign = error.status() == Some(403);
            let fault = error.during(format!("reading app `{app}`"));
            if foreign {
                Fault { class: Class::Conflict, ..fault }.help(
                    "the app belongs to somebody else, or the token may not see it: choose another \
                     `name`, or use a token of a member",
                )
            } else {
                fault
            }
        })
    }

    async fn create(&self, cx: &Cx, want: &Spec) -> Result<wire::App, Fault> {
        let team = want.team.is_some() || want.space.is_some();
        let mut body = json!({ "name": want.name });
        let given = [
            ("region", &want.region),
            ("stack", &want.stack),
            ("team", &want.team),
            ("space", &want.space),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                body[key] = Json::from(value.clone());
            }
        }
        self.api.create_app(cx, body, team).await.map_err(|error| {
            let taken = is_taken(&error);
            let fault = error.during(format!("creating app `{}`", want.name));
            if taken {
                Fault { class: Class::Conflict, ..fault }
                    .help("names are unique in all of Heroku: choose another `name`")
            } else {
                fault
            }
        })
    }
}

/// Whether a name is refused because somebody has it.
pub(crate) fn is_taken(error: &Error) -> bool {
    error.refused().is_some_and(|refused| {
        refused.status == 422 && (refused.says("already taken") || refused.says("is taken"))
    })
}

impl Resource for App {
    const TYPE: &'static str = "heroku.app";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { guarded: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(name) = want.get("name").and_then(Tree::as_text) else { return Ok(None) };
        Ok(self.look(cx, name).await?.as_ref().map(live))
    }

    async fn read(
        &self,
        cx: &Cx,
        _want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<Attrs>>, Fault> {
        let Some(remembered) = remembered else { return Ok(None) };
        Ok(self.look(cx, &remembered.id).await?.as_ref().map(live))
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let want = &change.want;
        if change.verb == Verb::Update {
            let id = change.before.map_or_else(|| want.name.clone(), |before| before.id);
            let body = match &want.stack {
                Some(stack) => json!({ "build_stack": stack }),
                None => json!({}),
            };
            let app = self.api.update_app(cx, &id, body).await;
            return app
                .map(|app| done(&app))
                .map_err(|error| error.during(format!("changing app `{}`", want.name)));
        }
        if change.prior.is_some()
            && let Some(app) = self.look(cx, &want.name).await?
        {
            return Ok(done(&app));
        }
        Ok(done(&self.create(cx, want).await?))
    }

    async fn settle(&self, cx: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        let Some(name) = intent.inputs.get("name").and_then(Tree::as_text) else {
            return Ok(Settled::Not("the name of the app is not known".to_owned()));
        };
        if intent.verb == Verb::Update {
            return Ok(Settled::Not(format!("the change of app `{name}` is sent again")));
        }
        Ok(match self.look(cx, name).await? {
            Some(app) => Settled::Done(done(&app)),
            None => Settled::Not(format!("there is no app `{name}`")),
        })
    }

    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        let name = remembered.attrs.get("name").and_then(Tree::as_text).unwrap_or(&remembered.id);
        self.api
            .delete_app(cx, &remembered.id)
            .await
            .map_err(|error| error.during(format!("deleting app `{name}`")))
    }
}
