//! What is made after the rows: which indexes belong to which table, and which keys can be made side by side.
//!
//! An index or key of a table is made as soon as the table's rows are there: plain and unique indexes side by side, then
//! what needs the table for itself. Foreign keys are added unchecked and then checked side by side. All else follows in
//! `pg_dump`'s order. Sorting is pure, over what the source's catalogue says; tested beside it and in `tests/copy.rs`.

use std::collections::BTreeMap;

use pgferry_engine::fault::Fault;

use super::plan::Table;
use super::script::{Entry, statements};
use crate::connect::Session;
use crate::quoting::identifier;

const PG_CLASS: u32 = 1259;
const PG_CONSTRAINT: u32 = 2606;

/// By class and number in the source's catalogue.
pub(super) type Details = BTreeMap<(u32, u32), Detail>;

/// What the source's catalogue says of an index or key.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    /// The table it belongs to.
    table: u32,
    /// `schema.table` as SQL has it.
    qualified: String,
    name: String,
    /// `p`, `u`, `f` and so on; empty for an index.
    kind: String,
    /// Checked at once, valid, and between ordinary tables.
    plain: bool,
    /// The index under a primary or unique key, as SQL.
    index: Option<String>,
}

/// What one table needs once its rows are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    /// Can be made side by side.
    pub(super) together: Vec<Task>,
    /// One after the other, afterwards.
    pub(super) alone: Vec<Task>,
}

/// A statement, and the entry that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) entry: Entry,
    pub(super) sql: String,
}

/// A step after all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    InOrder(Vec<Entry>),
    /// Foreign keys: the statements that add them, then those that check them.
    Keys {
        add: Vec<Task>,
        check: Vec<Task>,
    },
}

/// Reads the details of all indexes and keys in `entries`.
///
/// # Errors
/// A statement failed; nothing was changed.
pub(super) async fn details(session: &Session, entries: &[Entry]) -> Result<Details, Fault> {
    let of = |class: u32| -> Vec<u32> {
        entries.iter().filter(|entry| entry.class == class).map(|entry| entry.oid).collect()
    };
    let statement = "
        select 'pg_class'::regclass::oid, i.indexrelid, i.indrelid, format('%I.%I', n.nspname, t.relname),
               ''::text, ''::text, false, null::text
        from pg_index i join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace
        where i.indexrelid = any($1)
        union all
        select 'pg_constraint'::regclass::oid, c.oid, c.conrelid, format('%I.%I', n.nspname, t.relname),
               c.conname::text, c.contype::text,
               not c.condeferrable and c.convalidated and t.relkind = 'r'
                 and coalesce((select r.relkind = 'r' from pg_class r where r.oid = c.confrelid), true),
               case when c.contype in ('p', 'u') then pg_get_indexdef(c.conindid) end
        from pg_constraint c join pg_class t on t.oid = c.conrelid join pg_namespace n on n.oid = t.relnamespace
        where c.oid = any($2)";
    let rows = session
        .query(statement, &[&of(PG_CLASS), &of(PG_CONSTRAINT)])
        .await
        .map_err(|cause| session.fault("reading indexes and keys", cause))?;
    Ok(rows
        .iter()
        .map(|row| {
            let detail = Detail {
                table: row.get(2),
                qualified: row.get(3),
                name: row.get(4),
                kind: row.get(5),
                plain: row.get(6),
                index: row.get(7),
            };
            ((row.get(0), row.get(1)), detail)
        })
        .collect())
}

/// Sorts `entries` into what each of `tables` needs by itself, in their order, and the steps after all rows.
pub(super) fn sort(
    entries: Vec<Entry>,
    details: &Details,
    tables: &[Table],
) -> (Vec<Work>, Vec<Step>) {
    let by_oid: BTreeMap<u32, usize> = tables
        .iter()
        .enumerate()
        // Rows that go through an ancestor arrive whenever any of its partitions is copied.
        .filter(|(_, table)| table.through.is_none())
        .map(|(at, table)| (table.oid, at))
        .collect();
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

#[cfg(test)]
mod tests {
    use super::super::plan::Form;
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
        let table = |oid| Table {
            oid,
            schema: "s".into(),
            name: format!("t{oid}"),
            columns: vec!["a".into()],
            bytes: 1,
            pages: 1,
            form: Form::Text,
            configuration: None,
            through: None,
        };
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
        let (work, steps) = sort(entries, &details, &[table(1), table(2)]);
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
        assert_eq!(work[1], Work::default());
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
