//! A provider in memory: a small cloud with apps, databases, windows and keys, that can fail or die at each effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indexmap::IndexMap;
use pgferry_engine::address::Address;
use pgferry_engine::apply::{Applying, Outcome, apply};
use pgferry_engine::cx::{Clock, Cx, NoNotes, SystemClock, World, no_rereading};
use pgferry_engine::diag::Span;
use pgferry_engine::event::Silent;
use pgferry_engine::fault::{Class, Fault};
use pgferry_engine::graph::Graph;
use pgferry_engine::info::{Catalog, Kind, ProviderInfo, Traits};
use pgferry_engine::plan::{Input, Options, Plan, check};
use pgferry_engine::reference::Endpoint;
use pgferry_engine::refresh::{Resources, refresh};
use pgferry_engine::resource::{Change, Done, Intent, Live, Remembered, Resource, Settled, info};
use pgferry_engine::secret::Secret;
use pgferry_engine::spec::{Block, Lifecycle, OnExists, Spec, Timeouts};
use pgferry_engine::state::State;
use pgferry_engine::state::journal::{Journal, Watch, recover};
use pgferry_engine::state::{StateError, file::StateFile};
use pgferry_engine::template::{Reference, Step, Template};
use pgferry_engine::tree::Tree;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

mod endings;
mod light;
mod lookup;
mod mover;
mod scopes;
mod staging;
mod value;

use light::Light;
use lookup::Lookup;
use mover::Mover;
use scopes::{Freeze, Key, Window};

/// What exists in the small cloud, and everything that was done to it.
#[derive(Default)]
pub(crate) struct Cloud {
    pub(crate) things: BTreeMap<String, BTreeMap<String, Json>>,
    pub(crate) log: Vec<String>,
    pub(crate) open: BTreeSet<String>,
    /// Addresses whose next act fails.
    pub(crate) failing: BTreeSet<String>,
    /// Addresses whose next act does not end by itself; whether it stops when it is told to.
    pub(crate) hanging: BTreeMap<String, bool>,
    /// Addresses whose act goes on elsewhere when told to stop.
    pub(crate) running: BTreeMap<String, bool>,
}

pub(crate) type Shared = Arc<Mutex<Cloud>>;

pub(crate) fn cloud() -> Shared {
    let databases = BTreeMap::from([("prod".to_owned(), json!({"size": 1}))]);
    let things = BTreeMap::from([("db".to_owned(), databases)]);
    Arc::new(Mutex::new(Cloud { things, ..Cloud::default() }))
}

pub(crate) struct Thing(Shared);
pub(crate) struct Job(Shared);

#[derive(Deserialize, JsonSchema)]
pub(crate) struct ThingSpec {
    #[schemars(extend("x-change" = "identity"))]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) size: Option<u64>,
    #[serde(default)]
    pub(crate) owner: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ThingAttrs {
    name: String,
    id: String,
    url: Secret,
}

impl Thing {
    fn live(name: &str, json: &Json) -> Live<ThingAttrs> {
        let mut fields = IndexMap::new();
        for key in ["size", "owner"] {
            if let Some(value) = json.get(key).filter(|value| !value.is_null()) {
                fields.insert(key.to_owned(), value.clone());
            }
        }
        Live { id: format!("id-{name}"), attrs: Self::attrs(name), fields }
    }
    fn attrs(name: &str) -> ThingAttrs {
        ThingAttrs {
            name: name.to_owned(),
            id: format!("id-{name}"),
            url: Secret::new(format!("secret-url-of-{name}")),
        }
    }
}

impl Resource for Thing {
    const TYPE: &'static str = "mem.thing";
    const KIND: Kind = Kind::Managed;
    const TRAITS: Traits = Traits { guarded: true, ..Traits::DEFAULT };
    type Spec = ThingSpec;
    type Attrs = ThingAttrs;
    async fn find(&self, cx: &Cx, want: &Tree) -> Result<Option<Live<ThingAttrs>>, Fault> {
        self.read(cx, want, None).await
    }
    async fn read(
        &self,
        _: &Cx,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Result<Option<Live<ThingAttrs>>, Fault> {
        let known = remembered.and_then(|remembered| remembered.attrs.get("name")?.as_text());
        let name = known.or(want.get("name").and_then(Tree::as_text)).unwrap_or_default();
        let cloud = self.0.lock().unwrap();
        Ok(cloud.things.get("thing").and_then(|t| t.get(name)).map(|json| Self::live(name, json)))
    }
    async fn act(&self, cx: &Cx, change: Change<ThingSpec>) -> Result<Done<ThingAttrs>, Fault> {
        let name = change.want.name;
        fails(&self.0, cx)?;
        hangs(&self.0, cx, cx.address.as_str()).await?;
        let mut cloud = self.0.lock().unwrap();
        let made = json!({"size": change.want.size, "owner": change.want.owner});
        let before = cloud.things.entry("thing".into()).or_default().insert(name.clone(), made);
        let verb = if before.is_none() { "make" } else { "change" };
        cloud.log.push(format!("{verb} {}", cx.address));
        Ok(Done { id: format!("id-{name}"), attrs: Self::attrs(&name), memory: Json::Null })
    }
    async fn delete(&self, cx: &Cx, remembered: &Remembered) -> Result<(), Fault> {
        hangs(&self.0, cx, &format!("delete {}", cx.address)).await?;
        let name =
            remembered.attrs.get("name").and_then(Tree::as_text).unwrap_or_default().to_owned();
        let mut cloud = self.0.lock().unwrap();
        cloud.log.push(format!("delete {}", cx.address));
        cloud.things.entry("thing".into()).or_default().remove(&name);
        Ok(())
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct JobSpec {
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) input: Option<Json>,
    #[serde(default)]
    #[allow(dead_code)]
    pub(crate) when: Option<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "decoding it is what needs the secrets")]
    pub(crate) from: Option<Endpoint>,
    #[serde(default)]
    #[allow(dead_code, reason = "decoding it is what needs the secrets")]
    pub(crate) into: Option<Endpoint>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct JobAttrs {
    times: u64,
}

impl Resource for Job {
    const TYPE: &'static str = "mem.job";
    const KIND: Kind = Kind::Run;
    type Spec = JobSpec;
    type Attrs = JobAttrs;
    async fn act(&self, cx: &Cx, change: Change<JobSpec>) -> Result<Done<JobAttrs>, Fault> {
        let address = cx.address.to_string();
        let taken_up = change.prior.as_ref().is_some_and(|prior| prior.notes["started"] == true)
            && self.0.lock().unwrap().running.contains_key(&address);
        if !taken_up {
            fails(&self.0, cx)?;
            cx.note(json!({"started": true}))?;
            self.0.lock().unwrap().log.push(format!("run {address}"));
            hangs(&self.0, cx, &address).await?;
        }
        let finished = self.0.lock().unwrap().running.get(&address).copied();
        if finished == Some(false) {
            return Err(Fault::new(Class::StillRunning, format!("`{address}` goes on elsewhere")));
        }
        let mut cloud = self.0.lock().unwrap();
        cloud.running.remove(&address);
        let jobs = cloud.things.entry("job".into()).or_default();
        let times = jobs.get(&address).and_then(Json::as_u64).unwrap_or(0) + 1;
        jobs.insert(address, json!(times));
        Ok(Done { id: format!("{times}"), attrs: JobAttrs { times }, memory: Json::Null })
    }
    async fn settle(&self, cx: &Cx, intent: &Intent) -> Result<Settled<JobAttrs>, Fault> {
        let address = cx.address.to_string();
        Ok(match self.0.lock().unwrap().running.get(&address) {
            Some(false) => Settled::Running("the job".to_owned()),
            Some(true) => Settled::Done(Done {
                id: "1".into(),
                attrs: JobAttrs { times: 1 },
                memory: Json::Null,
            }),
            None if intent.notes["started"] == true => Settled::Not("it was begun".to_owned()),
            None => Settled::Not("it was not begun".to_owned()),
        })
    }
}

/// An act that takes for ever: it stops when it is told to, or not even then.
async fn hangs(cloud: &Shared, cx: &Cx, what: &str) -> Result<(), Fault> {
    let hanging = cloud.lock().unwrap().hanging.remove(what);
    match hanging {
        None => Ok(()),
        Some(true) => cx.sleep(Duration::from_secs(1_000_000)).await,
        Some(false) => std::future::pending().await,
    }
}

fn fails(cloud: &Shared, cx: &Cx) -> Result<(), Fault> {
    if cloud.lock().unwrap().failing.remove(cx.address.as_str()) {
        return Err(Fault::failed(format!("`{}` was made to fail", cx.address)));
    }
    Ok(())
}

/// A spec with its graph.
pub(crate) struct Project {
    pub(crate) spec: Spec,
    pub(crate) graph: Graph,
    pub(crate) catalog: Catalog,
    pub(crate) cloud: Shared,
    pub(crate) place: StateFile,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) folder: tempfile::TempDir,
}

/// `name: type { field: value, … } after …`, a value `${a.b}` being a reference.
pub(crate) fn block(name: &str, type_name: &str, fields: &[(&str, &str)], after: &[&str]) -> Block {
    let fields = fields.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect();
    Block {
        address: Address::new(name),
        type_name: type_name.to_owned(),
        fields,
        depends_on: after.iter().map(|a| Address::new(*a)).collect(),
        on_remove: None,
        lifecycle: Lifecycle::default().into(),
        on_exists: OnExists::default(),
        renamed_from: None,
        timeouts: Timeouts::default(),
        span: Span::default(),
    }
}

fn value(text: &str) -> Template {
    match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(path) => {
            let mut parts = path.split('.');
            let address = Address::new(parts.next().unwrap_or_default());
            let path = parts.map(|part| Step::Member(part.to_owned())).collect();
            Template::Reference(Reference { address, path, span: Span::default() })
        }
        None => Template::Value(
            serde_json::from_str(text).map_or_else(|_| Tree::text(text), |j| Tree::from_json(&j)),
        ),
    }
}

/// The shape of the first journey.
pub(crate) fn journey() -> Vec<Block> {
    vec![
        block("source", "mem.lookup", &[("name", "prod")], &[]),
        block("bucket", "mem.thing", &[("name", "b")], &[]),
        block("key", "mem.key", &[("name", "k")], &["bucket"]),
        block("app", "mem.thing", &[("name", "a")], &[]),
        block(
            "target",
            "mem.thing",
            &[("name", "t"), ("owner", "${app.name}"), ("size", "1")],
            &[],
        ),
        block("announce", "mem.job", &[], &["target"]),
        block("window", "mem.window", &[("name", "w")], &["announce"]),
        block(
            "dump",
            "mem.job",
            &[("input", "[\"${source}\"]")],
            &["source", "window", "key", "bucket"],
        ),
        block("restore", "mem.job", &[("input", "${target}")], &["dump", "key"]),
        block("settings", "mem.thing", &[("name", "s"), ("owner", "${target.name}")], &["restore"]),
        block("verified", "mem.job", &[("input", "${source.size}")], &["restore", "settings"]),
        block("cutover", "mem.thing", &[("name", "c"), ("owner", "${target.id}")], &["verified"]),
        block("smoke", "mem.job", &[], &["cutover"]),
    ]
}

pub(crate) fn project(blocks: Vec<Block>) -> Project {
    let folder = tempfile::tempdir().unwrap();
    let cloud = cloud();
    let mut project = Project {
        spec: Spec {
            name: "m".into(),
            run: "night-1".into(),
            state: None,
            base: folder.path().to_owned(),
            providers: IndexMap::new(),
            resources: Default::default(),
            outputs: Default::default(),
        },
        graph: Graph::default(),
        catalog: Catalog {
            providers: vec![ProviderInfo {
                name: "mem",
                settings: json!({}),
                types: vec![
                    info::<Lookup>(),
                    info::<Thing>(),
                    info::<Light>(),
                    info::<value::Value>(),
                    info::<Job>(),
                    info::<Mover>(),
                    info::<Window>(),
                    info::<Key>(),
                    info::<Freeze>(),
                    info::<endings::Proof>(),
                    info::<endings::Cutover>(),
                    info::<staging::Bucket>(),
                    info::<staging::Dump>(),
                    info::<staging::Restore>(),
                    info::<staging::Shelf>(),
                    info::<staging::Parcel>(),
                ],
            }],
        },
        place: StateFile::new(folder.path().join("state.json")),
        cloud,
        clock: Arc::new(SystemClock),
        folder,
    };
    project.set(blocks);
    project
}

impl Project {
    pub(crate) fn set(&mut self, blocks: Vec<Block>) {
        let dependencies: BTreeMap<Address, Vec<Address>> = blocks
            .iter()
            .map(|block| {
                let references = block
                    .fields
                    .values()
                    .flat_map(|f| f.references().into_iter().map(|r| r.address.clone()));
                let all: BTreeSet<Address> =
                    references.chain(block.depends_on.iter().cloned()).collect();
                (block.address.clone(), all.into_iter().collect())
            })
            .collect();
        let mut graph = Graph {
            order: Vec::new(),
            dependents: Default::default(),
            dependencies: dependencies.clone().into_iter().collect(),
        };
        for (address, deps) in &dependencies {
            graph.dependents.entry(address.clone()).or_default();
            for dep in deps {
                graph.dependents.entry(dep.clone()).or_default().push(address.clone());
            }
        }
        while graph.order.len() < dependencies.len() {
            let next = dependencies
                .iter()
                .find(|(a, deps)| {
                    !graph.order.contains(a) && deps.iter().all(|d| graph.order.contains(d))
                })
                .map(|(a, _)| a.clone());
            graph.order.push(next.expect("no cycle"));
        }
        self.graph = graph;
        self.spec.resources =
            blocks.into_iter().map(|block| (block.address.clone(), block)).collect();
    }

    pub(crate) fn state(&self) -> State {
        recover(&self.place).unwrap().unwrap_or_else(|| State::new("m", "lineage".into()))
    }

    pub(crate) fn resources(&self) -> Resources {
        let cloud = || Arc::clone(&self.cloud);
        let mut resources = Resources::new();
        resources.insert(Lookup::TYPE.into(), Arc::new(Lookup(cloud())));
        resources.insert(Thing::TYPE.into(), Arc::new(Thing(cloud())));
        resources.insert(Light::TYPE.into(), Arc::new(Light(cloud())));
        resources.insert(value::Value::TYPE.into(), Arc::new(value::Value));
        resources.insert(Job::TYPE.into(), Arc::new(Job(cloud())));
        resources.insert(Mover::TYPE.into(), Arc::new(Mover(cloud())));
        resources.insert(Window::TYPE.into(), Arc::new(Window(cloud())));
        resources.insert(Key::TYPE.into(), Arc::new(Key(cloud())));
        resources.insert(Freeze::TYPE.into(), Arc::new(Freeze(cloud())));
        resources.insert(endings::Proof::TYPE.into(), Arc::new(endings::Proof(cloud())));
        resources.insert(endings::Cutover::TYPE.into(), Arc::new(endings::Cutover(cloud())));
        resources.insert(staging::Bucket::TYPE.into(), Arc::new(staging::Bucket(cloud())));
        resources.insert(staging::Dump::TYPE.into(), Arc::new(staging::Dump(cloud())));
        resources.insert(staging::Restore::TYPE.into(), Arc::new(staging::Restore(cloud())));
        resources.insert(staging::Shelf::TYPE.into(), Arc::new(staging::Shelf(cloud())));
        resources.insert(staging::Parcel::TYPE.into(), Arc::new(staging::Parcel(cloud())));
        resources
    }

    pub(crate) fn world(&self, cancel: CancellationToken) -> World {
        World {
            clock: Arc::clone(&self.clock),
            sink: Arc::new(Silent),
            notes: Arc::new(NoNotes),
            hook: None,
            cancel,
            env: Arc::default(),
            base: self.folder.path().to_owned(),
            lineage: "lineage".into(),
            migration: "m".into(),
            run: self.spec.run.clone(),
            remembered: Arc::new(|_, _| Vec::new()),
            intent: Arc::new(|_| None),
            reread: no_rereading(),
        }
    }

    pub(crate) async fn plan(&self, options: &Options) -> Plan {
        self.planned(options, &self.state()).await.0.plan
    }

    pub(crate) async fn planned(
        &self,
        options: &Options,
        state: &State,
    ) -> (pgferry_engine::plan::Draft, pgferry_engine::plan::Reality) {
        let input = Input {
            spec: &self.spec,
            graph: &self.graph,
            catalog: &self.catalog,
            state,
            options,
            now: self.clock.now(),
        };
        let world = self.world(CancellationToken::new());
        let (draft, reality) = refresh(&input, &self.resources(), &world).await.unwrap();
        assert_eq!(check::violations(&draft.plan, &input), Vec::<String>::new());
        (draft, reality)
    }

    pub(crate) async fn apply(
        &self,
        options: &Options,
        watch: Option<Watch>,
        cancel: CancellationToken,
    ) -> Result<Outcome, StateError> {
        let state = self.state();
        let (draft, reality) = self.planned(options, &state).await;
        let world = self.world(cancel);
        let journal = Journal::begin(Arc::new(self.place.clone()), state, self.clock.now(), watch)?;
        apply(Applying {
            spec: Arc::new(self.spec.clone()),
            graph: Arc::new(self.graph.clone()),
            catalog: Arc::new(self.catalog.clone()),
            plan: draft.plan,
            reality,
            handles: draft.handles,
            resources: self.resources(),
            world,
            journal,
            parallelism: 4,
            confirmed: options.confirmed.clone(),
        })
        .await
    }

    pub(crate) async fn applied(&self) -> Outcome {
        self.apply(&Options::default(), None, CancellationToken::new()).await.unwrap()
    }

    pub(crate) fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.cloud.lock().unwrap().log)
    }

    pub(crate) fn journal_path(&self) -> std::path::PathBuf {
        self.place.beside(".journal")
    }
}

/// `address action` of everything with work.
pub(crate) fn work(plan: &Plan) -> Vec<String> {
    plan.changes
        .values()
        .filter(|change| change.action.is_work())
        .map(|change| format!("{} {:?}", change.address, change.action))
        .collect()
}
