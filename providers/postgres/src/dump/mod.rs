//! `postgres.dump` — one archive of a database, streamed from `pg_dump` straight into a bucket.
//!
//! `pg_dump -Fc` (PostgreSQL docs, "pg_dump"), multipart upload (S3 `CreateMultipartUpload`). Constant memory, no
//! local file. Complete only when this act has succeeded: an attempt that was cut short is thrown away. Tested in
//! `tests/dump.rs` against real servers.

mod destination;
mod preflight;
pub(crate) use self::preflight::endpoint;
mod process;
mod snapshot;

use std::time::Duration;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use pgferry_objects::{Uploader, part_size_for};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use self::destination::{Destination, fault, final_fault};
use self::process::{Order, Process};
pub use self::snapshot::Baseline;
use self::snapshot::Snapshot;
use crate::connect::{Access, Format, connect};
use crate::facts::USER_RELATIONS;
use crate::programs::{choose, find};
use crate::quoting::{Tables, display};

/// Parts on their way at once. With the one being filled, 48 MiB; `pg_dump` is slower than two of them.
const IN_FLIGHT: usize = 2;
/// Prose and rows shrink to about a quarter (measured); only for the progress line.
const COMPRESSES_TO: u64 = 4;

/// The type.
pub struct Dump;

/// A dump of a database, streamed by `pg_dump` straight into a bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The database to dump: any resource with a `url`. It is only read.
    source: Endpoint,
    /// The database that the dump is for; its `pg_restore` must be able to read the archive.
    #[serde(default, rename = "for")]
    target: Option<Endpoint>,
    /// Where the archive goes.
    to: Destination,
    /// Tables to leave out, as `schema.table`; `*` stands for any characters. Without a schema, `public`.
    #[serde(default)]
    exclude_tables: Option<Vec<String>>,
    /// Tables whose rows to leave out.
    #[serde(default)]
    exclude_data: Option<Vec<String>>,
    /// 0 (none) to 9 (smallest); left out, the default of `pg_dump` (6).
    #[serde(default)]
    #[schemars(range(max = 9))]
    compression: Option<u8>,
    /// `remove`: the archive goes in the same apply, once every run that depends on it is done, before the key to its
    /// bucket is revoked. Default: `keep`, until `destroy`.
    #[serde(default, rename = "after_use")]
    #[schemars(extend("x-change" = "volatile"))]
    _after_use: AfterUse,
}

/// What becomes of an archive once it has served; the engine reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterUse {
    #[default]
    Keep,
    Remove,
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// Name of the bucket.
    pub bucket: String,
    /// S3 host of the bucket.
    pub endpoint: String,
    /// Region of the bucket.
    pub region: String,
    /// Name of the object.
    pub object: String,
    /// Bytes.
    pub size: u64,
    /// As the store tells it, without quotes.
    pub etag: String,
    /// Of the whole archive, lower-case hex.
    pub sha256: String,
    /// Of the archive's format: `1.14`.
    pub archive_version: String,
    /// Of the program that wrote it: `15.18`.
    pub pg_dump_version: String,
    /// Where the source's write-ahead log stood at the snapshot.
    pub snapshot_lsn: Option<String>,
    /// The tables in it.
    pub tables: Vec<DumpedTable>,
}

/// A table in a dump.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DumpedTable {
    /// `public.accounts`.
    pub name: String,
}

/// What is noted before the first byte leaves.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    bucket: String,
    object: String,
    upload_id: String,
    started: Timestamp,
}

impl Resource for Dump {
    const TYPE: &'static str = "postgres.dump";
    const KIND: Kind = Kind::Run;
    const TRAITS: Traits = Traits { staging: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        preflight::inspect(cx, want).await
    }

    fn judge(_: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        preflight::judge(facts)
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Change { want, before, prior, .. } = change;
        let programs = find(cx, "pg_dump").await;
        let session = connect(&want.source, Access::ReadOnly, Format::Own).await?;
        let restorer = preflight::restorer(want.target.as_ref()).await?;
        let program = choose(&programs, session.major(), restorer)
            .map_err(|misfit| preflight::misfit_fault(&misfit, session.major(), restorer))?;
        let sizes = Sizes::read(&session).await?;
        drop(session);

        let bucket = want.to.open(cx).await?;
        want.to.claim(cx, &bucket, before.as_ref(), prior.as_ref()).await?;
        let object = &want.to.object;
        let upload = want.to.start_upload(cx, &bucket).await?;
        let claim = Claim {
            bucket: bucket.name().to_owned(),
            object: object.clone(),
            upload_id: upload.upload_id.clone(),
            started: cx.now(),
        };
        cx.note(serde_json::to_value(claim).unwrap_or_default())?;

        let mut uploader = Uploader::new(
            &bucket,
            object,
            &upload.upload_id,
            part_size_for(sizes.most(want.compression)),
            IN_FLIGHT,
        )
        .map_err(final_fault)?;
        let streamed = async {
            let snapshot = Snapshot::take(cx, &want.source).await?;
            let order = Order {
                program,
                source: &want.source,
                snapshot: &snapshot.name,
                exclude_tables: &Tables::new(names(&want.exclude_tables)),
                exclude_data: &Tables::new(names(&want.exclude_data)),
                compression: want.compression,
            };
            cx.effect("pg_dump")?;
            let mut process = order.start(cx)?;
            let archive_version = stream(
                cx,
                &mut process,
                &mut uploader,
                sizes.estimate(before.as_ref(), want.compression),
            )
            .await?;
            Ok((snapshot, archive_version))
        };
        let (snapshot, archive_version) = match streamed.await {
            Ok(done) => done,
            Err(cause) => return Err(abandon(cx, &mut uploader, cause).await),
        };
        let lsn = snapshot.lsn.clone();
        let baseline = snapshot.release();
        cx.effect("complete upload")?;
        let finished = match uploader.finish().await {
            Ok(finished) => finished,
            Err(cause) if cause.class() == pgferry_objects::Class::Transient => {
                // It may be there; the next attempt knows the place as ours and starts over.
                return Err(Fault::new(Class::Unknown, cause.to_string()).because(cause));
            }
            Err(cause) => return Err(abandon(cx, &mut uploader, final_fault(cause)).await),
        };
        unreadable_by_strangers(cx, &bucket, object).await?;
        let excluded = Tables::new(names(&want.exclude_tables));
        let attrs = Attrs {
            bucket: bucket.name().to_owned(),
            endpoint: want.to.bucket.endpoint.clone(),
            region: want.to.bucket.region.clone(),
            object: object.clone(),
            size: finished.size,
            etag: finished.etag,
            sha256: finished.sha256,
            archive_version,
            pg_dump_version: program.version.clone(),
            snapshot_lsn: lsn,
            tables: sizes
                .tables
                .iter()
                .filter(|(schema, name)| !excluded.contains(schema, name))
                .map(|(schema, name)| DumpedTable { name: display(schema, name) })
                .collect(),
        };
        let memory = json!({ "baseline": baseline, "excluded_data": want.exclude_data });
        Ok(Done { id: format!("{}/{}", attrs.bucket, attrs.object), attrs, memory })
    }

    async fn settle(&self, _: &Cx, intent: &Intent) -> Result<Settled<Attrs>, Fault> {
        let begun = intent.notes.get("upload_id").is_some();
        let why = if begun { "its upload was cut short" } else { "its upload had not begun" };
        Ok(Settled::Not(why.to_owned()))
    }

    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        let text = |key: &str| remembered.attrs.get(key).and_then(Tree::as_text);
        let (Some(name), Some(endpoint), Some(region)) =
            (text("bucket"), text("endpoint"), text("region"))
        else {
            return Ok(());
        };
        // The key it was made with is gone with its scope; without another, the object goes with its bucket.
        let Ok(credentials) = destination::ambient(cx) else { return Ok(()) };
        let bucket = destination::open(cx, endpoint, region, name, credentials)?;
        delete_ours(cx, &bucket, remembered).await
    }

    async fn remove_after_use(
        &self,
        cx: &Cx,
        want: Spec,
        remembered: &Remembered,
    ) -> Result<(), Fault> {
        let bucket = want.to.open(cx).await?;
        if remembered.attrs.get("bucket").and_then(Tree::as_text) != Some(bucket.name()) {
            let message =
                format!("the archive is not in bucket `{}`, where `to` leads", bucket.name());
            return Err(Fault::new(Class::Conflict, message)
                .help("put the former `to` back, or set `after_use: keep`"));
        }
        delete_ours(cx, &bucket, remembered).await
    }
}

/// Deletes the archive, if what is there is the one that was made; nothing there is as good.
async fn delete_ours(
    cx: &Cx,
    bucket: &pgferry_objects::Bucket,
    remembered: &Remembered,
) -> Result<(), Fault> {
    let text = |key: &str| remembered.attrs.get(key).and_then(Tree::as_text);
    let Some(object) = text("object") else { return Ok(()) };
    if let Some(there) = bucket.head(object).await.map_err(fault)?
        && Some(there.etag.as_str()) == text("etag")
    {
        cx.effect("delete object")?;
        bucket.delete(object).await.map_err(fault)?;
    }
    Ok(())
}

fn names(list: &Option<Vec<String>>) -> impl Iterator<Item = &str> {
    list.iter().flatten().map(String::as_str)
}

/// Takes the archive away again if it can be read without a key: its object's or bucket's rules make it public.
async fn unreadable_by_strangers(
    cx: &Cx,
    bucket: &pgferry_objects::Bucket,
    object: &str,
) -> Result<(), Fault> {
    match bucket.is_open_to_strangers(object).await {
        Ok(false) => Ok(()),
        Ok(true) => {
            cx.effect("delete object")?;
            bucket.delete(object).await.map_err(fault)?;
            let name = bucket.name();
            Err(Fault::new(
                Class::Rejected,
                format!("everyone may read `{object}` in bucket `{name}`, so it was deleted again"),
            )
            .help(format!("make the objects of `{name}` private: its access list and its policy")))
        }
        Err(unclear) => {
            cx.warn(format!(
                "whether strangers may read `{object}` in bucket `{}` is not known: {unclear}",
                bucket.name()
            ));
            Ok(())
        }
    }
}

/// Ends the upload without an object; says so if even that fails.
async fn abandon(cx: &Cx, uploader: &mut Uploader, cause: Fault) -> Fault {
    if let Err(left) = uploader.abort().await {
        cx.warn(format!("an unfinished upload is left in the bucket until the next run: {left}"));
    }
    cause
}

/// Passes the archive on until its end; gives its version.
async fn stream(
    cx: &Cx,
    process: &mut Process,
    uploader: &mut Uploader,
    estimate: u64,
) -> Result<String, Fault> {
    let mut head = Vec::new();
    let mut reported = cx.now();
    loop {
        let chunk = tokio::select! {
            chunk = process.next() => chunk?,
            () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
        };
        let Some(chunk) = chunk else { break };
        if head.len() < HEAD {
            head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
        }
        tokio::select! {
            written = uploader.write(chunk) => written.map_err(final_fault)?,
            () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
        }
        let now = cx.now();
        if now.duration_since(reported).unsigned_abs() >= Duration::from_millis(250) {
            reported = now;
            report(cx, uploader.received(), estimate.max(uploader.received()));
        }
    }
    let said = tokio::select! {
        ended = process.end() => ended?,
        () = cx.world.cancel.cancelled() => return Err(crate::interrupted()),
    };
    if !said.is_empty() {
        cx.warn(format!("`pg_dump` succeeded, and says: {}", said.join("\n  ")));
    }
    report(cx, uploader.received(), uploader.received());
    archive_version(&head)
}

fn report(cx: &Cx, done: u64, total: u64) {
    cx.progress(Progress {
        what: "dumping".to_owned(),
        done: Some(done),
        total: Some(total),
        unit: Some("bytes"),
    });
}

/// `PGDMP` and three bytes of version (`ReadHead` in pg_backup_archiver.c).
const HEAD: usize = 8;

fn archive_version(head: &[u8]) -> Result<String, Fault> {
    match head {
        [b'P', b'G', b'D', b'M', b'P', major, minor, _] => Ok(format!("{major}.{minor}")),
        _ => {
            Err(Fault::failed("`pg_dump` wrote no archive: its output does not begin with `PGDMP`"))
        }
    }
}

/// How much there is to dump.
struct Sizes {
    /// Bytes on disk of the whole database.
    database: u64,
    /// Bytes on disk of tables and large objects without indexes.
    tables_bytes: u64,
    tables: Vec<(String, String)>,
}

impl Sizes {
    async fn read(session: &crate::connect::Session) -> Result<Self, Fault> {
        let statement = format!(
            "with {USER_RELATIONS}
             select nspname::text, relname::text, pg_table_size(oid), pg_database_size(current_database()),
                    pg_table_size('pg_catalog.pg_largeobject'::regclass)
             from user_relations where relkind = 'r' order by 1, 2"
        );
        let rows = session
            .query(&statement, &[])
            .await
            .map_err(|cause| session.fault("measuring the tables", cause))?;
        let bytes = |row: &tokio_postgres::Row, at: usize| row.get::<_, i64>(at).unsigned_abs();
        Ok(Self {
            database: rows.first().map_or(0, |row| bytes(row, 3)),
            tables_bytes: rows.iter().map(|row| bytes(row, 2)).sum::<u64>()
                + rows.first().map_or(0, |row| bytes(row, 4)),
            tables: rows.iter().map(|row| (row.get(0), row.get(1))).collect(),
        })
    }

    /// Bytes of the archive at most. Without compression, text and hexadecimal digits take more room than the server's
    /// own pages, whose long values are compressed.
    fn most(&self, compression: Option<u8>) -> u64 {
        if compression == Some(0) { self.database.saturating_mul(4) } else { self.database }
    }

    /// Bytes of the archive: as many as last time, else by experience.
    fn estimate(&self, before: Option<&Remembered>, compression: Option<u8>) -> u64 {
        let last = before.and_then(|before| before.attrs.get("size")).and_then(Tree::as_u64);
        let ratio = if compression == Some(0) { 1 } else { COMPRESSES_TO };
        last.unwrap_or(self.tables_bytes / ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_tell_their_version() {
        assert_eq!(archive_version(b"PGDMP\x01\x0e\x00").expect("an archive"), "1.14");
        assert!(archive_version(b"-- plain").is_err());
        assert!(archive_version(b"PGD").is_err());
    }
}
