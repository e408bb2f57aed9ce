//! An archive's table of contents in another version's words: an older one's, mostly.
//!
//! 1.15 says in its header how the data are compressed; that is all that it has over 1.14.
//!
//! 1.16 keeps large objects of one owner and the same rights as a group: an entry `BLOB METADATA` that lists their
//! numbers, one a line, an entry `BLOBS` that depends on it, and one of rights, worded for the first of them. 1.14 and
//! 1.15 have entries `BLOB` and `ACL` for each. Tested beside `toc`, and with the real programs in the tests of
//! `postgres.dump`.

use std::collections::BTreeMap;

use crate::entry::{Entry, Offset, Text};
use crate::error::ArchiveError;
use crate::header::{Compression, Version};
use crate::toc::Toc;

pub(crate) fn convert(toc: &mut Toc, version: Version) -> Result<(), ArchiveError> {
    let from = toc.header.version;
    if version > from.max(Version::V1_15) {
        let what = format!("it has version {from}, which does not become {version}");
        return Err(ArchiveError::Kind { what });
    }
    if version == Version::V1_14
        && matches!(toc.header.compression, Compression::Lz4 | Compression::Zstd)
    {
        let what = format!("version 1.14 knows no {:?}", toc.header.compression);
        return Err(ArchiveError::Kind { what });
    }
    if from >= Version::V1_16 && version < Version::V1_16 {
        split_groups(toc)?;
    }
    toc.header.version = version;
    for entry in toc.entries.iter_mut().filter(|entry| entry.has_data()) {
        entry.offset = Offset::Unknown;
    }
    Ok(())
}

/// The numbers that a group, `BLOB METADATA`, lists.
///
/// # Errors
/// [`ArchiveError::Damaged`] if there are none.
pub fn group_numbers(group: &Entry) -> Result<Vec<u32>, ArchiveError> {
    let text = group.definition.as_str().unwrap_or_default();
    let numbers: Option<Vec<u32>> =
        text.lines().filter(|line| !line.is_empty()).map(|line| line.trim().parse().ok()).collect();
    numbers
        .filter(|numbers| !numbers.is_empty())
        .ok_or_else(|| ArchiveError::damaged(format!("{} lists no large objects", group.shown())))
}

/// Whether `entry` is of rights on a whole group, `LARGE OBJECTS 1..9`, which no older reader understands.
pub fn is_group_right(entry: &Entry) -> bool {
    let tagged = entry.tag.bytes().is_some_and(|tag| tag.starts_with(b"LARGE OBJECTS "));
    tagged && entry.desc == *"ACL"
}

/// `definition`, rights on some large object, as rights on `number` (`IssueACLPerBlob`, pg_backup_db.c).
pub fn rights_on(definition: &Text, number: u32) -> Text {
    const ON: &[u8] = b" ON LARGE OBJECT ";
    let mut rest = definition.bytes().unwrap_or_default();
    let (mut text, mut quoted) = (Vec::with_capacity(rest.len()), false);
    while let Some((sign, after)) = rest.split_first() {
        quoted ^= *sign == b'"';
        match rest.strip_prefix(ON).filter(|_| !quoted) {
            Some(named) => {
                text.extend_from_slice(ON);
                text.extend_from_slice(number.to_string().as_bytes());
                let digits = named.iter().take_while(|sign| sign.is_ascii_digit()).count();
                rest = &named[digits..];
            }
            None => {
                text.push(*sign);
                rest = after;
            }
        }
    }
    text.into()
}

fn split_groups(toc: &mut Toc) -> Result<(), ArchiveError> {
    let mut next = toc.next_id()?;
    let mut fresh = || {
        let id = next;
        next = next
            .checked_add(1)
            .ok_or_else(|| ArchiveError::damaged("no number is left for an entry"))?;
        Ok(id)
    };
    let mut entries = Vec::with_capacity(toc.entries.len());
    // Of each group by its former number: its objects, with the numbers of their entries.
    let mut groups: BTreeMap<i32, Vec<(i32, u32)>> = BTreeMap::new();
    for entry in std::mem::take(&mut toc.entries) {
        if is_group_right(&entry) {
            let of = entry.dependencies.iter().find_map(|id| groups.get(id));
            for (at, (id, number)) in of.into_iter().flatten().enumerate() {
                entries.push(Entry {
                    id: if at == 0 { entry.id } else { fresh()? },
                    tag: format!("LARGE OBJECT {number}").into(),
                    definition: rights_on(&entry.definition, *number),
                    dependencies: vec![*id],
                    relkind: 0,
                    ..entry.clone()
                });
            }
            continue;
        }
        if entry.desc != *"BLOB METADATA" {
            entries.push(Entry { relkind: 0, ..entry });
            continue;
        }
        let mut group = Vec::new();
        for (at, number) in group_numbers(&entry)?.into_iter().enumerate() {
            // The first keeps the group's number, so that what depended on the group depends on it.
            let id = if at == 0 { entry.id } else { fresh()? };
            group.push((id, number));
            entries.push(Entry {
                id,
                catalog: (entry.catalog.0, number),
                tag: number.to_string().into(),
                desc: "BLOB".into(),
                definition: format!("SELECT pg_catalog.lo_create('{number}');\n").into(),
                drop: format!("SELECT pg_catalog.lo_unlink('{number}');\n").into(),
                copy: "".into(),
                relkind: 0,
                ..entry.clone()
            });
        }
        groups.insert(entry.id, group);
    }
    toc.entries = entries;
    Ok(())
}
