//! What must be known before a database is frozen: whether we may, what was before, and whom it would not reach.
//!
//! Settings of a role, and of a role in a database, win over those of a database (PostgreSQL docs, "pg_db_role_setting",
//! "ALTER ROLE"). Reads only; the findings are pure. Tested beside it and in `tests/freeze.rs`.

use pgferry_engine::fault::Fault;
use pgferry_engine::finding::Finding;
use serde::{Deserialize, Serialize};

use super::{SETTING, names, sessions};
use crate::connect::Session;

/// How a role comes to end the sessions of others.
pub(super) const HOW_TO_END: &str = "let a superuser or the role's administrator run `grant pg_signal_backend to ROLE` for the role that pgferry connects as, or end those sessions yourself";

/// One database, as it stands before a freeze.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    role: String,
    database: String,
    /// Owner of the database, or superuser.
    may_alter: bool,
    standby: bool,
    /// What the database itself has set.
    pub(super) former: Option<String>,
    /// Roles that may write whatever the database says, by a setting of their own.
    exempt: Vec<Exempt>,
    /// Roles that are connected and whose sessions we may not end.
    beyond_us: sessions::Left,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exempt {
    role: String,
    /// The setting is of the role in this database, not of the role everywhere.
    in_database: bool,
}

impl Facts {
    /// Looks.
    ///
    /// # Errors
    /// A statement failed; nothing was changed.
    pub(super) async fn read(session: &Session) -> Result<Self, Fault> {
        let fault = |cause| session.fault("looking at who may write", cause);
        let row = session
            .query_one(
                "select current_user::text, datname::text, pg_has_role(datdba, 'USAGE'), pg_is_in_recovery()
                 from pg_database where datname = current_database()",
                &[],
            )
            .await
            .map_err(fault)?;
        let exempt = session
            .query(
                "select role, in_database from (
                   select distinct on (r.oid) r.rolname::text as role, s.setdatabase <> 0 as in_database,
                          split_part(c, '=', 2)::bool as read_only
                   from pg_db_role_setting s
                   join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) c, pg_database d
                   where d.datname = current_database() and s.setdatabase in (0, d.oid)
                     and lower(split_part(c, '=', 1)) = 'default_transaction_read_only'
                     and r.rolcanlogin and has_database_privilege(r.oid, d.oid, 'CONNECT')
                   order by r.oid, s.setdatabase desc) own
                 where not read_only order by 1",
                &[],
            )
            .await
            .map_err(fault)?;
        let settings = crate::settings::database_settings(session).await?;
        Ok(Self {
            role: row.get(0),
            database: row.get(1),
            may_alter: row.get(2),
            standby: row.get(3),
            former: settings.get(SETTING).cloned(),
            exempt: exempt
                .iter()
                .map(|row| Exempt { role: row.get(0), in_database: row.get(1) })
                .collect(),
            beyond_us: sessions::beyond_us(session).await?,
        })
    }

    /// What follows for the plan, worst first.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let Self { role, database, .. } = self;
        let mut findings = Vec::new();
        if self.standby {
            let message =
                format!("database `{database}` is on a standby, where nothing can be set");
            findings.push(
                Finding::error("PGF1335", message)
                    .help("freeze the primary; a standby is read only by itself"),
            );
        } else if !self.may_alter {
            let message = format!(
                "`{role}` may not freeze database `{database}`: it is neither its owner nor a superuser"
            );
            findings.push(
                Finding::error("PGF1331", message).help("connect as the owner of the database"),
            );
        }
        if !self.beyond_us.others.is_empty() {
            let message = format!(
                "`{role}` may not end the sessions of {}, which could go on writing",
                names(&self.beyond_us.others)
            );
            findings.push(Finding::error("PGF1332", message).help(HOW_TO_END));
        }
        findings.extend(self.exempt.iter().map(|exempt| self.exempted(exempt)));
        if !self.beyond_us.superusers.is_empty() {
            let message = format!(
                "the sessions of the superusers {} are not ended; what they write stops the verification",
                names(&self.beyond_us.superusers)
            );
            findings.push(Finding::warning("PGF1333", message));
        }
        if self.former.as_deref().is_some_and(is_on) {
            let message = format!("database `{database}` is read only already, and will stay so");
            findings.push(Finding::note("PGF1336", message));
        }
        findings
    }

    fn exempted(&self, exempt: &Exempt) -> Finding {
        let (role, database) = (&exempt.role, &self.database);
        let here =
            if exempt.in_database { format!(" in database {database}") } else { String::new() };
        let message = format!(
            "a freeze of database `{database}` does not reach role `{role}`, which has `{SETTING}` off by itself"
        );
        Finding::error("PGF1334", message)
            .help(format!("run `alter role {role}{here} reset {SETTING}`"))
    }
}

/// As the server reads a boolean.
fn is_on(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    value == "on"
        || value == "1"
        || (!value.is_empty() && ("true".starts_with(&value) || "yes".starts_with(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_way_is_said_with_its_way_out() {
        let facts = Facts {
            role: "mover".into(),
            database: "acme".into(),
            may_alter: false,
            standby: false,
            former: Some("on".into()),
            exempt: vec![
                Exempt { role: "batch".into(), in_database: false },
                Exempt { role: "web".into(), in_database: true },
            ],
            beyond_us: sessions::Left {
                others: vec!["web".into()],
                superusers: vec!["root".into()],
            },
        };
        let told: Vec<String> = facts
            .findings()
            .into_iter()
            .map(|found| {
                format!("{} {}: {}", found.code, found.message, found.help.unwrap_or_default())
            })
            .collect();
        assert_eq!(
            told,
            [
                "PGF1331 `mover` may not freeze database `acme`: it is neither its owner nor a superuser: connect as the owner of the database".to_owned(),
                format!("PGF1332 `mover` may not end the sessions of `web`, which could go on writing: {HOW_TO_END}"),
                "PGF1334 a freeze of database `acme` does not reach role `batch`, which has `default_transaction_read_only` off by itself: run `alter role batch reset default_transaction_read_only`".to_owned(),
                "PGF1334 a freeze of database `acme` does not reach role `web`, which has `default_transaction_read_only` off by itself: run `alter role web in database acme reset default_transaction_read_only`".to_owned(),
                "PGF1333 the sessions of the superusers `root` are not ended; what they write stops the verification: ".to_owned(),
                "PGF1336 database `acme` is read only already, and will stay so: ".to_owned(),
            ]
        );
        let ready = Facts { may_alter: true, ..Facts::default() };
        assert!(ready.findings().is_empty());
    }

    #[test]
    fn booleans_as_the_server_spells_them() {
        assert!(["on", "ON", "1", "t", "true", "yes", "y"].iter().all(|on| is_on(on)));
        assert!(["off", "o", "0", "false", "no", ""].iter().all(|off| !is_on(off)));
    }
}
