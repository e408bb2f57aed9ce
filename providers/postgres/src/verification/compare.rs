//! Everything that is compared, one after the other, into one report.
//!
//! It decides what is measured and what counts as a difference; how each is read is its neighbours' work. Tested in
//! `tests/verification.rs`.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::cx::Cx;
use pgferry_engine::event::Progress;
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;

use super::contents::{self, Digest, Measure, Measured, Table, Task};
use super::objects::{Comparison, Outcome};
use super::progress::Reading;
use super::quiet::{self, Quiet};
use super::report::{Line, Report, Verdict, equal_or};
use super::side::Side;
use super::{Contents, Rows, Spec, known, large_objects, queries, rows, sequences, settings};
use crate::dump::counted;
use crate::quoting::{Tables, display};

/// In so many tables that differ, rows are looked for: each is read twice more on both sides.
const LOOKED_INTO: usize = 10;

/// Compares the two sides as `want` says; `dump` is what the dump of the expected one remembers.
pub(super) async fn compare(
    cx: &Cx,
    want: &Spec,
    dump: Option<&Remembered>,
    expected: &Side,
    actual: &Side,
) -> Result<Report, Fault> {
    let mut report = Report::default();
    if expected.version_number.min(actual.version_number) < 120_000 {
        expected.print_short_floats().await?;
        actual.print_short_floats().await?;
    }
    let excluded = Tables::new(
        names(&want.exclude_tables)
            .chain(dump.into_iter().flat_map(|dump| texts(dump.inputs.get("exclude_tables")))),
    );
    let without_data =
        Tables::new(dump.into_iter().flat_map(|dump| texts(dump.inputs.get("exclude_data"))));

    let [ours, theirs] = contents::both(expected, actual, &excluded).await?;
    let comparison = Comparison {
        ends: (&want.expected, &want.actual),
        sides: (expected, actual),
        excluded: &excluded,
        dump,
        contents: want.contents != Some(Contents::None),
    };
    let compared = async {
        if !want.objects.unwrap_or(true) {
            return Ok(None);
        }
        comparison.run(cx).await.map(Some)
    };
    let of_dump = (&without_data, dump);
    // Beside the reading of rows, which takes longer.
    let (compared, ()) = futures_util::try_join!(
        compared,
        tables(cx, want, expected, actual, (&ours, &theirs), of_dump, &mut report)
    )?;
    if let Some(compared) = compared {
        objects(cx, compared, (&ours, &theirs), &mut report);
    }
    if want.sequences.unwrap_or(true) {
        sequences::compare(cx, expected, actual, &excluded, &mut report).await?;
    }
    if want.objects.unwrap_or(true) {
        settings::compare(cx, expected, actual, &mut report).await?;
    }
    if want.contents != Some(Contents::None) {
        large(expected, actual, &mut report).await?;
    }
    for query in names(&want.queries) {
        ask(expected, actual, query, &mut report).await?;
    }
    let how = how(dump);
    // Last, so that it covers everything above.
    match quiet::check(&want.expected, dump).await? {
        Quiet::NotAsked => {}
        Quiet::Since(at) => {
            report.others.push((expected.name.clone(), format!("not written to since {at}")));
        }
        Quiet::Moved { since, tables } => {
            let shown: Vec<String> = tables.iter().map(|name| format!("`{name}`")).collect();
            report.differences.push(format!(
                "`{}` was written to after the {how}'s snapshot of {since}: {}; what was written is not in the {how}",
                expected.name,
                listed(&shown)
            ));
        }
        Quiet::Unknown { since } => report.differences.push(format!(
            "`{}` is a standby that has taken over transactions since the {how}'s snapshot of {since}, and a standby does \
             not count what they wrote: stop its primary's writers, or name the primary as the source, and {how} again",
            expected.name
        )),
    }
    Ok(report)
}

fn names(list: &Option<Vec<String>>) -> impl Iterator<Item = &str> {
    list.iter().flatten().map(String::as_str)
}

fn texts(list: Option<&Tree>) -> impl Iterator<Item = &str> {
    list.and_then(Tree::as_list).into_iter().flatten().filter_map(Tree::as_text)
}

type Listed = BTreeMap<String, Table>;

async fn tables(
    cx: &Cx,
    want: &Spec,
    expected: &Side,
    actual: &Side,
    (ours, theirs): (&Listed, &Listed),
    (without_data, dump): (&Tables, Option<&Remembered>),
    report: &mut Report,
) -> Result<(), Fault> {
    let alike = expected.encoding == actual.encoding
        && expected.version_number.min(actual.version_number) >= 110_000;
    let digest = if alike { Digest::Hash } else { Digest::Md5 };
    let (rows, contents) =
        (want.rows.unwrap_or(Rows::Exact), want.contents.unwrap_or(Contents::Checksum));
    let measure = match (rows, contents) {
        (_, Contents::Checksum) => Measure::Contents { digest },
        (Rows::Exact, Contents::None) => Measure::Rows,
        (Rows::Estimate, Contents::None) => Measure::Estimate,
        (Rows::None, Contents::None) => Measure::Nothing,
    };
    let unreadable: BTreeSet<&String> = [(expected, ours), (actual, theirs)]
        .iter()
        .filter(|(side, _)| side.in_recovery)
        .flat_map(|(_, tables)| tables.iter().filter(|(_, table)| table.unlogged))
        .map(|(name, _)| name)
        .collect();
    if !unreadable.is_empty() {
        let names: Vec<String> = unreadable.iter().map(|name| format!("`{name}`")).collect();
        cx.warn(format!(
            "a standby has no rows of unlogged tables, so these were not compared: {}",
            listed(&names)
        ));
    }
    let of = |table: &Table| {
        let left_out = without_data.contains(&table.schema, &table.name)
            || unreadable.contains(&display(&table.schema, &table.name));
        if left_out { Measure::Nothing } else { measure }
    };
    // Both sides use the column order of the expected one.
    let tasks = |side: &Listed| -> Vec<Task> {
        side.iter()
            .map(|(name, table)| {
                let pair = ours.get(name).filter(|_| theirs.contains_key(name));
                let columns = match pair {
                    Some(ours) if contents::same(&ours.columns, &theirs[name].columns) => {
                        ours.columns.as_slice()
                    }
                    Some(_) => &[],
                    None => table.columns.as_slice(),
                };
                Task::new(name, table, columns, of(table))
            })
            .collect()
    };
    let mut own = tasks(ours);
    let dumped = dump.map(counted).unwrap_or_default();
    let read_by_dump = known::of(&dumped, of, (expected, actual), (ours, theirs));
    let known = known::unchanged(read_by_dump.clone(), dump, expected, &own).await?;
    own.retain(|task| !known.contains_key(&task.shown));
    let sized = |(name, table): (&String, &Table)| (name.clone(), table.bytes);
    let read = ours.iter().filter(|(name, _)| !known.contains_key(*name)).chain(theirs);
    let tell = Reading::new(cx, read.map(sized));
    // What there is, not what was read: the dump may have read it already.
    cx.moved(ours.values().map(|table| table.bytes).sum());
    let (mut left, mut right) = futures_util::try_join!(
        contents::measure(expected, own, &tell),
        contents::measure(actual, tasks(theirs), &tell)
    )?;
    if !known.is_empty() {
        let told = format!(
            "{} of {} tables of `{}` as the {} read them",
            known.len(),
            ours.len(),
            expected.name,
            how(dump)
        );
        report.others.push(("contents".into(), told));
        left.extend(known);
    }
    let exact = !matches!(measure, Measure::Estimate);
    let all: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in all {
        let agree = match (ours.get(name), theirs.get(name)) {
            (Some(one), Some(other)) => contents::same(&one.columns, &other.columns),
            _ => true,
        };
        let mut line = Line::new(name, left.remove(name), right.remove(name), agree, exact);
        if let (Some(one), Some(other)) = (ours.get(name), theirs.get(name)) {
            if agree
                && one.columns != other.columns
                && (one.is_type || !one.inherits || !other.inherits)
            {
                let told = if one.is_type {
                    ", and values of its row type are stored by that"
                } else {
                    ""
                };
                report
                    .differences
                    .push(format!("table `{name}`: its columns stand in another order{told}"));
            }
            if one.materialized && other.materialized && line.computed_anew() {
                cx.warn(format!(
                    "materialized view `{name}` was computed anew by the restore and differs: the source's is older than \
                     its tables, or depends on the time"
                ));
            }
        }
        report.lines.push(line);
    }
    differing_rows(cx, (expected, actual), (ours, theirs), digest, &read_by_dump, report).await
}

/// What has read the expected side before.
fn how(dump: Option<&Remembered>) -> &'static str {
    if dump.is_some_and(|it| it.inputs.get("from").is_some()) { "copy" } else { "dump" }
}

/// Looks for the rows of tables that differ, table by table.
async fn differing_rows(
    cx: &Cx,
    sides: (&Side, &Side),
    (ours, theirs): (&Listed, &Listed),
    digest: Digest,
    read_by_dump: &BTreeMap<String, Measured>,
    report: &mut Report,
) -> Result<(), Fault> {
    let mut looked_at = 0;
    for line in &mut report.lines {
        let measured = |side: &Option<Measured>| {
            side.as_ref().filter(|it| it.checksum.is_some()).and_then(|it| it.rows)
        };
        let rows = measured(&line.expected).zip(measured(&line.actual));
        let (Some((one, other)), Some(ours), Some(theirs)) =
            (rows, ours.get(&line.name), theirs.get(&line.name))
        else {
            continue;
        };
        if !matches!(line.verdict, Verdict::RowsDiffer | Verdict::ContentsDiffer) {
            continue;
        }
        if looked_at == LOOKED_INTO {
            line.rows =
                Some("its rows were not looked for, after those of other tables".to_owned());
            continue;
        }
        looked_at += 1;
        let what = format!("looking for the rows of `{}` that differ", line.name);
        cx.progress(Progress { what, ..Progress::default() });
        let dumped = read_by_dump.get(&line.name);
        let found =
            rows::find(sides, (ours, theirs), digest, &line.name, one.max(other), dumped).await?;
        line.rows = Some(found);
    }
    Ok(())
}

/// What the comparison of objects says, into the report.
fn objects(cx: &Cx, outcome: Outcome, (ours, theirs): (&Listed, &Listed), report: &mut Report) {
    // A table on one side only is told as a table; its columns and indexes need no line of their own.
    let alone = |table: &str| ours.contains_key(table) != theirs.contains_key(table);
    let mut different = 0;
    for deviation in outcome.differences {
        if !deviation.table.as_deref().is_some_and(alone) {
            different += 1;
            report.differences.push(deviation.text);
        }
    }
    let mut told = equal_or(outcome.equal, different);
    if outcome.reworded > 0 {
        told.push_str(&format!(", {} equal in the words of the target's server", outcome.reworded));
    }
    for version in &outcome.versions {
        cx.warn(format!("{version}; each server brings its own version"));
    }
    if !outcome.versions.is_empty() {
        told.push_str(&format!(", {} extensions of another version", outcome.versions.len()));
    }
    report.others.push(("objects".into(), told));
    let by_design =
        "publications, subscriptions, tablespaces, what the server has beside the database"
            .to_owned();
    let uncompared: Vec<String> = outcome.uncompared.into_iter().chain([by_design]).collect();
    report.others.push(("not compared".into(), uncompared.join("; ")));
}

/// The first of `names`, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

async fn large(expected: &Side, actual: &Side, report: &mut Report) -> Result<(), Fault> {
    let (one, other) =
        futures_util::try_join!(large_objects::sum(expected), large_objects::sum(actual))?;
    if one == other {
        report.others.push(("large objects".into(), format!("{} equal", one.count)));
        return Ok(());
    }
    let which = large_objects::differing(expected, actual).await?.join(", ");
    report.others.push(("large objects".into(), "DIFFER".into()));
    report.differences.push(if one.count == other.count {
        format!("large objects: contents differ among {}: numbers {which}", one.count)
    } else {
        format!("large objects: {} expected, {} found: numbers {which}", one.count, other.count)
    });
    Ok(())
}

/// One line, short enough for a table.
fn shortened(query: &str) -> String {
    const SHOWN: usize = 60;
    let line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN {
        return line;
    }
    line.chars().take(SHOWN).chain(['…']).collect()
}

async fn ask(
    expected: &Side,
    actual: &Side,
    query: &str,
    report: &mut Report,
) -> Result<(), Fault> {
    let (one, other) =
        futures_util::try_join!(queries::ask(expected, query), queries::ask(actual, query))?;
    let label = format!("query `{}`", shortened(query));
    let failed = |said: &str| format!("failed: {said}");
    match (one, other) {
        (Ok(one), Ok(other)) if queries::agree(query, &one, &other) => {
            report.others.push((label, format!("equal: {} rows, {}", one.rows, one.first)));
        }
        (Ok(one), Ok(other)) => report.differences.push(format!(
            "{label}: {} rows beginning with {} expected, {} rows beginning with {} found",
            one.rows, one.first, other.rows, other.first
        )),
        (Err(said), Err(_)) => return Err(queries::misunderstood(query, &said)),
        (Ok(_), Err(said)) => {
            report.differences.push(format!("{label}: {} {}", actual.name, failed(&said)))
        }
        (Err(said), Ok(_)) => {
            report.differences.push(format!("{label}: {} {}", expected.name, failed(&said)))
        }
    }
    Ok(())
}
