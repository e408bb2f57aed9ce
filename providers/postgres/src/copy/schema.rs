//! The source's schema: `pg_dump` writes it, under the snapshot that the rows are read in.
//!
//! It comes as two scripts, before and after the rows, and is held in memory: its size is that of the schema. It knows
//! nothing of the target. Tested in `tests/copy.rs`.

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;

use crate::dump::hold::LOCK_TIMEOUT;
use crate::dump::process::launch;
use crate::fill::script::{Entry, entries};
use crate::programs::Program;

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
/// Left out, as by a dump: grants, owners, publications, subscriptions; and tablespaces, which are folders of the
/// source's machine. Large objects come with the rows.
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
        "--no-acl",
        "--no-owner",
        "--no-publications",
        "--no-subscriptions",
        "--no-tablespaces",
        // Large objects; the long name has changed.
        "-B",
        "--no-password",
        "--encoding=UTF8",
        "--dbname=keepalives=1 keepalives_idle=30 keepalives_interval=10 keepalives_count=5",
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
    Ok(entries(&text))
}
