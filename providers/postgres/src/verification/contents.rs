//! Rows and their contents, table by table.
//!
//! A table's checksum is the sum of a 64-bit hash of each row's text: independent of the order of rows, of the server's
//! version and of object numbers. Sums of parts add up to it, so large tables are read in ranges of their pages, by all
//! sessions at once. Partitions are compared one by one, their parents not; but where
//! another server puts rows into other partitions, the parent alone. Tested in `tests/`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use futures_util::future::try_join_all;
use pgferry_engine::fault::Fault;
use serde::Serialize;

use super::side::Side;
use crate::checksum::{MOST_COLUMNS, WHOLE, WITH_NULL};
use crate::connect::Session;
use crate::dump::hold::refused;
use crate::facts::{CONFIGURATION, USER_RELATIONS, unsafe_partitions};
use crate::quoting::{Tables, display, identifier};

/// Smaller parts of a table than this, in bytes on disk, are not read on their own.
const RANGE: u64 = 32 << 20;
/// Tables read in one transaction, which keeps them and their indexes locked to its end.
const LOCKED: usize = 32;
/// Ranges of pages are found by their numbers since 14 ("TID range scan").
const RANGES_SINCE: i32 = 140_000;

/// A table as its side's catalogue has it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) materialized: bool,
    /// Has parents, whose columns a restore puts first.
    pub(super) inherits: bool,
    /// Values of its row type are stored elsewhere, in which columns have no names.
    pub(super) is_type: bool,
    /// With all that is in its partitions, which are not compared one by one.
    with_partitions: bool,
    /// It or a part of it is unlogged: a standby has no rows of it.
    pub(super) unlogged: bool,
    /// What tells its rows apart: the columns of the primary key, else of a unique index without NULL. Or nothing does.
    pub(super) key: Vec<String>,
    /// On disk, with what lies outside its own file.
    pub(super) bytes: u64,
    /// Of an extension that keeps what users enter in it: its name, and the condition that tells their rows.
    extension: Option<(String, String)>,
    /// Pages of its own file, whose rows are found by their numbers; of others, none.
    pages: i64,
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

/// The tables of both sides as [`tables`] lists them. Of an extension's tables, only what the expected side keeps in them
/// is compared: the other server may have another version of it, or do without, which is told elsewhere.
pub(super) async fn both(
    expected: &Side,
    actual: &Side,
    excluded: &Tables,
) -> Result<[BTreeMap<String, Table>; 2], Fault> {
    let (mut ours, mut theirs) =
        futures_util::try_join!(tables(expected, excluded), tables(actual, excluded))?;
    theirs.retain(|name, table| table.extension.is_none() || ours.contains_key(name));
    let session = actual.session();
    let there = session.query("select extname::text from pg_extension", &[]).await;
    let there = there.map_err(|cause| session.fault("listing the extensions", cause))?;
    let there: BTreeSet<String> = there.iter().map(|row| row.get(0)).collect();
    ours.retain(|_, table| table.extension.as_ref().is_none_or(|(of, _)| there.contains(of)));
    for (name, table) in &mut theirs {
        table.extension = ours.get(name).and_then(|ours| ours.extension.clone());
    }
    Ok([ours, theirs])
}

/// The tables of a side by their displayed name: ordinary ones, partitions, or in place of those that may hold other rows
/// on another server their topmost parent; filled materialized views; what users enter into tables of extensions.
async fn tables(side: &Side, excluded: &Tables) -> Result<BTreeMap<String, Table>, Fault> {
    let statement = format!(
        "with recursive {USER_RELATIONS}, {CONFIGURATION}, {}, listed as (
           select oid, nspname, relname, relkind, relpersistence, null::text as extension, null::text as condition
             from user_relations
           union all select oid, nspname, relname, relkind, relpersistence, extname::text, condition from configuration
             where relkind = 'r' and oid not in (select oid from user_relations))
         select u.nspname::text, u.relname::text,
                pg_table_size(u.oid) + coalesce((select sum(pg_table_size(oid)) from under where root = u.oid), 0)::int8,
                coalesce(s.n_live_tup, 0),
                coalesce((select array_agg(a.attname::text order by a.attnum) from pg_attribute a
                  where a.attrelid = u.oid and a.attnum > 0 and not a.attisdropped), '{{}}'),
                u.relkind = 'm', exists (select from pg_inherits i where i.inhrelid = u.oid),
                coalesce((select array_agg(a.attname::text order by k.n)
                  from (select x.indkey, coalesce((to_jsonb(x) ->> 'indnkeyatts')::int, x.indnatts) as count
                    from pg_index x
                    where x.indrelid = u.oid and x.indisunique and x.indisvalid and x.indimmediate and x.indpred is null
                      and not exists (select from unnest(x.indkey::int2[]) as of (number)
                        where number = 0 or not (select attnotnull from pg_attribute
                          where attrelid = u.oid and attnum = number))
                    order by x.indisprimary desc, x.indnatts, x.indexrelid limit 1) x,
                  unnest(x.indkey::int2[]) with ordinality as k (number, n)
                  join pg_attribute a on a.attrelid = u.oid and a.attnum = k.number
                  where k.n <= x.count), '{{}}'),
                case when coalesce((select amname from pg_am where oid = c.relam), 'heap') = 'heap'
                  then pg_relation_size(u.oid) / current_setting('block_size')::int8 else 0 end,
                c.reltype in (select unnest(array[y.oid, y.typelem]) from pg_depend d join pg_type y on y.oid = d.refobjid
                  where d.refclassid = 'pg_type'::regclass and d.classid in ('pg_class'::regclass, 'pg_type'::regclass)
                    and d.deptype = 'n'),
                 u.relkind = 'p',
                 u.relpersistence = 'u' or exists (select from under d join pg_class p on p.oid = d.oid
                  where d.root = u.oid and p.relpersistence = 'u'),
                u.extension, coalesce(u.condition, '')
         from listed u join pg_class c on c.oid = u.oid
         left join pg_stat_all_tables s on s.relid = u.oid
         where (u.relkind = 'r' or (u.relkind = 'm' and c.relispopulated) or u.oid in (select oid from unsafe))
           and u.oid not in (select oid from under)",
        unsafe_partitions(side.version_number)
    );
    let session = side.session();
    // Their sizes, for which each is locked.
    let rows = match session.query(&statement, &[]).await {
        Ok(rows) => rows,
        Err(cause) => return Err(refused(session, "listing the tables", cause).await),
    };
    Ok(rows
        .iter()
        .map(|row| Table {
            schema: row.get(0),
            name: row.get(1),
            bytes: row.get::<_, i64>(2).unsigned_abs(),
            estimate: row.get(3),
            columns: row.get(4),
            materialized: row.get(5),
            inherits: row.get(6),
            key: row.get(7),
            pages: row.get(8),
            is_type: row.get(9),
            with_partitions: row.get(10),
            unlogged: row.get(11),
            extension: row.get::<_, Option<String>>(12).map(|name| (name, row.get(13))),
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

    /// `range` as a condition on the pages.
    fn statement(&self, range: &str) -> Option<String> {
        let from = self.table.from();
        match self.measure {
            Measure::Nothing | Measure::Estimate => None,
            Measure::Rows => Some(format!("select count(*), null::text from {from} as t{range}")),
            // An age that has wrapped around is negative, and counts as late.
            Measure::Since { transaction } => Some(format!(
                "select count(*), (count(*) filter (where age(t.xmin) <= age('{transaction}'::xid)))::text
                 from {from} as t{range}"
            )),
            Measure::Contents { digest } => {
                let hash = digest.of(&self.table.columns);
                Some(format!(
                    "select count(*), coalesce(sum({hash}), 0)::text from {from} as t{range}"
                ))
            }
        }
    }

    /// Conditions that give all its rows, each once, and about how many bytes each reads: not much more than `share`.
    fn ranges(&self, share: u64, version_number: i32) -> Vec<(String, u64)> {
        let Table { bytes, pages, .. } = self.table;
        let pages = if self.table.condition().is_some() { 0 } else { pages };
        let reads = !matches!(self.measure, Measure::Nothing | Measure::Estimate);
        let parts = i64::try_from(bytes / share).unwrap_or(i64::MAX).clamp(1, pages.max(1));
        if parts == 1 || !reads || version_number < RANGES_SINCE {
            return vec![(String::new(), bytes)];
        }
        let step = pages / parts;
        let from = |part: i64| format!("t.ctid >= '({},0)'", part * step);
        let range = |part: i64| match part + 1 == parts {
            // Pages that were added since are read too; the snapshot says which rows count.
            true => format!(" where {}", from(part)),
            false => format!(" where {} and t.ctid < '({},0)'", from(part), (part + 1) * step),
        };
        (0..parts).map(|part| (range(part), bytes / parts.unsigned_abs())).collect()
    }
}

impl Table {
    /// Its own rows alone, or those of its partitions, or what users entered, as SQL.
    pub(super) fn from(&self) -> String {
        let only = if self.with_partitions { "" } else { "only " };
        let table = format!("{only}{}.{}", identifier(&self.schema), identifier(&self.name));
        match self.condition() {
            None => table,
            Some(condition) => format!("(select ctid, xmin, * from {table} {condition})"),
        }
    }

    /// `WHERE …`, which tells the rows that count.
    fn condition(&self) -> Option<&str> {
        self.extension.as_ref().map(|(_, condition)| condition.as_str()).filter(|it| !it.is_empty())
    }
}

impl Digest {
    /// The hash of these columns of `t`, in this order, in SQL. Written out, because dropped columns and their order are
    /// no contents.
    pub(super) fn of(self, columns: &[String]) -> String {
        match self {
            Self::Hash => hashed(columns),
            Self::Md5 => format!(
                "('x' || substr(md5(convert_to({}, 'UTF8')), 1, 16))::bit(64)::int8",
                row_of(columns)
            ),
        }
    }
}

/// The hash of a row's text, which a server makes in a third to two thirds of the time of [`row_of`] (measured on numbers,
/// JSON, prose and bytes), and that `COPY` sends nearly as it is. Values are not quoted: what moved from one column of a row
/// into the next together with a tab between them would not be noticed.
fn hashed(columns: &[String]) -> String {
    let hash = |text: &str, seed: u64| format!("hashtextextended({text} collate \"C\", {seed})");
    if columns.is_empty() || columns.len() > MOST_COLUMNS {
        return hash(&row_of(columns), WHOLE);
    }
    let each = |text: fn(String) -> String, between: &str| {
        let all = columns.iter().map(|name| text(format!("t.{}", identifier(name))));
        all.collect::<Vec<_>>().join(between)
    };
    let values = each(|value| value, ", ");
    // A row of nothing but NULL `is null` and is none: only this asks for the value itself, of any type.
    let nulls = each(|value| format!("{value} is not distinct from null"), ", ");
    let whole = each(|value| format!("{value} is distinct from null"), " and ");
    format!(
        r"(case when {whole} then {} else {} end)",
        hash(&format!(r"concat_ws(E'\t', {values})"), WHOLE),
        hash(&format!(r"concat_ws(E'\t', {values}, concat({nulls}))"), WITH_NULL)
    )
}

/// The text of these columns of `t`, in this order, as a record is told.
pub(super) fn row_of(columns: &[String]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|name| format!("t.{}", identifier(name))).collect();
    format!("row({})::text", columns.join(", "))
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

/// What is told of a measuring.
pub(super) trait Told: Sync {
    /// A part of a table is begun; it has about so many bytes.
    fn begun(&self, shown: &str, bytes: u64);
    /// A part of a table is read.
    fn read(&self, shown: &str, bytes: u64, rows: i64);
}

/// Nobody is told.
impl Told for () {
    fn begun(&self, _: &str, _: u64) {}
    fn read(&self, _: &str, _: u64, _: i64) {}
}

/// A part of a table.
struct Piece<'a> {
    task: &'a Task,
    range: String,
    bytes: u64,
}

/// Measures all tables of a side, the largest first, as many parts at a time as it has sessions.
pub(super) async fn measure(
    side: &Side,
    mut tasks: Vec<Task>,
    told: &dyn Told,
) -> Result<BTreeMap<String, Measured>, Fault> {
    tasks.sort_by_key(|task| std::cmp::Reverse(task.table.bytes));
    // A whole table is read somewhat faster than its ranges (measured), so there are no more of them than keep everybody
    // busy to the end.
    let total: u64 = tasks.iter().map(|task| task.table.bytes).sum();
    let share = RANGE.max(total / (side.workers().len() as u64 * 4));
    let pieces = tasks.iter().flat_map(|task| {
        let ranges = task.ranges(share, side.version_number);
        ranges.into_iter().map(move |(range, bytes)| Piece { task, range, bytes })
    });
    let queue = Mutex::new(pieces.collect::<VecDeque<_>>());
    let workers = side.workers().iter().map(|session| work(side, session, &queue, told));
    let mut sums: BTreeMap<String, Measured> = BTreeMap::new();
    for (shown, part) in try_join_all(workers).await?.into_iter().flatten() {
        match sums.entry(shown) {
            Entry::Vacant(place) => {
                place.insert(part);
            }
            Entry::Occupied(mut sum) => sum.get_mut().add(&part),
        }
    }
    Ok(sums)
}

impl Measured {
    /// Takes in another part of the same table.
    fn add(&mut self, part: &Self) {
        self.rows = self.rows.zip(part.rows).map(|(one, other)| one + other);
        let number = |text: &Option<String>| text.as_ref()?.parse::<i128>().ok();
        let sum = number(&self.checksum).zip(number(&part.checksum));
        self.checksum = sum.map(|(one, other)| (one + other).to_string());
    }
}

async fn work(
    side: &Side,
    session: &Session,
    queue: &Mutex<VecDeque<Piece<'_>>>,
    told: &dyn Told,
) -> Result<Vec<(String, Measured)>, Fault> {
    let (mut all, mut locked) = (Vec::new(), 0);
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(Piece { task, range, bytes }) = next else { return Ok(all) };
        let measured = match task.statement(&range) {
            Some(statement) => {
                if locked == LOCKED {
                    side.renew(session).await?;
                    locked = 0;
                }
                locked += 1;
                told.begun(&task.shown, bytes);
                let row = match session.query_one(&statement, &[]).await {
                    Ok(row) => row,
                    Err(cause) => {
                        let doing = format!("reading `{}`", task.shown);
                        return Err(refused(session, &doing, cause).await);
                    }
                };
                Measured { rows: Some(row.get(0)), checksum: row.get(1) }
            }
            None => Measured {
                rows: (task.measure == Measure::Estimate).then_some(task.table.estimate),
                checksum: None,
            },
        };
        told.read(&task.shown, bytes, measured.rows.unwrap_or_default());
        all.push((task.shown.clone(), measured));
    }
}
