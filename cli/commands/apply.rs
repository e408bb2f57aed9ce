//! `apply`: plan, ask, make it so, tell.

use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::apply::{Applying, Outcome, apply, left_open};
use pgferry_engine::cx::{Clock, SystemClock, World};
use pgferry_engine::event::Sink;
use pgferry_engine::plan::{Draft, Options, Reality};
use pgferry_engine::refresh::Resources;
use pgferry_engine::state::State;
use pgferry_engine::state::journal::{Journal, Moment, Watch};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Common, Mode, Planning};
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::saved::Saved;
use crate::view::events::{Audience, Teller};
use crate::view::json::lines;
use crate::{interrupt, view};

pub(super) async fn run(
    common: &Common,
    planning: &Planning,
    mode: &Mode,
    auto_approve: bool,
) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let purpose = if mode.destroy { "destroy" } else { "apply" };
    let _lock = project.lock(purpose, common.lock_timeout)?;
    let state = project.state()?;
    project.warn_if_not_shared();
    view::summary::leftovers(&state);
    let options = project.options(planning, mode, &state)?;
    let resources = project.connect(&state)?;
    let cancel = CancellationToken::new();
    let world = project.world(&state, sink(common, &project, &state), cancel);
    let (draft, reality) =
        super::plan::drafted(&project, mode, &state, &options, &resources, &world).await?;
    super::plan::show(&draft.plan, common);
    super::plan::refuse_errors(&draft.plan)?;
    if draft.plan.has_changes() {
        let question = if mode.destroy {
            "Do you really want to destroy and forget all this?"
        } else if mode.refresh_only {
            "Do you want the state to have these changes?"
        } else {
            "Do you want to perform these actions?"
        };
        approve(question, auto_approve)?;
    }
    finish(&project, common, state, draft, reality, resources, &options, world).await
}

/// Applies a plan from a file: exactly that, or nothing.
pub(super) async fn saved(common: &Common, path: &Path) -> Result<Exit, Stop> {
    let saved = Saved::read(path)?;
    saved.agrees_with(common)?;
    let project = Project::reopen(common, &saved)?;
    let _lock = project.lock("apply", common.lock_timeout)?;
    let state = project.known_state()?;
    // Only where nothing was ever begun can the plan say whose state it is to become.
    let state = state
        .unwrap_or_else(|| Arc::new(State::new(&project.spec.name, saved.plan.lineage.clone())));
    project.warn_if_not_shared();
    view::summary::leftovers(&state);
    saved.fits(&state)?;
    let options = project.options(&saved.planning, &saved.mode, &state)?;
    let resources = project.connect(&state)?;
    let sink = sink(common, &project, &state);
    let world = project.world(&state, sink, CancellationToken::new());
    let (draft, reality) =
        super::plan::drafted(&project, &saved.mode, &state, &options, &resources, &world).await?;
    for located in draft.plan.findings.iter().filter(|one| !saved.plan.findings.contains(one)) {
        view::tell(&lines::finding(&located.address, &located.finding));
        if !common.json {
            view::talk(&view::plan::finding(&located.address, &located.finding));
        }
    }
    super::plan::refuse_errors(&draft.plan)?;
    saved.still_holds(&draft, &project.catalog)?;
    finish(&project, common, state, draft, reality, resources, &options, world).await
}

/// Does what was shown and approved, and tells.
#[allow(clippy::too_many_arguments, reason = "the parts of one apply, each made by the caller")]
async fn finish(
    project: &Project,
    common: &Common,
    state: Arc<State>,
    draft: Draft,
    reality: Reality,
    resources: Resources,
    options: &Options,
    world: World,
) -> Result<Exit, Stop> {
    let destroy = draft.plan.destroy;
    if draft.plan.has_changes() {
        let outcome = carry_out(project, common, state, draft, reality, resources, options, world);
        let outcome = outcome.await?;
        return Ok(match destroy {
            true => ended(&outcome, common, true),
            false => told(project, &outcome, common),
        });
    }
    if project.store.read_journal(state.serial)?.is_some() {
        // A run that was cut short at its very end left it; its records belong into the state.
        drop(world);
        let state = Arc::unwrap_or_clone(state);
        Journal::begin(Arc::clone(&project.store), state, SystemClock.now(), None)?.finish()?;
    }
    let outcome = Outcome { handles: draft.handles, ..Outcome::default() };
    Ok(match destroy {
        true => ended(&outcome, common, true),
        false => told(project, &outcome, common),
    })
}

/// Tells how an apply ended, outputs included.
fn told(project: &Project, outcome: &Outcome, common: &Common) -> Exit {
    let exit = ended(outcome, common, false);
    if exit == Exit::Done {
        super::output::after_apply(project, &outcome.handles, common);
    }
    exit
}

/// Where events go: JSON lines on stdout, or lines on stderr.
pub(super) fn sink(common: &Common, project: &Project, state: &State) -> Arc<dyn Sink> {
    let spec = Arc::clone(&project.spec);
    let gone = state.resources.iter().map(|(address, entry)| (address, &entry.type_name));
    let gone = gone.chain(state.scopes.iter().map(|(address, scope)| (address, &scope.type_name)));
    let gone = gone.filter(|(address, _)| !spec.resources.contains_key(*address));
    let gone: BTreeMap<Address, String> =
        gone.map(|(address, type_name)| (address.clone(), type_name.clone())).collect();
    let type_of = move |address: &Address| {
        let block = spec.resources.get(address).map(|block| &block.type_name);
        block.or_else(|| gone.get(address)).cloned().unwrap_or_default()
    };
    let audience = if common.json { Audience::Programs } else { Audience::People };
    Teller::start(audience, Arc::new(type_of))
}

/// Applies a plan that was shown and approved.
#[allow(clippy::too_many_arguments, reason = "the parts of one apply, each made by the caller")]
pub(super) async fn carry_out(
    project: &Project,
    common: &Common,
    state: Arc<State>,
    draft: Draft,
    reality: Reality,
    resources: Resources,
    options: &Options,
    world: World,
) -> Result<Outcome, Stop> {
    if !common.json {
        view::bars::show();
    }
    interrupt::watch(world.cancel.clone());
    // Data pass through small buffers; huge pages would keep a third more memory for them. Only Linux has the switch,
    // and without it nothing fails.
    #[cfg(target_os = "linux")]
    let _as_it_was = rustix::thread::disable_transparent_huge_pages(true);
    let world = world.forgetful();
    let state = Arc::unwrap_or_clone(state);
    let journal =
        Journal::begin(Arc::clone(&project.store), state, SystemClock.now(), kill_point(project))?;
    let applying = Applying {
        spec: Arc::clone(&project.spec),
        graph: Arc::clone(&project.graph),
        catalog: Arc::clone(&project.catalog),
        plan: draft.plan,
        reality,
        handles: draft.handles,
        resources,
        world,
        journal,
        parallelism: common.parallelism,
        confirmed: options.confirmed.clone(),
    };
    // Both are shared with the walk.
    let (journal, resources) = (applying.journal.clone(), applying.resources.clone());
    let open = move || journal.with_state(|state| left_open(state, &resources));
    interrupt::names_what_is_open(open.clone());
    apply(applying).await.map_err(|cause| {
        view::summary::left_open(&open(), &cause);
        cause.into()
    })
}

/// Tells how it ended.
pub(super) fn ended(outcome: &Outcome, common: &Common, destroy: bool) -> Exit {
    lines::failures(outcome).for_each(|line| view::tell(&line));
    view::tell(&lines::ended(outcome, destroy));
    if !common.json {
        view::summary::applied(outcome, destroy);
    }
    match (outcome.is_success(), outcome.interrupted) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Interrupted,
        (false, false) => Exit::Error,
    }
}

/// Asks for a typed `yes`; refuses where nobody can be asked.
pub(super) fn approve(question: &str, auto_approve: bool) -> Result<(), Stop> {
    if auto_approve {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Stop::because(
            "nobody is at a terminal to approve the plan; nothing was changed",
        )
        .help("review it, then run again with `--auto-approve`"));
    }
    view::talk(&format!("\n{question}\n  Only `yes` is accepted.\n"));
    let mut err = std::io::stderr();
    let _ = write!(err, "  Enter a value: ");
    let _ = err.flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Stop::because("not approved; nothing was changed")),
    }
}

/// For tests of crashes: `PGFERRY_KILL=before:7` ends the process, as `kill -9` would, just before the seventh record
/// of the journal is durable; `after:7` just after.
fn kill_point(project: &Project) -> Option<Watch> {
    let (when, number) = project.env.get("PGFERRY_KILL")?.split_once(':')?;
    let moment = match when {
        "before" => Moment::Before,
        "after" => Moment::After,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    Some(Arc::new(move |at, count| {
        if at == moment && count == number {
            let me = rustix::process::getpid();
            // SIGKILL cannot be refused; the abort is for a kernel that says otherwise.
            let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
            std::process::abort();
        }
    }))
}
