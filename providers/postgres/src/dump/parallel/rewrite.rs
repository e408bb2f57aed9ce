//! The table of contents, written for the one who restores it.
//!
//! Heroku's restore takes no flags; so what flags would leave out is left out here, what its role may not do as well, and
//! the session is set up for the work by entries of our own. Pure. Tested beside it, and with `pg_restore` in
//! `tests/parallel.rs`.

use std::collections::BTreeMap;

use pgferry_archive::{ArchiveError, Entry, Section, Text, Toc};

use crate::dump::grants::fitting;
use crate::dump::restorer::Restorer;
use crate::fill::attver::stripped;
use crate::fill::outside::{goes_without_saying, is_outside};

/// What a restore does after all others: with rights, with views filled and with event triggers (`RestorePass`,
/// pg_backup_archiver.c). Nothing that comes before may wait for it.
const LATER: [&str; 4] = ["ACL", "DEFAULT ACL", "EVENT TRIGGER", "MATERIALIZED VIEW DATA"];

/// See [`stripped`].
const OWN_OPTION: &[u8] = b"pg_attver=";

/// Changes `toc`, whose version is the final one. Gives what is left out, for people.
///
/// # Errors
/// Only if there are too many entries.
pub(super) fn rewrite(toc: &mut Toc, restorer: &Restorer) -> Result<Vec<String>, ArchiveError> {
    let mut left_out = Vec::new();
    let mut unowned: BTreeMap<String, usize> = BTreeMap::new();
    let mut ungranted: BTreeMap<String, usize> = BTreeMap::new();
    toc.drop_entries(|entry| {
        let outside = is_outside(
            entry.desc.as_str().unwrap_or_default(),
            &entry.tag.shown(),
            &entry.definition.shown(),
        );
        let unwanted = outside || is_unwanted(entry, restorer);
        if unwanted && !goes_without_saying(&entry.desc.shown()) {
            left_out.push(entry.shown());
        }
        unwanted
    });
    let mut tablespaces: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &mut toc.entries {
        let tablespace = entry.tablespace.shown();
        if !tablespace.is_empty() {
            *tablespaces.entry(tablespace).or_default() += 1;
            entry.tablespace = "".into();
        }
        let is_acl = entry.desc == *"ACL" || entry.desc == *"DEFAULT ACL";
        if is_acl {
            let (kept, lost) = fitting(&entry.definition.shown(), restorer);
            for role in lost {
                *ungranted.entry(role).or_default() += 1;
            }
            entry.definition = kept.unwrap_or_default().into();
        } else if entry.desc == *"MATERIALIZED VIEW DATA" {
            analyze_too(entry);
        }
        let owner = entry.owner.shown();
        let gives = match entry.desc == *"SCHEMA" && entry.tag == *"public" {
            true => restorer.gives_public_to(&owner),
            false => restorer.gives_to(&owner),
        };
        if !owner.is_empty() && !gives {
            // The session's own role restores what belongs to nobody. Default rights are theirs who own them.
            if !is_acl && owner != restorer.role && entry.desc != *"DEFAULT ACL" {
                *unowned.entry(owner).or_default() += 1;
            }
            entry.owner = "".into();
        }
    }
    let acl = |entry: &Entry| entry.desc == *"ACL" || entry.desc == *"DEFAULT ACL";
    toc.drop_entries(|entry| acl(entry) && entry.definition == *"");
    let counted = |of: BTreeMap<String, usize>, what: &str| -> Vec<String> {
        of.into_iter().map(|(role, count)| format!("{count} {what} `{role}`")).collect()
    };
    left_out.extend(counted(unowned, "times the owner"));
    left_out.extend(counted(ungranted, "statements on rights of"));
    left_out.extend(counted(tablespaces, "times the tablespace"));
    inject(toc, restorer)?;
    Ok(left_out)
}

/// Takes out of `toc` what means nothing but to the server it was read from, whoever restores it.
pub(super) fn strip(toc: &mut Toc) {
    for entry in &mut toc.entries {
        // Byte by byte: of a source in SQL_ASCII, nobody knows what its bytes mean.
        let bytes = entry.definition.bytes().unwrap_or_default();
        if !bytes.windows(OWN_OPTION.len()).any(|window| window == OWN_OPTION) {
            continue;
        }
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        if let Some(text) = stripped(&text) {
            let bytes: Vec<u8> = text.chars().filter_map(|sign| u8::try_from(sign).ok()).collect();
            entry.definition = bytes.into();
        }
    }
}

fn is_unwanted(entry: &Entry, restorer: &Restorer) -> bool {
    let desc = entry.desc.as_str().unwrap_or_default();
    let tag = entry.tag.as_str().unwrap_or_default();
    let of = |what: &str| tag.starts_with(what);
    match desc {
        // A restored subscription would connect, and take over the source's slot.
        "SUBSCRIPTION"
        | "SUBSCRIPTION TABLE"
        | "PUBLICATION"
        | "PUBLICATION TABLE"
        | "PUBLICATION TABLES IN SCHEMA" => true,
        "COMMENT" | "SECURITY LABEL" if of("PUBLICATION ") || of("SUBSCRIPTION ") => true,
        "EVENT TRIGGER" => !restorer.superuser,
        "COMMENT" if of("EXTENSION ") || of("EVENT TRIGGER ") => !restorer.superuser,
        "COMMENT" if tag == "SCHEMA public" => !restorer.superuser && !restorer.owns_public,
        "SECURITY LABEL" => !provider(&entry.definition).is_some_and(|by| restorer.labels_by(&by)),
        _ => false,
    }
}

/// Of `SECURITY LABEL FOR provider ON …`; none where several statements differ.
fn provider(definition: &Text) -> Option<String> {
    let text = definition.as_str()?;
    let mut all = text
        .split("SECURITY LABEL FOR ")
        .skip(1)
        .map(|rest| rest.split(" ON ").next().unwrap_or_default().trim_matches('"').to_owned());
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// `ANALYZE` behind a `REFRESH`, which comes after everything else.
fn analyze_too(entry: &mut Entry) {
    let Some(text) = entry.definition.as_str() else { return };
    let refreshed = text.trim_end().strip_prefix("REFRESH MATERIALIZED VIEW ");
    if let Some(name) = refreshed.and_then(|rest| rest.strip_suffix(';')) {
        entry.definition = format!("{text}ANALYZE {name};\n").into();
    }
}

/// Settings of the session first; statistics last, and with them everything on disk.
fn inject(toc: &mut Toc, restorer: &Restorer) -> Result<(), ArchiveError> {
    let later = |entry: &Entry| LATER.iter().any(|desc| entry.desc == **desc);
    // A restore with several jobs takes entries up as soon as what they depend on is done.
    let all: Vec<i32> = toc
        .entries
        .iter()
        .filter(|entry| matches!(entry.section, Section::Data | Section::PostData) && !later(entry))
        .map(|entry| entry.id)
        .collect();
    let sets: String =
        restorer.settings.iter().map(|(name, value)| format!("SET {name} = {value};\n")).collect();
    if !sets.is_empty() {
        toc.put_first("session settings", &sets)?;
    }
    // Its warnings of system tables that are not ours to analyze would fill the log of the restore.
    let mut resets = "SET client_min_messages = error;\n".to_owned();
    if restorer.settings.iter().any(|(name, _)| name == "synchronous_commit") {
        resets.push_str("RESET synchronous_commit;\n");
    }
    toc.put_last("session settings reset", &resets)?;
    toc.put_last("statistics", "ANALYZE;\n")?;
    let mut before = all;
    let count = toc.entries.len();
    for entry in &mut toc.entries[count - 2..] {
        entry.dependencies.clone_from(&before);
        before.push(entry.id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pgferry_archive::{Compression, Header, Version};

    use super::*;

    fn entry(id: i32, desc: &str, tag: &str, definition: &str) -> Entry {
        let section = match desc {
            "INDEX" | "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => Section::PostData,
            _ => Section::PreData,
        };
        let made = Entry::statement(id, section, tag, definition);
        Entry { desc: desc.into(), owner: "app".into(), ..made }
    }

    fn toc() -> Toc {
        let header = Header {
            version: Version::V1_14,
            compression: Compression::None,
            made_at: [0, 0, 12, 1, 0, 125, 0],
            database: "d".into(),
            server_version: "15".into(),
            pg_dump_version: "15".into(),
        };
        let entries = vec![
            entry(1, "ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n"),
            entry(2, "EXTENSION", "tablefunc", "CREATE EXTENSION tablefunc;\n"),
            entry(3, "COMMENT", "EXTENSION tablefunc", "COMMENT ON EXTENSION tablefunc IS 'x';\n"),
            entry(4, "TABLE", "t", "CREATE TABLE public.t ();\n"),
            entry(5, "COMMENT", "TABLE t", "COMMENT ON TABLE public.t IS 'x';\n"),
            entry(
                6,
                "SECURITY LABEL",
                "TABLE t",
                "SECURITY LABEL FOR dummy ON TABLE public.t IS 'x';\n",
            ),
            entry(
                7,
                "ACL",
                "TABLE t",
                "GRANT SELECT ON TABLE public.t TO reader;\nGRANT SELECT ON TABLE public.t TO gone;\n",
            ),
            entry(8, "ACL", "LARGE OBJECT 7", "GRANT SELECT ON LARGE OBJECT 7 TO reader;\n"),
            entry(9, "INDEX", "i", "CREATE INDEX i ON public.t (a);\n"),
            entry(10, "PUBLICATION", "p", "CREATE PUBLICATION p;\n"),
            entry(11, "EVENT TRIGGER", "et", "CREATE EVENT TRIGGER et …;\n"),
            entry(12, "MATERIALIZED VIEW DATA", "v", "REFRESH MATERIALIZED VIEW public.\"v;\";\n"),
            entry(13, "DATABASE", "d", "CREATE DATABASE d;\n"),
            entry(14, "DATABASE PROPERTIES", "d", "ALTER DATABASE d CONNECTION LIMIT = 5;\n"),
            entry(15, "ACL", "DATABASE d", "REVOKE CONNECT ON DATABASE d FROM PUBLIC;\n"),
            entry(16, "COMMENT", "DATABASE d", "COMMENT ON DATABASE d IS 'x';\n"),
            Entry {
                tablespace: "fast".into(),
                ..entry(17, "TABLE", "u", "CREATE TABLE public.u ();\n")
            },
        ];
        Toc { header, entries }
    }

    fn rewritten(restorer: &Restorer) -> (Vec<String>, Vec<String>) {
        let mut toc = toc();
        let left_out = rewrite(&mut toc, restorer).expect("few entries");
        let line = |entry: &Entry| {
            let first = entry.definition.shown().replace('\n', " ");
            format!("{} {} {first}", entry.owner.shown(), entry.desc.shown())
        };
        let last = toc.entries.last().expect("entries");
        let before = &toc.entries[toc.entries.len() - 2];
        assert_eq!(
            (&before.dependencies[..], &last.dependencies[..]),
            (&[9][..], &[9, before.id][..])
        );
        (toc.entries.iter().map(|entry| line(entry).trim().to_owned()).collect(), left_out)
    }

    #[test]
    fn for_heroku() {
        let settings = [("maintenance_work_mem", "'128MB'"), ("synchronous_commit", "off")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let heroku = Restorer { heroku: true, settings: settings.into(), ..Restorer::default() };
        let (entries, left_out) = rewritten(&heroku);
        assert_eq!(
            entries,
            [
                "ENCODING SET client_encoding = 'UTF8';",
                "PGFERRY SET maintenance_work_mem = '128MB'; SET synchronous_commit = off;",
                "EXTENSION CREATE EXTENSION tablefunc;",
                "TABLE CREATE TABLE public.t ();",
                "COMMENT COMMENT ON TABLE public.t IS 'x';",
                "INDEX CREATE INDEX i ON public.t (a);",
                "MATERIALIZED VIEW DATA REFRESH MATERIALIZED VIEW public.\"v;\"; ANALYZE public.\"v;\";",
                "TABLE CREATE TABLE public.u ();",
                "PGFERRY SET client_min_messages = error; RESET synchronous_commit;",
                "PGFERRY ANALYZE;",
            ]
        );
        assert_eq!(
            left_out,
            [
                "COMMENT EXTENSION tablefunc",
                "SECURITY LABEL TABLE t",
                "PUBLICATION p",
                "EVENT TRIGGER et",
                "DATABASE PROPERTIES d",
                "ACL DATABASE d",
                "COMMENT DATABASE d",
                "7 times the owner `app`",
                "1 statements on rights of `gone`",
                "2 statements on rights of `reader`",
                "1 times the tablespace `fast`",
            ]
        );
    }

    #[test]
    fn for_a_superuser_who_knows_the_roles() {
        let superuser = Restorer {
            role: "postgres".into(),
            superuser: true,
            roles: ["app", "reader"].map(str::to_owned).into(),
            providers: ["dummy".to_owned()].into(),
            ..Restorer::default()
        };
        let (entries, left_out) = rewritten(&superuser);
        assert_eq!(entries.len(), 14, "{entries:?}");
        assert!(entries.contains(&"app ACL GRANT SELECT ON LARGE OBJECT 7 TO reader;".to_owned()));
        assert!(entries.contains(&"app ACL GRANT SELECT ON TABLE public.t TO reader;".to_owned()));
        assert_eq!(
            left_out,
            [
                "PUBLICATION p",
                "DATABASE PROPERTIES d",
                "ACL DATABASE d",
                "COMMENT DATABASE d",
                "1 statements on rights of `gone`",
                "1 times the tablespace `fast`"
            ]
        );
    }
}
