//! Names and texts as SQL writes them, and names of tables as people write them.
//!
//! Pure; tested beside it.

/// `name` as an identifier, quoted always.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a literal, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// `schema.table` for people: quoted only where one could not read it otherwise.
pub fn display(schema: &str, name: &str) -> String {
    format!("{}.{}", shown(schema), shown(name))
}

fn shown(name: &str) -> String {
    let plain = name.chars().all(|c| c == '_' || c.is_lowercase() || c.is_ascii_digit())
        && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if plain { name.to_owned() } else { identifier(name) }
}

/// Tables chosen by name in a spec: `public.accounts`, `audit.*`, `"Weird Schema"."Table"`; without a schema, `public`.
#[derive(Clone, Debug, Default)]
pub struct Tables(Vec<(String, String)>);

impl Tables {
    /// Reads the names as written; `*` stands for any number of characters.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(split).collect())
    }

    /// These ones, in whose names nothing has a meaning.
    pub(crate) fn named(names: &[(String, String)]) -> Self {
        Self(names.to_vec())
    }

    /// Whether the table is among them.
    pub fn contains(&self, schema: &str, name: &str) -> bool {
        self.0.iter().any(|(s, n)| matches(s, schema) && matches(n, name))
    }

    /// As `pg_dump` wants them: quoted, so that nothing but `*` has a meaning.
    pub fn patterns(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(schema, name)| format!("{}.{}", pattern(schema), pattern(name)))
    }
}

fn split(written: &str) -> (String, String) {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = written.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted && parts.is_empty() => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    match parts.pop() {
        Some(schema) => (schema, part),
        None => ("public".to_owned(), part),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(index, _)| index)
                .chain([tail.len()])
                .any(|start| matches(rest, &tail[start..]))
        }),
    }
}

fn pattern(name: &str) -> String {
    name.split('*')
        .map(|piece| if piece.is_empty() { String::new() } else { identifier(piece) })
        .collect::<Vec<_>>()
        .join("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("C:\\"), " E'C:\\\\'");
        assert_eq!(display("public", "Weird Table"), "public.\"Weird Table\"");
    }

    #[test]
    fn tables_by_name_and_by_star() {
        let tables = Tables::new(["accounts", "audit.*", "\"We.ird\".\"T\"\"x\"", "app.log_*_old"]);
        for (schema, name, expect) in [
            ("public", "accounts", true),
            ("app", "accounts", false),
            ("audit", "anything", true),
            ("We.ird", "T\"x", true),
            ("app", "log_2020_old", true),
            ("app", "log_2020", false),
        ] {
            assert_eq!(tables.contains(schema, name), expect, "{schema}.{name}");
        }
        assert_eq!(
            tables.patterns().collect::<Vec<_>>(),
            [
                "\"public\".\"accounts\"",
                "\"audit\".*",
                "\"We.ird\".\"T\"\"x\"",
                "\"app\".\"log_\"*\"_old\""
            ]
        );
    }
}
