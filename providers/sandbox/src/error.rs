//! What can go wrong while the sandbox is started, run or stopped.
//!
//! It owns the messages only; requests that fail while the sandbox runs are answered over HTTP and never reach it.
//! Tested where the errors are raised.

use std::path::PathBuf;

/// Why the sandbox could not do what it was asked; none of these holds a secret.
///
/// Starting or stopping again is safe after each of them: `down` clears what a failed start left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No directory holds a complete Postgres server and its client programs.
    #[error(
        "no Postgres server was found: looked in {looked}; install one (Debian: `apt-get install postgresql \
         postgresql-contrib`, macOS: `brew install postgresql`) or name its `bin` folder in `PGFERRY_PG_BIN`"
    )]
    NoPostgres {
        /// The folders that were tried, comma-separated.
        looked: String,
    },
    /// A sandbox lives in this directory already.
    #[error(
        "a sandbox is already running in `{dir}`; stop it with `pgferry sandbox down --dir {dir}`"
    )]
    AlreadyRunning {
        /// The directory asked for.
        dir: String,
    },
    /// There is no sandbox in this directory.
    #[error("there is no sandbox in `{dir}`; start one with `pgferry sandbox up --dir {dir}`")]
    NotRunning {
        /// The directory asked for.
        dir: String,
    },
    /// The background process ended before it was ready.
    #[error("the sandbox ended before it was ready; the last lines of its log:\n{tail}")]
    Died {
        /// The end of `sandbox.log`.
        tail: String,
    },
    /// The background process is alive but was not ready in time.
    #[error("the sandbox was not ready after {seconds} s; the last lines of its log:\n{tail}")]
    Slow {
        /// How long was waited.
        seconds: u64,
        /// The end of `sandbox.log`.
        tail: String,
    },
    /// A process of the sandbox would not end.
    #[error("process {pid} did not end after it was killed")]
    Immortal {
        /// Its process id.
        pid: i32,
    },
    /// A file or directory could not be used.
    #[error("{doing} `{path}`")]
    File {
        /// What was attempted, as in "reading".
        doing: &'static str,
        /// The path it was attempted on.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A program of the Postgres installation failed.
    #[error("`{program}` failed:\n{output}")]
    Program {
        /// Its name, without arguments.
        program: &'static str,
        /// The end of what it said.
        output: String,
    },
    /// A program or a socket of the operating system could not be used.
    #[error("{doing}")]
    System {
        /// What was attempted.
        doing: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A statement on one of the sandbox's own servers failed.
    #[error("{doing}")]
    Postgres {
        /// What was attempted.
        doing: &'static str,
        /// The cause.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A certificate could not be made.
    #[error("making the certificates of the servers")]
    Certificate(#[from] rcgen::Error),
    /// A file that the sandbox wrote cannot be read back.
    #[error("`{path}` is damaged; `pgferry sandbox down` removes it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    pub(crate) fn system(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { doing, source }
    }

    pub(crate) fn postgres(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Postgres { doing, source }
    }
}
