//! What a command needed: wall clock, processor, peak memory.
//!
//! The operating system tells of all children of a process together, so each command runs as the only child of this
//! program started once more (`--meter`).

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

/// One run, or the median of several, figure by figure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds, in the program and in the kernel for it.
    pub(crate) cpu: f64,
    /// MiB.
    pub(crate) peak: f64,
}

/// `--meter COMMAND…`: runs it and prints what it needed, its exit code last.
pub(crate) fn metered(arguments: &[String]) {
    let began = Instant::now();
    let status = Command::new(&arguments[0])
        .args(&arguments[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the command runs");
    let wall = began.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the system tells what was used");
    #[allow(clippy::cast_precision_loss, reason = "seconds and MiB")]
    let cpu = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    // In KiB on Linux, in bytes on macOS.
    let unit = if cfg!(target_os = "macos") { 1024.0 * 1024.0 } else { 1024.0 };
    #[allow(clippy::cast_precision_loss, reason = "MiB")]
    let peak = used.max_rss() as f64 / unit;
    let cpu = cpu(used.user_time()) + cpu(used.system_time());
    println!("{wall} {cpu} {peak} {}", status.code().unwrap_or(-1));
}

/// Runs a command in `folder` once; it must end with 0.
pub(crate) fn run(folder: &Path, command: &[&str]) -> Usage {
    run_with(folder, command, &[])
}

/// The same with variables in its environment.
pub(crate) fn run_with(folder: &Path, command: &[&str], env: &[(String, String)]) -> Usage {
    let me = std::env::current_exe().expect("this program");
    let mut meter = Command::new(me);
    meter.arg("--meter").args(command).current_dir(folder).envs(env.iter().cloned());
    let out = meter.output().expect("this program runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak, code] = figures[..] else {
        panic!("`{}` was not measured: {text}", command.join(" "))
    };
    assert!(code == 0.0, "`{}` ended with {code}", command.join(" "));
    Usage { wall, cpu, peak }
}

/// The median of `runs`, figure by figure.
pub(crate) fn median(runs: &[Usage]) -> Usage {
    let middle = |figure: fn(&Usage) -> f64| {
        let mut figures: Vec<f64> = runs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Usage { wall: middle(|u| u.wall), cpu: middle(|u| u.cpu), peak: middle(|u| u.peak) }
}
