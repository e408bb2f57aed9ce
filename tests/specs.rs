//! Specs as people write them: good ones are accepted by the program, the schema and an independent reader; each
//! broken one under `tests/broken` is refused with the whole message that stands beside it.
//!
//! A broken spec may begin with a line `# arguments: …` for what is typed after `validate -f FILE`.

mod expected;

use std::path::{Path, PathBuf};

use expected::{Expected, files, pgferry, root, text};
use pgferry_engine::source::{Node, Source, Value, yaml};

/// All that a spec of this folder finds in the environment.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("HEROKU_API_KEY", "HRKU-of-nobody"),
    ("LINODE_TOKEN", "token-of-nobody"),
    ("SOURCE_DATABASE_URL", "postgres://reader:pw-of-nobody@db.example.com:5432/acme"),
];

/// What a schema alone can see: nothing of references, loops, secrets, the environment or the command line.

fn validate(path: &Path) -> (std::process::Output, Vec<String>) {
    let first = std::fs::read(root().join(path)).unwrap();
    let first = String::from_utf8_lossy(&first).lines().next().unwrap_or_default().to_owned();
    let typed: Vec<String> = first
        .strip_prefix("# arguments: ")
        .map(|rest| rest.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    let file = path.to_str().expect("names of specs are text");
    let mut arguments = vec!["validate", "-f", file];
    arguments.extend(typed.iter().map(String::as_str));
    (pgferry(&arguments, &ENVIRONMENT), typed)
}

#[test]
fn every_broken_spec_is_refused_with_its_whole_message() {
    let mut expected = Expected::default();
    let specs = files("tests/broken", "yaml");
    assert!(specs.len() >= 20, "only {} broken specs", specs.len());
    for spec in &specs {
        let (output, _) = validate(spec);
        assert_eq!(output.status.code(), Some(1), "{} was not refused", spec.display());
        assert_eq!(text(output.stdout), "", "{}", spec.display());
        let said = text(output.stderr);
        for (name, value) in ENVIRONMENT {
            assert!(!said.contains(value), "{}: the value of {name} is shown", spec.display());
        }
        expected.compare(spec.with_extension("txt"), &said);
    }
    let texts: Vec<PathBuf> = specs.iter().map(|spec| spec.with_extension("txt")).collect();
    expected.nothing_else("tests/broken", "txt", &texts);
    expected.settle("cargo test --test specs");
}
