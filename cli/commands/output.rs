//! `output`: what the spec offers to others; secrets only with `--reveal`, read live.

use std::collections::BTreeMap;
use std::sync::Arc;

use pgferry_engine::address::Address;
use pgferry_engine::event::Silent;
use pgferry_engine::plan::Options;
use pgferry_engine::secret::{MASK, Secret};
use pgferry_engine::state::State;
use pgferry_engine::tree::{Handle, Handles, Tree};
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::arguments::Common;
use crate::outcome::{Exit, Stop};
use crate::project::Project;
use crate::view;
use crate::view::json::lines;

pub(super) async fn run(common: &Common, name: Option<&str>, reveal: bool) -> Result<Exit, Stop> {
    let project = Project::open(common)?;
    let state = project.state()?;
    let options = Options { reveal, ..Options::default() };
    let handles = if reveal {
        let resources = project.connect(&state)?;
        let world = project.world(&state, Arc::new(Silent), CancellationToken::new());
        project.plan(&state, &options, &resources, &world).await?.0.handles
    } else {
        let reality = pgferry_engine::plan::Reality::new();
        pgferry_engine::plan::draft(&project.input(&state, &options), &reality).handles
    };
    let values = evaluate(&project, &handles);
    let remembered = hidden(&project, &state);
    let told = |name: &str, value: &Tree| {
        let sensitive = value.has_secret() || is_sensitive(&project, &remembered, name);
        match value {
            _ if reveal && !value.has_unknown() => Told::Value,
            _ if sensitive && !reveal => Told::Sensitive,
            _ if value.has_unknown() => Told::Unknown,
            _ => Told::Value,
        }
    };
    let Some(name) = name else {
        return Ok(all(&values, told, common, reveal));
    };
    let value = values.get(name).ok_or_else(|| {
        Stop::because(format!("the spec has no output `{name}`"))
            .help("`pgferry output` lists them")
    })?;
    match told(name, value) {
        Told::Sensitive => {
            return Err(Stop::because(format!("output `{name}` is sensitive"))
                .help(format!("`pgferry output --reveal {name}` prints it")));
        }
        Told::Unknown => {
            return Err(Stop::because(format!("output `{name}` is not known")).help(
                "`pgferry apply` makes what it comes from; `pgferry plan` says what is missing",
            ));
        }
        Told::Value => {}
    }
    match shown(value, reveal) {
        Json::String(text) if !common.json => out(&text, reveal),
        other => out(&other.to_string(), reveal),
    }
    Ok(Exit::Done)
}

/// What may be said of an output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Value,
    Sensitive,
    Unknown,
}

/// All of them. One that is not known makes it a failure: who reads the list would miss it.
fn all(
    values: &BTreeMap<String, Tree>,
    told: impl Fn(&str, &Tree) -> Told,
    common: &Common,
    reveal: bool,
) -> Exit {
    let mut whole = Map::new();
    let mut exit = Exit::Done;
    for (name, value) in values {
        let told = told(name, value);
        let json = match told {
            Told::Value => shown(value, reveal),
            Told::Sensitive => Json::String("(sensitive)".to_owned()),
            Told::Unknown => Json::Null,
        };
        if told == Told::Unknown {
            exit = Exit::Error;
        }
        if !common.json {
            let text =
                if told == Told::Unknown { "(not known)".to_owned() } else { json.to_string() };
            out(&format!("{name} = {text}"), reveal);
            continue;
        }
        let sensitive = told == Told::Sensitive || value.has_secret();
        let mut one = json!({ "sensitive": sensitive, "value": json });
        if told == Told::Unknown {
            one["unknown"] = Json::Bool(true);
        }
        whole.insert(name.clone(), one);
    }
    if common.json {
        out(&Json::Object(whole).to_string(), reveal);
    }
    exit
}

/// What the state remembers, with a secret wherever one was left out of it: it tells what is hidden from what is not
/// known.
fn hidden(project: &Project, state: &State) -> Handles {
    let mut handles = Handles::default();
    for (address, entry) in &state.resources {
        let secret = || Tree::Secret(Secret::new(MASK));
        let mut attrs = match masked(&entry.remembered.attrs) {
            Tree::Map(map) => map,
            _ => Default::default(),
        };
        if let Some(info) = project.catalog.get(&entry.type_name) {
            // An attribute that is a secret as a whole is left out: by its schema, or as the value has it.
            let left_out = |name: &&str| {
                info.is_secret(name) || (info.traits.internal && !attrs.contains_key(*name))
            };
            let names: Vec<&str> = info.attributes().filter(left_out).collect();
            for name in names {
                attrs.insert(name.to_owned(), secret());
            }
        }
        let id = Some(entry.remembered.id.clone());
        handles.insert(address.clone(), Arc::new(Handle { address: address.clone(), id, attrs }));
    }
    handles
}

fn masked(stored: &Tree) -> Tree {
    match stored {
        Tree::Text(text) if text.contains(MASK) => Tree::Secret(Secret::new(MASK)),
        Tree::List(items) => Tree::List(items.iter().map(masked).collect()),
        Tree::Map(map) => {
            Tree::Map(map.iter().map(|(name, value)| (name.clone(), masked(value))).collect())
        }
        plain => plain.clone(),
    }
}

fn is_sensitive(project: &Project, remembered: &Handles, name: &str) -> bool {
    let resolve = |address: &Address| remembered.get(address);
    project.spec.outputs.get(name).is_some_and(|template| template.evaluate(&resolve).has_secret())
}

/// The outputs after an apply; nothing where the spec has none.
pub(super) fn after_apply(project: &Project, handles: &Handles, common: &Common) {
    let values = evaluate(project, handles);
    if let Some(line) = lines::outputs(values.iter()) {
        view::tell(&line);
    }
    if common.json || values.is_empty() {
        return;
    }
    let mut text = String::from("\nOutputs:\n");
    for (name, value) in values {
        let value = match value {
            Tree::Secret(_) => "<sensitive>".to_owned(),
            other if other.has_unknown() => "(not known)".to_owned(),
            other => shown(&other, false).to_string(),
        };
        text.push_str(&format!("\n{name} = {value}"));
    }
    view::print(&text);
}

fn evaluate(project: &Project, handles: &Handles) -> BTreeMap<String, Tree> {
    let resolve = |address: &Address| handles.get(address);
    let outputs = project.spec.outputs.iter();
    outputs.map(|(name, template)| (name.clone(), template.evaluate(&resolve))).collect()
}

fn shown(value: &Tree, reveal: bool) -> Json {
    match value {
        Tree::Secret(secret) if reveal => Json::String(secret.expose().to_owned()),
        other => other.storable(),
    }
}

/// The one place where a secret may be printed: the user asked for it by flag.
#[allow(clippy::print_stdout, reason = "`view::print` would blank the secret out")]
fn out(text: &str, reveal: bool) {
    if reveal {
        println!("{text}");
    } else {
        view::print(text);
    }
}
