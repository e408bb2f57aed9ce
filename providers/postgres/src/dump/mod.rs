//! `postgres.dump` — one archive of a database, streamed straight into a bucket.
//!
//! The format of `pg_dump -Fc` (PostgreSQL docs, "pg_dump"), multipart upload (S3 `CreateMultipartUpload`). Bounded
//! memory, no local file. Complete only when this act has succeeded: an attempt that was cut short is thrown away. Tested in
//! `tests/dump.rs` and `tests/parallel.rs` against real servers.

mod compression;
mod counted;
pub(crate) mod destination;
pub(crate) mod grants;
pub(crate) mod hold;
pub(crate) mod locks;
mod losses;
mod own;
mod parallel;
pub(crate) mod preflight;
pub(crate) use self::preflight::endpoint;
pub(crate) mod process;
mod progress;
pub(crate) mod restorer;
mod single;
mod sizes;
pub(crate) mod snapshot;

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Intent, Remembered, Resource, Settled};
use pgferry_engine::tree::Tree;
use pgferry_objects::{Finished, ObjectError, Uploader, part_size_for, part_size_from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

pub use self::compression::{Between, Compression, Method as CompressionMethod, is_zstd};
pub(crate) use self::counted::{COUNTED, Contents, Counted, counted};
use self::destination::{Destination, fault, final_fault};
use self::process::{Order, Rights};
use self::progress::Meter;
use self::restorer::Restorer;
use self::sizes::Sizes;
pub use self::snapshot::Baseline;
use self::snapshot::Snapshot;
use crate::connect::{Access, Format, Session, connect, enough};
use crate::programs::{Version, choose_for, find};
use crate::quoting::{Tables, display};

/// Parts of `pg_dump` on their way at once. With the one being filled, 48 MiB; it is slower than two of them.
const IN_FLIGHT: usize = 2;
/// Fewest sessions with the source: the snapshot's, its observer's, that of `pg_dump` and one that reads rows.
const SESSIONS: usize = 4;
/// Parts of a parallel dump are as small as S3 allows at first, since one more is held: the first.
const SMALL_PART: u64 = 5 << 20;
/// Bytes of them on their way at once, at least two parts: while a store takes its time to answer for some, others fill
/// the line. Two suffice at 200 Mbit/s and no delay (measured); the rest is for real ones.
const ON_THE_WAY: u64 = 20 << 20;

/// The type.
pub struct Dump;

/// A dump of a database, streamed straight into a bucket.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The database to dump: any resource with a `url`. It is only read.
    source: Endpoint,
    /// The database that the dump is for; its `pg_restore` must be able to read the archive. What its role may not
    /// restore is left out, settings that make the restore faster come first, and `ANALYZE` last.
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
    /// 0 (none) to 9 (smallest), or bounds, within which it is chosen by what is slower: this machine, or the way to
    /// the bucket. Default: `{ method: zlib, min: 2, max: 6 }`; with `method: pg_dump`, 6. `zstd` is four times as fast
    /// at the same size; it is for a `postgres.restore`, or a `pg_restore` from 16 on that was built with it.
    #[serde(default)]
    compression: Option<Compression>,
    /// `parallel`, the default: several sessions read, all cores compress. `pg_dump`: it does all of it by itself, on
    /// one core. Both make the same kind of archive, of the same instant.
    #[serde(default)]
    #[schemars(extend("x-change" = "volatile"))]
    method: Method,
    /// How many sessions read the source at once, besides three that watch. Default: as many as this machine has
    /// cores, at most 8.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64), extend("x-change" = "volatile"))]
    jobs: Option<u8>,
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

/// Who reads the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    #[default]
    Parallel,
    PgDump,
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
    /// Of the whole archive, lower-case hex. With `-N` behind it: of the digests of its N parts, as S3 composes
    /// checksums; each part but the last has `part_size` bytes.
    pub sha256: String,
    /// Bytes of a part of the upload.
    pub part_size: u64,
    /// Of the archive's format: `1.14`.
    pub archive_version: String,
    /// Of the program that described its objects: `15.18`.
    pub pg_dump_version: String,
    /// How it was compressed, as far as it is ours to say: `none`, `zlib 4`, `zstd 1 to 3`.
    pub compression: Option<String>,
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
    /// How many of its rows are in the dump, where they were counted.
    pub rows: Option<u64>,
}

/// What a method has made, but for the end of the upload.
struct Made {
    snapshot: Snapshot,
    archive_version: String,
    compression: Option<String>,
    /// By the table's displayed name.
    tables: BTreeMap<String, Counted>,
    /// What the target cannot take.
    left_out: Vec<String>,
    /// The beginning of the archive, where it comes last.
    head: Option<Bytes>,
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

    fn judge(want: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        preflight::judge(want, facts)
    }

    fn size(facts: &Json) -> Option<u64> {
        preflight::size_of(facts)
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let Change { want, before, prior, .. } = change;
        let programs = find(cx, "pg_dump").await;
        let session = connect(&want.source, Access::ReadOnly, Format::Own).await?;
        enough(&want.source, SESSIONS).await?;
        let parallel = want.method == Method::Parallel;
        let major = preflight::restorer(want.target.as_ref()).await?;
        let reader = preflight::reads(major, parallel);
        let program = choose_for(&programs, Version::of(&session), reader)
            .map_err(|misfit| preflight::misfit_fault(&misfit, session.major(), reader))?;
        let restorer = match &want.target {
            Some(target) if parallel => Some(Restorer::of(target).await?),
            _ => None,
        };
        let sizes = Sizes::read(&session).await?;
        let encoding = server_encoding(&session).await?;
        cx.moved(sizes.database);
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

        let choice = Compression::choice(want.compression);
        let most = sizes.most(choice.is_some());
        let (part_size, in_flight) = if parallel {
            let size = part_size_from(SMALL_PART, most);
            (size, usize::try_from(ON_THE_WAY / size).unwrap_or(IN_FLIGHT).max(IN_FLIGHT))
        } else {
            (part_size_for(most), IN_FLIGHT)
        };
        let mut uploader = Uploader::new(&bucket, object, &upload.upload_id, part_size, in_flight)
            .map_err(final_fault)?;
        let excluded = Tables::new(names(&want.exclude_tables));
        let streamed = async {
            let snapshot = Snapshot::take(cx, &want.source).await?;
            let level = Compression::level(want.compression);
            let order = Order {
                program,
                source: &want.source,
                snapshot: &snapshot.name,
                exclude_tables: &excluded,
                exclude_data: &Tables::new(names(&want.exclude_data)),
                rights: match restorer {
                    Some(_) => Rights::Kept,
                    None => Rights::LeftOut,
                },
                // Only its table of contents is read, then.
                compression: if parallel { Some(0) } else { level },
                encoding: process::encoding(&encoding),
            };
            cx.effect("pg_dump")?;
            let mut process = order.start(cx)?;
            let meter = Meter::new(cx, sizes.estimate(before.as_ref(), choice.is_some()));
            if parallel {
                let source = &want.source;
                let order = parallel::Order {
                    source,
                    snapshot: &snapshot,
                    jobs: want.jobs,
                    choice,
                    restorer: restorer.as_ref(),
                };
                let made = order.run(cx, &mut process, &mut uploader, meter).await?;
                Ok(Made {
                    archive_version: made.archive_version,
                    compression: Some(made.compression),
                    tables: made.tables,
                    left_out: made.left_out,
                    head: Some(made.head),
                    snapshot,
                })
            } else {
                let archive_version =
                    single::stream(cx, &mut process, &mut uploader, meter).await?;
                let compression = level.map(|level| match level {
                    0 => "none".to_owned(),
                    level => format!("zlib {level}"),
                });
                let tables = BTreeMap::new();
                let (left_out, head) = (Vec::new(), None);
                Ok(Made { archive_version, compression, tables, left_out, head, snapshot })
            }
        };
        let Made { snapshot, archive_version, compression, tables, left_out, head } =
            match streamed.await {
                Ok(made) => made,
                Err(cause) => {
                    let cause = hold::refused_to_program(&want.source, cause).await;
                    return Err(abandon(cx, &mut uploader, cause).await);
                }
            };
        let lsn = snapshot.lsn.clone();
        let baseline = snapshot.release();
        cx.effect("complete upload")?;
        let finished = match finish(&mut uploader, head).await {
            Ok(finished) => finished,
            Err(cause) if cause.class() == pgferry_objects::Class::Transient => {
                // It may be there; the next attempt knows the place as ours and starts over.
                return Err(Fault::new(Class::Unknown, cause.to_string()).because(cause));
            }
            Err(cause) => return Err(abandon(cx, &mut uploader, final_fault(cause)).await),
        };
        unreadable_by_strangers(cx, &bucket, object).await?;
        let attrs = Attrs {
            bucket: bucket.name().to_owned(),
            endpoint: want.to.bucket.endpoint.clone(),
            region: want.to.bucket.region.clone(),
            object: object.clone(),
            size: finished.size,
            etag: finished.etag,
            sha256: finished.sha256,
            part_size,
            archive_version,
            pg_dump_version: program.version.clone(),
            compression,
            snapshot_lsn: lsn,
            tables: sizes
                .tables
                .iter()
                .filter(|(schema, name)| !excluded.contains(schema, name))
                .map(|(schema, name)| display(schema, name))
                .map(|name| DumpedTable { rows: tables.get(&name).map(|table| table.rows), name })
                .collect(),
        };
        if let Some(target) = &want.target
            && !left_out.is_empty()
        {
            let list = left_out.join("\n  ");
            cx.output(format!("left out, because `{}` cannot take it:\n  {list}", target.address));
        }
        let mut memory = json!({
            "baseline": baseline, "excluded_data": want.exclude_data, "left_out": left_out,
        });
        if !tables.is_empty() {
            memory[COUNTED] = serde_json::to_value(tables).unwrap_or_default();
        }
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

/// The name of the encoding that the session's database is in.
async fn server_encoding(session: &Session) -> Result<String, Fault> {
    let row = session
        .query_one("select current_setting('server_encoding')", &[])
        .await
        .map_err(|cause| session.fault("reading its encoding", cause))?;
    Ok(row.get(0))
}

fn names(list: &Option<Vec<String>>) -> impl Iterator<Item = &str> {
    list.iter().flatten().map(String::as_str)
}

async fn finish(uploader: &mut Uploader, head: Option<Bytes>) -> Result<Finished, ObjectError> {
    match head {
        Some(head) => uploader.finish_with(head).await,
        None => uploader.finish().await,
    }
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
