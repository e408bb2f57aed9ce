//! Where sequences stand, on both sides.
//!
//! A sequence behind the column that it fills is only warned of: where both sides have the same rows, the source has the
//! same flaw. Tested in `tests/verification.rs`.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;

use super::report::{Report, equal_or};
use super::side::Side;
use crate::dump::hold::refused;
use crate::facts::{CONFIGURATION, USER_RELATIONS};
use crate::quoting::{Tables, display, identifier};
use crate::sequences::{self, Values};

const COMPARING: &str = "comparing sequences with their columns";
/// Columns asked for their highest values by one statement: few enough for its locks.
const AT_ONCE: usize = 50;
/// Columns that sequences fill (identity, or by a default) and an index orders, so that the highest value is found at
/// once. A sequence that cycles gives values again by intention; what may not be read in full is not asked for.
/// What has foreign tables below it is not asked either: their server may not be reached.
const FILLED: &str = "
    with recursive below(relation, root) as (
        select inhrelid, inhparent from pg_inherits
        union select i.inhrelid, b.root from pg_inherits i join below b on b.relation = i.inhparent),
    fills(sequence, relation, number) as (
        select d.objid, d.refobjid, d.refobjsubid from pg_depend d
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'i'
          and d.refobjsubid > 0
        union
        select d.refobjid, f.adrelid, f.adnum from pg_depend d join pg_attrdef f on f.oid = d.objid
        where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass)
    select sn.nspname::text, s.relname::text, tn.nspname::text, t.relname::text, a.attname::text, q.seqincrement
    from fills join pg_class s on s.oid = sequence join pg_namespace sn on sn.oid = s.relnamespace
    join pg_sequence q on q.seqrelid = sequence and not q.seqcycle
    join pg_class t on t.oid = relation and t.relkind in ('r', 'p') join pg_namespace tn on tn.oid = t.relnamespace
    join pg_attribute a on a.attrelid = relation and a.attnum = number
    where a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
      and has_schema_privilege(tn.oid, 'usage') and has_column_privilege(relation, a.attnum, 'select')
      and not row_security_active(relation) and (t.relpersistence <> 'u' or not pg_is_in_recovery())
      and not exists (select from below b join pg_class f on f.oid = b.relation where b.root = t.oid and f.relkind = 'f')
      and exists (select from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
                  where i.indrelid = relation and i.indkey[0] = number and i.indpred is null and i.indisvalid
                    and m.amname = 'btree')
    order by 1, 2, 3, 4, 5";

/// Compares where they stand, and warns of those that stand behind their columns.
pub(super) async fn compare(
    cx: &Cx,
    expected: &Side,
    actual: &Side,
    excluded: &Tables,
    report: &mut Report,
) -> Result<(), Fault> {
    let unreadable = unreadable(&[expected, actual]).await?;
    let read = &|name: &str| !unreadable.contains(name);
    let (one, other) =
        futures_util::try_join!(values(expected, excluded, read), values(actual, excluded, read))?;
    let mut different = 0;
    for (name, values) in &one {
        let difference = match other.get(name) {
            Some(found) if found == values => continue,
            Some(found) => format!("{} expected, {} found", stands(values), stands(found)),
            None => "missing".to_owned(),
        };
        different += 1;
        report.differences.push(format!("sequence `{name}`: {difference}"));
    }
    let mut outcome = equal_or(one.len() - different, different);
    if !unreadable.is_empty() {
        outcome.push_str(&format!(", {} not compared", unreadable.len()));
        cx.warn(format!(
            "a standby cannot read unlogged sequences, so these were not compared: {}",
            unreadable.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    report.others.push(("sequences".into(), outcome));
    for behind in behind(actual, excluded, &other).await? {
        cx.warn(behind);
    }
    Ok(())
}

fn stands(values: &Values) -> String {
    let called = if values.is_called { "" } else { " (not called yet)" };
    format!("{}{called}", values.last_value)
}

/// Sequences that are unlogged on one of `sides` that is a standby: it has no values of them.
async fn unreadable(sides: &[&Side]) -> Result<BTreeSet<String>, Fault> {
    let mut names = BTreeSet::new();
    for side in sides.iter().filter(|side| side.in_recovery) {
        let session = side.session();
        let statement = format!(
            "with {USER_RELATIONS}, {CONFIGURATION}
             select nspname::text, relname::text from user_relations where relkind = 'S' and relpersistence = 'u'
             union select nspname::text, relname::text from configuration where relkind = 'S' and relpersistence = 'u'"
        );
        let rows = session
            .query(&statement, &[])
            .await
            .map_err(|cause| session.fault("listing the unlogged sequences", cause))?;
        names.extend(rows.iter().map(|row| display(row.get(0), row.get(1))));
    }
    Ok(names)
}

async fn values(
    side: &Side,
    excluded: &Tables,
    read: &(dyn Fn(&str) -> bool + Sync),
) -> Result<BTreeMap<String, Values>, Fault> {
    let (session, outside) = (side.session(), side.outside().await?);
    let read = async {
        let statement = format!(
            "with {USER_RELATIONS}, {CONFIGURATION}
             select nspname::text, relname::text from user_relations where relkind = 'S'
             union select nspname::text, relname::text from configuration where relkind = 'S' order by 1, 2"
        );
        let mut named = Vec::new();
        for row in session.query(&statement, &[]).await? {
            let (schema, name): (&str, &str) = (row.get(0), row.get(1));
            if !excluded.contains(schema, name) {
                let shown = display(schema, name);
                if read(&shown) {
                    named.push((shown, sequences::from_clause(schema, name)));
                }
            }
        }
        let from: Vec<String> = named.iter().map(|(_, from)| from.clone()).collect();
        let values = sequences::values(outside, &from).await?;
        Ok(named.into_iter().map(|(shown, _)| shown).zip(values).collect())
    };
    let read = match read.await {
        Ok(read) => read,
        Err(cause) => return Err(refused(outside, "reading the sequences", cause).await),
    };
    side.renew(outside).await?;
    Ok(read)
}

/// What is to be said of sequences whose next value is one that their column has, or has passed.
async fn behind(
    side: &Side,
    excluded: &Tables,
    standing: &BTreeMap<String, Values>,
) -> Result<Vec<String>, Fault> {
    // There is no catalogue of sequences before.
    if side.version_number < 100_000 {
        return Ok(Vec::new());
    }
    let session = side.session();
    let rows = session.query(FILLED, &[]).await;
    let rows = rows.map_err(|cause| session.fault(COMPARING, cause))?;
    let filled: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let text = |at| row.get::<_, &str>(at);
            if excluded.contains(text(2), text(3)) {
                return None;
            }
            let sequence = display(text(0), text(1));
            let values = *standing.get(&sequence)?;
            let step: i64 = row.get(5);
            let most = if step > 0 { "max" } else { "min" };
            let from = sequences::from_clause(text(2), text(3));
            let ask = format!("select {most}({})::int8 as value from {from}", identifier(text(4)));
            let column = format!("{}.{}", display(text(2), text(3)), text(4));
            Some((sequence, values, step, column, ask))
        })
        .collect();
    let mut behind = Vec::new();
    // What fills them may have gone on meanwhile: only towards what is warned of.
    let session = side.outside().await?;
    for chunk in filled.chunks(AT_ONCE) {
        let asks = chunk
            .iter()
            .enumerate()
            .map(|(at, it)| format!("select {at} as at, ({}) as value", it.4));
        let statement = asks.collect::<Vec<_>>().join(" union all ");
        let rows = match session.query(&format!("{statement} order by at"), &[]).await {
            Ok(rows) => rows,
            Err(cause) => return Err(refused(session, COMPARING, cause).await),
        };
        for (row, (sequence, values, step, column, _)) in rows.iter().zip(chunk) {
            let next = i128::from(values.last_value)
                + if values.is_called { i128::from(*step) } else { 0 };
            let Some(most) = row.get::<_, Option<i64>>(1) else { continue };
            let is_behind = if *step > 0 { next <= most.into() } else { next >= most.into() };
            if is_behind {
                behind.push(format!(
                    "sequence `{sequence}` is behind `{column}`, which has reached {most}: its next value is {next}, and \
                     a row with it may be refused as a duplicate; mend it with `setval`, on the source as well"
                ));
            }
        }
    }
    side.renew(session).await?;
    Ok(behind)
}
