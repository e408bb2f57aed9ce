//! A spec with everything around it: read, connected, its state found and locked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use pgferry_engine::address::Address;
use pgferry_engine::cx::{Clock, NoNotes, SystemClock, World, no_rereading};
use pgferry_engine::diag::Diagnostic;
use pgferry_engine::event::Sink;
use pgferry_engine::graph::Graph;
use pgferry_engine::info::Catalog;
use pgferry_engine::plan::{self, Draft, Options, Reality, Refresh};
use pgferry_engine::refresh::{Resources, refresh};
use pgferry_engine::secret::written_in_clear;
use pgferry_engine::source::Source;
use pgferry_engine::spec::{self, Inputs, Spec};
use pgferry_engine::state::State;
use pgferry_engine::state::journal;
use pgferry_engine::state::store::{Lock, Store};
use pgferry_engine::tree::Tree;
use pgferry_objects::state::is_remote;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Common, Mode, Planning, pairs};
use crate::catalog::{catalog, providers};
use crate::environment::{environment, variables};
use crate::outcome::Stop;
use crate::place;
use crate::saved::Saved;
use crate::view;

/// A spec that holds no mistakes.
pub(crate) struct Project {
    pub(crate) spec: Arc<Spec>,
    pub(crate) graph: Arc<Graph>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) env: Arc<BTreeMap<String, String>>,
    pub(crate) source: Source,
    /// As given, not yet typed.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) store: Arc<dyn Store>,
}

impl Project {
    /// Reads and checks the spec, offline.
    pub(crate) fn open(common: &Common) -> Result<Self, Stop> {
        let path = &common.file;
        let bytes = std::fs::read(path).map_err(|cause| {
            Stop::because(format!("reading the spec `{}`: {cause}", path.display()))
                .help("write one with `pgferry init`, or name it with `--file`")
        })?;
        let name = path.display().to_string();
        let source = Source::from_bytes(name, bytes).map_err(|spoiled| Stop::Spec {
            source: Box::new(spoiled.0),
            mistakes: vec![spoiled.1],
            json: common.json,
        })?;
        let env = environment();
        let variables = variables(common, path, &env)?;
        Self::load(common, path, source, variables, env)
    }

    /// The spec that a saved plan carries, with its variables. Those of the environment only fill gaps.
    pub(crate) fn reopen(common: &Common, saved: &Saved) -> Result<Self, Stop> {
        let env = environment();
        let mut values = variables(common, &saved.file, &env)?;
        values.extend(saved.variables.clone());
        let source = Source::new(saved.file.display().to_string(), saved.spec.clone());
        Self::load(common, &saved.file, source, values, env)
    }

    fn load(
        common: &Common,
        path: &Path,
        source: Source,
        variables: BTreeMap<String, String>,
        env: BTreeMap<String, String>,
    ) -> Result<Self, Stop> {
        let base =
            folder(path).with_context(|| format!("finding the folder of `{}`", source.name))?;
        let inputs = Inputs { variables: variables.clone(), env: env.clone(), base: base.clone() };
        let catalog = catalog();
        written_in_clear(&source.text);
        let loaded = spec::load(&source, &inputs, &catalog).map_err(|mistakes| Stop::Spec {
            source: Box::new(source.clone()),
            mistakes,
            json: common.json,
        })?;
        let env = Arc::new(env);
        let store = place::store(common, loaded.spec.state.as_deref(), &base, &env)?;
        Ok(Self {
            spec: Arc::new(loaded.spec),
            graph: Arc::new(loaded.graph),
            catalog: Arc::new(catalog),
            env,
            source,
            variables,
            warnings: loaded.warnings,
            store,
        })
    }

    /// The state with what a crashed run left folded in, or a new one. Changes no file.
    ///
    /// Shared, because it may be large, and the planning looks into it from several sides.
    pub(crate) fn state(&self) -> Result<Arc<State>, Stop> {
        match self.known_state()? {
            Some(state) => Ok(state),
            None => Ok(Arc::new(State::new(&self.spec.name, lineage()?))),
        }
    }

    /// The same; `None` where there is neither a state nor a journal.
    pub(crate) fn known_state(&self) -> Result<Option<Arc<State>>, Stop> {
        Ok(journal::recover(self.store.as_ref())?.map(Arc::new))
    }

    /// Warns of a state that goes with the machine: the next job of a CI runner starts without it.
    pub(crate) fn warn_if_not_shared(&self) {
        let in_ci = self.env.get("CI").is_some_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
        let place = self.store.name();
        if !in_ci || is_remote(&place) {
            return;
        }
        view::warning(
            &format!(
                "`CI` is set, and the state is the local file `{place}`: a job that does not find it makes everything a second time"
            ),
            Some(
                "write `state: s3://BUCKET/KEY` in the spec, a private bucket that all jobs reach; `pgferry state migrate s3://BUCKET/KEY` moves this one there",
            ),
        );
    }

    /// Takes the lock for `purpose`.
    pub(crate) fn lock(&self, purpose: &str, patience: Duration) -> Result<Box<dyn Lock>, Stop> {
        place::take(&self.store, purpose, patience)
    }

    /// Connects every provider that the spec or the state uses. Makes no request.
    pub(crate) fn connect(&self, state: &State) -> Result<Resources, Stop> {
        let used = |name: &str| {
            let prefix = format!("{name}.");
            self.spec.resources.values().any(|block| block.type_name.starts_with(&prefix))
                || state.resources.values().any(|entry| entry.type_name.starts_with(&prefix))
                || state.open_scopes().any(|(_, scope)| scope.type_name.starts_with(&prefix))
        };
        let mut resources = Resources::new();
        for provider in providers() {
            if !used(provider.info.name) {
                continue;
            }
            let nothing = Tree::Map(Default::default());
            let settings = self.spec.providers.get(provider.info.name).unwrap_or(&nothing);
            for resource in (provider.connect)(settings, &self.env)? {
                resources.insert(resource.type_name().to_owned(), resource);
            }
        }
        Ok(resources)
    }

    /// The world that resources see.
    pub(crate) fn world(
        &self,
        state: &Arc<State>,
        sink: Arc<dyn Sink>,
        cancel: CancellationToken,
    ) -> World {
        let world = World {
            clock: Arc::new(SystemClock),
            sink,
            notes: Arc::new(NoNotes),
            hook: None,
            cancel,
            env: Arc::clone(&self.env),
            base: self.spec.base.clone(),
            lineage: state.lineage.clone(),
            migration: self.spec.name.clone(),
            run: self.spec.run.clone(),
            intent: Arc::new(|_| None),
            reread: no_rereading(),
            remembered: Arc::new(|_, _| Vec::new()),
        };
        world.recalling(state, &self.graph)
    }

    /// Looks at reality and plans.
    pub(crate) async fn plan(
        &self,
        state: &State,
        options: &Options,
        resources: &Resources,
        world: &World,
    ) -> Result<(Draft, Reality), Stop> {
        let input = self.input(state, options);
        let (draft, reality) = refresh(&input, resources, world).await?;
        let broken = plan::check::violations(&draft.plan, &input);
        if !broken.is_empty() {
            return Err(Stop::because(format!("the plan is not sound: {}", broken.join("; ")))
                .help(
                    "this is a bug in pgferry; nothing was changed; please report it with the spec",
                ));
        }
        Ok((draft, reality))
    }

    /// What a plan follows from.
    pub(crate) fn input<'a>(&'a self, state: &'a State, options: &'a Options) -> plan::Input<'a> {
        plan::Input {
            spec: &self.spec,
            graph: &self.graph,
            catalog: &self.catalog,
            state,
            options,
            now: SystemClock.now(),
        }
    }

    /// The plan's options as typed; addresses that are nowhere are refused.
    pub(crate) fn options(
        &self,
        planning: &Planning,
        mode: &Mode,
        state: &State,
    ) -> Result<Options, Stop> {
        let confirmed = pairs(&planning.confirm, "confirm")?;
        let refresh = match (mode.refresh_only, mode.refresh) {
            (true, _) => Refresh::Only,
            (false, Some(false)) => Refresh::Never,
            (false, _) => Refresh::First,
        };
        let mut options = Options { confirmed, refresh, ..Options::default() };
        let addresses = || self.spec.resources.keys().chain(state.resources.keys());
        let known = |text: &str| addresses().find(|a| a.as_str() == text).cloned();
        for (address, _) in &options.confirmed {
            if known(address).is_none() {
                return Err(nowhere("confirm", address));
            }
        }
        for (flag, texts, into) in [
            ("replace", &planning.replace, &mut options.replace),
            ("target", &planning.target, &mut options.targets),
            ("exclude", &planning.exclude, &mut options.excludes),
        ] {
            for text in texts {
                self.not_renamed(flag, text, state)?;
                // The name of a block with `for_each` means all of its instances.
                let whole = addresses().filter(|a| a.key().is_some() && a.name() == text).cloned();
                let before = into.len();
                into.extend(known(text).into_iter().chain(whole));
                if into.len() == before && known(text).is_none() {
                    return Err(nowhere(flag, text));
                }
            }
        }
        Ok(options)
    }

    /// A former name selects nothing any more, and its resource would be where nobody expects it.
    fn not_renamed(&self, flag: &str, text: &str, state: &State) -> Result<(), Stop> {
        let address = Address::new(text);
        let mut blocks = self.spec.resources.iter();
        let renamed = blocks.find(|(_, block)| block.renamed_from.as_ref() == Some(&address));
        match renamed {
            Some((to, _)) if state.knows(&address) => Err(Stop::because(format!(
                "`--{flag} {text}`: the spec has renamed `{text}` to `{to}`"
            ))
            .help(format!("`--{flag} '{to}'`"))),
            _ => Ok(()),
        }
    }
}

fn nowhere(flag: &str, address: &str) -> Stop {
    Stop::because(format!(
        "`--{flag} {address}`: no resource of that address is in the spec or the state"
    ))
    .help("`pgferry state list` shows the addresses")
}

pub(crate) fn folder(path: &Path) -> std::io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    Ok(whole.parent().map_or_else(|| PathBuf::from("/"), Path::to_path_buf))
}

/// A random id of 32 hex digits.
fn lineage() -> Result<String, Stop> {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("drawing a random id for a new state")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
