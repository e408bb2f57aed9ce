//! The built program killed at random moments of an apply, and on a full disk: the state always loads, what was
//! recorded is never done again, and the next apply comes to the end.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use serde_json::Value;

/// The same signals and shares of the time each time.
const SEED: u64 = 20_261_125;

/// How many applies are killed, by the number of their resources.
const KILLS: [(usize, usize); 3] = [(20, 120), (100, 120), (1_000, 60)];

/// Killed side by side.
const WORKERS: usize = 2;

struct Place {
    folder: tempfile::TempDir,
}

/// `count` resources, mostly values; about ten commands among them, each of which leaves a line when it has run.
fn spec(count: usize) -> String {
    let mut text = "pgferry: 1\nname: kills\nresources:\n".to_owned();
    for number in 0..count {
        let last = format!("r{:04}", number.saturating_sub(1));
        text += &if number % (count / 10) == 1 {
            format!(
                "  r{number:04}: {{ type: core.command, command: [sh, -c, 'echo r{number:04} >> done'], depends_on: [{last}] }}\n"
            )
        } else if number % 3 == 2 {
            format!(
                "  r{number:04}: {{ type: core.value, input: 'after {number}', depends_on: [{last}] }}\n"
            )
        } else {
            format!(
                "  r{number:04}: {{ type: core.value, input: {{ some: text, number: {number} }} }}\n"
            )
        };
    }
    text
}

impl Place {
    fn new(spec: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(place.path("pgferry.yaml"), spec).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(PROGRAM).args(arguments).output().unwrap()
    }

    /// What the files say that is done.
    fn recorded(&self) -> BTreeSet<String> {
        let mut recorded = BTreeSet::new();
        if let Ok(text) = fs::read(self.path("pgferry.state.json")) {
            let state: Value = serde_json::from_slice(&text).expect("a whole state, always");
            recorded.extend(state["resources"].as_object().unwrap().keys().cloned());
        }
        let journal = fs::read_to_string(self.path("pgferry.state.json.journal"));
        for line in journal.unwrap_or_default().split_inclusive('\n').filter(|l| l.ends_with('\n'))
        {
            let record: Value = serde_json::from_str(line).expect("only a last line may be torn");
            if record["event"] == "succeeded" {
                recorded.insert(record["address"].as_str().unwrap().to_owned());
            }
        }
        recorded
    }

    /// Applies to the end, and fails unless what was recorded is left alone and nothing is left to do.
    fn finish(&self, recorded: &BTreeSet<String>, when: &str) {
        let ended = self.run(&["apply", "--auto-approve"]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{when}: {said}");
        let begun = said.lines().filter_map(|line| {
            let (address, verb) = line.split_once(": ")?;
            matches!(verb, "Creating..." | "Running...").then(|| address.to_owned())
        });
        let again: Vec<String> = begun.filter(|address| recorded.contains(address)).collect();
        assert_eq!(again, Vec::<String>::new(), "{when}: done again though recorded");
        let plan = self.run(&["plan", "--detailed-exitcode"]);
        let said = String::from_utf8_lossy(&plan.stdout).into_owned();
        assert_eq!(plan.status.code(), Some(0), "{when}: {said}");
        assert_eq!(said.trim(), "No changes. Your databases match the spec.", "{when}");
        let known = [
            "done",
            "pgferry.state.json",
            "pgferry.state.json.backup",
            "pgferry.state.json.lock",
            "pgferry.yaml",
        ];
        let names = names(self.folder.path());
        assert!(names.iter().all(|name| known.contains(&name.as_str())), "{when}: {names:?}");
    }

    /// How often each command ran.
    fn ran(&self) -> BTreeMap<String, usize> {
        let mut ran = BTreeMap::new();
        for line in fs::read_to_string(self.path("done")).unwrap_or_default().lines() {
            *ran.entry(line.to_owned()).or_default() += 1;
        }
        ran
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_pgferry");

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// What became of the kills.
#[derive(Default)]
struct Tally {
    kills: usize,
    /// Left a state or a journal behind.
    in_the_middle: usize,
    /// Had recorded something.
    recorded: usize,
    /// Ran a command twice, because it was killed after it began and before its end was recorded.
    twice: usize,
}

/// SplitMix64.
fn roll(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
}

#[test]
fn three_hundred_kills_at_random_moments() {
    for (count, kills) in KILLS {
        let spec = spec(count);
        let whole = Place::new(&spec);
        let begun = Instant::now();
        whole.finish(&BTreeSet::new(), "without a kill");
        // Two of three runs of a finish are a plan; what matters is that the moments cover the whole apply.
        let most = begun.elapsed().mul_f64(0.8);
        let commands = whole.ran().len();
        let mut dice = SEED + count as u64;
        let moments: Vec<(Signal, Duration)> = (0..kills)
            .map(|number| {
                let signal = if number % 2 == 0 { Signal::KILL } else { Signal::INT };
                (signal, most.mul_f64(roll(&mut dice)))
            })
            .collect();
        let (moments, tally) = (Mutex::new(moments), Mutex::new(Tally::default()));
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let Some((signal, moment)) = moments.lock().unwrap().pop() else { break };
                        killed(&spec, commands, signal, moment, &tally);
                    }
                });
            }
        });
        let Tally { kills, in_the_middle, recorded, twice } = tally.into_inner().unwrap();
        println!(
            "{count} resources: {kills} kills within {most:?}, {in_the_middle} of them in the middle, {recorded} after \
             something was recorded; {twice} commands ran twice"
        );
        assert!(in_the_middle * 10 > kills, "{count}: hardly a kill in the middle");
    }
}

/// One kill, and what becomes of it.
fn killed(spec: &str, commands: usize, signal: Signal, moment: Duration, tally: &Mutex<Tally>) {
    let place = Place::new(spec);
    let mut apply = place.command(PROGRAM);
    apply.args(["apply", "--auto-approve"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut apply = apply.spawn().unwrap();
    std::thread::sleep(moment);
    let id = Pid::from_raw(i32::try_from(apply.id()).unwrap()).unwrap();
    // It may have ended by itself.
    let _gone = kill_process(id, signal);
    let status = apply.wait().unwrap();
    let when = format!("{signal:?} after {moment:?} ({status})");
    let expected = match signal {
        Signal::KILL => status.signal() == Some(9) || status.code() == Some(0),
        // Before the approval there is nothing to end in order.
        _ => status.signal() == Some(2) || matches!(status.code(), Some(0 | 130)),
    };
    assert!(expected, "{when}");
    let journal = place.path("pgferry.state.json.journal").exists();
    assert!(status.code().is_none() || !journal, "{when}: it ended in order and left a journal");
    let recorded = place.recorded();
    place.finish(&recorded, &when);
    let ran = place.ran();
    assert_eq!(ran.len(), commands, "{when}: {ran:?}");
    for (command, times) in &ran {
        // At least once: of a command whose end was not recorded nobody knows whether it did its work.
        let most = if recorded.contains(command) { 1 } else { 2 };
        assert!(*times <= most, "{when}: `{command}` ran {times} times");
    }
    let mut tally = tally.lock().unwrap();
    tally.kills += 1;
    tally.in_the_middle += usize::from(journal || status.code() == Some(130));
    tally.recorded += usize::from(!recorded.is_empty());
    tally.twice += ran.values().filter(|times| **times > 1).count();
}

/// Files may not grow over a limit, which is how a full disk looks to whoever writes.
#[test]
fn no_room_for_files_to_grow() {
    let spec = spec(40);
    let whole = Place::new(&spec);
    whole.finish(&BTreeSet::new(), "with room");
    let size = fs::metadata(whole.path("pgferry.state.json")).unwrap().len();
    let (mut failures, mut recorded_in_all) = (0, 0);
    // In blocks of 512 bytes, or of 1024 where the shell counts so.
    let blocks = (size / 512 + 4) as usize;
    for limit in (0..blocks).step_by(3) {
        let place = Place::new(&spec);
        let mut apply = place.command("sh");
        apply.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &limit.to_string()]);
        let ended = apply.args([PROGRAM, "apply", "--auto-approve"]).output().unwrap();
        let when = format!("files of {limit} blocks");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        if ended.status.code() != Some(0) {
            failures += 1;
            assert_eq!(ended.status.code(), Some(1), "{when}: {said}");
            // The cause, also where others failed after it, and what to do.
            let told = said.contains("File too large") && said.contains("help: make room there");
            assert!(told || limit == 0, "{when}: {said}");
        }
        let recorded = place.recorded();
        recorded_in_all += recorded.len();
        place.finish(&recorded, &when);
    }
    println!(
        "{failures} applies without room, with {recorded_in_all} results recorded that were kept"
    );
    assert!(failures > 5 && recorded_in_all > 50, "{failures} {recorded_in_all}");
}

/// A disk that is really full: a file system of a few pages, which is then given room. Wants a mount namespace.
#[test]
fn a_disk_without_room() {
    let script = r#"
mount -t tmpfs -o size="$1"k,mode=755 tmpfs "$2" || exit 99
cp "$3" "$2/pgferry.yaml" || exit 98
cd "$2"
"$4" apply --auto-approve >/dev/null 2>&1
echo "$?"
mount -o remount,size=16m "$2" || exit 97
"$4" apply --auto-approve >&2 || exit 96
"$4" plan || exit 95
ls
"#;
    let spec = spec(40);
    let folder = tempfile::tempdir().unwrap();
    let (disk, file) = (folder.path().join("disk"), folder.path().join("spec"));
    fs::create_dir(&disk).unwrap();
    fs::write(&file, &spec).unwrap();
    let (mut failures, mut tried) = (0, 0);
    // The spec takes two pages, and each file at least one.
    for pages in 2..20 {
        let size = (pages * 4).to_string();
        let run = |how: &[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(how).args(["sh", "-c", script, "sh", &size]).arg(&disk).arg(&file);
            unshare.arg(PROGRAM).env_remove("PGFERRY_KILL").output()
        };
        let mut ended = run(&["-m"]);
        if !ended
            .as_ref()
            .is_ok_and(|ended| ended.status.code() != Some(99) && ended.status.code() != Some(1))
        {
            ended = run(&["-rm"]);
        }
        let ended = match ended {
            Ok(ended) if matches!(ended.status.code(), Some(1 | 99)) => {
                println!(
                    "skipped: no mounts here: {}",
                    String::from_utf8_lossy(&ended.stderr).trim()
                );
                return;
            }
            Err(cause) => {
                println!("skipped: no `unshare` here: {cause}");
                return;
            }
            Ok(ended) => ended,
        };
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        if ended.status.code() == Some(98) {
            // Not even room for the spec.
            continue;
        }
        tried += 1;
        assert_eq!(ended.status.code(), Some(0), "{pages} pages: {said}{told}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(["0", "1"].contains(&lines[0]), "{pages} pages: {said}");
        failures += usize::from(lines[0] == "1");
        assert_eq!(lines[1], "No changes. Your databases match the spec.", "{pages} pages: {said}");
        let strangers = lines[2..].iter().filter(|name| {
            name.ends_with(".new") || name.ends_with(".journal") || name.starts_with('.')
        });
        assert_eq!(strangers.count(), 0, "{pages} pages: {said}");
    }
    println!("{failures} of {tried} applies without room on the disk; all went on with room");
    assert!(failures > 2, "{failures} of {tried}");
}

/// A script that says when it begins, has a child, and stays until `gate` is there.
const SCRIPT: &str =
    r#"echo $$ >> began; (until [ -e gate ]; do sleep 0.05; done) & wait; echo done >> done"#;

#[test]
fn a_command_does_not_outlive_a_killed_run_and_never_runs_twice_at_once() {
    let place = Place::new(&format!(
        "pgferry: 1\nname: left\nresources:\n  held: {{ type: core.command, command: [sh, -c, '{SCRIPT}'] }}\n"
    ));
    let began = || fs::read_to_string(place.path("began")).unwrap_or_default();
    let mut apply = place.command(PROGRAM);
    let mut apply = apply.args(["apply", "--auto-approve"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until(|| began().ends_with('\n'));
    apply.kill().unwrap();
    apply.wait().unwrap();
    let group = Pid::from_raw(began().trim().parse().unwrap()).unwrap();
    if cfg!(target_os = "linux") {
        // The script itself; what it has started is ended by the next run.
        wait_until(|| kill_process(group, Signal::CONT).is_err());
    }
    let next = place.command(PROGRAM);
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let mut next = next;
            next.args(["apply", "--auto-approve"]).output().unwrap()
        });
        wait_until(|| began().lines().count() == 2);
        assert!(test_kill_process_group(group).is_err(), "nothing is left of the first");
        fs::write(place.path("gate"), "").unwrap();
        second.join().unwrap()
    });
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(fs::read_to_string(place.path("done")).unwrap(), "done\n");
}

/// Threads of the runtime end after ten seconds without work; a command must not end with the one that started it.
#[test]
fn a_long_command_outlives_the_thread_that_started_it() {
    let mut spec = "pgferry: 1\nname: long\nresources:\n".to_owned();
    for number in 0..8 {
        spec += &format!(
            "  value{number}: {{ type: core.value, input: {number} }}\n  \
             long{number}: {{ type: core.command, command: [sleep, '12'], depends_on: [value{number}] }}\n"
        );
    }
    let place = Place::new(&spec);
    let ended = place.run(&["apply", "--auto-approve", "--parallelism", "16"]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never came to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}
