//! From the text of a spec to the spec and its graph.
//!
//! Offline and pure: the file, the variables given and the environment come in as values. Every mistake is collected;
//! only what cannot be read as YAML at all ends the reading early.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use serde_json::{Value as Json, json};

use super::blocks::{self, Blocks};
use super::interpolate::References;
use super::scope::{Declared, PATIENCE, Scope};
use super::{Spec, edges, for_each, secrecy, variables};
use crate::address::Address;
use crate::check::{Checker, Owner, Place};
use crate::diag::{Diagnostic, Severity, Source, Span, suggestion};
use crate::graph::Graph;
use crate::info::Catalog;
use crate::source::{Entry, Node, Value, yaml};
use crate::template::{Template, Templates};
use crate::tree::Tree;

/// What a spec is read with besides its text. Its values may be secret, so it has no `Debug`.
#[derive(Clone, Default)]
pub struct Inputs {
    /// Values given for variables, already merged: the command line before files before the environment.
    pub variables: BTreeMap<String, String>,
    /// The environment, for `${env.X}`.
    pub env: BTreeMap<String, String>,
    /// The spec's folder.
    pub base: PathBuf,
}

/// A spec without mistakes.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub spec: Spec,
    pub graph: Graph,
    /// Remarks that stop nothing.
    pub warnings: Vec<Diagnostic>,
}

const KEYS: [&str; 8] =
    ["pgferry", "name", "run", "state", "variables", "providers", "resources", "outputs"];

/// What `run:` is where it is left out.
const FIRST_RUN: &str = "1";

/// Rules for the plain keys at the top; also part of the schema for editors.
pub(crate) static HEADER: LazyLock<Json> = LazyLock::new(|| {
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {
                "type": "string",
                "description": "Names this migration in state, locks and labels.",
                "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,62}$",
                "x-pattern-help": "a letter, then up to 62 letters, digits, `_` and `-`"
            },
            "run": {
                "type": ["string", "integer"],
                "description": "A label. Change it, in a reviewed commit, to move the data again.",
                "minLength": 1
            },
            "state": {
                "type": "string",
                "description": "Where the state is kept: a path beside the spec, or `s3://bucket/key`, `gs://…`, `az://…`.",
                "minLength": 1
            }
        }
    })
});

/// Reads and checks a spec.
///
/// # Errors
/// Every mistake, in the order of the text, followed by the warnings. Reading again gives the same.
pub fn load(
    source: &Source,
    inputs: &Inputs,
    catalog: &Catalog,
) -> Result<Loaded, Vec<Diagnostic>> {
    let (root, mut mistakes) = yaml::parse(source);
    let Some(root) = root else { return Err(mistakes) };
    let said = format!("this is {}", root.kind());
    let Value::Map(mut entries) = root.value else {
        return Err(vec![
            Diagnostic::error("PGF0010", "a spec is a map")
                .at(first_line(source, root.span), said)
                .help("begin with `pgferry: 1` and a `name:`, without `-` before them"),
        ]);
    };
    let resources = taken(&mut entries, "resources", &mut mistakes);
    let entries = entries.as_slice();
    unknown_keys(entries, &mut mistakes);
    format_version(entries, &mut mistakes);
    let mut read = variables::read(section(entries, "variables", &mut mistakes), source, inputs);
    mistakes.append(&mut read.mistakes);
    let types = catalog.types();
    let mut scope = Scope {
        source,
        resources: FxHashMap::default(),
        paths: RefCell::default(),
        read: RefCell::default(),
        types,
        variables: read.variables,
        env: &inputs.env,
        patience: PATIENCE.into(),
    };
    let for_each::Read { each, mut instances, mistakes: mut found, masked: mut spots } =
        for_each::read(&scope, &resources);
    mistakes.append(&mut found);
    read.masked.append(&mut spots);
    scope.resources = resources
        .iter()
        .map(|entry| {
            let typed = blocks::type_entry(entry).and_then(|field| field.value.as_str());
            let info = typed.and_then(|typed| scope.types.get(typed).copied());
            let address = Address::new(&entry.key);
            let instances = instances.remove(&entry.key);
            (address.shared(), Declared { info, instances, address })
        })
        .collect();
    let mut checker = Checker::new(&scope);
    let header = header(&mut checker, entries);
    let settings = section(entries, "providers", &mut checker.mistakes);
    let providers = providers(&mut checker, settings, catalog);
    let Blocks { resources, mut edges, .. } = blocks::read(&mut checker, resources, each);
    let written = section(entries, "outputs", &mut checker.mistakes);
    let outputs = outputs(&mut checker, written);
    let Checker { mistakes: mut found, suspects, masked, .. } = checker;
    mistakes.append(&mut found);
    let listed = edges.iter().map(|edge| (edge.from.clone(), edge.to.clone()));
    let referred = resources.iter().flat_map(|(from, block)| {
        block.references().map(|reference| (from.clone(), reference.address.clone()))
    });
    let graph = Graph::build(resources.keys().cloned(), listed.chain(referred));
    let graph = graph.unwrap_or_else(|cycles| {
        edges.extend(edges::of_references(&resources));
        mistakes.extend(cycles.iter().map(|cycle| edges::diagnostic(cycle, &edges)));
        Graph::default()
    });
    if !suspects.is_empty() {
        let secret = secrecy::handing_on(&graph, &resources, &scope);
        // Of several instances of one block, the first tells.
        let mut told = HashSet::new();
        let found = suspects.into_iter().filter(|(address, mistake)| {
            let place = mistake.primary.as_ref().map(|label| (label.span.start, label.span.end));
            secret.contains(address) && told.insert(place)
        });
        mistakes.extend(found.map(|(_, mistake)| mistake));
    }
    if !mistakes.is_empty() {
        return Err(report(mistakes, read.warnings, [read.masked, masked].concat()));
    }
    let text = |key: &str| header.get(key).and_then(Tree::to_text);
    let spec = Spec {
        name: text("name").unwrap_or_default(),
        run: text("run").unwrap_or_else(|| FIRST_RUN.to_owned()),
        state: text("state"),
        base: inputs.base.clone(),
        providers,
        resources,
        outputs,
    };
    Ok(Loaded { spec, graph, warnings: read.warnings })
}

/// Puts mistakes in the order of the text, warnings after them, and tells each what it must not quote.
fn report(
    mut found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    masked: Vec<Span>,
) -> Vec<Diagnostic> {
    found.extend(warnings);
    found.sort_by_key(|one| {
        let at = one.primary.as_ref().map_or(0, |label| label.span.start);
        (one.severity != Severity::Error, at)
    });
    let masked: Arc<[Span]> = masked.into();
    for one in &mut found {
        one.masked = Arc::clone(&masked);
    }
    found
}

fn first_line(source: &Source, span: Span) -> Span {
    Span { start: span.start, end: span.end.min(source.line_at(span.start).end) }
}

fn entry<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// The entries of a map at the top; none where it is left out or empty.
fn section<'n>(entries: &'n [Entry], key: &str, mistakes: &mut Vec<Diagnostic>) -> &'n [Entry] {
    let Some(entry) = entry(entries, key) else { return &[] };
    match &entry.value.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        _ => {
            let kind = entry.value.kind();
            mistakes.push(
                Diagnostic::error("PGF0106", format!("`{key}` wants a map, not {kind}"))
                    .at(entry.key_span, format!("its value is {kind}"))
                    .help(format!("write one `name: …` a line below `{key}:`")),
            );
            &[]
        }
    }
}

/// The same, taken out, so that each entry can go once it was read: there may be very many.
fn taken(entries: &mut [Entry], key: &str, mistakes: &mut Vec<Diagnostic>) -> Vec<Entry> {
    section(entries, key, mistakes);
    let found = entries.iter_mut().find(|entry| entry.key == key);
    match found.map(|entry| &mut entry.value.value) {
        Some(Value::Map(entries)) => std::mem::take(entries),
        _ => Vec::new(),
    }
}

fn unknown_keys(entries: &[Entry], mistakes: &mut Vec<Diagnostic>) {
    for entry in entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
        mistakes.push(
            Diagnostic::error("PGF0101", format!("unknown key `{}` of the spec", entry.key))
                .at(entry.key_span, "no such key")
                .maybe_help(suggestion(&entry.key, KEYS, "the keys are")),
        );
    }
}

fn format_version(entries: &[Entry], mistakes: &mut Vec<Diagnostic>) {
    let Some(found) = entry(entries, "pgferry") else {
        let start = entries.first().map(|entry| entry.key_span).unwrap_or_default();
        mistakes.push(
            Diagnostic::error("PGF0102", "the spec does not say which format it is in")
                .at(start, "`pgferry: 1` is missing before this")
                .help("begin the file with `pgferry: 1`"),
        );
        return;
    };
    let Node { value, span } = &found.value;
    let span = if span.start == span.end { found.key_span } else { *span };
    match value {
        Value::Int(1) => {}
        Value::Int(newer) if *newer > 1 => mistakes.push(
            Diagnostic::error("PGF0102", format!("the spec is in format {newer}"))
                .at(span, "this pgferry reads format 1")
                .help("use a newer pgferry"),
        ),
        Value::Int(_) => mistakes.push(
            Diagnostic::error("PGF0102", "there is no such format of specs")
                .at(span, "this pgferry reads format 1")
                .help("write `pgferry: 1`"),
        ),
        _ => mistakes.push(
            Diagnostic::error("PGF0102", "the format of a spec is a whole number")
                .at(span, format!("this is {}", found.value.kind()))
                .help("write `pgferry: 1`"),
        ),
    }
}

fn header<'a>(checker: &mut Checker<'a>, entries: &[Entry]) -> IndexMap<String, Tree> {
    let start = entry(entries, "pgferry").or(entries.first());
    let owner = Owner {
        label: "the spec".to_owned(),
        span: start.map(|entry| entry.key_span).unwrap_or_default(),
        said: "the spec begins here",
        references: References::Refused,
        schema: &HEADER,
    };
    let others: Vec<&str> = entries
        .iter()
        .map(|entry| entry.key.as_str())
        .filter(|key| !["name", "run", "state"].contains(key))
        .collect();
    constants(checker.object(entries, &HEADER, &others, &Place::root(&owner)))
}

/// Fields that cannot hold references.
fn constants(fields: Templates) -> IndexMap<String, Tree> {
    let tree = |(key, field)| match field {
        Template::Value(tree) => Some((key, tree)),
        _ => None,
    };
    fields.into_iter().filter_map(tree).collect()
}

fn providers<'a>(
    checker: &mut Checker<'a>,
    entries: &[Entry],
    catalog: &'a Catalog,
) -> IndexMap<String, Tree> {
    let mut providers = IndexMap::new();
    for entry in entries {
        let Some(info) = catalog.providers.iter().find(|info| info.name == entry.key) else {
            let known = catalog.providers.iter().map(|info| info.name);
            checker.mistakes.push(
                Diagnostic::error("PGF0126", format!("unknown provider `{}`", entry.key))
                    .at(entry.key_span, "no such provider")
                    .maybe_help(suggestion(&entry.key, known, "the providers are")),
            );
            continue;
        };
        let owner = Owner {
            label: format!("provider `{}`", entry.key),
            span: entry.key_span,
            said: "provider configured here",
            references: References::Refused,
            schema: &info.settings,
        };
        let empty = Node { value: Value::Map(Vec::new()), span: entry.value.span };
        let node = if entry.value.value == Value::Null { &empty } else { &entry.value };
        if let Template::Value(tree) = checker.value(node, &info.settings, &Place::root(&owner)) {
            providers.insert(entry.key.clone(), tree);
        }
    }
    providers
}

fn outputs(checker: &mut Checker<'_>, entries: &[Entry]) -> Templates {
    static ANYTHING: Json = Json::Bool(true);
    let mut outputs = Templates::default();
    for entry in entries {
        if let Some(mistake) = blocks::bad_name(entry, "an output") {
            checker.mistakes.push(mistake);
        }
        let owner = Owner {
            label: format!("output `{}`", entry.key),
            span: entry.key_span,
            said: "output declared here",
            references: References::Allowed,
            schema: &ANYTHING,
        };
        let place = Place::root(&owner);
        let template = checker.value(&entry.value, &ANYTHING, &place.secretly(true));
        outputs.insert(entry.key.clone(), template);
    }
    outputs
}
