//! The process of a command: started so that it ends with pgferry, noted so that the next run finds what is left of it.
//!
//! On Linux a command is started through pgferry itself ([`become_command`]), which asks the system to kill it when its
//! parent dies; a script's children are found by their process group. Elsewhere the group alone is looked for. Tested in
//! `tests.rs` and, with a pgferry that is killed, in the repository's `tests/kills.rs`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use pgferry_engine::cx::Cx;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// From the request to end until it is enforced.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether a group that is no child of ours has ended.
const LOOK: Duration = Duration::from_millis(100);

/// The first argument with which this program is started to become a command.
pub const BECOME: &str = "__command";

/// This program, where it is one that understands [`BECOME`].
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Has commands started through `program`, which must be this one: given [`BECOME`], the number of the process that started
/// it and a command, it calls [`become_command`].
pub fn start_through(program: PathBuf) {
    let _already = PROGRAM.set(program);
}

/// Turns this process into a command. `words`: the number of the process that it is to end with, the program, its arguments.
/// Comes back only if that fails, and says why.
pub fn become_command(words: impl IntoIterator<Item = OsString>) -> String {
    let mut words = words.into_iter();
    let (Some(parent), Some(program)) = (words.next(), words.next()) else {
        return "no command is given".to_owned();
    };
    #[cfg(target_os = "linux")]
    {
        let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        let present = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        // It died before that was asked for; whoever adopted us is not it.
        if bound.is_ok() && parent != *present.to_string() {
            return "its pgferry has ended".to_owned();
        }
    }
    let cause = std::process::Command::new(&program).args(words).exec();
    format!("starting `{}`: {cause}", Path::new(&program).display())
}

/// What starts `program`.
pub(super) fn command(program: &Path) -> tokio::process::Command {
    match PROGRAM.get().filter(|_| cfg!(target_os = "linux") && program.exists()) {
        Some(own) => {
            let mut command = tokio::process::Command::new(own);
            command.arg(BECOME).arg(std::process::id().to_string()).arg(program);
            command
        }
        // Also one that is not there, so that the system says so at once.
        None => tokio::process::Command::new(program),
    }
}

type Start = Box<dyn FnOnce() + Send>;

/// Starts `command`, on a thread that lives as long as this process: the system takes the death of the thread that started a
/// process for that of its parent (prctl(2)), and those of the runtime come and go.
///
/// # Errors
/// The system's. Dropped, it ends what it has started, if the command is to be killed then.
pub(super) async fn start(mut command: tokio::process::Command) -> io::Result<Child> {
    static STARTER: OnceLock<Sender<Start>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, starts) = channel::<Start>();
        std::thread::spawn(move || starts.into_iter().for_each(|start| start()));
        sender
    });
    let (tell, told) = oneshot::channel();
    let runtime = Handle::current();
    let start = move || {
        let _inside = runtime.enter();
        // Nobody waits for it any more: it is dropped.
        let _unwanted = tell.send(command.spawn());
    };
    let gone = || io::Error::other("the thread that starts commands has ended");
    starter.send(Box::new(start)).map_err(|_| gone())?;
    told.await.map_err(|_| gone())?
}

/// The command with all that it has started; killed when dropped.
pub(super) struct Group(Option<Pid>);

/// A group as it is noted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    group: i32,
    /// When its first process began, in the system's own measure, where that tells. Numbers of processes come again.
    began: Option<u64>,
}

impl Group {
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// What the next run needs to find it.
    pub(super) fn note(&self) -> Json {
        let noted = self.0.map(|group| {
            let group = group.as_raw_nonzero().get();
            Noted { group, began: began(group) }
        });
        json!({ "process": noted })
    }

    /// Asks it to end, and makes it end if it does not.
    pub(super) async fn end(mut self, cx: &Cx, child: &mut Child) {
        let Some(group) = self.0.take() else { return };
        // Gone already is as good, here and below.
        let _gone = kill_process_group(group, Signal::TERM);
        tokio::select! {
            _ = child.wait() => {}
            () = cx.world.clock.sleep(GRACE) => {}
        }
        let _gone = kill_process_group(group, Signal::KILL);
        let _ended = child.wait().await;
    }

    /// It has ended; what it left running is meant to go on.
    pub(super) fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Ends what a run that died has left of a command, so that it does not run twice at once. `notes` are that run's.
pub(super) async fn end_former(cx: &Cx, notes: &Json) {
    let noted = notes.get("process").and_then(|it| Noted::deserialize(it).ok());
    let Some(noted) = noted else { return };
    let Some(group) = Pid::from_raw(noted.group).filter(|_| noted.is_there()) else { return };
    let number = noted.group;
    cx.warn(format!(
        "what is left of the command of a run that died is ended: process group {number}"
    ));
    for (signal, waits) in [(Signal::TERM, GRACE), (Signal::KILL, GRACE)] {
        let _gone = kill_process_group(group, signal);
        let mut waited = Duration::ZERO;
        while waited < waits && noted.is_there() {
            cx.world.clock.sleep(LOOK).await;
            waited += LOOK;
        }
    }
}

impl Noted {
    /// Whether a process of it is there. While one is, its number is nobody else's; the number of one whose first process
    /// is gone, and which another process has, is.
    fn is_there(&self) -> bool {
        let is_other = || began(self.group).is_some_and(|began| Some(began) != self.began);
        Pid::from_raw(self.group).is_some_and(|group| test_kill_process_group(group).is_ok())
            && !is_other()
    }
}

/// When the process of this number began, in ticks since the machine did (proc(5)); `None` where there is none, or the
/// system does not tell.
fn began(process: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program comes second, in parentheses, and may hold anything; the 22nd field is the time.
    let (_, rest) = status.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}
