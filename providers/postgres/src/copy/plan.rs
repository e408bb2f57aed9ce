//! Which rows are copied, in which pieces and in which form.
//!
//! The cut into pieces is pure; the tables come from [`super::tables`]. It copies nothing. Tested beside it and in
//! `tests/copy.rs`.

use crate::checksum::{Checksum, Kind};
use crate::fill::hands::too_heavy_for_one;
use crate::quoting::{display, identifier};

/// A table of at least twice as many bytes may be read in several ranges.
const SMALLEST_RANGE: u64 = 32 << 20;
/// The first version that reads a range of `ctid` without reading the whole table (release notes of Postgres 14).
const RANGES_SINCE: i32 = 140_000;

/// A table of fewer bytes on disk, free space map included, goes with others like it.
const SMALL: u64 = 192 << 10;

/// How rows travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whatever types there are, as `pg_dump` does it; and where a checksum can be taken from text only.
    Text,
    /// A quarter to a third faster than text, measured on prose, jsonb, numbers, times and bytes: for types whose bytes
    /// mean the same on every server. Not for those that hold numbers of the catalogue (`regclass`, arrays of enums).
    Binary,
}

/// A table whose rows are copied.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Without generated ones, in the source's order.
    pub(super) columns: Vec<String>,
    /// On disk, long values included.
    pub(super) bytes: u64,
    /// What its indexes will cost beside its rows, in bytes of rows.
    pub(super) indexes: u64,
    /// Pages of the table itself.
    pub(super) pages: u64,
    pub(super) form: Form,
    /// Of an extension's table: the condition that tells users' rows, `WHERE …` or nothing.
    pub(super) configuration: Option<String>,
    /// The ancestor to put the rows into, where they may belong to another partition on the target: an enum's hash
    /// depends on numbers of the catalogue.
    pub(super) through: Option<(String, String)>,
    /// How the checksum of its rows is taken, where it can be the one that a server would give.
    pub(super) hashed: Option<Hashed>,
}

/// How rows become a checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hashed {
    Lines,
    /// In binary form, in which columns are of these kinds.
    Binary(Vec<Kind>),
}

impl Hashed {
    /// Adds what a message of `COPY` holds. `None`: there is no checksum.
    pub(super) fn add(&self, message: &[u8], checksum: &mut Checksum) -> Option<()> {
        match self {
            Self::Lines => {
                checksum.take(message);
                Some(())
            }
            Self::Binary(kinds) => checksum.take_binary(message, kinds),
        }
    }
}

/// A part of a table, in pages: from the first to before the second, or to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) table: usize,
    pub(super) range: Option<(u64, Option<u64>)>,
    pub(super) bytes: u64,
}

impl Table {
    /// `public.accounts`, for people.
    pub(super) fn shown(&self) -> String {
        display(&self.schema, &self.name)
    }

    fn qualified(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }

    /// Where the rows are put.
    pub(super) fn into(&self) -> String {
        match &self.through {
            Some((schema, name)) => format!("{}.{}", identifier(schema), identifier(name)),
            None => self.qualified(),
        }
    }

    fn listed(&self) -> String {
        self.columns.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ")
    }

    /// The statement that reads `piece` out of the source, whose encoding is `encoding`.
    pub(super) fn copy_out(&self, piece: &Piece, encoding: &str) -> String {
        let (from, columns) = (self.qualified(), self.listed());
        let rows = match (&self.configuration, piece.range) {
            (Some(condition), _) => Some(format!("{from} {condition}")),
            (None, None) => None,
            (None, Some((first, None))) => {
                Some(format!("only {from} where ctid >= '({first},0)'::tid"))
            }
            (None, Some((first, Some(end)))) => Some(format!(
                "only {from} where ctid >= '({first},0)'::tid and ctid < '({end},0)'::tid"
            )),
        };
        let what = match rows {
            Some(rows) => format!("(select {columns} from {rows})"),
            None if columns.is_empty() => from,
            None => format!("{from} ({columns})"),
        };
        format!("copy {what} to stdout with ({})", self.options(encoding))
    }

    /// The statement that takes the rows in.
    pub(super) fn copy_in(&self, encoding: &str, freeze: bool) -> String {
        let columns = self.listed();
        let columns = if columns.is_empty() { columns } else { format!(" ({columns})") };
        let freeze = if freeze { ", freeze" } else { "" };
        format!(
            "copy {}{columns} from stdin with ({}{freeze})",
            self.into(),
            self.options(encoding)
        )
    }

    fn options(&self, encoding: &str) -> String {
        match self.form {
            Form::Binary => "format binary".to_owned(),
            // In the source's own encoding, so that only the target converts, and only if it must.
            Form::Text => format!("format text, encoding '{encoding}'"),
        }
    }

    /// Whether to empty and fill it in a transaction of its own would cost more than it saves.
    pub(super) fn is_small(&self, piece: &Piece) -> bool {
        self.bytes < SMALL && self.is_filled_at_once(piece)
    }

    /// Whether the target's table is filled by one statement alone, so that it can be emptied and filled at once:
    /// rows are then born frozen, which saves a later pass over them.
    pub(super) fn is_filled_at_once(&self, piece: &Piece) -> bool {
        piece.range.is_none() && self.is_own()
    }

    /// Whether its rows stay in it, and nobody else has put some there.
    pub(super) fn is_own(&self) -> bool {
        self.configuration.is_none() && self.through.is_none()
    }
}

/// The pieces, first those whose rows and indexes take longest, so that none of `jobs` is left with much at the end; several
/// of a table that is too heavy for one of them.
pub(super) fn pieces(
    tables: &[Table],
    jobs: usize,
    cores: usize,
    version_number: i32,
) -> Vec<Piece> {
    let total: u64 = tables.iter().map(|table| table.bytes).sum();
    let share = (total / (jobs as u64 * 4).max(1)).max(SMALLEST_RANGE);
    let heavy = too_heavy_for_one(total, jobs, cores);
    let mut pieces = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let whole = Piece { table: at, range: None, bytes: table.bytes };
        let count = (table.bytes / share).min(table.pages).max(1);
        let may_split = version_number >= RANGES_SINCE && table.bytes >= heavy;
        if !may_split || count == 1 || table.configuration.is_some() || table.columns.is_empty() {
            pieces.push(whole);
            continue;
        }
        let pages = table.pages / count;
        pieces.extend((0..count).map(|n| {
            // Open at the end: what was added to the file since is no part of the snapshot.
            let end = (n + 1 < count).then_some((n + 1) * pages);
            Piece { range: Some((n * pages, end)), bytes: table.bytes / count, ..whole }
        }));
    }
    let weight = |piece: &Piece| piece.bytes + tables[piece.table].indexes;
    // Small ones last, whatever they weigh: they go together.
    pieces.sort_by_key(|piece| {
        let is_small = tables[piece.table].is_small(piece);
        (is_small, std::cmp::Reverse(weight(piece)))
    });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(megabytes: u64) -> Table {
        Table {
            oid: 1,
            schema: "public".into(),
            name: "T".into(),
            columns: vec!["a".into(), "b c".into()],
            bytes: megabytes << 20,
            indexes: 0,
            pages: (megabytes << 20) / 8192,
            form: Form::Binary,
            configuration: None,
            through: None,
            hashed: None,
        }
    }

    #[test]
    fn large_tables_are_read_in_ranges_without_gaps() {
        let tables = [table(1), table(900), table(100)];
        let pieces = pieces(&tables, 2, 2, 150_000);
        let mut ranges: Vec<_> = pieces
            .iter()
            .filter(|piece| piece.table == 1)
            .filter_map(|piece| piece.range)
            .collect();
        assert_eq!(ranges.len(), 7);
        ranges.sort_unstable();
        assert_eq!(ranges[0].0, 0);
        assert!(ranges.windows(2).all(|pair| pair[0].1 == Some(pair[1].0)), "{ranges:?}");
        assert_eq!(ranges[6].1, None);
        assert!(pieces.is_sorted_by_key(|piece| std::cmp::Reverse(piece.bytes)));
        assert_eq!(pieces.len(), 9);
        for (jobs, version) in [(1, 150_000), (2, 130_023)] {
            assert_eq!(super::pieces(&tables, jobs, 2, version).len(), 3, "{jobs} {version}");
        }
        // Half of all is not too much for one of two, but for one of four.
        let tables = [table(100), table(500), table(400)];
        let count = |jobs, cores| super::pieces(&tables, jobs, cores, 150_000).len();
        assert_eq!((count(4, 2), count(4, 4)), (3, 1 + 8 + 6));
    }

    #[test]
    fn statements_name_columns_ranges_and_form() {
        let mut table = table(1);
        let whole = Piece { table: 0, range: None, bytes: 1 };
        let part = Piece { range: Some((8, Some(16))), ..whole };
        assert_eq!(
            table.copy_out(&whole, "UTF8"),
            r#"copy "public"."T" ("a", "b c") to stdout with (format binary)"#
        );
        assert_eq!(
            table.copy_out(&part, "UTF8"),
            r#"copy (select "a", "b c" from only "public"."T" where ctid >= '(8,0)'::tid and ctid < '(16,0)'::tid) to stdout with (format binary)"#
        );
        table.form = Form::Text;
        table.configuration = Some("WHERE a > 1".into());
        table.through = Some(("public".into(), "root".into()));
        assert_eq!(
            table.copy_out(&whole, "LATIN1"),
            r#"copy (select "a", "b c" from "public"."T" WHERE a > 1) to stdout with (format text, encoding 'LATIN1')"#
        );
        assert_eq!(
            table.copy_in("LATIN1", false),
            r#"copy "public"."root" ("a", "b c") from stdin with (format text, encoding 'LATIN1')"#
        );
    }
}
