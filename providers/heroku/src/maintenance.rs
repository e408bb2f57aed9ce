//! `heroku.maintenance`: an app out of the way of its users while its database moves.
//!
//! Maintenance mode stops requests only, so process types that write are named in `stop` and scaled to nothing. What
//! was before is noted before the first change and put back by the closing. API: Platform API v3, `PATCH /apps/{app}`,
//! `/apps/{app}/formation`, `/apps/{app}/dynos`. Tested against the emulator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::resource::{Done, Intent, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::api::Api;
use crate::patience::Pace;
use crate::wire::Dyno;

/// Heroku ends a process by force half a minute after asking it to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(180);

/// An app in maintenance mode, with its writers stopped.
pub(crate) struct Maintenance {
    api: Arc<Api>,
}

impl Maintenance {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// An app of Heroku's in maintenance mode while dependents work; as before afterwards.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The name of the app.
    #[schemars(extend("x-change" = "identity"))]
    app: String,
    /// Process types that write, scaled to 0 meanwhile: `[worker]`.
    #[serde(default)]
    #[schemars(extend("x-change" = "volatile"))]
    stop: Vec<String>,
    /// What happens to it once all is done. Default: `release`.
    #[serde(default, rename = "on_success")]
    #[schemars(extend("x-change" = "volatile"))]
    _on_success: Ending,
    /// What happens to it when something failed. Default: `release`.
    #[serde(default, rename = "on_failure")]
    #[schemars(extend("x-change" = "volatile"))]
    _on_failure: Ending,
}

/// What happens to a scope at its end; the engine reads it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ending {
    /// All is put back as before.
    #[default]
    Release,
    /// It stays until `pgferry release`.
    Hold,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    /// When it was opened, RFC 3339.
    since: String,
}

/// What was before the first change.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Former {
    app: String,
    /// The app's own id, which survives a new name; notes of versions before 0.1 lack it.
    #[serde(default)]
    id: Option<String>,
    maintenance: bool,
    quantities: BTreeMap<String, u32>,
}

const FORMER: &str = "former";
const SINCE: &str = "since";
/// Noted once it is open; what is found otherwise later was changed by somebody else.
const OPENED: &str = "opened";

impl Former {
    fn noted(intent: &Intent) -> Option<Self> {
        serde_json::from_value(intent.notes.get(FORMER)?.clone()).ok()
    }

    /// What requests name the app by.
    fn handle(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.app)
    }
}

impl Maintenance {
    async fn former(&self, cx: &Cx, want: &Spec) -> Result<Former, Fault> {
        let during = || format!("reading app `{}`", want.app);
        let app = self.api.app(cx, &want.app).await.map_err(|error| error.during(during()))?;
        let Some(app) = app else {
            return Err(Fault::new(Class::Gone, format!("there is no app `{}`", want.app)));
        };
        let formation =
            self.api.formation(cx, &want.app).await.map_err(|error| error.during(during()))?;
        let mut quantities = BTreeMap::new();
        for kind in &want.stop {
            let Some(process) = formation.iter().find(|process| process.kind == *kind) else {
                return Err(no_such_type(&want.app, kind));
            };
            quantities.insert(kind.clone(), process.quantity);
        }
        let (id, maintenance) = (Some(app.id), app.maintenance);
        Ok(Former { app: want.app.clone(), id, maintenance, quantities })
    }

    /// That nobody has let users or writers back in since it was opened.
    async fn is_as_left(&self, cx: &Cx, former: &Former) -> Result<(), Fault> {
        let app = &former.app;
        let during = || format!("reading app `{app}`");
        let handle = former.handle();
        let found = self.api.app(cx, handle).await.map_err(|error| error.during(during()))?;
        let formation = match found.as_ref().filter(|found| found.maintenance) {
            None => {
                return Err(let_in(format!(
                    "app `{app}` was taken out of maintenance by somebody"
                )));
            }
            Some(_) => self.api.formation(cx, handle).await,
        };
        let formation = formation.map_err(|error| error.during(during()))?;
        let stopped = |kind: &str| former.quantities.contains_key(kind);
        match formation.iter().find(|process| process.quantity > 0 && stopped(&process.kind)) {
            None => Ok(()),
            Some(process) => {
                let kind = &process.kind;
                Err(let_in(format!("somebody has started `{kind}` of app `{app}` again")))
            }
        }
    }

    /// Waits until no process of `kinds` runs any more. An answer that says nothing of processes (503, 429, 404) never
    /// counts as "all stopped".
    async fn stopped(&self, cx: &Cx, former: &Former, kinds: &[String]) -> Result<(), Fault> {
        if kinds.is_empty() {
            return Ok(());
        }
        let app = &former.app;
        let during = || format!("waiting for the processes of app `{app}` to stop");
        let mut pace = Pace::new(Duration::from_millis(500), Duration::from_secs(3));
        let began = cx.now();
        loop {
            let late = cx.now().duration_since(began).unsigned_abs() >= STOP_PATIENCE;
            let what = match self.api.dynos(cx, former.handle()).await {
                Ok(dynos) => {
                    let runs = |dyno: &&Dyno| kinds.contains(&dyno.kind) && dyno.state != "down";
                    let running = dynos.iter().filter(runs).count();
                    if running == 0 {
                        return Ok(());
                    }
                    if late {
                        let what = format!("{running} processes of app `{app}` do not stop");
                        let help = format!("look at `heroku ps --app {app}`");
                        return Err(Fault::failed(what).help(help));
                    }
                    format!("waiting for {running} processes to stop")
                }
                Err(error) if error.is_passing() && !late => {
                    "waiting for Heroku to say which processes run".to_owned()
                }
                Err(error) => return Err(error.during(during())),
            };
            cx.progress(Progress { what, ..Progress::default() });
            cx.sleep(pace.wait()).await?;
        }
    }
}

fn let_in(what: String) -> Fault {
    Fault::new(Class::Gone, format!("{what}, in the middle of the move"))
        .help("what was moved until then may be out of date; the next apply moves it again")
}

fn no_such_type(app: &str, kind: &str) -> Fault {
    Fault::new(Class::Rejected, format!("app `{app}` has no process type `{kind}` to stop"))
        .help(format!("`heroku ps:scale --app {app}` lists its process types"))
}

impl Resource for Maintenance {
    const TYPE: &'static str = "heroku.maintenance";
    const KIND: Kind = Kind::Scoped;
    const TRAITS: Traits = Traits { epoch: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(app) = want.get("app").and_then(Tree::as_text) else { return Ok(None) };
        let during = || format!("reading app `{app}`");
        let found = self.api.app(cx, app).await.map_err(|error| error.during(during()))?;
        let Some(found) = found else { return Ok(Some(json!({ "absent": true }))) };
        let formation = self.api.formation(cx, app).await;
        let formation = formation.map_err(|error| error.during(during()))?;
        let kinds: Vec<&str> = formation.iter().map(|process| process.kind.as_str()).collect();
        Ok(Some(json!({ "maintenance": found.maintenance, "types": kinds })))
    }

    fn judge(want: &Tree, facts: &Json, _confirmed: &[(String, String)]) -> Vec<Finding> {
        let app = want.get("app").and_then(Tree::as_text).unwrap_or_default();
        if facts.get("absent").and_then(Json::as_bool) == Some(true) {
            return vec![Finding::error("PGF1531", format!("there is no app `{app}`"))];
        }
        let known: Vec<&str> = facts
            .get("types")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let wanted = match want.get("stop") {
            Some(Tree::List(items)) => items.iter().filter_map(Tree::as_text).collect(),
            _ => Vec::new(),
        };
        let mut findings: Vec<Finding> = wanted
            .into_iter()
            .filter(|kind| !known.contains(kind))
            .map(|kind| {
                let message = format!("app `{app}` has no process type `{kind}` to stop");
                Finding::error("PGF1532", message).help(format!("it has: {}", known.join(", ")))
            })
            .collect();
        if facts.get("maintenance").and_then(Json::as_bool) == Some(true) {
            let message = format!("app `{app}` is in maintenance already, and will stay so");
            findings.push(Finding::note("PGF1533", message));
        }
        findings
    }

    async fn open(
        &self,
        cx: &Cx,
        want: Spec,
        prior: Option<&Intent>,
    ) -> Result<Done<Attrs>, Fault> {
        let since = prior
            .and_then(|prior| prior.notes.get(SINCE)?.as_str().map(str::to_owned))
            .unwrap_or_else(|| cx.now().to_string());
        // What an earlier attempt noted is what was before; what is there now may be its doing.
        let former = match prior.and_then(Former::noted) {
            Some(former) => former,
            None => {
                let former = self.former(cx, &want).await?;
                cx.note(json!({ FORMER: former, SINCE: since }))?;
                former
            }
        };
        if prior.is_some_and(|prior| prior.notes.get(OPENED) == Some(&Json::Bool(true))) {
            self.is_as_left(cx, &former).await?;
        }
        let app = &want.app;
        let during = || format!("putting app `{app}` into maintenance");
        let mode = self.api.update_app(cx, former.handle(), json!({ "maintenance": true })).await;
        let found = mode.map_err(|error| error.during(during()))?;
        let nothing: Vec<(String, u32)> =
            former.quantities.keys().map(|kind| (kind.clone(), 0)).collect();
        if former.quantities.values().any(|quantity| *quantity > 0) {
            let scaled = self.api.scale(cx, former.handle(), &nothing).await;
            scaled.map_err(|error| error.during(during()))?;
        }
        self.stopped(cx, &former, &want.stop).await?;
        cx.note(json!({ OPENED: true }))?;
        let memory = json!({ FORMER: former });
        Ok(Done { id: found.id, attrs: Attrs { since }, memory })
    }

    async fn close(&self, cx: &Cx, intent: &Intent) -> Result<(), Fault> {
        let Some(former) = Former::noted(intent) else { return Ok(()) };
        let (app, handle) = (&former.app, former.handle());
        let during = || format!("taking app `{app}` out of maintenance");
        let mut back: Vec<(String, u32)> = former
            .quantities
            .iter()
            .filter(|(_, quantity)| **quantity > 0)
            .map(|(kind, quantity)| (kind.clone(), *quantity))
            .collect();
        if !back.is_empty() {
            let found = self.api.app(cx, handle).await.map_err(|error| error.during(during()))?;
            if found.is_none() {
                return Ok(());
            }
            // A release in the meantime may have taken a process type away; the others must come back all the same.
            let formation =
                self.api.formation(cx, handle).await.map_err(|error| error.during(during()))?;
            back.retain(|(kind, quantity)| {
                let known = formation.iter().any(|process| process.kind == *kind);
                if !known {
                    cx.warn(format!(
                        "app `{app}` no longer has the process type `{kind}`, of which {quantity} ran before"
                    ));
                }
                known
            });
        }
        if !back.is_empty() {
            self.api.scale(cx, handle, &back).await.map_err(|error| error.during(during()))?;
        }
        if former.maintenance {
            return Ok(());
        }
        match self.api.update_app(cx, handle, json!({ "maintenance": false })).await {
            Err(error) if error.is_absent() => Ok(()),
            other => other.map(drop).map_err(|error| error.during(during())),
        }
    }

    fn by_hand(intent: &Intent) -> Option<String> {
        let Former { app, maintenance, quantities, .. } = Former::noted(intent)?;
        let mut commands = Vec::new();
        let back = quantities.iter().filter(|(_, quantity)| **quantity > 0);
        let back: Vec<String> = back.map(|(kind, quantity)| format!("{kind}={quantity}")).collect();
        if !back.is_empty() {
            commands.push(format!("`heroku ps:scale {} --app {app}`", back.join(" ")));
        }
        if !maintenance {
            commands.push(format!("`heroku maintenance:off --app {app}`"));
        }
        (!commands.is_empty()).then(|| commands.join(", then "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_types_are_checked_before_anything_stops() {
        let want = Tree::from_json(&json!({ "app": "acme-web", "stop": ["worker", "clock"] }));
        let codes = |facts: Json| -> Vec<String> {
            Maintenance::judge(&want, &facts, &[]).into_iter().map(|f| f.code).collect()
        };
        assert_eq!(codes(json!({ "maintenance": false, "types": ["web", "worker"] })), ["PGF1532"]);
        assert_eq!(
            codes(json!({ "maintenance": true, "types": ["clock", "worker"] })),
            ["PGF1533"]
        );
        assert_eq!(codes(json!({ "absent": true })), ["PGF1531"]);
    }

    #[test]
    fn by_hand_as_it_was_before() {
        let by_hand = |former: Json| {
            let (at, notes) = (jiff::Timestamp::UNIX_EPOCH, json!({ FORMER: former }));
            let verb = pgferry_engine::resource::Verb::Open;
            Maintenance::by_hand(&Intent { verb, inputs: Tree::Null, at, notes, before: None })
        };
        let all = json!({ "app": "web", "maintenance": false, "quantities": { "clock": 0, "worker": 2 } });
        let want = "`heroku ps:scale worker=2 --app web`, then `heroku maintenance:off --app web`";
        assert_eq!(by_hand(all).as_deref(), Some(want));
        let stays = json!({ "app": "web", "maintenance": true, "quantities": {} });
        assert_eq!(by_hand(stays), None);
        assert_eq!(by_hand(Json::Null), None);
    }
}
