//! `init`: a commented spec to start from. Offers what this build can carry out, and nothing else.
//!
//! The texts are beside this file; `tests/options.rs` validates every combination.

use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;

use serde_json::json;

use crate::arguments::{Common, From, Init, To, migration_name};
use crate::outcome::{Exit, Stop};
use crate::view;

const COPY: &str = include_str!("init/copy.yaml");
const HEROKU: &str = include_str!("init/heroku.yaml");
const LINODE: &str = include_str!("init/linode.yaml");
const POSTGRES: &str = include_str!("init/postgres.yaml");

/// Marks lines that cannot be known in advance.
const MARK: &str = "# fill in: ";

/// Where names stand in a comment column.
const COMMENTS: usize = 46;

pub(super) fn run(common: &Common, told: Init) -> Result<Exit, Stop> {
    let path = &common.file;
    if path.exists() {
        return Err(there(path));
    }
    let from = match told.from {
        Some(from) => from,
        None => ask("from", "Where is the database: `linode` or `postgres`?", |text| match text {
            "linode" => Ok(From::Linode),
            "postgres" => Ok(From::Postgres),
            _ => Err("`linode` or `postgres`".to_owned()),
        })?,
    };
    let to = match told.to {
        Some(to) => to,
        None => ask("to", "Where does it go: `heroku` or `postgres`?", |text| match text {
            "heroku" => Ok(To::Heroku),
            "postgres" => Ok(To::Postgres),
            _ => Err("`heroku` or `postgres`".to_owned()),
        })?,
    };
    let name = match told.name {
        Some(name) => name,
        None => ask("name", "What is the migration called, such as `acme`?", migration_name)?,
    };
    let text = spec(from, to, &name);
    // Never over a file that came into being meanwhile.
    let written = std::fs::File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    match written {
        Ok(()) => {}
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => return Err(there(path)),
        Err(cause) => {
            return Err(Stop::because(format!("writing `{}`: {cause}", path.display())));
        }
    }
    let gaps = gaps(&text);
    let needed = match (from, to) {
        (From::Linode, To::Heroku) => ["LINODE_TOKEN", "HEROKU_API_KEY"].as_slice(),
        (From::Postgres, To::Heroku) => {
            ["SOURCE_DATABASE_URL", "LINODE_TOKEN", "HEROKU_API_KEY"].as_slice()
        }
        (From::Linode, To::Postgres) => ["LINODE_TOKEN", "TARGET_DATABASE_URL"].as_slice(),
        (From::Postgres, To::Postgres) => ["SOURCE_DATABASE_URL", "TARGET_DATABASE_URL"].as_slice(),
    };
    if common.json {
        let gaps = gaps.iter().map(|(line, what)| json!({"line": line, "fill_in": what}));
        view::print_json(&json!({
            "file": path.display().to_string(),
            "fill_in": gaps.collect::<Vec<_>>(),
            "environment": needed,
        }));
        return Ok(Exit::Done);
    }
    let shown = path.display();
    view::print(&format!("Wrote `{shown}`. To fill in:\n"));
    for (line, what) in gaps {
        view::print(&format!("  {shown}:{line}: {what}"));
    }
    view::print(&format!("\nSecrets stay in the environment: {}.", needed.join(", ")));
    view::print("Then: pgferry validate, pgferry preflight, pgferry plan.");
    Ok(Exit::Done)
}

fn there(path: &Path) -> Stop {
    Stop::because(format!("`{}` is there already, and is not overwritten", path.display()))
        .help("write the new one elsewhere: `pgferry init --file other.yaml`")
}

/// Asks at a terminal until the answer makes sense.
fn ask<T>(flag: &str, question: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, Stop> {
    if !std::io::stdin().is_terminal() {
        return Err(Stop::because(format!(
            "`--{flag}` is missing, and nobody is at a terminal to ask"
        ))
        .help("for instance: `pgferry init --from linode --to heroku --name acme`"));
    }
    loop {
        view::talk(question);
        let mut answer = String::new();
        let got = std::io::stdin().lock().read_line(&mut answer);
        if !matches!(got, Ok(length) if length > 0) {
            return Err(Stop::because("no answer; nothing was written"));
        }
        match read(answer.trim()) {
            Ok(answer) => return Ok(answer),
            Err(rule) => view::talk(&format!("  Write {rule}.")),
        }
    }
}

/// The text for a source and a target, under a name.
fn spec(from: From, to: To, name: &str) -> String {
    let source = match from {
        From::Linode => LINODE,
        From::Postgres => POSTGRES,
    };
    let target = match to {
        To::Heroku => HEROKU,
        To::Postgres => COPY,
    };
    let text = target.replace("SOURCE\n", &format!("{source}\n"));
    text.lines().map(|line| named(line, name) + "\n").collect()
}

/// A line with `name` in place of `acme`, its comment in the column where it was.
fn named(line: &str, name: &str) -> String {
    match line.split_once("  #") {
        Some((text, comment)) if text.contains("acme") => {
            let text = text.trim_end().replace("acme", name);
            let width = COMMENTS.max(text.len() + 1);
            format!("{text:width$}#{comment}")
        }
        _ if line.trim_start().starts_with('#') => line.to_owned(),
        _ => line.replace("acme", name),
    }
}

/// Lines that are to be filled in, and with what.
fn gaps(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate();
    lines.filter_map(|(index, line)| Some((index + 1, line.split_once(MARK)?.1))).collect()
}
