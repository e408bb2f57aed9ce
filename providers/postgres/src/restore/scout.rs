//! Finds the blocks of an archive that was written into a pipe and cannot say where they are: it reads all of it once,
//! without inflating, ahead of the workers, who read their blocks again.
//!
//! Tested in `tests/restore.rs` with an archive of `pg_dump`'s own.

use std::sync::Arc;

use pgferry_archive::ArchiveError;
use pgferry_archive::block::{Block as Found, Blocks};
use pgferry_engine::fault::Fault;

use super::blocks::{Block, Waiting};
use super::contents::Contents;
use super::stream::{Fetch, Incoming};

/// A block's head: its kind, and the number of its entry.
const HEAD: u64 = 6;
/// A block of more bytes is told before its end is known: by then a worker is well on its way.
const LARGE: u64 = 16 << 20;

/// Tells `waiting` of all blocks, in a thread of its own; dropping `contents`' readers stops it.
///
/// # Errors
/// The archive cannot be read.
pub(super) async fn scout(
    contents: &Contents,
    fetch: &Fetch,
    waiting: Arc<Waiting>,
) -> Result<(), Fault> {
    let object = &contents.object;
    let incoming = fetch.stream(contents.data, object.size, |_| {});
    let broken = incoming.broken();
    let looking = tokio::task::spawn_blocking(move || {
        let looked = look(incoming, &waiting);
        // Whatever came of it: nobody shall wait for more.
        waiting.complete();
        looked
    });
    looking
        .await
        .map_err(|cause| Fault::bug("a reader that does not end").because(cause))?
        .map_err(|cause| broken.fault(object.name(), cause))
}

fn look(incoming: Incoming, waiting: &Waiting) -> Result<(), ArchiveError> {
    let mut blocks = Blocks::new(incoming);
    let mut chunk = Vec::new();
    while let Some(found) = blocks.next_block()? {
        let at = blocks.source().at() - HEAD;
        let mut told = false;
        let id = match found {
            Found::Table(id) => {
                while blocks.next_chunk(&mut chunk)? {
                    if !told && blocks.source().at() - at > LARGE {
                        waiting.add(Block { id, at, end: None });
                        told = true;
                    }
                }
                id
            }
            Found::LargeObjects(id) => {
                while blocks.next_object()?.is_some() {
                    while blocks.next_chunk(&mut chunk)? {}
                }
                id
            }
        };
        if !told {
            waiting.add(Block { id, at, end: Some(blocks.source().at()) });
        }
    }
    Ok(())
}
