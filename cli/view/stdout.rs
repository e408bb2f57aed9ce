//! Data on stdout, for readers that are slow, and for those that go away.
//!
//! A pipe that is set to non-blocking is waited for. Where stdout cannot be written any more (closed pipe, full disk),
//! [`interrupt::unread`] decides what becomes of the run; from then on nothing more is written. Tested by
//! `tests/endings.rs` on the built program.

use std::io::{ErrorKind, Result, StdoutLock, Write};

use rustix::event::{PollFd, PollFlags, poll};

use super::bars;
use crate::interrupt;

/// Has `write` put data on stdout, unless an earlier write failed.
pub(super) fn write(write: impl FnOnce(&mut dyn Write) -> Result<()>) {
    if interrupt::is_unread() {
        return;
    }
    let written = bars::apart(|| {
        let mut out = Waiting(std::io::stdout().lock());
        write(&mut out).and_then(|()| out.flush())
    });
    if let Err(cause) = written {
        interrupt::unread(&cause);
    }
}

/// Whether stdout takes colour.
pub(super) fn takes_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// Stdout that waits where a non-blocking pipe is full.
struct Waiting(StdoutLock<'static>);

impl Waiting {
    /// Repeats `attempt` until the pipe takes it. A refused attempt took nothing: its bytes may be offered again.
    fn wait<T>(
        &mut self,
        mut attempt: impl FnMut(&mut StdoutLock<'static>) -> Result<T>,
    ) -> Result<T> {
        loop {
            match attempt(&mut self.0) {
                Err(full) if full.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], None)?;
                }
                other => return other,
            }
        }
    }
}

impl Write for Waiting {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.wait(|out| out.write(bytes))
    }

    fn flush(&mut self) -> Result<()> {
        self.wait(Write::flush)
    }
}
