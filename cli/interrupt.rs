//! Ctrl-C: the first asks to stop, the second stops at once, with everything recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgferry_engine::state::store::Store;
use tokio_util::sync::CancellationToken;

/// Something may be changed from now on.
static CHANGING: AtomicBool = AtomicBool::new(false);

/// Until something is changed, SIGINT and SIGTERM simply end, having given a lock back that would outlive the process.
pub(crate) fn give_back(store: Arc<dyn Store>) {
    tokio::spawn(async move {
        if next().await.is_ok() && !CHANGING.load(Ordering::SeqCst) {
            store.give_back();
            std::process::exit(130);
        }
    });
}

/// From now on the first SIGINT or SIGTERM cancels `cancel`. Before, while nothing is changed, it simply ends.
pub(crate) fn watch(cancel: CancellationToken) {
    CHANGING.store(true, Ordering::SeqCst);
    tokio::spawn(async move {
        if next().await.is_err() {
            return;
        }
        cancel.cancel();
        crate::view::talk(
            "Stopping: what runs is finished or left where the next apply finds it. Once more stops at once.",
        );
        if next().await.is_ok() {
            std::process::exit(130);
        }
    });
}

async fn next() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}
