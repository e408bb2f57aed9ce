//! One stream of rows into one `COPY … FROM STDIN`, some kilobytes at a time, at the pace of the slower end.
//!
//! Tested in `tests/copy.rs` and `tests/restore.rs`.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, Stream, StreamExt};
use tokio_postgres::{CopyInSink, Error};

/// Bytes handed on at once: rows are told one by one, and each message costs.
const BATCH: usize = 32 << 10;

/// Whose fault it is.
pub(crate) enum Broken<E> {
    Source(E),
    Target(Error),
}

/// Pours `rows`, and gives how many there were. `passed` is told of bytes on their way.
///
/// # Errors
/// Either end failed; nothing of it is there.
pub(crate) async fn pour<E>(
    rows: impl Stream<Item = Result<Bytes, E>>,
    sink: CopyInSink<Bytes>,
    mut passed: impl FnMut(usize),
) -> Result<u64, Broken<E>> {
    tokio::pin!(rows, sink);
    let mut batch = BytesMut::new();
    while let Some(row) = rows.next().await {
        let row = row.map_err(Broken::Source)?;
        let whole = if batch.is_empty() && row.len() >= BATCH {
            row
        } else {
            batch.reserve(if batch.is_empty() { BATCH + BATCH / 2 } else { row.len() });
            batch.extend_from_slice(&row);
            if batch.len() < BATCH {
                continue;
            }
            batch.split().freeze()
        };
        passed(whole.len());
        if sink.send(whole).await.is_err() {
            // The reason comes with the end.
            break;
        }
    }
    if !batch.is_empty() {
        passed(batch.len());
        // As above.
        let _closed = sink.send(batch.freeze()).await;
    }
    sink.finish().await.map_err(Broken::Target)
}
