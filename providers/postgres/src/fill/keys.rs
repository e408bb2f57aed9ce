//! What is made after the rows: which indexes belong to which table, and which keys can be made side by side.
//!
//! An index or key of a table is made as soon as the table's rows are there: plain and unique indexes side by side, then
//! what needs the table for itself. Foreign keys are added unchecked and then checked side by side. All else follows in
//! `pg_dump`'s order. Sorting is pure, over what the source's catalogue or the archive says; tested beside it.

use std::collections::BTreeMap;

use super::script::{Entry, statements};
use crate::quoting::identifier;

pub(crate) const PG_CLASS: u32 = 1259;
pub(crate) const PG_CONSTRAINT: u32 = 2606;

/// By class and number in the source's catalogue.
pub(crate) type Details = BTreeMap<(u32, u32), Detail>;

/// What is known of an index or key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    /// The table it belongs to.
    pub(crate) table: u32,
    /// `schema.table` as SQL has it.
    pub(crate) qualified: String,
    pub(crate) name: String,
    /// `p`, `u`, `f` and so on; empty for an index.
    pub(crate) kind: String,
    /// Checked at once, valid, and between ordinary tables.
    pub(crate) plain: bool,
    /// The index under a primary or unique key, as SQL.
    pub(crate) index: Option<String>,
}

/// What one table needs once its rows are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Can be made side by side.
    pub(crate) together: Vec<Task>,
    /// One after the other, afterwards.
    pub(crate) alone: Vec<Task>,
    /// Instead of both, for a table so small that nothing is gained side by side: as `pg_dump` wrote it.
    pub(crate) at_once: Vec<Task>,
}

/// A statement, and the entry that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) entry: Entry,
    pub(crate) sql: String,
}

/// A step after all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    InOrder(Vec<Entry>),
    /// Foreign keys: the statements that add them, then those that check them.
    Keys {
        add: Vec<Task>,
        check: Vec<Task>,
    },
}

/// Sorts `entries` into what each of `tables` needs by itself, in their order, and the steps after all rows. A table
/// without a number needs nothing before those: rows that go through an ancestor arrive whenever any of its partitions
/// is filled.
pub(crate) fn sort(
    entries: Vec<Entry>,
    details: &Details,
    tables: &[Option<u32>],
) -> (Vec<Work>, Vec<Step>) {
    let numbered = tables.iter().enumerate();
    let by_oid: BTreeMap<u32, usize> =
        numbered.filter_map(|(at, oid)| oid.map(|oid| (oid, at))).collect();
    let mut work = vec![Work::default(); tables.len()];
    let mut steps: Vec<Step> = Vec::new();
    let mut postponed = false;
    for entry in entries {
        postponed |= is_postponed(&entry.kind);
        let detail = details.get(&(entry.class, entry.oid));
        let table = detail.and_then(|detail| by_oid.get(&detail.table));
        let own = matches!(entry.kind.as_str(), "INDEX" | "CONSTRAINT") && !postponed;
        match (detail, table) {
            (Some(detail), Some(at)) if own => add(&mut work[*at], entry, detail),
            (Some(detail), _) if entry.kind == "FK CONSTRAINT" => key(&mut steps, entry, detail),
            _ => match steps.last_mut() {
                Some(Step::InOrder(entries)) => entries.push(entry),
                _ => steps.push(Step::InOrder(vec![entry])),
            },
        }
    }
    for work in &mut work {
        by_method(&mut work.together);
    }
    (work, steps)
}

/// What `pg_dump` writes before the rows unless it needs a key; indexes that come after it may need it.
fn is_postponed(kind: &str) -> bool {
    const KINDS: [&str; 10] = [
        "FUNCTION",
        "PROCEDURE",
        "AGGREGATE",
        "VIEW",
        "MATERIALIZED VIEW",
        "TABLE",
        "TYPE",
        "DOMAIN",
        "OPERATOR",
        "CAST",
    ];
    KINDS.contains(&kind)
}

fn add(work: &mut Work, entry: Entry, detail: &Detail) {
    let all: Vec<String> = statements(&entry.sql).into_iter().map(str::to_owned).collect();
    let Some((first, rest)) = all.split_first() else { return };
    let task = |sql: String| Task { entry: entry.clone(), sql };
    work.at_once.push(task(entry.sql.clone()));
    let over = match (&detail.index, detail.kind.as_str()) {
        (Some(index), "p") if detail.plain => Some((index, "primary key")),
        (Some(index), "u") if detail.plain => Some((index, "unique")),
        _ => None,
    };
    match over {
        // `ADD PRIMARY KEY` keeps everybody from the table while its index is built; an index alone does not.
        Some((index, kind)) if !first.contains("WITHOUT OVERLAPS") => {
            work.together.push(task(index.clone()));
            let name = identifier(&detail.name);
            work.alone.push(task(format!(
                "alter table only {} add constraint {name} {kind} using index {name}",
                detail.qualified
            )));
        }
        _ if entry.kind == "INDEX" => work.together.push(task(first.clone())),
        _ => work.alone.push(task(first.clone())),
    }
    work.alone.extend(rest.iter().cloned().map(task));
}

fn key(steps: &mut Vec<Step>, entry: Entry, detail: &Detail) {
    if !matches!(steps.last(), Some(Step::Keys { .. })) {
        steps.push(Step::Keys { add: Vec::new(), check: Vec::new() });
    }
    let Some(Step::Keys { add, check }) = steps.last_mut() else { return };
    let task = |sql: String| Task { entry: entry.clone(), sql };
    match statements(&entry.sql).as_slice() {
        [one] if detail.plain && detail.kind == "f" && !one.contains("NOT ENFORCED") => {
            add.push(task(format!("{one} NOT VALID")));
            check.push(task(format!(
                "alter table {} validate constraint {}",
                detail.qualified,
                identifier(&detail.name)
            )));
        }
        _ => add.push(task(entry.sql.clone())),
    }
}

/// Whether something of the table of this name as SQL, which statistics are gathered of as well, is made by `steps`.
pub(crate) fn is_late(steps: &[Step], name: &str) -> bool {
    const KINDS: [&str; 3] = ["INDEX", "CONSTRAINT", "STATISTICS"];
    let mut entries = steps.iter().flat_map(|step| match step {
        Step::InOrder(entries) => entries.as_slice(),
        Step::Keys { .. } => &[],
    });
    entries.any(|entry| KINDS.contains(&entry.kind.as_str()) && entry.sql.contains(name))
}

/// Indexes that take long for their size before others.
fn by_method(tasks: &mut [Task]) {
    let quick =
        |task: &Task| task.sql.contains(" USING btree ") || task.sql.contains(" USING brin ");
    tasks.sort_by_key(quick);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, class: u32, oid: u32, sql: &str) -> Entry {
        Entry { kind: kind.into(), name: format!("n{oid}"), class, oid, sql: sql.into() }
    }

    fn detail(table: u32, kind: &str, plain: bool, index: Option<&str>) -> Detail {
        Detail {
            table,
            qualified: format!("s.t{table}"),
            name: "N".into(),
            kind: kind.into(),
            plain,
            index: index.map(str::to_owned),
        }
    }

    #[test]
    fn indexes_go_with_their_table_and_the_rest_keeps_its_order() {
        let details = Details::from([
            ((PG_CONSTRAINT, 10), detail(1, "p", true, Some("CREATE UNIQUE INDEX"))),
            ((PG_CONSTRAINT, 11), detail(1, "u", false, Some("CREATE UNIQUE INDEX"))),
            ((PG_CLASS, 12), detail(1, "", false, None)),
            ((PG_CLASS, 13), detail(9, "", false, None)),
            ((PG_CONSTRAINT, 14), detail(1, "f", true, None)),
            ((PG_CONSTRAINT, 15), detail(1, "f", false, None)),
            ((PG_CLASS, 17), detail(2, "", false, None)),
        ]);
        let entries = vec![
            entry("CONSTRAINT", PG_CONSTRAINT, 10, "ADD p;\n\nCLUSTER;"),
            entry("CONSTRAINT", PG_CONSTRAINT, 11, "ADD u DEFERRABLE;"),
            entry("INDEX", PG_CLASS, 12, "CREATE i;"),
            entry("INDEX", PG_CLASS, 13, "CREATE of a view;"),
            entry("FK CONSTRAINT", PG_CONSTRAINT, 14, "ADD f;"),
            entry("FK CONSTRAINT", PG_CONSTRAINT, 15, "ADD g;"),
            entry("FUNCTION", 1255, 16, "CREATE f;"),
            entry("INDEX", PG_CLASS, 17, "CREATE of f;"),
        ];
        let (work, steps) = sort(entries, &details, &[Some(1), Some(2)]);
        let sql = |tasks: &[Task]| tasks.iter().map(|task| task.sql.clone()).collect::<Vec<_>>();
        assert_eq!(sql(&work[0].together), ["CREATE UNIQUE INDEX", "CREATE i"]);
        assert_eq!(
            sql(&work[0].alone),
            [
                "alter table only s.t1 add constraint \"N\" primary key using index \"N\"",
                "CLUSTER",
                "ADD u DEFERRABLE"
            ]
        );
        assert_eq!(sql(&work[0].at_once), ["ADD p;\n\nCLUSTER;", "ADD u DEFERRABLE;", "CREATE i;"]);
        assert_eq!(work[1], Work::default());
        assert!(is_late(&steps, "of a view") && !is_late(&steps, "ADD g"));
        let [Step::InOrder(first), Step::Keys { add, check }, Step::InOrder(last)] = &steps[..]
        else {
            panic!("{steps:?}")
        };
        assert_eq!((first[0].oid, first.len()), (13, 1));
        assert_eq!(sql(add), ["ADD f NOT VALID", "ADD g;"]);
        assert_eq!(sql(check), ["alter table s.t1 validate constraint \"N\""]);
        assert_eq!(last.iter().map(|entry| entry.oid).collect::<Vec<_>>(), [16, 17]);
    }
}
