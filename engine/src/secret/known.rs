//! Every secret by value, to be found in any text in one pass, however many there are.
//!
//! New ones are looked for one by one until there are enough of them to be worth a new search; so taking in many costs
//! little more than taking in each. Tested with the module above.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use aho_corasick::AhoCorasick;

use zeroize::Zeroizing;

use super::{MASK, forms};

/// A shorter secret is not searched for in foreign text: it would blank out ordinary words.
const SHORTEST_REDACTED: usize = 8;

/// So many new ones are looked for one by one, and one more for each eighth of all others.
const MOST_RECENT: usize = 16;

#[derive(Default)]
struct Known {
    all: HashSet<String>,
    /// Lines of secrets that have several: masked where a program prints them, no secrets by themselves.
    lines: HashSet<String>,
    /// Finds all but the recent ones.
    search: Option<AhoCorasick>,
    recent: Vec<String>,
    /// Too short to be searched for, but known when they stand alone.
    short: HashSet<String>,
    /// The length of the longest, in bytes.
    longest: usize,
    /// Texts that people wrote in clear, and the parts of connection strings that are shown: what also stands there is
    /// no secret where it is a name.
    clear: Vec<String>,
}

impl Known {
    fn take(&mut self, form: &str, is_line: bool) {
        let into = if is_line { &mut self.lines } else { &mut self.all };
        if form.len() >= SHORTEST_REDACTED && into.insert(form.to_owned()) {
            self.recent.push(form.to_owned());
            self.longest = self.longest.max(form.len());
        }
    }

    /// Where in `text` which secrets are, in order.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        if let Some(search) = &self.search {
            found.extend(search.find_overlapping_iter(text).map(|at| at.range()));
        }
        for secret in &self.recent {
            found.extend(text.match_indices(secret.as_str()).map(|(at, _)| at..at + secret.len()));
        }
        found.sort_by_key(|range| (range.start, range.end));
        found
    }
}

static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

/// Makes a secret known, in every form it may take in foreign text.
pub(super) fn learn(secret: &str) {
    if secret.is_empty() || is_known(secret) {
        return;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if secret.len() < SHORTEST_REDACTED {
        known.short.insert(secret.to_owned());
        return;
    }
    let other = forms(secret);
    for form in std::iter::once(secret).chain(other.iter().map(|form| form.as_str())) {
        known.take(form, false);
    }
    // The first and last line of a PEM file are the same in all of them.
    let lines = secret.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    lines.filter(|line| *line != secret).for_each(|line| known.take(line, true));
    if known.recent.len() > MOST_RECENT + (known.all.len() + known.lines.len()) / 8 {
        // Nothing but memory limits its size; without it they are looked for one by one.
        known.search = AhoCorasick::new(known.all.iter().chain(&known.lines)).ok();
        if known.search.is_some() {
            known.recent.clear();
        }
    }
}

/// Makes a text known that is no secret, whatever secrets stand in it.
pub(super) fn learn_clear(text: &str) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if !known.clear.iter().any(|clear| clear == text) {
        known.clear.push(text.to_owned());
    }
}

/// Whether `secret` is one, or another form of one, and nothing else.
pub(super) fn is_known(secret: &str) -> bool {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.as_ref().is_some_and(|known| known.all.contains(secret) || known.short.contains(secret))
}

/// Whether `text` is a secret that is too short to be searched for.
pub(super) fn is_short(text: &str) -> bool {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.as_ref().is_some_and(|known| known.short.contains(text))
}

/// `text` with every known secret replaced by the mask; what overlaps is replaced as one.
pub(super) fn blank(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let Some(known) = known.as_ref() else { return Cow::Borrowed(text) };
    let found = known.find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for range in found {
        if range.start >= end {
            out.push_str(&text[end..range.start]);
            out.push_str(MASK);
        }
        end = end.max(range.end);
    }
    out.push_str(&text[end..]);
    Cow::Owned(out)
}

/// A secret in `text` that stands nowhere in clear.
pub(super) fn hidden_in(text: &str) -> Option<Zeroizing<String>> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let known = known.as_ref()?;
    let mut found = known.find(text).into_iter().map(|range| &text[range]);
    let hidden = found.find(|secret| {
        known.all.contains(*secret) && !known.clear.iter().any(|clear| clear.contains(*secret))
    });
    hidden.map(|secret| Zeroizing::new(secret.to_owned()))
}

/// How many bytes at the end of `text` must wait for what follows, or a secret could be cut in two.
pub(super) fn tail(text: &str) -> usize {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let Some(known) = known.as_ref() else { return 0 };
    let mut cut = text.len().saturating_sub(known.longest.saturating_sub(1));
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    // From the last to the first: a secret that ends behind the cut begins in front of it.
    for range in known.find(text).into_iter().rev() {
        if range.start < cut && cut < range.end {
            cut = range.start;
        }
    }
    text.len() - cut
}
