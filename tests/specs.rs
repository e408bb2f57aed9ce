//! Specs as people write them: good ones (`examples`, `tests/good`) are accepted, and read like an independent reader
//! reads them; each broken one under `tests/broken` is refused with the whole message that stands beside it. What the
//! schema for editors says of all of them is tested in `engine/tests/schema.rs`.
//!
//! A broken spec may begin with a line `# arguments: …` for what is typed after `validate -f FILE`.

mod expected;

use std::path::{Path, PathBuf};

use expected::{Expected, below, files, pgferry, root, text};
use pgferry_engine::source::{self, Node, Source, Value, yaml};

/// All that a spec of this folder finds in the environment.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("HEROKU_API_KEY", "HRKU-of-nobody"),
    ("LINODE_TOKEN", "token-of-nobody"),
    ("SOURCE_DATABASE_URL", "postgres://reader:pw-of-nobody@db.example.com:5432/acme"),
    ("TARGET_DATABASE_URL", "postgres://owner:pw-of-nobody@db.example.org:5432/acme"),
];

fn validate(path: &Path) -> std::process::Output {
    let first = std::fs::read(root().join(path)).expect("the spec is there");
    let first = String::from_utf8_lossy(&first).lines().next().unwrap_or_default().to_owned();
    let typed: Vec<String> = first
        .strip_prefix("# arguments: ")
        .map(|rest| rest.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    let file = path.to_str().expect("names of specs are text");
    let mut arguments = vec!["validate", "-f", file];
    arguments.extend(typed.iter().map(String::as_str));
    pgferry(&arguments, &ENVIRONMENT)
}

#[test]
fn every_broken_spec_is_refused_with_its_whole_message() {
    let mut expected = Expected::default();
    let specs = files("tests/broken", "yaml");
    assert!(specs.len() >= 20, "only {} broken specs", specs.len());
    for spec in &specs {
        let output = validate(spec);
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

#[test]
fn every_good_spec_is_valid() {
    for spec in good() {
        let output = validate(&spec);
        let said = (output.status.code(), text(output.stdout), text(output.stderr));
        let count = resources(&spec);
        let name = spec.display();
        let noun = if count == 1 { "resource" } else { "resources" };
        let words = format!("Success! `{name}` is valid: {count} {noun}.\n");
        assert_eq!(said, (Some(0), words, String::new()), "{name}");
    }
}

/// Our reader and `serde_yaml` take the same values from the same text, except where ours refuses it.
#[test]
fn an_independent_reader_sees_the_same() {
    for path in good().into_iter().chain(files("tests/broken", "yaml")) {
        let Ok(written) = std::fs::read_to_string(root().join(&path)) else { continue };
        let source = Source::new("spec.yaml", written.as_str());
        let (Some(node), mistakes) = yaml::parse(&source) else { continue };
        if !mistakes.is_empty() {
            continue;
        }
        let other: serde_yaml::Value = serde_yaml::from_str(&written)
            .unwrap_or_else(|cause| panic!("{}: we read it, but {cause}", path.display()));
        assert_eq!(plain(&node), other, "{}", path.display());
    }
}

/// The examples, and specs that show one good thing each.
fn good() -> Vec<PathBuf> {
    let good = [below("examples", "yaml"), files("tests/good", "yaml")].concat();
    assert!(good.len() > 3, "the good specs were not found");
    good
}

fn resources(path: &Path) -> usize {
    let written = std::fs::read_to_string(root().join(path)).expect("the spec is there");
    let spec: serde_yaml::Value = serde_yaml::from_str(&written).expect("the spec is YAML");
    let blocks = spec.get("resources").and_then(|map| map.as_mapping()).into_iter().flatten();
    // Of a variable, its default counts.
    let put = |value: &serde_yaml::Value| {
        let name = value.as_str()?.strip_prefix("${var.")?.strip_suffix('}')?;
        spec.get("variables")?.get(name)?.get("default").cloned()
    };
    let instances = |block: &serde_yaml::Value| {
        let written = block.get("for_each").cloned();
        match written.map(|value| put(&value).unwrap_or(value)) {
            Some(serde_yaml::Value::Sequence(list)) => list.len(),
            Some(serde_yaml::Value::Mapping(map)) => map.len(),
            _ => 1,
        }
    };
    blocks.map(|(_, block)| instances(block)).sum()
}

/// A node as the other reader would have it.
fn plain(node: &Node) -> serde_yaml::Value {
    match &node.value {
        Value::Null => serde_yaml::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(value) => value.as_str().into(),
        Value::Seq(items) => items.iter().map(plain).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            let entry = |entry: &source::Entry| (entry.key.as_str().into(), plain(&entry.value));
            serde_yaml::Value::Mapping(entries.iter().map(entry).collect())
        }
    }
}
