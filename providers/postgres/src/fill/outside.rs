//! Entries of an archive or script about something outside the database: the database itself, roles, tablespaces.
//!
//! `pg_restore` passes over the database's own entries unless it is told to create it (`_tocEntryRequired` in
//! pg_backup_archiver.c: `DATABASE`, `DATABASE PROPERTIES`, and rights, comments and labels whose tag begins with
//! `DATABASE `). Their statements name the source database, which on the target's server may be somebody else's. Pure.
//! Tested beside it.

/// What `pg_dump` calls the database's own entries.
const OWN: [&str; 2] = ["DATABASE", "DATABASE PROPERTIES"];

/// What a statement begins with that reaches beyond its database. `pg_dump` writes only some of them, into entries
/// that [`is_outside`] knows by name too.
const BEGINNINGS: [&[&str]; 19] = [
    &["ALTER", "DATABASE"],
    &["ALTER", "GROUP"],
    &["ALTER", "ROLE"],
    &["ALTER", "SYSTEM"],
    &["ALTER", "TABLESPACE"],
    &["COMMENT", "ON", "DATABASE"],
    &["COMMENT", "ON", "ROLE"],
    &["COMMENT", "ON", "TABLESPACE"],
    &["CREATE", "DATABASE"],
    &["CREATE", "GROUP"],
    &["CREATE", "ROLE"],
    &["CREATE", "TABLESPACE"],
    &["DROP", "DATABASE"],
    &["DROP", "OWNED"],
    &["DROP", "ROLE"],
    &["DROP", "TABLESPACE"],
    &["DROP", "USER"],
    &["REASSIGN", "OWNED"],
    &["UPDATE", "PG_CATALOG.PG_DATABASE"],
];
/// What rights and labels are `ON`.
const OBJECTS: [&str; 4] = ["DATABASE", "PARAMETER", "ROLE", "TABLESPACE"];

/// Whether the entry is about something outside the database, and so is never carried out. `desc` and `tag` as an
/// archive or a script's header has them, `sql` its statements.
pub(crate) fn is_outside(desc: &str, tag: &str, sql: &str) -> bool {
    let about = matches!(desc, "ACL" | "COMMENT" | "SECURITY LABEL");
    OWN.contains(&desc) || about && tag.starts_with("DATABASE ") || reaches_out(sql)
}

/// Whether the entry is there in every archive, so that nobody needs to be told that it was passed over.
pub(crate) fn goes_without_saying(desc: &str) -> bool {
    desc == "DATABASE"
}

/// Whether the first statement of `sql` names a database, a role or a tablespace as what it changes.
fn reaches_out(sql: &str) -> bool {
    let words: Vec<String> = sql.split_whitespace().take(12).map(str::to_ascii_uppercase).collect();
    let begins = |with: &[&str]| {
        words.len() >= with.len() && words.iter().zip(with).all(|(word, with)| word == with)
    };
    let user =
        |verb: &str| begins(&[verb, "USER"]) && words.get(2).is_some_and(|word| word != "MAPPING");
    let on = || {
        let granted = words.first().is_some_and(|word| word == "GRANT" || word == "REVOKE");
        let labelled = begins(&["SECURITY", "LABEL"]);
        (granted || labelled)
            && words
                .iter()
                .position(|word| word == "ON")
                .and_then(|at| words.get(at + 1))
                .is_some_and(|word| OBJECTS.contains(&word.as_str()))
    };
    BEGINNINGS.iter().any(|with| begins(with)) || user("ALTER") || user("CREATE") || on()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_about_the_database_itself_and_beyond() {
        for (desc, tag, sql, expect) in [
            ("DATABASE", "app", "CREATE DATABASE app;", true),
            ("DATABASE PROPERTIES", "app", "ALTER DATABASE app CONNECTION LIMIT = 5;", true),
            ("DATABASE PROPERTIES", "app", "ALTER ROLE r IN DATABASE app SET x TO 'y';", true),
            ("ACL", "DATABASE app", "REVOKE CONNECT ON DATABASE app FROM PUBLIC;", true),
            ("COMMENT", "DATABASE app", "COMMENT ON DATABASE app IS 'x';", true),
            ("SECURITY LABEL", "DATABASE app", "", true),
            ("ANYTHING", "x", "GRANT CREATE ON TABLESPACE fast TO r;", true),
            ("ANYTHING", "x", "ALTER USER r SET x = 1;", true),
            ("ANYTHING", "x", "security label for a on role r is 'b';", true),
            // A table that is called so; rights, comments and labels of it.
            ("TABLE", "DATABASE app", "CREATE TABLE public.\"DATABASE app\" ();", false),
            ("ACL", "TABLE \"DATABASE x\"", "GRANT SELECT ON TABLE public.t TO r;", false),
            ("COMMENT", "COLUMN t.\"ON DATABASE\"", "COMMENT ON COLUMN public.t.x IS 'x';", false),
            ("ACL", "COLUMN t.a", "GRANT SELECT(a),UPDATE(a) ON TABLE t TO r;", false),
            ("USER MAPPING", "r", "CREATE USER MAPPING FOR r SERVER s;", false),
            ("ACL", "SCHEMA database", "GRANT USAGE ON SCHEMA database TO r;", false),
        ] {
            assert_eq!(is_outside(desc, tag, sql), expect, "{desc} {tag} {sql}");
        }
    }
}
