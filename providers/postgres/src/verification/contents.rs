//! Rows and their contents, table by table.
//!
//! A table's checksum is the sum of a 64-bit hash of each row's text: independent of the order of rows, of the server's
//! version and of object numbers. Partitions are compared one by one, their parents not. Tested in `tests/`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use pgferry_engine::fault::Fault;
use serde::Serialize;

use super::side::Side;
use crate::connect::Session;
use crate::facts::USER_RELATIONS;
use crate::quoting::{Tables, display, identifier};

/// A table as its side's catalogue has it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) materialized: bool,
    /// Has parents, whose columns a restore puts first.
    pub(super) inherits: bool,
    bytes: i64,
    estimate: i64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Nothing,
    Estimate,
    Rows,
    /// Besides, in place of the checksum, how many of the rows may be by this transaction or a later one.
    Since {
        transaction: u32,
    },
    Contents {
        digest: Digest,
    },
}

/// How a row's text becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    /// `hashtextextended`, on the server's own bytes: both sides encode alike, and are Postgres 11 or later.
    Hash,
    /// 64 bits of the MD5 of the text in UTF-8: anywhere, three times slower.
    Md5,
}

/// What was found in one table of one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Measured {
    pub(super) rows: Option<i64>,
    /// Decimal; may need more than 64 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
}

/// The tables of a side by their displayed name: ordinary ones, partitions, filled materialized views.
pub(super) async fn tables(
    side: &Side,
    excluded: &Tables,
) -> Result<BTreeMap<String, Table>, Fault> {
    let statement = format!(
        "with {USER_RELATIONS}
         select u.nspname::text, u.relname::text, pg_table_size(u.oid), coalesce(s.n_live_tup, 0),
                coalesce((select array_agg(a.attname::text order by a.attnum) from pg_attribute a
                  where a.attrelid = u.oid and a.attnum > 0 and not a.attisdropped), '{{}}'),
                u.relkind = 'm', exists (select from pg_inherits i where i.inhrelid = u.oid)
         from user_relations u join pg_class c on c.oid = u.oid
         left join pg_stat_all_tables s on s.relid = u.oid
         where u.relkind = 'r' or (u.relkind = 'm' and c.relispopulated)"
    );
    let session = side.session();
    let rows = session
        .query(&statement, &[])
        .await
        .map_err(|cause| session.fault("listing the tables", cause))?;
    Ok(rows
        .iter()
        .map(|row| Table {
            schema: row.get(0),
            name: row.get(1),
            bytes: row.get(2),
            estimate: row.get(3),
            columns: row.get(4),
            materialized: row.get(5),
            inherits: row.get(6),
        })
        .filter(|table| !excluded.contains(&table.schema, &table.name))
        .map(|table| (display(&table.schema, &table.name), table))
        .collect())
}

/// One table to measure, with its columns in the order that both sides shall use.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) shown: String,
    table: Table,
    measure: Measure,
}

impl Task {
    /// `columns` are those of the other side; contents are compared only if it has the same ones.
    pub(super) fn new(shown: &str, table: &Table, columns: &[String], measure: Measure) -> Self {
        let mut table = table.clone();
        let mut measure = measure;
        if same(&table.columns, columns) {
            table.columns = columns.to_vec();
        } else if matches!(measure, Measure::Contents { .. }) {
            measure = Measure::Rows;
        }
        Self { shown: shown.to_owned(), table, measure }
    }

    /// The same table, measured otherwise.
    pub(super) fn but(&self, measure: Measure) -> Self {
        Self { measure, ..self.clone() }
    }

    fn statement(&self) -> Option<String> {
        let from =
            format!("only {}.{}", identifier(&self.table.schema), identifier(&self.table.name));
        match self.measure {
            Measure::Nothing | Measure::Estimate => None,
            Measure::Rows => Some(format!("select count(*), null::text from {from}")),
            // An age that has wrapped around is negative, and counts as late.
            Measure::Since { transaction } => Some(format!(
                "select count(*), (count(*) filter (where age(t.xmin) <= age('{transaction}'::xid)))::text
                 from {from} as t"
            )),
            Measure::Contents { digest } => {
                let columns: Vec<String> = self
                    .table
                    .columns
                    .iter()
                    .map(|name| format!("t.{}", identifier(name)))
                    .collect();
                // Written out, because dropped columns and their order are no contents.
                let text = format!("row({})::text", columns.join(", "));
                let hash = match digest {
                    Digest::Hash => format!("hashtextextended({text} collate \"C\", 0)"),
                    Digest::Md5 => format!(
                        "('x' || substr(md5(convert_to({text}, 'UTF8')), 1, 16))::bit(64)::int8"
                    ),
                };
                Some(format!("select count(*), coalesce(sum({hash}), 0)::text from {from} as t"))
            }
        }
    }
}

/// Whether both lists name the same columns, in any order.
pub(super) fn same(one: &[String], other: &[String]) -> bool {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    sorted(one) == sorted(other)
}

/// Measures all tables of a side, the largest first, as many at a time as it has sessions.
pub(super) async fn measure(
    side: &Side,
    mut tasks: Vec<Task>,
    done: &(dyn Fn(&str) + Sync),
) -> Result<BTreeMap<String, Measured>, Fault> {
    tasks.sort_by_key(|task| std::cmp::Reverse(task.table.bytes));
    let queue = Mutex::new(VecDeque::from(tasks));
    let workers = side.sessions.iter().map(|session| work(session, &queue, done));
    Ok(try_join_all(workers).await?.into_iter().flatten().collect())
}

async fn work(
    session: &Session,
    queue: &Mutex<VecDeque<Task>>,
    done: &(dyn Fn(&str) + Sync),
) -> Result<Vec<(String, Measured)>, Fault> {
    let mut all = Vec::new();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(task) = next else { return Ok(all) };
        let measured = match task.statement() {
            Some(statement) => {
                let row = session
                    .query_one(&statement, &[])
                    .await
                    .map_err(|cause| session.fault(&format!("reading `{}`", task.shown), cause))?;
                Measured { rows: Some(row.get(0)), checksum: row.get(1) }
            }
            None => Measured {
                rows: (task.measure == Measure::Estimate).then_some(task.table.estimate),
                checksum: None,
            },
        };
        done(&task.shown);
        all.push((task.shown, measured));
    }
}
