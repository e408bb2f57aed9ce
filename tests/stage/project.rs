//! A copy of the example in a folder of its own, and the built binary run in it with exactly the sandbox's environment.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Stage;

/// A folder with a spec and its scripts.
pub struct Project {
    folder: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

/// How a run of the binary ended, and all it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// The binary while it runs; killed when dropped.
pub struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Project {
    /// A copy of `examples/linode-to-heroku` whose runs see that sandbox.
    pub fn new(stage: &Stage) -> Self {
        Self::of(stage, "linode-to-heroku", &["pgferry.yaml", "notify.sh", "smoke-test.sh"])
    }

    /// A copy of those files of an example.
    pub fn of(stage: &Stage, example: &str, files: &[&str]) -> Self {
        let project = Self::with(stage, "");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let example = examples.join(example);
        for file in files {
            fs::copy(example.join(file), project.path(file)).unwrap();
        }
        project
    }

    /// A spec of its own.
    pub fn with(stage: &Stage, spec: &str) -> Self {
        let folder = tempfile::tempdir_in(stage.home.path()).unwrap();
        fs::write(folder.path().join("pgferry.yaml"), spec).unwrap();
        let mut environment: BTreeMap<String, String> = stage.environment().into_iter().collect();
        environment.insert("PATH".into(), std::env::var("PATH").unwrap());
        // So that no credentials of whoever runs the tests are found.
        environment.insert("HOME".into(), folder.path().display().to_string());
        Self { folder, environment }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Sets a variable for the runs to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub fn environment(&self, name: &str) -> &str {
        &self.environment[name]
    }

    /// Replaces the only occurrence of `before` in the spec.
    pub fn edit(&self, before: &str, after: &str) {
        let spec = self.read("pgferry.yaml");
        assert_eq!(spec.matches(before).count(), 1, "`{before}` in the spec");
        fs::write(self.path("pgferry.yaml"), spec.replace(before, after)).unwrap();
    }

    /// Sets the spec's `run:`.
    pub fn label(&self, run: &str) {
        let spec = self.read("pgferry.yaml");
        let line = spec.lines().find(|line| line.starts_with("run:")).unwrap();
        fs::write(self.path("pgferry.yaml"), spec.replace(line, &format!("run: {run}"))).unwrap();
    }

    /// Writes a program.
    pub fn script(&self, name: &str, text: &str) {
        write_script(&self.path(name), text);
    }

    /// What the state file says.
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.read("pgferry.state.json")).unwrap()
    }

    /// Starts the binary.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_with(arguments, &[])
    }

    fn spawn_with(&self, arguments: &[&str], more: &[(&str, &str)]) -> Running {
        self.start(arguments, more, None)
    }

    /// Starts the binary with a stdout of the test's own.
    pub fn spawn_into(&self, arguments: &[&str], stdout: Stdio) -> Running {
        self.start(arguments, &[], Some(stdout))
    }

    fn start(&self, arguments: &[&str], more: &[(&str, &str)], stdout: Option<Stdio>) -> Running {
        let said = tempfile::tempdir_in(self.folder.path().parent().unwrap()).unwrap().keep();
        let (out, err) = (said.join("out"), said.join("err"));
        let kept = File::create(&out).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_pgferry"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(&self.environment)
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(|| kept.into()))
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Running { child, out, err }
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.spawn(arguments).end()
    }

    /// Runs the binary to its end, with a variable more than usual.
    pub fn run_with(&self, arguments: &[&str], name: &str, value: &str) -> Ended {
        self.spawn_with(arguments, &[(name, value)]).end()
    }

    /// Applies, and fails the test unless that succeeds.
    pub fn apply(&self) -> Ended {
        self.apply_with(&[])
    }

    /// Applies with more arguments, and fails the test unless that succeeds.
    pub fn apply_with(&self, more: &[&str]) -> Ended {
        let ended = self.run(&[&["apply", "--auto-approve"], more].concat());
        ended.assert_code(0);
        ended
    }

    /// Fails the test unless a plan says that nothing is to be done.
    pub fn assert_nothing_to_do(&self, when: &str) {
        let plan = self.run(&["plan", "--detailed-exitcode"]);
        assert_eq!(plan.status.code(), Some(0), "{when}: {}{}", plan.stdout, plan.stderr);
        let said = plan.stdout.trim();
        assert_eq!(said, "No changes. Your databases match the spec.", "{when}");
        assert_eq!(plan.stderr, "", "{when}");
    }
}

pub fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far: stdout, then stderr.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.out).unwrap() + &fs::read_to_string(&self.err).unwrap()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits until it has ended.
    pub fn end(mut self) -> Ended {
        let deadline = Instant::now() + Duration::from_secs(600);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end; it said:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap();
        Ended { status, stdout: read(&self.out), stderr: read(&self.err) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ended = self.child.kill();
        let _status = self.child.wait();
        if let Some(folder) = self.out.parent() {
            let _left_to_the_stage = fs::remove_dir_all(folder);
        }
    }
}

impl Ended {
    /// All it said: stdout, then stderr.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    pub fn assert_code(&self, code: i32) {
        assert_eq!(self.status.code(), Some(code), "it said:\n{}{}", self.stdout, self.stderr);
    }

    pub fn assert_killed(&self, when: &str) {
        assert_eq!(self.status.signal(), Some(9), "{when}: no kill; it said:\n{}", self.text());
    }

    /// Fails unless it said all of these.
    pub fn assert_says(&self, texts: &[&str]) {
        let said = self.text();
        for text in texts {
            assert!(said.contains(text), "it did not say `{text}`, but:\n{said}");
        }
    }

    /// The plan's headlines that are not comments on reasons: `dump will be run`, sorted as shown.
    pub fn planned(&self) -> Vec<&str> {
        let heads = self.stdout.lines().filter_map(|line| line.strip_prefix("  # "));
        heads.filter(|head| head.contains(" will be ") && !head.starts_with('(')).collect()
    }
}
