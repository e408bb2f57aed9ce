//! What there is to read, in the order in which it will stand in the archive.
//!
//! The table of contents says which blocks there are, the catalogue how large their tables are. The one that will be the
//! largest once it is compressed comes first: what shrinks to nothing leaves the line to the bucket idle, unless something
//! is on its way meanwhile. Large tables are read in ranges of their pages, which lie in a file as `COPY` of the whole
//! would find them.
//! Tested in `tests/parallel.rs`; the ranges beside it.

use std::collections::{BTreeMap, VecDeque};

use pgferry_archive::{Entry, Toc, columns, large_objects};
use pgferry_engine::fault::Fault;

use crate::checksum::{MOST_COLUMNS, unlike};
use crate::connect::Session;
use crate::dump::hold::hold;
use crate::quoting::{display, literal};

/// Bytes on disk of a table, or of a part of one, that one session reads at a time.
const RANGE: i64 = 16 << 20;
/// Large objects that one session reads at a time.
const OBJECTS: usize = 256;
/// Ranges of pages are found by their numbers since 14 ("TID range scan").
const RANGES_SINCE: i32 = 140_000;

/// A block of the archive.
#[derive(Debug)]
pub(super) struct Block {
    /// Its entry's number.
    pub(super) id: i32,
    /// `public.accounts`, for people.
    pub(super) shown: String,
    pub(super) is_table: bool,
    /// On disk, of a table.
    pub(super) bytes: u64,
    /// The columns that its checksum is made of, in their order; `None` where it would not be the server's own.
    pub(super) columns: Option<Vec<String>>,
}

/// A part of a block.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// From 0, in the order of the archive.
    pub(super) number: u64,
    /// Which of the blocks.
    pub(super) block: usize,
    pub(super) work: Work,
    /// Whether the checksum of its rows is asked for.
    pub(super) is_hashed: bool,
    /// Of its block.
    pub(super) first: bool,
    pub(super) last: bool,
}

/// How a piece is read.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// By this `COPY … TO STDOUT`.
    Copy { statement: String },
    /// Large objects of these numbers.
    Objects(Vec<u32>),
}

/// The blocks, and the pieces that they are read in.
pub(super) struct Plan {
    pub(super) blocks: Vec<Block>,
    pub(super) pieces: VecDeque<Piece>,
}

/// A table whose rows are in the archive.
struct Table {
    /// As SQL.
    name: String,
    shown: String,
    /// On disk, with what lies outside its own file.
    bytes: i64,
    /// Of them, about how many will be left once compressed: a column of at most 16 different values (`pg_stats`) counts
    /// for next to nothing. For the order alone.
    dense: i64,
    pages: i64,
    /// Its rows lie in pages that are numbered.
    is_heap: bool,
    /// Of an extension's own table: which rows are the user's.
    filter: Option<String>,
    /// See [`Block::columns`].
    hashed: Option<Vec<String>>,
}

impl Plan {
    /// Makes one in `session`, which is in the snapshot, and locks every table against changes of its structure. Brings
    /// the entries of `toc` into the order of the plan.
    ///
    /// # Errors
    /// A table was changed or emptied in the meantime; there is something that only `pg_dump` can read.
    pub(super) async fn make(session: &Session, toc: &mut Toc) -> Result<Self, Fault> {
        let with_data: Vec<&Entry> = toc.entries.iter().filter(|entry| entry.has_data()).collect();
        if let Some(odd) = with_data.iter().find(|entry| !is_table(entry) && entry.desc != *"BLOBS")
        {
            return Err(only_pg_dump(&format!("`{}`", odd.shown())));
        }
        let oids: Vec<u32> =
            with_data.iter().filter(|entry| is_table(entry)).map(|entry| entry.catalog.1).collect();
        let tables = tables(session, &oids).await?;
        // Also when `pg_dump` has ended and let go of them.
        hold(session, &oids, "dump").await?;

        let dense = |entry: &Entry| tables.get(&entry.catalog.1).map_or(0, |table| table.dense);
        toc.rearrange(
            |entry| is_table(entry) && entry.has_data(),
            |entry| std::cmp::Reverse(dense(entry)),
        );
        let encoding = toc.encoding().unwrap_or("UTF8").to_owned();
        // Before 12, numbers have other digits in text; and the server hashes text in its own encoding, whatever the
        // archive's.
        let hashes = encoding == "UTF8"
            && super::super::server_encoding(session).await? == "UTF8"
            && session.version_number >= 120_000;
        let mut plan = Self { blocks: Vec::new(), pieces: VecDeque::new() };
        for entry in toc.entries.iter().filter(|entry| entry.has_data()) {
            if is_table(entry) {
                let table = tables.get(&entry.catalog.1).ok_or_else(|| gone(&entry.shown()))?;
                let columns = plain(columns(&entry.copy), &encoding)
                    .ok_or_else(|| only_pg_dump(&format!("the columns of `{}`", table.shown)))?;
                let ranges = table.ranges(session.version_number);
                let works = ranges.into_iter().map(|range| Work::Copy {
                    statement: statement(table, columns, range, &encoding),
                });
                let block = Block {
                    id: entry.id,
                    shown: table.shown.clone(),
                    is_table: true,
                    bytes: u64::try_from(table.bytes).unwrap_or_default(),
                    columns: table.hashed.clone().filter(|_| hashes),
                };
                plan.add(block, works);
            } else {
                let numbers = large_objects(toc, entry).map_err(|cause| {
                    Fault::failed("reading the list of large objects").because(cause)
                })?;
                let mut works: Vec<Work> =
                    numbers.chunks(OBJECTS).map(|some| Work::Objects(some.to_vec())).collect();
                if works.is_empty() {
                    works.push(Work::Objects(Vec::new()));
                }
                let shown = "large objects".to_owned();
                let block = Block { id: entry.id, shown, is_table: false, bytes: 0, columns: None };
                plan.add(block, works);
            }
        }
        Ok(plan)
    }

    fn add(&mut self, added: Block, works: impl IntoIterator<Item = Work>) {
        let block = self.blocks.len();
        let is_hashed = added.columns.is_some();
        self.blocks.push(added);
        let begin = self.pieces.len();
        for work in works {
            let number = self.pieces.len() as u64;
            let first = self.pieces.len() == begin;
            self.pieces.push_back(Piece { number, block, work, is_hashed, first, last: false });
        }
        if let Some(last) = self.pieces.back_mut() {
            last.last = true;
        }
    }
}

fn is_table(entry: &Entry) -> bool {
    entry.desc == *"TABLE DATA"
}

fn only_pg_dump(what: &str) -> Fault {
    Fault::failed(format!("{what} can be read by `pg_dump` alone"))
        .help("write `method: pg_dump` for this dump")
}

fn gone(shown: &str) -> Fault {
    Fault::failed(format!("`{shown}` was removed while the dump began")).help(
        "keep those who change tables away from the source (`postgres.freeze`), and apply again",
    )
}

/// Our sessions speak UTF-8. Where the archive does not, only names that are the same in both can be told to the server.
fn plain<'c>(columns: Option<&'c str>, encoding: &str) -> Option<&'c str> {
    columns.filter(|list| matches!(encoding, "UTF8" | "SQL_ASCII") || list.is_ascii())
}

impl Table {
    /// Ranges of page numbers, the last without end; one without bounds for the whole table.
    fn ranges(&self, version_number: i32) -> Vec<Option<(i64, Option<i64>)>> {
        let whole = self.filter.is_some() || !self.is_heap || version_number < RANGES_SINCE;
        let count = (self.bytes / RANGE).min(self.pages);
        if whole || count < 2 {
            return vec![None];
        }
        let size = self.pages.div_euclid(count) + 1;
        let begins: Vec<i64> = (0..count).map(|at| at * size).collect();
        let within = begins.iter().filter(|begin| **begin < self.pages);
        within
            .map(|begin| Some((*begin, Some(begin + size).filter(|end| *end < self.pages))))
            .collect()
    }
}

/// As `pg_dump` reads it (`dumpTableData_copy`), in the archive's encoding whatever the session's.
fn statement(
    table: &Table,
    columns: &str,
    range: Option<(i64, Option<i64>)>,
    encoding: &str,
) -> String {
    let name = &table.name;
    let inner = columns.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let list = inner.unwrap_or("*");
    let what = match (range, &table.filter) {
        (Some((begin, end)), _) => {
            let end = end.map(|end| format!(" AND ctid < '({end},0)'::tid")).unwrap_or_default();
            format!("(SELECT {list} FROM ONLY {name} WHERE ctid >= '({begin},0)'::tid{end})")
        }
        (None, Some(filter)) => format!("(SELECT {list} FROM {name} {filter})"),
        (None, None) => format!("{name} {columns}"),
    };
    format!("COPY {what} TO STDOUT WITH (ENCODING {})", literal(encoding))
}

async fn tables(session: &Session, oids: &[u32]) -> Result<BTreeMap<u32, Table>, Fault> {
    let fault = |cause| session.fault("measuring the tables", cause);
    // `pg_dump` says nothing of the filters in the archive; it takes them from here (`processExtensionTables`).
    let filters = session
        .query(
            "select unnest(extconfig), unnest(extcondition) from pg_extension where extconfig is not null",
            &[],
        )
        .await
        .map_err(fault)?;
    let filters: BTreeMap<u32, String> =
        filters.iter().map(|row| (row.get(0), row.get(1))).collect();
    let unlike = unlike(session, oids).await?;
    let rows = session
        .query(
            "select c.oid, format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text,
                    coalesce(pg_table_size(c.oid), 0),
                    coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8,
                    c.relkind = 'r' and coalesce((select amname = 'heap' from pg_am a where a.oid = c.relam), true),
                    coalesce((select array_agg(a.attname::text order by a.attnum) from pg_attribute a
                      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '{}'),
                    coalesce(pg_table_size(c.oid) * (
                      select sum(case when n_distinct between 1 and 16 then 1 else avg_width end)::float8 / sum(avg_width)
                      from pg_stats where schemaname = n.nspname and tablename = c.relname and avg_width > 0
                        and not inherited), pg_table_size(c.oid), 0)::int8
             from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any($1)",
            &[&oids],
        )
        .await
        .map_err(fault)?;
    let table = |row: &tokio_postgres::Row| {
        let oid: u32 = row.get(0);
        let table = Table {
            name: row.get(1),
            shown: display(row.get(2), row.get(3)),
            bytes: row.get(4),
            pages: row.get(5),
            is_heap: row.get(6),
            dense: row.get(8),
            filter: filters.get(&oid).filter(|filter| !filter.is_empty()).cloned(),
            hashed: Some(row.get(7)).filter(|columns: &Vec<String>| {
                (1..=MOST_COLUMNS).contains(&columns.len()) && !unlike.contains(&oid)
            }),
        };
        (oid, table)
    };
    Ok(rows.iter().map(table).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bytes: i64, pages: i64) -> Table {
        Table {
            name: "s.t".into(),
            shown: "s.t".into(),
            bytes,
            dense: bytes,
            pages,
            is_heap: true,
            filter: None,
            hashed: None,
        }
    }

    #[test]
    fn ranges_cover_every_page_once() {
        for (bytes, pages) in
            [(RANGE * 2, 4096), (RANGE * 9 + 5, 11), (RANGE * 100, 3), (RANGE * 7, 100_003)]
        {
            let ranges = table(bytes, pages).ranges(150_000);
            assert!(ranges.len() > 1 && ranges.len() as i64 <= bytes / RANGE, "{ranges:?}");
            let mut next = 0;
            for (index, range) in ranges.iter().enumerate() {
                let (begin, end) = range.expect("bounds");
                assert_eq!(begin, next);
                assert_eq!(end.is_none(), index + 1 == ranges.len(), "{ranges:?}");
                next = end.unwrap_or(pages);
                assert!(begin < next);
            }
        }
        assert_eq!(table(RANGE, 2000).ranges(150_000), [None]);
        assert_eq!(table(RANGE * 9, 2000).ranges(130_020), [None]);
        assert_eq!(Table { is_heap: false, ..table(RANGE * 9, 2000) }.ranges(150_000), [None]);
        // All of it outside its own file: rows of one page.
        assert_eq!(table(RANGE * 9, 1).ranges(150_000), [None]);
    }

    #[test]
    fn statements() {
        let plain = table(1, 1);
        let filtered = Table { filter: Some("WHERE a > 1".into()), ..table(1, 1) };
        for (table, columns, range, expect) in [
            (&plain, "(a, \"b)\")", None, "COPY s.t (a, \"b)\") TO STDOUT WITH (ENCODING 'UTF8')"),
            (&plain, "", None, "COPY s.t  TO STDOUT WITH (ENCODING 'UTF8')"),
            (
                &plain,
                "(a, \"(b)\")",
                Some((5, Some(9))),
                "COPY (SELECT a, \"(b)\" FROM ONLY s.t WHERE ctid >= '(5,0)'::tid AND ctid < '(9,0)'::tid) \
                 TO STDOUT WITH (ENCODING 'UTF8')",
            ),
            (
                &plain,
                "(a)",
                Some((9, None)),
                "COPY (SELECT a FROM ONLY s.t WHERE ctid >= '(9,0)'::tid) TO STDOUT WITH (ENCODING 'UTF8')",
            ),
            (
                &filtered,
                "(a)",
                None,
                "COPY (SELECT a FROM s.t WHERE a > 1) TO STDOUT WITH (ENCODING 'UTF8')",
            ),
        ] {
            assert_eq!(statement(table, columns, range, "UTF8"), expect);
        }
    }
}
