//! A simulated world: a disk that forgets what was not synced, a clock, a small cloud, and the engine between them.
//!
//! Every effect on the disk or in the cloud has a number. The world can be looked at before each of them, as it would
//! be found if the process ended there, and a mishap can be put at any of them.

#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use pgferry_engine::apply::{Applying, Outcome, apply, release};
use pgferry_engine::cx::{Clock, Cx, NoNotes, World as Surroundings};
use pgferry_engine::event::Silent;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::graph::Graph;
use pgferry_engine::info::{Catalog, ProviderInfo};
use pgferry_engine::plan::{Draft, Input, Options, Plan, Reality, check, destroy::destroy};
use pgferry_engine::refresh::refresh;
use pgferry_engine::source::Source;
use pgferry_engine::spec::{Inputs, Spec, load};
use pgferry_engine::state::file::StateFile;
use pgferry_engine::state::journal::{Journal, recover};
use pgferry_engine::state::store::Store;
use pgferry_engine::state::{State, StateError};
use tokio_util::sync::CancellationToken;

pub(crate) mod cloud;
pub(crate) mod disk;
mod lease;
mod runs;
mod scopes;
mod types;

use cloud::Cloud;
use disk::{Files, Loss, SimDisk};
use lease::Leased;

/// What goes wrong at one effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The user presses Ctrl-C just before it.
    Stop,
    /// It does not happen, for good. Of a write to the disk, one half happens.
    Fails,
    /// It does not happen, and may the next time.
    Passes,
    /// It happens, and the answer is lost.
    Lost,
    /// It does not happen, and nobody knows.
    Vanished,
    /// Another run takes the lock just before it.
    Stolen,
}

/// All that is outside the process.
pub(crate) struct Outside {
    pub(crate) files: Files,
    pub(crate) cloud: Cloud,
    pub(crate) now: Timestamp,
    /// Effects so far.
    pub(crate) count: u64,
    pub(crate) mishaps: BTreeMap<u64, Mishap>,
    /// Whose effects there were in the cloud.
    pub(crate) touched: Vec<String>,
    points: Option<Vec<Point>>,
    cancel: CancellationToken,
    /// Whose turn it is; another number means another run.
    holder: Arc<AtomicU64>,
    /// Effects in the cloud of a run that had lost the lock.
    pub(crate) trespasses: Vec<String>,
}

/// The world as it is just before an effect.
#[derive(Clone)]
pub(crate) struct Point {
    /// The effect that did not happen any more.
    pub(crate) next: String,
    pub(crate) files: Files,
    cloud: Cloud,
    now: Timestamp,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Outside>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Outside) -> T) -> T {
        look(&self.lock())
    }

    /// Counts an effect, and says what goes wrong at it.
    fn step(&self, what: &str) -> (MutexGuard<'_, Outside>, Option<Mishap>) {
        let mut outside = self.lock();
        outside.count += 1;
        let point = outside.point(what);
        if let Some(points) = &mut outside.points {
            points.push(point);
        }
        let mishap = outside.mishaps.get(&outside.count).copied();
        match mishap {
            Some(Mishap::Stop) => outside.cancel.cancel(),
            Some(Mishap::Stolen) => {
                outside.holder.fetch_add(1, Ordering::SeqCst);
            }
            _ => {}
        }
        let passed = |mishap: &Mishap| !matches!(mishap, Mishap::Stop | Mishap::Stolen);
        (outside, mishap.filter(passed))
    }

    /// An effect on the disk; `does` is told whether there is room for half of it only.
    fn disk<T>(
        &self,
        what: &str,
        does: impl FnOnce(&mut Files, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let (mut outside, mishap) = self.step(what);
        if mishap.is_some() && !what.starts_with("write") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        does(&mut outside.files, mishap.is_some())
    }

    /// An effect in the cloud.
    fn call<T>(
        &self,
        cx: &Cx,
        what: &str,
        does: impl FnOnce(&mut Cloud, Timestamp) -> T,
    ) -> Result<T, Fault> {
        let (outside, mishap) = self.step(&format!("{what} {}", cx.address));
        let is_ours = outside.holder.load(Ordering::SeqCst) == 0;
        drop(outside);
        cx.effect(what)?;
        let mut outside = self.lock();
        if !is_ours {
            outside.trespasses.push(format!("{what} {}", cx.address));
        }
        let fault = |class| Fault::new(class, format!("could not {what} `{}`", cx.address));
        match mishap {
            Some(Mishap::Fails) => return Err(fault(Class::Failed)),
            Some(Mishap::Passes) => return Err(fault(Class::Retry { after: None })),
            Some(Mishap::Vanished) => return Err(fault(Class::Unknown)),
            _ => {}
        }
        outside.touched.push(cx.address.to_string());
        let now = outside.now;
        outside.cloud.passes(now);
        let done = does(&mut outside.cloud, now);
        if mishap == Some(Mishap::Lost) { Err(fault(Class::Unknown)) } else { Ok(done) }
    }
}

impl Outside {
    fn point(&self, next: &str) -> Point {
        let (files, cloud) = (self.files.clone(), self.cloud.clone());
        Point { next: next.to_owned(), files, cloud, now: self.now }
    }
}

impl Clock for Shared {
    fn now(&self) -> Timestamp {
        self.lock().now
    }
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let world = self.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut outside = world.lock();
            let now = outside.now.saturating_add(time).unwrap();
            outside.now = now;
            outside.cloud.elapses(now);
        })
    }
}

/// The world with a spec.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) spec: Arc<Spec>,
    pub(crate) graph: Arc<Graph>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) place: StateFile,
}

/// How an operation ended that the disk let end.
#[derive(Debug)]
pub(crate) enum Ran {
    /// The plan stops it: codes and messages.
    Refused(Vec<String>),
    Ended(Box<Outcome>),
}

impl Ran {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Ended(outcome) if outcome.is_success())
    }
}

impl World {
    pub(crate) fn new(resources: &str) -> Self {
        let begun: Timestamp = "2026-11-22T20:00:00Z".parse().unwrap();
        Self::found(resources, "night-1", Files::default(), Cloud::default(), begun)
    }

    fn found(resources: &str, run: &str, files: Files, cloud: Cloud, now: Timestamp) -> Self {
        let outside = Outside {
            files,
            cloud,
            now,
            count: 0,
            mishaps: BTreeMap::new(),
            touched: Vec::new(),
            points: None,
            cancel: CancellationToken::new(),
            holder: Arc::default(),
            trespasses: Vec::new(),
        };
        let shared = Shared(Arc::new(Mutex::new(outside)));
        let types = types::types();
        let provider = ProviderInfo { name: "sim", settings: serde_json::json!({}), types };
        let catalog = Arc::new(Catalog { providers: vec![provider] });
        let (spec, graph) = read(resources, run, &catalog);
        let place = StateFile::on(Arc::new(SimDisk(shared.clone())), "sim/state.json");
        Self { shared, spec, graph, catalog, place }
    }

    /// A cutover to anything but all that was written ends the test.
    pub(crate) fn strict(&self) {
        self.shared.lock().cloud.strict = true;
    }

    /// Another text of the spec from here on.
    pub(crate) fn says(&mut self, resources: &str, run: &str) {
        (self.spec, self.graph) = read(resources, run, &self.catalog);
    }

    /// The same world, found by a process that starts `gap` after the former one ended at `point`.
    pub(crate) fn again(&self, point: &Point, loss: Loss, gap: Duration) -> Self {
        let now = point.now.saturating_add(gap).unwrap();
        let mut cloud = point.cloud.clone();
        cloud.passes(now);
        let outside = Outside {
            files: point.files.after(loss),
            cloud,
            now,
            count: 0,
            mishaps: BTreeMap::new(),
            touched: Vec::new(),
            points: None,
            cancel: CancellationToken::new(),
            holder: Arc::default(),
            trespasses: Vec::new(),
        };
        let shared = Shared(Arc::new(Mutex::new(outside)));
        let place = StateFile::on(Arc::new(SimDisk(shared.clone())), "sim/state.json");
        Self { shared, place, ..self.clone() }
    }

    /// The world as it is now.
    pub(crate) fn point(&self) -> Point {
        self.shared.look(|outside| outside.point("nothing"))
    }

    /// Looks at the world before each effect from here on.
    pub(crate) fn watch(&self) {
        self.shared.lock().points = Some(Vec::new());
    }

    /// What was seen, with the world as it is now at the end.
    pub(crate) fn seen(&self) -> Vec<Point> {
        let mut points = self.shared.lock().points.take().unwrap_or_default();
        points.push(self.point());
        points
    }

    /// Puts mishaps at effects, counted from here on.
    pub(crate) fn mishaps(&self, at: impl IntoIterator<Item = (u64, Mishap)>) {
        let mut outside = self.shared.lock();
        outside.count = 0;
        outside.touched.clear();
        outside.mishaps = at.into_iter().collect();
        outside.cancel = CancellationToken::new();
    }

    pub(crate) fn count(&self) -> u64 {
        self.shared.look(|outside| outside.count)
    }

    pub(crate) fn cloud<T>(&self, look: impl FnOnce(&Cloud) -> T) -> T {
        self.shared.look(|outside| look(&outside.cloud))
    }

    /// What is remembered; that it can be read is part of every test.
    pub(crate) fn state(&self) -> State {
        let known = recover(&self.place).unwrap_or_else(|cause| {
            panic!("the state does not load: {cause}; {:?}", self.shared.look(|o| o.files.names()))
        });
        known.unwrap_or_else(|| State::new("m", "lineage".into()))
    }

    fn surroundings(&self, state: &State) -> Surroundings {
        let (known, graph) = (Arc::new(state.clone()), Arc::clone(&self.graph));
        let intents = Arc::clone(&known);
        Surroundings {
            clock: Arc::new(self.shared.clone()),
            sink: Arc::new(Silent),
            notes: Arc::new(NoNotes),
            hook: None,
            cancel: self.shared.look(|outside| outside.cancel.clone()),
            env: Arc::default(),
            base: "sim".into(),
            lineage: state.lineage.clone(),
            migration: self.spec.name.clone(),
            run: self.spec.run.clone(),
            remembered: Arc::new(move |address, kind| known.recall(&graph, address, kind)),
            intent: Arc::new(move |address| intents.begun(address).cloned()),
            reread: pgferry_engine::cx::no_rereading(),
        }
    }

    fn input<'a>(&'a self, state: &'a State, options: &'a Options) -> Input<'a> {
        let Self { spec, graph, catalog, .. } = self;
        Input { spec, graph, catalog, state, options, now: self.shared.now() }
    }

    /// What the checker says of a plan for this world.
    pub(crate) fn violations(&self, plan: &Plan, options: &Options) -> Vec<String> {
        check::violations(plan, &self.input(&self.state(), options))
    }

    /// A plan to destroy.
    pub(crate) fn destruction(&self, options: &Options) -> Plan {
        destroy(&self.input(&self.state(), options))
    }

    async fn planned(&self, state: &State, options: &Options) -> (Draft, Reality) {
        let (input, world) = (self.input(state, options), self.surroundings(state));
        // A Ctrl-C before the approval ends the program, which is nothing to test here.
        let world = Surroundings { cancel: CancellationToken::new(), ..world };
        let planned = refresh(&input, &types::connect(&self.shared), &world).await.unwrap();
        assert_eq!(check::violations(&planned.0.plan, &input), Vec::<String>::new());
        planned
    }

    pub(crate) async fn plan(&self, options: &Options) -> Plan {
        self.planned(&self.state(), options).await.0.plan
    }

    /// As the command line does it: plans, stops at errors, applies if there is anything to do.
    pub(crate) async fn apply(&self, options: &Options) -> Result<Ran, StateError> {
        let state = self.state();
        let (draft, reality) = self.planned(&state, options).await;
        self.carry_out(state, draft, reality, options).await
    }

    pub(crate) async fn destroy(&self, options: &Options) -> Result<Ran, StateError> {
        let state = self.state();
        let input = self.input(&state, options);
        let plan = destroy(&input);
        assert_eq!(check::violations(&plan, &input), Vec::<String>::new());
        let draft = Draft { plan, handles: Default::default(), questions: Vec::new() };
        self.carry_out(state.clone(), draft, Reality::new(), options).await
    }

    pub(crate) async fn release(&self) -> Result<Ran, StateError> {
        let state = self.state();
        if state.open_scopes().next().is_none() {
            return Ok(Ran::Ended(Box::default()));
        }
        let (world, journal) = (self.surroundings(&state), self.begin(state.clone())?);
        let Self { spec, graph, catalog, shared, .. } = self;
        let resources = types::connect(shared);
        let released = release(spec, graph, catalog, &resources, &world, journal).await?;
        released.recorded.map(|()| ended(released.outcome))
    }

    fn begin(&self, state: State) -> Result<Journal, StateError> {
        let holder = self.shared.look(|outside| Arc::clone(&outside.holder));
        let place = Leased { file: self.place.clone(), holder };
        Journal::begin(Arc::new(place), state, self.shared.now(), None)
    }

    async fn carry_out(
        &self,
        state: State,
        draft: Draft,
        reality: Reality,
        options: &Options,
    ) -> Result<Ran, StateError> {
        let refused = draft.plan.errors();
        let refused: Vec<String> = refused
            .map(|l| format!("{} {}: {}", l.finding.code, l.address, l.finding.message))
            .collect();
        if !refused.is_empty() {
            return Ok(Ran::Refused(refused));
        }
        if !draft.plan.has_changes() {
            if self.place.read_journal(state.serial)?.is_some() {
                self.begin(state)?.finish()?;
            }
            return Ok(Ran::Ended(Box::default()));
        }
        let (world, plan) = (self.surroundings(&state), draft.plan.clone());
        let applying = Applying {
            spec: Arc::clone(&self.spec),
            graph: Arc::clone(&self.graph),
            catalog: Arc::clone(&self.catalog),
            plan: draft.plan,
            reality,
            handles: draft.handles,
            resources: types::connect(&self.shared),
            world,
            journal: self.begin(state)?,
            parallelism: 4,
            confirmed: options.confirmed.clone(),
        };
        self.shared.lock().touched.clear();
        let outcome = apply(applying).await?;
        for touched in self.shared.look(|outside| outside.touched.clone()) {
            let address = touched.parse().unwrap();
            let acts = plan.changes.get(&address).is_some_and(|change| change.action.is_work());
            assert!(
                acts || plan.scopes.contains_key(&address),
                "`{address}` was not to be touched"
            );
        }
        for (address, action) in &outcome.done {
            let shown = plan.changes.get(address).map(|change| change.action);
            assert_eq!(shown, Some(*action), "`{address}` was not planned so");
        }
        Ok(ended(outcome))
    }
}

fn ended(outcome: Outcome) -> Ran {
    Ran::Ended(Box::new(outcome))
}

fn read(resources: &str, run: &str, catalog: &Catalog) -> (Arc<Spec>, Arc<Graph>) {
    let text = format!("pgferry: 1\nname: m\nrun: {run}\nresources:\n{resources}");
    let source = Source::new("spec.yaml", text);
    let inputs = Inputs { base: "sim".into(), ..Inputs::default() };
    let loaded = load(&source, &inputs, catalog).unwrap_or_else(|found| {
        panic!("{}", found.iter().map(|one| one.render(&source)).collect::<String>())
    });
    (Arc::new(loaded.spec), Arc::new(loaded.graph))
}

/// Runs a future on a runtime of its own, so that its order is always the same.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
