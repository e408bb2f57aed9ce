//! Every object of both databases, as `pg_dump` writes it: what it would not write is no difference, what it would is.
//!
//! One program reads both sides, each in the snapshot of its side. Objects are matched by class and name and compared as
//! text; where texts differ, the source's expressions are compared in the target's words. Tested in `tests/catalogue.rs`
//! and `tests/verification.rs`.

mod differ;
mod extensions;
mod large_objects;
mod listing;
mod reword;
mod rights;
mod scan;
mod unwritten;

use std::collections::BTreeMap;

use pgferry_archive::Toc;
use pgferry_engine::cx::Cx;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::finding::Finding;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use self::listing::{Key, Listing, Object, listing};
use self::reword::{Doubt, reworded};
use self::rights::{Rights, Uncompared, known_as, statements};
use super::side::Side;
use crate::connect::{Access, Format, connect};
use crate::dump::hold::{LOCK_TIMEOUT, refused_to_program};
use crate::dump::locks::{Counted, Locks, Room, Work};
use crate::dump::process::{KEEPALIVES, launch};
use crate::programs::{self, Misfit, Program};
use crate::quoting::{Tables, display};

/// Values in definitions are written alike on both sides, whatever their databases have set. `pg_dump` itself sets the style
/// of dates, intervals and floats.
const SETTINGS: &str = "options='-c standard_conforming_strings=on -c timezone=UTC -c bytea_output=hex -c xmlbinary=base64 \
    -c lc_monetary=C -c quote_all_identifiers=off'";

/// What there is to say of the objects.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) equal: usize,
    pub(super) differences: Vec<Deviation>,
    pub(super) versions: Vec<String>,
    /// Objects that both servers write differently, and that mean the same.
    pub(super) reworded: usize,
    /// What was not to come along, by kind.
    pub(super) uncompared: Vec<String>,
}

/// A difference in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Deviation {
    pub(super) text: String,
    /// As displayed.
    pub(super) table: Option<String>,
}

impl Outcome {
    /// A difference of what belongs to no table.
    fn differ(&mut self, text: String) {
        self.differences.push(Deviation { text, table: None });
    }
}

/// What is compared.
pub(super) struct Comparison<'a> {
    pub(super) ends: (&'a Endpoint, &'a Endpoint),
    pub(super) sides: (&'a Side, &'a Side),
    pub(super) excluded: &'a Tables,
    pub(super) dump: Option<&'a Remembered>,
    /// Whether the contents of large objects are compared, which finds those that one side alone has.
    pub(super) contents: bool,
}

impl Comparison<'_> {
    /// Compares all objects but the excluded tables and what is of them.
    ///
    /// # Errors
    /// No `pg_dump` here reads both servers, or it failed on one; a statement failed.
    pub(super) async fn run(&self, cx: &Cx) -> Result<Outcome, Fault> {
        let (expected, actual) = self.sides;
        let program = self.program(cx).await?;
        let (blind, other_blind) = futures_util::try_join!(
            unreadable(expected, self.excluded),
            unreadable(actual, self.excluded)
        )?;
        let hidden: Vec<(String, String)> = blind.iter().chain(&other_blind).cloned().collect();
        let (ours, theirs, extensions) = futures_util::try_join!(
            self.contents(cx, &program, self.ends.0, expected, &hidden),
            self.contents(cx, &program, self.ends.1, actual, &hidden),
            extensions::compare(cx, expected, actual)
        )?;
        let rights = Rights::of(cx, self.ends.1, self.dump, actual).await?;
        let ours = listing(&ours, &extensions.moved);
        let theirs = listing(&theirs, &Default::default());
        let mut uncompared = Uncompared::default();
        let mut outcome = self.compared(&ours, &theirs, &rights, &mut uncompared).await?;
        let apart = !self.contents;
        large_objects::compare(self.sides, apart, &rights, &mut uncompared, &mut outcome).await?;
        unwritten::compare(self.sides, self.excluded, &mut outcome).await?;
        outcome.uncompared = uncompared.listed();
        for (side, tables) in [(expected, &blind), (actual, &other_blind)] {
            for (schema, name) in tables {
                outcome.differences.push(Deviation {
                    text: format!(
                        "`{}`: its definition was not compared, for this role may not read it on `{}`",
                        display(schema, name),
                        side.name
                    ),
                    table: None,
                });
            }
        }
        outcome.equal += extensions.equal;
        extensions.differences.into_iter().for_each(|text| outcome.differ(text));
        outcome.versions = extensions.versions;
        Ok(outcome)
    }

    async fn program(&self, cx: &Cx) -> Result<Program, Fault> {
        let (expected, actual) = self.sides;
        let newest = expected.major().max(actual.major()).unsigned_abs();
        let found = programs::find(cx, "pg_dump").await;
        programs::choose(&found, newest, None).cloned().map_err(|misfit| {
            let (why, help) = without_program(&misfit, newest);
            Fault::new(Class::Rejected, "comparing the objects of both databases")
                .because(why)
                .help(help)
        })
    }

    async fn contents(
        &self,
        cx: &Cx,
        program: &Program,
        end: &Endpoint,
        side: &Side,
        hidden: &[(String, String)],
    ) -> Result<Toc, Fault> {
        let mut arguments = [
            "-Fc",
            "--schema-only",
            "--compress=0",
            "--no-publications",
            "--no-subscriptions",
            "--no-password",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.push(format!("--dbname={KEEPALIVES} {SETTINGS}"));
        arguments.push(format!("--lock-wait-timeout={LOCK_TIMEOUT}"));
        arguments.push(format!("--snapshot={}", side.snapshot));
        // Of a database without an encoding, nobody knows how to convert what is in it.
        if side.encoding != "SQL_ASCII" {
            arguments.push("--encoding=UTF8".to_owned());
        }
        let hidden = Tables::named(hidden);
        let patterns = self.excluded.patterns().chain(hidden.patterns());
        arguments.extend(patterns.map(|name| format!("--exclude-table={name}")));
        let mut process = launch(cx, program, end, arguments)?;
        let read = async {
            let toc = process.contents().await?;
            process.end().await?;
            Ok::<Toc, Fault>(toc)
        };
        match read.await {
            Ok(toc) => Ok(toc),
            Err(fault) => {
                let fault = Fault {
                    message: format!("comparing the objects of `{}`: {}", side.name, fault.message),
                    ..fault
                };
                Err(refused_to_program(end, fault).await)
            }
        }
    }

    async fn compared(
        &self,
        ours: &Listing,
        theirs: &Listing,
        rights: &Rights,
        uncompared: &mut Uncompared,
    ) -> Result<Outcome, Fault> {
        let mut outcome = Outcome::default();
        let mut tell = |object: &Object, text: String| {
            let table = object.table.as_ref().map(|(schema, name)| display(schema, name));
            outcome.differences.push(Deviation { text, table });
        };
        let mut doubts: Vec<(&Key, Object, &Object)> = Vec::new();
        let mut equal = 0;
        for (key, object) in ours {
            let found = theirs.get(key);
            let now = found.map(|found| found.owner.as_str());
            let Some(text) = rights.arrives(key, object, now, uncompared) else { continue };
            let Some(found) = found else {
                // Its entry says nothing but that its owner is not the usual one.
                let missing = match key.class == "SCHEMA" && key.is_of_public() {
                    true => format!("{}: owner `{}` expected", object.shown, object.owner),
                    false => format!("{} is missing", object.shown),
                };
                tell(object, missing);
                continue;
            };
            if object.owner != found.owner && !object.owner.is_empty() {
                if rights.owner_carried(key, &object.owner) {
                    tell(
                        object,
                        format!(
                            "{}: owner `{}` expected, `{}` found",
                            object.shown, object.owner, found.owner
                        ),
                    );
                } else {
                    rights.owner_left(&object.owner, &object.shown, uncompared);
                }
            }
            let is_acl = matches!(key.class.as_str(), "ACL" | "DEFAULT ACL");
            if text == found.text || (is_acl && statements(&text) == statements(&found.text)) {
                equal += 1;
            } else {
                doubts.push((key, Object { text, ..object.clone() }, found));
            }
        }
        let source = ours.keys().map(known_as).collect();
        for (key, object) in theirs {
            if !ours.contains_key(key) && !rights.of_target(key, object, &source) {
                tell(object, format!("{} is not expected", object.shown));
            }
        }
        let words = self.in_words_of_target(&doubts).await?;
        for (key, object, found) in &doubts {
            let said = words.get(*key);
            if let Some(Ok(text)) = said
                && *text == found.text
            {
                outcome.reworded += 1;
                continue;
            }
            let text = match said {
                Some(Ok(text)) => text,
                _ => &object.text,
            };
            let refused = match said {
                Some(Err(said)) => format!(
                    "; made once more on the target to compare it: {said}; both may mean the same: compare them by hand"
                ),
                _ => String::new(),
            };
            let table = object.table.as_ref().map(|(schema, name)| display(schema, name));
            for difference in differ::differing(&key.class, text, &found.text) {
                let text = format!("{} differs: {difference}{refused}", object.shown);
                outcome.differences.push(Deviation { text, table: table.clone() });
            }
        }
        outcome.equal = equal;
        Ok(outcome)
    }

    async fn in_words_of_target(
        &self,
        doubts: &[(&Key, Object, &Object)],
    ) -> Result<BTreeMap<Key, Result<String, String>>, Fault> {
        if doubts.is_empty() {
            return Ok(BTreeMap::new());
        }
        let format = Format::Canonical { float_digits: 3 };
        let target = connect(self.ends.1, Access::ReadWrite, format).await?;
        let doubts: Vec<Doubt<'_>> =
            doubts.iter().map(|(key, source, _)| Doubt { key, source }).collect();
        reworded(self.sides.0, &target, &doubts).await
    }
}

/// Whether a `pg_dump` here reads both servers; `None` while one of them is not known.
pub(super) async fn inspect(cx: &Cx, want: &Tree) -> Result<Option<Json>, Fault> {
    if want.get("objects") == Some(&Tree::Bool(false)) {
        return Ok(Some(Json::Null));
    }
    let end = |field: &str| crate::dump::endpoint(want.get(field));
    let (Some(expected), Some(actual)) = (end("expected"), end("actual")) else { return Ok(None) };
    let both = futures_util::try_join!(
        connect(&expected, Access::ReadOnly, Format::Own),
        connect(&actual, Access::ReadOnly, Format::Own)
    );
    // Who reads or fills them says so better, if one of them cannot be reached.
    let Ok((one, other)) = both else { return Ok(Some(Json::Null)) };
    let newest = one.major().max(other.major());
    let found = programs::find(cx, "pg_dump").await;
    let missing = programs::choose(&found, newest, None).err();
    // The target has as many once it is filled.
    let counted = Counted::read(&one).await?;
    let (room, other_room) = futures_util::try_join!(Room::read(&one), Room::read(&other))?;
    let locks = |end: &Endpoint, room| {
        (end.address.to_string(), Locks { work: Work::Proof, counted, room })
    };
    let seen = Seen {
        missing: missing.map(|misfit| without_program(&misfit, newest)),
        locks: vec![locks(&expected, room), locks(&actual, other_room)],
    };
    serde_json::to_value(seen)
        .map(Some)
        .map_err(|cause| Fault::bug("facts that do not serialise").because(cause))
}

/// Facts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// Why no `pg_dump` reads both, and what to do.
    missing: Option<(String, String)>,
    /// Of both ends, by address.
    locks: Vec<(String, Locks)>,
}

/// What [`inspect`] has found, as findings.
pub(super) fn judge(facts: &Json) -> Vec<Finding> {
    let Ok(seen) = serde_json::from_value::<Seen>(facts.clone()) else { return Vec::new() };
    let missing = seen.missing.map(|(why, help)| {
        let message = format!("the objects of both databases cannot be compared: {why}");
        Finding::error("PGF1140", message).help(help)
    });
    let locks = seen.locks.into_iter().filter_map(|(end, locks)| locks.finding(&end));
    missing.into_iter().chain(locks).collect()
}

/// Why none fits servers of which the newer is of version `newest`, and what to do.
fn without_program(misfit: &Misfit, newest: u32) -> (String, String) {
    let why = match misfit {
        Misfit::None => "there is no `pg_dump` on this machine".to_owned(),
        Misfit::TooOld { newest: found } | Misfit::Unreadable { oldest: found } => format!(
            "the newest `pg_dump` on this machine is of version {found}, and a server is of version {newest}"
        ),
    };
    let help = format!(
        "install the client programs of PostgreSQL {newest}, name their folder in PGFERRY_PG_BIN, or leave objects out: `objects: false`"
    );
    (why, help)
}

/// Tables that `pg_dump` must lock to read their definition, and that this role may not.
async fn unreadable(side: &Side, excluded: &Tables) -> Result<Vec<(String, String)>, Fault> {
    let session = side.session();
    let statement = format!(
        "with {} select nspname::text, relname::text from user_relations
         where relkind in ('r', 'p') and not (has_table_privilege(oid, 'select')
           and has_schema_privilege(relnamespace, 'usage'))
         order by 1, 2",
        crate::facts::USER_RELATIONS.replace("n.nspname\n", "n.nspname, c.relnamespace\n")
    );
    let rows = session
        .query(&statement, &[])
        .await
        .map_err(|cause| session.fault("looking for tables that may not be read", cause))?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .filter(|(schema, name): &(String, String)| !excluded.contains(schema, name))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_by_the_plan() {
        let missing = Some(without_program(&Misfit::TooOld { newest: 15 }, 17));
        let facts = serde_json::to_value(Seen { missing, locks: Vec::new() }).expect("facts");
        let found = &judge(&facts)[0];
        assert_eq!(found.code, "PGF1140");
        assert_eq!(
            found.message,
            "the objects of both databases cannot be compared: the newest `pg_dump` on this machine is of version 15, and \
             a server is of version 17"
        );
        assert_eq!(judge(&Json::Null), []);
    }
}
