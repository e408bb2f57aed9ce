//! The source's schema: `pg_dump` writes it, under the snapshot that the rows are read in.
//!
//! It comes as two scripts, before and after the rows, and is held in memory: its size is that of the schema. It knows
//! nothing of the target. Tested in `tests/copy.rs`.

use std::ops::Range;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use crate::dump::grants::fitting;
use crate::dump::hold::LOCK_TIMEOUT;
use crate::dump::process::{KEEPALIVES, launch};
use crate::dump::restorer::Restorer;
use crate::fill::attver::stripped;
use crate::fill::ending::{Ending, owner_of};
use crate::fill::outside::is_outside;
use crate::fill::script::{Entry, entries};
use crate::programs::Program;

/// Both sections, as a role can carry them out.
#[derive(Debug, Default)]
pub(super) struct Fitted {
    pub(super) before: Vec<Entry>,
    pub(super) after: Vec<Entry>,
    /// What comes after all of that, as `pg_restore` has it (`RestorePass`): rights, views to be filled, event
    /// triggers.
    pub(super) last: Vec<Entry>,
}

/// Takes out of the sections what `restorer` may not do, and leaves rights for the end: an owner who may not write to a
/// table has to fill it first. What is lost by that, the plan has told.
pub(super) fn fit(before: Vec<Entry>, after: Vec<Entry>, restorer: &Restorer) -> Fitted {
    let mut fitted = Fitted::default();
    let mut ending = Ending::default();
    for (entries, section) in [(before, &mut fitted.before), (after, &mut fitted.after)] {
        for mut entry in entries {
            let kind = entry.kind.as_str();
            if matches!(kind, "ACL" | "DEFAULT ACL") {
                if let (Some(sql), _) = fitting(&entry.sql, restorer) {
                    entry.sql = sql;
                    ending.rights.push(entry);
                }
                continue;
            }
            let gives = |owner: &str| match kind == "SCHEMA" && entry.name == "public" {
                true => restorer.gives_public_to(owner),
                false => owner != restorer.role && restorer.gives(kind, owner),
            };
            if let Some((within, named, owner)) = owner(&entry.sql)
                && !(gives(&owner) && (restorer.superuser || kind == "SCHEMA"))
            {
                if gives(&owner) {
                    ending.owners.push(owner_of(&named, &owner));
                }
                entry.sql.replace_range(within, "");
            }
            let of_trigger = kind == "COMMENT" && entry.name.starts_with("EVENT TRIGGER ");
            if of_trigger || matches!(kind, "MATERIALIZED VIEW DATA" | "EVENT TRIGGER") {
                ending.late.push(entry);
            } else {
                section.push(entry);
            }
        }
    }
    fitted.last = ending.entries();
    fitted
}

/// Where `ALTER … OWNER TO role;` is, of what, and the role. `pg_dump` writes it at the end of an entry
/// (`_printTocEntry`), on a line of its own.
fn owner(sql: &str) -> Option<(Range<usize>, String, String)> {
    let mut end = sql.len();
    loop {
        let text = sql[..end].trim_end();
        let at = text.rfind('\n').map_or(0, |at| at + 1);
        let line = &text[at..];
        // What the next entry's table needs.
        if line.starts_with("SET default_") && at > 0 {
            end = at;
            continue;
        }
        let (named, role) = line.strip_prefix("ALTER ")?.rsplit_once(" OWNER TO ")?;
        let role = unquoted(role.strip_suffix(';')?)?;
        let end = sql.len().min(text.len() + 1);
        return Some((at..end, named.to_owned(), role));
    }
}

fn unquoted(role: &str) -> Option<String> {
    if let Some(inner) = role.strip_prefix('"') {
        return Some(inner.strip_suffix('"')?.replace("\"\"", "\""));
    }
    let plain = role.chars().all(|sign| sign == '_' || sign.is_ascii_alphanumeric());
    plain.then(|| role.to_owned())
}

/// What a table needs before its rows, and what comes after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    BeforeData,
    AfterData,
}

impl Section {
    fn argument(self) -> &'static str {
        match self {
            Self::BeforeData => "--section=pre-data",
            Self::AfterData => "--section=post-data",
        }
    }
}

/// The entries of a section, in an order in which they can be carried out.
///
/// Left out: publications, subscriptions; and tablespaces, which are folders of the source's machine. Large objects come with the rows.
///
/// # Errors
/// The program failed; with the last lines it said.
pub(super) async fn read(
    cx: &Cx,
    program: &Program,
    source: &Endpoint,
    snapshot: &str,
    section: Section,
) -> Result<Vec<Entry>, Fault> {
    let arguments = [
        section.argument(),
        "--verbose",
        "--no-publications",
        "--no-subscriptions",
        "--no-tablespaces",
        // Large objects; the long name has changed.
        "-B",
        "--no-password",
        "--encoding=UTF8",
        &format!("--dbname={KEEPALIVES}"),
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        format!("--snapshot={snapshot}"),
        // Whoever waits to change a table waits for our locks, and `pg_dump` would wait behind.
        format!("--lock-wait-timeout={LOCK_TIMEOUT}"),
    ])
    .collect();
    cx.effect("pg_dump")?;
    let mut process = launch(cx, program, source, arguments)?;
    let mut text = Vec::new();
    while let Some(chunk) = process.next().await? {
        text.extend_from_slice(&chunk);
    }
    let said = process.end().await?;
    let warnings: Vec<String> =
        said.into_iter().filter(|line| line.contains("warning: ")).collect();
    if !warnings.is_empty() {
        cx.warn(format!("`pg_dump` says: {}", warnings.join("\n  ")));
    }
    let text = String::from_utf8(text).map_err(|cause| {
        Fault::failed("reading the schema of the source: its names are in no known encoding")
            .because(cause)
    })?;
    let mut found = entries(&text);
    // A plain script has no such entries; should one have, it would name the source's database.
    found.retain(|entry| !is_outside(&entry.kind, &entry.name, &entry.sql));
    for entry in &mut found {
        if let Some(sql) = stripped(&entry.sql) {
            entry.sql = sql;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, name: &str, sql: &str) -> Entry {
        Entry { kind: kind.into(), name: name.into(), class: 0, oid: 0, sql: sql.into() }
    }

    #[test]
    fn owners_and_rights_as_far_as_the_role_may() {
        let before = || {
            vec![
                entry(
                    "TABLE",
                    "t",
                    "CREATE TABLE t ();\n\n\nALTER TABLE t OWNER TO \"Ap\"\"p\";\n\nSET default_table_access_method = x;",
                ),
                entry("SCHEMA", "public", "ALTER SCHEMA public OWNER TO app;"),
                entry(
                    "COMMENT",
                    "TABLE t",
                    "COMMENT ON TABLE t IS 'x\nALTER TABLE t OWNER TO app;';",
                ),
                entry(
                    "ACL",
                    "TABLE t",
                    "GRANT SELECT ON TABLE t TO app;\nGRANT SELECT ON TABLE t TO gone;",
                ),
                entry(
                    "EVENT TRIGGER",
                    "e",
                    "CREATE EVENT TRIGGER e;\n\n\nALTER EVENT TRIGGER e OWNER TO gone;",
                ),
            ]
        };
        let after = || vec![entry("MATERIALIZED VIEW DATA", "v", "REFRESH MATERIALIZED VIEW v;")];
        let check = |superuser: bool, expect: [&[&str]; 2]| {
            let roles = ["me", "app", "Ap\"p"].map(str::to_owned).into();
            let restorer = Restorer { role: "me".into(), superuser, roles, ..Restorer::default() };
            let fitted = fit(before(), after(), &restorer);
            let sql = |entries: &[Entry]| {
                entries.iter().map(|entry| entry.sql.trim().to_owned()).collect::<Vec<_>>()
            };
            assert_eq!(sql(&fitted.before), expect[0]);
            assert_eq!(sql(&fitted.last), expect[1]);
            assert!(fitted.after.is_empty());
        };
        let comment = "COMMENT ON TABLE t IS 'x\nALTER TABLE t OWNER TO app;';";
        let last = [
            "GRANT SELECT ON TABLE t TO app;",
            "CREATE EVENT TRIGGER e;",
            "REFRESH MATERIALIZED VIEW v;",
        ];
        check(
            true,
            [
                &[
                    "CREATE TABLE t ();\n\n\nALTER TABLE t OWNER TO \"Ap\"\"p\";\n\nSET default_table_access_method = x;",
                    "ALTER SCHEMA public OWNER TO app;",
                    comment,
                ],
                &last,
            ],
        );
        check(
            false,
            [
                &["CREATE TABLE t ();\n\n\n\nSET default_table_access_method = x;", "", comment],
                &last,
            ],
        );
    }
}
