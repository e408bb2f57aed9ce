//! The stage of these tests: a sandbox, and the engine's side of the contract in a few lines.

#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pgferry_engine::address::Address;
use pgferry_engine::cx::{Cx, Notes, SystemClock, World, no_rereading};
use pgferry_engine::event::{Event, Sink};
use pgferry_engine::fault::Fault;
use pgferry_engine::resource::{AnyResource, Change, Done, Intent, Provider, Remembered, Verb};
use pgferry_engine::tree::{Handle, Tree};
use pgferry_sandbox::{Options, Sandbox};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub struct Journal(Mutex<BTreeMap<String, Json>>);

impl Journal {
    pub fn of(&self, address: &str) -> Json {
        self.0.lock().unwrap().get(address).cloned().unwrap_or(Json::Null)
    }
}

impl Notes for Journal {
    fn note(&self, address: &Address, note: Json) -> Result<(), Fault> {
        let mut all = self.0.lock().unwrap();
        let known = all.entry(address.to_string()).or_insert_with(|| json!({}));
        for (key, value) in note.as_object().unwrap() {
            known[key] = value.clone();
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Sink for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(serde_json::to_string(&event).unwrap());
    }
}

pub struct Stage {
    pub sandbox: Sandbox,
    pub journal: Arc<Journal>,
    pub heard: Arc<Heard>,
    pub cancel: Mutex<CancellationToken>,
    pub intents: Arc<Mutex<BTreeMap<String, Intent>>>,
    env: BTreeMap<String, String>,
    types: Vec<Arc<dyn AnyResource>>,
    _dir: tempfile::TempDir,
}

impl Stage {
    pub async fn set(providers: Vec<Provider>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            megabytes: 4,
            provision_seconds: 0.5,
            key_delay_ms: 300,
            ..Options::default()
        };
        let sandbox = Sandbox::start(&dir.path().join("sandbox"), &options).await.unwrap();
        let env: BTreeMap<String, String> = sandbox
            .environment()
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .chain([("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())])
            .collect();
        let types = providers
            .iter()
            .flat_map(|provider| (provider.connect)(&Tree::Map(Default::default()), &env).unwrap())
            .collect();
        Self {
            sandbox,
            journal: Arc::default(),
            heard: Arc::default(),
            cancel: Mutex::default(),
            intents: Arc::default(),
            env,
            types,
            _dir: dir,
        }
    }

    pub fn resource(&self, name: &str) -> Arc<dyn AnyResource> {
        self.types.iter().find(|it| it.type_name() == name).unwrap().clone()
    }

    pub fn cx(&self, address: &str) -> Cx {
        let intents = Arc::clone(&self.intents);
        let world = World {
            clock: Arc::new(SystemClock),
            sink: self.heard.clone(),
            notes: self.journal.clone(),
            hook: None,
            cancel: self.cancel.lock().unwrap().clone(),
            env: Arc::new(self.env.clone()),
            base: "/".into(),
            lineage: "0123456789abcdef".into(),
            migration: "m".into(),
            run: "r".into(),
            remembered: Arc::new(|_, _| Vec::new()),
            intent: Arc::new(move |address| intents.lock().unwrap().get(address.as_str()).cloned()),
            reread: no_rereading(),
        };
        Cx::new(world, Address::new(address), "creating")
    }

    pub fn intent(&self, address: &str, verb: Verb, want: &Tree) -> Intent {
        Intent {
            verb,
            inputs: want.stored(),
            at: self.cx(address).now(),
            notes: self.journal.of(address),
            before: None,
        }
    }

    pub async fn act(
        &self,
        type_name: &str,
        address: &str,
        verb: Verb,
        want: Tree,
        more: More,
    ) -> Result<Done<Tree>, Fault> {
        let More { before, prior, confirmed } = more;
        let change = Change { verb, want, before, fields: Vec::new(), prior, confirmed };
        self.resource(type_name).act(&self.cx(address), change).await
    }

    /// What the preflight finds, as codes; `None`: not known yet.
    pub async fn findings(
        &self,
        type_name: &str,
        address: &str,
        want: &Tree,
        remembered: Option<&Remembered>,
    ) -> Option<Vec<String>> {
        let resource = self.resource(type_name);
        let facts = resource.inspect(&self.cx(address), want, remembered).await.unwrap()?;
        Some(resource.judge(want, &facts, &[]).into_iter().map(|finding| finding.code).collect())
    }

    pub async fn faults(&self, switches: Json) {
        let url = format!("{}/sandbox/faults", self.env["HEROKU_HOST"]);
        let answer = reqwest::Client::new()
            .post(url)
            .bearer_auth(&self.env["HEROKU_API_KEY"])
            .json(&switches)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    pub async fn remains(&self) -> Json {
        self.heroku("/sandbox/state").await
    }

    pub async fn heroku(&self, path: &str) -> Json {
        let url = format!("{}{path}", self.env["HEROKU_HOST"]);
        let request = reqwest::Client::new().get(url).bearer_auth(&self.env["HEROKU_API_KEY"]);
        let request = request.header("accept", "application/vnd.heroku+json; version=3");
        request.send().await.unwrap().json().await.unwrap()
    }

    pub async fn patch(&self, path: &str, body: &Json) {
        let url = format!("{}{path}", self.env["HEROKU_HOST"]);
        let request = reqwest::Client::new().patch(url).bearer_auth(&self.env["HEROKU_API_KEY"]);
        let request = request.header("accept", "application/vnd.heroku+json; version=3").json(body);
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// Nothing that was heard or noted holds a secret.
    pub fn kept_secrets(&self) {
        let mut all = self.heard.0.lock().unwrap().join("\n");
        all.push_str(&serde_json::to_string(&*self.journal.0.lock().unwrap()).unwrap());
        for word in ["X-Amz-Signature", "AWS_SECRET", "postgres://"] {
            assert!(!all.contains(word), "{word} in {all}");
        }
        for name in ["LINODE_TOKEN", "HEROKU_API_KEY", "AWS_SECRET_ACCESS_KEY"] {
            assert!(!all.contains(&self.env[name]), "{name}");
        }
    }
}

#[derive(Default)]
pub struct More {
    pub before: Option<Remembered>,
    pub prior: Option<Intent>,
    pub confirmed: Vec<(String, String)>,
}

pub fn want(json: Json) -> Tree {
    Tree::from_json(&json)
}

/// A field that holds a whole resource.
pub fn with(mut want: Tree, field: &str, value: Tree) -> Tree {
    if let Tree::Map(map) = &mut want {
        map.insert(field.to_owned(), value);
    }
    want
}

pub fn whole(address: &str, id: &str, attrs: &Tree) -> Tree {
    let Tree::Map(attrs) = attrs.clone() else { panic!("attributes") };
    Tree::Resource(std::sync::Arc::new(Handle {
        address: Address::new(address),
        id: Some(id.to_owned()),
        attrs,
    }))
}

pub fn remembered(done: &Done<Tree>, inputs: &Tree) -> Remembered {
    Remembered {
        id: done.id.clone(),
        inputs: inputs.stored(),
        attrs: done.attrs.stored(),
        memory: done.memory.clone().into(),
    }
}
