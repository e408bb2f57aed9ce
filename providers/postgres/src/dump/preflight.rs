//! What a person should know before a dump: versions that must fit, sizes, and what will not come along.
//!
//! Looking reads both ends; judging is pure. Codes and remedies are listed in [`crate::codes`]. Tested beside it and in
//! `tests/`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::{Finding, Severity};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::compression::is_zstd;
use super::locks::{Counted, Locks, Room, Work};
use super::losses::{listed, losses, own};
use super::own::Own;
use crate::connect::{Access, Format, connect};
use crate::dump::restorer::{Restorer, is_heroku};
use crate::facts::Facts;
use crate::programs::{Misfit, Program, Version, choose_for, find};

const GIB: i64 = 1 << 30;
/// The guide's advice for a migration by dump and restore.
const ADVISED_SIZE: i64 = 100 * GIB;
/// Up to here Heroku calls its own backups and restores by dump suitable (Dev Center, "Heroku PGBackups").
const HEROKU_BACKUPS: i64 = 20 * GIB;

#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    source: Facts,
    #[serde(default)]
    own: Own,
    target: Option<Target>,
    programs: Vec<Program>,
    /// What `pg_dump` writes is turned into the version that the most can read.
    #[serde(default)]
    parallel: bool,
    /// Of the source.
    #[serde(default)]
    locks: Option<Locks>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Target {
    address: String,
    facts: Facts,
    /// Bytes that its plan holds, where it says so.
    storage_bytes: Option<i64>,
    plan: Option<String>,
    #[serde(default)]
    restorer: Restorer,
}

/// Bytes on disk of the source, of such facts.
pub(crate) fn size_of(facts: &Json) -> Option<u64> {
    facts.get("source")?.get("size_bytes")?.as_u64()
}

/// Reads both ends. While the target is not known, only what stops the dump anyway is told: `None` asks for another
/// look at the gate.
pub(crate) async fn inspect(cx: &Cx, want: &Tree) -> Result<Option<Json>, Fault> {
    let Some(source) = endpoint(want.get("source")) else { return Ok(None) };
    let session = connect(&source, Access::ReadOnly, Format::Own).await?;
    // A copy, which asks the same, writes no archive.
    let work = if want.get("to").is_some() { Work::Dump } else { Work::Copy };
    let (counted, room) = (Counted::read(&session).await?, Room::read(&session).await?);
    let mut seen = Seen {
        source: Facts::read(&session).await?,
        own: Own::read(&session).await?,
        target: None,
        programs: find(cx, "pg_dump").await,
        parallel: want.get("method").and_then(Tree::as_text) != Some("pg_dump"),
        locks: Some(Locks { work, counted, room }),
    };
    drop(session);
    if let Some(wanted) = want.get("for") {
        let Some(target) = endpoint(Some(wanted)) else {
            let stops = judged(want, &seen).iter().any(|found| found.severity == Severity::Error);
            return if stops { json(&seen).map(Some) } else { Ok(None) };
        };
        let session = connect(&target, Access::ReadOnly, Format::Own).await?;
        let storage = match wanted.get("storage_bytes") {
            Some(Tree::Number(bytes)) => bytes.as_i64(),
            _ => None,
        };
        seen.target = Some(Target {
            address: target.address.to_string(),
            facts: Facts::read(&session).await?,
            storage_bytes: storage,
            restorer: Restorer::read(&session, is_heroku(&target)).await?,
            plan: target.plan,
        });
    }
    json(&seen).map(Some)
}

fn json(seen: &Seen) -> Result<Json, Fault> {
    serde_json::to_value(seen)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

/// The endpoint in a field, once its URL is known.
pub(crate) fn endpoint(field: Option<&Tree>) -> Option<Endpoint> {
    field?.to_typed().ok()
}

/// The major version of the target's `pg_restore`, which is its server's.
pub(crate) async fn restorer(target: Option<&Endpoint>) -> Result<Option<u32>, Fault> {
    let Some(target) = target else { return Ok(None) };
    let told = target.version.as_deref().and_then(|version| {
        version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse().ok())
    });
    if told.is_some() {
        return Ok(told);
    }
    Ok(Some(connect(target, Access::ReadOnly, Format::Own).await?.major()))
}

/// The restorer whose reading decides which `pg_dump` will do: a parallel dump is read by all from 12 on.
pub(super) fn reads(restorer: Option<u32>, parallel: bool) -> Option<u32> {
    restorer.filter(|major| !parallel || *major < 12)
}

/// The findings, worst first.
pub(crate) fn judge(want: &Tree, facts: &Json) -> Vec<Finding> {
    // Facts of another shape are not ours to judge: nothing was looked at yet.
    let Ok(seen) = serde_json::from_value::<Seen>(facts.clone()) else { return Vec::new() };
    judged(want, &seen)
}

fn judged(want: &Tree, seen: &Seen) -> Vec<Finding> {
    let mut findings = findings(seen);
    if !seen.parallel && is_zstd(want.get("compression")) {
        findings
            .push(Finding::error("PGF1118", "`compression: zstd` with `method: pg_dump`").help(
                "leave one of them out: pgferry compresses by itself, and `pg_dump` by zlib",
            ));
    }
    findings.sort_by(|a, b| (a.severity, &a.code).cmp(&(b.severity, &b.code)));
    findings
}

fn findings(seen: &Seen) -> Vec<Finding> {
    let mut findings = Vec::new();
    versions(seen, &mut findings);
    readability(&seen.source, &mut findings);
    let restorer = seen.target.as_ref().map(|target| &target.restorer).filter(|_| seen.parallel);
    losses(&seen.source, restorer, &mut findings);
    own(&seen.own, restorer, &mut findings);
    findings.extend(seen.locks.and_then(|locks| locks.finding("source")));
    if let Some(target) = &seen.target {
        sizes(&seen.source, target, &mut findings);
        locale(&seen.source, &target.facts, &mut findings);
    }
    if seen.source.size_bytes > ADVISED_SIZE {
        findings.push(
            Finding::warning(
                "PGF1106",
                format!(
                    "the source holds {}; a move by dump and restore is advised up to 100 GB",
                    size(seen.source.size_bytes)
                ),
            )
            .help("plan for a long window, or leave old data out with `exclude_data`"),
        );
    }
    findings
}

fn versions(seen: &Seen, findings: &mut Vec<Finding>) {
    let restorer = seen.target.as_ref().map(|target| target.facts.major);
    let source = &seen.source;
    let server = Version::parsed(source.major, &source.version);
    match choose_for(&seen.programs, server, reads(restorer, seen.parallel)) {
        Ok(program) => {
            if server.is_newer_than(program) {
                findings.push(
                    Finding::warning(
                        "PGF1150",
                        format!(
                            "`pg_dump` {} ({}) is older than the source's server, {}, and may take for options of an object what the server keeps for itself",
                            program.version,
                            program.path.display(),
                            source.version
                        ),
                    )
                    .help(format!(
                        "update the client programs (Debian, Ubuntu: apt-get install postgresql-client-{}), or name the folder of newer ones in PGFERRY_PG_BIN",
                        source.major
                    )),
                );
            }
            let target = seen
                .target
                .as_ref()
                .map_or_else(String::new, |target| format!(", target {}", target.facts.version));
            findings.push(Finding::note(
                "PGF1100",
                format!(
                    "source {}, `pg_dump` {} ({}){target}; the source holds {} in {} tables",
                    source.version,
                    program.version,
                    program.path.display(),
                    size(source.size_bytes),
                    source.tables
                ),
            ));
        }
        Err(misfit) => findings.push(misfit_finding(&misfit, source.major, restorer)),
    }
    if restorer.is_some_and(|target| target < source.major) {
        findings.push(
            Finding::warning(
                "PGF1104",
                format!(
                    "the target (Postgres {}) is older than the source ({}); what only the newer one knows will not restore",
                    restorer.unwrap_or_default(),
                    source.major
                ),
            )
            .help("choose a target of the same or a later version"),
        );
    }
}

fn misfit_finding(misfit: &Misfit, source: u32, restorer: Option<u32>) -> Finding {
    let install = |major: u32| {
        format!(
            "install it (Debian, Ubuntu: apt-get install postgresql-client-{major}; macOS: brew install \
             postgresql@{major}), or name its folder in PGFERRY_PG_BIN"
        )
    };
    match misfit {
        Misfit::None => Finding::error(
            "PGF1101",
            format!("no `pg_dump` was found; the source needs version {source} or later"),
        )
        .help(install(source)),
        Misfit::TooOld { newest } => Finding::error(
            "PGF1102",
            format!("the newest `pg_dump` found is {newest}; the source is Postgres {source} and needs its own version or a later one"),
        )
        .help(install(source)),
        Misfit::Unreadable { oldest } => {
            let restorer = restorer.unwrap_or_default();
            let finding = Finding::error(
                "PGF1103",
                format!("what `pg_dump` {oldest} writes, the target's `pg_restore` {restorer} cannot read"),
            );
            if restorer >= 12 {
                finding.help("write `method: parallel`: its archives are read by all from 12 on")
            } else if source <= restorer {
                finding.help(install(source))
            } else {
                finding.help(format!("choose a target of version {source} or later"))
            }
        }
    }
}

/// The same as a fault, for an act whose world has changed since the preflight.
pub(crate) fn misfit_fault(misfit: &Misfit, source: u32, restorer: Option<u32>) -> Fault {
    misfit_finding(misfit, source, restorer).into_fault(Class::Failed)
}

fn readability(source: &Facts, findings: &mut Vec<Finding>) {
    if source.pooled {
        findings.push(
            Finding::error(
                "PGF1107",
                format!(
                    "a connection pooler stands before `{}`: a dump needs sessions of its own",
                    source.server
                ),
            )
            .help("give the URL of the server itself"),
        );
    }
    if !source.unreadable.is_empty() {
        findings.push(
            Finding::error(
                "PGF1108",
                format!("the source's user may not read {}", listed(&source.unreadable)),
            )
            .help(
                "grant it SELECT on them, use their owner, or leave them out with `exclude_tables`",
            ),
        );
    }
    if !source.hidden_rows.is_empty() {
        findings.push(
            Finding::error(
                "PGF1109",
                format!(
                    "row security hides rows of {} from the source's user",
                    listed(&source.hidden_rows)
                ),
            )
            .help("use the tables' owner or a role with BYPASSRLS"),
        );
    }
    if source.prepared_transactions > 0 {
        findings.push(
            Finding::warning(
                "PGF1112",
                format!(
                    "{} prepared transactions are open on the source; their changes are in no dump",
                    source.prepared_transactions
                ),
            )
            .help("COMMIT PREPARED or ROLLBACK PREPARED them (see pg_prepared_xacts)"),
        );
    }
    if source.long_transactions > 0 {
        findings.push(Finding::warning(
            "PGF1113",
            format!("{} transactions on the source are open for more than an hour; what they commit after the snapshot is not in the dump", source.long_transactions),
        ));
    }
}

fn sizes(source: &Facts, target: &Target, findings: &mut Vec<Finding>) {
    if let Some(storage) = target.storage_bytes {
        let (need, have) = (size(source.size_bytes), size(storage));
        if source.size_bytes > storage {
            findings.push(
                Finding::error(
                    "PGF1105",
                    format!(
                        "the source holds {need}, and the plan of `{}` has room for {have}",
                        target.address
                    ),
                )
                .help("choose a larger plan"),
            );
        } else if source.size_bytes > storage / 10 * 8 {
            findings.push(
                Finding::warning(
                    "PGF1105",
                    format!(
                        "the source's {need} fill the plan of `{}` ({have}) nearly up",
                        target.address
                    ),
                )
                .help("choose a larger plan, or expect to need one soon"),
            );
        }
    }
    if target.restorer.heroku && source.size_bytes > HEROKU_BACKUPS {
        findings.push(Finding::warning(
            "PGF1106",
            format!(
                "the source holds {}; Heroku advises restores by dump up to 20 GB",
                size(source.size_bytes)
            ),
        ));
    }
}

fn locale(source: &Facts, target: &Facts, findings: &mut Vec<Finding>) {
    if source.encoding != target.encoding {
        findings.push(
            Finding::warning(
                "PGF1114",
                format!(
                    "the source is encoded in `{}`, the target in `{}`",
                    source.encoding, target.encoding
                ),
            )
            .help("text that the target's encoding lacks will not restore"),
        );
    }
    if (&source.collate, &source.ctype) != (&target.collate, &target.ctype) {
        findings.push(
            Finding::warning(
                "PGF1115",
                format!(
                    "text sorts by `{}` on the source and by `{}` on the target",
                    both(&source.collate, &source.ctype),
                    both(&target.collate, &target.ctype)
                ),
            )
            .help("indexes are built anew, so nothing breaks; ORDER BY may give another order"),
        );
    }
}

fn both(collate: &str, ctype: &str) -> String {
    if collate == ctype { collate.to_owned() } else { format!("{collate}/{ctype}") }
}

/// `2.5 GB`: powers of 1024, as Postgres and the providers' plans count.
fn size(bytes: i64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if value < 1024.0 {
            return if unit == "bytes" {
                format!("{bytes} bytes")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests;
