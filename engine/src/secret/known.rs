//! Every secret by value, to be found in any text in one pass, however many there are.
//!
//! New ones are looked for one by one until there are enough of them to be worth a new search; so taking in many costs
//! little more than taking in each. Tested with the module above.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use aho_corasick::AhoCorasick;

use super::{MASK, forms};

/// A shorter secret is not searched for in foreign text: it would blank out ordinary words.
const SHORTEST_REDACTED: usize = 8;

/// So many new ones are looked for one by one, and one more for each eighth of all others.
const MOST_RECENT: usize = 16;

#[derive(Default)]
struct Known {
    all: HashSet<String>,
    /// Finds all but the recent ones.
    search: Option<AhoCorasick>,
    recent: Vec<String>,
    /// Too short to be searched for, but known when they stand alone.
    short: HashSet<String>,
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
        if form.len() >= SHORTEST_REDACTED && known.all.insert(form.to_owned()) {
            known.recent.push(form.to_owned());
        }
    }
    if known.recent.len() > MOST_RECENT + known.all.len() / 8 {
        // Nothing but memory limits its size; without it they are looked for one by one.
        known.search = AhoCorasick::new(&known.all).ok();
        if known.search.is_some() {
            known.recent.clear();
        }
    }
}

fn is_known(secret: &str) -> bool {
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
    let mut found: Vec<Range<usize>> = Vec::new();
    if let Some(search) = &known.search {
        found.extend(search.find_overlapping_iter(text).map(|at| at.range()));
    }
    for secret in &known.recent {
        found.extend(text.match_indices(secret.as_str()).map(|(at, _)| at..at + secret.len()));
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| (range.start, range.end));
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
