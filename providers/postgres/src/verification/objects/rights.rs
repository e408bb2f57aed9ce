//! Which owners, rights and labels were to come along, so that their absence is no difference but is told.
//!
//! A dump that knows its target keeps rights, and a restore from here carries them as far as its role may; a copy says in
//! what it remembers whether it did. Whoever restores otherwise may have left them out. Pure but for the look at the
//! target's role. Tested in `tests/`.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::reference::Endpoint;
use pgferry_engine::resource::Remembered;
use pgferry_engine::tree::Tree;
use serde_json::Value as Json;

use super::Side;
use super::listing::{Key, Object};
use crate::dump::grants::fitting;
use crate::dump::restorer::{Restorer, is_heroku};
use crate::target::inventory::{self, Whose};

/// What the target's role could take over.
pub(super) struct Rights {
    restorer: Restorer,
    carried: bool,
    /// What users had prepared on the target before it was filled, by [`inventory::key`].
    prepared: BTreeSet<String>,
    /// Schema and tag, as an archive has them of rights, of what belongs to extensions of the target.
    members: BTreeSet<(String, String)>,
}

/// What was not compared, each with how many objects or which.
#[derive(Debug, Default)]
pub(super) struct Uncompared(BTreeMap<&'static str, BTreeSet<String>>);

impl Uncompared {
    pub(super) fn add(&mut self, what: &'static str, shown: &str) {
        self.0.entry(what).or_default().insert(shown.to_owned());
    }

    /// `owners of 3 objects`, `rights: 2`; the names of few.
    pub(super) fn listed(&self) -> Vec<String> {
        const NAMED: usize = 3;
        let line = |(what, names): (&&str, &BTreeSet<String>)| match names.len() {
            count if count <= NAMED => {
                format!("{what} ({})", names.iter().cloned().collect::<Vec<_>>().join(", "))
            }
            count => format!("{what} ({count} objects)"),
        };
        self.0.iter().map(line).collect()
    }
}

impl Rights {
    pub(super) async fn of(
        cx: &Cx,
        endpoint: &Endpoint,
        dump: Option<&Remembered>,
        actual: &Side,
    ) -> Result<Self, Fault> {
        let restorer = Restorer::read(actual.session(), is_heroku(endpoint)).await?;
        let into = |remembered: &Remembered| {
            let address = remembered.inputs.get("into").and_then(|into| into.get("$address"));
            address.and_then(Tree::as_text) == Some(endpoint.address.as_str())
        };
        let mut prepared = BTreeSet::new();
        for type_name in ["postgres.copy", "postgres.restore"] {
            let runs = (cx.world.remembered)(&cx.address, type_name);
            for (_, run) in runs.iter().filter(|(_, run)| into(run)) {
                let fingerprint = run.memory.get("fingerprint").map(Tree::storable);
                let names = fingerprint.as_ref().and_then(|found| found["prepared"].as_array());
                prepared.extend(
                    names.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned),
                );
            }
        }
        let prepared = keys_of(&prepared, actual).await?;
        let by_restore = (cx.world.remembered)(&cx.address, "postgres.restore")
            .iter()
            .any(|(_, restore)| into(restore))
            && dump.is_some_and(|dump| {
                dump.inputs.get("for").is_some_and(|target| !matches!(target, Tree::Null))
            });
        let by_copy = dump.is_some_and(|copy| {
            copy.memory.get("rights").and_then(Tree::as_text) == Some("carried")
        });
        let members = members(actual).await?;
        Ok(Self { restorer, carried: by_restore || by_copy, prepared, members })
    }

    /// Whether the source's object of `owner` belongs to that role on the target as well.
    pub(super) fn owner_carried(&self, key: &Key, owner: &str) -> bool {
        let (class, schema, _) = key.subject().unwrap_or((&key.class, &key.schema, &key.name));
        self.carried
            && match key.is_of_public() {
                true => self.restorer.gives_public_to(owner),
                false => self.restorer.is_kept(class, schema, owner),
            }
    }

    /// The same of a large object.
    pub(super) fn has_large_object(&self, owner: &str) -> bool {
        self.carried && self.restorer.gives_to(owner)
    }

    /// Whether rights were to come along at all.
    pub(super) fn carried(&self) -> bool {
        self.carried
    }

    pub(super) fn labels_by(&self, provider: &str) -> bool {
        self.restorer.labels_by(provider)
    }

    /// What is left of rights on what `owner` has on the source, and whether that is all. Where that role does not keep it,
    /// it is `now` of somebody on the target; of the role itself where nothing is told.
    pub(super) fn left_of(
        &self,
        text: &str,
        owner: &str,
        stays: bool,
        now: Option<&str>,
    ) -> (String, bool) {
        if !self.carried {
            return (String::new(), text.is_empty());
        }
        let mut kept = fitting(text, &self.restorer).0.unwrap_or_default();
        if !stays {
            let role = &self.restorer.role;
            kept = without_own(
                &kept,
                owner,
                Some(role).filter(|role| now.is_none_or(|now| now == **role)),
            );
        }
        let whole = same_words(&kept, text);
        (kept, whole)
    }

    /// What is left of the source's `object` on the target, which is `now` of somebody; `None`: it does not come along.
    pub(super) fn arrives(
        &self,
        key: &Key,
        object: &Object,
        now: Option<&str>,
        uncompared: &mut Uncompared,
    ) -> Option<String> {
        let Restorer { superuser, owns_public, ref roles, .. } = self.restorer;
        let of = |what: &str| key.name.starts_with(what);
        let left_out = match key.class.as_str() {
            "ACL" | "DEFAULT ACL" => {
                // What a role will make is that role's wherever it makes it.
                let stays = key.class == "DEFAULT ACL"
                    || now == Some(&object.owner)
                    || self.owner_carried(key, &object.owner);
                let (kept, whole) = self.left_of(&object.text, &object.owner, stays, now);
                if !whole {
                    uncompared.add("rights", &object.shown);
                }
                return Some(kept).filter(|kept| !kept.is_empty());
            }
            // An entry of it says nothing but that its owner is not the usual one.
            "SCHEMA"
                if key.is_of_public()
                    && now != Some(&object.owner)
                    && !self.owner_carried(key, &object.owner) =>
            {
                Some("owners")
            }
            "EVENT TRIGGER" if !superuser => Some("event triggers"),
            "COMMENT" if of("EVENT TRIGGER ") && !superuser => Some("event triggers"),
            "COMMENT" if key.name == "SCHEMA public" && !superuser && !owns_public => {
                Some("comments of schemas of the provider")
            }
            "SECURITY LABEL" => {
                let by = object.text.split("SECURITY LABEL FOR ").nth(1);
                let by = by.and_then(|rest| rest.split(" ON ").next());
                let by = by.unwrap_or_default().trim_matches('"');
                (!self.restorer.labels_by(by)).then_some("security labels")
            }
            "USER MAPPING" => {
                let role = key.name.strip_prefix("USER MAPPING ").unwrap_or(&key.name);
                let role = role.rsplit_once(" SERVER ").map_or(role, |(role, _)| role);
                let known =
                    matches!(role, "public" | "PUBLIC" | "CURRENT_USER") || roles.contains(role);
                (!known).then_some("user mappings of roles that the target does not have")
            }
            _ => None,
        };
        match left_out {
            None => Some(object.text.clone()),
            Some(what) => {
                uncompared.add(what, &object.shown);
                None
            }
        }
    }

    /// Whether an object that only the target has is its provider's, was prepared there before it was filled, or is of a
    /// kind that did not come along. `source` has what is there, by [`known_as`].
    pub(super) fn of_target(&self, key: &Key, object: &Object, source: &BTreeSet<String>) -> bool {
        let subject = known_as(key);
        if self.prepared.contains(&subject) {
            return true;
        }
        // Our role made nothing that belongs to somebody else; tables, types and routines are expected of nobody, and what
        // the source has is compared whoever owns it. What the system brings is its provider's.
        let is_compared = key.schema != "pg_catalog"
            && (["relation ", "routine ", "type "].iter().any(|data| subject.starts_with(data))
                || object.table.is_some()
                || source.contains(&subject));
        if !is_compared && !self.may_be_ours(&object.owner) {
            return true;
        }
        match key.class.as_str() {
            "SCHEMA" | "EVENT TRIGGER" => true,
            // Added with its schema, or of what an extension brought. Who fills a database is first given rights on schemas,
            // since 15 on `public`, too: what single roles have on one is nobody's business, what everybody has is.
            "ACL" => {
                let of_both = key.is_of_public() || source.contains(&subject);
                let is_added = key.name.starts_with("SCHEMA ")
                    && !(of_both && object.text.contains(" TO PUBLIC"));
                !self.carried || is_added || self.is_of_member(key)
            }
            "DEFAULT ACL" => !self.carried,
            "COMMENT" => key.name.starts_with("EVENT TRIGGER ") || key.name == "SCHEMA public",
            _ => false,
        }
    }

    /// Whether rights are on what belongs to an extension of the target.
    fn is_of_member(&self, key: &Key) -> bool {
        let tag = match key.subject() {
            Some(("TABLE", _, name)) => format!("TABLE {name}"),
            _ => key.name.replace("PROCEDURE ", "FUNCTION ").replace("(*)", "()"),
        };
        self.members.contains(&(key.schema.clone(), tag))
    }

    /// Whether an object of `owner` on the target may have been made by the role that filled it.
    fn may_be_ours(&self, owner: &str) -> bool {
        let Restorer { superuser, ref role, .. } = self.restorer;
        superuser || owner.is_empty() || owner == role || self.restorer.gives_to(owner)
    }

    pub(super) fn owner_left(&self, owner: &str, shown: &str, uncompared: &mut Uncompared) {
        if owner != self.restorer.role {
            uncompared.add("owners", shown);
        }
    }
}

/// What an object is, or what rights, a comment or a label are of, by [`inventory::key`].
pub(super) fn known_as(key: &Key) -> String {
    match key.subject() {
        Some((class, schema, name)) => inventory::key(class, Some(schema), &unquoted(name)),
        None => inventory::key(&key.class, Some(&key.schema), &key.name),
    }
}

/// What begins with an identifier, without the quotes around that.
fn unquoted(name: &str) -> String {
    let Some(rest) = name.strip_prefix('"') else { return name.to_owned() };
    let mut out = String::with_capacity(rest.len());
    let mut signs = rest.chars().peekable();
    while let Some(sign) = signs.next() {
        if sign == '"' && signs.next_if_eq(&'"').is_none() {
            break;
        }
        out.push(sign);
    }
    out.extend(signs);
    out
}

// Not what every database is made with, `plpgsql` with it: nobody has to grant something on that.
const MEMBERS: &str = "
select coalesce(n.nspname, '')::text, o.tag from (
    select 'pg_class'::regclass::oid as class, oid, relnamespace as schema,
           case relkind when 'S' then 'SEQUENCE ' else 'TABLE ' end || quote_ident(relname) as tag from pg_class
    union all select 'pg_proc'::regclass, oid, pronamespace,
           'FUNCTION ' || quote_ident(proname) || '(' || pg_get_function_identity_arguments(oid) || ')' from pg_proc
    union all select 'pg_type'::regclass, oid, typnamespace, 'TYPE ' || quote_ident(typname) from pg_type
    union all select 'pg_language'::regclass, oid, 0, 'LANGUAGE ' || quote_ident(lanname) from pg_language
    union all select 'pg_namespace'::regclass, oid, 0, 'SCHEMA ' || quote_ident(nspname) from pg_namespace
    union all select 'pg_foreign_server'::regclass, oid, 0, 'FOREIGN SERVER ' || quote_ident(srvname) from pg_foreign_server
    union all select 'pg_foreign_data_wrapper'::regclass, oid, 0, 'FOREIGN DATA WRAPPER ' || quote_ident(fdwname)
      from pg_foreign_data_wrapper
) o left join pg_namespace n on n.oid = o.schema
where o.oid >= 16384 and exists (
    select from pg_depend d where d.classid = o.class and d.objid = o.oid and d.deptype = 'e')";

/// What belongs to extensions of `side`: schemas, and tags as `pg_dump` writes them of rights.
async fn members(side: &Side) -> Result<BTreeSet<(String, String)>, Fault> {
    let session = side.session();
    let rows = session
        .query(MEMBERS, &[])
        .await
        .map_err(|cause| session.fault("listing what belongs to extensions", cause))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The keys of those of `prepared`, which names them in full, that `actual` still has.
async fn keys_of(prepared: &BTreeSet<String>, actual: &Side) -> Result<BTreeSet<String>, Fault> {
    if prepared.is_empty() {
        return Ok(BTreeSet::new());
    }
    let session = actual.session();
    let all = inventory::inventory(session, actual.version_number, Whose::Everybodys).await;
    let all = all.map_err(|cause| session.fault("listing what was prepared", cause))?;
    let ours = all.into_iter().filter(|object| prepared.contains(&object.to_string()));
    Ok(ours.map(|object| object.key).collect())
}

fn same_words(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

/// The statements of `text` but those that go with an owner who stays behind: what was taken from `owner` is not there to
/// be taken, and what was granted to whom it belongs to now goes without saying.
fn without_own(text: &str, owner: &str, now: Option<&String>) -> String {
    let named = |statement: &str, word: &str| {
        let statement = statement.trim_end().trim_end_matches(';');
        let role = statement.rsplit_once(word)?.1.trim_end_matches(" WITH GRANT OPTION");
        Some(role.trim_matches('"').replace("\"\"", "\""))
    };
    let goes_without_saying = |statement: &str| match statement.split(' ').next() {
        Some("REVOKE") => named(statement, " FROM ").as_deref() == Some(owner),
        Some("GRANT") => now.is_some() && named(statement, " TO ").as_ref() == now,
        _ => false,
    };
    text.split_inclusive(";\n").filter(|statement| !goes_without_saying(statement)).collect()
}

/// Statements in an order of their own, without what separates them; each with whose session it is, where it is another's.
pub(super) fn statements(text: &str) -> BTreeSet<String> {
    let (mut found, mut by) = (BTreeSet::new(), "");
    for statement in text.split(";\n") {
        let statement = statement.trim().trim_end_matches(';');
        match statement {
            "" => {}
            "RESET SESSION AUTHORIZATION" => by = "",
            set if set.starts_with("SET SESSION AUTHORIZATION ") => by = set,
            statement => {
                found.insert(format!("{by} {statement}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_grant_it_is_tells_statements_apart() {
        let by = |one: &str, other: &str| {
            let grant = |by: &str, to: &str| {
                format!(
                    "SET SESSION AUTHORIZATION {by};\nGRANT SELECT ON TABLE t TO {to};\nRESET SESSION AUTHORIZATION;\n"
                )
            };
            statements(
                &(grant(one, "app") + &grant(other, "reader") + "GRANT ALL ON TABLE t TO x;\n"),
            )
        };
        assert_ne!(by("alice", "bob"), by("bob", "alice"));
        assert_eq!(statements("A;\nB;\n"), statements("B;\n\nA;\n"));
    }

    #[test]
    fn what_an_owner_had_goes_with_the_owner() {
        let me = "me".to_owned();
        let text = "REVOKE ALL ON TABLE public.t FROM \"The Owner\";\nGRANT SELECT ON TABLE public.t TO reader;\n\
                    GRANT ALL ON TABLE public.t TO me WITH GRANT OPTION;\n";
        let left = "GRANT SELECT ON TABLE public.t TO reader;\n";
        assert_eq!(without_own(text, "The Owner", Some(&me)), left);
        assert_eq!(without_own(text, "reader", None), text);
    }
}
