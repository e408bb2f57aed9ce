//! What comes after everything else: owners, rights, views that are filled, event triggers.
//!
//! A superuser gives an object to its owner as it is made. Another role would have nothing to say about it any more, and the
//! owner has to be allowed to make something in its schema, which rights on the schema may say; so it does that at the
//! end, before other rights, which say what is left of an owner's. Pure. Tested beside it and in `tests/rights.rs`.

use super::script::Entry;
use crate::quoting::identifier;

/// In parts.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    pub(crate) rights: Vec<Entry>,
    pub(crate) owners: Vec<Entry>,
    pub(crate) late: Vec<Entry>,
}

impl Ending {
    /// All of it, in order.
    pub(crate) fn entries(self) -> Vec<Entry> {
        let (of_schemas, rights): (Vec<_>, Vec<_>) =
            self.rights.into_iter().partition(|entry| entry.name.starts_with("SCHEMA "));
        // Tables take their own sequences along.
        let (sequences, others): (Vec<_>, Vec<_>) =
            self.owners.into_iter().partition(|entry| entry.name.starts_with("SEQUENCE "));
        let parts = [of_schemas, others, sequences, rights, self.late];
        parts.into_iter().flatten().collect()
    }
}

/// The entry that gives `named`, as in `TABLE public.t`, to `owner`.
pub(crate) fn owner_of(named: &str, owner: &str) -> Entry {
    let sql = format!("ALTER {named} OWNER TO {};", identifier(owner));
    Entry { kind: "OWNER".to_owned(), name: named.to_owned(), class: 0, oid: 0, sql }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_stand_between_rights_on_schemas_and_others() {
        let right = |name: &str| Entry { kind: "ACL".to_owned(), ..owner_of(name, "o") };
        let ending = Ending {
            rights: vec![right("TABLE t"), right("SCHEMA s")],
            owners: vec![owner_of("SEQUENCE s.q", "o"), owner_of("TABLE s.t", "o")],
            late: vec![],
        };
        let names: Vec<String> = ending.entries().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["SCHEMA s", "TABLE s.t", "SEQUENCE s.q", "TABLE t"]);
    }
}
