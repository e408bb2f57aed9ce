//! What `pg_dump` says of two databases, taken apart into entries and compared: the judge of the judge.
//!
//! It knows nothing of pgferry. An entry is what follows a `-- Name: …` line; rows of a table have no order.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::process::Command;

/// Entries by `TYPE schema.name`, such as `TABLE DATA public.t`.
pub type Entries = BTreeMap<String, String>;

/// What that `pg_dump` writes, its connection given.
pub fn entries(mut pg_dump: Command) -> Entries {
    let output = pg_dump.args(["--encoding=UTF8"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg_dump: {said}");
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn parse(text: &str) -> Entries {
    let mut entries = Entries::new();
    let mut name = String::new();
    let mut lines = Vec::new();
    let mut close = |name: &str, lines: &mut Vec<&str>| {
        if name.starts_with("TABLE DATA") {
            lines.sort_unstable();
        }
        let entry: &mut String = entries.entry(name.to_owned()).or_default();
        entry.push_str(&lines.join("\n"));
        lines.clear();
    };
    for line in text.lines() {
        if let Some(found) = head(line) {
            close(&name, &mut lines);
            name = found;
        } else if !line.is_empty() && !is_about_the_session(line) {
            lines.push(line);
        }
    }
    close(&name, &mut lines);
    // What comes before the first entry speaks of the session.
    entries.remove("");
    entries
}

/// `-- Name: t; Type: TABLE; Schema: public; Owner: app` as `TABLE public.t`.
fn head(line: &str) -> Option<String> {
    let rest =
        line.strip_prefix("-- Name: ").or_else(|| line.strip_prefix("-- Data for Name: "))?;
    let (name, rest) = rest.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let schema = rest.split("; Owner: ").next()?;
    Some(format!("{kind} {schema}.{name}").replace(" -.", " "))
}

/// Lines that are no object: they choose where the next one goes, differ at each run, or only part the text.
fn is_about_the_session(line: &str) -> bool {
    let parting = ["--", "\\restrict ", "\\unrestrict ", "SET default_table", "SET SESSION AUTH"];
    parting.iter().any(|begin| line.starts_with(begin))
}

/// How the second differs from the first, an entry a line.
pub fn differences(expected: &Entries, actual: &Entries) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in expected {
        match actual.get(name) {
            None => found.push(format!("missing {name}")),
            Some(other) if other != text => {
                let odd = |one: &str, two: &str| {
                    let lines = one.lines().filter(|line| !two.lines().any(|two| two == *line));
                    lines.take(3).collect::<Vec<_>>().join(" / ")
                };
                let (gone, new) = (odd(text, other), odd(other, text));
                found.push(format!("differs {name}: `{gone}` became `{new}`"));
            }
            Some(_) => {}
        }
    }
    let more = actual.keys().filter(|name| !expected.contains_key(*name));
    found.extend(more.map(|name| format!("besides {name}")));
    found
}

#[test]
fn entries_are_told_apart_and_rows_have_no_order() {
    let one = "SET x = 1;\n--\n-- Name: t; Type: TABLE; Schema: public; Owner: a\n--\nCREATE TABLE t ();\n\
               -- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: a\nCOPY t;\n1\n2\n\\.\n";
    let two = one.replace("1\n2", "2\n1").replace("Owner: a", "Owner: b");
    assert_eq!(differences(&parse(one), &parse(&two)), Vec::<String>::new());
    let three = one.replace("t ()", "t (a int)").replace("1\n2\n", "1\n");
    let expected = [
        "differs TABLE DATA public.t: `2` became ``",
        "differs TABLE public.t: `CREATE TABLE t ();` became `CREATE TABLE t (a int);`",
    ];
    assert_eq!(differences(&parse(one), &parse(&three)), expected);
    let expected = ["missing TABLE DATA public.t", "missing TABLE public.t"];
    assert_eq!(differences(&parse(one), &Entries::new()), expected);
}
