//! What a large object has besides its contents: owner, rights, comment and security labels.
//!
//! Read for many objects by one statement, with rights worded as `pg_dump` words them, all names in quotes. Tested in
//! `tests/rights.rs`.

use tokio_postgres::Row;

use crate::dump::grants::fitting;
use crate::dump::restorer::Restorer;
use crate::quoting::{identifier, literal};

/// Of one large object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LargeObject {
    pub(crate) number: u32,
    pub(crate) owner: String,
    /// Statements that grant them, or take away what an owner has by default.
    pub(crate) rights: String,
    pub(crate) comment: Option<String>,
    /// Provider and label.
    pub(crate) labels: Vec<(String, String)>,
}

/// Of the relation `o`, which has their numbers as `oid`.
pub(crate) fn columns() -> String {
    let name =
        |of: &str| format!(r#"'"' || replace(pg_get_userbyid({of})::text, '"', '""') || '"'"#);
    let (owner, grantor, grantee) = (name("m.lomowner"), name("g.grantor"), name("g.grantee"));
    format!(
        "o.oid, pg_get_userbyid(m.lomowner)::text,
         case when m.lomacl is null then '' else (
           select case when bool_or(g.whole) then '' else
                    format(e'REVOKE ALL ON LARGE OBJECT %s FROM %s;\\n', o.oid, {owner}) end
             || coalesce(string_agg(case when g.grantor = m.lomowner then '' else
                    format(e'SET SESSION AUTHORIZATION %s;\\n', {grantor}) end
                  || format(e'GRANT %s ON LARGE OBJECT %s TO %s%s;\\n', g.what, o.oid,
                       case g.grantee when 0 then 'PUBLIC' else {grantee} end,
                       case when g.again then ' WITH GRANT OPTION' else '' end)
                  || case when g.grantor = m.lomowner then '' else e'RESET SESSION AUTHORIZATION;\\n' end,
                  '' order by g.grantor <> m.lomowner, g.at) filter (where not g.whole), '')
           from (select a.grantor, a.grantee, a.is_grantable as again, min(a.at) as at,
                   string_agg(a.privilege_type, ', ' order by a.privilege_type) as what,
                   a.grantor = m.lomowner and a.grantee = m.lomowner and not a.is_grantable and count(*) = 2 as whole
                 from aclexplode(m.lomacl) with ordinality as a (grantor, grantee, privilege_type, is_grantable, at)
                 group by a.grantor, a.grantee, a.is_grantable) as g) end,
         d.description,
         array(select l.provider from pg_seclabel l where l.classoid = 'pg_largeobject'::regclass
                 and l.objoid = o.oid and l.objsubid = 0 order by l.provider),
         array(select l.label from pg_seclabel l where l.classoid = 'pg_largeobject'::regclass
                 and l.objoid = o.oid and l.objsubid = 0 order by l.provider)"
    )
}

/// Where [`columns`] are found.
pub(crate) const JOINS: &str = "
    join pg_largeobject_metadata m on m.oid = o.oid
    left join pg_description d on d.classoid = 'pg_largeobject'::regclass and d.objoid = o.oid and d.objsubid = 0";

impl LargeObject {
    /// The first columns of `row` are [`columns`].
    pub(crate) fn of(row: &Row) -> Self {
        let (providers, labels): (Vec<String>, Vec<String>) = (row.get(4), row.get(5));
        Self {
            number: row.get(0),
            owner: row.get(1),
            rights: row.get(2),
            comment: row.get(3),
            labels: providers.into_iter().zip(labels).collect(),
        }
    }

    /// Statements that make all that `restorer` may of one that it has just made.
    pub(crate) fn statements(&self, restorer: &Restorer) -> String {
        let Self { number, owner, rights, comment, labels } = self;
        let mut all = String::new();
        if *owner != restorer.role && restorer.gives_to(owner) {
            all.push_str(&given_to(*number, owner));
        }
        all.push_str(&fitting(rights, restorer).0.unwrap_or_default());
        if let Some(comment) = comment {
            all.push_str(&format!("COMMENT ON LARGE OBJECT {number} IS {};\n", literal(comment)));
        }
        for (provider, label) in labels.iter().filter(|label| restorer.labels_by(&label.0)) {
            let (provider, label) = (identifier(provider), literal(label));
            all.push_str(&format!(
                "SECURITY LABEL FOR {provider} ON LARGE OBJECT {number} IS {label};\n"
            ));
        }
        all
    }
}

/// The statement that gives the large object `number` to `owner`.
pub(crate) fn given_to(number: u32, owner: &str) -> String {
    format!("ALTER LARGE OBJECT {number} OWNER TO {};\n", identifier(owner))
}
