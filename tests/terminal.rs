//! On a terminal: bars below the lines, which a prompt, a pipe, `NO_COLOR` and Ctrl-C do not trip over.
//!
//! The terminal is a pseudo-terminal of this test; what arrives there is compared as bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod room;

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use room::Room;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// The program on a terminal of its own. Killed when dropped.
struct Session {
    child: Child,
    keys: File,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    fn start(room: &Room, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let open = || {
            File::from(
                rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap(),
            )
        };
        let child = Command::new(env!("CARGO_BIN_EXE_pgferry"))
            .args(arguments)
            .current_dir(room.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "xterm")
            .envs(env.iter().copied())
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let keys = File::from(terminal);
        let (mut screen, seen) = (keys.try_clone().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
        let seeing = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The last one to leave closes the line, which reads as an error here.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                seeing.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keys, seen }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).replace("\r\n", "\n")
    }

    fn until(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.seen().contains(text) {
            assert!(Instant::now() < deadline, "no `{text}`, but:\n{}", self.seen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    fn end(mut self, last: &str) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.until(last);
        (code, self.seen())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A command that goes on until the test writes into `gate`, and one beside it.
fn waiting() -> Room {
    let room = Room::new(
        "pgferry: 1\nname: small\nresources:\n  held:\n    type: core.command\n    command: [sh, -c, \"echo here; cat gate\"]\n",
    );
    assert!(Command::new("mkfifo").arg(room.path("gate")).status().unwrap().success());
    room
}

#[test]
fn a_prompt_then_a_bar_then_a_clean_end() {
    let room = waiting();
    let mut session = Session::start(&room, &["apply"], &[]);
    session.until("Enter a value: ");
    assert!(!session.seen().contains("held: running ["), "no bar disturbs the prompt");
    session.types("yes\n");
    session.until("held: here\n");
    session.until("held: running [1s]");
    std::fs::write(room.path("gate"), "and on\n").unwrap();
    let (code, seen) = session.end("1 added, 0 changed, 0 destroyed.\n");
    assert_eq!(code, Some(0));
    let told: Vec<&str> = seen.lines().filter(|line| line.contains("and on")).collect();
    assert!(told[0].ends_with("held: and on"), "a line begins where the bar was wiped: {told:?}");
    let end = seen.rsplit("held: running [").next().unwrap();
    assert!(end.contains("\u{1b}[2K"), "the bar is wiped before the end: {end:?}");
    assert!(!seen.contains("Still running"), "the bar says it already");
}

#[test]
fn no_colour_where_none_is_wanted() {
    let colour = |env: &[(&str, &str)], arguments: &[&str]| {
        let room = waiting();
        let mut session = Session::start(&room, &[&["apply"], arguments].concat(), env);
        session.until("Enter a value: ");
        session.types("no\n");
        let (code, seen) = session.end("not approved; nothing was changed\n");
        assert_eq!(code, Some(1));
        seen.contains("\u{1b}[")
    };
    assert!(colour(&[], &[]), "an error is red on a terminal");
    assert!(!colour(&[("NO_COLOR", "1")], &[]));
    assert!(!colour(&[("TERM", "dumb")], &[]));
    assert!(!colour(&[], &["--no-color"]));
}

#[test]
fn the_second_ctrl_c_stops_at_once() {
    let room = Room::new(
        "pgferry: 1\nname: small\nresources:\n  held:\n    type: core.command\n    command: [sh, -c, \"trap '' TERM; echo $$ > id; echo here; cat gate\"]\n",
    );
    assert!(Command::new("mkfifo").arg(room.path("gate")).status().unwrap().success());
    let session = Session::start(&room, &["apply", "--auto-approve"], &[]);
    session.until("held: running [");
    session.interrupt();
    session.until("Stopping, as soon as what runs can be left: held (running for ");
    session.until("Once more stops at once.\n");
    // The command does not listen, and is given time.
    session.interrupt();
    let (code, seen) = session.end("the next `pgferry apply` settles it.\n");
    assert_eq!(code, Some(130), "{seen}");
    assert!(seen.contains("Stopped at once, in the middle of: held (running for "), "{seen}");
    let journal = std::fs::read_to_string(room.path("pgferry.state.json.journal")).unwrap();
    assert!(journal.contains("\"event\":\"intent\",\"address\":\"held\""), "{journal}");
    let id = std::fs::read_to_string(room.path("id")).unwrap();
    let id = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while rustix::process::test_kill_process(id).is_ok() && !is_over(id) {
        assert!(Instant::now() < deadline, "the command goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let plan = room.run(&["plan"]).1;
    assert!(plan.contains("  # held will be run\n  # (was cut short"), "{plan}");
}

/// Whether a process has ended and only waits for somebody to notice.
fn is_over(id: Pid) -> bool {
    let said = Command::new("ps").args(["-o", "stat=", "-p", &id.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    state.is_empty() || state.starts_with('Z')
}
