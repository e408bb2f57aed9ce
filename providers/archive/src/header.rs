//! The head of an archive: its version, how its data are compressed, when and of what it was made.
//!
//! Tested by the round trips of `toc`.

use std::io::{Read, Write};

use crate::entry::Text;
use crate::error::ArchiveError;
use crate::primitive::{int, put, put_text, read_byte, read_int, read_text};

const WITHIN: &str = "the header";
const MAGIC: &[u8; 5] = b"PGDMP";

/// The format of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Written by `pg_dump` 12 to 15; read by every `pg_restore` from 12 on.
    V1_14,
    /// Written by `pg_dump` 16.
    V1_15,
    /// Written by `pg_dump` 17 and 18.
    V1_16,
}

impl Version {
    fn minor(self) -> u8 {
        match self {
            Self::V1_14 => 14,
            Self::V1_15 => 15,
            Self::V1_16 => 16,
        }
    }
}

/// `1.14`.
impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "1.{}", self.minor())
    }
}

/// What the bytes of a stream of data are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The data themselves.
    None,
    /// One zlib stream (RFC 1950). The level is for people: readers do not need it.
    Zlib { level: i32 },
    /// Frames of lz4; since 1.15.
    Lz4,
    /// Frames of zstd; since 1.15.
    Zstd,
}

/// What stands before the table of contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub version: Version,
    pub compression: Compression,
    /// Second, minute, hour, day, month from 0, years since 1900, daylight saving: local time where it was made.
    pub made_at: [i32; 7],
    pub database: Text,
    /// As the server says it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: Text,
    pub pg_dump_version: Text,
}

impl Header {
    pub(crate) fn read(from: &mut impl Read) -> Result<Self, ArchiveError> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => ArchiveError::NotAnArchive,
            _ => ArchiveError::reading(cause, WITHIN),
        })?;
        if &magic != MAGIC {
            return Err(ArchiveError::NotAnArchive);
        }
        let (major, minor) = (read_byte(from, WITHIN)?, read_byte(from, WITHIN)?);
        let version = match (major, minor) {
            (1, 14) => Version::V1_14,
            (1, 15) => Version::V1_15,
            (1, 16) => Version::V1_16,
            _ => return Err(ArchiveError::Version { major, minor }),
        };
        let _revision = read_byte(from, WITHIN)?;
        let sizes = (read_byte(from, WITHIN)?, read_byte(from, WITHIN)?);
        if sizes != (4, 8) {
            let what = format!("its numbers have {} and {} bytes, not 4 and 8", sizes.0, sizes.1);
            return Err(ArchiveError::Kind { what });
        }
        match read_byte(from, WITHIN)? {
            1 => {}
            3 => return Err(ArchiveError::Kind { what: "tar, not custom".to_owned() }),
            5 => return Err(ArchiveError::Kind { what: "a directory's, not custom".to_owned() }),
            other => return Err(ArchiveError::Kind { what: format!("format {other}") }),
        }
        let compression = compression(from, version)?;
        let mut made_at = [0; 7];
        for field in &mut made_at {
            *field = read_int(from, WITHIN)?;
        }
        Ok(Self {
            version,
            compression,
            made_at,
            database: read_text(from, WITHIN)?,
            server_version: read_text(from, WITHIN)?,
            pg_dump_version: read_text(from, WITHIN)?,
        })
    }

    pub(crate) fn write(&self, to: &mut impl Write) -> Result<(), ArchiveError> {
        put(to, MAGIC)?;
        put(to, &[1, self.version.minor(), 0, 4, 8, 1])?;
        match (self.version, self.compression) {
            (Version::V1_14, Compression::None) => put(to, &int(0))?,
            // 0 would say that nothing is compressed.
            (Version::V1_14, Compression::Zlib { level: 0 }) => put(to, &int(-1))?,
            (Version::V1_14, Compression::Zlib { level }) => put(to, &int(level))?,
            (Version::V1_14, other) => {
                let what = format!("version 1.14 knows no {other:?}");
                return Err(ArchiveError::Kind { what });
            }
            (_, Compression::None) => put(to, &[0])?,
            (_, Compression::Zlib { .. }) => put(to, &[1])?,
            (_, Compression::Lz4) => put(to, &[2])?,
            (_, Compression::Zstd) => put(to, &[3])?,
        }
        for field in self.made_at {
            put(to, &int(field))?;
        }
        put_text(to, &self.database)?;
        put_text(to, &self.server_version)?;
        put_text(to, &self.pg_dump_version)
    }
}

fn compression(from: &mut impl Read, version: Version) -> Result<Compression, ArchiveError> {
    if version == Version::V1_14 {
        return Ok(match read_int(from, WITHIN)? {
            0 => Compression::None,
            level => Compression::Zlib { level },
        });
    }
    match read_byte(from, WITHIN)? {
        0 => Ok(Compression::None),
        1 => Ok(Compression::Zlib { level: -1 }),
        2 => Ok(Compression::Lz4),
        3 => Ok(Compression::Zstd),
        other => Err(ArchiveError::damaged(format!("compression number {other}"))),
    }
}
