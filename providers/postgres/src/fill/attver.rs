//! `pg_attver`, a note that PostgreSQL 15.20 keeps among the options of each column, taken out of statements.
//!
//! Its own `pg_dump` leaves it out; that of 15.18 writes `ALTER COLUMN … SET (pg_attver=…)`, which no other server
//! takes. The value is the server's own and means nothing elsewhere. Pure; tested beside it.

use super::script::statements_within;

const OPTION: &str = "pg_attver=";

/// `sql` without it: other options of the same column stay, a statement that sets nothing else goes. `None` where
/// there is none.
pub(crate) fn stripped(sql: &str) -> Option<String> {
    if !sql.contains(OPTION) {
        return None;
    }
    let (mut kept, mut next, mut changed) = (String::new(), 0, false);
    for range in statements_within(sql) {
        let statement = &sql[range.clone()];
        let Some(options) = options_of(statement) else { continue };
        let options_at = range.start + (statement.len() - options.len() - 1);
        let others: Vec<&str> = options
            .split(',')
            .filter(|option| !option.trim_start().starts_with(OPTION))
            .map(str::trim)
            .collect();
        if others.len() == options.split(',').count() {
            continue;
        }
        changed = true;
        if others.is_empty() {
            // With its semicolon and the line's end.
            let begin = range.start + (statement.len() - statement.trim_start().len());
            kept.push_str(&sql[next..begin]);
            next = (range.end + 1).min(sql.len());
            next += usize::from(sql[next..].starts_with('\n'));
        } else {
            kept.push_str(&sql[next..options_at]);
            kept.push_str(&others.join(", "));
            next = range.end - 1;
        }
    }
    kept.push_str(&sql[next..]);
    changed.then_some(kept)
}

/// What stands in the parentheses of `ALTER TABLE ONLY … ALTER COLUMN … SET (…)` (`dumpTableSchema`, pg_dump.c).
fn options_of(statement: &str) -> Option<&str> {
    let rest = statement.trim_start();
    let altered = ["ALTER TABLE ", "ALTER FOREIGN TABLE ", "ALTER MATERIALIZED VIEW "]
        .iter()
        .any(|beginning| rest.starts_with(beginning));
    let list = statement.strip_suffix(')')?;
    let at = list.rfind(" SET (")?;
    (altered && list[..at].contains(" ALTER COLUMN ")).then(|| &list[at + " SET (".len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_that_option_goes() {
        for (sql, expect) in [
            ("CREATE TABLE t (a text DEFAULT 'pg_attver=1');", None),
            (
                "CREATE TABLE t ();\nALTER TABLE ONLY t ALTER COLUMN a SET (pg_attver=1);\nALTER TABLE ONLY t ALTER COLUMN b SET STATISTICS 5;\n",
                Some("CREATE TABLE t ();\nALTER TABLE ONLY t ALTER COLUMN b SET STATISTICS 5;\n"),
            ),
            (
                "ALTER TABLE ONLY t ALTER COLUMN a SET (n_distinct=-0.5, pg_attver=1);\nALTER FOREIGN TABLE ONLY t ALTER COLUMN \"x SET (pg_attver=9)\" SET (pg_attver=7, n_distinct=3,pg_attver=8);",
                Some(
                    "ALTER TABLE ONLY t ALTER COLUMN a SET (n_distinct=-0.5);\nALTER FOREIGN TABLE ONLY t ALTER COLUMN \"x SET (pg_attver=9)\" SET (n_distinct=3);",
                ),
            ),
            (
                "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$\nALTER TABLE t ALTER COLUMN a SET (pg_attver=1);\n$$;",
                None,
            ),
        ] {
            assert_eq!(stripped(sql).as_deref(), expect, "{sql}");
        }
    }
}
