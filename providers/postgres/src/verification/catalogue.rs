//! Every object of a database as one line of canonical text, and the comparison of two such lists.
//!
//! Left out on both sides: owners, grants, what belongs to extensions (their comments included, which only their owner
//! may restore), event triggers, publications, the `NOT NULL` constraints that Postgres 18 lists by name, and indexes
//! that were never finished, which no dump holds. Options of foreign tables and servers, which may hold passwords, are compared
//! by their MD5, sorted. Of a column's options only those count that `pg_dump` writes: a server keeps notes of its own
//! beside them (`pg_attver` of 15.20). Text that the server writes back from its parse tree may differ
//! between major versions, and in its wording after any restore: then it is told as a doubt. Tested in `tests/`.

use std::collections::BTreeMap;

use pgferry_engine::fault::Fault;

use super::side::Side;
use super::wording::essence;
use crate::quoting::{Tables, display};

/// The object's kind and name.
pub(super) type Key = (String, String);

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// The table it belongs to, as displayed.
    pub(super) table: Option<String>,
    definition: String,
    /// Whether the definition is text that the server writes back.
    written_back: bool,
}

/// A difference between two catalogues, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deviation {
    pub(super) text: String,
    pub(super) table: Option<String>,
    pub(super) certainty: Certainty,
}

/// Whether a deviation is a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Certainty {
    Sure,
    /// An extension of another version, which each server brings.
    Version,
    /// The servers' major versions write definitions differently; perhaps that is all.
    OtherMajor,
    /// Nothing but parentheses, casts and, between major versions, names of tables before columns.
    Wording,
}

const PRELUDE: &str = "
with members as (select classid, objid from pg_depend where deptype = 'e'),
spaces as (select oid, nspname from pg_namespace n
  where nspname !~ '^pg_' and nspname not in ('information_schema', 'heroku_ext', '_heroku')),
relations as (select c.*, n.nspname, format('%I.%I', n.nspname, c.relname) as shown
  from pg_class c join spaces n on n.oid = c.relnamespace
  where c.relpersistence <> 't'
    and not exists (select from members m where m.classid = 'pg_class'::regclass and m.objid = c.oid)),
types as (select t.*, format('%I.%I', n.nspname, t.typname) as shown
  from pg_type t join spaces n on n.oid = t.typnamespace
  where not exists (select from members m where m.classid = 'pg_type'::regclass and m.objid = t.oid)),
routines as (select p.*, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as shown
  from pg_proc p join spaces n on n.oid = p.pronamespace
  where not exists (select from members m where m.classid = 'pg_proc'::regclass and m.objid = p.oid)
    and not exists (select from pg_depend d
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')) ";

/// Statements giving kind, name, schema and name of the table, definition; and whether it is written back.
const STATEMENTS: [(&str, bool); 15] = [
    // Schemas and extensions.
    (
        "select 'schema', format('%I', nspname), null::text, null::text, '' from spaces s
           where not exists (select from members m where m.classid = 'pg_namespace'::regclass and m.objid = s.oid)
         union all
         select 'extension', extname::text, null, null, extversion from pg_extension where extname <> 'plpgsql'",
        false,
    ),
    // Tables: kind, persistence, row security, partitioning, parents, options.
    (
        "select case relkind when 'f' then 'foreign table' else 'table' end, shown, nspname::text, relname::text,
           concat_ws(' ', relkind, relpersistence,
             case when relrowsecurity then 'row security' end, case when relforcerowsecurity then 'forced' end,
             'replica identity ' || relreplident::text, pg_get_partkeydef(c.oid),
             pg_get_expr(c.relpartbound, c.oid),
             (select 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno)
                from pg_inherits i where i.inhrelid = c.oid),
             (select 'with ' || string_agg(o, ', ' order by o collate \"C\") from unnest(c.reloptions) o),
             (select 'toast with ' || string_agg(o, ', ' order by o collate \"C\")
                from pg_class l, unnest(l.reloptions) o where l.oid = c.reltoastrelid),
             (select 'using ' || a.amname from pg_am a where a.oid = c.relam and a.amname <> 'heap'),
             'of ' || nullif(c.reloftype, 0)::regtype::text,
             (select concat_ws(' ', 'server', quote_ident(s.srvname), {sorted:f.ftoptions})
                from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver where f.ftrelid = c.oid))
         from relations c where relkind in ('r', 'p', 'f')",
        false,
    ),
    // Columns.
    (
        "select 'column', c.shown || '.' || quote_ident(a.attname), c.nspname::text, c.relname::text,
           concat_ws(' ', format_type(a.atttypid, a.atttypmod),
             case when a.attnotnull then 'not null' end,
             case when a.attcollation <> 0 and a.attcollation <> t.typcollation
               then 'collate ' || (select format('%I', k.collname) from pg_collation k where k.oid = a.attcollation) end,
             case a.attidentity when 'a' then 'generated always as identity'
               when 'd' then 'generated by default as identity' end,
             'storage ' || a.attstorage::text,
             'compression ' || nullif(to_jsonb(a) ->> 'attcompression', ''),
             'statistics ' || nullif(to_jsonb(a) ->> 'attstattarget', '-1'),
             (select 'with ' || string_agg(o, ', ' order by o collate \"C\") from unnest(a.attoptions) o
                where o ~ '^n_distinct(_inherited)?='),
             'options ' || {sorted:a.attfdwoptions})
         from relations c join pg_attribute a on a.attrelid = c.oid join pg_type t on t.oid = a.atttypid
         where c.relkind in ('r', 'p', 'f') and a.attnum > 0 and not a.attisdropped",
        false,
    ),
    // Defaults and generation expressions.
    (
        "select 'default', c.shown || '.' || quote_ident(a.attname), c.nspname::text, c.relname::text,
           concat_ws(' ', 'generated ' || nullif(to_jsonb(a) ->> 'attgenerated', ''),
             pg_get_expr(d.adbin, d.adrelid))
         from relations c join pg_attribute a on a.attrelid = c.oid
         join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
         where c.relkind in ('r', 'p', 'f', 'v') and not a.attisdropped",
        true,
    ),
    // Constraints of tables and domains. Those that a partition inherits go with their parent's.
    (
        "select 'constraint', c.shown || '.' || quote_ident(k.conname), c.nspname::text, c.relname::text,
           pg_get_constraintdef(k.oid)
         from pg_constraint k join relations c on c.oid = k.conrelid
         where k.contype in ('c', 'p', 'u', 'x', 'f')
           and coalesce((to_jsonb(k) ->> 'conparentid')::int8, 0) = 0
         union all
         select 'constraint', t.shown || '.' || quote_ident(k.conname), null, null, pg_get_constraintdef(k.oid)
         from pg_constraint k join types t on t.oid = k.contypid where k.contype = 'c'",
        true,
    ),
    // Indexes.
    (
        "select 'index', i.shown, c.nspname::text, c.relname::text,
           concat_ws(' ', pg_get_indexdef(x.indexrelid), case when x.indisreplident then 'replica identity' end,
             case when x.indisclustered then 'clustered' end, case when not x.indisvalid then 'invalid' end,
             (select 'part of ' || p.inhparent::regclass::text from pg_inherits p where p.inhrelid = x.indexrelid),
             (select 'statistics ' || string_agg(a.attnum || ' ' || (to_jsonb(a) ->> 'attstattarget'), ', '
                order by a.attnum) from pg_attribute a
                where a.attrelid = x.indexrelid and to_jsonb(a) ->> 'attstattarget' <> '-1'))
         from pg_index x join relations i on i.oid = x.indexrelid join relations c on c.oid = x.indrelid
         where x.indisvalid or c.relkind = 'p'",
        true,
    ),
    // Views.
    (
        "select case relkind when 'm' then 'materialized view' else 'view' end, shown, nspname::text, relname::text,
           concat_ws(' ', pg_get_viewdef(c.oid), case when relkind = 'm' and not relispopulated then 'not populated' end,
             (select 'with ' || string_agg(o, ', ' order by o collate \"C\") from unnest(c.reloptions) o))
         from relations c where relkind in ('v', 'm')",
        true,
    ),
    // Routines: what is surely comparable …
    (
        "select 'function', p.shown, null::text, null::text,
           concat_ws(' ', pg_get_function_result(p.oid), l.lanname, p.provolatile,
             case when p.proisstrict then 'strict' end, case when p.prosecdef then 'security definer' end,
             'parallel ' || p.proparallel::text, (select string_agg(o, ', ') from unnest(p.proconfig) o), md5({text:p.prosrc}))
         from routines p join pg_language l on l.oid = p.prolang",
        false,
    ),
    // … and their whole text; aggregates by their parts.
    (
        "select 'function text', p.shown, null::text, null::text,
           case when a.aggfnoid is null then md5({text:pg_get_functiondef(p.oid)}) else
             concat_ws(' ', a.aggkind, a.aggtransfn, a.aggfinalfn, format_type(a.aggtranstype, null), a.agginitval,
               'combine', a.aggcombinefn, 'serial', a.aggserialfn, a.aggdeserialfn, 'moving', a.aggmtransfn,
               a.aggminvtransfn, a.aggmfinalfn, a.aggminitval, 'extra', a.aggfinalextra, a.aggmfinalextra,
               'modify', a.aggfinalmodify, 'sort', nullif(a.aggsortop, 0)::regoperator) end
         from routines p left join pg_aggregate a on a.aggfnoid = p.oid
         where a.aggfnoid is not null or coalesce(to_jsonb(p) ->> 'prokind', 'f') <> 'a'",
        true,
    ),
    // Triggers, rules, policies and statistics. A partition's copy of a trigger (internal before 15) goes with its
    // parent's, unless it was switched on or off by itself.
    (
        "select 'trigger', c.shown || '.' || quote_ident(t.tgname), c.nspname::text, c.relname::text,
           pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
         from pg_trigger t join relations c on c.oid = t.tgrelid
         left join pg_trigger p on p.oid = (to_jsonb(t) ->> 'tgparentid')::oid
         where (not t.tgisinternal or (p.oid is not null and t.tgconstraint = 0))
           and (p.oid is null or p.tgenabled <> t.tgenabled)
         union all
         select 'rule', c.shown || '.' || quote_ident(r.rulename), c.nspname, c.relname,
           pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text
         from pg_rewrite r join relations c on c.oid = r.ev_class where r.rulename <> '_RETURN'
         union all
         select 'policy', c.shown || '.' || quote_ident(p.polname), c.nspname, c.relname,
           concat_ws(' ', p.polcmd, case when p.polpermissive then 'permissive' else 'restrictive' end,
             'to ' || (select string_agg(r.rolname, ', ' order by r.rolname) from pg_roles r
               where r.oid = any (p.polroles)),
             'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
         from pg_policy p join relations c on c.oid = p.polrelid
         union all
         select 'statistics', format('%I.%I', n.nspname, s.stxname), c.nspname, c.relname,
           concat_ws(' target ', pg_get_statisticsobjdef(s.oid), nullif(to_jsonb(s) ->> 'stxstattarget', '-1'))
         from pg_statistic_ext s join relations c on c.oid = s.stxrelid join pg_namespace n on n.oid = s.stxnamespace",
        true,
    ),
    // Types.
    (
        "select 'type', t.shown, null::text, null::text,
           case t.typtype
             when 'e' then 'enum ' || (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
               from pg_enum e where e.enumtypid = t.oid)
             when 'c' then 'composite ' || (select string_agg(quote_ident(a.attname) || ' '
                 || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
               from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
             when 'd' then concat_ws(' ', 'domain', format_type(t.typbasetype, t.typtypmod),
               case when t.typnotnull then 'not null' end, 'default ' || pg_get_expr(t.typdefaultbin, 0),
               (select 'collate ' || quote_ident(k.collname) from pg_collation k join pg_type b on b.oid = t.typbasetype
                  where k.oid = t.typcollation and b.typcollation <> k.oid))
             else 'range ' || (select concat_ws(' ', format_type(r.rngsubtype, null), o.opcname,
                 (select 'collate ' || quote_ident(k.collname) from pg_collation k where k.oid = r.rngcollation),
                 'canonical', r.rngcanonical, 'difference', r.rngsubdiff)
               from pg_range r join pg_opclass o on o.oid = r.rngsubopc where r.rngtypid = t.oid) end
         from types t left join pg_class c on c.oid = t.typrelid
         where t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c')",
        false,
    ),
    // Sequences.
    (
        "select 'sequence', c.shown, o.nspname::text, o.relname::text,
           concat_ws(' ', case when c.relpersistence = 'u' then 'unlogged' end, format_type(s.seqtypid, null), 'start', s.seqstart, 'increment', s.seqincrement,
             'from', s.seqmin, 'to', s.seqmax, 'cache', s.seqcache, case when s.seqcycle then 'cycle' end,
             'owned by ' || o.shown || '.' || quote_ident(a.attname))
         from relations c join pg_sequence s on s.seqrelid = c.oid
         left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
           and d.refclassid = 'pg_class'::regclass
         left join relations o on o.oid = d.refobjid
         left join pg_attribute a on a.attrelid = o.oid and a.attnum = d.refobjsubid
         where c.relkind = 'S'",
        false,
    ),
    // Operators and casts, which few have.
    (
        "select 'operator', format('%I.%s(%s,%s)', n.nspname, o.oprname, format_type(nullif(o.oprleft, 0), null),
             format_type(nullif(o.oprright, 0), null)), null::text, null::text,
           concat_ws(' ', o.oprcode, 'commutator', nullif(o.oprcom, 0)::regoperator,
             'negator', nullif(o.oprnegate, 0)::regoperator, 'restrict', o.oprrest, 'join', o.oprjoin,
             case when o.oprcanhash then 'hashes' end, case when o.oprcanmerge then 'merges' end)
         from pg_operator o join spaces n on n.oid = o.oprnamespace
         where not exists (select from members m where m.classid = 'pg_operator'::regclass and m.objid = o.oid)
         union all
         select 'cast', format('%s to %s', format_type(k.castsource, null), format_type(k.casttarget, null)), null, null,
           concat_ws(' ', k.castcontext, k.castmethod, nullif(k.castfunc, 0)::regprocedure::text)
         from pg_cast k where k.oid >= 16384
           and not exists (select from pg_depend d
             where d.classid = 'pg_cast'::regclass and d.objid = k.oid and d.deptype = 'i')
           and not exists (select from members m where m.classid = 'pg_cast'::regclass and m.objid = k.oid)",
        false,
    ),
    // Collations, text search, foreign servers and what else has a name: that they are there, and the little that is
    // comparable.
    (
        "select i.type, i.identity, null::text, null::text, o.definition
         from (
           select 'pg_collation'::regclass::oid as class, k.oid, concat_ws(' ', k.collprovider,
               coalesce(to_jsonb(k) ->> 'colllocale', to_jsonb(k) ->> 'colliculocale', k.collcollate),
               case when not k.collisdeterministic then 'not deterministic' end) as definition
             from pg_collation k
           union all
           select 'pg_ts_config'::regclass, c.oid, concat_ws(' ', p.prsname, (select string_agg(concat_ws(' ',
               m.maptokentype, m.mapseqno, m.mapdict::regdictionary), ', ' order by m.maptokentype, m.mapseqno)
             from pg_ts_config_map m where m.mapcfg = c.oid))
             from pg_ts_config c join pg_ts_parser p on p.oid = c.cfgparser
           union all
           select 'pg_ts_dict'::regclass, d.oid, concat_ws(' ', t.tmplname, d.dictinitoption)
             from pg_ts_dict d join pg_ts_template t on t.oid = d.dicttemplate
           union all
           select 'pg_opclass'::regclass, o.oid, concat_ws(' ', format_type(o.opcintype, null),
               case when o.opcdefault then 'default' end, 'family', f.opfname,
               'storage ' || format_type(nullif(o.opckeytype, 0), null))
             from pg_opclass o join pg_opfamily f on f.oid = o.opcfamily
           union all
           select 'pg_opfamily'::regclass, f.oid, concat_ws(' ',
               (select string_agg(concat_ws(' ', o.amopstrategy, o.amopopr::regoperator, o.amoppurpose), ', '
                  order by o.amopstrategy, o.amopopr::regoperator::text collate \"C\") from pg_amop o where o.amopfamily = f.oid),
               'functions', (select string_agg(concat_ws(' ', p.amprocnum, p.amproc::regprocedure), ', '
                  order by p.amprocnum, p.amproc::regprocedure::text collate \"C\") from pg_amproc p where p.amprocfamily = f.oid))
             from pg_opfamily f
           union all
           select 'pg_conversion'::regclass, oid, concat_ws(' ', pg_encoding_to_char(conforencoding),
               pg_encoding_to_char(contoencoding), conproc, case when condefault then 'default' end) from pg_conversion
           union all
           select 'pg_foreign_data_wrapper'::regclass, w.oid, concat_ws(' ', nullif(w.fdwhandler, 0)::regproc,
               nullif(w.fdwvalidator, 0)::regproc, {sorted:w.fdwoptions}) from pg_foreign_data_wrapper w
           union all
           select 'pg_foreign_server'::regclass, s.oid, concat_ws(' ', w.fdwname, s.srvtype, s.srvversion,
               {sorted:s.srvoptions})
             from pg_foreign_server s join pg_foreign_data_wrapper w on w.oid = s.srvfdw
           union all select 'pg_language'::regclass, oid, '' from pg_language
         ) o, lateral pg_identify_object(o.class, o.oid, 0) i
         where o.oid >= 16384 and coalesce(i.schema, '') !~ '^pg_'
           and coalesce(i.schema, '') not in ('information_schema', 'heroku_ext', '_heroku')
           and not exists (select from members m where m.classid = o.class and m.objid = o.oid)",
        true,
    ),
    // Comments.
    (
        "select 'comment', i.type || ' ' || i.identity, i.schema,
           (select c.relname::text from pg_class c where d.classoid = 'pg_class'::regclass and c.oid = d.objoid),
           d.description
         from pg_description d, lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) i
         where d.objoid >= 16384
           and d.classoid not in ('pg_extension'::regclass, 'pg_event_trigger'::regclass,
             'pg_publication'::regclass, 'pg_subscription'::regclass)
           and not exists (select from pg_index x where d.classoid = 'pg_class'::regclass and x.indexrelid = d.objoid
             and not x.indisvalid)
           and coalesce(i.schema, '') !~ '^pg_'
           and coalesce(i.schema, '') not in ('information_schema', 'heroku_ext', '_heroku')
           and not exists (select from members m where m.classid = d.classoid and m.objid = d.objoid)",
        false,
    ),
];

/// Writes `{text:…}` as bytes that do not depend on the database's encoding, and `{sorted:…}` as an MD5 that does not
/// depend on the order of an array: `pg_dump` sorts the options of foreign servers and tables.
fn written_out(statement: &str, encoding: &str) -> String {
    // What a database without an encoding holds need not be valid in any, and can be converted to none.
    let bytes = if encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" };
    let mut rest = statement;
    let mut out = String::with_capacity(statement.len());
    while let Some((before, after)) = rest.split_once('{') {
        let Some((inside, after)) = after.split_once('}') else { break };
        out.push_str(before);
        if let Some(text) = inside.strip_prefix("text:") {
            out.push_str(&format!("convert_to({text}, '{bytes}')"));
        } else if let Some(array) = inside.strip_prefix("sorted:") {
            out.push_str(&format!(
                "(select md5(convert_to(string_agg(o, E'\\n' order by o collate \"C\"), '{bytes}')) from unnest({array}) o)"
            ));
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// All objects of a side, without those of excluded tables.
pub(super) async fn read(side: &Side, excluded: &Tables) -> Result<BTreeMap<Key, Object>, Fault> {
    let session = side.session();
    let mut objects = BTreeMap::new();
    for (statement, written_back) in STATEMENTS {
        let rows = session
            .query(&written_out(&format!("{PRELUDE} {statement}"), &side.encoding), &[])
            .await
            .map_err(|cause| session.fault("reading the catalogue", cause))?;
        for row in rows {
            let (schema, name): (Option<&str>, Option<&str>) = (row.get(2), row.get(3));
            let table = schema.zip(name);
            if table.is_some_and(|(schema, name)| excluded.contains(schema, name)) {
                continue;
            }
            objects.insert(
                (row.get(0), row.get(1)),
                Object {
                    table: table.map(|(schema, name)| display(schema, name)),
                    definition: row.get::<_, Option<String>>(4).unwrap_or_default(),
                    written_back,
                },
            );
        }
    }
    Ok(objects)
}

/// What differs, in order of kind and name. `tolerated` are extensions that may be missing.
pub(super) fn compare(
    expected: &BTreeMap<Key, Object>,
    actual: &BTreeMap<Key, Object>,
    same_major: bool,
    tolerated: &[String],
) -> Vec<Deviation> {
    let mut deviations = Vec::new();
    for ((kind, name), object) in expected {
        let deviation = |text: String, certainty: Certainty| Deviation {
            text,
            table: object.table.clone(),
            certainty,
        };
        match actual.get(&(kind.clone(), name.clone())) {
            None if kind == "extension" && tolerated.contains(name) => {}
            None => {
                deviations.push(deviation(format!("{kind} `{name}` is missing"), Certainty::Sure))
            }
            Some(found) if found.definition != object.definition => {
                if object.written_back
                    && essence(&found.definition, same_major)
                        == essence(&object.definition, same_major)
                {
                    let text = format!("{kind} `{name}`");
                    deviations.push(deviation(text, Certainty::Wording));
                    continue;
                }
                let text = format!(
                    "{kind} `{name}` differs: `{}` expected, `{}` found",
                    shortened(&object.definition),
                    shortened(&found.definition)
                );
                let certainty = if kind == "extension" {
                    Certainty::Version
                } else if object.written_back && !same_major {
                    Certainty::OtherMajor
                } else {
                    Certainty::Sure
                };
                deviations.push(deviation(text, certainty));
            }
            Some(_) => {}
        }
    }
    for ((kind, name), object) in actual {
        // Providers bring extensions and schemas of their own into every database.
        let theirs = matches!(kind.as_str(), "extension" | "schema");
        if !theirs && !expected.contains_key(&(kind.clone(), name.clone())) {
            deviations.push(Deviation {
                text: format!("{kind} `{name}` is not expected"),
                table: object.table.clone(),
                certainty: Certainty::Sure,
            });
        }
    }
    deviations
}

fn shortened(text: &str) -> String {
    const SHOWN: usize = 160;
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= SHOWN {
        return one_line;
    }
    let mut short: String = one_line.chars().take(SHOWN).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(lines: &[(&str, &str, &str, bool)]) -> BTreeMap<Key, Object> {
        lines
            .iter()
            .map(|(kind, name, definition, written_back)| {
                (
                    ((*kind).to_owned(), (*name).to_owned()),
                    Object {
                        table: None,
                        definition: (*definition).to_owned(),
                        written_back: *written_back,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn deviations_are_told_in_words() {
        let expected = catalogue(&[
            ("extension", "citext", "1.6", false),
            ("extension", "hstore", "1.8", false),
            ("extension", "pgaudit", "", false),
            ("table", "a.t", "r p", false),
            ("view", "a.v", "select 1", true),
            ("view", "a.w", "((t.a AND b) AND c)", true),
        ]);
        let actual = catalogue(&[
            ("extension", "citext", "1.5", false),
            ("extension", "pg_stat_statements", "", false),
            ("index", "a.i", "", true),
            ("table", "a.t", "r u", false),
            ("view", "a.v", "SELECT 1", true),
            ("view", "a.w", "(a AND b AND c)", true),
        ]);
        let found: Vec<(String, Certainty)> =
            compare(&expected, &actual, false, &["pgaudit".to_owned()])
                .into_iter()
                .map(|deviation| (deviation.text, deviation.certainty))
                .collect();
        assert_eq!(
            found,
            [
                (
                    "extension `citext` differs: `1.6` expected, `1.5` found".to_owned(),
                    Certainty::Version
                ),
                ("extension `hstore` is missing".to_owned(), Certainty::Sure),
                ("table `a.t` differs: `r p` expected, `r u` found".to_owned(), Certainty::Sure),
                (
                    "view `a.v` differs: `select 1` expected, `SELECT 1` found".to_owned(),
                    Certainty::OtherMajor
                ),
                ("view `a.w`".to_owned(), Certainty::Wording),
                ("index `a.i` is not expected".to_owned(), Certainty::Sure),
            ]
        );
    }
}
