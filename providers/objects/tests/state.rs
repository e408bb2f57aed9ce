//! States in the sandbox's S3, over real HTTP: the promises of all stores, and what becomes of holders that freeze.

mod hands;
mod stage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, Response, StatusCode};
use hands::Hands;
use jiff::Timestamp;
use pgferry_engine::address::Address;
use pgferry_engine::state::journal::{Durability, Journal, recover};
use pgferry_engine::state::store::{Lock, Store, save};
use pgferry_engine::state::{Record, State, StateError};
use pgferry_engine::testing::stores::{Room, keeps_its_promises};
use pgferry_objects::state::ObjectState;
use stage::{ACCESS_KEY, BUCKET, SECRET_KEY, Stage};
use tokio::runtime::Runtime;

/// A service on a runtime of its own, as far from the stores as another machine.
struct Service {
    stage: Option<Stage>,
    runtime: Runtime,
    ahead: AtomicI64,
    next: AtomicUsize,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        drop(self.stage.take());
    }
}

impl Service {
    fn start() -> Arc<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
        let stage = Some(runtime.block_on(Stage::new()));
        Arc::new(Self { stage, runtime, ahead: AtomicI64::new(0), next: AtomicUsize::new(0) })
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().expect("it runs")
    }

    fn at(&self, key: &str, who: &str, clock: &Hands) -> Arc<dyn Store> {
        let env = BTreeMap::from([
            ("AWS_ENDPOINT_URL_S3".to_owned(), self.stage().origin.clone()),
            ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), SECRET_KEY.to_owned()),
        ]);
        let holder = format!("{who}, process {}", std::process::id());
        let url = format!("s3://{BUCKET}/{key}");
        let store = ObjectState::open(&url, Arc::new(env), holder, Arc::new(clock.clone()));
        Arc::new(store.expect("a place"))
    }

    /// Time passes at the store.
    fn pass(&self, seconds: i64) {
        let ahead = self.ahead.fetch_add(seconds, Ordering::Relaxed) + seconds;
        let ahead = Duration::from_secs(u64::try_from(ahead).expect("forward"));
        self.stage().s3.set_clock_ahead(ahead);
    }

    fn keys(&self) -> Vec<String> {
        self.stage().s3.objects(BUCKET).into_iter().map(|object| object.name).collect()
    }
}

struct Prefix {
    service: Arc<Service>,
    key: String,
}

impl Room for Prefix {
    fn open(&self) -> Arc<dyn Store> {
        self.service.at(&self.key, "me@here", &Hands::new())
    }

    fn die(&self, lock: Box<dyn Lock>) {
        std::mem::forget(lock);
        self.service.pass(66);
    }
}

fn room(service: &Arc<Service>) -> Box<dyn Room> {
    let number = service.next.fetch_add(1, Ordering::Relaxed);
    Box::new(Prefix { service: Arc::clone(service), key: format!("room-{number}/state.json") })
}

#[test]
fn it_keeps_the_promises_of_all_stores() {
    let service = Service::start();
    keeps_its_promises(|| room(&service));
}

fn begun(store: &Arc<dyn Store>) -> Journal {
    let state = recover(store.as_ref()).expect("loads");
    let state = state.unwrap_or_else(|| State::new("m", "lineage".into()));
    Journal::begin(Arc::clone(store), state, Timestamp::UNIX_EPOCH, None).expect("begins")
}

fn forgot(name: &str) -> Record {
    Record::Forgot { address: Address::new(name) }
}

fn serial(store: &Arc<dyn Store>) -> u64 {
    recover(store.as_ref()).expect("loads").expect("a state").serial
}

fn take(store: &Arc<dyn Store>) -> Box<dyn Lock> {
    store.lock("apply", Duration::ZERO).expect("it is free")
}

/// Two machines with clocks of their own.
fn two(service: &Service) -> ((Arc<dyn Store>, Hands), Arc<dyn Store>) {
    let clock = Hands::new();
    let first = service.at("s.json", "ci@one", &clock);
    ((first, clock), service.at("s.json", "ci@two", &Hands::new()))
}

#[test]
fn a_held_lock_names_its_holder_and_the_way_out() {
    let service = Service::start();
    let ((first, _), second) = two(&service);
    let _lock = take(&first);
    service.pass(20);
    let refused = second.lock("destroy", Duration::ZERO).err().expect("it is held");
    let StateError::Locked { id: Some(id), .. } = &refused else { panic!("{refused}") };
    let said = refused.to_string();
    let me = std::process::id();
    let want = format!(
        "the state is locked by ci@one, process {me} (apply) since 1970-01-01T00:00:00Z; unless it is renewed, it ends by itself in 4"
    );
    assert!(said.starts_with(&want), "{said}");
    let help = refused.help().expect("a help");
    assert!(help.ends_with(&format!("`pgferry force-unlock {id}`")), "{help}");
    // Who waits gets it as soon as it has run out; nobody renews it, since the clock of its holder stands still.
    let (waiting, hands) = (Arc::clone(&second), Hands::new());
    drop(waiting);
    let waiting = service.at("s.json", "ci@three", &hands);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| waiting.lock("plan", Duration::from_secs(600)).map(drop));
        service.pass(50);
        while !waiter.is_finished() {
            hands.pass(2);
            std::thread::yield_now();
        }
        waiter.join().expect("no panic").expect("it has run out");
    });
}

#[test]
fn a_lock_is_renewed_while_it_is_held() {
    let service = Service::start();
    let ((first, clock), second) = two(&service);
    let lock = take(&first);
    let renewed = || {
        let objects = service.stage().s3.objects(BUCKET);
        objects.into_iter().find(|object| object.name == "s.json.lock").expect("a lock").etag
    };
    for _ in 0..8 {
        let before = renewed();
        service.pass(15);
        // Second by second, since it may begin to wait for the next renewal only now.
        while renewed() == before {
            clock.pass(1);
            std::thread::yield_now();
        }
    }
    assert!(second.lock("plan", Duration::ZERO).is_err(), "two minutes later it is still held");
    drop(lock);
    second.lock("plan", Duration::ZERO).expect("given back");
}

#[test]
fn a_holder_that_was_frozen_is_told_and_does_nothing_more() {
    let service = Service::start();
    let ((frozen, clock), other) = two(&service);
    let lock = take(&frozen);
    let journal = begun(&frozen);
    journal.append(&forgot("a"), Durability::Synced).expect("appends");
    service.pass(66);
    let taken = take(&other);
    let goes_on = begun(&other);
    goes_on.append(&forgot("b"), Durability::Synced).expect("appends");
    clock.pass(66);
    let refused = journal.append(&forgot("c"), Durability::Synced).expect_err("fenced");
    let said = refused.to_string();
    let me = std::process::id();
    let want = format!(
        "the lock on the state `s3://{BUCKET}/s.json` is lost: it was taken over by ci@two, process {me} (apply) since 1970-01-01T00:00:00Z; nothing more is done"
    );
    assert_eq!(said, want);
    assert!(journal.append(&forgot("d"), Durability::Batched).is_err(), "for good");
    assert!(matches!(frozen.write(b"{}"), Err(StateError::Fenced { .. })));
    assert!(matches!(frozen.remove_journal(9), Err(StateError::Fenced { .. })));
    drop(lock);
    goes_on.finish().expect("finishes");
    drop(taken);
    assert_eq!(serial(&other), 2);
}

/// The worst of clocks: it has not moved, so its owner has no idea.
#[test]
fn a_frozen_holder_whose_clock_stood_still_wins_nothing() {
    let service = Service::start();
    let ((frozen, _), other) = two(&service);
    let lock = take(&frozen);
    let journal = begun(&frozen);
    journal.append(&forgot("a"), Durability::Synced).expect("appends");
    service.pass(66);
    let taken = take(&other);
    let goes_on = begun(&other);
    goes_on.append(&forgot("b"), Durability::Synced).expect("appends");
    let refused = journal.append(&forgot("c"), Durability::Synced).expect_err("its place is taken");
    assert!(refused.to_string().contains("another run has ended its journal"), "{refused}");
    let refused = save(frozen.as_ref(), &State::new("m", "lineage".into())).expect_err("changed");
    assert!(matches!(refused, StateError::Overtaken { .. }), "{refused}");
    frozen.remove_journal(0).expect("its own, which is gone");
    goes_on.append(&forgot("d"), Durability::Synced).expect("nothing of it was touched");
    goes_on.finish().expect("finishes");
    drop((lock, taken));
    assert_eq!(serial(&other), 2);
}

/// It wakes up just after the other has read its journal, and before that one goes on from it.
#[test]
fn what_a_late_holder_adds_is_never_overlooked() {
    let service = Service::start();
    let ((frozen, _), other) = two(&service);
    let _lock = take(&frozen);
    let journal = begun(&frozen);
    journal.append(&forgot("a"), Durability::Synced).expect("appends");
    service.pass(66);
    let taken = take(&other);
    let read = recover(other.as_ref()).expect("loads").expect("a state");
    journal.append(&forgot("b"), Durability::Synced).expect("nobody has ended it yet");
    let refused = Journal::begin(Arc::clone(&other), read, Timestamp::UNIX_EPOCH, None);
    assert!(matches!(refused.err(), Some(StateError::Overtaken { .. })));
    drop(taken);
    let taken = take(&other);
    begun(&other).finish().expect("finishes");
    drop(taken);
    assert!(journal.append(&forgot("c"), Durability::Synced).is_err());
}

/// It was about to save when it froze, without a journal that could be ended: the other writes the state anew first.
#[test]
fn a_late_write_cannot_come_between_a_takeover_and_its_end() {
    let service = Service::start();
    let ((frozen, _), other) = two(&service);
    let _lock = take(&frozen);
    let mut state = State::new("m", "lineage".into());
    save(frozen.as_ref(), &state).expect("saves");
    service.pass(66);
    let taken = take(&other);
    let journal = begun(&other);
    state.serial = 1;
    assert!(matches!(save(frozen.as_ref(), &state), Err(StateError::Overtaken { .. })));
    journal.append(&forgot("a"), Durability::Synced).expect("appends");
    journal.finish().expect("finishes");
    assert_eq!(serial(&other), 2);
    drop(taken);
}

#[test]
fn a_lock_that_was_forced_is_lost_to_its_holder() {
    let service = Service::start();
    let ((first, clock), second) = two(&service);
    let lock = take(&first);
    let journal = begun(&first);
    let refused = second.force_unlock(None).expect_err("it may be alive");
    let StateError::Locked { id: Some(id), .. } = refused else { panic!("{refused}") };
    assert!(second.force_unlock(Some("another")).is_err());
    let said = second.force_unlock(Some(&id)).expect("freed");
    assert!(said.starts_with("freed; it was locked by ci@one, process "), "{said}");
    clock.pass(60);
    let refused = journal.append(&forgot("a"), Durability::Synced).expect_err("lost").to_string();
    assert!(refused.contains("it was freed by `pgferry force-unlock`"), "{refused}");
    drop(lock);
    take(&second);
}

#[test]
fn a_store_that_cannot_lock_is_refused() {
    for (spoil, want) in [
        (
            (|stage: &Stage| stage.s3.set_versioned(BUCKET, true)) as fn(&Stage),
            "the store ignores `If-None-Match`",
        ),
        (|stage: &Stage| stage.s3.ignore_conditions(BUCKET), "the store ignores `If-None-Match`"),
    ] {
        let service = Service::start();
        spoil(service.stage());
        let ((store, _), _) = two(&service);
        let refused = store.lock("apply", Duration::ZERO).err().expect("refused");
        let said = refused.to_string();
        assert!(
            said.starts_with(&format!("a state cannot be kept at `s3://{BUCKET}/s.json`: {want}")),
            "{said}"
        );
        assert!(refused.help().is_some_and(|help| help.contains("keeps no versions")));
        assert_eq!(service.keys(), [""; 0], "nothing is left of trying");
    }
}

#[test]
fn a_missing_bucket_and_a_wrong_key_are_told_apart() {
    let service = Service::start();
    let env = |secret: &str| {
        Arc::new(BTreeMap::from([
            ("AWS_ENDPOINT_URL".to_owned(), service.stage().origin.clone()),
            ("AWS_ACCESS_KEY_ID".to_owned(), ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), secret.to_owned()),
        ]))
    };
    let help = |url: &str, secret: &str| {
        let (clock, env) = (Arc::new(Hands::new()), env(secret));
        let store = ObjectState::open(url, env, "me".into(), clock).expect("a place");
        let refused = [store.read().err(), store.lock("apply", Duration::ZERO).err()];
        refused.map(|refused| refused.and_then(|refused| refused.help()).expect("a help"))
    };
    for said in help("s3://nowhere/s.json", SECRET_KEY) {
        assert!(said.starts_with("make the bucket first"), "{said}");
    }
    for said in help(&format!("s3://{BUCKET}/s.json"), "another secret") {
        assert!(said.contains("AWS_SECRET_ACCESS_KEY"), "{said}");
    }
}

/// Every answer to a put is lost once, after it was done.
#[test]
fn lost_answers_are_found_out_about() {
    let service = Service::start();
    let lost: Arc<Mutex<BTreeMap<String, ()>>> = Arc::default();
    service.stage().interpose(move |request, next| {
        let lost = Arc::clone(&lost);
        Box::pin(async move {
            let (is_put, path) = (request.method() == Method::PUT, request.uri().path().to_owned());
            let answer = next.run(request).await;
            let is_new = lost.lock().expect("a map").insert(path, ()).is_none();
            if is_put && is_new && answer.status().is_success() {
                let mut gone = Response::new(axum::body::Body::empty());
                *gone.status_mut() = StatusCode::BAD_GATEWAY;
                return gone;
            }
            answer
        })
    });
    let ((store, _), other) = two(&service);
    let lock = take(&store);
    let journal = begun(&store);
    for name in ["a", "b", "c"] {
        journal.append(&forgot(name), Durability::Synced).expect("appends");
    }
    journal.finish().expect("finishes");
    drop(lock);
    assert_eq!(serial(&other), 1);
    take(&other);
}

/// The store has the lock already, and its holder does not know of it yet.
#[test]
fn a_lock_is_given_back_that_is_just_being_taken() {
    let service = Service::start();
    let ((store, _), other) = two(&service);
    let leaving: Arc<Mutex<Option<std::thread::JoinHandle<()>>>> = Arc::default();
    let (here, left) = (Arc::clone(&store), Arc::clone(&leaving));
    service.stage().interpose(move |request, next| {
        let is_taken =
            request.method() == Method::PUT && request.uri().path().ends_with("s.json.lock");
        let (store, left) = (Arc::clone(&here), Arc::clone(&left));
        Box::pin(async move {
            let answer = next.run(request).await;
            let mut left = left.lock().expect("a thread");
            if is_taken && left.is_none() {
                let (tell, told) = std::sync::mpsc::channel();
                *left = Some(std::thread::spawn(move || {
                    tell.send(()).expect("somebody listens");
                    store.give_back();
                }));
                told.recv().expect("it runs");
            }
            answer
        })
    });
    let lock = take(&store);
    let left = leaving.lock().expect("a thread").take().expect("it was asked");
    left.join().expect("it gives the lock back");
    take(&other);
    std::mem::forget(lock);
}

#[test]
fn an_outage_that_lasts_ends_the_run_and_leaves_the_lock_uneasy() {
    let service = Service::start();
    let ((store, _), other) = two(&service);
    let lock = take(&store);
    let journal = begun(&store);
    let is_out = Arc::new(AtomicBool::new(true));
    let out = Arc::clone(&is_out);
    service.stage().interpose(move |request, next| {
        let is_journal = request.uri().path().contains(".journal/");
        let out = Arc::clone(&out);
        Box::pin(async move {
            if is_journal && out.load(Ordering::Relaxed) {
                let mut busy = Response::new(axum::body::Body::empty());
                *busy.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return busy;
            }
            next.run(request).await
        })
    });
    let refused = journal.append(&forgot("a"), Durability::Synced).expect_err("no answer");
    assert!(matches!(refused, StateError::Io { .. }), "{refused}");
    drop((journal, lock));
    is_out.store(false, Ordering::Relaxed);
    // What was sent may still arrive: whoever comes next writes the state anew before anything else.
    let _lock = take(&other);
    begun(&other).finish().expect("finishes");
    assert_eq!(serial(&other), 1);
}

#[test]
fn a_journal_with_a_gap_is_refused_and_long_ones_come_whole() {
    let service = Service::start();
    let ((store, _), other) = two(&service);
    let lock = take(&store);
    let journal = begun(&store);
    // More than one page of a listing.
    for number in 0..1_100 {
        journal.append(&forgot(&format!("r{number}")), Durability::Synced).expect("appends");
    }
    let lines = other.read_journal(0).expect("reads").expect("a journal");
    let lines = String::from_utf8(lines).expect("text");
    assert_eq!(lines.lines().count(), 1_101);
    assert!(lines.lines().last().expect("a line").contains("r1099"));
    let bucket = service.stage().bucket();
    let piece = "s.json.journal/000000000000-00000007";
    service.runtime.block_on(bucket.delete(piece)).expect("deletes");
    let refused = recover(other.as_ref()).expect_err("a gap").to_string();
    assert!(
        refused.ends_with("its piece 7 of 1100 is gone, which continues serial 0"),
        "{refused}"
    );
    drop(lock);
}

/// An append waits within a task; the others go on.
#[test]
fn waiting_within_tasks_stops_no_others() {
    let service = Service::start();
    let ((store, _), _) = two(&service);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    service.stage().interpose(move |request, next| {
        let (is_held, held) = (request.uri().path().contains(".journal/00"), Arc::clone(&held));
        Box::pin(async move {
            if is_held {
                held.acquire().await.expect("open").forget();
            }
            next.run(request).await
        })
    });
    let _lock = take(&store);
    gate.add_permits(1);
    let journal = begun(&store);
    runtime.block_on(async {
        let appends = ["a", "b"].map(|name| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(&forgot(name), Durability::Synced) })
        });
        // The only thread of this runtime is waiting by now, twice over; it opens the gate nevertheless.
        tokio::spawn(async move { gate.add_permits(2) }).await.expect("it goes on");
        for append in appends {
            append.await.expect("no panic").expect("appends");
        }
    });
}
