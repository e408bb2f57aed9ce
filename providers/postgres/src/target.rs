//! What is in a database that is about to be overwritten, and whether it may be.
//!
//! It owns the look at the target (names and a fingerprint) and the judgement over it; it does not know how a restore
//! is done, nor who remembers the fingerprint. Tested against a real server in `tests/`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::reference::Endpoint;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::connect::{Access, Format, Session, connect};
use crate::facts::USER_RELATIONS;
use crate::quoting::display;

/// Of users, not of the system, extensions or the provider.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Occupancy {
    /// Tables, views and other relations without sequences, by name: `public.accounts`. The first hundred.
    pub relations: Vec<String>,
    /// How many there are in all, sequences included.
    pub relation_count: u64,
    pub large_objects: u64,
    /// Functions, procedures and types without a table.
    #[serde(default)]
    pub others: u64,
    /// An upper bound of the rows, as the server's counters have it.
    pub rows: u64,
    /// Changes whenever relations or rows do, see [`occupancy`].
    pub fingerprint: Json,
}

impl Occupancy {
    /// Whether there is nothing to lose.
    pub fn is_empty(&self) -> bool {
        self.relation_count == 0 && self.large_objects == 0 && self.others == 0
    }
}

const RELATIONS: &str = "
select c.oid::int8, c.nspname::text, c.relname::text, c.relkind::text,
       coalesce(pg_relation_filenode(c.oid), 0)::int8,
       coalesce(s.n_tup_ins, 0), coalesce(s.n_tup_upd, 0), coalesce(s.n_tup_del, 0),
       coalesce(s.n_live_tup, 0)
from user_relations c left join pg_stat_all_tables s on s.relid = c.oid
order by c.oid";

const ROUTINES: &str = "
select coalesce(md5(string_agg(p.oid || ' ' || p.proname || ' ' || md5(p.prosrc), ',' order by p.oid)), ''), count(*)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
  and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
  and p.prorettype <> 'pg_catalog.event_trigger'::regtype";

// Enums, domains, ranges and composite types; labels of enums count, since one more of them is no new type.
const TYPES: &str = "
select coalesce(md5(string_agg(t.oid || ' ' || t.typname || ' ' || coalesce((select string_agg(e.enumlabel, ',' order by e.oid)
         from pg_enum e where e.enumtypid = t.oid), ''), ',' order by t.oid)), ''), count(*)
from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
  and (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
  and not exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')";

// Columns and the queries of views: what changes without a new file or a counter. Parse trees, since text would depend on
// the session's search path.
const SHAPES: &str = "
select coalesce(md5(string_agg(concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull,
         a.attisdropped), ',' order by a.attrelid, a.attnum)), ''),
       (select coalesce(md5(string_agg(r.ev_class || ' ' || md5(r.ev_action::text), ',' order by r.oid)), '')
        from pg_rewrite r where r.ev_class in (select oid from user_relations))
from pg_attribute a where a.attnum > 0 and a.attrelid in (select oid from user_relations)";

const LARGE_OBJECTS: &str = "
select count(*), coalesce(sum(m.oid::int8), 0)::text,
       (select coalesce(max(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0) from pg_stat_all_tables s
         where s.schemaname = 'pg_catalog' and s.relname = 'pg_largeobject')
from pg_largeobject_metadata m";

/// Looks at the database of `endpoint`.
///
/// The fingerprint is a digest over every relation (number, name, file, rows ever inserted, updated and deleted),
/// their columns and queries, the values of sequences, the routines, types and large objects. `ANALYZE`, `VACUUM`, `GRANT` and
/// `ALTER DATABASE … SET` leave it as it is. Rows written by a session that is still connected appear in the server's
/// counters up to a second after its commit; those of a session that has ended are there at once. A crash of the
/// server resets the counters, which changes the fingerprint: it errs on the side of asking a person.
///
/// # Errors
/// It cannot be reached or read; nothing was changed, so a retry is safe.
pub async fn occupancy(endpoint: &Endpoint, cx: &Cx) -> Result<Occupancy, Fault> {
    let session = connect(endpoint, Access::ReadOnly, Format::Own).await?;
    let looking = read(&session);
    tokio::select! {
        found = looking => found.map_err(|cause| session.fault("looking at what is there", cause)),
        () = cx.world.cancel.cancelled() => Err(crate::interrupted()),
    }
}

async fn read(session: &Session) -> Result<Occupancy, tokio_postgres::Error> {
    let rows = session.query(&format!("with {USER_RELATIONS} {RELATIONS}"), &[]).await?;
    let mut digest = Sha256::new();
    let (mut relations, mut sequences, mut live) = (Vec::new(), Vec::new(), 0_i64);
    for row in &rows {
        let (schema, name, kind): (&str, &str, &str) = (row.get(1), row.get(2), row.get(3));
        let numbers: Vec<String> =
            [0, 4, 5, 6, 7].iter().map(|at| row.get::<_, i64>(*at).to_string()).collect();
        digest.update(format!("{schema}\0{name}\0{kind}\0{}\n", numbers.join(" ")));
        live += row.get::<_, i64>(8);
        if kind == "S" {
            sequences.push(crate::sequences::from_clause(schema, name));
        } else {
            relations.push(display(schema, name));
        }
    }
    for values in crate::sequences::values(session, &sequences).await? {
        digest.update(format!("{} {}\n", values.last_value, values.is_called));
    }
    let mut others = 0;
    for statement in [ROUTINES, TYPES] {
        let row = session.query_one(statement, &[]).await?;
        digest.update(format!("{}\n", row.get::<_, &str>(0)));
        others += row.get::<_, i64>(1).unsigned_abs();
    }
    let shapes = session.query_one(&format!("with {USER_RELATIONS} {SHAPES}"), &[]).await?;
    digest.update(format!("{} {}\n", shapes.get::<_, &str>(0), shapes.get::<_, &str>(1)));
    let objects = session.query_one(LARGE_OBJECTS, &[]).await?;
    let (count, sum, writes): (i64, String, i64) = (objects.get(0), objects.get(1), objects.get(2));
    digest.update(format!("{count} {sum} {writes}\n"));
    relations.sort();
    relations.truncate(100);
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Occupancy {
        relations,
        relation_count: rows.len() as u64,
        large_objects: count.unsigned_abs(),
        others,
        rows: live.unsigned_abs(),
        fingerprint: json!({ "sha256": hex }),
    })
}

/// Why the target may not be overwritten, if so: it is not empty, its fingerprint is none of `accepted` (what our own
/// runs found or left there), and no person said so today.
///
/// `ours`: what is there came from an attempt of ours that was cut short. `target` is the address to confirm and the
/// names that count as its name (add-on, app, database); `confirmed` are the `--confirm ADDRESS=NAME` of this run.
pub fn judge_occupancy(
    occupancy: &Occupancy,
    accepted: &[Json],
    ours: bool,
    target: (&str, &[String]),
    confirmed: &[(String, String)],
) -> Option<Finding> {
    let (address, names) = target;
    let said = confirmed.iter().any(|(of, name)| of == address && names.contains(name));
    if occupancy.is_empty() || ours || said || accepted.contains(&occupancy.fingerprint) {
        return None;
    }
    let name = names.first().map_or("NAME", String::as_str);
    let wrong =
        confirmed.iter().find(|(of, _)| of == address).map_or_else(String::new, |(_, said)| {
            format!("; `--confirm {address}={said}` does not name it")
        });
    let since = if !accepted.is_empty() { " and was written to since our restore" } else { "" };
    Some(
        Finding::error(
            "PGF1201",
            format!(
                "`{address}` is not empty{since}: it holds {}, and a restore would delete it all{wrong}",
                contents(occupancy)
            ),
        )
        .help(format!(
            "look at what is there; if it may be lost, say so for this run: --confirm {address}={name}"
        )),
    )
}

fn contents(occupancy: &Occupancy) -> String {
    const SHOWN: usize = 5;
    let mut named: Vec<String> =
        occupancy.relations.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = occupancy.relation_count.saturating_sub(named.len() as u64);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    if occupancy.large_objects > 0 {
        named.push(format!("{} large objects", occupancy.large_objects));
    }
    if occupancy.others > 0 && occupancy.relation_count == 0 {
        named.push(format!("{} functions and types", occupancy.others));
    }
    let rows = if occupancy.rows > 0 {
        format!(" (about {} rows)", occupancy.rows)
    } else {
        String::new()
    };
    format!("{}{rows}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Occupancy {
        Occupancy {
            relations: (1..=7).map(|n| format!("public.t{n}")).collect(),
            relation_count: 9,
            large_objects: 2,
            others: 0,
            rows: 40,
            fingerprint: json!({ "sha256": "aa" }),
        }
    }

    fn judge(remembered: Option<Json>, confirmed: &[(&str, &str)]) -> Option<String> {
        let confirmed: Vec<(String, String)> =
            confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let names = ["pg-1".to_owned(), "app".to_owned()];
        judge_occupancy(&full(), remembered.as_slice(), false, ("target", &names), &confirmed)
            .map(|finding| finding.message)
    }

    #[test]
    fn a_full_target_needs_our_mark_or_a_person() {
        assert_eq!(
            judge(None, &[]).expect("refused"),
            "`target` is not empty: it holds `public.t1`, `public.t2`, `public.t3`, `public.t4`, `public.t5`, \
             4 more, 2 large objects (about 40 rows), and a restore would delete it all"
        );
        assert_eq!(judge(Some(json!({ "sha256": "aa" })), &[]), None);
        assert!(judge(Some(json!({ "sha256": "bb" })), &[]).is_some());
        assert_eq!(judge(None, &[("target", "app")]), None);
        assert!(judge(None, &[("target", "wrong")]).is_some());
        assert!(judge(None, &[("other", "app")]).is_some());
    }

    #[test]
    fn an_empty_target_is_fine() {
        let empty = Occupancy { relations: vec![], relation_count: 0, large_objects: 0, ..full() };
        assert_eq!(judge_occupancy(&empty, &[], false, ("target", &["x".to_owned()]), &[]), None);
    }
}
