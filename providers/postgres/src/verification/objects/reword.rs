//! A source's expressions in the words of the target.
//!
//! A server writes an expression back from its parse tree, and a restore parses that text again. The second tree means
//! the same and is often written differently: `x BETWEEN 1 AND 2 AND y` gains or loses parentheses, casts of arrays move
//! to their elements, other major versions qualify other names. So the source's text is made on the target once more,
//! as a temporary object in a transaction that is rolled back, and what the target writes of that is compared. What cannot
//! be made so stays different. Tested in `tests/verification.rs` and `tests/odd.rs`.
//!
//! The texts come from a database, which may be anybody's: each is sent as one statement by the extended protocol, which
//! takes no second one, and after each trial the transaction is the one that was begun.

use std::collections::BTreeMap;

use pgferry_engine::fault::{Class, Fault};

use super::Side;
use super::listing::{Key, Object};
use super::scan;
use crate::connect::Session;
use crate::quoting::identifier;

/// An object whose texts differ.
pub(super) struct Doubt<'a> {
    pub(super) key: &'a Key,
    pub(super) source: &'a Object,
}

/// A part of an object's text that a server writes back.
#[derive(Clone, Debug)]
struct Piece {
    kind: String,
    name: String,
    text: String,
}

/// A column of the target: name, type with collation, whether it is generated.
type Column = (String, String, bool);

/// A piece, the query that reads back what stands in its place, and the names to be put back in that: behind which word,
/// and which.
struct Part<'a> {
    piece: &'a Piece,
    read: String,
    names: Vec<(&'static str, String)>,
}

/// For each object: statements that make it anew, and the parts to be exchanged for what they give.
struct Trial<'a> {
    statements: Vec<String>,
    pieces: Vec<Part<'a>>,
}

/// Every part that can be read back, by the row of the catalogue: relations (checks, defaults, partition keys), views,
/// indexes, constraints, defaults, policies, triggers, rules, statistics, domains, routines. A view that what it needs
/// needs is written as a rule.
const PIECES: &str = "
select 1259::oid as class, conrelid as number, 'check' as kind, conname::text as name, pg_get_constraintdef(oid) as text
  from pg_constraint where contype = 'c' and conrelid = any ($1)
union all select 1259, adrelid, case when to_jsonb(a) ->> 'attgenerated' <> '' then 'generated' else 'default' end,
    attname::text, pg_get_expr(adbin, adrelid)
  from pg_attrdef join pg_attribute a on attrelid = adrelid and attnum = adnum where adrelid = any ($1)
union all select 1259, partrelid, 'key', '', pg_get_partkeydef(partrelid)
  from pg_partitioned_table where partrelid = any ($1)
union all select 1259, oid, 'view', '', rtrim(pg_get_viewdef(oid), ';') from pg_class where relkind in ('v', 'm') and oid = any ($1)
union all select 1259, indexrelid, 'index', '', pg_get_indexdef(indexrelid) from pg_index where indexrelid = any ($1)
union all select 2606, oid, 'constraint', conname, pg_get_constraintdef(oid)
  from pg_constraint where contype in ('c', 'x') and oid = any ($2)
union all select 2604, d.oid, case when to_jsonb(a) ->> 'attgenerated' <> '' then 'generated' else 'default' end,
    attname, pg_get_expr(adbin, adrelid)
  from pg_attrdef d join pg_attribute a on attrelid = adrelid and attnum = adnum where d.oid = any ($2)
union all select 3256, oid, 'using', polname, pg_get_expr(polqual, polrelid)
  from pg_policy where polqual is not null and oid = any ($2)
union all select 3256, oid, 'with check', polname, pg_get_expr(polwithcheck, polrelid)
  from pg_policy where polwithcheck is not null and oid = any ($2)
union all select 2620, oid, 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger where oid = any ($2)
union all select 2618, oid, 'rule', rulename, pg_get_ruledef(oid)
  from pg_rewrite where ev_type <> '1' and oid = any ($2)
union all select 2618, oid, 'view', '', rtrim(pg_get_viewdef(ev_class), ';')
  from pg_rewrite where ev_type = '1' and oid = any ($2)
union all select 3381, s.oid, 'statistics', quote_ident(n.nspname) || '.' || quote_ident(stxname), pg_get_statisticsobjdef(s.oid)
  from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace where s.oid = any ($2)
union all select 1247, contypid, 'domain check', conname, pg_get_constraintdef(oid)
  from pg_constraint where contypid = any ($2)
union all select 1247, oid, 'domain default', format_type(typbasetype, typtypmod), pg_get_expr(typdefaultbin, 0)
  from pg_type where typtype = 'd' and typdefaultbin is not null and oid = any ($2)
union all select 1255, oid, 'arguments', '', pg_get_function_arguments(oid) from pg_proc where oid = any ($2)";

/// Since 14, where a function's body may be a parse tree.
const BODIES: &str = "select oid, pg_get_function_sqlbody(oid) from pg_proc where prosqlbody is not null and oid = any ($1)";

/// One savepoint for all trials: a rollback to it does not end it.
const BEGIN: &str =
    "begin read write; set local lock_timeout = '5s'; set local check_function_bodies = off;
    set local standard_conforming_strings = on; set local client_min_messages = error; savepoint pgferry_trial";

const COLUMNS: &str = "
select w.at, a.attname::text,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod),
         (select format('collate %I.%I', n.nspname, k.collname) from pg_collation k
            join pg_namespace n on n.oid = k.collnamespace join pg_type t on t.oid = a.atttypid
            where k.oid = a.attcollation and a.attcollation <> t.typcollation)),
       coalesce(to_jsonb(a) ->> 'attgenerated', '') <> ''
from unnest($1::text[], $2::text[]) with ordinality as w (schema, name, at)
join pg_namespace n on n.nspname = w.schema join pg_class c on c.relnamespace = n.oid and c.relname = w.name
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
order by w.at, a.attnum";

/// What the texts of `doubts` are in the words of `target`; or why one is not known.
///
/// # Errors
/// A statement other than such a trial failed.
pub(super) async fn reworded(
    expected: &Side,
    target: &Session,
    doubts: &[Doubt<'_>],
) -> Result<BTreeMap<Key, Result<String, String>>, Fault> {
    // Definitions of older servers are not looked into.
    if expected.version_number < 120_000 {
        return Ok(BTreeMap::new());
    }
    let pieces = pieces(expected, doubts).await?;
    let doing = |cause| target.fault("comparing definitions in the target's words", cause);
    target.batch_execute(BEGIN).await.map_err(doing)?;
    let begun = transaction(target).await.map_err(doing)?;
    let columns = columns(target, doubts).await.map_err(doing)?;
    let mut found = BTreeMap::new();
    for doubt in doubts {
        let known = pieces.get(&doubt.source.catalog).map(Vec::as_slice).unwrap_or_default();
        let none = Vec::new();
        let of = doubt.source.table.as_ref().and_then(|table| columns.get(table)).unwrap_or(&none);
        let Some(trial) = trial(doubt, known, of) else { continue };
        let answered = attempt(target, &trial).await.map_err(doing)?;
        target.batch_execute("rollback to savepoint pgferry_trial").await.map_err(doing)?;
        if transaction(target).await.map_err(doing)? != begun {
            let message = format!("making {} once more on the target", doubt.source.shown);
            return Err(Fault::new(Class::Failed, message)
                .because("the transaction that was to be rolled back ended")
                .help("look for what it left on the target; its definition on the source is not a plain one"));
        }
        let text = answered.map(|words| {
            let words = trial.pieces.iter().zip(words);
            let pieces: Vec<(&Piece, String)> =
                words.map(|(part, word)| (part.piece, part.renamed(word))).collect();
            exchanged(&doubt.source.text, &pieces)
        });
        found.insert(doubt.key.clone(), text);
    }
    target.batch_execute("rollback").await.map_err(doing)?;
    Ok(found)
}

/// The number of the transaction that is open.
async fn transaction(target: &Session) -> Result<i64, tokio_postgres::Error> {
    Ok(target.query_one("select txid_current()", &[]).await?.get(0))
}

async fn pieces(
    expected: &Side,
    doubts: &[Doubt<'_>],
) -> Result<BTreeMap<(u32, u32), Vec<Piece>>, Fault> {
    let numbers = |relations: bool| -> Vec<u32> {
        let all = doubts.iter().map(|doubt| doubt.source.catalog);
        all.filter(|(class, _)| (*class == 1259) == relations).map(|(_, number)| number).collect()
    };
    let session = expected.session();
    let fault = |cause| session.fault("reading definitions that differ", cause);
    let (relations, others) = (numbers(true), numbers(false));
    let rows = session.query(PIECES, &[&relations, &others]).await.map_err(fault)?;
    let mut found: BTreeMap<(u32, u32), Vec<Piece>> = BTreeMap::new();
    for row in &rows {
        let Some(text) = row.get::<_, Option<String>>(4) else { continue };
        let piece = Piece { kind: row.get(2), name: row.get(3), text };
        found.entry((row.get(0), row.get(1))).or_default().push(piece);
    }
    if expected.version_number >= 140_000 {
        for row in &session.query(BODIES, &[&others]).await.map_err(fault)? {
            let piece = Piece { kind: "body".to_owned(), name: String::new(), text: row.get(1) };
            found.entry((1255, row.get(0))).or_default().push(piece);
        }
    }
    // A view is there before its columns get defaults.
    found.values_mut().for_each(|of| of.sort_by_key(|piece| piece.kind != "view"));
    Ok(found)
}

async fn columns(
    target: &Session,
    doubts: &[Doubt<'_>],
) -> Result<BTreeMap<(String, String), Vec<Column>>, tokio_postgres::Error> {
    let tables: Vec<&(String, String)> =
        doubts.iter().filter_map(|doubt| doubt.source.table.as_ref()).collect();
    let schemas: Vec<&str> = tables.iter().map(|table| table.0.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.1.as_str()).collect();
    let mut found: BTreeMap<(String, String), Vec<Column>> = BTreeMap::new();
    let mut last = None;
    for row in target.query(COLUMNS, &[&schemas, &names]).await? {
        let at: i64 = row.get(0);
        let Some(table) = usize::try_from(at - 1).ok().and_then(|at| tables.get(at)) else {
            continue;
        };
        let of = found.entry((*table).clone()).or_default();
        // Once a table, however many of its objects differ.
        if last != Some(at) {
            of.clear();
            last = Some(at);
        }
        of.push((row.get(1), row.get(2), row.get(3)));
    }
    Ok(found)
}

/// What makes the object of `doubt` once more; none of a class that no expression is in.
fn trial<'a>(doubt: &Doubt<'_>, pieces: &'a [Piece], columns: &[Column]) -> Option<Trial<'a>> {
    let name = doubt.source.table.as_ref().map(|(_, name)| identifier(name)).unwrap_or_default();
    let table = format!("pg_temp.{name}");
    let regclass = crate::quoting::literal(&table);
    let generated = |column: &str| {
        let mut of = pieces.iter().filter(|piece| piece.kind == "generated");
        of.find(|piece| piece.name == column)
    };
    let list: Vec<String> = columns
        .iter()
        .map(|(column, type_name, _)| {
            let made = generated(column)
                .map(|piece| format!(" generated always as ({}) stored", piece.text))
                .unwrap_or_default();
            format!("{} {type_name}{made}", identifier(column))
        })
        .collect();
    let list = list.join(", ");
    let mut trial = Trial { statements: Vec::new(), pieces: Vec::new() };
    if !columns.is_empty() && !pieces.iter().any(|piece| piece.kind == "view") {
        trial.statements.push(format!("create temp table {name} ({list})"));
    }
    for piece in pieces {
        let text = &piece.text;
        let own = identifier(&piece.name);
        let mut names = Vec::new();
        // Its relation, behind `word` in the statement and in what is read back.
        let mut made_of = |word| {
            let at = scan::name_after(text, word)?;
            names.push((word, text[at.clone()].to_owned()));
            Some(format!("{}{table}{}", &text[..at.start], &text[at.end..]))
        };
        let (make, read) = match piece.kind.as_str() {
            "check" | "constraint" => (
                format!("alter table {table} add constraint {own} {text}"),
                format!(
                    "select pg_get_constraintdef(oid) from pg_constraint
                     where conrelid = {regclass}::regclass and conname = {}",
                    quoted(&piece.name)
                ),
            ),
            "default" | "generated" => (
                if piece.kind == "default" {
                    format!("alter table {table} alter column {own} set default {text}")
                } else {
                    String::new()
                },
                format!(
                    "select pg_get_expr(adbin, adrelid) from pg_attrdef join pg_attribute
                       on attrelid = adrelid and attnum = adnum
                     where adrelid = {regclass}::regclass and attname = {}",
                    quoted(&piece.name)
                ),
            ),
            "key" => (
                format!("create temp table pgferry_key ({list}) partition by {text}"),
                "select pg_get_partkeydef('pg_temp.pgferry_key'::regclass)".to_owned(),
            ),
            "view" => (
                format!("create temp view {name} as {text}"),
                format!("select rtrim(pg_get_viewdef({regclass}::regclass), ';')"),
            ),
            "index" => {
                let Some(made) = made_of("ON") else { continue };
                let read = "pg_get_indexdef(indexrelid)";
                let of = format!("from pg_index where indrelid = {regclass}::regclass");
                (made, format!("select {read} {of}"))
            }
            "trigger" => {
                let Some(made) = made_of("ON") else { continue };
                let read = "pg_get_triggerdef(oid)";
                let of = format!("from pg_trigger where tgrelid = {regclass}::regclass");
                (made, format!("select {read} {of}"))
            }
            "rule" => {
                let Some(made) = made_of("TO") else { continue };
                let read = "pg_get_ruledef(oid)";
                let of = format!("from pg_rewrite where ev_class = {regclass}::regclass");
                (made, format!("select {read} {of}"))
            }
            "statistics" => {
                let Some(made) = made_of("FROM") else { continue };
                let Some(at) = scan::name_after(&made, "STATISTICS") else { continue };
                names.push(("STATISTICS", made[at.clone()].to_owned()));
                let (before, after) = (&made[..at.start], &made[at.end..]);
                let made = format!("{before}pg_temp.pgferry_statistics{after}");
                let read = "pg_get_statisticsobjdef(oid)";
                (
                    made,
                    format!(
                        "select {read} from pg_statistic_ext where stxname = 'pgferry_statistics'"
                    ),
                )
            }
            "using" | "with check" => (
                format!(
                    "create policy {} on {table} {} ({text})",
                    identifier(&piece.kind),
                    piece.kind
                ),
                format!(
                    "select pg_get_expr(coalesce(polqual, polwithcheck), polrelid) from pg_policy
                     where polrelid = {regclass}::regclass and polname = {}",
                    quoted(&piece.kind)
                ),
            ),
            "domain check" | "domain default" | "arguments" | "body" => continue,
            _ => continue,
        };
        if !make.is_empty() {
            trial.statements.push(make);
        }
        trial.pieces.push(Part { piece, read, names });
    }
    of_its_own(doubt, pieces, &mut trial);
    (!trial.pieces.is_empty()).then_some(trial)
}

/// Domains and routines, whose whole statement makes them once more under another schema.
fn of_its_own<'a>(doubt: &Doubt<'_>, pieces: &'a [Piece], trial: &mut Trial<'a>) {
    let text = &doubt.source.text;
    let class = doubt.key.class.as_str();
    if !matches!(class, "DOMAIN" | "FUNCTION" | "PROCEDURE") {
        return;
    }
    // Under its own name, which a routine's body may call its arguments by.
    let text = scan::first_statement(text);
    let Some(at) = scan::name_after(text, class) else { return };
    let name = scan::bare(&text[at.clone()]);
    let made = format!("pg_temp.{}", identifier(&name));
    trial.statements.push(format!("{}{made}{}", &text[..at.start], &text[at.end..]));
    let name = quoted(&name);
    let of_routine =
        format!("pg_proc where proname = {name} and pronamespace = pg_my_temp_schema()");
    let of_domain = format!("{}::regtype", quoted(&made));
    for piece in pieces {
        let read = match piece.kind.as_str() {
            "arguments" => format!("select pg_get_function_arguments(oid) from {of_routine}"),
            "body" => format!("select pg_get_function_sqlbody(oid) from {of_routine}"),
            "domain check" => format!(
                "select pg_get_constraintdef(oid) from pg_constraint where contypid = {of_domain} and conname = {}",
                quoted(&piece.name)
            ),
            "domain default" => {
                format!("select pg_get_expr(typdefaultbin, 0) from pg_type where oid = {of_domain}")
            }
            _ => continue,
        };
        trial.pieces.push(Part { piece, read, names: Vec::new() });
    }
}

impl Part<'_> {
    fn renamed(&self, word: String) -> String {
        self.names.iter().fold(word, |word, (after, name)| match scan::name_after(&word, after) {
            Some(at) => format!("{}{name}{}", &word[..at.start], &word[at.end..]),
            None => word,
        })
    }
}

/// `text` with each piece in other words, once.
fn exchanged(text: &str, pieces: &[(&Piece, String)]) -> String {
    let mut text = text.to_owned();
    let mut longest_first: Vec<usize> = (0..pieces.len()).collect();
    longest_first.sort_by_key(|at| std::cmp::Reverse(pieces[*at].0.text.len()));
    // First all places, then all words: one may hold the text of another piece.
    let place = |at: usize| format!("\0{at}\0");
    for at in longest_first {
        let piece = pieces[at].0;
        let (before, after) = match piece.kind.as_str() {
            "default" | "domain default" => (" DEFAULT ", ""),
            "generated" => (" GENERATED ALWAYS AS (", ")"),
            "using" => ("USING (", ")"),
            "with check" => ("WITH CHECK (", ")"),
            _ => ("", ""),
        };
        let before = match piece.kind.as_str() {
            "default" if text.contains(" SET DEFAULT ") => " SET DEFAULT ",
            _ => before,
        };
        let found = format!("{before}{}{after}", piece.text);
        if let Some(found) = scan::find(&text, &found) {
            text.replace_range(found, &format!("{before}{}{after}", place(at)));
        }
    }
    for (at, (_, word)) in pieces.iter().enumerate() {
        text = text.replace(&place(at), word);
    }
    text
}

fn quoted(text: &str) -> String {
    crate::quoting::literal(text)
}

/// Carries a trial out, to be taken back; what the server said against it is within.
async fn attempt(
    target: &Session,
    trial: &Trial<'_>,
) -> Result<Result<Vec<String>, String>, tokio_postgres::Error> {
    let reads: Vec<String> = trial.pieces.iter().map(|part| format!("({})", part.read)).collect();
    let read = format!("select array[{}]::text[]", reads.join(", "));
    let mut words: Vec<Option<String>> = Vec::new();
    for statement in trial.statements.iter().chain([&read]) {
        match target.query_typed(statement, &[]).await {
            Ok(rows) => {
                if let Some(row) = rows.first() {
                    words = row.get(0);
                }
            }
            Err(cause) if cause.as_db_error().is_some() => {
                return Ok(Err(crate::connect::Said::of(cause).to_string()));
            }
            Err(cause) => return Err(cause),
        }
    }
    let words: Option<Vec<String>> = words.into_iter().collect();
    Ok(words.ok_or_else(|| "it was not found again".to_owned()))
}
