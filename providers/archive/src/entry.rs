//! One line of the table of contents: an object, the SQL that makes it, and where its data are.
//!
//! Tested by the round trips of `toc`.

use std::io::{Read, Write};

use crate::error::ArchiveError;
use crate::header::Version;
use crate::primitive::{int, put, put_offset, put_text, read_int, read_offset, read_text};

const WITHIN: &str = "the table of contents";

/// A text in the archive's encoding, or none at all, which differs from an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(Option<Vec<u8>>);

impl Text {
    pub const NONE: Self = Self(None);

    /// Its bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.0.as_deref()
    }

    /// As UTF-8, if it is there and is that.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// For people; what is not UTF-8 is shown as such.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(self.bytes().unwrap_or_default()).into_owned()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Some(text.as_bytes().to_vec()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Some(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Some(bytes))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.bytes() == Some(other.as_bytes())
    }
}

/// When a restore takes an entry's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    None,
    PreData,
    Data,
    PostData,
}

impl Section {
    fn number(self) -> i32 {
        match self {
            Self::None => 1,
            Self::PreData => 2,
            Self::Data => 3,
            Self::PostData => 4,
        }
    }
}

/// Where an entry's block of data begins, counted from the archive's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// It has data, at a place that the writer could not tell.
    Unknown,
    At(u64),
    NoData,
}

/// One entry. Which fields mean something depends on [`Entry::desc`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Above 0 and unique; blocks of data and dependencies name it.
    pub id: i32,
    /// The row of the catalogue that it was made of: the catalogue's number and the object's. 0 where there is none.
    pub catalog: (u32, u32),
    /// The object's name as listed: `docs`, `touch()`, `EXTENSION tablefunc`.
    pub tag: Text,
    /// What it is: `TABLE`, `TABLE DATA`, `COMMENT`, `BLOBS` …
    pub desc: Text,
    pub section: Section,
    /// The SQL that makes it.
    pub definition: Text,
    /// The SQL that removes it.
    pub drop: Text,
    /// Of `TABLE DATA`: `COPY schema.table (columns) FROM stdin;`.
    pub copy: Text,
    pub namespace: Text,
    pub tablespace: Text,
    pub access_method: Text,
    /// The letter of the relation's kind, 0 for others; since 1.16.
    pub relkind: i32,
    pub owner: Text,
    /// `false`, since tables have no object numbers any more.
    pub with_oids: Text,
    pub dependencies: Vec<i32>,
    /// Also says whether it has data.
    pub offset: Offset,
}

impl Entry {
    /// An entry of our own: SQL that is run in `section`. Its `desc` is a word of no meaning to `pg_restore`, so that no
    /// option of it leaves the entry out.
    pub fn statement(id: i32, section: Section, tag: &str, definition: &str) -> Self {
        Self {
            id,
            catalog: (0, 0),
            tag: tag.into(),
            desc: "PGFERRY".into(),
            section,
            definition: definition.into(),
            drop: "".into(),
            copy: "".into(),
            namespace: Text::NONE,
            tablespace: Text::NONE,
            access_method: Text::NONE,
            relkind: 0,
            owner: "".into(),
            with_oids: "false".into(),
            dependencies: Vec::new(),
            offset: Offset::NoData,
        }
    }

    /// Whether a block of data belongs to it.
    pub fn has_data(&self) -> bool {
        self.offset != Offset::NoData
    }

    /// `TABLE DATA app.docs`, for people.
    pub fn shown(&self) -> String {
        match self.namespace.bytes() {
            Some(_) => {
                format!("{} {}.{}", self.desc.shown(), self.namespace.shown(), self.tag.shown())
            }
            None => format!("{} {}", self.desc.shown(), self.tag.shown()),
        }
    }

    pub(crate) fn read(from: &mut impl Read, version: Version) -> Result<Self, ArchiveError> {
        let id = read_int(from, WITHIN)?;
        if id <= 0 {
            return Err(ArchiveError::damaged(format!("an entry has the number {id}")));
        }
        let has_dumper = read_int(from, WITHIN)? != 0;
        let catalog = (number(from)?, number(from)?);
        let (tag, desc) = (read_text(from, WITHIN)?, read_text(from, WITHIN)?);
        let section = match read_int(from, WITHIN)? {
            1 => Section::None,
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            other => {
                return Err(ArchiveError::damaged(format!("entry {id} is in section {other}")));
            }
        };
        let [definition, drop, copy, namespace, tablespace, access_method] = [
            read_text(from, WITHIN)?,
            read_text(from, WITHIN)?,
            read_text(from, WITHIN)?,
            read_text(from, WITHIN)?,
            read_text(from, WITHIN)?,
            read_text(from, WITHIN)?,
        ];
        let relkind = if version >= Version::V1_16 { read_int(from, WITHIN)? } else { 0 };
        let (owner, with_oids) = (read_text(from, WITHIN)?, read_text(from, WITHIN)?);
        let mut dependencies = Vec::new();
        loop {
            let text = read_text(from, WITHIN)?;
            if text.bytes().is_none() {
                break;
            }
            let number = text.as_str().and_then(|text| text.parse().ok());
            dependencies.push(number.ok_or_else(|| {
                ArchiveError::damaged(format!("entry {id} depends on `{}`", text.shown()))
            })?);
        }
        let offset = match (has_dumper, read_offset(from)?) {
            (false, _) => Offset::NoData,
            // It says that data belong to it, and cannot say where.
            (true, Offset::NoData) => Offset::Unknown,
            (true, offset) => offset,
        };
        Ok(Self {
            id,
            catalog,
            tag,
            desc,
            section,
            definition,
            drop,
            copy,
            namespace,
            tablespace,
            access_method,
            relkind,
            owner,
            with_oids,
            dependencies,
            offset,
        })
    }

    pub(crate) fn write(&self, to: &mut impl Write, version: Version) -> Result<(), ArchiveError> {
        put(to, &int(self.id))?;
        put(to, &int(i32::from(self.has_data())))?;
        put_text(to, &self.catalog.0.to_string().into())?;
        put_text(to, &self.catalog.1.to_string().into())?;
        put_text(to, &self.tag)?;
        put_text(to, &self.desc)?;
        put(to, &int(self.section.number()))?;
        for text in [
            &self.definition,
            &self.drop,
            &self.copy,
            &self.namespace,
            &self.tablespace,
            &self.access_method,
        ] {
            put_text(to, text)?;
        }
        if version >= Version::V1_16 {
            put(to, &int(self.relkind))?;
        }
        put_text(to, &self.owner)?;
        put_text(to, &self.with_oids)?;
        for dependency in &self.dependencies {
            put_text(to, &dependency.to_string().into())?;
        }
        put_text(to, &Text::NONE)?;
        put_offset(to, self.offset)
    }
}

/// A number of the catalogue, written as decimal text.
fn number(from: &mut impl Read) -> Result<u32, ArchiveError> {
    let text = read_text(from, WITHIN)?;
    text.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        ArchiveError::damaged(format!("`{}` is no number of an object", text.shown()))
    })
}
