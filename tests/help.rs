//! What the program says of itself, word for word: the help of every command, its version, and answers for programs.
//!
//! The transcripts are under `tests/help`: a line with what was typed, then all that was printed, then how it ended.
#![cfg(feature = "sandbox")]

mod expected;

use std::path::PathBuf;

use expected::{Expected, pgferry, text};

const HOW: &str = "cargo test --test help";

/// A terminal session: what was typed, stdout, stderr, and the exit code where it is not 0.
fn session(arguments: &[&str]) -> String {
    let output = pgferry(arguments, &[]);
    let mut said = format!("$ pgferry {}\n", arguments.join(" "));
    said.push_str(&text(output.stdout));
    said.push_str(&text(output.stderr));
    match output.status.code() {
        Some(0) => {}
        Some(code) => said.push_str(&format!("[exit code {code}]\n")),
        None => said.push_str("[killed]\n"),
    }
    said.replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
}

/// Commands listed in a help text, `help` aside.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = listed.take_while(|line| line.starts_with("  "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn every_command_says_what_it_does() {
    let mut expected = Expected::default();
    let mut files = Vec::new();
    let mut left: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(command) = left.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let said = session(&arguments);
        left.extend(commands(&said).into_iter().map(|name| {
            let mut inner = command.clone();
            inner.push(name);
            inner
        }));
        let name = if command.is_empty() { "pgferry".to_owned() } else { command.join("-") };
        let path = PathBuf::from(format!("tests/help/{name}.txt"));
        expected.compare(&path, &said);
        files.push(path);
    }
    assert!(files.len() > 15, "the commands were not found in the help");
    for (name, sessions) in answers() {
        let path = PathBuf::from(format!("tests/help/answer-{name}.txt"));
        let said: Vec<String> = sessions.iter().map(|arguments| session(arguments)).collect();
        expected.compare(&path, &said.join("\n"));
        files.push(path);
    }
    expected.nothing_else("tests/help", "txt", &files);
    expected.settle(HOW);
}

/// Sessions that are no help texts.
fn answers() -> Vec<(&'static str, Vec<Vec<&'static str>>)> {
    let unknown_field = "tests/broken/unknown-field.yaml";
    vec![
        ("version", vec![vec!["version"], vec!["--version"]]),
        ("validate-json", vec![vec!["validate", "--json", "-f", unknown_field]]),
        ("explain", vec![vec!["explain", "pgf0125"], vec!["explain", "PGF9999"]]),
        ("no-spec", vec![vec!["validate", "-f", "nowhere.yaml"], vec!["plan"]]),
        (
            "mistyped",
            vec![
                vec!["plam"],
                vec!["plan", "--detailed-exit-code"],
                vec!["plan", "--parallelism", "0"],
                vec!["plan", "--lock-timeout", "soon"],
                vec!["validate", "-f", unknown_field, "--var", "plan"],
                vec![],
            ],
        ),
    ]
}
