//! Files that are made from the code and committed, so that editors and readers have them without building anything:
//! the schemas of specs, states, saved plans and event lines, and a page for every code.
//!
//! `UPDATE=1 cargo test --test generated` makes them anew.

mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use expected::{Expected, files, pgferry, root, text};

const HOW: &str = "cargo test --test generated";

/// Code, title, explanation.
type Code = (&'static str, &'static str, &'static str);

/// Every table of codes with its crate.
fn tables() -> [(&'static str, &'static [Code]); 4] {
    [
        ("engine", pgferry_engine::codes::CODES),
        ("providers/postgres", pgferry_postgres::codes::CODES),
        ("providers/linode", pgferry_linode::CODES),
        ("providers/heroku", pgferry_heroku::CODES),
    ]
}

#[test]
fn the_schema_of_specs_is_what_the_program_prints() {
    let printed = pgferry(&["schema"], &[]);
    assert!(printed.status.success());
    let mut expected = Expected::default();
    expected.compare("schema/pgferry.schema.json", &text(printed.stdout));
    expected.settle(HOW);
}

#[test]
fn the_schemas_of_what_is_written_are_those_of_the_types() {
    let mut expected = Expected::default();
    for of in ["state", "plan", "events"] {
        let printed = pgferry(&["schema", of], &[]);
        assert!(printed.status.success());
        expected.compare(format!("schema/{of}.schema.json"), &text(printed.stdout));
    }
    expected.settle(HOW);
}

#[test]
fn every_code_has_a_page() {
    let examples = examples();
    let mut expected = Expected::default();
    let mut pages = vec![PathBuf::from("schema/errors/README.md")];
    let mut list = String::from(
        "# Codes\n\nEvery mistake and finding has a code that stays the same for ever, and a page here.\n\n",
    );
    let codes: BTreeMap<&str, Code> =
        tables().iter().flat_map(|(_, table)| table.iter()).map(|code| (code.0, *code)).collect();
    for (code, title, explanation) in codes.into_values() {
        let mut page = format!("# {code}: {title}\n\n{explanation}\n");
        if let Some((said, spec)) = examples.get(code) {
            let _ = write!(
                page,
                "\nFor example, of [{spec}](../../tests/broken/{spec}):\n\n```text\n{said}```\n"
            );
        }
        let path = PathBuf::from(format!("schema/errors/{code}.md"));
        expected.compare(&path, &page);
        let _ = writeln!(list, "- [{code}]({code}.md): {title}");
        pages.push(path);
    }
    expected.compare(&pages[0], &list);
    expected.nothing_else("schema/errors", "md", &pages);
    expected.settle(HOW);
}

/// For each code, the first message with it that a broken spec of the tests is answered with, and that spec.
fn examples() -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    let answers = files("tests/broken", "txt").into_iter().map(|path| {
        let answer = std::fs::read_to_string(root().join(&path)).expect("the answer is there");
        (path, answer)
    });
    // A spec with one mistake shows it better than one with many.
    let mut answers: Vec<_> = answers.collect();
    answers.sort_by_key(|(path, answer)| (answer.matches("\nerror[").count(), path.clone()));
    for (path, answer) in answers {
        let spec = path.with_extension("yaml");
        let name = spec.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        for said in answer.split("\n\n") {
            let code = said.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
            let Some((code, _)) = code.filter(|(code, _)| code.starts_with("PGF")) else {
                continue;
            };
            let said = format!("{}\n", said.trim_end()).replace("tests/broken/", "");
            found.entry(code.to_owned()).or_insert((said, name.clone()));
        }
    }
    found
}

#[test]
fn the_program_explains_every_code_in_the_same_words() {
    for (code, title, explanation) in tables().iter().flat_map(|(_, table)| table.iter()) {
        let said = pgferry(&["explain", code], &[]);
        assert!(said.status.success(), "{code}");
        let words = format!("{code}: {title} {explanation}");
        let words: Vec<&str> = words.split_whitespace().collect();
        let said = text(said.stdout);
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), words);
    }
}

#[test]
fn no_code_stands_for_two_things() {
    let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
    for (of, table) in tables() {
        for (code, title, explanation) in table {
            let before = owner.insert(code, of);
            assert_eq!(before, None, "{code} is in the table of `{of}` and in another");
            assert!(!title.is_empty() && !title.ends_with('.'), "the title of {code}");
            assert!(
                explanation.ends_with('.') || explanation.ends_with('`'),
                "{code}: not a sentence"
            );
        }
    }
}

/// A table is where people look a code up; one that is said but not there leaves them alone.
#[test]
fn every_code_that_is_said_is_in_a_table_and_the_other_way_round() {
    let known: BTreeSet<String> = tables()
        .iter()
        .flat_map(|(_, table)| table.iter())
        .map(|(code, ..)| (*code).to_owned())
        .collect();
    let mut said = BTreeSet::new();
    for folder in ["cli", "engine/src", "providers"] {
        for path in expected::below(folder, "rs") {
            let shown = path.to_string_lossy().into_owned();
            if shown.ends_with("codes.rs") || shown.contains("/tests") {
                continue;
            }
            let code = std::fs::read_to_string(root().join(&path)).unwrap();
            let code = expected::without_tests(&code);
            said.extend(codes_in(code));
        }
    }
    assert_eq!(said.difference(&known).collect::<Vec<_>>(), [""; 0], "said, but in no table");
    assert_eq!(known.difference(&said).collect::<Vec<_>>(), [""; 0], "in a table, but never said");
}

fn codes_in(text: &str) -> impl Iterator<Item = String> {
    text.match_indices("PGF").filter_map(|(at, _)| {
        let code = text.get(at..at + 7)?;
        code[3..].bytes().all(|byte| byte.is_ascii_digit()).then(|| code.to_owned())
    })
}
