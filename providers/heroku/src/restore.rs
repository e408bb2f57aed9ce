//! `heroku.restore`: Heroku fetches a dump from a bucket and restores it into an add-on.
//!
//! It goes on without us: what was asked for is noted before, the transfer right after, and whoever comes next takes it
//! up. API: the Data API's restores and transfers, which have no published contract. Tested beside and against the
//! emulator.

mod judge;
mod notes;
mod source;
mod watch;

use std::sync::Arc;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::secret::Secret;
use pgferry_engine::tree::Tree;
use pgferry_objects::reference::{CredentialsRef, DumpRef};
use pgferry_postgres::target::{Known, Look, occupancy, other_database};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::addon;
use crate::api::Api;
use crate::data::Logs;
use crate::transfer::{self, Log, Stage};
use crate::wire::Transfer;
use notes::Notes;

/// A restore at Heroku.
pub(crate) struct Restore {
    api: Arc<Api>,
}

impl Restore {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

/// A dump restored into an add-on by Heroku, which empties it first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The `heroku.addon` to restore into.
    into: Endpoint,
    /// The `postgres.dump` to restore.
    from: DumpRef,
    /// Signs the URL. Default: the keys of the environment.
    #[serde(default)]
    credentials: Option<CredentialsRef>,
    /// The name of the app that the add-on belongs to, whose data are replaced.
    #[schemars(extend("x-change" = "guard"))]
    confirm: String,
    /// Extensions to put in place first, since emptying takes them away: `name` or `schema.name`.
    #[serde(default)]
    extensions: Option<Vec<String>>,
    /// How long the signed URL lasts: a number and `s`, `m`, `h` or `d`. Default: `6h`; 1 minute to 7 days.
    #[serde(default)]
    #[schemars(extend(
        "x-change" = "volatile",
        "pattern" = "^[0-9]+[smhd]$",
        "x-pattern-help" = "a number and `s`, `m`, `h` or `d`, such as `6h`"
    ))]
    expires_in: Option<String>,
}

/// What others may refer to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Attrs {
    /// Heroku's name of it: `r003`.
    transfer: String,
    /// RFC 3339.
    finished_at: Option<String>,
    /// What its log complained of; harmless, or it would have failed.
    warnings: Vec<String>,
}

/// The add-on restored into.
#[derive(Clone, Debug)]
struct Target {
    endpoint: Endpoint,
    app: String,
    /// The id of the add-on.
    database: String,
    name: String,
}

impl Target {
    fn of(endpoint: Endpoint) -> Result<Self, Fault> {
        let (Some(app), Some(database)) = (endpoint.app.clone(), endpoint.id.clone()) else {
            let what = format!("`{}` is no database of Heroku's", endpoint.address);
            return Err(Fault::new(Class::Rejected, what)
                .help("restore into a `heroku.addon`, or use `postgres.restore`"));
        };
        let name = endpoint.name.clone().unwrap_or_else(|| database.clone());
        Ok(Self { endpoint, app, database, name })
    }
}

/// Whether something is done, or only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Acting,
    Settling,
}

impl Restore {
    /// The target as the notes name it, with a fresh URL.
    async fn target(&self, cx: &Cx, notes: &Notes) -> Result<Option<Target>, Fault> {
        let (Some(app), Some(database), Some(address)) =
            (&notes.app, &notes.database, &notes.target)
        else {
            return Ok(None);
        };
        let during = || format!("reading the add-on of app `{app}`");
        let addon = self.api.addon(cx, app, database).await;
        let Some(addon) = addon.map_err(|error| error.during(during()))? else { return Ok(None) };
        let name = addon.name.clone();
        let url: Secret = addon::url(&self.api, cx, addon).await?;
        let endpoint = json!({
            "$address": address, "$id": database, "url": { "$secret": url.expose() },
            "tls": notes.tls, "app": app, "name": name,
        });
        let endpoint = serde_json::from_value(endpoint)
            .map_err(|cause| Fault::bug("an endpoint that does not decode").because(cause))?;
        Target::of(endpoint).map(Some)
    }

    /// Turns a transfer that is over into a result, or into the fault that says why it is none.
    async fn conclude(
        &self,
        cx: &Cx,
        target: &Target,
        notes: &Notes,
        uuid: &str,
        moment: Moment,
    ) -> Result<Done<Attrs>, Fault> {
        let object = notes.object.as_deref().unwrap_or("the dump");
        let found = self.api.transfer(cx, &target.app, uuid, Logs::All).await;
        let found = found.map_err(|error| {
            let fault = error.during(format!("reading the log of the restore of `{object}`"));
            Fault { class: Class::Unknown, ..fault }
        })?;
        let Some(transfer) = found else {
            let what = format!("Heroku no longer knows the restore of `{object}`");
            return Err(Fault::new(Class::Unknown, what));
        };
        let id = transfer.display();
        let log = Log::read(&transfer.logs);
        let complete = match transfer.stage() {
            Stage::Succeeded => log.agrees(),
            Stage::Failed => log.is_complete(),
            Stage::Pending | Stage::Running | Stage::Cancelled => false,
        };
        let explained = log.explains(transfer.warnings.unwrap_or(0));
        // What is there now is our own doing, whether it is whole or not.
        let left = occupancy(&target.endpoint, cx, &all_ours(), Look::Remember).await;
        if complete && explained {
            let fingerprint = left?.fingerprint;
            return Ok(Done {
                id: transfer.uuid.clone(),
                attrs: Attrs {
                    transfer: id,
                    finished_at: transfer.finished(),
                    warnings: log.harmless,
                },
                memory: json!({
                    "fingerprint": fingerprint, "target": target.database, "dump": notes.dump,
                }),
            });
        }
        if moment == Moment::Acting {
            if let Ok(left) = left {
                cx.note(json!({ "left": left.fingerprint }))?;
            }
            show_end(cx, &transfer);
        }
        Err(failure(target, object, &transfer, &log))
    }
}

/// Heroku drops all that was there before, extensions apart.
fn all_ours() -> Known {
    Known { accepted: vec![json!({ "version": 2, "prepared": [] })], ..Known::default() }
}

fn show_end(cx: &Cx, transfer: &Transfer) {
    const SHOWN: usize = 10;
    let tail = transfer::last(&transfer.logs, SHOWN);
    if !tail.is_empty() {
        let id = transfer.display();
        cx.output(format!("the end of the log of restore {id}:\n  {}", tail.join("\n  ")));
    }
}

fn failure(target: &Target, object: &str, transfer: &Transfer, log: &Log) -> Fault {
    let (id, name) = (transfer.display(), &target.name);
    let (how, causes) = match transfer.stage() {
        Stage::Cancelled => ("was cancelled", Vec::new()),
        Stage::Succeeded if log.download_failed => {
            ("is called a success, but its download failed", transfer::causes(&transfer.logs))
        }
        Stage::Succeeded if log.unclassed.is_empty() => {
            ("ended with warnings that its log does not tell", Vec::new())
        }
        Stage::Succeeded => ("ended with warnings that are not known to be harmless", {
            log.unclassed.iter().take(3).cloned().collect()
        }),
        _ => ("failed", transfer::causes(&transfer.logs)),
    };
    let told = if causes.is_empty() { String::new() } else { format!(": {}", causes.join("; ")) };
    let what = format!("restore {id} of `{object}` into `{name}` {how}{told}");
    let look = format!("`heroku pg:backups:info {id} --app {}` shows its whole log", target.app);
    let help = transfer::remedy(&causes).map_or(look.clone(), |remedy| format!("{remedy}; {look}"));
    Fault::failed(what).help(help)
}

impl Resource for Restore {
    const TYPE: &'static str = "heroku.restore";
    const KIND: Kind = Kind::Run;
    const TRAITS: Traits = Traits { fills: Some("into"), ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        judge::facts(&self.api, cx, want, remembered).await
    }

    fn judge(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
        judge::findings(want, facts, confirmed)
    }

    async fn lost(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: &Remembered,
    ) -> Result<Option<String>, Fault> {
        match judge::endpoint(want) {
            Some(into) => other_database(&into, remembered).await,
            None => Ok(None),
        }
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Change { want, before, prior, confirmed, .. } = change;
        let target = Target::of(want.into.clone())?;
        if want.confirm != target.app {
            let what = format!("`confirm: {}` does not name app `{}`", want.confirm, target.app);
            return Err(Fault::new(Class::Rejected, what));
        }
        // The plan can tell only if the dump was there already.
        if want.from.compression.as_deref().is_some_and(|told| told.starts_with("zstd")) {
            return Err(judge::unreadable().into_fault(Class::Rejected));
        }
        let earlier = prior.as_ref().map(Notes::of).unwrap_or_default();
        let begun = watch::find(&self.api, cx, &target.app, &earlier).await?;
        let ours = begun.is_some() && earlier.left.is_none();
        if let Some(begun) = begun {
            let same = earlier.dump.is_some() && earlier.dump == source::digest(&want.from);
            // A failed one is not taken up but done again; one of another dump must not go on.
            if same && (!begun.is_over() || begun.stage() == Stage::Succeeded) {
                if earlier.transfer.is_none() {
                    cx.note(json!({ "transfer": begun.uuid }))?;
                }
                let total = Some(want.from.size);
                watch::until_over(&self.api, cx, &target.app, &begun.uuid, total).await?;
                cx.moved(want.from.size);
                return self.conclude(cx, &target, &earlier, &begun.uuid, Moment::Acting).await;
            }
            if !begun.is_over() {
                watch::cancel(&self.api, cx, &target.app, &begun).await?;
            }
        }
        let expires = source::expires_in(want.expires_in.as_deref())?;
        let bucket = source::open(cx, &want.from, want.credentials.as_ref())?;
        let url = source::signed(cx, &bucket, &want.from, expires).await?;
        let mut known = judge::known(before.as_ref(), &earlier);
        if ours {
            known.begun = earlier.found.clone();
        }
        let found = occupancy(&target.endpoint, cx, &known, Look::Judge).await?;
        let ours = found.is_begun(&known);
        let accepted = &known.accepted;
        if let Some(finding) = judge::refusal(&found, accepted, ours, &target, &confirmed) {
            return Err(finding.into_fault(Class::Conflict));
        }
        let known = watch::highest(&self.api, cx, &target.app).await?;
        let notes = Notes {
            requested: true,
            transfer: None,
            left: None,
            app: Some(target.app.clone()),
            database: Some(target.database.clone()),
            target: Some(target.endpoint.address.to_string()),
            tls: target.endpoint.tls,
            object: Some(want.from.object.clone()),
            object_path: source::path(&url),
            dump: source::digest(&want.from),
            after: known,
            found: Some(found.fingerprint),
            at: Some(cx.now()),
        };
        cx.note(notes.json()?)?;
        let extensions = want.extensions.as_deref().map(source::extensions);
        let started = self
            .api
            .start_restore(cx, &target.database, url.expose(), extensions.as_deref())
            .await
            .map_err(|error| {
                let busy = error.status() == Some(409)
                    || error.refused().is_some_and(|refused| refused.says("in progress"));
                let fault =
                    error.during(format!("asking Heroku to restore into `{}`", target.name));
                if busy {
                    Fault { class: Class::Conflict, ..fault }.help(format!(
                        "another transfer of it is under way: see `heroku pg:backups --app {}`",
                        target.app
                    ))
                } else {
                    fault
                }
            })?;
        cx.note(json!({ "transfer": started.uuid }))?;
        let total = Some(want.from.size);
        watch::until_over(&self.api, cx, &target.app, &started.uuid, total).await?;
        cx.moved(want.from.size);
        self.conclude(cx, &target, &notes, &started.uuid, Moment::Acting).await
    }

    async fn settle(&self, cx: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        let notes = Notes::of(intent);
        let Some(app) = &notes.app else {
            return Ok(Settled::Not("it had not been asked for".to_owned()));
        };
        let Some(transfer) = watch::find(&self.api, cx, app, &notes).await? else {
            return Ok(Settled::Not("Heroku knows nothing of it".to_owned()));
        };
        let id = transfer.display();
        Ok(match transfer.stage() {
            Stage::Pending | Stage::Running => Settled::Running(format!("restore {id}")),
            Stage::Cancelled => Settled::Not(format!("restore {id} was cancelled")),
            Stage::Succeeded | Stage::Failed => {
                let Some(target) = self.target(cx, &notes).await? else {
                    return Ok(Settled::Not("its database is gone".to_owned()));
                };
                match self.conclude(cx, &target, &notes, &transfer.uuid, Moment::Settling).await {
                    Ok(done) => Settled::Done(done),
                    Err(fault) if fault.class == Class::Failed => Settled::Not(fault.to_string()),
                    Err(fault) => return Err(fault),
                }
            }
        })
    }
}
