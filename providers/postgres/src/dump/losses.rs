//! What a target gets in another form than the source has it, or not at all; by name.
//!
//! Pure. Tested by the tests of `preflight`.

use std::collections::BTreeMap;

use pgferry_engine::finding::Finding;

use super::own::{Closed, Own};
use super::restorer::Restorer;
use crate::facts::{Facts, Grant};

const MANY_LARGE_OBJECTS: i64 = 10_000;

/// What does not come along, or in another form. Only the archive of a parallel dump is written for `restorer`.
pub(super) fn losses(source: &Facts, restorer: Option<&Restorer>, findings: &mut Vec<Finding>) {
    let mut tell = |message: String| findings.push(Finding::note("PGF1110", message));
    let mut by_role: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Grant { role, what, of } in &source.granted {
        let comes = restorer.is_some_and(|restorer| {
            let object = if what == "schema public" { "SCHEMA public" } else { "" };
            restorer.knows(role)
                && of.as_ref().is_none_or(|of| restorer.decides_for(of))
                && restorer.may_close(object)
        });
        if !comes {
            by_role.entry(role).or_default().push(what.clone());
        }
    }
    for (role, what) in by_role {
        let whose = if role == "public" { "everybody".to_owned() } else { format!("`{role}`") };
        tell(format!(
            "rights of {whose} do not come along, grant them anew on the target: {}",
            listed(&what)
        ));
    }
    for (names, what) in
        [(&source.publications, "publications"), (&source.subscriptions, "subscriptions")]
    {
        if !names.is_empty() {
            tell(format!("{what} do not come along: {}", listed(names)));
        }
    }
    if !source.event_triggers.is_empty() && !restorer.is_some_and(|it| it.superuser) {
        tell(format!(
            "event triggers need a superuser on the target, and will be missing there: {}",
            listed(&source.event_triggers)
        ));
    }
    let refused: Vec<String> = source
        .labels
        .iter()
        .filter(|label| {
            let provider = label.split(" on ").next().unwrap_or_default();
            !restorer.is_some_and(|restorer| restorer.labels_by(provider))
        })
        .cloned()
        .collect();
    if !refused.is_empty() {
        tell(format!("security labels do not come along: {}", listed(&refused)));
    }
    let mut note = |count: i64, code: &str, text: &str| {
        if count > 0 {
            findings.push(Finding::note(code, format!("{count} {text}")));
        }
    };
    note(
        source.foreign_tables,
        "PGF1110",
        "foreign tables come along without data and without passwords",
    );
    if !source.in_recovery {
        note(source.unlogged_tables, "PGF1110", "unlogged tables come along with their rows");
    } else if source.unlogged_tables > 0 {
        findings.push(
            Finding::warning(
                "PGF1110",
                format!(
                    "{} unlogged tables come along empty: the source is a standby, which has no rows of them",
                    source.unlogged_tables
                ),
            )
            .help("name the primary as the source"),
        );
    }
    if !source.closed_functions.is_empty() && !restorer.is_some_and(|it| it.knows("public")) {
        findings.push(
            Finding::warning(
                "PGF1110",
                format!(
                    "functions that not everybody may run on the source may be run by everybody on the target: {}",
                    listed(&source.closed_functions)
                ),
            )
            .help("take the right away again there: `revoke execute on function … from public`"),
        );
    }
    let owners: Vec<String> = source
        .other_owners
        .iter()
        .filter(|owner| !restorer.is_some_and(|restorer| restorer.gives_to(owner)))
        .cloned()
        .collect();
    if !owners.is_empty() {
        findings.push(Finding::note(
            "PGF1110",
            format!(
                "what {} own on the source belongs to the restoring role afterwards",
                listed(&owners)
            ),
        ));
    }
    if let Some(restorer) = restorer.filter(|restorer| !restorer.superuser) {
        for (owner, schema, may_make) in &source.owners_in {
            let is_there = restorer.makes.contains_key(schema);
            let rights_come =
                !is_there || (schema == "public" && restorer.may_close("SCHEMA public"));
            let kept = restorer.is_kept("TABLE", schema, owner) || (*may_make && rights_come);
            if restorer.gives_to(owner) && !kept {
                let message = format!(
                    "what `{owner}` owns in schema `{schema}` on the source belongs to the restoring role afterwards: \
                     `{owner}` may not make anything in that schema"
                );
                findings.push(Finding::note("PGF1110", message));
            }
        }
    }
    if let Some(restorer) = restorer {
        let sets: Vec<String> =
            restorer.settings.iter().map(|(name, value)| format!("`{name} = {value}`")).collect();
        let with =
            if sets.is_empty() { String::new() } else { format!(" with {},", sets.join(", ")) };
        findings.push(Finding::note(
            "PGF1117",
            format!("the archive has itself restored{with} and ends with `ANALYZE`"),
        ));
    }
    if source.large_objects > MANY_LARGE_OBJECTS {
        findings.push(Finding::warning(
            "PGF1111",
            format!(
                "{} large objects are restored one by one, which is slow",
                source.large_objects
            ),
        ));
    } else {
        let mut note = |count: i64| {
            if count > 0 {
                findings
                    .push(Finding::note("PGF1111", format!("{count} large objects come along")));
            }
        };
        note(source.large_objects);
    }
}

/// What does not come along of rights that were taken away, of functions that act as their owner, and of the database
/// itself.
pub(super) fn own(own: &Own, restorer: Option<&Restorer>, findings: &mut Vec<Finding>) {
    let everybody = restorer.is_some_and(|restorer| restorer.knows("public"));
    let reopened: Vec<String> = own
        .closed
        .iter()
        .filter(|(kind, name, role)| {
            let closes = restorer.is_some_and(|restorer| match kind {
                Closed::Type => true,
                Closed::Public => restorer.may_close("SCHEMA public"),
                Closed::Language => restorer.may_close(&name.replacen("language", "LANGUAGE", 1)),
                Closed::Default => restorer.decides_for(role),
            });
            !(everybody && closes)
        })
        .map(|(_, name, _)| name.clone())
        .collect();
    if !reopened.is_empty() {
        let message = format!(
            "rights that everybody has by default were taken away on the source, and everybody has them on the target: {}",
            listed(&reopened)
        );
        findings.push(
            Finding::warning("PGF1110", message)
                .help("take them away again there: `revoke usage on … from public`, `alter default privileges … revoke … from public`"),
        );
    }
    definers(own, restorer, findings);
    if !own.database_closed.is_empty() {
        let message = format!(
            "everybody has rights on the target's database that were taken away on the source: {}",
            listed(&own.database_closed)
        );
        findings.push(
            Finding::warning("PGF1152", message)
                .help("take them away there: `revoke … on database … from public`"),
        );
    }
    if !own.database.is_empty() {
        let message = format!(
            "the source's database itself and its roles have what does not come along: {}",
            own.database.join("; ")
        );
        findings.push(
            Finding::note("PGF1152", message)
                .help("a `postgres.settings` with `like` and `also: [roles, connection_limit, comment]` carries over those; set the rest on the target: `alter role`, `grant … on database`"),
        );
    }
    if !own.tablespaces.is_empty() {
        let spaces: Vec<String> = own
            .tablespaces
            .iter()
            .map(|(name, relations)| format!("`{name}` ({relations} tables and indexes)"))
            .collect();
        let message = format!(
            "tablespaces are folders of the source's machine; what is in them goes to the target's default one: {}",
            spaces.join(", ")
        );
        findings.push(Finding::note("PGF1110", message));
    }
    if let Some(owner) = &own.public_owner
        && !restorer.is_some_and(|restorer| restorer.gives_public_to(owner))
    {
        let message = format!(
            "the schema `public` belongs to `{owner}` on the source, and to whom it belongs now on the target"
        );
        findings.push(Finding::note("PGF1110", message));
    }
    if !own.changed.is_empty() && !restorer.is_some_and(|it| it.superuser) {
        let message = format!(
            "rights on objects of extensions and of the system do not come along: {}",
            listed(&own.changed)
        );
        findings.push(Finding::note("PGF1110", message));
    }
}

/// Functions that will act as somebody else. The role that everything belongs to may well have another name on the
/// target; it is another matter if that is a superuser, or if the function was of a role of its own.
fn definers(own: &Own, restorer: Option<&Restorer>, findings: &mut Vec<Finding>) {
    let to_superuser = restorer.is_some_and(|it| it.superuser);
    let moved: Vec<String> = own
        .definers
        .iter()
        .filter(|it| {
            !restorer.is_some_and(|restorer| {
                let is_there = restorer.makes.contains_key(&it.schema);
                restorer.gives_to(&it.owner)
                    && (!is_there || restorer.is_kept("FUNCTION", &it.schema, &it.owner))
            })
        })
        .filter(|it| it.owner != own.role || (to_superuser && !it.of_superuser))
        .map(|it| format!("{} of {}", it.function, it.owner))
        .collect();
    if moved.is_empty() {
        return;
    }
    let whose = match restorer {
        Some(restorer) if restorer.superuser => format!("`{}`, a superuser", restorer.role),
        Some(restorer) if !restorer.role.is_empty() => format!("`{}`", restorer.role),
        _ => "the restoring role".to_owned(),
    };
    let message = format!(
        "SECURITY DEFINER functions that act as their owner on the source act as {whose} on the target: {}",
        listed(&moved)
    );
    findings.push(Finding::warning("PGF1151", message).help(
        "make those roles on the target first (a superuser gives objects to them, or a member of them), or drop the functions there",
    ));
}

pub(super) fn listed(names: &[String]) -> String {
    const MOST: usize = 50;
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
