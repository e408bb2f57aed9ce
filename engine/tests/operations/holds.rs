//! What must hold after every operation, and at the end of every history.

use std::collections::BTreeSet;

use pgferry_engine::address::Address;
use pgferry_engine::apply::Outcome;
use pgferry_engine::info::Kind;
use pgferry_engine::plan::{Action, Options, Plan, Refresh};
use pgferry_engine::state::{Entry, Scope, ScopeStatus, State, StateError};
use serde_json::Value as Json;

use super::world::disk::Loss;
use super::world::{Point, Ran, World, run};
use super::{Operation, Turn};

/// Names as a test that was printed has them.
#[allow(dead_code, reason = "for tests that are pasted")]
pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Takes the turns, one after the other, then applies without mishaps. Says whether that came to an end by itself;
/// where it did not, the plan says what a person has to decide.
pub(crate) fn after(turns: &[Turn]) -> bool {
    run(async {
        let Some(first) = turns.first() else { return true };
        let mut seen = Seen { world: World::new(&first.spec), let_go: BTreeSet::new() };
        for (number, turn) in turns.iter().enumerate() {
            seen.turn(turn, &format!("turn {number}, {:?}", turn.operation)).await;
        }
        seen.ends(&turns[turns.len() - 1]).await
    })
}

struct Seen {
    world: World,
    /// Things that were ours and are kept without being remembered, by id; and resources that were forgotten.
    let_go: BTreeSet<String>,
}

fn options(world: &World, turn: &Turn) -> Options {
    let state = world.state();
    let confirmed = if turn.confirms { everything(world) } else { Vec::new() };
    let known = |names: &[String]| {
        let all = names.iter().map(|name| Address::new(name.clone()));
        all.filter(|a| world.spec.resources.contains_key(a) || state.resources.contains_key(a))
            .collect()
    };
    Options {
        targets: known(&turn.targets),
        excludes: known(&turn.excludes),
        replace: known(&turn.replace),
        confirmed,
        preflight: false,
        reveal: false,
        refresh: if turn.operation == Operation::Destroy { Refresh::First } else { turn.refresh },
    }
}

/// Every deletion is meant.
fn everything(world: &World) -> Vec<(String, String)> {
    let addresses = world.state().resources.keys().cloned().collect::<BTreeSet<_>>();
    let spec = world.spec.resources.keys().cloned();
    addresses.into_iter().chain(spec).map(|a| (a.to_string(), a.to_string())).collect()
}

impl Seen {
    async fn turn(&mut self, turn: &Turn, when: &str) {
        self.world.says(&turn.spec, turn.run);
        let world = &self.world;
        let (before, options) = (world.state(), options(world, turn));
        let protected: Vec<String> = before
            .resources
            .values()
            .filter(|entry| entry.prevent_destroy && entry.kind == Kind::Managed)
            .map(|entry| entry.remembered.id.clone())
            .filter(|id| world.cloud(|cloud| cloud.things.contains_key(id)))
            .collect();
        world.mishaps(turn.mishaps.iter().copied());
        world.watch();
        let ran = match turn.operation {
            Operation::Plan => {
                world.plan(&options).await;
                assert_eq!(world.count(), 0, "{when}: a plan has effects");
                None
            }
            Operation::Apply => Some(world.apply(&options).await),
            Operation::Destroy => Some(world.destroy(&options).await),
            Operation::Release => Some(world.release().await),
        };
        let points = world.seen();
        world.mishaps([]);
        if let Some((at, loss)) = turn.crash {
            let point = &points[at % points.len()];
            self.world = world.again(point, loss, std::time::Duration::from_secs(2));
        } else {
            journal_agrees(world, &points, when);
            if let Some(Ok(ran)) = &ran
                && ran.is_success()
            {
                self.succeeded(turn, &options, when).await;
            }
            if let (Operation::Apply, Some(Ok(Ran::Ended(outcome)))) = (turn.operation, &ran) {
                scopes_end_well(world, &before, outcome, when);
            }
            if let Some(Err(cause)) = &ran {
                assert!(
                    matches!(cause, StateError::Io { .. } | StateError::Journal { .. }),
                    "{cause}"
                );
            }
        }
        let after = self.world.state();
        self.let_go(&before, &after);
        for id in protected {
            assert!(
                self.world.cloud(|cloud| cloud.things.contains_key(&id)),
                "{when}: `{id}` is protected and gone"
            );
        }
        valid(&after, when);
        self.tracked(&after, when);
    }

    /// What was remembered before and is not any more.
    fn let_go(&mut self, before: &State, after: &State) {
        let ids = |state: &State| -> BTreeSet<String> {
            state.resources.values().map(|entry| entry.remembered.id.clone()).collect()
        };
        self.let_go.extend(ids(before).difference(&ids(after)).cloned());
        let gone =
            before.resources.keys().filter(|address| !after.resources.contains_key(*address));
        self.let_go.extend(gone.map(ToString::to_string));
    }

    /// What a success of that operation means.
    async fn succeeded(&self, turn: &Turn, options: &Options, when: &str) {
        let (world, state) = (&self.world, self.world.state());
        match turn.operation {
            Operation::Plan => {}
            Operation::Release => assert_eq!(state.open_scopes().count(), 0, "{when}"),
            Operation::Destroy if !options.targets.is_empty() || !options.excludes.is_empty() => {}
            Operation::Destroy => {
                // What was begun and never finished is no resource yet; it stays remembered as begun.
                assert!(state.resources.is_empty(), "{when}: {state:?}");
                assert_eq!(state.open_scopes().count(), 0, "{when}");
            }
            Operation::Apply if options.refresh == Refresh::Only => {
                let touched = world.shared.look(|outside| outside.touched.clone());
                assert_eq!(touched, Vec::<String>::new(), "{when}: it was to look only");
            }
            Operation::Apply => {
                let all = options.targets.is_empty() && options.excludes.is_empty();
                let windows = turn.spec.contains("sim.window");
                // A part that was left out leaves its window incomplete, and what was done under it is done again.
                if all || !windows {
                    let (replace, refresh) = (BTreeSet::new(), Refresh::First);
                    let again = Options { replace, refresh, ..options.clone() };
                    let plan = world.plan(&again).await;
                    assert_eq!(left(&plan), Vec::<String>::new(), "{when}: planned again");
                }
            }
        }
    }

    /// Whatever is there is remembered, and nothing is there twice.
    fn tracked(&self, state: &State, when: &str) {
        let notes = |intent: &Json, key: &str| intent[key].as_str().map(str::to_owned);
        let open = || state.open_scopes().map(|(_, scope)| &scope.intent.notes);
        self.world.cloud(|cloud| {
            for (window, _) in cloud.windows.iter().filter(|(_, open)| **open) {
                let known = open().any(|n| notes(n, "name").as_ref() == Some(window));
                assert!(known, "{when}: window `{window}` is open and forgotten");
            }
            for label in cloud.keys.values() {
                let known = open().any(|n| notes(n, "label").as_ref() == Some(label));
                assert!(known, "{when}: key `{label}` is left and forgotten");
            }
            let mut names = BTreeSet::new();
            for (id, thing) in &cloud.things {
                let known = state.resources.values().any(|entry| entry.remembered.id == *id);
                let begun = state.operations.values();
                let begun =
                    begun.filter_map(|operation| operation.intent.inputs.get("name")?.as_text());
                let begun = begun.collect::<Vec<_>>().contains(&thing.name.as_str());
                assert!(
                    known || begun || self.let_go.contains(id),
                    "{when}: `{id}` is there and forgotten"
                );
                assert!(
                    names.insert((thing.kind, &thing.name)),
                    "{when}: `{}` is there twice",
                    thing.name
                );
            }
            for upload in cloud.uploads.values() {
                let address = Address::new(upload.object.trim_end_matches(".dump"));
                let known = state.operations.contains_key(&address);
                // Whose block left, or who was destroyed, is not finished any more.
                let known = known || self.let_go.contains(address.as_str());
                assert!(known, "{when}: an upload of `{address}` is forgotten");
            }
        });
    }

    /// Without mishaps from here on.
    async fn ends(&mut self, last: &Turn) -> bool {
        let options =
            |world: &World| Options { confirmed: everything(world), ..Options::default() };
        let mut ran = None;
        for round in 0..6 {
            let before = self.world.state();
            let tried = self.world.apply(&options(&self.world)).await.unwrap();
            self.let_go(&before, &self.world.state());
            let success = tried.is_success();
            if let (Ran::Refused(_), 2) = (&tried, round) {
                // Data that went with their target are moved again only under a new label.
                self.world.says(&last.spec, "3");
            }
            ran = Some(tried);
            if success {
                break;
            }
        }
        let ran = ran.unwrap();
        match &ran {
            Ran::Refused(why) => {
                let decided = |why: &String| {
                    ["PGF0203", "PGF0206", "PGF0209"].iter().any(|code| why.starts_with(code))
                };
                assert!(why.iter().all(decided), "no way on: {why:?}");
                return false;
            }
            Ran::Ended(outcome) => assert!(
                ran.is_success(),
                "it does not end: {:?} {:?}",
                outcome.failed,
                outcome.skipped
            ),
        }
        let plan = self.world.plan(&options(&self.world)).await;
        assert_eq!(left(&plan), Vec::<String>::new(), "at the end");
        let state = self.world.state();
        valid(&state, "at the end");
        self.tracked(&state, "at the end");
        assert!(
            state.open_scopes().all(|(_, scope)| scope.status == ScopeStatus::Held),
            "at the end"
        );
        // Of a dump whose block left, what it had begun stays remembered.
        let dumps = |name: &str| self.world.spec.resources.contains_key(&Address::new(name));
        let objects: Vec<String> =
            self.world.cloud(|cloud| cloud.uploads.values().map(|u| u.object.clone()).collect());
        assert!(
            !objects.iter().any(|object| dumps(object.trim_end_matches(".dump"))),
            "{objects:?}"
        );
        let names = self.world.shared.look(|outside| outside.files.names());
        assert!(
            names.iter().all(|name| !name.ends_with(".new") && !name.ends_with(".journal")),
            "{names:?}"
        );
        true
    }
}

/// A scope that is to be held is open once all under it is done; one that was found open is not closed before what is
/// under it is done, failed, or stopped by the user.
fn scopes_end_well(world: &World, before: &State, outcome: &Outcome, when: &str) {
    let after = world.state();
    for (address, scope) in &after.scopes {
        let ScopeStatus::Released { complete, .. } = scope.status else { continue };
        let was = before.scopes.get(address);
        let found_open = was.is_some_and(Scope::is_open);
        let opened = was.map_or(0, |was| was.epoch) < scope.epoch;
        let Some(block) = world.spec.resources.get(address).filter(|_| found_open || opened) else {
            continue;
        };
        let holds = block.fields.get("on_success").map(|field| field.evaluate(&|_| None));
        let holds = holds.is_some_and(|said| said.as_text() == Some("hold"));
        let closing = was.is_some_and(|was| was.close_failed.is_some());
        assert!(!holds || !complete || closing, "{when}: `{address}` is to be held, and is closed");
        let below = world.graph.descendants(address);
        let skipped = outcome.skipped.iter().any(|skipped| below.contains(skipped));
        let failed = outcome.failed.iter().any(|failure| below.contains(&failure.address));
        assert!(
            complete || !found_open || !skipped || failed || outcome.interrupted,
            "{when}: `{address}` is closed before what is under it was tried"
        );
    }
}

/// What a plan would do, without commands that run in each apply.
fn left(plan: &Plan) -> Vec<String> {
    let always = |action, reasons: &[String]| {
        action == Action::Run && reasons.iter().any(|reason| reason.contains("`when` is `always`"))
    };
    let work = plan.changes.values().filter(|change| change.action.is_work());
    let work: Vec<_> = work.filter(|change| !always(change.action, &change.reasons)).collect();
    let mut left: Vec<String> =
        work.iter().map(|c| format!("{} {:?} {:?}", c.address, c.action, c.reasons)).collect();
    if plan.changes.values().all(|change| !change.action.is_work()) {
        left.extend(plan.scopes.iter().map(|(scope, change)| format!("{scope} {:?}", change.what)));
    }
    left.extend(plan.keeping.keys().map(|address| format!("{address} to be kept otherwise")));
    left
}

/// The state that was saved is what the lines of its journal amount to. Only what has no effect outside (values, what
/// was looked at or forgotten) may come to it with the last lines, which need not be written before it is saved.
fn journal_agrees(world: &World, points: &[Point], when: &str) {
    let saved = points.iter().rposition(|point| point.next.starts_with("rename"));
    let removed = points.len().checked_sub(2);
    let removed = removed.filter(|last| points[*last].next == "remove state.json.journal");
    let left = world.shared.look(|outside| outside.files.names());
    let (Some(saved), Some(removed)) = (saved, removed) else { return };
    if saved + 2 != removed || left.contains(&"state.json.journal".to_owned()) {
        return;
    }
    let folded = world.again(&points[saved], Loss::Nothing, Default::default()).state();
    let state = world.state();
    assert_eq!((&folded.lineage, folded.serial + 1), (&state.lineage, state.serial), "{when}");
    assert_eq!(folded.scopes, state.scopes, "{when}: the journal says otherwise");
    for (address, operation) in &state.operations {
        assert_eq!(folded.operations.get(address), Some(operation), "{when}: `{address}`");
    }
    let outside =
        |entry: &Entry| !["sim.value", "sim.database"].contains(&entry.type_name.as_str());
    for (address, entry) in &state.resources {
        let said = folded.resources.get(address).map(|said| (&said.remembered.id, &said.done));
        if outside(entry) {
            assert_eq!(said, Some((&entry.remembered.id, &entry.done)), "{when}: `{address}`");
        }
    }
}

/// What any state must be, whatever happened.
fn valid(state: &State, when: &str) {
    for (address, entry) in &state.resources {
        assert!(entry.kind != Kind::Scoped, "{when}: `{address}` is scoped and remembered as made");
        assert_eq!(entry.done.is_some(), entry.kind == Kind::Run, "{when}: `{address}`");
        let unique: BTreeSet<&Address> = entry.dependencies.iter().collect();
        assert_eq!(unique.len(), entry.dependencies.len(), "{when}: `{address}`");
        assert!(!unique.contains(address), "{when}: `{address}` depends on itself");
        for (scope, epoch) in entry.done.iter().flat_map(|done| &done.epochs) {
            let known = state.scopes.get(scope).map_or(0, |scope| scope.epoch);
            assert!(known >= *epoch, "{when}: `{address}` was done in epoch {epoch} of `{scope}`");
        }
    }
    for (address, scope) in &state.scopes {
        assert!(scope.broken.keys().all(|epoch| *epoch <= scope.epoch), "{when}: `{address}`");
    }
    let text = serde_json::to_vec(state).unwrap();
    let back: State = serde_json::from_slice(&text).unwrap();
    assert_eq!(&back, state, "{when}: it is not read as it was written");
}
