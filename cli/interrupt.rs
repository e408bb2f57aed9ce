//! Ctrl-C: the first asks to stop, the second stops at once, with everything recorded.

use tokio_util::sync::CancellationToken;

/// A token that the first SIGINT or SIGTERM cancels.
pub(crate) fn watch() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
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
    token
}

async fn next() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminate.recv() => Ok(()),
    }
}
