//! What whoever restores an archive may do in the target, as far as the archive is written for it.
//!
//! Read-only statements; what follows from it is decided in `parallel/rewrite` and told by `preflight`. Tested through
//! both.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use serde::{Deserialize, Serialize};

use crate::connect::{Access, Format, Session, connect};

/// More memory than this makes no index faster that fits into a small plan.
const MOST_MEMORY: i64 = 256 << 20;
const MIB: i64 = 1 << 20;

/// The role that restores, and its server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restorer {
    /// Heroku restores without owners and rights, and nobody can tell it otherwise.
    pub(crate) heroku: bool,
    pub(crate) role: String,
    pub(crate) superuser: bool,
    /// All roles of the server; none for Heroku's.
    pub(crate) roles: BTreeSet<String>,
    /// Roles whose rights it has: it may say what everybody may do with what they will make.
    #[serde(default)]
    pub(crate) acts_for: BTreeSet<String>,
    /// Of these, roles to which it can give what is its own.
    #[serde(default)]
    pub(crate) gives: BTreeSet<String>,
    /// Schemas of the target, and who of them may make something in each.
    #[serde(default)]
    pub(crate) makes: BTreeMap<String, BTreeSet<String>>,
    /// It owns the schema `public`.
    pub(crate) owns_public: bool,
    /// Providers of security labels that the server knows.
    pub(crate) providers: BTreeSet<String>,
    /// Settings for its session, as SQL writes the values: those that it may change, and that are worth it.
    pub(crate) settings: Vec<(String, String)>,
}

impl Restorer {
    /// Reads it from `target`.
    ///
    /// # Errors
    /// As [`connect`].
    pub(crate) async fn of(target: &Endpoint) -> Result<Self, Fault> {
        let session = connect(target, Access::ReadOnly, Format::Own).await?;
        Self::read(&session, is_heroku(target)).await
    }

    pub(crate) async fn read(session: &Session, heroku: bool) -> Result<Self, Fault> {
        let doing = |cause| session.fault("looking at who will restore", cause);
        let may_set = if session.version_number >= 160_000 { "SET" } else { "MEMBER" };
        let row = session
            .query_one(
                "select current_user::text, (select rolsuper from pg_roles where rolname = current_user),
                        case when $1 then '{}' else (select array_agg(rolname::text) from pg_roles) end,
                        coalesce((select pg_has_role(nspowner, 'USAGE') from pg_namespace where nspname = 'public'), false),
                        (select coalesce(array_agg(distinct provider), '{}') from (select provider from pg_seclabels
                           union select extname from pg_extension) as p),
                        (select setting::int8 * 1024 from pg_settings where name = 'maintenance_work_mem' and context = 'user'),
                        current_setting('block_size')::int8 * (select setting::int8 from pg_settings where name = 'shared_buffers'),
                        exists (select from pg_settings where name = 'synchronous_commit' and context = 'user' and setting <> 'off'),
                        case when $1 then '{}' else (select array_agg(rolname::text) from pg_roles where pg_has_role(oid, 'USAGE')) end,
                        array(select rolname::text from pg_roles where not $1 and pg_has_role(oid, 'USAGE') and pg_has_role(oid, $2))",
                &[&heroku, &may_set],
            )
            .await
            .map_err(doing)?;
        let gives: Vec<String> = row.get(9);
        let makers = session
            .query(
                "select nspname::text, array(select r from unnest($1::text[]) r where has_schema_privilege(r, n.oid, 'CREATE'))
                 from pg_namespace n where nspname !~ '^pg_' and nspname <> 'information_schema'",
                &[&if row.get(1) { &[] } else { gives.as_slice() }],
            )
            .await
            .map_err(doing)?;
        let makers = makers
            .iter()
            .map(|row| (row.get(0), row.get::<_, Vec<String>>(1).into_iter().collect()));
        let names = |at: usize| row.get::<_, Vec<String>>(at).into_iter().collect();
        let mut settings = Vec::new();
        let (memory, buffers): (Option<i64>, Option<i64>) = (row.get(5), row.get(6));
        settings.extend(memory.zip(buffers).and_then(|(now, buffers)| more_memory(now, buffers)));
        if row.get(7) {
            settings.push(("synchronous_commit".to_owned(), "off".to_owned()));
        }
        Ok(Self {
            heroku,
            role: row.get(0),
            superuser: row.get(1),
            roles: names(2),
            acts_for: names(8),
            gives: gives.into_iter().collect(),
            makes: makers.collect(),
            owns_public: row.get(3),
            providers: names(4),
            settings,
        })
    }

    /// Whether rights can be granted to `role`; `public` is everybody.
    pub(crate) fn knows(&self, role: &str) -> bool {
        !self.heroku && (role == "public" || self.roles.contains(role))
    }

    /// Whether what it makes can be given to `role` in principle.
    pub(crate) fn gives_to(&self, role: &str) -> bool {
        let given = if self.superuser { &self.roles } else { &self.gives };
        !self.heroku && (role == self.role || given.contains(role))
    }

    /// Whether something of `class`, as an archive calls it, can be. Of an ordinary role's, a few have more conditions.
    pub(crate) fn gives(&self, class: &str, role: &str) -> bool {
        const OTHERS: [&str; 4] =
            ["EVENT TRIGGER", "FOREIGN DATA WRAPPER", "PROCEDURAL LANGUAGE", "SERVER"];
        self.gives_to(role) && (self.superuser || role == self.role || !OTHERS.contains(&class))
    }

    /// Whether `role` keeps something of `class` in `schema`, if there is one: it must be allowed to make it there
    /// (`AlterObjectOwner_internal`, alter.c), unless a superuser gives it.
    pub(crate) fn is_kept(&self, class: &str, schema: &str, role: &str) -> bool {
        let may_make = || self.makes.get(schema).is_some_and(|makers| makers.contains(role));
        let own = self.superuser || role == self.role;
        self.gives(class, role) && (own || class == "SCHEMA" || schema.is_empty() || may_make())
    }

    /// Whether the schema `public`, which it finds on the target, can be given to `role`.
    pub(crate) fn gives_public_to(&self, role: &str) -> bool {
        self.gives_to(role) && (self.superuser || self.owns_public)
    }

    /// Whether it may say who may do what with all that `role` will make.
    pub(crate) fn decides_for(&self, role: &str) -> bool {
        self.gives_to(role) || (!self.heroku && self.acts_for.contains(role))
    }

    /// Whether it may take rights on `object`, as `GRANT` and `REVOKE` name it (`SCHEMA public`), from somebody.
    pub(crate) fn may_close(&self, object: &str) -> bool {
        match object {
            "SCHEMA public" => self.superuser || self.owns_public,
            _ => self.superuser || !object.starts_with("LANGUAGE "),
        }
    }

    /// Whether the server takes labels of `provider`.
    pub(crate) fn labels_by(&self, provider: &str) -> bool {
        self.superuser && self.providers.contains(provider)
    }
}

pub(crate) fn is_heroku(target: &Endpoint) -> bool {
    target.plan.as_deref().is_some_and(|plan| plan.starts_with("heroku-postgresql"))
}

/// An eighth of the machine's memory, if servers are set up as advised (a quarter of it as `shared_buffers`).
fn more_memory(now: i64, buffers: i64) -> Option<(String, String)> {
    let wanted = (buffers / 2).min(MOST_MEMORY);
    (wanted > now).then(|| ("maintenance_work_mem".to_owned(), format!("'{}MB'", wanted / MIB)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_only_ever_raised() {
        let check =
            |now: i64, buffers: i64| more_memory(now * MIB, buffers * MIB).map(|(_, value)| value);
        assert_eq!(check(64, 4096).as_deref(), Some("'256MB'"));
        assert_eq!(check(64, 256).as_deref(), Some("'128MB'"));
        assert_eq!(check(64, 128), None);
        assert_eq!(check(512, 4096), None);
    }
}
