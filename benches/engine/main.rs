//! How fast the engine is, by the program that people run; beside Terraform, where its binary is on the PATH.
//!
//! `cargo bench --bench engine` measures 1,000 and 10,000 resources, and Terraform with 1,000.
//! `cargo bench --bench engine -- 10000 100000` measures what it is given. Figures are medians, side by side in one go:
//! quote the ratios, not the seconds.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark")]

mod meter;
mod shapes;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use meter::{Usage, median, run};
use shapes::{ALL, Form, Shape};

/// Measured; one more comes first.
const RUNS: usize = 5;
/// As `--parallelism` is by default.
const AT_ONCE: usize = 10;
/// Terraform is measured up to this many: its apply of 1,000 takes most of a minute.
const MOST_FOR_TERRAFORM: usize = 1_000;

/// What is measured, in this order; each needs what the former left.
const OPERATIONS: [&str; 4] = ["validate", "plan", "apply", "no-change plan"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--meter") {
        return meter::metered(&arguments[1..]);
    }
    let sizes: Vec<usize> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 10_000] } else { sizes };
    let terraform = which("terraform").is_some();
    if !terraform {
        println!("(no `terraform` on the PATH: pgferry alone)");
    }
    println!(
        "seconds of wall clock / seconds of processor / MiB of peak memory; medians of {RUNS}"
    );
    println!("start-up: `version` {}", show(small(&["version"])));
    println!("          `validate` of the example {}", show(example()));
    for (shape, form) in ALL {
        let ours: Vec<_> = sizes.iter().map(|&count| pgferry(shape, form, count)).collect();
        for (place, (&count, figures)) in sizes.iter().zip(&ours).enumerate() {
            let theirs = (terraform && count <= MOST_FOR_TERRAFORM && form == Form::Blocks)
                .then(|| terraform_figures(shape, form, count));
            for (index, operation) in OPERATIONS.iter().enumerate() {
                let figure = figures[index];
                let mut line = format!(
                    "{count:>7} {:<8} {:<8} {operation:<15} {}",
                    format!("{shape:?}").to_lowercase(),
                    format!("{form:?}").to_lowercase(),
                    show(figure)
                );
                if let Some(before) = place.checked_sub(1) {
                    let ratio = figure.wall / ours[before][index].wall;
                    line.push_str(&format!("   {ratio:.1} times that of {}", sizes[before]));
                }
                if let Some(theirs) = theirs.as_ref().map(|theirs| theirs[index]) {
                    let ratio = theirs.wall / figure.wall;
                    line.push_str(&format!("   terraform {}   {ratio:.0} times", show(theirs)));
                }
                println!("{line}");
            }
        }
    }
    effects(1_000);
}

fn which(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn show(usage: Usage) -> String {
    format!("{:>7.3} / {:>7.3} / {:>6.1}", usage.wall, usage.cpu, usage.peak)
}

fn pgferry_bin() -> &'static str {
    env!("CARGO_BIN_EXE_pgferry")
}

fn small(arguments: &[&str]) -> Usage {
    let folder = tempfile::tempdir().unwrap();
    let command: Vec<&str> = [pgferry_bin()].into_iter().chain(arguments.iter().copied()).collect();
    median(&(0..7).map(|_| run(folder.path(), &command)).collect::<Vec<_>>())
}

fn example() -> Usage {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/linode-to-heroku/pgferry.yaml");
    let spec = spec.to_str().unwrap().to_owned();
    let tokens = ["LINODE_TOKEN=t", "HEROKU_API_KEY=k"];
    let command: Vec<&str> =
        ["env"].into_iter().chain(tokens).chain([pgferry_bin(), "validate", "-f", &spec]).collect();
    let folder = tempfile::tempdir().unwrap();
    median(&(0..7).map(|_| run(folder.path(), &command)).collect::<Vec<_>>())
}

/// The figures of [`OPERATIONS`].
fn pgferry(shape: Shape, form: Form, count: usize) -> Vec<Usage> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pgferry.yaml"), shapes::spec(shape, form, count)).unwrap();
    let figure = |operation: &&str| {
        let runs: Vec<Usage> = (0..=RUNS).map(|_| once(folder, operation)).collect();
        median(&runs[1..])
    };
    OPERATIONS.iter().map(figure).collect()
}

fn once(folder: &Path, operation: &str) -> Usage {
    let bin = pgferry_bin();
    match operation {
        "apply" => {
            forget(folder);
            run(folder, &[bin, "apply", "--auto-approve"])
        }
        // Ends with 0 only if there is nothing to do.
        "no-change plan" => run(folder, &[bin, "plan", "--detailed-exitcode"]),
        _ => run(folder, &[bin, operation]),
    }
}

fn forget(folder: &Path) {
    for name in ["pgferry.state.json", "pgferry.state.json.backup"] {
        let _ = fs::remove_file(folder.join(name));
    }
}

fn terraform_figures(shape: Shape, form: Form, count: usize) -> Vec<Usage> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("main.tf"), shapes::terraform(shape, form, count)).unwrap();
    run(folder, &["terraform", "init", "-input=false", "-no-color"]);
    let once = |command: &[&str]| run(folder, command);
    // Once each: they take so long that the noise of the machine does not matter.
    vec![
        once(&["terraform", "validate", "-no-color"]),
        once(&["terraform", "plan", "-input=false", "-no-color"]),
        once(&["terraform", "apply", "-auto-approve", "-input=false", "-no-color"]),
        once(&["terraform", "plan", "-input=false", "-no-color", "-detailed-exitcode"]),
    ]
}

/// Resources with an effect outside, each recorded durably before and after, beside the bare records and the bare
/// effects: the same programs started and waited for, ten at a time.
fn effects(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pgferry.yaml"), shapes::commands(count)).unwrap();
    let mut applies = Vec::new();
    let (mut synced, mut started) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        forget(folder);
        applies.push(run(folder, &[pgferry_bin(), "apply", "--auto-approve"]));
        let mut file = File::create(folder.join("bare")).unwrap();
        let line = [b'x'; 400];
        let began = Instant::now();
        for _ in 0..2 * count {
            file.write_all(&line).unwrap();
            file.sync_data().unwrap();
        }
        synced.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    for _ in 0..count / AT_ONCE {
                        Command::new("true").output().unwrap();
                    }
                });
            }
        });
        started.push(began.elapsed().as_secs_f64());
    }
    synced.sort_by(f64::total_cmp);
    started.sort_by(f64::total_cmp);
    let (synced, started) = (synced[RUNS / 2], started[RUNS / 2]);
    let apply = median(&applies);
    println!("{count:>7} commands apply {}", show(apply));
    println!(
        "        {} bare fsyncs {synced:.3}, {count} bare commands {started:.3}; the apply takes {:.2} times the fsyncs, {:.2} times both",
        2 * count,
        apply.wall / synced,
        apply.wall / (synced + started)
    );
}
