//! Why bytes are no archive that we can read.

/// What is wrong with an archive, and where in it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It does not begin with `PGDMP`.
    #[error("this is no custom archive of `pg_dump`: it does not begin with `PGDMP`")]
    NotAnArchive,
    /// A version that nobody here has read.
    #[error("the archive has version {major}.{minor}; 1.14 to 1.16 can be read")]
    Version { major: u8, minor: u8 },
    /// Another of `pg_dump`'s formats, or something that the wanted version cannot say.
    #[error("the archive is of another kind: {what}")]
    Kind { what: String },
    /// Its bytes contradict themselves.
    #[error("the archive is damaged: {what}")]
    Damaged { what: String },
    /// It ends before it is complete.
    #[error("the archive ends early, in {within}")]
    Short { within: &'static str },
    /// Reading or writing failed.
    #[error("{doing} the archive")]
    Io {
        doing: &'static str,
        #[source]
        source: std::io::Error,
    },
}

impl ArchiveError {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    /// An error of reading, while `within` something.
    pub(crate) fn reading(source: std::io::Error, within: &'static str) -> Self {
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Short { within },
            _ => Self::Io { doing: "reading", source },
        }
    }

    pub(crate) fn writing(source: std::io::Error) -> Self {
        Self::Io { doing: "writing", source }
    }
}
