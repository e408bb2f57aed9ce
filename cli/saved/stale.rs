//! Whether a saved plan is still true, and, if not, what moved, in words.
//!
//! Compared is what was shown: actions, scopes, values before and after, and which things they are about. Not compared
//! are reasons, notes and findings, the order of what has none, and attributes that nobody was shown, such as a price.

use std::collections::BTreeSet;

use pgferry_engine::address::Address;
use pgferry_engine::info::Catalog;
use pgferry_engine::plan::compare::equal;
use pgferry_engine::plan::{Action, Change, Draft, FieldChange, ScopeAction};
use serde_json::Value as Json;

use super::Saved;
use crate::outcome::Stop;

/// How many of the things that moved are named.
const NAMED: usize = 5;

/// Values are cut off here.
const LONGEST: usize = 60;

impl Saved {
    /// Stops if what was shown is not what would be done now, and says what moved.
    pub(crate) fn still_holds(&self, now: &Draft, catalog: &Catalog) -> Result<(), Stop> {
        let mut moved = Vec::new();
        for (address, then) in &self.ids {
            let id = now.handles.get(address).and_then(|handle| handle.id.as_ref());
            if let Some(id) = id.filter(|id| *id != then) {
                moved
                    .push(format!("`{address}` is another one: it was `{then}`, now it is `{id}`"));
            }
        }
        let (then, now) = (&self.plan, &now.plan);
        for address in both(then.changes.keys(), now.changes.keys()) {
            match (then.changes.get(address), now.changes.get(address)) {
                (Some(then), Some(now)) => moved.extend(change(then, now, catalog)),
                (Some(_), None) => moved.push(format!("`{address}` is no longer to be planned")),
                (None, _) => moved.push(format!("`{address}` was not in the plan")),
            }
        }
        for address in both(then.scopes.keys(), now.scopes.keys()) {
            let then = then.scopes.get(address).map(|scope| scope.what);
            let now = now.scopes.get(address).map(|scope| scope.what);
            let same = then == now
                // What was left to do under it has been done elsewhere; it closes either way.
                || (then, now) == (Some(ScopeAction::TakeOver), Some(ScopeAction::Close));
            if !same {
                moved.push(format!(
                    "`{address}` was to be {}, now it is to be {}",
                    scope(then),
                    scope(now)
                ));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let more = moved.len().saturating_sub(NAMED);
        moved.truncate(NAMED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        Err(stale(format!("{}{more}", moved.join("; "))))
    }
}

/// The error of a plan that is not true any more.
pub(super) fn stale(why: String) -> Stop {
    Stop::because(format!("the saved plan is stale: {why}"))
        .help("nothing was changed; plan again, review it, and apply that")
}

fn both<'a>(
    a: impl Iterator<Item = &'a Address>,
    b: impl Iterator<Item = &'a Address>,
) -> BTreeSet<&'a Address> {
    a.chain(b).collect()
}

fn change(then: &Change, now: &Change, catalog: &Catalog) -> Option<String> {
    let address = &then.address;
    // What goes on elsewhere and was to be taken up has ended by itself.
    if then.takes_up && now.action == Action::Settle {
        return None;
    }
    if then.action != now.action {
        let (then, now) = (action(then.action), action(now.action));
        return Some(format!("`{address}` was to be {then}, now it is to be {now}"));
    }
    if then.takes_up != now.takes_up {
        let why = |change: &Change| match change.reasons.first() {
            Some(reason) => format!("`{reason}`"),
            None => "begun".to_owned(),
        };
        return Some(format!("`{address}` was to be run: {}, now: {}", why(then), why(now)));
    }
    if then.id != now.id {
        let id = |change: &Change| change.id.clone().unwrap_or_else(|| "nothing".to_owned());
        let (then, now) = (id(then), id(now));
        return Some(format!("`{address}` is another one: it was `{then}`, now it is `{now}`"));
    }
    let info = catalog.get(&now.type_name);
    let names = then.fields.iter().chain(&now.fields).map(|field| &field.name);
    names.collect::<BTreeSet<_>>().into_iter().find_map(|name| {
        let find = |change: &'_ Change| change.fields.iter().find(|f| f.name == *name).cloned();
        let schema = info.and_then(|info| info.field(name));
        let moved = field(find(then), find(now), schema)?;
        Some(format!("`{name}` of `{address}` has moved: {moved}"))
    })
}

/// How a field was shown otherwise than it would be now.
fn field(
    then: Option<FieldChange>,
    now: Option<FieldChange>,
    schema: Option<&Json>,
) -> Option<String> {
    let (then, now) = match (then, now) {
        (Some(then), Some(now)) => (then, now),
        (Some(_), None) => return Some("it was to change, and does not any more".to_owned()),
        (None, _) => return Some("it was not to change".to_owned()),
    };
    let same = |a: &Option<Json>, b: &Option<Json>| match (a, b) {
        (Some(a), Some(b)) => equal(a, b, schema),
        (a, b) => a == b,
    };
    if then.sensitive != now.sensitive || then.forces != now.forces {
        return Some("it means something else now".to_owned());
    }
    if !same(&then.before, &now.before) {
        let (then, now) = (value(&then.before, false), value(&now.before, false));
        return Some(format!("it was {then}, now it is {now}"));
    }
    if then.unknown != now.unknown || !same(&then.after, &now.after) {
        let (then, now) = (value(&then.after, then.unknown), value(&now.after, now.unknown));
        return Some(format!("it was to become {then}, now {now}"));
    }
    None
}

fn value(json: &Option<Json>, unknown: bool) -> String {
    let text = match json {
        Some(json) => json.to_string(),
        None if unknown => "what is known only after apply".to_owned(),
        None => "nothing".to_owned(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn action(action: Action) -> &'static str {
    match action {
        Action::NoOp => "left as it is",
        Action::Create => "created",
        Action::Import => "imported",
        Action::Update => "updated in-place",
        Action::Replace => "replaced",
        Action::Delete => "destroyed",
        Action::Forget => "forgotten",
        Action::Read => "read during apply",
        Action::Run => "run",
        Action::Settle => "taken down as done",
    }
}

fn scope(what: Option<ScopeAction>) -> &'static str {
    match what {
        None => "left as it is",
        Some(ScopeAction::OpenAndClose) => "opened and closed",
        Some(ScopeAction::TakeOver) => "taken over, then closed",
        Some(ScopeAction::Close) => "closed",
    }
}
