//! Ctrl-C: the first asks to stop and says what is waited for, the second stops at once, with everything recorded.
//!
//! Tested by `tests/interrupt.rs` on the built program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pgferry_engine::state::store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::view;

/// Something may be changed from now on.
static CHANGING: AtomicBool = AtomicBool::new(false);

/// Until something is changed, SIGINT and SIGTERM simply end, having given a lock back that would outlive the process.
pub(crate) fn give_back(store: Arc<dyn Store>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        if !CHANGING.load(Ordering::SeqCst) {
            store.give_back();
            std::process::exit(130);
        }
    });
}

/// From now on the first SIGINT or SIGTERM cancels `cancel`. Before, while nothing is changed, it simply ends.
pub(crate) fn watch(cancel: CancellationToken) {
    CHANGING.store(true, Ordering::SeqCst);
    // Listening begins here, not when the task first runs, and never pauses: no signal is missed in between.
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::spawn(async move {
        next(&mut interrupt, &mut terminate).await;
        cancel.cancel();
        let waiting = view::running::waited_for();
        view::say(&match &waiting {
            Some(running) => format!("Stopping, as soon as what runs can be left: {running}"),
            None => "Stopping.".to_owned(),
        });
        view::say(
            "What is begun is finished, or left where the next apply finds it. Once more stops at once.",
        );
        next(&mut interrupt, &mut terminate).await;
        let running = view::running::waited_for();
        view::say(&match running {
            Some(running) => format!(
                "Stopped at once, in the middle of: {running}\nEverything is recorded; the next `pgferry apply` settles it."
            ),
            None => "Stopped at once; everything is recorded.".to_owned(),
        });
        AT_ONCE.notify_one();
    });
}

static AT_ONCE: Notify = Notify::const_new();

/// Returns when the user asked a second time. Whoever waits for it drops what runs, commands and dumps included.
pub(crate) async fn at_once() {
    AT_ONCE.notified().await;
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
