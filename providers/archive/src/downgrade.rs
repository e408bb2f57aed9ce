//! An archive's table of contents in another version's words: an older one's, mostly.
//!
//! 1.15 says in its header how the data are compressed; that is all that it has over 1.14.
//!
//! 1.16 keeps large objects of one owner and the same rights as a group: an entry `BLOB METADATA` that lists their
//! numbers, one a line, and an entry `BLOBS` that depends on it. 1.14 and 1.15 have an entry `BLOB` for each. Tested
//! beside `toc`, and with the real programs in the tests of `postgres.dump`.

use crate::entry::{Entry, Offset};
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

/// The numbers that a group lists.
pub(crate) fn numbers(group: &Entry) -> Result<Vec<u32>, ArchiveError> {
    let text = group.definition.as_str().unwrap_or_default();
    let numbers: Option<Vec<u32>> =
        text.lines().filter(|line| !line.is_empty()).map(|line| line.trim().parse().ok()).collect();
    numbers
        .filter(|numbers| !numbers.is_empty())
        .ok_or_else(|| ArchiveError::damaged(format!("{} lists no large objects", group.shown())))
}

fn split_groups(toc: &mut Toc) -> Result<(), ArchiveError> {
    let mut next = toc.next_id()?;
    let mut entries = Vec::with_capacity(toc.entries.len());
    for entry in std::mem::take(&mut toc.entries) {
        if is_group_right(&entry) {
            continue;
        }
        if entry.desc != *"BLOB METADATA" {
            entries.push(Entry { relkind: 0, ..entry });
            continue;
        }
        for (index, number) in numbers(&entry)?.into_iter().enumerate() {
            // The first keeps the group's number, so that what depended on the group depends on it.
            let id = if index == 0 {
                entry.id
            } else {
                let id = next;
                next = next
                    .checked_add(1)
                    .ok_or_else(|| ArchiveError::damaged("no number is left for an entry"))?;
                id
            };
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
    }
    toc.entries = entries;
    Ok(())
}

/// Rights on a whole group, `LARGE OBJECTS 1..9`, which no older reader understands.
fn is_group_right(entry: &Entry) -> bool {
    let tagged = entry.tag.bytes().is_some_and(|tag| tag.starts_with(b"LARGE OBJECTS "));
    tagged && entry.desc == *"ACL"
}
