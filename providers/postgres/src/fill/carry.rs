//! Carrying out the entries of the schema on the target, and what its refusals mean.
//!
//! An error is expected if it costs nothing or the plan has told of it; any other one fails the run. Judging is pure
//! and tested beside it; the rest in `tests/copy.rs` and `tests/restore.rs`.

use std::sync::{Mutex, PoisonError};

use pgferry_engine::fault::Fault;
use tokio_postgres::Error;

use super::script::Entry;
use crate::connect::{Said, Session};

/// Entries in one request: a round trip each would take minutes to a distant target.
const AT_ONCE: usize = 50;
/// Errors told of one section.
const SHOWN: usize = 10;

/// Expected errors so far, for people.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    fn add(&self, warning: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Settings of every session that makes something on a target: those that `pg_dump`'s text counts on, and those with
/// which the target's database or role would have it mean something else. None of them changes a value.
///
/// As the head of `pg_dump`'s scripts and `pg_restore` (`_doSetFixedOutputState`, `_selectTablespace`,
/// `_selectTableAccessMethod`), and besides: `transform_null_equals` rewrites conditions of views and checks;
/// sessions side by side under `serializable` would fail one another; before 12, tables were made with numbers for
/// their rows. `default_toast_compression` stays the target's own, as with `pg_restore`: it is no part of a table.
pub(crate) const SETTINGS: &str =
    "select set_config(name, value, false) from (values
        ('search_path', ''), ('check_function_bodies', 'off'), ('xmloption', 'content'),
        ('client_min_messages', 'warning'), ('row_security', 'off'),
        ('standard_conforming_strings', 'on'), ('escape_string_warning', 'off'), ('array_nulls', 'on'),
        ('transform_null_equals', 'off'), ('default_tablespace', ''),
        ('default_table_access_method', 'heap'), ('default_with_oids', 'off'),
        ('default_transaction_isolation', 'read committed')) as wanted(name, value)
     where exists (select from pg_settings s where s.name = wanted.name)";

/// Carries out `entries` in their order. Goes on after an error, as `pg_restore` does, to tell all of them.
///
/// # Errors
/// The unexpected ones, or the session is lost.
pub(crate) async fn carry_out(
    session: &Session,
    entries: &[Entry],
    warnings: &Warnings,
) -> Result<(), Fault> {
    let mut unexpected = Vec::new();
    for together in entries.chunks(AT_ONCE) {
        let all: Vec<&str> = together.iter().map(|entry| entry.sql.as_str()).collect();
        // One request is one transaction: refused, nothing of it is there.
        if session.batch_execute(&all.join("\n")).await.is_ok() {
            continue;
        }
        for entry in together {
            let Err(cause) = session.batch_execute(&entry.sql).await else { continue };
            if cause.as_db_error().is_none() {
                return Err(session.fault(&format!("creating {entry}"), cause));
            }
            match expected(entry, cause.code().map_or("", |code| code.code())) {
                Some(why) => warnings.add(format!("{entry}: {} ({why})", Said::of(cause))),
                None => unexpected.push(format!("{entry}: {}", Said::of(cause))),
            }
        }
    }
    if unexpected.is_empty() { Ok(()) } else { Err(refused(session, &unexpected)) }
}

/// Carries out one statement of `entry`.
///
/// # Errors
/// Whatever is said against it: rows are there, and an index or key of them must be too.
pub(crate) async fn carry_out_one(
    session: &Session,
    entry: &Entry,
    sql: &str,
) -> Result<(), Fault> {
    session.batch_execute(sql).await.map_err(|cause: Error| {
        if cause.as_db_error().is_none() {
            return session.fault(&format!("creating {entry}"), cause);
        }
        refused(session, &[format!("{entry}: {}", Said::of(cause))])
    })
}

fn refused(session: &Session, errors: &[String]) -> Fault {
    let more = match errors.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    let shown = &errors[..errors.len().min(SHOWN)];
    Fault::failed(format!(
        "database `{}` at {} refuses {} of the source's objects:\n  {}{more}",
        session.location.database,
        session.location.server(),
        errors.len(),
        shown.join("\n  ")
    ))
    .help(remedy(errors))
}

fn remedy(errors: &[String]) -> &'static str {
    const REMEDIES: [(&str, &str); 3] = [
        (
            "permission denied to create extension",
            "install it by `postgres.extensions` or as the provider's administrator, or drop it from the source",
        ),
        (
            "is not available",
            "the target's server lacks that extension: drop it from the source, or move elsewhere",
        ),
        ("No space left", "the target's disk is full: choose a larger plan"),
    ];
    REMEDIES
        .iter()
        .find(|(symptom, _)| errors.iter().any(|error| error.contains(symptom)))
        .map_or("make it possible there, or drop it from the source; then apply again", |it| it.1)
}

/// Why the refusal of `entry` costs nothing, or what the plan said of it. `state` is the SQLSTATE.
fn expected(entry: &Entry, state: &str) -> Option<&'static str> {
    const DENIED: &str = "42501";
    const NO_SUCH_OBJECT: &str = "42704";
    const SCHEMA_EXISTS: &str = "42P06";
    const OBJECT_EXISTS: &str = "42710";
    const UNREACHED: &str = "08001";
    let of = |what: &str| entry.name.starts_with(what);
    match (entry.kind.as_str(), state) {
        ("COMMENT", DENIED) if of("EXTENSION ") => {
            Some("the comment of an extension that the provider owns")
        }
        ("COMMENT", DENIED) if entry.name == "SCHEMA public" => {
            Some("the comment of a schema that the provider owns")
        }
        ("SCHEMA", SCHEMA_EXISTS) => Some("the schema is there already, and used as it is"),
        (
            "FOREIGN DATA WRAPPER" | "SERVER" | "USER MAPPING" | "PROCEDURAL LANGUAGE",
            OBJECT_EXISTS,
        ) => Some("it is there already, and used as it is"),
        ("EVENT TRIGGER", DENIED) => Some("an event trigger, which only a superuser may make"),
        ("COMMENT", NO_SUCH_OBJECT) if of("EVENT TRIGGER ") => {
            Some("an event trigger, which only a superuser may make")
        }
        ("POLICY", NO_SUCH_OBJECT) if entry.sql.contains(" TO ") => {
            Some("its role does not exist on the target, so it allows nobody anything")
        }
        ("COMMENT", NO_SUCH_OBJECT) if of("POLICY ") => Some("its policy was not made"),
        ("OWNER", DENIED) => Some(
            "its owner may not make anything in that schema, so it stays with the role that made it",
        ),
        // Those of what an extension or the system has; all else belongs to the role itself.
        ("ACL", DENIED) => Some("rights on what the role does not own, as the plan told"),
        ("ACL" | "DEFAULT ACL", NO_SUCH_OBJECT) => {
            Some("rights of a role that does not exist on the target")
        }
        ("MATERIALIZED VIEW DATA", UNREACHED) => Some(
            "a foreign server cannot be reached from the target, so the view is there without rows",
        ),
        ("USER MAPPING", NO_SUCH_OBJECT) => Some("its role does not exist on the target"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_nothing_is_expected_and_nothing_else() {
        for (kind, name, sql, state, expect) in [
            ("COMMENT", "EXTENSION tablefunc", "", "42501", true),
            ("COMMENT", "TABLE t", "", "42501", false),
            ("SCHEMA", "app", "", "42P06", true),
            ("SERVER", "s", "", "42710", true),
            ("TABLE", "t", "", "42P07", false),
            ("EVENT TRIGGER", "e", "", "42501", true),
            ("POLICY", "t p", "CREATE POLICY p ON t TO nobody", "42704", true),
            ("POLICY", "t p", "CREATE POLICY p ON t USING (true)", "42704", false),
            ("EXTENSION", "x", "", "42501", false),
            ("ACL", "FUNCTION pg_sleep", "", "42501", true),
            ("DEFAULT ACL", "x", "", "42501", false),
            ("INDEX", "i", "", "23505", false),
            ("OWNER", "TABLE public.t", "", "42501", true),
            ("OWNER", "TABLE public.t", "", "42704", false),
            ("MATERIALIZED VIEW DATA", "m", "", "08001", true),
            ("MATERIALIZED VIEW DATA", "m", "", "22012", false),
        ] {
            let (kind, name, sql) = (kind.into(), name.into(), sql.into());
            let entry = Entry { kind, name, class: 0, oid: 0, sql };
            assert_eq!(expected(&entry, state).is_some(), expect, "{entry} {state}");
        }
    }
}
