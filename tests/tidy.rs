//! Keeps the house as ARCHITECTURE.md and CONTRIBUTING.md describe it, by reading manifests and `use` lines.
//!
//! Each failure quotes the rule it defends. Knows text, not Rust: a name inside a string or a comment counts.

mod expected;

use std::path::{Path, PathBuf};

use expected::{below, root, without_tests};

/// Crates that speak to a network.
const NETWORK: &[&str] =
    &["reqwest", "object_store", "tokio-postgres", "postgres", "axum", "hyper", "rustls"];

/// Each crate with those of ours that it may depend on. The root package may depend on all.
const ARROWS: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("providers/http", &["engine"]),
    ("providers/archive", &[]),
    ("providers/objects", &["engine", "http"]),
    ("providers/core", &["engine"]),
    ("providers/postgres", &["engine", "objects", "archive"]),
    ("providers/linode", &["engine", "http", "objects"]),
    ("providers/heroku", &["engine", "http", "objects", "postgres"]),
    ("providers/sandbox", &[]),
];

/// Files over the limit when the rule came, with their lines then: they may shrink, never grow.
const LARGE: &[(&str, usize)] = &[("providers/sandbox/tests/s3.rs", 600)];

/// Files of libraries that read the environment themselves, with the reason.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "providers/sandbox/src/daemon.rs",
        "its own background process inherits only what is named there",
    ),
    ("providers/sandbox/src/sandbox.rs", "finds the Postgres programs as the command line would"),
];

const MOST_LINES: usize = 500;

fn read(path: &Path) -> String {
    let bytes = std::fs::read(root().join(path));
    let bytes = bytes.unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    // One of the broken specs is not UTF-8, on purpose.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fails with the rule and everything that breaks it.
fn keep(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "\nThe rule: {rule}\nBroken by:\n  {}\n", broken.join("\n  "));
}

/// Our Rust files.
fn sources() -> Vec<PathBuf> {
    ["cli", "engine", "providers", "tests"].iter().flat_map(|folder| below(folder, "rs")).collect()
}

/// The libraries' own code: no tests, neither files of them nor modules at the end of a file.
fn libraries() -> Vec<(PathBuf, String)> {
    let all = ["engine", "providers"].iter().flat_map(|folder| below(folder, "rs"));
    all.filter(|path| {
        let shown = path.to_string_lossy();
        !shown.contains("/tests/") && !shown.ends_with("/tests.rs")
    })
    .map(|path| {
        let code = read(&path);
        (path, without_tests(&code).to_owned())
    })
    .collect()
}

/// Lines of `code`, numbered, that hold one of `words` outside a comment.
fn lines_with<'c>(code: &'c str, words: &[&str]) -> Vec<(usize, &'c str)> {
    code.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .filter(|(_, line)| words.iter().any(|word| contains_word(line, word)))
        .map(|(index, line)| (index + 1, line.trim()))
        .collect()
}

/// Whether `word` is in `line` and does not continue a longer name.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
    })
}

/// The names under `[section]` of a manifest.
fn names_under(manifest: &str, section: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if let Some(header) = line.trim().strip_prefix('[') {
            inside = header.trim_end_matches(']') == section;
        } else if inside && !line.trim_start().starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                names.push(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn arrows_between_crates_point_one_way() {
    let mut broken = Vec::new();
    for folder in std::fs::read_dir(root().join("providers")).unwrap() {
        let folder = format!("providers/{}", folder.unwrap().file_name().to_string_lossy());
        if !ARROWS.iter().any(|(known, _)| *known == folder) {
            broken.push(format!("{folder}: say in ARROWS of tests/tidy.rs what it may depend on"));
        }
    }
    for (folder, allowed) in ARROWS {
        if !root().join(folder).exists() {
            continue;
        }
        let manifest = read(&Path::new(folder).join("Cargo.toml"));
        for name in names_under(&manifest, "dependencies") {
            if let Some(ours) = name.strip_prefix("pgferry-")
                && !allowed.contains(&ours)
            {
                broken.push(format!("{folder}/Cargo.toml: depends on `{name}`"));
            }
        }
    }
    keep(
        "Arrows point one way: cli → providers → engine. The sandbox is imported by the command line and by tests only.",
        broken,
    );
}

#[test]
fn the_engine_knows_no_provider_and_no_network() {
    let manifest = read(Path::new("engine/Cargo.toml"));
    let mut broken: Vec<String> = ["dependencies", "dev-dependencies"]
        .iter()
        .flat_map(|section| names_under(&manifest, section))
        .filter(|name| name.starts_with("pgferry-") || NETWORK.contains(&name.as_str()))
        .map(|name| format!("engine/Cargo.toml: `{name}`"))
        .collect();
    let mut words: Vec<String> =
        NETWORK.iter().map(|name| format!("{}::", name.replace('-', "_"))).collect();
    words.extend(["pgferry_", "std::net", "tokio::net"].map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for (path, code) in libraries().iter().filter(|(path, _)| path.starts_with("engine")) {
        for (number, line) in lines_with(code, &words) {
            broken.push(format!("{}:{number}: {line}", path.display()));
        }
    }
    keep("The engine knows no provider and no network.", broken);
}

#[test]
fn the_archive_is_pure() {
    if !root().join("providers/archive").exists() {
        return;
    }
    let manifest = read(Path::new("providers/archive/Cargo.toml"));
    let mut broken: Vec<String> = names_under(&manifest, "dependencies")
        .into_iter()
        .filter(|name| name.starts_with("tokio") || NETWORK.contains(&name.as_str()))
        .map(|name| format!("providers/archive/Cargo.toml: `{name}`"))
        .collect();
    let words = ["std::fs", "std::net", "std::env", "std::process", "tokio::", "async fn"];
    for (path, code) in libraries().iter().filter(|(p, _)| p.starts_with("providers/archive")) {
        for (number, line) in lines_with(code, &words) {
            broken.push(format!("{}:{number}: {line}", path.display()));
        }
    }
    keep(
        "The archive is bytes in and bytes out: no files, no network, no clock, no tasks.",
        broken,
    );
}

#[test]
fn no_provider_imports_the_sandbox() {
    let mut broken = Vec::new();
    for (path, code) in libraries().iter().filter(|(p, _)| !p.starts_with("providers/sandbox")) {
        for (number, line) in lines_with(code, &["pgferry_sandbox"]) {
            broken.push(format!("{}:{number}: {line}", path.display()));
        }
    }
    keep("The sandbox is imported by the command line and by tests only.", broken);
}

#[test]
fn only_the_command_line_prints_reads_the_environment_or_exits() {
    let printing =
        ["println!", "eprintln!", "print!", "eprint!", "process::exit", "io::stdout", "io::stderr"];
    let reading = [
        "std::env::var",
        "std::env::vars",
        "std::env::args",
        "env::var_os",
        "std::env::current_dir",
    ];
    let mut broken = Vec::new();
    for (path, code) in libraries() {
        let mut words = printing.to_vec();
        if !ENVIRONMENT.iter().any(|(allowed, _)| path == Path::new(allowed)) {
            words.extend(reading);
        }
        for (number, line) in lines_with(&code, &words) {
            broken.push(format!("{}:{number}: {line}", path.display()));
        }
    }
    keep("The command line is the only place that prints, reads the environment or exits.", broken);
}

#[test]
fn every_module_says_what_it_owns() {
    let silent = sources().into_iter().filter(|path| !read(path).starts_with("//! "));
    keep(
        "Every module starts with `//!`: what it owns, what it deliberately does not know, how it is tested.",
        silent.map(|path| path.display().to_string()).collect(),
    );
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = read(Path::new("Cargo.toml"));
    let mut inside = false;
    let mut broken = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if inside && line.contains('=') && !line.contains("path = ") {
            let reason = line.rsplit_once('#').map(|(_, reason)| reason.trim());
            if reason.is_none_or(|reason| reason.len() < 8) {
                broken.push(format!("Cargo.toml:{}: {line}", index + 1));
            }
        }
    }
    for (folder, _) in ARROWS.iter().filter(|(folder, _)| root().join(folder).exists()) {
        let manifest = read(&Path::new(folder).join("Cargo.toml"));
        let own =
            manifest.lines().filter(|line| line.contains("version = \"") || line.contains(" = \""));
        for line in own.filter(|line| !line.starts_with("name") && !line.starts_with("path")) {
            broken.push(format!("{folder}/Cargo.toml: {line} (write `workspace = true`)"));
        }
    }
    keep("A dependency enters with one line in the root Cargo.toml that says why.", broken);
}

#[test]
fn files_fit_in_a_head() {
    let mut files = sources();
    files.extend(["sh", "md", "toml"].iter().flat_map(|extension| {
        ["examples", "engine", "providers", "cli"].into_iter().flat_map(|f| below(f, extension))
    }));
    files.extend(expected::files("", "md"));
    let mut broken = Vec::new();
    for path in files {
        let lines = read(&path).lines().count();
        let known =
            LARGE.iter().find(|(large, _)| path == Path::new(large)).map(|(_, lines)| *lines);
        match known {
            Some(_) if lines <= MOST_LINES => broken.push(format!(
                "{}: {lines} lines now; take it out of LARGE in tests/tidy.rs",
                path.display()
            )),
            Some(most) if lines > most => broken.push(format!(
                "{}: {lines} lines, and it was to shrink from {most}",
                path.display()
            )),
            None if lines > MOST_LINES => broken.push(format!("{}: {lines} lines", path.display())),
            _ => {}
        }
    }
    keep(
        "A good file has one noun and fits in a head: 150 to 250 lines, never over 500. Split it where the story changes.",
        broken,
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not hold what it looks for.
    let words = ["todo", "unimplemented", "dbg"].map(|word| format!("{word}!("));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut broken = Vec::new();
    for path in sources() {
        for (number, line) in lines_with(&read(&path), &words) {
            broken.push(format!("{}:{number}: {line}", path.display()));
        }
    }
    keep("Nothing is left for later: what is not there yet is refused with a message.", broken);
}

#[test]
fn no_path_of_anybodys_machine() {
    let homes = ["home", "root", "work", "Users"].map(|folder| format!("/{folder}/"));
    let folders = ["cli", "engine", "providers", "tests", "examples", "schema"];
    let kinds = ["rs", "md", "toml", "yaml", "sh", "txt", "json"];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| kinds.iter().flat_map(|kind| below(folder, kind)))
        .collect();
    files.extend(kinds.iter().flat_map(|kind| expected::files("", kind)));
    files.extend(["Makefile", ".ci/run", ".ci/setup"].map(PathBuf::from));
    let mut broken = Vec::new();
    for path in files {
        // What Homebrew is called on Linux, the same for everybody.
        let text = read(&path).replace("/home/linuxbrew/", "");
        for (index, line) in text.lines().enumerate() {
            let path_here = |home: &String| {
                line.match_indices(home.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| " \t\"'`=(".contains(c))
                })
            };
            if homes.iter().any(path_here) {
                broken.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
            }
        }
    }
    keep("The project speaks of itself alone: no absolute path of a machine is in it.", broken);
}
