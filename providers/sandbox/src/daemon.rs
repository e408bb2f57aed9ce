//! A sandbox in the background: started by one process, stopped by another.
//!
//! It owns `sandbox.pid`, locked by the background process for as long as it lives, so that a crash and a reused
//! process id are told apart from a sandbox at work; and `sandbox.log`. Tested in `tests/lifecycle.rs`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::tail;
use crate::environment::Environment;
use crate::error::Error;
use crate::remains::{self, Remains, remove_file};
use crate::sandbox::{Options, Sandbox};

/// How long `up` waits: two servers and the seed take seconds, on a busy machine a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// What the background process keeps of its own environment: no credential of the real services is among it.
const INHERITED: [&str; 6] = ["PATH", "HOME", "TMPDIR", "LANG", "PGFERRY_PG_BIN", "RUST_BACKTRACE"];

/// What is in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// A sandbox that is ready.
    Running {
        /// The background process.
        pid: i32,
        /// How to reach it.
        environment: Environment,
    },
    /// A sandbox that is being started or stopped.
    Starting {
        /// The background process.
        pid: i32,
    },
    /// What a sandbox left when it ended without being asked to.
    Remains,
    /// Nothing.
    Absent,
}

fn pid_file(dir: &Path) -> PathBuf {
    dir.join("sandbox.pid")
}

fn log_file(dir: &Path) -> PathBuf {
    dir.join("sandbox.log")
}

fn options_file(dir: &Path) -> PathBuf {
    dir.join("options.json")
}

/// The file whose lock tells; None if nothing was started here.
fn lock_file(dir: &Path) -> Result<Option<File>, Error> {
    let path = pid_file(dir);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("reading", path)(error)),
    }
}

/// The process that holds the lock of `file`, if one does.
fn holder_of(file: &mut File, dir: &Path) -> Result<Option<i32>, Error> {
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.rewind()
                .and_then(|()| file.read_to_string(&mut text))
                .map_err(Error::file("reading", pid_file(dir)))?;
            // Locked a moment ago and not written yet: -1 stands for "alive, name unknown".
            Ok(Some(text.trim().parse().unwrap_or(-1)))
        }
        Err(TryLockError::Error(error)) => Err(Error::file("locking", pid_file(dir))(error)),
    }
}

/// The process of a sandbox in `dir` that has not begun to end, if there is one.
fn holder(dir: &Path) -> Result<Option<i32>, Error> {
    lock_file(dir)?.map_or(Ok(None), |mut file| holder_of(&mut file, dir))
}

fn log_tail(dir: &Path) -> String {
    tail(&std::fs::read_to_string(log_file(dir)).unwrap_or_default())
}

/// Starts a sandbox in the background and returns when it is ready.
///
/// `program` is run as `program sandbox serve --dir DIR`, in a process group of its own, and must call [`serve`]. What a
/// crashed sandbox left in `dir` is cleared first.
///
/// # Errors
/// [`Error::AlreadyRunning`]; [`Error::Died`] or [`Error::Slow`] with the end of the log, after clearing up.
pub async fn up(dir: &Path, program: &Path, options: &Options) -> Result<Environment, Error> {
    std::fs::create_dir_all(dir).map_err(Error::file("creating", dir))?;
    let dir = &dir.canonicalize().map_err(Error::file("finding", dir))?;
    if holder(dir)?.is_some() {
        return Err(Error::AlreadyRunning { dir: dir.display().to_string() });
    }
    clear(dir).await?;
    let wanted = options_file(dir);
    let text = serde_json::to_string_pretty(options).expect("options are plain numbers");
    std::fs::write(&wanted, text).map_err(Error::file("writing", wanted))?;
    let log = File::create(log_file(dir)).map_err(Error::file("creating", log_file(dir)))?;
    let second = log.try_clone().map_err(Error::file("opening", log_file(dir)))?;
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut child = Command::new(program)
        .args(["sandbox", "serve", "--dir"])
        .arg(dir)
        .env_clear()
        .envs(inherited)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(second)
        .process_group(0)
        .spawn()
        .map_err(Error::system("starting the sandbox in the background"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if remains::env_file(dir).exists() {
            return Environment::read(&remains::env_file(dir));
        }
        let ended = child.try_wait().map_err(Error::system("watching the sandbox"))?;
        let late = Instant::now() > deadline;
        if ended.is_some() || late {
            let tail = log_tail(dir);
            let _ended = child.kill();
            let _ended = child.wait();
            clear(dir).await?;
            return Err(if late {
                Error::Slow { seconds: PATIENCE.as_secs(), tail }
            } else {
                Error::Died { tail }
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a sandbox in this process, in the foreground, until it is asked to end by SIGTERM or SIGINT.
///
/// The options are those that [`up`] left in `dir`, or the default ones.
///
/// # Errors
/// [`Error::AlreadyRunning`], or why it did not start or stop.
pub async fn serve(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(Error::file("creating", dir))?;
    let path = pid_file(dir);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(Error::file("opening", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Error::AlreadyRunning { dir: dir.display().to_string() });
        }
        Err(TryLockError::Error(error)) => return Err(Error::file("locking", path)(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::file("writing", &path))?;
    let watch = |kind| signal(kind).map_err(Error::system("watching for signals"));
    let (mut terminate, mut interrupt) =
        (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    // A closing terminal is no reason to end.
    let _ignored = watch(SignalKind::hangup())?;
    let asked_to_end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(asked_to_end);
    let options = match std::fs::read_to_string(options_file(dir)) {
        Ok(text) => serde_json::from_str(&text)
            .map_err(|source| Error::Damaged { path: options_file(dir), source })?,
        Err(_) => Options::default(),
    };
    let ended = async {
        remains_cleared(dir).await?;
        let sandbox = tokio::select! {
            sandbox = Sandbox::start(dir, &options) => sandbox?,
            () = &mut asked_to_end => return remains_cleared(dir).await,
        };
        asked_to_end.await;
        sandbox.stop().await
    };
    let ended = ended.await;
    // Removed while it is still locked: nobody else's by mistake. The lock ends with the process, for `down` waits
    // for it.
    let removed = remove_file(&path);
    std::mem::forget(file);
    ended.and(removed)
}

async fn remains_cleared(dir: &Path) -> Result<(), Error> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || remains::clear(&dir))
        .await
        .expect("clearing does not panic")
}

/// Clears all that a sandbox which no longer runs left in `dir`.
async fn clear(dir: &Path) -> Result<(), Error> {
    remains_cleared(dir).await?;
    for file in [options_file(dir), log_file(dir), pid_file(dir)] {
        remove_file(&file)?;
    }
    Ok(())
}

/// Stops the sandbox in `dir` and removes its data: also from another process, and after a crash. Returns what was
/// there.
///
/// # Errors
/// [`Error::NotRunning`] when nothing is there; [`Error::Immortal`] when a process will not end.
pub async fn down(dir: &Path) -> Result<Status, Error> {
    let found = status(dir)?;
    if found == Status::Absent {
        return Err(Error::NotRunning { dir: dir.display().to_string() });
    }
    if let Some(mut lock) = lock_file(dir)? {
        end_holder(&mut lock, dir).await?;
    }
    clear(dir).await?;
    // The directory was ours alone if nothing else is in it.
    let _others_use_it = std::fs::remove_dir(dir);
    Ok(found)
}

/// Asks the process that holds `lock` to end, then makes it, and returns when it is no more.
async fn end_holder(lock: &mut File, dir: &Path) -> Result<(), Error> {
    for (wanted, patience) in [(Signal::TERM, 20), (Signal::KILL, 5)] {
        let deadline = Instant::now() + Duration::from_secs(patience);
        let mut told = None;
        while let Some(pid) = holder_of(lock, dir)? {
            if Instant::now() > deadline {
                break;
            }
            if let Some(process) = Pid::from_raw(pid).filter(|_| pid > 0 && told != Some(pid)) {
                let _ended_already = rustix::process::kill_process(process, wanted);
                told = Some(pid);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    holder_of(lock, dir)?.map_or(Ok(()), |pid| Err(Error::Immortal { pid }))
}

/// What is in `dir`.
///
/// # Errors
/// When a file there cannot be read.
pub fn status(dir: &Path) -> Result<Status, Error> {
    let env = remains::env_file(dir);
    Ok(match holder(dir)? {
        Some(pid) if env.exists() => Status::Running { pid, environment: Environment::read(&env)? },
        Some(pid) => Status::Starting { pid },
        None if Remains::find(dir)?.is_some() || pid_file(dir).exists() => Status::Remains,
        None => Status::Absent,
    })
}
