//! What a command says: passed on line by line, the last lines kept for the message of a failure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgferry_engine::cx::Cx;
use pgferry_engine::secret::unfinished;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinHandle;

const KEPT: usize = 20;
/// A line longer than this is passed on in pieces.
const LONGEST: usize = 8 * 1024;
/// How long what was said last may take to arrive after the end; longer only if something else holds the pipe.
const REST: Duration = Duration::from_secs(1);

type Kept = Arc<Mutex<VecDeque<String>>>;

/// The readers of a command's two streams.
pub(super) struct Lines {
    kept: Kept,
    readers: Vec<JoinHandle<()>>,
}

impl Lines {
    /// Takes the pipes of `child` and passes its lines to `cx`.
    pub(super) fn follow(cx: &Cx, child: &mut Child) -> Self {
        let kept = Kept::default();
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(tokio::spawn(follow(stdout, cx.clone(), Arc::clone(&kept))));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(tokio::spawn(follow(stderr, cx.clone(), Arc::clone(&kept))));
        }
        Self { kept, readers }
    }

    /// The last lines, once all was read.
    pub(super) async fn last(self, cx: &Cx) -> Vec<String> {
        let mut patience = cx.world.clock.sleep(REST);
        for mut reader in self.readers {
            tokio::select! {
                _ = &mut reader => {}
                () = &mut patience => {
                    reader.abort();
                    patience = cx.world.clock.sleep(Duration::ZERO);
                }
            }
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

async fn follow(mut pipe: impl AsyncRead + Unpin, cx: Cx, kept: Kept) {
    let mut buffer = Vec::with_capacity(LONGEST);
    loop {
        let read = pipe.read_buf(&mut buffer).await;
        let ended = !matches!(read, Ok(count) if count > 0);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            pass(&line[..end], &cx, &kept);
        }
        if ended {
            if !buffer.is_empty() {
                pass(&buffer, &cx, &kept);
            }
            return;
        }
        if buffer.len() >= LONGEST {
            let piece = passable(&mut buffer);
            if !piece.is_empty() {
                pass(piece.as_bytes(), &cx, &kept);
            }
        }
    }
}

/// Takes out of a line that has not ended what can be shown by itself: up to a whole letter, and without the beginning
/// of a secret.
fn passable(buffer: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(buffer) {
        Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
        _ => buffer.len(),
    };
    let rest = buffer.split_off(whole);
    let mut text = String::from_utf8_lossy(buffer).into_owned();
    let waiting = text.split_off(text.len() - unfinished(&text));
    *buffer = waiting.into_bytes();
    buffer.extend(rest);
    text
}

fn pass(line: &[u8], cx: &Cx, kept: &Kept) {
    let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(text.clone());
    drop(kept);
    cx.output(text);
}
