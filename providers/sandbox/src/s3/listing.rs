//! One page of a listing, out of sorted names. Pure. Tested here.

/// A line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An object's key.
    Key(String),
    /// What keys have in common up to the delimiter.
    Prefix(String),
}

impl Entry {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Key(name) | Self::Prefix(name) => name,
        }
    }
}

/// What part of the names is wanted.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) prefix: &'a str,
    /// Empty: do not group.
    pub(crate) delimiter: &'a str,
    /// Keys up to and with this one are left out, before grouping.
    pub(crate) start_after: &'a str,
    /// Entries up to and with this one are left out: the last one of the page before.
    pub(crate) resume_after: &'a str,
    pub(crate) limit: usize,
}

/// The entries of the page, and whether there are more.
pub(crate) fn page<'a>(
    sorted: impl Iterator<Item = &'a str>,
    wanted: &Wanted<'_>,
) -> (Vec<Entry>, bool) {
    let mut entries: Vec<Entry> = Vec::new();
    for key in sorted {
        let Some(rest) = key.strip_prefix(wanted.prefix) else { continue };
        if !wanted.start_after.is_empty() && key <= wanted.start_after {
            continue;
        }
        let group = if wanted.delimiter.is_empty() { None } else { rest.find(wanted.delimiter) };
        let entry = match group {
            Some(at) => {
                let end = wanted.prefix.len() + at + wanted.delimiter.len();
                Entry::Prefix(key[..end].to_owned())
            }
            None => Entry::Key(key.to_owned()),
        };
        let is_old = !wanted.resume_after.is_empty() && entry.name() <= wanted.resume_after;
        if is_old || entries.last() == Some(&entry) {
            continue;
        }
        if entries.len() == wanted.limit {
            return (entries, wanted.limit > 0);
        }
        entries.push(entry);
    }
    (entries, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = ["a", "b/1", "b/2", "b/c/3", "d", "e/4"];

    fn check(wanted: Wanted<'_>, expected: &[&str], more: bool) {
        let (entries, is_truncated) = page(NAMES.into_iter(), &wanted);
        let names: Vec<&str> = entries.iter().map(Entry::name).collect();
        assert_eq!((names.as_slice(), is_truncated), (expected, more), "{wanted:?}");
    }

    #[test]
    fn filters_groups_and_pages() {
        let all = Wanted { limit: 1000, ..Wanted::default() };
        check(all, &NAMES, false);
        check(Wanted { limit: 6, ..Wanted::default() }, &NAMES, false);
        check(Wanted { limit: 2, ..Wanted::default() }, &["a", "b/1"], true);
        check(Wanted { limit: 0, ..Wanted::default() }, &[], false);
        check(Wanted { prefix: "b/", limit: 9, ..Wanted::default() }, &NAMES[1..4], false);
        check(
            Wanted { delimiter: "/", limit: 9, ..Wanted::default() },
            &["a", "b/", "d", "e/"],
            false,
        );
        let grouped = Wanted { delimiter: "/", limit: 2, ..Wanted::default() };
        check(grouped, &["a", "b/"], true);
        let next = Wanted { delimiter: "/", resume_after: "b/", limit: 2, ..Wanted::default() };
        check(next, &["d", "e/"], false);
        let within = Wanted { delimiter: "/", start_after: "b/1", limit: 9, ..Wanted::default() };
        check(within, &["b/", "d", "e/"], false);
    }
}
