//! What asks a run to stop: Ctrl-C, SIGTERM, SIGHUP (a dropped terminal), and a stdout that cannot be written any more.
//!
//! The first asks to stop and says what is waited for. The same signal a second time stops at once, with everything
//! recorded; another one does not, since CI runners send SIGINT and, seconds later, SIGTERM. Tested by
//! `tests/interrupt.rs` and `tests/endings.rs` on the built program.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pgferry_engine::address::Address;
use pgferry_engine::state::store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::view;

/// Something may be changed from now on.
static CHANGING: AtomicBool = AtomicBool::new(false);

/// Stdout cannot be written any more.
static UNREAD: AtomicBool = AtomicBool::new(false);
static BECAME_UNREAD: Notify = Notify::const_new();

/// The store whose lock would outlive the process.
static LOCKED: Mutex<Option<Arc<dyn Store>>> = Mutex::new(None);

/// Until something is changed, a signal simply ends the process, having given a lock back that would outlive it.
pub(crate) fn give_back(store: Arc<dyn Store>) {
    *LOCKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
    let Some(mut signals) = Signals::listen() else { return };
    tokio::spawn(async move {
        signals.next().await;
        if !CHANGING.load(Ordering::SeqCst) {
            leave(130);
        }
    });
}

/// Ends the process before anything is changed.
fn leave(code: i32) -> ! {
    if let Some(store) = LOCKED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        store.give_back();
    }
    std::process::exit(code)
}

/// Stdout cannot be written any more, because of `cause`. A run that may have changed something is asked to stop, as by
/// Ctrl-C; any other ends at once, with the exit code of a program that a closed pipe has ended.
pub(crate) fn unread(cause: &Error) {
    if UNREAD.swap(true, Ordering::SeqCst) {
        return;
    }
    let changing = CHANGING.load(Ordering::SeqCst);
    // A reader such as `head` that has seen enough is no news where nothing is at stake.
    if changing || cause.kind() != ErrorKind::BrokenPipe {
        view::talk_error(&format!("stdout cannot be written: {cause}"), None);
    }
    if !changing {
        leave(141);
    }
    BECAME_UNREAD.notify_one();
}

/// Whether stdout was found not to be writable any more.
pub(crate) fn is_unread() -> bool {
    UNREAD.load(Ordering::SeqCst)
}

/// From now on the first signal, or the loss of stdout, cancels `cancel`. Before, while nothing is changed, the process
/// simply ends.
pub(crate) fn watch(cancel: CancellationToken) {
    CHANGING.store(true, Ordering::SeqCst);
    // Listening begins here, not when the task first runs, and never pauses: no signal is missed in between.
    let Some(mut signals) = Signals::listen() else { return };
    tokio::spawn(async move {
        let mut first = tokio::select! {
            asked = signals.next() => Some(asked),
            () = BECAME_UNREAD.notified() => None,
        };
        cancel.cancel();
        let waiting = view::running::waited_for();
        view::say(&match &waiting {
            Some(running) => format!("Stopping, as soon as what runs can be left: {running}"),
            None => "Stopping.".to_owned(),
        });
        view::say(
            "What is begun is finished, or left where the next apply finds it. Once more stops at once.",
        );
        loop {
            let again = signals.next().await;
            if again == *first.get_or_insert(again) && again != SignalKind::hangup() {
                break;
            }
        }
        let running = view::running::waited_for();
        view::say(&match running {
            Some(running) => format!(
                "Stopped at once, in the middle of: {running}\nEverything is recorded; the next `pgferry apply` settles it."
            ),
            None => "Stopped at once; everything is recorded.".to_owned(),
        });
        for (address, how) in open_now() {
            view::say(&format!("`{address}` stays open: {how}; or the next apply takes it over"));
        }
        AT_ONCE.notify_one();
    });
}

/// What is open, and how it is closed.
type Open = Box<dyn Fn() -> Vec<(Address, String)> + Send>;

static OPEN: Mutex<Option<Open>> = Mutex::new(None);

/// From now on `open` knows which scopes are open, for who stops at once.
pub(crate) fn names_what_is_open(open: impl Fn() -> Vec<(Address, String)> + Send + 'static) {
    *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(open));
}

fn open_now() -> Vec<(Address, String)> {
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.as_ref().map(|open| open()).unwrap_or_default()
}

static AT_ONCE: Notify = Notify::const_new();

/// Returns when the user asked a second time. Whoever waits for it drops what runs, commands and dumps included.
pub(crate) async fn at_once() {
    AT_ONCE.notified().await;
}

/// The signals that ask for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` under `nohup`, which has the signal ignored.
    hangup: Option<Signal>,
}

impl Signals {
    /// `None` where the system refuses; then signals end the process as ever.
    fn listen() -> Option<Self> {
        let hangup = match hangups_are_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup()).ok()?),
        };
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
            hangup,
        })
    }

    async fn next(&mut self) -> SignalKind {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = hangup => SignalKind::hangup(),
        }
    }
}

/// Whether the process was started with SIGHUP ignored, as by `nohup`. Linux tells in `/proc/self/status` (proc(5),
/// `SigIgn`); read before the first listener changes it, which is why the answer is kept.
fn hangups_are_ignored() -> bool {
    static IGNORED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & 1 != 0)
    })
}
