//! A thread of its own with a small runtime: what must be waited for goes on there, whoever waits and wherever.
//!
//! The engine appends to the journal from within tasks and may not go on before it is told. Tested through
//! `tests/state.rs`.

use std::future::Future;
use std::io;
use std::sync::mpsc::sync_channel;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

/// Stops what goes on there when dropped.
pub(super) struct Worker {
    /// Taken when dropped: a runtime may not be waited for within another.
    runtime: Option<Runtime>,
}

impl Worker {
    pub(super) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("state").enable_all().build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken when dropped only")
    }

    /// Lets something go on that nobody waits for.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(work);
    }

    /// Waits for `work`. Within a runtime of several threads, other tasks go on meanwhile.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (tell, told) = sync_channel(1);
        self.runtime().spawn(async move {
            // Nobody to tell: whoever waited is gone.
            let _ = tell.send(work.await);
        });
        let wait = || told.recv().expect("work on a state does not panic");
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
            _ => wait(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
