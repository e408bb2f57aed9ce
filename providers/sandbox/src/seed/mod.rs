//! The realistic source database `acme_org_db`.
//!
//! It owns the SQL that makes it, the same rows each time; it does not know how the server came to be. The size grows
//! in proportion to what is asked for. Tested in `tests/servers.rs` by counting what is there.

use tokio_postgres::Client;

use crate::error::Error;

/// The size in megabytes at which the row counts in the SQL hold as written.
const NATURAL_MEGABYTES: u64 = 60;

const STEPS: [(&str, &str); 5] = [
    ("making the types of the source", include_str!("1_types.sql")),
    ("making the tables of the source", include_str!("2_tables.sql")),
    ("filling the tables of the source", include_str!("3_rows.sql")),
    ("making the large objects of the source", include_str!("4_large_objects.sql")),
    ("making the indexes, views and triggers of the source", include_str!("5_objects.sql")),
];

/// Fills the database that `client` is connected to, as the role that shall own everything.
///
/// # Errors
/// When a statement fails; the database is then to be thrown away.
pub(crate) async fn plant(client: &Client, megabytes: u64) -> Result<(), Error> {
    for (doing, sql) in STEPS {
        client.batch_execute(&scaled(sql, megabytes)).await.map_err(Error::postgres(doing))?;
    }
    Ok(())
}

/// Replaces each `@N@` by N in proportion to the size, at least 1.
fn scaled(sql: &str, megabytes: u64) -> String {
    sql.split('@')
        .map(|piece| match piece.parse::<u64>() {
            Ok(rows) => (rows * megabytes / NATURAL_MEGABYTES).max(1).to_string(),
            Err(_) => piece.to_owned(),
        })
        .fold((String::new(), false), |(text, after_number), piece| {
            let number = !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_digit());
            let separator = if text.is_empty() || after_number || number { "" } else { "@" };
            (text + separator + &piece, number)
        })
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_numbers_grow_and_other_at_signs_stay() {
        assert_eq!(scaled("to @100@) and 'a@b.c' (1, @3@);", 120), "to 200) and 'a@b.c' (1, 6);");
        assert_eq!(scaled("@1@", 6), "1");
    }
}
