//! Ctrl-C: the first asks to stop, the second stops at once, with everything recorded.

use tokio_util::sync::CancellationToken;

/// From now on the first SIGINT or SIGTERM cancels `cancel`. Before, while nothing is changed, it simply ends.
pub(crate) fn watch(cancel: CancellationToken) {
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
