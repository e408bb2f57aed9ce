//! The head of an archive: header and table of contents, and what may be changed in it.
//!
//! Entries keep their order: a restore from a pipe needs the blocks of data in the order of their entries. Tested by
//! round trips of random ones, by garbage, and with the real programs in the tests of `postgres.dump`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use crate::entry::{Entry, Offset, Section};
use crate::error::ArchiveError;
use crate::header::{Header, Version};
use crate::primitive::{int, put, read_int};

/// Header and entries of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toc {
    pub header: Header,
    pub entries: Vec<Entry>,
}

/// Entries that a restore must find first: they say how the rest is to be read.
const LEADING: [&str; 3] = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

impl Toc {
    /// Reads to the end of the table of contents, where the first block of data begins.
    ///
    /// Reads value by value: give it something buffered. Memory follows what is there, not what is claimed.
    ///
    /// # Errors
    /// See [`ArchiveError`].
    pub fn read(from: &mut impl Read) -> Result<Self, ArchiveError> {
        let header = Header::read(from)?;
        let count = read_int(from, "the table of contents")?;
        let count = u32::try_from(count)
            .map_err(|_| ArchiveError::damaged(format!("it has {count} entries")))?;
        let mut entries = Vec::new();
        let mut ids = BTreeSet::new();
        for _ in 0..count {
            let entry = Entry::read(from, header.version)?;
            if !ids.insert(entry.id) {
                return Err(ArchiveError::damaged(format!("two entries are number {}", entry.id)));
            }
            entries.push(entry);
        }
        Ok(Self { header, entries })
    }

    /// Writes header and table of contents. Their length does not depend on offsets, so that they can be written
    /// again over themselves once those are known.
    ///
    /// # Errors
    /// Of `to`; and [`ArchiveError::Kind`] for what the header's version cannot say.
    pub fn write(&self, to: &mut impl Write) -> Result<(), ArchiveError> {
        self.header.write(to)?;
        let count = i32::try_from(self.entries.len())
            .map_err(|_| ArchiveError::damaged(format!("{} entries", self.entries.len())))?;
        put(to, &int(count))?;
        for entry in &self.entries {
            entry.write(to, self.header.version)?;
        }
        Ok(())
    }

    /// As [`Toc::write`], into memory.
    ///
    /// # Errors
    /// As [`Toc::write`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        Ok(bytes)
    }

    /// The entry of that number.
    pub fn entry(&self, id: i32) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// A number that no entry has.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] if the numbers have run out.
    pub fn next_id(&self) -> Result<i32, ArchiveError> {
        let highest = self.entries.iter().map(|entry| entry.id).max().unwrap_or(0);
        highest
            .checked_add(1)
            .ok_or_else(|| ArchiveError::damaged("no number is left for an entry"))
    }

    /// The name of the encoding that its texts and rows are in, as `ENCODING` says it: `UTF8`.
    pub fn encoding(&self) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.desc == *"ENCODING")?;
        entry.definition.as_str()?.split('\'').nth(1)
    }

    /// Leaves out every entry of which `unwanted` is true. Their numbers stay unused; what depended on them is
    /// restored as if it had not. Do it before any data are written: their blocks are not taken away.
    pub fn drop_entries(&mut self, mut unwanted: impl FnMut(&Entry) -> bool) {
        self.entries.retain(|entry| !unwanted(entry));
    }

    /// Takes all owners away, so that what is restored belongs to the role that restores.
    pub fn blank_owners(&mut self) {
        for entry in &mut self.entries {
            entry.owner = "".into();
        }
    }

    /// Has SQL run before everything else, on the session of a restore with one job.
    ///
    /// # Errors
    /// As [`Toc::next_id`].
    pub fn put_first(&mut self, tag: &str, sql: &str) -> Result<(), ArchiveError> {
        let entry = Entry::statement(self.next_id()?, Section::PreData, tag, sql);
        let leading = |entry: &Entry| LEADING.iter().any(|desc| entry.desc == **desc);
        let at = self.entries.iter().rposition(leading).map_or(0, |last| last + 1);
        self.entries.insert(at, entry);
        Ok(())
    }

    /// Has SQL run after everything else.
    ///
    /// # Errors
    /// As [`Toc::next_id`].
    pub fn put_last(&mut self, tag: &str, sql: &str) -> Result<(), ArchiveError> {
        let entry = Entry::statement(self.next_id()?, Section::PostData, tag, sql);
        self.entries.push(entry);
        Ok(())
    }

    /// Gives the places of the entries that `chosen` picks to the same entries in the order of `key`; all others stay
    /// where they are. Equal keys keep their order.
    pub fn rearrange<K: Ord>(
        &mut self,
        chosen: impl Fn(&Entry) -> bool,
        key: impl Fn(&Entry) -> K,
    ) {
        let places: Vec<usize> =
            (0..self.entries.len()).filter(|at| chosen(&self.entries[*at])).collect();
        let mut picked: Vec<Entry> = places.iter().map(|at| self.entries[*at].clone()).collect();
        picked.sort_by_key(key);
        for (at, entry) in places.into_iter().zip(picked) {
            self.entries[at] = entry;
        }
    }

    /// Says where the blocks of entries begin, by their numbers.
    pub fn place(&mut self, offsets: &BTreeMap<i32, u64>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.has_data()) {
            if let Some(offset) = offsets.get(&entry.id) {
                entry.offset = Offset::At(*offset);
            }
        }
    }

    /// Turns it into one of `version`, which every `pg_restore` that reads that version can read.
    ///
    /// Groups of large objects, and rights on them, become single ones; the kinds of relations are left out. Offsets are forgotten, because the length changes. Blocks of data can follow as they are, unless
    /// they are compressed as the older version cannot say.
    ///
    /// # Errors
    /// [`ArchiveError::Kind`] for 1.16 out of an older one, and for a compression that the older one does not know;
    /// [`ArchiveError::Damaged`] for a group of large objects that lists none.
    pub fn convert(&mut self, version: Version) -> Result<(), ArchiveError> {
        crate::downgrade::convert(self, version)
    }
}

/// The number of each large object whose contents are in the block of `entry`, in the order in which `pg_dump` would
/// write them. Ask before [`Toc::convert`]: a group's list is gone after it.
///
/// # Errors
/// [`ArchiveError::Damaged`] for numbers that are none.
pub fn large_objects(toc: &Toc, entry: &Entry) -> Result<Vec<u32>, ArchiveError> {
    if toc.header.version >= Version::V1_16 {
        let groups = entry.dependencies.iter().filter_map(|id| toc.entry(*id));
        let mut numbers = Vec::new();
        for group in groups.filter(|group| group.desc == *"BLOB METADATA") {
            numbers.extend(crate::downgrade::group_numbers(group)?);
        }
        return Ok(numbers);
    }
    let blobs = toc.entries.iter().filter(|entry| entry.desc == *"BLOB");
    Ok(blobs.map(|blob| blob.catalog.1).collect())
}

#[cfg(test)]
mod tests;
