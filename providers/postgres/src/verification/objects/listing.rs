//! What `pg_dump` writes of a side, object by object, as text that can be compared.
//!
//! Left out is what is not in the database (settings and rights of the database itself), what no move brings along
//! (publications, subscriptions), what is compared elsewhere (extensions, rows, sequences' values, large objects), and
//! what providers put into every database. Pure. Tested beside it and in `tests/catalogue.rs`.

use std::collections::BTreeMap;

use pgferry_archive::{Entry, Text, Toc};

use super::extensions::Moved;
use super::scan;
use crate::quoting::display;

/// What tells an object apart: class, schema, name as listed; of classes whose names do not, the statement that drops it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) class: String,
    pub(super) schema: String,
    pub(super) name: String,
    more: String,
}

/// An object as its side has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    /// For people: ``index `app.accounts_by_name` ``.
    pub(super) shown: String,
    /// The relation that it belongs to or is.
    pub(super) table: Option<(String, String)>,
    /// All statements that make it.
    pub(super) text: String,
    pub(super) owner: String,
    /// The row of its side's catalogue.
    pub(super) catalog: (u32, u32),
}

impl Key {
    /// Whether it is the schema `public`, or something said of it.
    pub(super) fn is_of_public(&self) -> bool {
        (self.class == "SCHEMA" && self.name == "public")
            || self.subject() == Some(("SCHEMA", "", "public"))
    }

    /// What rights, a comment or a label are of: class, schema and name. A column's is its table.
    pub(super) fn subject(&self) -> Option<(&str, &str, &str)> {
        if !ABOUT.contains(&self.class.as_str()) {
            return None;
        }
        let words = self.name.find(|c: char| !(c.is_uppercase() || c == ' '));
        let split = self.name[..words.unwrap_or(self.name.len())].rfind(' ')?;
        let (class, name) = (&self.name[..split], &self.name[split + 1..]);
        Some(match class {
            "COLUMN" => ("TABLE", &self.schema, before_dot(name)),
            "FOREIGN SERVER" => ("SERVER", &self.schema, name),
            "LANGUAGE" => ("PROCEDURAL LANGUAGE", &self.schema, name),
            _ => (class, &self.schema, name),
        })
    }
}

/// A table's name, in quotes where it needs them, before the one of its column.
fn before_dot(name: &str) -> &str {
    let mut quoted = false;
    let dot = name.find(|sign| {
        quoted ^= sign == '"';
        sign == '.' && !quoted
    });
    &name[..dot.unwrap_or(name.len())]
}

pub(super) type Listing = BTreeMap<Key, Object>;

/// Classes of no object in the database, or that are compared by other means, or not at all.
const LEFT_OUT: [&str; 18] = [
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "DATABASE",
    "DATABASE PROPERTIES",
    "EXTENSION",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    "TABLE DATA",
    "SEQUENCE SET",
    "BLOB",
    "BLOBS",
    "BLOB METADATA",
    "MATERIALIZED VIEW DATA",
    "STATISTICS DATA",
];
/// Classes that say something of another object, which may be one of the above.
const ABOUT: [&str; 3] = ["ACL", "COMMENT", "SECURITY LABEL"];
const RELATIONS: [&str; 5] = ["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"];
/// Classes whose name, as listed, leaves out what they are told apart by.
const OVERLOADED: [&str; 5] =
    ["OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "CAST", "TRANSFORM"];

/// The objects in `toc`; what is from an extension that has another schema on the other side is named as there.
pub(super) fn listing(toc: &Toc, moved: &Moved) -> Listing {
    let by_id: BTreeMap<i32, &Entry> = toc.entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut objects: Vec<(Key, Object)> = toc
        .entries
        .iter()
        .filter(|entry| is_compared(entry))
        .map(|entry| object(entry, &by_id, moved))
        .collect();
    // Of those with one key, should there be any, the order must not depend on the side.
    objects.sort_by(|one, other| (&one.0, &one.1.text).cmp(&(&other.0, &other.1.text)));
    let mut listing = Listing::new();
    for (mut key, object) in objects {
        while listing.contains_key(&key) {
            key.more.push('+');
        }
        listing.insert(key, object);
    }
    listing
}

fn is_compared(entry: &Entry) -> bool {
    let (class, name, schema) = (text(&entry.desc), text(&entry.tag), text(&entry.namespace));
    let of_provider = |schema: &str| matches!(schema, "heroku_ext" | "_heroku");
    let about = |what: &str| ABOUT.contains(&class.as_str()) && name.starts_with(what);
    !(LEFT_OUT.contains(&class.as_str())
        || of_provider(&schema)
        || (class == "SCHEMA" && of_provider(&name))
        || about("DATABASE ")
        || about("EXTENSION ")
        || about("PUBLICATION ")
        || about("SUBSCRIPTION ")
        || about("LARGE OBJECT")
        || (about("SCHEMA ") && of_provider(&name["SCHEMA ".len()..])))
}

fn object(entry: &Entry, by_id: &BTreeMap<i32, &Entry>, moved: &Moved) -> (Key, Object) {
    let (class, schema) = (text(&entry.desc), text(&entry.namespace));
    let name = moved.renamed(&text(&entry.tag));
    let table = relation(entry, by_id);
    let mut definition = without_notes(&moved.renamed(&text(&entry.definition)));
    let method = text(&entry.access_method);
    if !matches!(method.as_str(), "" | "heap") {
        definition.push_str(&format!("USING {method}\n"));
    }
    if class == "TYPE" {
        definition = without_usual_multirange(&definition, &name);
    }
    if matches!(class.as_str(), "TABLE" | "FOREIGN TABLE") {
        definition = with_sorted_columns(&definition).unwrap_or(definition);
    }
    let more = if OVERLOADED.contains(&class.as_str()) {
        moved.renamed(&text(&entry.drop))
    } else if class == "DEFAULT ACL" {
        text(&entry.owner)
    } else {
        String::new()
    };
    let object = Object {
        shown: shown(&class, &schema, &name, table.as_ref()),
        table,
        text: definition,
        owner: text(&entry.owner),
        catalog: entry.catalog,
    };
    (Key { class, schema, name, more }, object)
}

/// As characters, one a byte where they are in no known encoding: two that differ must not become the same.
fn text(text: &Text) -> String {
    let bytes = text.bytes().unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// The relation among what it depends on whose name its own begins with, or the only one.
fn relation(entry: &Entry, by_id: &BTreeMap<i32, &Entry>) -> Option<(String, String)> {
    let is = |entry: &Entry| RELATIONS.iter().any(|class| entry.desc == **class);
    let named = |entry: &Entry| (text(&entry.namespace), text(&entry.tag));
    if is(entry) && entry.desc != *"SEQUENCE" {
        return Some(named(entry));
    }
    let before: Vec<&&Entry> = entry
        .dependencies
        .iter()
        .filter_map(|id| by_id.get(id))
        .filter(|before| is(before) && before.namespace == entry.namespace)
        .collect();
    let (tag, class) = (text(&entry.tag), text(&entry.desc));
    // `t t_pkey`, `TABLE t`, `COLUMN t.a`, `CONSTRAINT c ON t`.
    let owns = |name: &str| {
        tag.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))
            || (ABOUT.contains(&class.as_str())
                && (tag.ends_with(&format!(" {name}")) || tag.contains(&format!(" {name}."))))
    };
    let found = before.iter().find(|before| owns(&text(&before.tag)));
    let alone = || matches!(class.as_str(), "INDEX" | "STATISTICS").then(|| before.first())?;
    found.or_else(alone).map(|entry| named(entry))
}

fn shown(class: &str, schema: &str, name: &str, table: Option<&(String, String)>) -> String {
    let kind = match class {
        "FK CONSTRAINT" | "CHECK CONSTRAINT" => "constraint".to_owned(),
        "ACL" => "rights".to_owned(),
        "DEFAULT ACL" => "rights on new objects".to_owned(),
        class => class.to_lowercase(),
    };
    if ABOUT.contains(&class) {
        let words = name.find(|c: char| !(c.is_uppercase() || c == ' ')).unwrap_or(name.len());
        let split = name[..words].rfind(' ').map_or(0, |at| at + 1);
        let (what, of) = (name[..split].to_lowercase(), &name[split..]);
        let schema = if schema.is_empty() { String::new() } else { format!("{schema}.") };
        return format!("{kind} `{what}{schema}{of}`");
    }
    if let Some((table_schema, table_name)) = table
        && let Some(own) = name.strip_prefix(&format!("{table_name} "))
    {
        return format!("{kind} `{}.{own}`", display(table_schema, table_name));
    }
    let routine = matches!(class, "FUNCTION" | "PROCEDURE" | "AGGREGATE");
    match (schema, routine) {
        ("", _) => format!("{kind} `{name}`"),
        (schema, true) => format!("{kind} `{schema}.{name}`"),
        (schema, false) => format!("{kind} `{}`", display(schema, name)),
    }
}

/// Without the notes that servers keep among a column's options since 15.20, and that an older `pg_dump` writes.
fn without_notes(definition: &str) -> String {
    const NOTE: &str = "pg_attver=";
    if !definition.contains(NOTE) {
        return definition.to_owned();
    }
    let mut kept = String::with_capacity(definition.len());
    for line in definition.split_inclusive('\n') {
        let options = line
            .starts_with("ALTER ")
            .then(|| line.rsplit_once(" SET (")?.1.trim_end().strip_suffix(");"));
        let Some(options) = options.flatten().filter(|options| options.contains(NOTE)) else {
            kept.push_str(line);
            continue;
        };
        let others: Vec<&str> =
            options.split(", ").filter(|option| !option.starts_with(NOTE)).collect();
        if !others.is_empty() {
            kept.push_str(&line.replace(options, &others.join(", ")));
        }
    }
    kept
}

/// Without the name of a range's multirange where it is the one that a server gives by itself (`makeMultirangeTypeName`):
/// servers before 14 have none.
fn without_usual_multirange(definition: &str, name: &str) -> String {
    const NOTE: &str = ",\n    multirange_type_name = ";
    let usual = match name.find("range") {
        Some(at) => format!("{}multi{}", &name[..at], &name[at..]),
        None => format!("{name}_multirange"),
    };
    let Some((before, rest)) = definition.split_once(NOTE) else { return definition.to_owned() };
    let end = rest.find([',', '\n']).unwrap_or(rest.len());
    let told = rest[..end].replace('"', "");
    match told.rsplit_once('.').map_or(told.as_str(), |(_, told)| told) == usual {
        true => format!("{before}{}", &rest[end..]),
        false => definition.to_owned(),
    }
}

/// A restore puts the columns of a table's parents first, so that their order is none that it keeps.
fn with_sorted_columns(definition: &str) -> Option<String> {
    let (at, mut columns) = scan::entries(definition)?;
    let (head, rest) = (&definition[..at.start], &definition[at.end..]);
    rest.strip_prefix(")\nINHERITS (")?;
    columns.iter_mut().for_each(|column| *column = column.trim());
    columns.sort_unstable();
    Some(format!("{head}\n    {}\n{rest}", columns.join(",\n    ")))
}

#[cfg(test)]
mod tests {
    use pgferry_archive::{Compression, Header, Section, Version};

    use super::*;

    #[test]
    fn notes_of_a_server_are_left_out() {
        for (with, without) in [
            ("ALTER TABLE ONLY t ALTER COLUMN a SET (pg_attver=3);\n", ""),
            (
                "x\nALTER TABLE ONLY t ALTER COLUMN a SET (n_distinct=5, pg_attver=3);\ny",
                "x\nALTER TABLE ONLY t ALTER COLUMN a SET (n_distinct=5);\ny",
            ),
            ("    'pg_attver=3'\n", "    'pg_attver=3'\n"),
        ] {
            assert_eq!(without_notes(with), without);
        }
    }

    fn entry(id: i32, class: &str, schema: &str, name: &str, text: &str) -> Entry {
        let made = Entry::statement(id, Section::PreData, name, text);
        let drop = format!("DROP {text}").into();
        Entry { desc: class.into(), namespace: schema.into(), drop, ..made }
    }

    #[test]
    fn objects_have_names_that_people_know() {
        let after = |entry: Entry, id: i32| Entry { dependencies: vec![id], ..entry };
        let entries = vec![
            entry(1, "TABLE", "k", "t", "CREATE TABLE k.t ();"),
            after(entry(2, "CONSTRAINT", "k", "t t_pkey", ""), 1),
            after(entry(3, "INDEX", "k", "by a", ""), 1),
            after(entry(4, "COMMENT", "k", "COLUMN t.a", ""), 1),
            after(entry(5, "ACL", "k", "TABLE t", ""), 1),
            entry(6, "OPERATOR", "k", "===", "OPERATOR k.=== (text, text)"),
            entry(7, "OPERATOR", "k", "===", "OPERATOR k.=== (int, int)"),
            entry(8, "FUNCTION", "k", "f(a integer)", ""),
            entry(9, "COMMENT", "", "DATABASE d", ""),
            entry(10, "PUBLICATION", "", "p", ""),
            entry(11, "COMMENT", "", "SCHEMA public", ""),
        ];
        let header = Header {
            version: Version::V1_14,
            compression: Compression::None,
            made_at: [0, 0, 12, 1, 0, 125, 0],
            database: "d".into(),
            server_version: "15".into(),
            pg_dump_version: "15".into(),
        };
        let listing = listing(&Toc { header, entries }, &Moved::default());
        let shown: Vec<(&str, bool)> = listing
            .values()
            .map(|object| (object.shown.as_str(), object.table.is_some()))
            .collect();
        assert_eq!(
            shown,
            [
                ("rights `table k.t`", true),
                ("comment `schema public`", false),
                ("comment `column k.t.a`", true),
                ("constraint `k.t.t_pkey`", true),
                ("function `k.f(a integer)`", false),
                ("index `k.\"by a\"`", true),
                ("operator `k.\"===\"`", false),
                ("operator `k.\"===\"`", false),
                ("table `k.t`", true),
            ]
        );
    }

    #[test]
    fn rights_and_comments_are_of_something() {
        for (name, expect) in [
            ("TABLE t", Some(("TABLE", "k", "t"))),
            ("COLUMN t.a", Some(("TABLE", "k", "t"))),
            ("COLUMN \"a.b\".\"c.d\"", Some(("TABLE", "k", "\"a.b\""))),
            ("FOREIGN SERVER far", Some(("SERVER", "k", "far"))),
            ("FUNCTION f(integer, text)", Some(("FUNCTION", "k", "f(integer, text)"))),
        ] {
            let (class, schema) = ("ACL".to_owned(), "k".to_owned());
            let key = Key { class, schema, name: name.to_owned(), more: String::new() };
            assert_eq!(key.subject(), expect);
        }
    }

    #[test]
    fn a_multirange_that_a_server_names_by_itself_is_not_told() {
        let range = |name: &str, more: &str| {
            format!("CREATE TYPE k.{name} AS RANGE (\n    subtype = integer{more}\n);\n")
        };
        let told = |by: &str| format!(",\n    multirange_type_name = k.{by}");
        for (name, by, usual) in [
            ("reach", "reach_multirange", true),
            ("intrange1", "intmultirange1", true),
            ("\"Odd\"", "\"Odd_multirange\"", true),
            ("reach", "reaches", false),
        ] {
            let with = range(name, &told(by));
            let expect = if usual { range(name, "") } else { with.clone() };
            assert_eq!(without_usual_multirange(&with, &name.replace('"', "")), expect);
        }
        let more = format!("{},\n    subtype_diff = k.d", told("reach_multirange"));
        let expect = range("reach", ",\n    subtype_diff = k.d");
        assert_eq!(without_usual_multirange(&range("reach", &more), "reach"), expect);
    }

    #[test]
    fn the_columns_of_a_child_have_no_order() {
        let one = "CREATE TABLE k.child (\n    b integer,\n    a text\n)\nINHERITS (k.parent);\n";
        let other = "CREATE TABLE k.child (\n    a text,\n    b integer\n)\nINHERITS (k.parent);\n";
        assert!(with_sorted_columns(one).is_some());
        assert_eq!(with_sorted_columns(one), with_sorted_columns(other));
        let alone =
            "CREATE TABLE k.t (\n    b integer,\n    a text DEFAULT '\n)\nINHERITS ('\n);\n";
        assert_eq!(with_sorted_columns(alone), None);
    }

    #[test]
    fn the_lines_of_a_childs_check_have_an_order() {
        let of = |first: &str, second: &str| {
            let check = format!("CHECK (\nCASE\n{first}\n{second}\n    ELSE true\nEND)");
            let columns = format!("    b integer,\n    CONSTRAINT ck {check},\n    a numeric(9,2)");
            format!("CREATE TABLE k.child (\n{columns}\n)\nINHERITS (k.parent);\n")
        };
        let (one, other) = ("    WHEN (a > 0) THEN (b > 0)", "    WHEN (b > 5) THEN (a < 3)");
        assert_eq!(with_sorted_columns(&of(one, other)), with_sorted_columns(&of(one, other)));
        assert_ne!(with_sorted_columns(&of(one, other)), with_sorted_columns(&of(other, one)));
    }
}
