//! The list of columns in the statement that restores a table's rows.
//!
//! `pg_dump` writes ``COPY schema.table (a, "b c") FROM stdin;``: generated columns are not in it, and the table may be
//! a partition's root instead of the table whose rows they are. Tested beside it.

use crate::entry::Text;

/// The list with its parentheses, as SQL; empty for a table without columns. `None` for anything but such a statement.
///
/// `(a, "b c")` of ``COPY public.t (a, "b c") FROM stdin;``.
pub fn columns(copy: &Text) -> Option<&str> {
    let rest = copy.as_str()?.trim_end().strip_prefix("COPY ")?.strip_suffix(" FROM stdin;")?;
    let rest = name(rest)?;
    let rest = match rest.strip_prefix('.') {
        Some(rest) => name(rest)?,
        None => rest,
    };
    let list = rest.trim();
    let whole = list.is_empty() || (list.starts_with('(') && list.ends_with(')'));
    whole.then_some(list)
}

/// What comes after a name.
fn name(text: &str) -> Option<&str> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([' ', '.', '(']).unwrap_or(text.len());
        return (end > 0).then(|| &text[end..]);
    };
    loop {
        rest = &rest[rest.find('"')? + 1..];
        match rest.strip_prefix('"') {
            Some(after) => rest = after,
            None => return Some(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_statements() {
        for (statement, expect) in [
            ("COPY public.t (a, b) FROM stdin;\n", Some("(a, b)")),
            (
                "COPY \"We ird\".\"a (\"\"b\"\") FROM stdin;\" (\"c)\", d) FROM stdin;\n",
                Some("(\"c)\", d)"),
            ),
            ("COPY public.nothing  FROM stdin;\n", Some("")),
            ("COPY public.\"数据\" (\"键\") FROM stdin;\n", Some("(\"键\")")),
            ("COPY public.t (a FROM stdin;", None),
            ("COPY \"public.t (a) FROM stdin;", None),
            ("INSERT INTO t", None),
            ("", None),
        ] {
            assert_eq!(columns(&statement.into()), expect, "{statement}");
        }
        assert_eq!(columns(&Text::NONE), None);
        assert_eq!(columns(&vec![0xff].into()), None);
    }
}
