//! Ctrl-C: the first asks to stop, the second stops at once, with everything recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgferry_engine::state::store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Something may be changed from now on.
static CHANGING: AtomicBool = AtomicBool::new(false);

/// Until something is changed, SIGINT and SIGTERM simply end, having given a lock back that would outlive the process.
pub(crate) fn give_back(store: Arc<dyn Store>) {
    // Here and not in the task, which begins later.
    let Ok(mut signals) = Signals::new() else { return };
    tokio::spawn(async move {
        signals.next().await;
        if !CHANGING.load(Ordering::SeqCst) {
            store.give_back();
            std::process::exit(130);
        }
    });
}

/// From now on the first SIGINT or SIGTERM cancels `cancel`. Before, while nothing is changed, it simply ends.
pub(crate) fn watch(cancel: CancellationToken) {
    CHANGING.store(true, Ordering::SeqCst);
    let Ok(mut signals) = Signals::new() else { return };
    tokio::spawn(async move {
        signals.next().await;
        cancel.cancel();
        crate::view::talk(
            "Stopping: what runs is finished or left where the next apply finds it. Once more stops at once.",
        );
        signals.next().await;
        std::process::exit(130);
    });
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
