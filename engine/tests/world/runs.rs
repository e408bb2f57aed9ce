//! What is done once: commands, a dump in parts, a restore that goes on elsewhere, a comparison.

use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::info::Kind;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::Shared;
use super::types::{Whole, goes_on};

pub(super) struct Command(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(super) struct CommandSpec {
    #[serde(default)]
    #[allow(dead_code, reason = "for references")]
    input: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "for the plan")]
    when: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct CommandAttrs {
    exit_code: u64,
}

impl Resource for Command {
    const TYPE: &'static str = "sim.command";
    const KIND: Kind = Kind::Run;
    type Spec = CommandSpec;
    type Attrs = CommandAttrs;
    async fn act(&self, cx: &Cx, _: Change<CommandSpec>) -> Result<Done<CommandAttrs>, Fault> {
        let address = cx.address.to_string();
        self.0.call(cx, "run", |cloud, _| {
            *cloud.commands.entry(address.clone()).or_default() += 1;
        })?;
        Ok(Done { id: address, attrs: CommandAttrs { exit_code: 0 }, memory: Json::Null })
    }
}

pub(super) struct Dump(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(super) struct DumpSpec {
    #[serde(default)]
    #[allow(dead_code, reason = "there is one source")]
    source: Option<Whole>,
    #[serde(default)]
    credentials: Option<Whole>,
    object: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DumpAttrs {
    object: String,
}

impl Resource for Dump {
    const TYPE: &'static str = "sim.dump";
    const KIND: Kind = Kind::Run;
    type Spec = DumpSpec;
    type Attrs = DumpAttrs;
    async fn act(&self, cx: &Cx, change: Change<DumpSpec>) -> Result<Done<DumpAttrs>, Fault> {
        let DumpSpec { credentials, object, .. } = change.want;
        key_is_good(&self.0, credentials.as_ref());
        let begun: Vec<String> = self.0.look(|world| {
            let begun = world.cloud.uploads.iter().filter(|(_, upload)| upload.object == object);
            begun.map(|(id, _)| id.clone()).collect()
        });
        for upload in begun {
            self.0.call(cx, "abort", |cloud, _| cloud.uploads.remove(&upload).is_some())?;
        }
        let upload = self.0.call(cx, "begin", |cloud, _| cloud.begin_upload(&object))?;
        cx.note(json!({ "upload": upload }))?;
        self.0.call(cx, "send a part", |_, _| ())?;
        key_is_good(&self.0, credentials.as_ref());
        let made = self.0.call(cx, "complete", |cloud, _| cloud.complete(&upload))?;
        Ok(Done { id: made.id, attrs: DumpAttrs { object }, memory: Json::Null })
    }
}

/// Whoever is handed a key may use it.
fn key_is_good(world: &Shared, key: Option<&Whole>) {
    if let Some(key) = key {
        assert!(
            world.look(|world| world.cloud.keys.contains_key(&key.id)),
            "key `{}` is used and gone",
            key.id
        );
    }
}

pub(super) struct Restore(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(super) struct RestoreSpec {
    into: Whole,
    from: Whole,
    #[serde(default)]
    credentials: Option<Whole>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct RestoreAttrs {
    number: u64,
}

impl Restore {
    /// The transfer that notes speak of: by its number, or the first one since they were made.
    fn find(&self, notes: &Json) -> Option<(u64, String, bool)> {
        let into = notes["into"].as_str()?;
        let number = notes["transfer"].as_u64();
        let after = notes["after"].as_u64().unwrap_or(u64::MAX);
        self.0.look(|world| {
            let mut known = world.cloud.transfers.iter().filter(|(_, t)| t.into == into);
            let found = known.find(|(known, _)| number.map_or(**known > after, |n| n == **known));
            found.map(|(number, t)| (*number, t.object.clone(), t.over))
        })
    }

    async fn wait(&self, cx: &Cx, number: u64) -> Result<Done<RestoreAttrs>, Fault> {
        while self.0.look(|world| !world.cloud.transfers[&number].over) {
            if cx.sleep(Duration::from_secs(1)).await.is_err() {
                return Err(goes_on(cx));
            }
        }
        Ok(done(number))
    }
}

fn done(number: u64) -> Done<RestoreAttrs> {
    Done { id: format!("restore#{number}"), attrs: RestoreAttrs { number }, memory: Json::Null }
}

impl Resource for Restore {
    const TYPE: &'static str = "sim.restore";
    const KIND: Kind = Kind::Run;
    type Spec = RestoreSpec;
    type Attrs = RestoreAttrs;
    async fn inspect(
        &self,
        _: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        let Some(Tree::Resource(into)) = want.get("into") else { return Ok(None) };
        let Some(id) = into.id.clone() else { return Ok(None) };
        let written = |thing: &super::cloud::Thing| thing.written;
        Ok(Some(json!(self.0.look(|world| world.cloud.things.get(&id).is_some_and(written)))))
    }
    fn judge(_: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
        let stays = facts == &json!(true) && !confirmed.iter().any(|(name, _)| name == "restore");
        let refused = || Finding::error("SIM1", "applications have written to the target");
        stays.then(refused).into_iter().collect()
    }
    async fn act(&self, cx: &Cx, change: Change<RestoreSpec>) -> Result<Done<RestoreAttrs>, Fault> {
        let RestoreSpec { into, from, credentials } = change.want;
        key_is_good(&self.0, credentials.as_ref());
        let notes = change.prior.map(|prior| prior.notes).unwrap_or_default();
        if let Some((number, object, over)) = self.find(&notes) {
            if object == from.id {
                cx.note(json!({ "transfer": number }))?;
                return self.wait(cx, number).await;
            }
            if !over {
                self.wait(cx, number).await?;
            }
        }
        let after = self.0.look(|world| world.cloud.transfers.len());
        cx.note(json!({ "into": into.id, "after": after, "transfer": null }))?;
        let asked = |cloud: &mut super::cloud::Cloud, now| cloud.transfer(&into.id, &from.id, now);
        let number = self.0.call(cx, "ask for", asked)?;
        cx.note(json!({ "transfer": number }))?;
        self.wait(cx, number).await
    }
    async fn settle(&self, _: &Cx, intent: &Intent) -> Result<Settled<RestoreAttrs>, Fault> {
        Ok(match self.find(&intent.notes) {
            None => Settled::Not("it had not been asked for".to_owned()),
            Some((number, _, false)) => Settled::Running(format!("restore {number}")),
            Some((number, _, true)) => Settled::Done(done(number)),
        })
    }
}

pub(super) struct Check(pub(super) Shared);

#[derive(Deserialize, JsonSchema)]
pub(super) struct CheckSpec {
    #[allow(dead_code, reason = "there is one source")]
    expected: Whole,
    actual: Whole,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct CheckAttrs {
    verdict: String,
}

impl Resource for Check {
    const TYPE: &'static str = "sim.check";
    const KIND: Kind = Kind::Run;
    type Spec = CheckSpec;
    type Attrs = CheckAttrs;
    async fn act(&self, cx: &Cx, change: Change<CheckSpec>) -> Result<Done<CheckAttrs>, Fault> {
        let (source, target) = self.0.look(|world| {
            let target = world.cloud.things.get(&change.want.actual.id);
            (world.cloud.source, target.and_then(|target| target.data))
        });
        if target != Some(source) {
            let message = format!("the source has {source} writes, the target {target:?}");
            return Err(Fault::failed(message));
        }
        let attrs = CheckAttrs { verdict: "equal".to_owned() };
        Ok(Done { id: cx.address.to_string(), attrs, memory: Json::Null })
    }
}
