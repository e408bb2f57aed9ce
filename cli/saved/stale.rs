//! Whether a saved plan is still true, and, if not, what moved, in words.
//!
//! Compared is what was shown: actions, scopes, values before and after, and which things they are about. Not compared
//! are reasons, notes and findings, the order of what has none, and attributes that nobody was shown, such as a price.

use std::collections::BTreeSet;

use pgferry_engine::address::Address;
use pgferry_engine::info::Catalog;
use pgferry_engine::plan::compare::equal;
use pgferry_engine::plan::{Action, Change, Draft, FieldChange, ScopeAction};
use pgferry_engine::tree::Tree;
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
        // What a plan that only looks has shown is all that it would take down.
        for address in
            both(then.drift.keys(), now.drift.keys()).into_iter().filter(|_| then.refresh_only)
        {
            if then.drift.get(address) != now.drift.get(address) {
                moved.push(format!("`{address}` has changed again outside of pgferry"));
            }
        }
        for address in both(then.removals.keys(), now.removals.keys()) {
            match (then.removals.get(address), now.removals.get(address)) {
                (Some(_), None) => moved.push(format!("`{address}` is no longer to go after use")),
                (then, now) if then != now => {
                    moved.push(format!("`{address}` was not to go after use, or after others"));
                }
                _ => {}
            }
        }
        for address in both(then.scopes.keys(), now.scopes.keys()) {
            let then = then.scopes.get(address).map(|scope| scope.what);
            let now = now.scopes.get(address).map(|scope| scope.what);
            let same = then == now
                // What was left to do under it has been done elsewhere; it ends in the same way.
                || matches!(
                    (then, now),
                    (Some(ScopeAction::TakeOver), Some(ScopeAction::Close | ScopeAction::Hold))
                );
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
    let same = |a: &Option<Tree>, b: &Option<Tree>| match (a, b) {
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

fn value(tree: &Option<Tree>, unknown: bool) -> String {
    let text = match tree {
        Some(tree) => tree.storable().to_string(),
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
        Some(ScopeAction::Hold) => "held open",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pgferry_engine::plan::Plan;
    use pgferry_engine::tree::{Handle, Handles};
    use serde_json::json;

    use super::*;

    /// A plan of the example: the source is there, all else is to be made.
    fn saved() -> Saved {
        let text = include_str!("../../tests/compat/fixtures/plan-1.json");
        serde_json::from_str(text).expect("a saved plan")
    }

    /// What is said of the saved plan when `edit` has changed what would be planned now, as JSON.
    fn moved(edit: impl Fn(&mut Json)) -> Option<String> {
        moved_since(|_| (), edit)
    }

    fn moved_since(before: impl Fn(&mut Json), edit: impl Fn(&mut Json)) -> Option<String> {
        let mut saved = saved();
        let mut then = serde_json::to_value(&saved.plan).unwrap();
        before(&mut then);
        saved.plan = serde_json::from_value(then.clone()).unwrap();
        edit(&mut then);
        let plan: Plan = serde_json::from_value(then).unwrap();
        let handle = |(address, id): (&Address, &String)| {
            let (address, id) = (address.clone(), Some(id.clone()));
            (address.clone(), Arc::new(Handle { address, id, attrs: Default::default() }))
        };
        let handles: Handles = saved.ids.iter().map(handle).collect();
        said(&saved, Draft { plan, handles, questions: Vec::new() })
    }

    fn said(saved: &Saved, now: Draft) -> Option<String> {
        match saved.still_holds(&now, &crate::catalog::catalog()) {
            Ok(()) => None,
            Err(Stop::Because { message, .. }) => {
                Some(message.strip_prefix("the saved plan is stale: ").unwrap().to_owned())
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn field<'a>(plan: &'a mut Json, address: &str, name: &str) -> &'a mut Json {
        let fields = plan["changes"][address]["fields"].as_array_mut().unwrap();
        fields.iter_mut().find(|field| field["name"] == name).unwrap()
    }

    #[test]
    fn what_nobody_was_shown_may_move() {
        assert_eq!(moved(|_| ()), None);
        assert_eq!(moved(|plan| plan["at"] = "2030-01-01T00:00:00Z".into()), None);
        let price = |plan: &mut Json| plan["findings"][0]["message"] = "costs more".into();
        assert_eq!(moved(price), None);
        assert_eq!(moved(|plan| plan["findings"] = json!([])), None);
        assert_eq!(moved(|plan| plan["changes"]["dump"]["reasons"] = json!(["other"])), None);
        assert_eq!(moved(|plan| plan["changes"]["dump"]["notes"] = json!(["other"])), None);
        assert_eq!(moved(|plan| plan["scopes"]["key"]["epoch"] = 7.into()), None);
        let size = |plan: &mut Json| plan["outputs"]["database_url"]["unknown"] = false.into();
        assert_eq!(moved(size), None);
    }

    #[test]
    fn the_order_of_what_has_none_may_move() {
        assert_eq!(
            moved(|plan| plan["changes"]["dump"]["fields"].as_array_mut().unwrap().reverse()),
            None
        );
        let values = |plan: &mut Json| {
            let values = field(plan, "settings", "values")["after"].as_object_mut().unwrap();
            *values = std::mem::take(values).into_iter().rev().collect();
        };
        assert_eq!(moved(values), None);
        let list = |names: Json| {
            move |plan: &mut Json| {
                let mut one = field(plan, "settings", "like").clone();
                (one["name"], one["after"]) = ("include".into(), names.clone());
                let fields = &mut plan["changes"]["settings"]["fields"];
                fields.as_array_mut().unwrap().retain(|field| field["name"] != "include");
                fields.as_array_mut().unwrap().push(one);
            }
        };
        let (ab, ba) = (json!(["a", "b"]), json!(["b", "a"]));
        assert_eq!(moved_since(list(ab.clone()), list(ba)), None, "its schema says `uniqueItems`");
        let moved = moved_since(list(ab), list(json!(["a"]))).unwrap();
        assert_eq!(
            moved,
            "`include` of `settings` has moved: it was to become [\"a\",\"b\"], now [\"a\"]"
        );
        let queries = |plan: &mut Json| field(plan, "verified", "queries")["after"] = json!(["b"]);
        assert!(
            moved_since(|plan| field(plan, "verified", "queries")["after"] = json!(["a"]), queries)
                .is_some()
        );
        let number = |number: Json| {
            move |plan: &mut Json| field(plan, "verified", "rows")["after"] = number.clone()
        };
        assert_eq!(moved_since(number(json!(1)), number(json!(1.0))), None);
    }

    #[test]
    fn what_was_shown_may_not() {
        let check = |edit: &dyn Fn(&mut Json), want: &str| {
            assert_eq!(moved(edit).as_deref(), Some(want));
        };
        check(
            &|plan| field(plan, "target", "plan")["after"] = "heroku-postgresql:standard-0".into(),
            "`plan` of `target` has moved: it was to become \"heroku-postgresql:essential-1\", now \"heroku-postgresql:standard-0\"",
        );
        check(
            &|plan| field(plan, "target", "plan")["before"] = "x".into(),
            "`plan` of `target` has moved: it was nothing, now it is \"x\"",
        );
        check(
            &|plan| field(plan, "dump", "source")["after"]["$id"] = "7".into(),
            "`source` of `dump` has moved: it was to become {\"$address\":\"source\",\"$id\":\"232051\"}, now {\"$address\":\"source\",\"$id\":\"7\"}",
        );
        check(
            &|plan| plan["changes"]["app"]["action"] = "import".into(),
            "`app` was to be created, now it is to be imported",
        );
        check(
            &|plan| drop(plan["changes"].as_object_mut().unwrap().remove("smoke")),
            "`smoke` is no longer to be planned",
        );
        check(
            &|plan| drop(plan["scopes"].as_object_mut().unwrap().remove("window")),
            "`window` was to be opened and closed, now it is to be left as it is",
        );
        check(
            &|plan| {
                let fields = plan["changes"]["target"]["fields"].as_array_mut().unwrap();
                fields.retain(|field| field["name"] != "plan");
            },
            "`plan` of `target` has moved: it was to change, and does not any more",
        );
        let all = moved(|plan| {
            for change in plan["changes"].as_object_mut().unwrap().values_mut() {
                change["action"] = "forget".into();
            }
        });
        assert!(all.unwrap().ends_with("; and 7 more"));
    }

    #[test]
    fn another_thing_behind_the_same_name_is_stale() {
        let saved = saved();
        let address = Address::new("source");
        let handle =
            Handle { address: address.clone(), id: Some("7".into()), attrs: Default::default() };
        let now = Draft {
            plan: saved.plan.clone(),
            handles: [(address, Arc::new(handle))].into_iter().collect(),
            questions: Vec::new(),
        };
        let want = "`source` is another one: it was `232051`, now it is `7`";
        assert_eq!(said(&saved, now).as_deref(), Some(want));
    }

    #[test]
    fn what_was_to_be_taken_up_may_have_ended_by_itself() {
        let running = |plan: &mut Json| {
            plan["changes"]["restore"]["takes_up"] = true.into();
            plan["scopes"]["key"]["what"] = "take_over".into();
        };
        let ended = |plan: &mut Json| {
            plan["changes"]["restore"]["takes_up"] = false.into();
            plan["changes"]["restore"]["action"] = "settle".into();
            plan["scopes"]["key"]["what"] = "close".into();
        };
        assert_eq!(moved_since(running, ended), None);
        let failed = |plan: &mut Json| {
            plan["changes"]["restore"]["takes_up"] = false.into();
            plan["changes"]["restore"]["reasons"] = json!(["was cut short: it failed"]);
        };
        let running = |plan: &mut Json| {
            plan["changes"]["restore"]["takes_up"] = true.into();
            plan["changes"]["restore"]["reasons"] = json!(["takes up restore r003"]);
        };
        let want =
            "`restore` was to be run: `takes up restore r003`, now: `was cut short: it failed`";
        assert_eq!(moved_since(running, failed).as_deref(), Some(want));
    }
}
