//! What is in a database that is about to be overwritten, and whether it may be.
//!
//! It owns the look at the target (names and a fingerprint) and the judgement over it; it does not know how a restore
//! is done, nor who remembers the fingerprint. Tested against a real server in `tests/`.

mod definitions;
mod former;
pub(crate) mod identity;
pub(crate) mod inventory;
mod rows;

use std::collections::BTreeSet;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use pgferry_engine::reference::Endpoint;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio_postgres::Error;

pub use self::identity::other_database;
pub use self::inventory::Object;
use self::inventory::{Whose, inventory};
pub use self::rows::Rows;
use crate::connect::{Access, Format, Session, connect};
use crate::counters::completed_transactions;
use crate::facts::USER_RELATIONS;
use crate::quoting::display;

/// Of the fingerprints that are made now. Those of before had no version, and are compared by their own rule.
const VERSION: u64 = 2;

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
    /// The fingerprint by the rule of before, where one of those is to be compared with.
    #[serde(default)]
    pub former: Option<Json>,
    /// All that a restore could drop or break.
    #[serde(default)]
    pub inventory: Vec<Object>,
    /// What was there before our first run, by name, if that is known.
    #[serde(default)]
    pub prepared: Option<BTreeSet<String>>,
    /// What appeared since our run and is not of it, by name.
    #[serde(default)]
    pub strangers: Vec<String>,
}

impl Occupancy {
    /// Whether there are no data to lose.
    pub fn is_empty(&self) -> bool {
        self.relation_count == 0 && self.large_objects == 0 && self.others == 0
    }

    /// Whether what is there was left by an attempt that was cut short.
    pub fn is_begun(&self, known: &Known) -> bool {
        known.begun.as_ref().is_some_and(|then| is_same_database(then, &self.fingerprint))
    }

    /// Whether it is what it was when `then` was taken of it.
    fn is_as(&self, then: &Json) -> bool {
        match then.get("version").and_then(Json::as_u64) {
            None => self.former.as_ref().unwrap_or(&self.fingerprint) == then,
            Some(VERSION) => {
                let same = |what: &str| then.get(what) == self.fingerprint.get(what);
                let rows = then.get("rows").filter(|rows| !rows.is_null());
                is_same_database(then, &self.fingerprint)
                    && same("sha256")
                    && rows.is_some()
                    && same("rows")
            }
            // A later pgferry's.
            Some(_) => false,
        }
    }
}

/// What is known of a target from before it is looked at.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Fingerprints that are no reason to ask a person: of what our own runs left there, or found.
    pub accepted: Vec<Json>,
    /// An attempt of ours was cut short there: the fingerprint of what it found.
    pub begun: Option<Json>,
    /// What that attempt was about to make, by [`Object::key`]; empty if that is not known.
    pub brought: Vec<String>,
    /// What this run has put into tables itself, which need not be read to be remembered.
    pub written: Rows,
}

impl Known {
    fn fingerprints(&self) -> impl Iterator<Item = &Json> {
        self.accepted.iter().chain(&self.begun)
    }

    /// What is known of the database with that fingerprint; nothing if it is another one by the same name.
    fn of(&self, here: &Json) -> Self {
        let is_here = |then: &&Json| is_same_database(then, here);
        let accepted: Vec<Json> = self.accepted.iter().filter(is_here).cloned().collect();
        let begun = self.begun.as_ref().filter(is_here).cloned();
        let brought = if begun.is_some() { self.brought.clone() } else { Vec::new() };
        Self { accepted, begun, brought, written: self.written.clone() }
    }

    /// What was there before our first run.
    fn prepared(&self) -> Option<BTreeSet<String>> {
        self.fingerprints().filter_map(|then| names(then, "prepared")).last()
    }

    /// Those of `inventory` that appeared since and are not ours.
    fn strangers(&self, inventory: &[Object], prepared: Option<&BTreeSet<String>>) -> Vec<String> {
        // A state of before does not say what was there; its fingerprint alone decides.
        let Some(prepared) = prepared else { return Vec::new() };
        // It is not known what Heroku brings.
        if self.begun.is_some() && self.brought.is_empty() {
            return Vec::new();
        }
        let ours: BTreeSet<String> =
            self.fingerprints().filter_map(|then| names(then, "objects")).flatten().collect();
        let brought: BTreeSet<&str> = self.brought.iter().map(String::as_str).collect();
        let is_strange = |object: &&Object| {
            let name = object.to_string();
            !prepared.contains(&name)
                && !ours.contains(&name)
                && !brought.contains(object.key.as_str())
        };
        inventory.iter().filter(is_strange).map(Object::to_string).collect()
    }
}

fn names(fingerprint: &Json, what: &str) -> Option<BTreeSet<String>> {
    let names = fingerprint.get(what)?.as_array()?;
    Some(names.iter().filter_map(Json::as_str).map(str::to_owned).collect())
}

/// Whether both were taken of one database, as far as that is known.
fn is_same_database(one: &Json, other: &Json) -> bool {
    let of = |fingerprint: &Json| fingerprint.get("database")?.as_str().map(str::to_owned);
    match (of(one), of(other)) {
        (Some(one), Some(other)) => identity::same(&one, &other),
        _ => true,
    }
}

/// Why the target is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// To find out whether it may be overwritten. Rows are read only if all else is as it was.
    Judge,
    /// To remember what is there.
    Remember,
}

/// Looks at the database of `endpoint`, of which something may be `known`.
///
/// The fingerprint says which database it is, has a digest over all definitions and the values of sequences, and for each
/// table the number of its rows and of the transactions that wrote them, so a committed write changes it at once.
/// `ANALYZE`, `VACUUM` (`FULL` too), `GRANT` and `ALTER DATABASE … SET` leave it as it is, and so does what was rolled
/// back. For this, tables are read once, unless no transaction has ended on the server since. Where the role may not read
/// a table, or the contents of large objects, the server's counters stand in, which lag behind an idle session by up to
/// ten seconds.
///
/// # Errors
/// It cannot be reached or read; nothing was changed, so a retry is safe.
pub async fn occupancy(
    endpoint: &Endpoint,
    cx: &Cx,
    known: &Known,
    look: Look,
) -> Result<Occupancy, Fault> {
    let session = connect(endpoint, Access::ReadOnly, Format::Own).await?;
    tokio::select! {
        found = read((cx, endpoint, &session), known, look) => found,
        () = cx.world.cancel.cancelled() => Err(crate::interrupted()),
    }
}

const RELATIONS: &str = "
select c.nspname::text, c.relname::text, c.relkind::text, coalesce(s.n_live_tup, 0)
from user_relations c left join pg_stat_all_tables s on s.relid = c.oid order by c.oid";

const OTHERS: &str = "
select (select count(*) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
           and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
           and p.prorettype <> 'pg_catalog.event_trigger'::regtype)
     + (select count(*) from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
         where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'heroku_ext', '_heroku')
           and (t.typtype in ('e', 'd', 'r') or (t.typtype = 'c' and c.relkind = 'c'))
           and not exists (select from pg_depend e where e.classid = 'pg_type'::regclass and e.objid = t.oid and e.deptype = 'e')),
       (select count(*) from pg_largeobject_metadata)";

async fn read(
    (cx, endpoint, session): (&Cx, &Endpoint, &Session),
    known: &Known,
    look: Look,
) -> Result<Occupancy, Fault> {
    let fault = |cause| session.fault("looking at what is there", cause);
    // Names of functions are printed as the path has it, and users set paths.
    session.batch_execute("set search_path = pg_catalog").await.map_err(fault)?;
    let database = identity::read(session).await.map_err(fault)?;
    let known = known.of(&json!({ "database": database }));
    let prepared = known.prepared();
    let mut found = survey(session, prepared.as_ref()).await.map_err(fault)?;
    found.strangers = known.strangers(&found.inventory, prepared.as_ref());
    let fingerprint = &mut found.fingerprint;
    fingerprint["database"] = json!(database);
    let snapshot = completed_transactions(session).await.map_err(fault)?;
    let alike = |then: &&Json| then.get("sha256") == fingerprint.get("sha256");
    let alike: Vec<&Json> = known.accepted.iter().filter(alike).collect();
    // Then no transaction has ended in the whole cluster, this database included.
    let quiet = alike.iter().find(|then| {
        then.get("snapshot").and_then(Json::as_str) == Some(&snapshot)
            && then.get("rows").is_some_and(|rows| !rows.is_null())
    });
    let rows: Option<Rows> = match (quiet, look) {
        (Some(then), _) => then.get("rows").and_then(|rows| Rows::deserialize(rows).ok()),
        (None, Look::Judge) if alike.is_empty() => None,
        (None, _) => Some(rows::read(cx, endpoint, session, &known.written).await?),
    };
    fingerprint["rows"] = json!(rows);
    fingerprint["snapshot"] = json!(snapshot);
    fingerprint["prepared"] = json!(prepared);
    if known.accepted.iter().any(|then| then.get("version").is_none()) {
        found.former = Some(former::fingerprint(session).await.map_err(fault)?);
    }
    found.prepared = prepared;
    Ok(found)
}

/// All but the rows.
async fn survey(
    session: &Session,
    prepared: Option<&BTreeSet<String>>,
) -> Result<Occupancy, Error> {
    let inventory = inventory(session, session.version_number, Whose::Droppable).await?;
    let rows = session.query(&format!("with {USER_RELATIONS} {RELATIONS}"), &[]).await?;
    let (mut relations, mut sequences, mut live) = (Vec::new(), Vec::new(), 0_i64);
    for row in &rows {
        let (schema, name, kind): (&str, &str, &str) = (row.get(0), row.get(1), row.get(2));
        live += row.get::<_, i64>(3);
        if kind == "S" {
            sequences.push(crate::sequences::from_clause(schema, name));
        } else {
            relations.push(display(schema, name));
        }
    }
    relations.sort();
    relations.truncate(100);
    let counted = session.query_one(OTHERS, &[]).await?;
    // What users prepared may be changed by them.
    let was_there =
        |object: &Object| prepared.is_some_and(|prepared| prepared.contains(&object.to_string()));
    let later: Vec<Object> =
        inventory.iter().filter(|object| !was_there(object)).cloned().collect();
    let sha256 = definitions::digest(session, &later, &sequences).await?;
    let objects: Vec<String> = later.iter().map(Object::to_string).collect();
    Ok(Occupancy {
        relations,
        relation_count: rows.len() as u64,
        large_objects: counted.get::<_, i64>(1).unsigned_abs(),
        others: counted.get::<_, i64>(0).unsigned_abs(),
        rows: live.unsigned_abs(),
        fingerprint: json!({ "version": VERSION, "sha256": sha256, "objects": objects }),
        former: None,
        inventory,
        prepared: None,
        strangers: Vec::new(),
    })
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a target is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptying {
    /// By us: what is not ours stays.
    Ours,
    /// By the provider, which drops everything but extensions.
    Everything,
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
    emptying: Emptying,
    target: (&str, &[String]),
    confirmed: &[(String, String)],
) -> Option<Finding> {
    let (address, names) = target;
    let said = confirmed.iter().any(|(of, name)| of == address && names.contains(name));
    if said {
        return None;
    }
    let strange = occupancy.strangers.as_slice();
    let beside: Vec<String> = match emptying {
        Emptying::Ours => Vec::new(),
        Emptying::Everything => occupancy.inventory.iter().map(Object::to_string).collect(),
    };
    let is_empty = occupancy.is_empty() && beside.is_empty();
    let is_ours = || ours || accepted.iter().any(|then| occupancy.is_as(then));
    if strange.is_empty() && (is_empty || is_ours()) {
        return None;
    }
    let name = names.first().map_or("NAME", String::as_str);
    let wrong =
        confirmed.iter().find(|(of, _)| of == address).map_or_else(String::new, |(_, said)| {
            format!("; `--confirm {address}={said}` does not name it")
        });
    let since = if accepted.is_empty() {
        String::new()
    } else {
        format!(" and was written to since our restore{}", written(occupancy, accepted))
    };
    let message = if !strange.is_empty() {
        format!(
            "`{address}` holds what is not ours and was not there before our first run: {}; another run would delete it{wrong}",
            listed(strange)
        )
    } else if occupancy.is_empty() {
        format!(
            "`{address}` is prepared{since}: it holds {}, and a restore by its provider would delete it all{wrong}",
            listed(&beside)
        )
    } else {
        format!(
            "`{address}` is not empty{since}: it holds {}, and a restore would delete it all{wrong}",
            contents(occupancy)
        )
    };
    Some(Finding::error("PGF1201", message).help(format!(
        "look at what is there; if it may be lost, say so for this run: --confirm {address}={name}"
    )))
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// The tables whose rows are not those of the last accepted fingerprint with the same definitions.
fn written(occupancy: &Occupancy, accepted: &[Json]) -> String {
    let now = occupancy.fingerprint.get("rows").and_then(Json::as_object);
    let then = accepted.iter().filter_map(|then| then.get("rows")?.as_object()).next_back();
    let (Some(now), Some(then)) = (now, then) else { return String::new() };
    let tables = now.iter().filter(|(name, rows)| then.get(*name) != Some(*rows));
    let tables: Vec<String> = tables.map(|(name, _)| name.clone()).collect();
    if tables.is_empty() { String::new() } else { format!(" ({})", listed(&tables)) }
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
            former: None,
            inventory: Vec::new(),
            prepared: None,
            strangers: Vec::new(),
        }
    }

    fn judge(remembered: Option<Json>, confirmed: &[(&str, &str)]) -> Option<String> {
        let confirmed: Vec<(String, String)> =
            confirmed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let names = ["pg-1".to_owned(), "app".to_owned()];
        judge_occupancy(
            &full(),
            remembered.as_slice(),
            false,
            Emptying::Ours,
            ("target", &names),
            &confirmed,
        )
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
        let names = ["x".to_owned()];
        let judge = |found: &Occupancy, emptying| {
            judge_occupancy(found, &[], false, emptying, ("target", &names), &[])
                .map(|finding| finding.message)
        };
        assert_eq!(judge(&empty, Emptying::Ours), None);
        assert_eq!(judge(&empty, Emptying::Everything), None);
        let server: Object =
            serde_json::from_value(json!({ "kind": "server", "identity": "s", "key": "server s" }))
                .expect("an object");
        let prepared = Occupancy { inventory: vec![server], ..empty };
        assert_eq!(judge(&prepared, Emptying::Ours), None);
        assert_eq!(
            judge(&prepared, Emptying::Everything).expect("refused"),
            "`target` is prepared: it holds `server s`, and a restore by its provider would delete it all"
        );
    }
}
