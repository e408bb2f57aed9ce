//! What every store promises, whatever it is made of.
//!
//! Each `open` is another machine that looks at the same place. Run by the file store in `state::file`, by the object
//! store in the tests of `providers/objects`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::address::Address;
use crate::state::journal::{Durability, Journal, Moment, Watch, recover};
use crate::state::store::{Lock, Store, load, save};
use crate::state::{Entry, Record, State, StateError};

/// A place where nothing is yet.
pub trait Room {
    /// Another machine's view of the place.
    fn open(&self) -> Arc<dyn Store>;
    /// The holder of a lock dies without giving it back, and whatever time that takes to be noticed passes.
    fn die(&self, lock: Box<dyn Lock>);
}

/// Runs every promise below, each in a room of its own.
pub fn keeps_its_promises(mut room: impl FnMut() -> Box<dyn Room>) {
    what_is_saved_is_loaded_and_the_former_one_kept(room().as_ref());
    one_holds_the_lock_and_others_are_told_who(room().as_ref());
    one_of_many_wins_the_lock(room().as_ref());
    another_machine_goes_on_after_a_crash_at_any_record(room().as_mut());
    a_torn_last_line_is_dropped(room().as_ref());
    batched_lines_come_with_the_next_synced_one(room().as_ref());
    a_journal_that_was_folded_is_never_folded_again(room().as_ref());
    damage_is_never_read_as_nothing(room().as_ref());
    what_is_set_aside_replaces_nothing(room().as_ref());
    a_free_lock_is_not_forced(room().as_ref());
}

const PURPOSE: &str = "apply";

fn locked(store: &Arc<dyn Store>) -> Box<dyn Lock> {
    store.lock(PURPOSE, Duration::ZERO).expect("nobody holds it")
}

fn at(name: &str) -> Address {
    Address::new(name)
}

fn entry(name: &str) -> Box<Entry> {
    let entry = json!({
        "type": "mem.thing", "kind": "managed", "id": name, "inputs": {"name": name}, "attrs": {}, "memory": null,
        "dependencies": [], "on_remove": "keep",
    });
    serde_json::from_value(entry).expect("an entry")
}

fn succeeded(name: &str) -> Record {
    Record::Succeeded { address: at(name), entry: entry(name) }
}

fn names(state: &State) -> Vec<&str> {
    state.resources.keys().map(Address::as_str).collect()
}

fn begun(store: &Arc<dyn Store>, watch: Option<Watch>) -> Journal {
    let state = recover(store.as_ref()).expect("loads");
    let state = state.unwrap_or_else(|| State::new("m", "lineage".into()));
    Journal::begin(Arc::clone(store), state, Timestamp::UNIX_EPOCH, watch).expect("begins")
}

fn recovered(store: &Arc<dyn Store>) -> State {
    recover(store.as_ref()).expect("loads").expect("a state")
}

fn what_is_saved_is_loaded_and_the_former_one_kept(room: &dyn Room) {
    let store = room.open();
    assert_eq!(load(store.as_ref()).expect("loads"), None);
    assert_eq!(store.read_backup().expect("reads"), None);
    let lock = locked(&store);
    let mut state = State::new("m", "lineage".into());
    save(store.as_ref(), &state).expect("saves");
    let former = store.read().expect("reads");
    state.serial = 1;
    save(store.as_ref(), &state).expect("saves");
    drop(lock);
    let other = room.open();
    assert_eq!(load(other.as_ref()).expect("loads"), Some(state));
    assert_eq!(other.read_backup().expect("reads"), former);
}

fn one_holds_the_lock_and_others_are_told_who(room: &dyn Room) {
    let (first, second) = (room.open(), room.open());
    let lock = locked(&first);
    let refused = second.lock("destroy", Duration::ZERO).err().expect("it is held");
    let StateError::Locked { holder, .. } = &refused else { panic!("{refused}") };
    assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}");
    assert!(holder.contains("(apply)"), "{holder}");
    assert!(refused.help().is_some_and(|help| help.contains("--lock-timeout")));
    assert!(matches!(second.force_unlock(None), Err(StateError::Locked { .. })), "it is alive");
    drop(lock);
    drop(locked(&second));
    room.die(locked(&first));
    locked(&second);
}

fn one_of_many_wins_the_lock(room: &dyn Room) {
    let (mut holders, winners) = (Vec::new(), AtomicUsize::new(0));
    let stores: Vec<_> = (0..8).map(|_| room.open()).collect();
    std::thread::scope(|scope| {
        let racers: Vec<_> = stores
            .iter()
            .map(|store| scope.spawn(|| store.lock(PURPOSE, Duration::ZERO)))
            .collect();
        for racer in racers {
            match racer.join().expect("no panic") {
                Ok(lock) => {
                    winners.fetch_add(1, Ordering::Relaxed);
                    holders.push(lock);
                }
                Err(StateError::Locked { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
    assert_eq!(winners.into_inner(), 1);
}

fn another_machine_goes_on_after_a_crash_at_any_record(room: &mut dyn Room) {
    const RECORDS: usize = 6;
    let all: Vec<String> = (0..RECORDS).map(|number| format!("r{number}")).collect();
    for crash in 0..=RECORDS {
        let store = room.open();
        let lock = locked(&store);
        let before = recover(store.as_ref()).expect("loads").map_or(0, |state| state.serial);
        let journal = begun(&store, None);
        for name in &all {
            // So that each round begins with nothing.
            journal
                .append(&Record::Forgot { address: at(name) }, Durability::Batched)
                .expect("appends");
        }
        for name in &all[..crash] {
            journal.append(&succeeded(name), Durability::Synced).expect("appends");
        }
        let lived = journal.state();
        room.die(lock);
        drop((journal, store));
        let other = room.open();
        let lock = locked(&other);
        let found = recover(other.as_ref()).expect("loads");
        if crash > 0 {
            assert_eq!(found.as_ref().map(names), Some(names(&lived)), "after {crash} records");
        }
        let journal = begun(&other, None);
        for name in &all[crash..] {
            journal.append(&succeeded(name), Durability::Synced).expect("appends");
        }
        if crash == RECORDS {
            journal.append(&succeeded("more"), Durability::Synced).expect("appends");
        }
        let lived = journal.state();
        journal.finish().expect("finishes");
        drop(lock);
        let third = room.open();
        let state = recovered(&third);
        assert!(state.serial > before);
        assert_eq!(state.resources, lived.resources, "after {crash} records");
        assert_eq!(third.read_journal(state.serial).expect("reads"), None);
        assert!(all.iter().all(|name| state.knows(&at(name))), "{:?}", names(&state));
    }
}

fn a_torn_last_line_is_dropped(room: &dyn Room) {
    let store = room.open();
    let lock = locked(&store);
    let journal = begun(&store, None);
    journal.append(&succeeded("a"), Durability::Synced).expect("appends");
    journal.append(&succeeded("b"), Durability::Synced).expect("appends");
    journal.finish().expect("finishes");
    let serial = recovered(&store).serial;
    let mut lines = store.begin_journal(serial).expect("begins");
    let begin = json!({
        "event": "begin", "lineage": "lineage", "serial": serial, "name": "m", "at": "1970-01-01T00:00:00Z",
    });
    lines.append(format!("{begin}\n").as_bytes(), Durability::Synced).expect("appends");
    lines
        .append(b"{\"event\":\"forgot\",\"address\":\"a\"}\n", Durability::Synced)
        .expect("appends");
    lines.append(b"{\"event\":\"forgot\",\"addr", Durability::Synced).expect("appends");
    room.die(lock);
    let other = room.open();
    let _lock = locked(&other);
    assert_eq!(names(&recovered(&other)), ["b"]);
    begun(&other, None).finish().expect("finishes");
    assert_eq!(names(&recovered(&other)), ["b"]);
}

fn batched_lines_come_with_the_next_synced_one(room: &dyn Room) {
    let store = room.open();
    let lock = locked(&store);
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let watch: Watch = Arc::new(move |moment, _| {
        count.fetch_add(usize::from(moment == Moment::After), Ordering::Relaxed);
    });
    let journal = begun(&store, Some(watch));
    for name in ["a", "b", "c"] {
        journal.append(&succeeded(name), Durability::Batched).expect("appends");
    }
    journal.append(&succeeded("d"), Durability::Synced).expect("appends");
    assert_eq!(seen.load(Ordering::Relaxed), 4);
    room.die(lock);
    assert_eq!(names(&recovered(&room.open())), ["a", "b", "c", "d"]);
}

fn a_journal_that_was_folded_is_never_folded_again(room: &dyn Room) {
    let store = room.open();
    let lock = locked(&store);
    let journal = begun(&store, None);
    journal.append(&succeeded("a"), Durability::Synced).expect("appends");
    let lived = journal.state();
    // The state is saved, and the journal still there: only its removal was missed.
    save(store.as_ref(), &State { serial: lived.serial + 1, ..lived.clone() }).expect("saves");
    room.die(lock);
    let other = room.open();
    let _lock = locked(&other);
    assert_eq!(recovered(&other).serial, lived.serial + 1);
    let journal = begun(&other, None);
    journal.append(&Record::Forgot { address: at("a") }, Durability::Synced).expect("appends");
    journal.finish().expect("finishes");
    assert_eq!(names(&recovered(&room.open())), [""; 0]);
}

fn damage_is_never_read_as_nothing(room: &dyn Room) {
    let store = room.open();
    let _lock = locked(&store);
    for (text, want) in [
        ("", "holds nothing"),
        ("{\"format\": 1, ", "EOF"),
        ("{\"format\": 99}", "format 99"),
        ("{\"format\": 1, \"moved_to\": \"s3://b/k\"}", "has moved to `s3://b/k`"),
    ] {
        store.write(text.as_bytes()).expect("writes");
        let refused = recover(room.open().as_ref()).expect_err("refused").to_string();
        assert!(refused.contains(want), "{refused}");
    }
}

fn what_is_set_aside_replaces_nothing(room: &dyn Room) {
    let store = room.open();
    let first = store.set_aside("damaged", b"one").expect("kept");
    let second = store.set_aside("damaged", b"two").expect("kept");
    assert!(first != second && first.ends_with(".damaged"), "{first} {second}");
}

fn a_free_lock_is_not_forced(room: &dyn Room) {
    let store = room.open();
    assert_eq!(store.force_unlock(None).expect("nothing to do"), "nobody has ever locked it");
    drop(locked(&store));
    let said = store.force_unlock(None).expect("nothing to do");
    assert!(said.starts_with("it is not locked: "), "{said}");
    locked(&store);
}
