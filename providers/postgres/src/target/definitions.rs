//! A digest over how everything of users is defined: what changes without a row.
//!
//! Parse trees, since text would depend on the session's search path. Numbers of relations, so that one that was dropped and made again is another
//! one; not of indexes, which `REINDEX` makes anew. Rights, comments and what `ANALYZE`, `VACUUM` and `CLUSTER` note
//! leave it as it is. Tested in `tests/target.rs`.

use sha2::{Digest, Sha256};
use tokio_postgres::{Client, Error};

use super::inventory::Object;
use crate::facts::USER_RELATIONS;

// Each one text a line, within `user_relations`.
const DEFINITIONS: [&str; 14] = [
    "select concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attisdropped, a.attcollation,
       a.attfdwoptions::text)
     from pg_attribute a where a.attnum > 0 and a.attrelid in (select oid from user_relations)",
    "select concat_ws(' ', r.ev_class, r.rulename, r.ev_enabled, md5(r.ev_action::text), md5(r.ev_qual::text))
     from pg_rewrite r where r.ev_class in (select oid from user_relations)",
    "select concat_ws(' ', u.oid, u.relkind, u.relpersistence, u.relrowsecurity, c.relispopulated,
       c.relforcerowsecurity, c.relreplident, c.reloptions::text)
     from user_relations u join pg_class c on c.oid = u.oid",
    "select concat_ws(' ', i.indrelid, c.relname, i.indkey, i.indclass, i.indisunique, md5(i.indexprs::text), md5(i.indpred::text))
     from pg_index i join pg_class c on c.oid = i.indexrelid where i.indrelid in (select oid from user_relations)",
    "select concat_ws(' ', conname, conrelid, contypid, contype, convalidated, confrelid, conkey::text, confkey::text, md5(conbin::text))
     from pg_constraint where connamespace in (select n.oid from pg_namespace n where n.nspname !~ '^pg_'
       and n.nspname not in ('information_schema', 'heroku_ext', '_heroku'))",
    "select concat_ws(' ', tgname, tgrelid, tgfoid, tgtype, tgenabled, md5(tgargs), md5(tgqual::text)) from pg_trigger
     where not tgisinternal and tgrelid in (select oid from user_relations)",
    "select concat_ws(' ', polname, polrelid, polcmd, polpermissive, polroles::text, md5(polqual::text), md5(polwithcheck::text)) from pg_policy
     where polrelid in (select oid from user_relations)",
    "select concat_ws(' ', adrelid, adnum, md5(adbin::text)) from pg_attrdef where adrelid in (select oid from user_relations)",
    "select concat_ws(' ', inhrelid, inhparent) from pg_inherits where inhrelid in (select oid from user_relations)",
    "select md5((to_jsonb(p) - 'proacl')::text) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
       and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')",
    "select concat_ws(' ', e.enumtypid, e.enumsortorder, e.enumlabel) from pg_enum e
     where not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = e.enumtypid and d.deptype = 'e')",
    "select concat_ws(' ', seqrelid, seqtypid, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle) from pg_sequence
     where seqrelid in (select oid from user_relations)",
    "select concat_ws(' ', ftrelid, ftserver, ftoptions::text) from pg_foreign_table where ftrelid in (select oid from user_relations)",
    "select concat_ws(' ', 'large objects', count(*), sum(oid::int8)) from pg_largeobject_metadata",
];

// As above, of the objects that take part, whose numbers are `$1`.
const OF_OBJECTS: [&str; 10] = [
    "select md5((to_jsonb(s) - 'srvacl')::text) from pg_foreign_server s where s.oid = any($1)",
    "select md5((to_jsonb(w) - 'fdwacl')::text) from pg_foreign_data_wrapper w where w.oid = any($1)",
    // The view shows to a role what it may see.
    "select concat_ws(' ', umid, srvid, umuser, md5(umoptions::text)) from pg_user_mappings where umid = any($1)",
    "select concat_ws(' ', oid, typnotnull, typcollation, typdefault, md5(typdefaultbin::text)) from pg_type where oid = any($1)",
    "select concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped, a.attcollation)
     from pg_attribute a join pg_type t on t.typrelid = a.attrelid where a.attnum > 0 and t.oid = any($1)",
    "select concat_ws(' ', mapcfg, maptokentype, mapseqno, mapdict) from pg_ts_config_map where mapcfg = any($1)",
    "select concat_ws(' ', oid, dicttemplate, dictinitoption) from pg_ts_dict where oid = any($1)",
    "select concat_ws(' ', amopfamily, amoplefttype, amoprighttype, amopstrategy, amopopr) from pg_amop where amopfamily = any($1)",
    "select concat_ws(' ', amprocfamily, amproclefttype, amprocrighttype, amprocnum, amproc) from pg_amproc
     where amprocfamily = any($1)",
    "select concat_ws(' ', prpubid, prrelid) from pg_publication_rel where prpubid = any($1)",
];

/// Reads it. `objects` take part with their names, numbers and owners, `sequences` with their values.
///
/// # Errors
/// A statement failed.
pub(super) async fn digest(
    client: &Client,
    objects: &[Object],
    sequences: &[String],
) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let mut names: Vec<String> =
        objects.iter().map(|object| format!("{object} {:?}\n", object.oids)).collect();
    names.sort();
    names.iter().for_each(|name| digest.update(name));
    for values in crate::sequences::values(client, sequences).await? {
        digest.update(format!("{} {}\n", values.last_value, values.is_called));
    }
    let ours: Vec<u32> = objects.iter().map(|object| object.oids.0).collect();
    let all: Vec<String> = DEFINITIONS
        .iter()
        .chain(&OF_OBJECTS)
        .enumerate()
        .map(|(at, lines)| {
            format!(
                "select {at} as at, coalesce(md5(string_agg(line collate \"C\", ',' order by line collate \"C\")), '')
                 from ({lines}) as lines (line)"
            )
        })
        .collect();
    let statement = format!("with {USER_RELATIONS} {} order by at", all.join(" union all "));
    for row in client.query(&statement, &[&ours]).await? {
        digest.update(format!("{}\n", row.get::<_, &str>(1)));
    }
    Ok(super::hex(digest))
}
