//! `up`, `status` and `down` across processes: a sandbox that runs in the background, is stopped by another process,
//! crashes, or cannot start; each time nothing is left.
//!
//! The test program is also what `up` runs: called with `sandbox serve --dir DIR`, it serves.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on shall panic"
)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pgferry_sandbox::{Error, Options, Status, down, serve, status, up};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, second, flag, dir] = arguments.as_slice()
        && (first.as_str(), second.as_str(), flag.as_str()) == ("sandbox", "serve", "--dir")
    {
        let served = runtime.block_on(serve(Path::new(dir)));
        // A busy machine takes its time to end a process: `down` has to wait for that too.
        std::thread::sleep(Duration::from_millis(300));
        return match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!(
                    "{error}: {:?}",
                    std::error::Error::source(&error).map(ToString::to_string)
                );
                ExitCode::FAILURE
            }
        };
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("lifecycle: test");
        return ExitCode::SUCCESS;
    }
    runtime.block_on(async {
        goes_up_and_down().await;
        is_cleared_after_a_crash().await;
        tells_why_it_did_not_start().await;
    });
    println!("lifecycle ok");
    ExitCode::SUCCESS
}

fn small() -> Options {
    Options { megabytes: 2, ..Options::default() }
}

/// The processes whose arguments name `dir` or the servers' folder recorded in it.
fn processes_of(places: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if places.iter().any(|place| arguments.contains(place.as_str())) {
            found.push(arguments);
        }
    }
    found
}

fn places_of(dir: &Path) -> Vec<String> {
    let record = std::fs::read_to_string(dir.join("record.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    vec![dir.display().to_string(), record["servers"].as_str().unwrap().to_owned()]
}

fn assert_nothing_is_left(dir: &Path, places: &[String]) {
    assert_eq!(processes_of(places), Vec::<String>::new());
    for place in places {
        assert!(!Path::new(place).exists(), "{place} is left");
    }
    assert_eq!(status(dir).unwrap(), Status::Absent);
}

async fn goes_up_and_down() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("box");
    let program = std::env::current_exe().unwrap();
    assert_eq!(status(&dir).unwrap(), Status::Absent);
    assert!(matches!(down(&dir).await, Err(Error::NotRunning { .. })));

    let environment = up(&dir, &program, &small()).await.unwrap();
    let places = places_of(&dir);
    let Status::Running { environment: known, .. } = status(&dir).unwrap() else {
        panic!("it runs")
    };
    assert_eq!(known, environment);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(dir.join("env")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    for secret in ["LINODE_TOKEN", "HEROKU_API_KEY", "AWS_SECRET_ACCESS_KEY"] {
        let seen = processes_of(&[environment.get(secret).to_owned()]);
        assert_eq!(seen, Vec::<String>::new(), "{secret} is in an argument list");
    }
    assert!(matches!(up(&dir, &program, &small()).await, Err(Error::AlreadyRunning { .. })));

    assert!(matches!(down(&dir).await.unwrap(), Status::Running { .. }));
    assert_nothing_is_left(&dir, &places);
}

async fn is_cleared_after_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().canonicalize().unwrap().join("box");
    let program = std::env::current_exe().unwrap();
    up(&dir, &program, &small()).await.unwrap();
    let places = places_of(&dir);
    let Status::Running { pid, .. } = status(&dir).unwrap() else { panic!("it runs") };
    let process = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while status(&dir).unwrap() != Status::Remains {
        assert!(Instant::now() < deadline, "the lock outlives the process");
        std::thread::yield_now();
    }
    assert!(!processes_of(&places).is_empty(), "the servers outlive it");

    assert_eq!(down(&dir).await.unwrap(), Status::Remains);
    assert_nothing_is_left(&dir, &places);
}

async fn tells_why_it_did_not_start() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("box");
    let Err(Error::Died { .. }) = up(&dir, Path::new("/bin/false"), &small()).await else {
        panic!("it cannot start")
    };
    assert_eq!(status(&dir).unwrap(), Status::Absent);
}
