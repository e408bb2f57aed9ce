//! What the archive says of its indexes and keys: their table, and the index under a key.
//!
//! Pure, over the words that `pg_dump` writes (`dumpIndex`, `dumpConstraint` in pg_dump.c). Where they are others, the
//! statement is carried out as it is, after all rows. Tested beside it.

use std::collections::BTreeMap;

use pgferry_archive::{Entry as Line, Toc};

use super::texts::Texts;
use crate::fill::keys::{Detail, Details};
use crate::quoting::identifier;

/// Details of all indexes and keys in `toc`.
pub(super) fn details(toc: &Toc, by_id: &BTreeMap<i32, &Line>, texts: &Texts) -> Details {
    let known = toc.entries.iter().filter_map(|line| {
        let needed: Vec<&Line> =
            line.dependencies.iter().filter_map(|id| by_id.get(id).copied()).collect();
        let detail = match line.desc.as_str()? {
            "INDEX" => index(line, &needed),
            "CONSTRAINT" => constraint(line, &needed, texts),
            "FK CONSTRAINT" => foreign(line, &needed, texts),
            _ => None,
        };
        Some((line.catalog, detail?))
    });
    known.collect()
}

fn is_table(line: &Line) -> bool {
    line.desc == *"TABLE"
}

fn is_partitioned(line: &Line) -> bool {
    // The letter is there since 1.16. A default that holds these words only makes it slower.
    line.relkind == i32::from(b'p') || line.definition.shown().contains("\nPARTITION BY ")
}

/// An index of exactly one table.
fn index(line: &Line, needed: &[&Line]) -> Option<Detail> {
    let mut tables = needed.iter().filter(|other| is_table(other));
    let (Some(table), None) = (tables.next(), tables.next()) else { return None };
    (table.namespace == line.namespace)
        .then(|| Detail { table: table.catalog.1, ..Detail::default() })
}

/// The table of a key, whose tag is `table key`, and its statement from `ADD CONSTRAINT key ` on.
struct Key {
    table: u32,
    qualified: String,
    name: String,
    what: String,
}

fn split(line: &Line, needed: &[&Line], texts: &Texts) -> Option<Key> {
    let tag = texts.read(&line.tag);
    let (table, name) = needed.iter().find_map(|table| {
        let name = tag.strip_prefix(&texts.read(&table.tag))?.strip_prefix(' ')?;
        let own = is_table(table) && table.namespace == line.namespace;
        own.then(|| (table.catalog.1, name.to_owned()))
    })?;
    let definition = texts.read(&line.definition);
    let (qualified, added) =
        definition.strip_prefix("ALTER TABLE ONLY ")?.split_once("\n    ADD CONSTRAINT ")?;
    let what = added
        .strip_prefix(&name)
        .or_else(|| added.strip_prefix(&identifier(&name)))?
        .strip_prefix(' ')?;
    Some(Key { table, qualified: qualified.to_owned(), what: what.to_owned(), name })
}

fn constraint(line: &Line, needed: &[&Line], texts: &Texts) -> Option<Detail> {
    let Key { table, qualified, name, what } = split(line, needed, texts)?;
    let first = what.split_once(";\n").map_or(what.trim_end(), |(first, _)| first);
    let first = first.trim_end_matches(';');
    let (kind, columns) = [("p", "PRIMARY KEY "), ("u", "UNIQUE ")]
        .into_iter()
        .find_map(|(kind, words)| first.strip_prefix(words).map(|columns| (kind, columns)))
        .unwrap_or(("", ""));
    // Of `NULLS NOT DISTINCT` and the like, the table takes care.
    let odd = [" DEFERRABLE", " INITIALLY ", " WITHOUT OVERLAPS", " USING INDEX TABLESPACE "];
    let plain = columns.starts_with('(') && !odd.iter().any(|words| columns.contains(words));
    let index = plain.then(|| {
        let name = identifier(&name);
        format!("CREATE UNIQUE INDEX {name} ON {qualified} USING btree {columns}")
    });
    Some(Detail { table, qualified, name, kind: kind.to_owned(), plain, index })
}

fn foreign(line: &Line, needed: &[&Line], texts: &Texts) -> Option<Detail> {
    let Key { table, qualified, name, what } = split(line, needed, texts)?;
    let odd = [" DEFERRABLE", " NOT VALID", " NOT ENFORCED", " INITIALLY "];
    let plain = what.starts_with("FOREIGN KEY (")
        && !odd.iter().any(|words| what.contains(words))
        && !needed.iter().any(|other| {
            other.desc == *"INDEX ATTACH" || (is_table(other) && is_partitioned(other))
        });
    Some(Detail { table, qualified, name, kind: "f".to_owned(), plain, index: None })
}
