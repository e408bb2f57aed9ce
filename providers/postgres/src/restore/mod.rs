//! `postgres.restore` — a dump from a bucket into any Postgres that can be reached from here.
//!
//! The archive is read by ranges; its tables go through `COPY` (PostgreSQL docs, "COPY") on several connections, the
//! largest first, and indexes are made behind them. No local file, no client program. Complete only when this act has
//! succeeded: an attempt that was cut short is thrown away. Tested in `tests/restore.rs` against real servers.

mod blocks;
mod contents;
mod keys;
mod object;
mod objects;
mod preflight;
mod rows;
mod run;
mod scout;
mod stream;
mod texts;
mod together;
mod worker;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use pgferry_objects::reference::{CredentialsRef, DumpRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use self::object::Object;
use self::run::{Restored, Run};
use crate::connect::{Access, Format, connect};
use crate::dump::restorer::{Restorer, is_heroku};
use crate::fill::JOBS;
use crate::fill::claim::{Claim, cut_short};
use crate::fill::guard::{missing_extensions, not_offered};
use crate::target::other_database;

/// The type.
pub struct Restore;

/// A dump restored into any database that can be reached from here, by several connections at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The database to fill. It must hold nothing, or nothing but what pgferry put there, which is replaced.
    into: Endpoint,
    /// The `postgres.dump` to restore.
    from: DumpRef,
    /// The key to the dump's bucket: `${key}`. Left out, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are used.
    #[serde(default)]
    credentials: Option<CredentialsRef>,
    /// The name of the target, whose data are replaced: of its add-on, its app or its database.
    #[schemars(extend("x-change" = "guard"))]
    confirm: String,
    /// How many connections carry rows; as many more make indexes. Default: 4.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64), extend("x-change" = "volatile"))]
    jobs: Option<u8>,
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// The database that was filled: `host:port/name`.
    pub database: String,
    /// How many tables were filled.
    pub tables: u64,
    /// How many rows, in all.
    pub rows: u64,
    /// When.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// What the target refused; harmless, or it would have failed.
    pub warnings: Vec<String>,
}

impl Resource for Restore {
    const TYPE: &'static str = "postgres.restore";
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
        preflight::inspect(cx, want, remembered).await
    }

    fn judge(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
        preflight::judge(want, facts, confirmed)
    }

    async fn lost(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: &Remembered,
    ) -> Result<Option<String>, Fault> {
        match crate::dump::endpoint(want.get("into")) {
            Some(into) => other_database(&into, remembered).await,
            None => Ok(None),
        }
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let want = &change.want;
        let target = connect(&want.into, Access::ReadWrite, Format::Own).await?;
        // All that can be known of the archive, before anything is taken away.
        let reading = async {
            let object = Object::open(cx, &want.from, want.credentials.as_ref()).await?;
            let restorer = Restorer::read(&target, is_heroku(&want.into)).await?;
            contents::read(&object, &target, &restorer).await
        };
        let contents = tokio::select! {
            contents = reading => contents?,
            () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
        };
        let missing = missing_extensions(&target, &contents.extensions).await?;
        if let Some(finding) = not_offered(&target.location.server(), &missing) {
            return Err(finding.into_fault(Class::Rejected));
        }
        let name = format!("{} restore", cx.natural_key());
        let (into, brought) = ((&want.into, &target), contents.brought.clone());
        let claim = Claim::take(cx, name, into, None, &want.confirm, &change, brought).await?;
        let jobs = want.jobs.map_or(JOBS, usize::from);
        let run = Run { cx, name: &claim.name, written: &claim.written, into: &want.into, jobs };
        let (restored, left) = claim.fill(target, run.restore(contents)).await?;
        cx.moved(want.from.size);
        let Restored { tables, rows, warnings } = restored;
        let database = claim.place.clone();
        let finished_at = cx.now();
        Ok(Done {
            id: format!("{database} at {finished_at}"),
            memory: json!({
                "fingerprint": left, "target": database, "dump": want.from.sha256.as_ref().or(want.from.etag.as_ref()),
            }),
            attrs: Attrs { database, tables, rows, finished_at, warnings },
        })
    }

    async fn settle(&self, _: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        Ok(Settled::Not(cut_short(intent)))
    }
}
