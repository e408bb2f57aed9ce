//! Settings of the database itself (`ALTER DATABASE … SET`), which no dump holds.
//!
//! Left out is what a `postgres.freeze` sets for as long as it is open. One that a `postgres.settings` has carried over
//! must be there. Of others it is told that they are not, for nothing was to carry them over. Tested in `tests/verification.rs`.

use std::collections::BTreeMap;

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::tree::Tree;

use super::report::Report;
use super::side::Side;

/// Compares them, those of the target that the source does not have left aside: providers bring their own.
pub(super) async fn compare(
    cx: &Cx,
    expected: &Side,
    actual: &Side,
    report: &mut Report,
) -> Result<(), Fault> {
    let (one, other) = futures_util::try_join!(read(expected), read(actual))?;
    let carried: Vec<String> = (cx.world.remembered)(&cx.address, "postgres.settings")
        .iter()
        .filter_map(|(_, remembered)| match remembered.attrs.get("applied") {
            Some(Tree::Map(applied)) => Some(applied),
            _ => None,
        })
        .flat_map(|applied| applied.keys().map(|name| name.to_lowercase()))
        .collect();
    let (mut equal, mut different, mut left) = (0, 0, Vec::new());
    for (name, value) in &one {
        let found = other.get(name);
        if found == Some(value) {
            equal += 1;
        } else if carried.contains(name) {
            different += 1;
            let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("`{found}`"));
            report.differences.push(format!("setting `{name}`: `{value}` expected, {found} found"));
        } else {
            left.push(format!("`{name}`"));
        }
    }
    let mut outcome = format!("{equal} equal");
    if different > 0 {
        outcome.push_str(&format!(", {different} DIFFER"));
    }
    if !left.is_empty() {
        outcome.push_str(&format!(", {} not carried over", left.len()));
        cx.warn(format!(
            "settings of `{}` that `{}` does not have: {}; a `postgres.settings` with `like` carries them over",
            expected.name,
            actual.name,
            left.join(", ")
        ));
    }
    if !one.is_empty() {
        report.others.push(("settings".into(), outcome));
    }
    Ok(())
}

/// By their names in lower case.
async fn read(side: &Side) -> Result<BTreeMap<String, String>, Fault> {
    let session = side.session();
    let rows = session
        .query(
            "select lower(split_part(s, '=', 1)), substr(s, strpos(s, '=') + 1)
             from pg_db_role_setting d, unnest(d.setconfig) as s
             where s !~* '^default_transaction_read_only=' and d.setrole = 0 and d.setdatabase = (select oid from pg_database where datname = current_database())",
            &[],
        )
        .await
        .map_err(|cause| session.fault("reading the settings of the database", cause))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
