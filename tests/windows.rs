//! Freezes of runs that died or could not go on: taken over as they are, held where that was asked for, and never left
//! open without a word.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod stage;

use std::process::{Command, Output};

use stage::programs::Hold;
use stage::project::Project;
use stage::{QUICK, Stage, until};

/// A command under a freeze, which leaves a line when it has run.
const NIGHT: &str = r#"
pgferry: 1
name: night
resources:
  source:
    type: postgres.database
    url: ${env.SOURCE_DATABASE_URL}
  freeze:
    type: postgres.freeze
    database: ${source}
  first:
    type: core.command
    command: [sh, -c, "echo first >> done"]
    depends_on: [freeze]
  last:
    type: core.command
    command: [sh, -c, "LAST"]
    depends_on: [first]
"#;

fn night(stage: &Stage, last: &str) -> Project {
    Project::with(stage, &NIGHT.replace("LAST", last))
}

fn frozen(stage: &Stage) -> bool {
    stage.source("show default_transaction_read_only") == "on"
}

/// One freeze, whatever the record after which the run is killed: the next apply takes it over, does what is left, once,
/// and holds it, as `on_success` says.
#[test]
fn a_freeze_is_taken_over_and_held_wherever_the_run_died() {
    let stage = Stage::start(&QUICK);
    let mut kills = 0;
    for number in 1.. {
        for when in ["before", "after"] {
            let project = night(&stage, "echo last >> done");
            let point = format!("{when}:{number}");
            let ended = project.run_with(&["apply", "--auto-approve"], "PGFERRY_KILL", &point);
            if ended.status.code() == Some(0) {
                assert!(number > 6, "{number} records:\n{}", ended.text());
                println!("{kills} kills");
                return;
            }
            ended.assert_killed(&point);
            kills += 1;
            let was_frozen = frozen(&stage);
            let status = project.run(&["status"]);
            status.assert_code(0);
            // Once it is recorded as held, there is nothing left to do.
            if was_frozen && !status.text().contains("held open on purpose") {
                status.assert_says(&[
                    "No command is running.\n\nOpen:\n  freeze (postgres.freeze): open since ",
                    "The next apply first has to:\n",
                    "  - take over `freeze`, or end it if nothing is left to do under it\n",
                ]);
            }
            let began = project.path("done").exists();
            let ended = project.run(&["apply", "--auto-approve"]);
            let said = ended.text();
            assert_eq!(ended.status.code(), Some(0), "{point}: {said}");
            assert!(!said.contains("Closing"), "{point}: it was let go in the middle:\n{said}");
            assert!(was_frozen || !began, "{point}: a command ran without its freeze");
            assert!(frozen(&stage), "{point}: the source can be written to at green:\n{said}");
            let lines = project.read("done");
            for name in ["first", "last"] {
                let times = lines.lines().filter(|line| *line == name).count();
                assert!((1..=2).contains(&times), "{point}: `{name}` ran {times} times");
            }
            let plan = project.run(&["plan", "--detailed-exitcode"]);
            assert_eq!(plan.status.code(), Some(0), "{point}: {}", plan.text());
            plan.assert_says(&["`freeze` is held open since ", "No changes."]);
            project.run(&["status"]).assert_says(&[
                "  freeze (postgres.freeze): held open on purpose, opened at ",
                "Nothing is left over: the next apply plans as usual.\n",
            ]);
            project.run(&["release"]).assert_code(0);
            assert!(!frozen(&stage), "{point}: released");
            project.assert_nothing_to_do(&point);
        }
    }
}

/// The program, which can write no file.
fn without_room(project: &Project, stage: &Stage, arguments: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_pgferry")])
        .args(arguments)
        .current_dir(project.path("."))
        .env_clear()
        .envs(stage.environment())
        .env("PATH", project.environment("PATH"))
        .output()
        .unwrap()
}

/// The disk is full once the last command has run: nothing can be recorded any more, with the source frozen. The apply
/// says so and how the source is let go, and `release` does that on the full disk.
#[test]
fn a_freeze_that_cannot_be_recorded_is_named_and_can_be_released() {
    let stage = Stage::start(&QUICK);
    // From here on, this process's files may grow no more.
    let last = "[ -e full ] || { touch full; prlimit --pid $PPID --fsize=1; }";
    let project = night(&stage, last);
    let run = "trap '' XFSZ; exec \"$@\"";
    let ended = Command::new("sh")
        .args(["-c", run, "sh", env!("CARGO_BIN_EXE_pgferry"), "apply", "--auto-approve"])
        .current_dir(project.path("."))
        .env_clear()
        .envs(stage.environment())
        .env("PATH", project.environment("PATH"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for words in [
        "Warning: `freeze` stays open: what is done can no longer be recorded\n  help: `pgferry release` closes it; by hand: as the owner: `begin read write; alter database \"acme_org_db\" reset default_transaction_read_only; commit`; or the next apply takes it over\n",
        "Error: writing the journal `",
        "File too large",
    ] {
        assert!(said.contains(words), "it did not say `{words}`, but:\n{said}");
    }
    assert!(frozen(&stage));

    let released = without_room(&project, &stage, &["release"]);
    let said =
        String::from_utf8_lossy(&released.stdout) + String::from_utf8_lossy(&released.stderr);
    assert_eq!(released.status.code(), Some(1), "{said}");
    for words in [
        "freeze: Closing complete",
        "Released: 1. Left open: 0.",
        "Error: what was closed is closed, but could not be recorded: ",
        "  help: the state says that it is still open; when it can be written again, `pgferry release` once more",
    ] {
        assert!(said.contains(words), "it did not say `{words}`, but:\n{said}");
    }
    assert!(!frozen(&stage));

    // The state still says that it is open. What was done under it is not built on: users may have written since.
    let ended = project.run(&["apply", "--auto-approve"]);
    ended.assert_code(1);
    ended.assert_says(&[
        "Error: freeze: somebody has let database `acme_org_db` be written to again, in the middle of the move\n  help: what was moved until then may be out of date; the next apply moves it again\n",
    ]);
    assert!(!frozen(&stage));
    assert_eq!(project.read("done"), "first\n");
    project.apply().assert_says(&["`freeze` stays open: `on_success` is `hold`"]);
    assert_eq!(project.read("done"), "first\nfirst\n", "it is done again");
    project.run(&["release"]).assert_says(&["Released: 1. Left open: 0."]);
    project.run(&["release"]).assert_says(&["Nothing is open."]);
}

/// A colleague lets the source be written to while the run that froze it is dead: what was done under the freeze is done
/// again, and a colleague's maintenance mode is noticed likewise.
#[test]
fn a_colleague_who_ends_the_window_of_a_dead_run_is_noticed() {
    let stage = Stage::start(&QUICK);
    let project = Project::new(&stage);
    let hold = Hold::new(stage.home.path(), "hold");
    let held = format!(
        "\n  hold:\n    type: core.command\n    command: [sh, -c, \"{}\"]\n    depends_on: [verified]\n\n  cutover:\n",
        hold.words()
    );
    project.edit("    depends_on: [verified]\n", "    depends_on: [verified, hold]\n");
    project.edit("\n  cutover:\n", &held);
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("all is verified, and nothing cut over", || hold.is_reached());
    running.signal(rustix::process::Signal::KILL);
    running.end().assert_killed("before the cutover");
    hold.let_go();
    let off = serde_json::json!({ "maintenance": false });
    stage.heroku(reqwest::Method::PATCH, "/apps/acme-web", &off);
    stage.source("insert into billing.rates values ('IT', '2026-01-01', 0.22)");
    let ended = project.run(&["apply", "--auto-approve"]);
    ended.assert_code(1);
    ended.assert_says(&[
        "Error: window: app `acme-web` was taken out of maintenance by somebody, in the middle of the move\n",
    ]);
    assert_eq!(stage.acme_web(), (false, 2), "its workers are back");
    project.apply();
    assert_eq!(stage.target("select rate from billing.rates where country = 'IT'"), "0.2200");
}

/// Somebody removes the file of the lock while a run works under a freeze, and applies: the first run stops by itself,
/// leaves the freeze to the other, and what it had begun is done by that one.
#[test]
fn a_run_whose_lock_was_taken_away_stops_and_leaves_the_freeze_alone() {
    let stage = Stage::start(&QUICK);
    let hold = Hold::new(stage.home.path(), "last");
    let project = night(&stage, &format!("{}; echo last >> done", hold.words()));
    let first = project.spawn(&["apply", "--auto-approve"]);
    until("the last command", || hold.is_reached());
    // `status` takes no lock, so it works meanwhile.
    let status = project.run(&["status"]);
    status.assert_code(0);
    status.assert_says(&[
        &format!(
            "Running now: process {} (apply).\n\nOpen:\n  freeze (postgres.freeze): open since ",
            first.id()
        ),
        "; `pgferry release` closes it\n\nUnder way:\n  last (core.command): begun at ",
    ]);
    std::fs::remove_file(project.path("pgferry.state.json.lock")).unwrap();
    let mut second = project.spawn(&["apply", "--auto-approve"]);
    until("the other goes on", || {
        assert!(second.is_alive(), "{}", second.said());
        second.said().contains("last: Running...")
    });
    let ended = first.end();
    ended.assert_code(1);
    ended.assert_says(&[
        "Warning: `freeze` stays open: this run has lost the lock, and another may be working under it\n  help: if no other run is, `pgferry release` closes it; by hand: ",
        "Error: the lock on the state `",
        ".lock` was removed or replaced; nothing more is done\n",
    ]);
    assert!(frozen(&stage), "the other works under it");
    assert!(!project.read("done").contains("last"), "it was not finished by who lost the lock");
    hold.let_go();
    let ended = second.end();
    ended.assert_code(0);
    ended.assert_says(&["`freeze` stays open: `on_success` is `hold`"]);
    assert!(frozen(&stage));
    assert_eq!(project.read("done"), "first\nlast\n", "nothing was done twice");
    project.run(&["release"]).assert_code(0);
}

/// The state is lost, as by a job of CI that began without it: nothing is copied a second time, and the live app keeps
/// reading what it was moved to.
#[test]
fn a_lost_state_is_no_reason_to_move_the_app_back() {
    let stage = Stage::start(&QUICK);
    Project::new(&stage).apply();
    stage.target("insert into billing.rates values ('IT', '2026-01-01', 0.22)");
    let read = stage.config("acme-web")["DATABASE_URL"].clone();
    let without = Project::new(&stage);
    for arguments in [&["plan"][..], &["apply", "--auto-approve"]] {
        let ended = without.run(arguments);
        ended.assert_code(1);
        ended.assert_says(&[
            "error[PGF1523] cutover: app `acme-web` reads add-on `pgferry-",
            "`, to which another migration of pgferry has moved it; what users have written there since would be left behind",
            "if this cutover is meant, say so today: `--confirm cutover=acme-web`",
            "Error: the plan cannot be applied: ",
        ]);
    }
    assert_eq!(stage.config("acme-web")["DATABASE_URL"], read);
    assert_eq!(stage.left()["addons"].as_array().map(Vec::len), Some(1), "nothing was made");
    without.run(&["plan", "--confirm", "cutover=acme-web"]).assert_code(0);
}

/// Whoever stops a run at once is told what it leaves open.
#[test]
fn a_second_ctrl_c_names_what_stays_open() {
    let stage = Stage::start(&QUICK);
    let hold = Hold::new(stage.home.path(), "last");
    let project = night(&stage, &format!("trap '' TERM; {}", hold.words()));
    let running = project.spawn(&["apply", "--auto-approve"]);
    until("the last command", || hold.is_reached());
    running.signal(rustix::process::Signal::INT);
    until("it stops", || running.said().contains("Once more stops at once."));
    running.signal(rustix::process::Signal::INT);
    let ended = running.end();
    ended.assert_code(130);
    ended.assert_says(&[
        "`freeze` stays open: `pgferry release` closes it; by hand: as the owner: `begin read write; alter database \"acme_org_db\" reset default_transaction_read_only; commit`; or the next apply takes it over\n",
    ]);
    assert!(frozen(&stage));
    project.run(&["release"]).assert_code(0);
    assert!(!frozen(&stage));
}
