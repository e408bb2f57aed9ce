//! Extensions of both sides: that they are there, in which version and in which schema.
//!
//! `pg_dump` writes no version and none of an extension's own objects. One that the target has in another schema, because
//! its provider or the spec wants it there, has all that use it name that schema. Tested in `tests/`.

use std::collections::{BTreeMap, BTreeSet};

use pgferry_engine::cx::Cx;
use pgferry_engine::fault::Fault;
use pgferry_engine::tree::Tree;

use super::Side;
use crate::facts::{Extension, extensions};

/// Where providers put all extensions.
const OF_PROVIDER: &str = "heroku_ext";

/// Names in an extension's schema on one side that stand in another schema on the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Moved(BTreeMap<String, (String, BTreeSet<String>)>);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) equal: usize,
    pub(super) differences: Vec<String>,
    /// Of another version, which each server brings.
    pub(super) versions: Vec<String>,
    pub(super) moved: Moved,
}

/// Compares them. What the spec excludes may be missing; what the target has beside is its provider's.
pub(super) async fn compare(cx: &Cx, expected: &Side, actual: &Side) -> Result<Compared, Fault> {
    let (one, other) =
        futures_util::try_join!(extensions(expected.session()), extensions(actual.session()))?;
    let tolerated = of_spec(cx, "exclude");
    let elsewhere: Vec<String> =
        of_spec(cx, "schema").into_iter().chain([OF_PROVIDER.to_owned()]).collect();
    let other: BTreeMap<&str, &Extension> =
        other.iter().map(|extension| (extension.name.as_str(), extension)).collect();
    let mut found = Compared::default();
    let mut moved = Vec::new();
    for Extension { name, version, schema } in &one {
        let Some(there) = other.get(name.as_str()) else {
            if !tolerated.contains(name) {
                found.differences.push(format!("extension `{name}` is missing"));
            }
            continue;
        };
        if there.version != *version {
            found.versions.push(format!(
                "extension `{name}` differs: `{version}` expected, `{}` found",
                there.version
            ));
        } else if there.schema == *schema {
            found.equal += 1;
        }
        if there.schema != *schema {
            if elsewhere.contains(&there.schema) {
                found.equal += usize::from(there.version == *version);
                moved.push((name.clone(), there.schema.clone()));
            } else {
                found.differences.push(format!(
                    "extension `{name}`: schema `{schema}` expected, `{}` found",
                    there.schema
                ));
            }
        }
    }
    for (name, schema) in moved {
        found.moved.take_in(expected, &name, &schema).await?;
    }
    Ok(found)
}

/// What the blocks of extensions that this verification depends on say in `field`: one text, or a list.
fn of_spec(cx: &Cx, field: &str) -> Vec<String> {
    (cx.world.remembered)(&cx.address, "postgres.extensions")
        .iter()
        .filter_map(|(_, remembered)| remembered.inputs.get(field).cloned())
        .flat_map(|value| match &value {
            Tree::List(all) => all.iter().filter_map(Tree::as_text).map(str::to_owned).collect(),
            value => value.as_text().map(str::to_owned).into_iter().collect::<Vec<_>>(),
        })
        .collect()
}

const MEMBERS: &str = "
with members as (
    select d.classid, d.objid from pg_depend d join pg_extension e on e.oid = d.refobjid
    where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = $1)
select quote_ident(n.nspname), quote_ident(name), quote_ident($2) from (
    select 'pg_class'::regclass::oid as class, oid, relnamespace as schema, relname as name from pg_class
    union all select 'pg_type'::regclass, oid, typnamespace, typname from pg_type
    union all select 'pg_proc'::regclass, oid, pronamespace, proname from pg_proc
    union all select 'pg_opclass'::regclass, oid, opcnamespace, opcname from pg_opclass
    union all select 'pg_opfamily'::regclass, oid, opfnamespace, opfname from pg_opfamily
    union all select 'pg_collation'::regclass, oid, collnamespace, collname from pg_collation
    union all select 'pg_ts_dict'::regclass, oid, dictnamespace, dictname from pg_ts_dict
    union all select 'pg_ts_config'::regclass, oid, cfgnamespace, cfgname from pg_ts_config
    union all select 'pg_ts_template'::regclass, oid, tmplnamespace, tmplname from pg_ts_template
) o join members m on m.classid = o.class and m.objid = o.oid join pg_namespace n on n.oid = o.schema
union all
select quote_ident(n.nspname), o.oprname::text, quote_ident($2) from pg_operator o
join members m on m.classid = 'pg_operator'::regclass and m.objid = o.oid join pg_namespace n on n.oid = o.oprnamespace";

impl Moved {
    /// The members of extension `name` of `side` are in `schema` on the other one.
    async fn take_in(&mut self, side: &Side, name: &str, schema: &str) -> Result<(), Fault> {
        let session = side.session();
        let rows = session
            .query(MEMBERS, &[&name, &schema])
            .await
            .map_err(|cause| session.fault("listing what belongs to an extension", cause))?;
        for row in &rows {
            let (from, member, to): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let known = self.0.entry(from).or_insert_with(|| (to, BTreeSet::new()));
            known.1.insert(member);
        }
        Ok(())
    }

    /// `text` with the names that stand elsewhere on the other side named as there.
    pub(super) fn renamed(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (schema, (to, members)) in &self.0 {
            let needle = format!("{schema}.");
            let mut out = String::with_capacity(text.len());
            let mut rest = text.as_str();
            while let Some(at) = rest.find(&needle) {
                let (before, from) = rest.split_at(at);
                let after = &from[needle.len()..];
                out.push_str(before);
                let begins = !out.ends_with(|c: char| is_word(c) || c == '"' || c == '.');
                let of = members.iter().filter(|name| {
                    after.strip_prefix(name.as_str()).is_some_and(|rest| {
                        let letters = name.ends_with(is_word);
                        !rest.starts_with(|c: char| letters && is_word(c))
                    })
                });
                out.push_str(if begins && of.count() > 0 { to } else { schema });
                out.push('.');
                rest = after;
            }
            out.push_str(rest);
            text = out;
        }
        text
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_an_extension_are_named_as_on_the_other_side() {
        let members = ["citext", "f", "@@"].map(str::to_owned).into();
        let moved = Moved([("public".to_owned(), ("heroku_ext".to_owned(), members))].into());
        assert_eq!(
            moved.renamed(
                "a public.citext, public.citexts, x.public.f, (b OPERATOR(public.@@) public.f(1))"
            ),
            "a heroku_ext.citext, public.citexts, x.public.f, (b OPERATOR(heroku_ext.@@) heroku_ext.f(1))"
        );
    }
}
