//! What an archive holds, sorted by when its turn comes.
//!
//! The order of the table of contents is kept; what a restore does at its end (`RestorePass`, pg_backup_archiver.c) is
//! put there. Left out: publications, subscriptions, all that is about the database itself rather than in it, and what an
//! archive carries for programs that restore it. Tested in `tests/restore.rs`.

use std::collections::BTreeMap;

use pgferry_archive::{
    ArchiveError, Compression, Entry as Line, Offset, Section, Toc, columns, group_numbers,
    is_group_right, rights_on,
};
use pgferry_engine::fault::{Class, Fault};
use pgferry_objects::reference::TableRef;

use super::blocks::Block;
use super::keys;
use super::object::Object;
use super::stream::Fetch;
use super::texts::Texts;
use crate::connect::Session;
use crate::dump::restorer::Restorer;
use crate::fill::attver::stripped;
use crate::fill::ending::{Ending, owner_of};
use crate::fill::keys::Details;
use crate::fill::outside::{goes_without_saying, is_outside};
use crate::fill::script::Entry;
use crate::quoting::{display, identifier, literal};
use crate::target::inventory::key;

/// An archive that can be restored.
pub(super) struct Contents {
    pub(super) object: Object,
    pub(super) compression: Compression,
    pub(super) encoding: String,
    pub(super) extensions: Vec<String>,
    /// What it makes, by [`crate::target::Object::key`].
    pub(super) brought: Vec<String>,
    pub(super) before: Vec<Entry>,
    pub(super) tables: Vec<Table>,
    /// Where data are; in the order of the archive, all of them or none.
    pub(super) blocks: Vec<Block>,
    /// How many there must be.
    pub(super) block_count: usize,
    /// Where the first block begins.
    pub(super) data: u64,
    /// Numbers of large objects, by whom to give them to; `None` is the role itself.
    pub(super) objects: BTreeMap<Option<String>, Vec<u32>>,
    /// Sequences; comments on large objects and their labels.
    pub(super) with_data: Vec<Entry>,
    pub(super) after: Vec<Entry>,
    pub(super) details: Details,
    /// Rights, views to be filled, event triggers.
    pub(super) last: Vec<Entry>,
    /// Entries about something outside the database, by name.
    pub(super) passed_over: Vec<String>,
}

/// A table with data.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Of its entry of data.
    pub(super) id: i32,
    /// In the source's catalogue.
    pub(super) oid: u32,
    pub(super) shown: String,
    /// `schema.table (column, …)` as SQL.
    pub(super) filled: String,
    /// `schema.table`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// How a table may be filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that was just made, by nobody but its own block.
    Own,
    /// Its rows go to an ancestor, which finds them their partitions.
    Through,
    /// One that came with an extension, or is elsewhere.
    Other,
}

/// Entries that are for others, or that this restore does in its own way.
const UNWANTED: [&str; 10] = [
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    // Statistics are gathered anew.
    "STATISTICS DATA",
    // Settings and statistics for programs that know no better.
    "PGFERRY",
];

/// What belongs to a role by itself.
const OWNED: [&str; 23] = [
    "AGGREGATE",
    "COLLATION",
    "CONVERSION",
    "DOMAIN",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "FOREIGN TABLE",
    "FUNCTION",
    "MATERIALIZED VIEW",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURAL LANGUAGE",
    "PROCEDURE",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "TABLE",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TYPE",
    "VIEW",
];

/// Reads the table of contents of `object`; texts in other encodings are read by `session`, and owners put
/// in place where `restorer` can.
///
/// # Errors
/// It is no archive that can be restored in this way. Nothing was changed.
pub(super) async fn read(
    object: &Object,
    session: &Session,
    restorer: &Restorer,
) -> Result<Contents, Fault> {
    let mut incoming = Fetch::new(object.clone(), 1).stream(0, object.size, |_| {});
    let broken = incoming.broken();
    let reading = tokio::task::spawn_blocking(move || {
        Toc::read(&mut std::io::BufReader::with_capacity(64 << 10, &mut incoming))
    });
    let toc = reading
        .await
        .map_err(|cause| Fault::bug("a reader that does not end").because(cause))?
        .map_err(|cause| broken.fault(object.name(), cause))?;
    let texts = Texts::of(&toc, session).await?;
    sorted(object, &toc, &texts, restorer)
}

fn sorted(
    object: &Object,
    toc: &Toc,
    texts: &Texts,
    restorer: &Restorer,
) -> Result<Contents, Fault> {
    let head = toc.to_bytes().map_err(|cause| {
        Fault::failed(format!("reading the archive `{}`", object.name())).because(cause)
    })?;
    let compression = toc.header.compression;
    if compression == Compression::Lz4 {
        return Err(cannot(object, &format!("its data are in {compression:?}")));
    }
    let by_id: BTreeMap<i32, &Line> = toc.entries.iter().map(|line| (line.id, line)).collect();
    let mut contents = Contents {
        object: object.clone(),
        compression,
        encoding: toc.encoding().unwrap_or("UTF8").to_owned(),
        extensions: Vec::new(),
        brought: Vec::new(),
        before: Vec::new(),
        tables: Vec::new(),
        blocks: Vec::new(),
        block_count: toc.entries.iter().filter(|line| line.has_data()).count(),
        data: head.len() as u64,
        objects: BTreeMap::new(),
        with_data: Vec::new(),
        after: Vec::new(),
        details: keys::details(toc, &by_id, texts),
        last: Vec::new(),
        passed_over: Vec::new(),
    };
    let mut ending = Ending::default();
    // Comments and labels say no section: theirs is that of what stands before them.
    let mut section = Section::PreData;
    for line in &toc.entries {
        if line.section != Section::None {
            section = line.section;
        }
        let desc = line.desc.as_str().unwrap_or_default();
        if matches!(desc, "BLOB" | "BLOB METADATA") {
            let owner = texts.read(&line.owner);
            let given = owner != restorer.role && restorer.gives_to(&owner);
            let numbers = if desc == "BLOB" {
                vec![line.catalog.1]
            } else {
                group_numbers(line).map_err(unlisted)?
            };
            contents.objects.entry(given.then_some(owner)).or_default().extend(numbers);
            continue;
        }
        if line.has_data() {
            contents.add_data(line, &by_id, texts)?;
            continue;
        }
        if desc == "STDSTRINGS" && line.definition.shown().contains("'off'") {
            return Err(cannot(object, "its texts are not in standard form"));
        }
        if UNWANTED.contains(&desc) || desc == "TABLE DATA" || desc == "BLOBS" {
            continue;
        }
        let (entry, owner) = entry(line, texts, restorer);
        if is_outside(desc, &entry.name, &entry.sql) {
            if !goes_without_saying(desc) {
                contents.passed_over.push(entry.to_string());
            }
            continue;
        }
        ending.owners.extend(owner);
        let schema = texts.read(&line.namespace);
        contents.brought.push(key(desc, Some(&schema), &entry.name));
        let of = |what: &str| entry.name.starts_with(what);
        if matches!(desc, "COMMENT" | "SECURITY LABEL")
            && (of("PUBLICATION ") || of("SUBSCRIPTION "))
        {
            continue;
        }
        match desc {
            "EXTENSION" => contents.extensions.push(texts.read(&line.tag)),
            "ACL" if is_group_right(line) => {
                let group = line.dependencies.iter().find_map(|id| by_id.get(id));
                for number in
                    group.map_or(Ok(Vec::new()), |group| group_numbers(group)).map_err(unlisted)?
                {
                    let sql = texts.read(&rights_on(&line.definition, number));
                    let name = format!("LARGE OBJECT {number}");
                    ending.rights.push(Entry { sql, name, ..entry.clone() });
                }
                continue;
            }
            "ACL" | "DEFAULT ACL" => {
                ending.rights.push(entry);
                continue;
            }
            "MATERIALIZED VIEW DATA" | "EVENT TRIGGER" => {
                ending.late.push(entry);
                continue;
            }
            "COMMENT" | "SECURITY LABEL" if of("LARGE OBJECT") => {
                contents.with_data.push(entry);
                continue;
            }
            "COMMENT" | "SECURITY LABEL" if of("EVENT TRIGGER ") => {
                ending.late.push(entry);
                continue;
            }
            _ => {}
        }
        match section {
            Section::PreData | Section::None => contents.before.push(entry),
            Section::Data => contents.with_data.push(entry),
            Section::PostData => contents.after.push(entry),
        }
    }
    contents.last = ending.entries();
    contents.measure(toc, &object.tables);
    Ok(contents)
}

/// With what gives it to its owner, if that comes last.
fn entry(line: &Line, texts: &Texts, restorer: &Restorer) -> (Entry, Option<Entry>) {
    let definition = texts.read(&line.definition);
    let mut sql = stripped(&definition).unwrap_or(definition);
    // As `pg_restore` does (`_printTocEntry`), where the role can: what has an owner can be dropped.
    let (owner, dropped) = (texts.read(&line.owner), texts.read(&line.drop));
    let desc = line.desc.as_str().unwrap_or_default();
    let named = dropped.trim_end().strip_prefix("DROP ").and_then(|rest| rest.strip_suffix(';'));
    // The schema that every database has: its entry makes nothing, and drops nothing.
    let given = if desc == "SCHEMA" && sql.starts_with("--") {
        restorer
            .gives_public_to(&owner)
            .then(|| format!("SCHEMA {}", identifier(&texts.read(&line.tag))))
    } else {
        let gives = owner != restorer.role && restorer.gives(desc, &owner);
        named.filter(|_| gives && OWNED.contains(&desc)).map(str::to_owned)
    };
    let mut given = given.map(|named| owner_of(&named, &owner));
    if let Some(given) = given.take_if(|_| restorer.superuser || desc == "SCHEMA") {
        sql.push_str(&format!("\n{}", given.sql));
    }
    let method = line.access_method.as_str().unwrap_or_default();
    if !matches!(method, "" | "heap") {
        sql = format!(
            "set default_table_access_method = {};\n{sql}\nreset default_table_access_method;",
            literal(method)
        );
    }
    let (class, oid) = line.catalog;
    (Entry { kind: line.desc.shown(), name: texts.read(&line.tag), class, oid, sql }, given)
}

fn cannot(object: &Object, why: &str) -> Fault {
    Fault::new(Class::Rejected, format!("`{}` cannot be restored from here: {why}", object.name()))
        .help("dump again by `postgres.dump`, or restore it by `pg_restore`")
}

fn unlisted(cause: ArchiveError) -> Fault {
    Fault::failed("reading the list of large objects").because(cause)
}

impl Contents {
    fn add_data(
        &mut self,
        line: &Line,
        by_id: &BTreeMap<i32, &Line>,
        texts: &Texts,
    ) -> Result<(), Fault> {
        if line.desc == *"BLOBS" {
            return Ok(());
        }
        if line.desc != *"TABLE DATA" {
            return Err(cannot(&self.object, &format!("it holds `{}`", line.shown())));
        }
        let statement = texts.read(&line.copy);
        // `COPY schema.table (column, …) FROM stdin;` (`dumpTableData`, pg_dump.c)
        let filled = statement
            .trim_end()
            .strip_prefix("COPY ")
            .and_then(|rest| rest.strip_suffix(" FROM stdin;"));
        let listed = columns(&statement.as_str().into()).map(str::to_owned);
        let (Some(filled), Some(columns)) = (filled, listed) else {
            return Err(cannot(&self.object, &format!("`{}` is no COPY", line.shown())));
        };
        let name = filled.strip_suffix(columns.as_str()).unwrap_or(filled).trim_end();
        let made = line.dependencies.iter().filter_map(|id| by_id.get(id));
        let made = made.map(|line| &line.desc).any(|desc| *desc == *"TABLE");
        let kind = if line.definition.shown().starts_with("-- load via partition root") {
            Kind::Through
        } else if made {
            Kind::Own
        } else {
            Kind::Other
        };
        self.tables.push(Table {
            id: line.id,
            oid: line.catalog.1,
            shown: display(&texts.read(&line.namespace), &texts.read(&line.tag)),
            filled: filled.trim_end().to_owned(),
            name: name.to_owned(),
            kind,
        });
        Ok(())
    }

    /// Says where the blocks are and how long, if the archive knows.
    fn measure(&mut self, toc: &Toc, counted: &[TableRef]) {
        let counted: BTreeMap<&str, u64> =
            counted.iter().filter_map(|table| Some((table.name.as_str(), table.rows?))).collect();
        let known: BTreeMap<i32, u64> = self
            .tables
            .iter()
            .filter_map(|table| Some((table.id, *counted.get(table.shown.as_str())?)))
            .collect();
        let rows = |id: i32| known.get(&id).copied().unwrap_or_default();
        let with_data = || toc.entries.iter().filter(|line| line.has_data());
        let mut places: Vec<u64> = with_data()
            .filter_map(|line| if let Offset::At(at) = line.offset { Some(at) } else { None })
            .collect();
        if places.len() < self.block_count {
            return;
        }
        places.push(self.object.size);
        places.sort_unstable();
        self.blocks = with_data()
            .filter_map(|line| {
                let Offset::At(at) = line.offset else { return None };
                let next = places.partition_point(|place| *place <= at);
                let end = *places.get(next)?;
                Some(Block { id: line.id, at, end: Some(end), rows: rows(line.id) })
            })
            .collect();
    }
}
