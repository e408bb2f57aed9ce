//! The outcome of a comparison: a table of everything that was compared, and the differences in words.
//!
//! Pure. Tested beside it.

use std::fmt::Write;

use serde::Serialize;

use super::contents::Measured;

/// Differences named in the message of a failure; the table has them all.
const NAMED: usize = 20;

/// One table, both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) expected: Option<Measured>,
    pub(super) actual: Option<Measured>,
    pub(super) verdict: Verdict,
    /// Which rows differ, in words, if they were looked for.
    #[serde(skip)]
    pub(super) rows: Option<String>,
}

/// What the comparison of one table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Equal,
    /// Only an estimate was asked for.
    Estimated,
    RowsDiffer,
    ContentsDiffer,
    ColumnsDiffer,
    Missing,
    Unexpected,
    /// A materialized view that holds what its tables say now.
    ComputedAnew,
}

impl Line {
    /// Compares what was measured. `columns_agree`: both sides have the same columns.
    pub(super) fn new(
        name: &str,
        expected: Option<Measured>,
        actual: Option<Measured>,
        columns_agree: bool,
        exact: bool,
    ) -> Self {
        let verdict = match (&expected, &actual) {
            (None, _) => Verdict::Unexpected,
            (_, None) => Verdict::Missing,
            _ if !columns_agree => Verdict::ColumnsDiffer,
            (Some(one), Some(other)) if one == other => {
                if exact {
                    Verdict::Equal
                } else {
                    Verdict::Estimated
                }
            }
            (Some(one), Some(other)) if exact && one.rows != other.rows => Verdict::RowsDiffer,
            (Some(one), Some(other)) if one.checksum != other.checksum => Verdict::ContentsDiffer,
            _ => Verdict::Estimated,
        };
        Self { name: name.to_owned(), expected, actual, verdict, rows: None }
    }

    /// Takes rows and contents that differ as computed anew; tells whether they do.
    pub(super) fn computed_anew(&mut self) -> bool {
        let differs = matches!(self.verdict, Verdict::RowsDiffer | Verdict::ContentsDiffer);
        if differs {
            self.verdict = Verdict::ComputedAnew;
        }
        differs
    }

    /// The difference in words, with both numbers.
    fn difference(&self) -> Option<String> {
        let name = &self.name;
        let text = match (self.verdict, &self.expected, &self.actual) {
            (Verdict::RowsDiffer, Some(one), Some(other)) => {
                format!("table `{name}`: {} expected, {} found", rows(one.rows), number(other.rows))
            }
            (Verdict::ContentsDiffer, Some(one), Some(other)) => format!(
                "table `{name}`: contents differ among {}: checksum {} expected, {} found",
                rows(one.rows),
                one.checksum.as_deref().unwrap_or("none"),
                other.checksum.as_deref().unwrap_or("none")
            ),
            (Verdict::ColumnsDiffer, ..) => format!("table `{name}`: its columns differ"),
            (Verdict::Missing, Some(one), _) => {
                format!("table `{name}`: {} expected, the table is missing", rows(one.rows))
            }
            (Verdict::Unexpected, _, Some(other)) => {
                format!("table `{name}`: not expected, {} found", rows(other.rows))
            }
            _ => return None,
        };
        Some(match &self.rows {
            Some(found) => format!("{text}; {found}"),
            None => text,
        })
    }

    fn verdict_text(&self) -> &'static str {
        let checked = self.expected.as_ref().is_some_and(|measured| measured.checksum.is_some());
        match self.verdict {
            Verdict::Equal if checked => "equal",
            Verdict::Equal => "not compared",
            Verdict::Estimated => "estimated",
            Verdict::RowsDiffer => "ROWS DIFFER",
            Verdict::ContentsDiffer => "CONTENTS DIFFER",
            Verdict::ColumnsDiffer => "COLUMNS DIFFER",
            Verdict::Missing => "MISSING",
            Verdict::Unexpected => "NOT EXPECTED",
            Verdict::ComputedAnew => "computed anew",
        }
    }
}

/// Everything that was compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) lines: Vec<Line>,
    /// What else was compared, with its outcome: `sequences`, `7 equal`.
    pub(super) others: Vec<(String, String)>,
    /// Differences other than those of tables.
    pub(super) differences: Vec<String>,
}

impl Report {
    /// Every difference in words, tables first.
    pub(super) fn all_differences(&self) -> Vec<String> {
        self.lines
            .iter()
            .filter_map(Line::difference)
            .chain(self.differences.iter().cloned())
            .collect()
    }

    /// The message of a failure: how many differences, and the first of them.
    pub(super) fn message(&self, expected: &str, actual: &str) -> Option<String> {
        let differences = self.all_differences();
        if differences.is_empty() {
            return None;
        }
        let count = differences.len();
        let noun = if count == 1 { "difference" } else { "differences" };
        let mut text = format!("`{actual}` is not what `{expected}` is: {count} {noun}");
        for difference in differences.iter().take(NAMED) {
            let _ = write!(text, "\n  {difference}");
        }
        if count > NAMED {
            let _ = write!(text, "\n  and {} more, in the table above", count - NAMED);
        }
        Some(text)
    }

    /// The whole outcome as aligned text, every table on a line of its own.
    pub(super) fn table(&self, expected: &str, actual: &str) -> String {
        let mut cells: Vec<[String; 4]> = vec![[
            "table".to_owned(),
            format!("rows in {expected}"),
            format!("rows in {actual}"),
            "contents".to_owned(),
        ]];
        let rows = |measured: &Option<Measured>| {
            measured.as_ref().map_or_else(|| "-".to_owned(), |measured| number(measured.rows))
        };
        cells.extend(self.lines.iter().map(|line| {
            [
                line.name.clone(),
                rows(&line.expected),
                rows(&line.actual),
                line.verdict_text().to_owned(),
            ]
        }));
        let width = |column: usize| {
            cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let (first, second, third) = (width(0), width(1), width(2));
        let mut text = String::new();
        for [name, one, other, verdict] in &cells {
            let _ = writeln!(text, "{name:<first$}  {one:>second$}  {other:>third$}  {verdict}");
        }
        let label = self.others.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        for (what, outcome) in &self.others {
            let _ = writeln!(text, "{what:<label$}  {outcome}");
        }
        for difference in self.all_differences() {
            let _ = writeln!(text, "DIFFERENT: {difference}");
        }
        text.trim_end().to_owned()
    }
}

fn rows(rows: Option<i64>) -> String {
    let noun = if rows == Some(1) { "row" } else { "rows" };
    format!("{} {noun}", number(rows))
}

fn number(rows: Option<i64>) -> String {
    rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string())
}

/// `7 equal`, or with how many differ.
pub(super) fn equal_or(equal: usize, different: usize) -> String {
    if different == 0 {
        format!("{equal} equal")
    } else {
        format!("{equal} equal, {different} DIFFER")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rows: i64, checksum: &str) -> Option<Measured> {
        Some(Measured { rows: Some(rows), checksum: Some(checksum.to_owned()) })
    }

    #[test]
    fn every_table_is_listed_and_differences_are_named_with_both_numbers() {
        let mut report = Report {
            lines: vec![
                Line::new(
                    "public.accounts",
                    measured(20000, "7"),
                    measured(19999, "6"),
                    true,
                    true,
                ),
                Line::new("public.orders", measured(5, "1"), measured(5, "1"), true, true),
                Line::new("public.users", measured(4, "-12"), measured(4, "13"), true, true),
                Line::new("public.gone", measured(1, "3"), None, true, true),
            ],
            others: vec![("sequences".into(), "7 equal".into())],
            differences: vec!["sequence `a.s`: stands at 5, 4 found".into()],
        };
        report.lines[2].rows = Some("by `id`: 1 row changed: 7".into());
        assert_eq!(
            report.table("source", "target"),
            "\
table            rows in source  rows in target  contents
public.accounts           20000           19999  ROWS DIFFER
public.orders                 5               5  equal
public.users                  4               4  CONTENTS DIFFER
public.gone                   1               -  MISSING
sequences  7 equal
DIFFERENT: table `public.accounts`: 20000 rows expected, 19999 found
DIFFERENT: table `public.users`: contents differ among 4 rows: checksum -12 expected, 13 found; by `id`: 1 row changed: 7
DIFFERENT: table `public.gone`: 1 row expected, the table is missing
DIFFERENT: sequence `a.s`: stands at 5, 4 found"
        );
        assert_eq!(
            report.message("source", "target").expect("differs"),
            "\
`target` is not what `source` is: 4 differences
  table `public.accounts`: 20000 rows expected, 19999 found
  table `public.users`: contents differ among 4 rows: checksum -12 expected, 13 found; by `id`: 1 row changed: 7
  table `public.gone`: 1 row expected, the table is missing
  sequence `a.s`: stands at 5, 4 found"
        );
    }

    #[test]
    fn no_difference_no_message() {
        let line = Line::new("t", measured(1, "1"), measured(1, "1"), true, true);
        let report = Report { lines: vec![line], ..Report::default() };
        assert_eq!(report.message("a", "b"), None);
    }
}
