//! A source's expressions in the words of the target.
//!
//! A server writes an expression back from its parse tree, and a restore parses that text again. The second tree means
//! the same and is often written differently: `x BETWEEN 1 AND 2 AND y` gains or loses parentheses, casts of arrays move
//! to their elements, other major versions qualify other names. So the source's text is made on the target once more,
//! as a temporary object in a transaction that is rolled back, and what the target writes of that is compared. What cannot
//! be made so stays different. Tested in `tests/verification.rs`.

use std::collections::BTreeMap;

use pgferry_engine::fault::Fault;
use tokio_postgres::SimpleQueryMessage;

use super::Side;
use super::listing::{Key, Object};
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
    /// The relation that the text names as its own: as it names it, and without its schema.
    of: String,
    bare: String,
}

/// A column of the target: name, type with collation, whether it is generated.
type Column = (String, String, bool);

/// A piece, the statement that reads back what stands in its place, and the names to be put back in that: the first of
/// some for another.
struct Part<'a> {
    piece: &'a Piece,
    read: String,
    names: Vec<(Vec<String>, String)>,
}

/// For each object: statements that make it anew, and the parts to be exchanged for what they give.
struct Trial<'a> {
    statements: String,
    pieces: Vec<Part<'a>>,
}

/// Every part that can be read back, by the row of the catalogue: relations (checks, defaults, partition keys), views,
/// indexes, constraints, defaults, policies, triggers, rules, statistics, domains, routines.
const PIECES: &str = "
select * from (
select 1259::oid as class, conrelid as number, 'check' as kind, conname::text as name, pg_get_constraintdef(oid) as text, null::oid as parent
  from pg_constraint where contype = 'c' and conrelid = any ($1)
union all select 1259, adrelid, case when to_jsonb(a) ->> 'attgenerated' <> '' then 'generated' else 'default' end,
    attname::text, pg_get_expr(adbin, adrelid), null
  from pg_attrdef join pg_attribute a on attrelid = adrelid and attnum = adnum where adrelid = any ($1)
union all select 1259, partrelid, 'key', '', pg_get_partkeydef(partrelid), null
  from pg_partitioned_table where partrelid = any ($1)
union all select 1259, oid, 'view', '', rtrim(pg_get_viewdef(oid), ';'), null from pg_class where relkind in ('v', 'm') and oid = any ($1)
union all select 1259, indexrelid, 'index', '', pg_get_indexdef(indexrelid), indrelid from pg_index where indexrelid = any ($1)
union all select 2606, oid, 'constraint', conname, pg_get_constraintdef(oid), conrelid
  from pg_constraint where contype in ('c', 'x') and oid = any ($2)
union all select 2604, d.oid, case when to_jsonb(a) ->> 'attgenerated' <> '' then 'generated' else 'default' end,
    attname, pg_get_expr(adbin, adrelid), adrelid
  from pg_attrdef d join pg_attribute a on attrelid = adrelid and attnum = adnum where d.oid = any ($2)
union all select 3256, oid, 'using', polname, pg_get_expr(polqual, polrelid), polrelid
  from pg_policy where polqual is not null and oid = any ($2)
union all select 3256, oid, 'with check', polname, pg_get_expr(polwithcheck, polrelid), polrelid
  from pg_policy where polwithcheck is not null and oid = any ($2)
union all select 2620, oid, 'trigger', tgname, pg_get_triggerdef(oid), tgrelid from pg_trigger where oid = any ($2)
union all select 2618, oid, 'rule', rulename, pg_get_ruledef(oid), ev_class from pg_rewrite where oid = any ($2)
union all select 3381, s.oid, 'statistics', quote_ident(n.nspname) || '.' || quote_ident(stxname), pg_get_statisticsobjdef(s.oid), stxrelid
  from pg_statistic_ext s join pg_namespace n on n.oid = stxnamespace where s.oid = any ($2)
union all select 1247, contypid, 'domain check', conname, pg_get_constraintdef(oid), null
  from pg_constraint where contypid = any ($2)
union all select 1247, oid, 'domain default', format_type(typbasetype, typtypmod), pg_get_expr(typdefaultbin, 0), null
  from pg_type where typtype = 'd' and typdefaultbin is not null and oid = any ($2)
union all select 1255, oid, 'arguments', '', pg_get_function_arguments(oid), null from pg_proc where oid = any ($2)
) as pieces, lateral (select
    (select quote_ident(n.nspname) || '.' || quote_ident(c.relname) from pg_class c
       join pg_namespace n on n.oid = c.relnamespace where c.oid = pieces.parent) as relation,
    (select quote_ident(c.relname) from pg_class c where c.oid = pieces.parent) as bare) as r";

/// Since 14, where a function's body may be a parse tree.
const BODIES: &str = "select oid, pg_get_function_sqlbody(oid) from pg_proc where prosqlbody is not null and oid = any ($1)";

/// One savepoint for all trials: a rollback to it does not end it.
const BEGIN: &str =
    "begin read write; set local lock_timeout = '5s'; set local check_function_bodies = off;
    set local client_min_messages = error; savepoint pgferry_trial";

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
    let columns = columns(target, doubts).await.map_err(doing)?;
    let mut found = BTreeMap::new();
    for doubt in doubts {
        let known = pieces.get(&doubt.source.catalog).map(Vec::as_slice).unwrap_or_default();
        let none = Vec::new();
        let of = doubt.source.table.as_ref().and_then(|table| columns.get(table)).unwrap_or(&none);
        let Some(trial) = trial(doubt, known, of) else { continue };
        let answered = attempt(target, &trial).await.map_err(doing)?;
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
        let piece = Piece {
            kind: row.get(2),
            name: row.get(3),
            text,
            of: row.get::<_, Option<String>>(6).unwrap_or_default(),
            bare: row.get::<_, Option<String>>(7).unwrap_or_default(),
        };
        found.entry((row.get(0), row.get(1))).or_default().push(piece);
    }
    if expected.version_number >= 140_000 {
        for row in &session.query(BODIES, &[&others]).await.map_err(fault)? {
            let piece = Piece {
                kind: "body".to_owned(),
                name: String::new(),
                text: row.get(1),
                of: String::new(),
                bare: String::new(),
            };
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
    let mut trial = Trial { statements: String::new(), pieces: Vec::new() };
    if !columns.is_empty() && !matches!(doubt.key.class.as_str(), "VIEW" | "MATERIALIZED VIEW") {
        trial.statements = format!("create temp table {name} ({list});\n");
    }
    for piece in pieces {
        let Piece { text, of, .. } = piece;
        let own = identifier(&piece.name);
        // Its relation, in the statement and in what is read back.
        let made_of = |before: &str, after: &str| {
            let only = format!("{before} ONLY {of}{after}");
            let plain = format!("{before} {of}{after}");
            let found = if text.contains(&only) { only } else { plain };
            (text.replacen(&found, &format!("{before} {table}{after}"), 1), found)
        };
        let back = |before: &str, after: &str, found: String| {
            let bare = &piece.bare;
            let names = [format!("pg_temp.{bare}"), bare.clone()];
            (names.map(|name| format!("{before} {name}{after}")).to_vec(), found)
        };
        let mut names = Vec::new();
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
                let (made, found) = made_of(" ON", " USING");
                names.push(back(" ON", " USING", found));
                let read = "pg_get_indexdef(indexrelid)";
                let of = format!("from pg_index where indrelid = {regclass}::regclass");
                (made, format!("select {read} {of}"))
            }
            "trigger" => {
                let (made, found) = made_of(" ON", " ");
                names.push(back(" ON", " ", found));
                let read = "pg_get_triggerdef(oid)";
                let of = format!("from pg_trigger where tgrelid = {regclass}::regclass");
                (made, format!("select {read} {of}"))
            }
            "rule" => {
                let (made, found) = made_of(" TO", "");
                names.push(back(" TO", "", found));
                let read = "pg_get_ruledef(oid)";
                let of = format!("from pg_rewrite where ev_class = {regclass}::regclass");
                (made, format!("select {read} {of}"))
            }
            "statistics" => {
                let (made, found) = made_of(" FROM", "");
                let made = made.replacen(
                    &format!("STATISTICS {}", piece.name),
                    "STATISTICS pg_temp.pgferry_statistics",
                    1,
                );
                names.push(back(" FROM", "", found));
                names.push((
                    vec!["pg_temp.pgferry_statistics".to_owned(), "pgferry_statistics".to_owned()],
                    piece.name.clone(),
                ));
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
            trial.statements.push_str(make.trim_end().trim_end_matches(';'));
            trial.statements.push_str(";\n");
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
    let Some(rest) = text.strip_prefix(&format!("CREATE {class} ")) else { return };
    if !matches!(class, "DOMAIN" | "FUNCTION" | "PROCEDURE") {
        return;
    }
    // `schema.name` up to the parenthesis of its arguments, or to `AS`.
    let end = if class == "DOMAIN" { rest.find(" AS ") } else { rest.find('(') };
    let Some(end) = end else { return };
    let made = format!("CREATE {class} pg_temp.pgferry_made{}", &rest[end..]);
    trial.statements.push_str(&made);
    trial.statements.push('\n');
    for piece in pieces {
        let of_routine =
            "pg_proc where proname = 'pgferry_made' and pronamespace = pg_my_temp_schema()";
        let of_domain = "'pg_temp.pgferry_made'::regtype";
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
        self.names.iter().fold(word, |word, (names, name)| {
            match names.iter().find(|temporary| word.contains(temporary.as_str())) {
                Some(temporary) => word.replacen(temporary, name, 1),
                None => word,
            }
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
        text = text.replacen(&found, &format!("{before}{}{after}", place(at)), 1);
    }
    for (at, (_, word)) in pieces.iter().enumerate() {
        text = text.replace(&place(at), word);
    }
    text
}

fn quoted(text: &str) -> String {
    crate::quoting::literal(text)
}

/// Carries a trial out and takes it back; what the server said against it is within.
async fn attempt(
    target: &Session,
    trial: &Trial<'_>,
) -> Result<Result<Vec<String>, String>, tokio_postgres::Error> {
    let mut statements = trial.statements.clone();
    for part in &trial.pieces {
        statements.push_str(&format!("select ({});\n", part.read));
    }
    statements.push_str("rollback to savepoint pgferry_trial;");
    match target.simple_query(&statements).await {
        Ok(messages) => {
            let words: Option<Vec<String>> = messages
                .iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
                    _ => None,
                })
                .collect();
            Ok(words.ok_or_else(|| "it was not found again".to_owned()))
        }
        Err(cause) if cause.as_db_error().is_some() => {
            target.batch_execute("rollback to savepoint pgferry_trial").await?;
            Ok(Err(crate::connect::Said::of(cause).to_string()))
        }
        Err(cause) => Err(cause),
    }
}
