//! `postgres.copy` — one database into another, directly: no bucket, no archive, no temporary file.
//!
//! The schema is `pg_dump`'s, the rows go through `COPY` (PostgreSQL docs, "COPY") on several connections in one
//! snapshot, indexes are made behind them. Complete only when this act has succeeded: an attempt that was cut short is
//! thrown away. Tested in `tests/copy.rs` against real servers.

mod details;
mod look;
mod objects;
mod plan;
mod preflight;
mod run;
mod schema;
mod tables;
mod worker;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use self::run::{Copied, Run};
use crate::connect::{Access, Format, Session, connect, enough};
use crate::dump::{COUNTED, preflight as dump};
use crate::fill::JOBS;
use crate::fill::claim::{Claim, cut_short};
use crate::programs::{Version, choose_for, find};
use crate::target::inventory::{Whose, inventory};
use crate::target::other_database;

/// The type.
pub struct Copy;

/// One database copied into another, where both can be reached from here: no bucket, and the fastest way.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The database to copy: any resource with a `url`. It is only read.
    from: Endpoint,
    /// The database to fill. It must hold nothing, or nothing but what pgferry put there, which is replaced.
    into: Endpoint,
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
    /// The tables whose rows were copied.
    pub tables: Vec<CopiedTable>,
    /// How many rows, in all.
    pub rows: u64,
    /// How many bytes went from one end to the other.
    pub bytes: u64,
    /// Where the source's write-ahead log stood at the snapshot.
    pub snapshot_lsn: Option<String>,
    /// Of the program that wrote the schema: `15.18`.
    pub pg_dump_version: String,
    /// When.
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// What the target refused; harmless, or it would have failed.
    pub warnings: Vec<String>,
}

/// A table that was copied.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CopiedTable {
    /// `public.accounts`.
    pub name: String,
    /// How many.
    pub rows: u64,
    /// As they travelled.
    pub bytes: u64,
}

impl Resource for Copy {
    const TYPE: &'static str = "postgres.copy";
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
        look::inspect(cx, want, remembered).await
    }

    fn judge(want: &Tree, facts: &Json, confirmed: &[(String, String)]) -> Vec<Finding> {
        preflight::judge(want, facts, confirmed)
    }

    fn size(facts: &Json) -> Option<u64> {
        crate::dump::preflight::size_of(facts.get("dump")?)
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
        let programs = find(cx, "pg_dump").await;
        let (source, target) = futures_util::try_join!(
            connect(&want.from, Access::ReadOnly, Format::Own),
            connect(&want.into, Access::ReadWrite, Format::Own)
        )?;
        let program = choose_for(&programs, Version::of(&source), None)
            .map_err(|misfit| dump::misfit_fault(&misfit, source.major(), None))?;
        if look::same(&source, &target).await? {
            let finding = preflight::one_and_the_same(want.into.address.as_str());
            return Err(finding.into_fault(Class::Rejected));
        }
        let (from, into) = ((&want.from, &source), (&want.into, &target));
        // With one worker.
        enough(&want.from, preflight::BESIDES_AT_SOURCE as usize + 1).await?;
        enough(&want.into, preflight::BESIDES_AT_TARGET as usize + 2).await?;
        let name = format!("{} copy", cx.natural_key());
        let brought = brought(&source).await?;
        let claim =
            Claim::take(cx, name, into, Some(from), &want.confirm, &change, brought).await?;
        drop(source);
        let last = change.before.as_ref().and_then(|before| before.attrs.get("bytes"));
        let run = Run {
            cx,
            name: &claim.name,
            written: &claim.written,
            from: &want.from,
            into: &want.into,
            program,
            jobs: want.jobs.map_or(JOBS, usize::from),
            expected_bytes: last.and_then(Tree::as_u64),
        };
        let (copied, left) = claim.fill(target, run.copy()).await?;
        Ok(done(cx, copied, &program.version, &claim.place, &left))
    }

    async fn settle(&self, _: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        Ok(Settled::Not(cut_short(intent)))
    }
}

/// What the copy makes, as a target knows it.
async fn brought(source: &Session) -> Result<Vec<String>, Fault> {
    let all = inventory(source, source.version_number, Whose::Everybodys).await;
    let all = all.map_err(|cause| source.fault("listing what is copied", cause))?;
    Ok(all.into_iter().map(|object| object.key).collect())
}

fn done(cx: &Cx, copied: Copied, version: &str, place: &str, left: &Json) -> Done<Attrs> {
    Done {
        id: format!("{place} as of {}", copied.baseline.taken_at),
        memory: json!({
            "baseline": copied.baseline, COUNTED: copied.counted, "fingerprint": left, "target": place,
            // As far as the role there could take them over: a verification compares them.
            "rights": "carried"
        }),
        attrs: Attrs {
            rows: copied.tables.iter().map(|table| table.rows).sum(),
            tables: copied.tables,
            bytes: copied.bytes,
            snapshot_lsn: copied.lsn,
            pg_dump_version: version.to_owned(),
            finished_at: cx.now(),
            warnings: copied.warnings,
        },
    }
}
