//! `postgres.verification` — the proof that one database holds what another one does.
//!
//! Compares objects, row counts, contents, sequences, large objects and the user's queries on one snapshot each side,
//! and that the source was not written to since its dump. Writes to neither side. Tested in `tests/verification.rs`
//! against real servers.

mod compare;
mod contents;
mod known;
mod large_objects;
mod objects;
mod progress;
mod queries;
mod quiet;
mod report;
mod rows;
mod sequences;
mod settings;
mod side;

use std::collections::BTreeMap;

use jiff::Timestamp;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::info::{Kind, Traits};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::{Change, Done, Remembered, Resource};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use self::side::Side;

/// The type.
pub struct Verification;

/// Compares two databases: objects, rows, contents, sequences, large objects, answers, and that the source stayed quiet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The database that has it right, usually the source.
    expected: Endpoint,
    /// The database to prove equal to it.
    actual: Endpoint,
    /// How rows are counted: `exact` (default), `estimate` (told, not compared) or `none`.
    #[serde(default)]
    rows: Option<Rows>,
    /// How contents are compared: `checksum` (default) or `none`.
    #[serde(default)]
    contents: Option<Contents>,
    /// Whether tables, columns, indexes, functions and all other objects are compared. Default: true.
    #[serde(default)]
    objects: Option<bool>,
    /// Whether the values of sequences are compared. Default: true.
    #[serde(default)]
    sequences: Option<bool>,
    /// Queries asked of both sides, each one SELECT that names schemas; the answers must be equal.
    #[serde(default)]
    queries: Option<Vec<String>>,
    /// Tables to leave out, as `schema.table`; `*` stands for any characters. Without a schema, `public`.
    #[serde(default)]
    exclude_tables: Option<Vec<String>>,
}

/// How rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    Exact,
    Estimate,
    None,
}

/// How contents are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    Checksum,
    None,
}

/// What others may refer to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Attrs {
    /// How many tables were compared.
    pub tables: u64,
    /// How many rows they hold.
    pub rows: u64,
    /// When it was proved.
    #[schemars(with = "String")]
    pub checked_at: Timestamp,
}

impl Resource for Verification {
    const TYPE: &'static str = "postgres.verification";
    const KIND: Kind = Kind::Run;
    const TRAITS: Traits = Traits { proof: true, ..Traits::DEFAULT };
    type Spec = Spec;
    type Attrs = Attrs;

    /// Which `pg_dump` the comparison of objects will have, while its absence costs nothing yet.
    async fn inspect(
        &self,
        cx: &Cx,
        want: &Tree,
        _: Option<&Remembered>,
    ) -> Result<Option<Json>, Fault> {
        objects::inspect(cx, want).await
    }

    fn judge(want: &Tree, facts: &Json, _: &[(String, String)]) -> Vec<Finding> {
        let mut left_out: Vec<String> = Vec::new();
        if let Some(Tree::List(names)) = want.get("exclude_tables") {
            left_out.extend(names.iter().filter_map(Tree::as_text).map(|name| format!("`{name}`")));
        }
        for (field, what) in [("rows", "exact row counts"), ("contents", "contents")] {
            let weaker =
                matches!(want.get(field).and_then(Tree::as_text), Some("none" | "estimate"));
            left_out.extend(weaker.then(|| what.to_owned()));
        }
        for (field, what) in [("objects", "objects"), ("sequences", "sequences")] {
            let off = want.get(field) == Some(&Tree::Bool(false));
            left_out.extend(off.then(|| what.to_owned()));
        }
        let mut findings = objects::judge(facts);
        if !left_out.is_empty() {
            let left_out = format!("not compared: {}", left_out.join(", "));
            findings.push(Finding::note("PGF1321", left_out));
        }
        findings
    }

    async fn act(&self, cx: &Cx, change: Change<Spec>) -> Result<Done<Attrs>, Fault> {
        let want = change.want;
        let dump = quiet::dump_of(cx, &want.expected, &want.actual);
        let (expected, actual) =
            futures_util::try_join!(Side::open(&want.expected), Side::open(&want.actual))?;
        let comparing = compare::compare(cx, &want, dump.as_ref(), &expected, &actual);
        let report = tokio::select! {
            report = comparing => report?,
            () = cx.world.cancel.cancelled() => {
                expected.cancel().await;
                actual.cancel().await;
                return Err(crate::interrupted());
            }
        };
        cx.output(report.table(&expected.name, &actual.name));
        if let Some(message) = report.message(&expected.name, &actual.name) {
            return Err(Fault::failed(message));
        }
        let rows: i64 = report
            .lines
            .iter()
            .filter_map(|line| line.actual.as_ref().and_then(|measured| measured.rows))
            .sum();
        Ok(Done {
            id: format!("{} = {}", actual.name, expected.name),
            attrs: Attrs {
                tables: report.lines.len() as u64,
                rows: rows.unsigned_abs(),
                checked_at: cx.now(),
            },
            memory: json!({
                "tables": report.lines,
                "others": report.others.into_iter().collect::<BTreeMap<_, _>>(),
            }),
        })
    }
}
