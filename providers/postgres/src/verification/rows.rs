//! Which rows of a table differ, found in two passes over both sides.
//!
//! The first sums the rows up in a few thousand buckets, by a hash of their key; the second reads keys and hashes of a
//! few buckets that differ. So memory depends neither on the size of the table nor on how much differs. Without a key,
//! a row is known by its hash alone, and told by where it lies: contents are not shown. Tested in
//! `tests/verification.rs`; the wording beside it.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::fault::Fault;

use super::contents::{Digest, Measured, Table, row_of};
use super::side::Side;
use crate::dump::hold::refused;
use crate::quoting::identifier;

/// Buckets of a table, and of one of many rows.
const BUCKETS: i64 = 1 << 12;
const MANY_BUCKETS: i64 = 1 << 16;
const MANY_ROWS: i64 = 4_000_000;

/// So many rows of a side are looked at one by one. One bucket always is.
const LOOKED_AT: i64 = 50_000;

/// So many keys are shown.
const SHOWN: usize = 10;

/// Rows in a bucket, or under a key: how many, and the sum of their hashes.
type Sum = (i64, String);

/// What both sides are asked.
struct Question<'a> {
    shown: &'a str,
    digest: Digest,
    /// The columns in the order of the expected side.
    columns: &'a [String],
    /// Empty: nothing tells rows apart.
    key: &'a [String],
    buckets: i64,
}

/// The differing rows, in words; `dumped` is what the dump has read of the expected side.
pub(super) async fn find(
    (expected, actual): (&Side, &Side),
    (one, other): (&Table, &Table),
    digest: Digest,
    shown: &str,
    rows: i64,
    dumped: Option<&Measured>,
) -> Result<String, Fault> {
    let buckets = if rows > MANY_ROWS { MANY_BUCKETS } else { BUCKETS };
    let question = Question { shown, digest, columns: &one.columns, key: &one.key, buckets };
    let (left, right) =
        futures_util::try_join!(question.sums(expected, one), question.sums(actual, other))?;
    let mut said = String::new();
    if let Some(dumped) = dumped {
        let now = total(&left);
        if dumped.rows != Some(now.0) || dumped.checksum.as_deref() != Some(now.1.as_str()) {
            let (name, then) = (&expected.name, dumped.rows.unwrap_or_default());
            said = format!(
                "`{name}` does not hold what the dump read there any more ({then} rows then, {} now), so rows are \
                 compared with what it holds now: ",
                now.0
            );
        }
    }
    let all: BTreeSet<i32> = left.keys().chain(right.keys()).copied().collect();
    let differing: Vec<i32> =
        all.into_iter().filter(|bucket| left.get(bucket) != right.get(bucket)).collect();
    if differing.is_empty() {
        said.push_str("no row differs from it");
        return Ok(said);
    }
    let mut looked_at = Vec::new();
    let mut count = 0;
    for bucket in &differing {
        let rows = |sums: &BTreeMap<i32, Sum>| sums.get(bucket).map_or(0, |sum| sum.0);
        count += rows(&left).max(rows(&right));
        if count > LOOKED_AT && !looked_at.is_empty() {
            break;
        }
        looked_at.push(*bucket);
    }
    let (left, right) = futures_util::try_join!(
        question.keys(expected, one, &looked_at),
        question.keys(actual, other, &looked_at)
    )?;
    let found = Found::of(&left, &right, one.key.is_empty());
    said.push_str(&found.words(&one.key, (&expected.name, &actual.name)));
    if looked_at.len() < differing.len() {
        said.push_str(&format!(
            "; these are of {} of {} parts of the table that differ, there are more",
            looked_at.len(),
            differing.len()
        ));
    }
    Ok(said)
}

fn total(sums: &BTreeMap<i32, Sum>) -> (i64, String) {
    let checksum: i128 = sums.values().filter_map(|sum| sum.1.parse::<i128>().ok()).sum();
    (sums.values().map(|sum| sum.0).sum(), checksum.to_string())
}

impl Question<'_> {
    /// The hash of a row, and of what tells it apart.
    fn hashes(&self) -> (String, String) {
        let row = self.digest.of(self.columns);
        let key = if self.key.is_empty() { row.clone() } else { self.digest.of(self.key) };
        (row, key)
    }

    fn doing(&self) -> String {
        format!("looking for rows of `{}` that differ", self.shown)
    }

    async fn sums(&self, side: &Side, table: &Table) -> Result<BTreeMap<i32, Sum>, Fault> {
        let (row, key) = self.hashes();
        let statement = format!(
            "select bucket, count(*), sum(hash)::text
             from (select ({key} & {})::int4 as bucket, {row} as hash from {} as t) as rows group by 1",
            self.buckets - 1,
            table.from()
        );
        let session = side.session();
        let rows = match session.query(&statement, &[]).await {
            Ok(rows) => rows,
            Err(cause) => return Err(refused(session, &self.doing(), cause).await),
        };
        Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
    }

    /// Rows of these buckets, by their key; where there is none, by their hash, with the place of one of them.
    async fn keys(
        &self,
        side: &Side,
        table: &Table,
        buckets: &[i32],
    ) -> Result<BTreeMap<String, (Sum, String)>, Fault> {
        let (row, key) = self.hashes();
        let name = match self.key {
            [] => format!("({row})::text"),
            [one] => format!("t.{}::text", identifier(one)),
            more => row_of(more),
        };
        let statement = format!(
            "select {name}, count(*), sum({row})::text, (array_agg(t.ctid::text))[1]
             from {} as t where ({key} & {})::int4 = any ($1) group by 1",
            table.from(),
            self.buckets - 1
        );
        let session = side.session();
        let rows = match session.query(&statement, &[&buckets]).await {
            Ok(rows) => rows,
            Err(cause) => return Err(refused(session, &self.doing(), cause).await),
        };
        let sum = |row: &tokio_postgres::Row| ((row.get(1), row.get(2)), row.get(3));
        Ok(rows.iter().map(|row| (row.get(0), sum(row))).collect())
    }
}

/// Keys of rows that differ, of a table without a key where they lie.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    missing: Vec<String>,
    extra: Vec<String>,
    changed: Vec<String>,
}

impl Found {
    fn of(
        left: &BTreeMap<String, (Sum, String)>,
        right: &BTreeMap<String, (Sum, String)>,
        keyless: bool,
    ) -> Self {
        let mut found = Self::default();
        let all: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for key in all {
            let (one, other) = (left.get(key), right.get(key));
            let count = |side: Option<&(Sum, String)>| side.map_or(0, |((count, _), _)| *count);
            let place = |side: Option<&(Sum, String)>| {
                side.filter(|_| keyless).map_or_else(|| key.clone(), |(_, place)| place.clone())
            };
            let more = usize::try_from(count(one).abs_diff(count(other))).unwrap_or_default();
            if count(one) > count(other) {
                found.missing.extend(std::iter::repeat_n(place(one), more));
            } else if count(other) > count(one) {
                found.extra.extend(std::iter::repeat_n(place(other), more));
            } else if one.map(|(sum, _)| sum) != other.map(|(sum, _)| sum) {
                found.changed.push(key.clone());
            }
        }
        for keys in [&mut found.missing, &mut found.extra, &mut found.changed] {
            // Numbers in their order.
            keys.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        }
        found
    }

    /// `by `id`: 1 row missing: 7; 2 rows changed: 8, 9`.
    fn words(&self, key: &[String], (expected, actual): (&str, &str)) -> String {
        let mut left = SHOWN;
        let mut part = |keys: &[String], what: &str| {
            let shown = keys.len().min(left);
            left -= shown;
            let more = keys.len() - shown;
            let mut listed: Vec<String> = keys[..shown].iter().map(|key| shortened(key)).collect();
            if more > 0 {
                listed.push(format!("and {more} more"));
            }
            let noun = if keys.len() == 1 { "row" } else { "rows" };
            (!keys.is_empty())
                .then(|| format!("{} {noun} {what}: {}", keys.len(), listed.join(", ")))
        };
        if key.is_empty() {
            let parts = [
                part(&self.missing, &format!("of `{expected}` missing, there at ctid")),
                part(&self.extra, &format!("of `{actual}` not expected, there at ctid")),
            ];
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            return format!("no key tells its rows apart; {}", parts.join("; "));
        }
        let parts = [
            part(&self.missing, "missing"),
            part(&self.extra, "not expected"),
            part(&self.changed, "changed"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let names: Vec<String> = key.iter().map(|name| format!("`{name}`")).collect();
        format!("by {}: {}", names.join(", "), parts.join("; "))
    }
}

/// A key may be a long text.
fn shortened(key: &str) -> String {
    const LONGEST: usize = 60;
    match key.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Side<'a> = [(&'a str, i64, &'a str)];

    fn side(rows: &Side<'_>) -> BTreeMap<String, (Sum, String)> {
        let row = |(at, (key, count, sum)): (usize, &(&str, i64, &str))| {
            ((*key).to_owned(), ((*count, (*sum).to_owned()), format!("(0,{})", at + 1)))
        };
        rows.iter().enumerate().map(row).collect()
    }

    #[test]
    fn what_became_of_each_row() {
        let left = side(&[("7", 1, "5"), ("8", 1, "6"), ("10", 1, "7")]);
        let right = side(&[("8", 1, "60"), ("10", 1, "7"), ("11", 2, "9")]);
        let found = Found::of(&left, &right, false);
        let id = ["id".to_owned()];
        assert_eq!(
            found.words(&id, ("source", "target")),
            "by `id`: 1 row missing: 7; 2 rows not expected: 11, 11; 1 row changed: 8"
        );
        let found = Found::of(&left, &right, true);
        assert_eq!(
            found.words(&[], ("source", "target")),
            "no key tells its rows apart; 1 row of `source` missing, there at ctid: (0,1); 2 rows of `target` not \
             expected, there at ctid: (0,3), (0,3)"
        );
    }

    #[test]
    fn ten_keys_are_shown_in_all() {
        let keys = |count: i32| (1..=count).map(|n| n.to_string()).collect::<Vec<_>>();
        let found = Found { missing: keys(9), extra: keys(3), changed: keys(20) };
        let long = "x".repeat(70);
        assert_eq!(
            found.words(&["a".to_owned(), "b".to_owned()], ("s", "t")),
            "by `a`, `b`: 9 rows missing: 1, 2, 3, 4, 5, 6, 7, 8, 9; 3 rows not expected: 1, and 2 more; \
             20 rows changed: and 20 more"
        );
        assert_eq!(shortened(&long).chars().count(), 61);
    }
}
