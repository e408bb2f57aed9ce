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

#[cfg(test)]
mod tests {
    use pgferry_archive::{Compression, Header, Section, Version};

    use super::*;

    fn line(id: i32, desc: &str, tag: &str, definition: &str, needs: &[i32]) -> Line {
        let made = Line::statement(id, Section::PostData, tag, definition);
        let catalog = (1000, id.unsigned_abs());
        let namespace = "app".into();
        Line { desc: desc.into(), catalog, namespace, dependencies: needs.to_vec(), ..made }
    }

    fn key(id: i32, desc: &str, table: &str, what: &str, needs: &[i32]) -> Line {
        let sql = format!("ALTER TABLE ONLY app.{table}\n    ADD CONSTRAINT \"K\" {what};\n");
        line(id, desc, &format!("{table} K"), &sql, needs)
    }

    fn known(lines: Vec<Line>) -> BTreeMap<u32, (u32, bool, Option<String>)> {
        let header = Header {
            version: Version::V1_14,
            compression: Compression::None,
            made_at: [0; 7],
            database: "d".into(),
            server_version: "15".into(),
            pg_dump_version: "15".into(),
        };
        let toc = Toc { header, entries: lines };
        let by_id = toc.entries.iter().map(|line| (line.id, line)).collect();
        let details = details(&toc, &by_id, &Texts::none());
        let told = |(key, it): ((u32, u32), Detail)| (key.1, (it.table, it.plain, it.index));
        details.into_iter().map(told).collect()
    }

    #[test]
    fn keys_are_told_by_the_words_of_pg_dump() {
        let table = |id, tag: &str| line(id, "TABLE", tag, "CREATE TABLE", &[]);
        let parts =
            line(3, "TABLE", "parts", "CREATE TABLE app.parts ()\nPARTITION BY HASH (a);", &[]);
        let index = |columns: &str| {
            Some(format!("CREATE UNIQUE INDEX \"K\" ON app.a USING btree {columns}"))
        };
        let primary = "PRIMARY KEY (id) INCLUDE (b) WITH (fillfactor='70')";
        let clustered = "PRIMARY KEY (id);\n\nALTER TABLE app.a CLUSTER ON \"K\"";
        let found = known(vec![
            table(1, "a"),
            table(2, "b"),
            parts,
            key(10, "CONSTRAINT", "a", primary, &[1]),
            key(11, "CONSTRAINT", "a", clustered, &[1]),
            key(12, "CONSTRAINT", "a", "UNIQUE (id) DEFERRABLE", &[1]),
            key(13, "CONSTRAINT", "a", "UNIQUE NULLS NOT DISTINCT (id)", &[1]),
            key(14, "CONSTRAINT", "a", "EXCLUDE USING gist (a WITH &&)", &[1]),
            key(20, "FK CONSTRAINT", "a", "FOREIGN KEY (b) REFERENCES app.b(id)", &[1, 2]),
            key(21, "FK CONSTRAINT", "a", "FOREIGN KEY (b) REFERENCES app.parts(id)", &[1, 3]),
            key(
                22,
                "FK CONSTRAINT",
                "a",
                "FOREIGN KEY (b) REFERENCES app.b(id) NOT VALID",
                &[1, 2],
            ),
            line(30, "INDEX", "i", "CREATE INDEX i ON app.b USING btree (x);", &[2]),
            line(31, "INDEX", "j", "CREATE INDEX j ON app.b USING btree (x);", &[1, 2]),
        ]);
        let expected = [
            (10, (1, true, index("(id) INCLUDE (b) WITH (fillfactor='70')"))),
            (11, (1, true, index("(id)"))),
            (12, (1, false, None)),
            (13, (1, false, None)),
            (14, (1, false, None)),
            (20, (1, true, None)),
            (21, (1, false, None)),
            (22, (1, false, None)),
            (30, (2, false, None)),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
