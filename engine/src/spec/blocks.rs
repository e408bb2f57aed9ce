//! `resources:`: each block's type, what every resource takes, and its type's own fields.

use std::collections::HashSet;

use rustc_hash::FxHashMap;
use serde_json::Value as Json;

use super::edges::{Edge, How};
use super::for_each::{self, Each, Instances};
use super::interpolate::References;
use super::lifecycle::{self, Rename};
use super::scope::Declared;
use super::{Block, COMMON_FIELDS, Lifecycle, RESERVED_NAMES, timeouts};
use crate::address::{Address, is_name};
use crate::check::{Checker, Owner, Place};
use crate::diag::{Diagnostic, did_you_mean, listed};
use crate::info::TypeInfo;
use crate::source::{Entry, Node, Value};

/// Edges that `depends_on` with the names of whole blocks may come to.
const MOST_EDGES: usize = 1_000_000;

/// All blocks, the edges of their `depends_on`, and their former names.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) resources: super::Blocks,
    pub(super) edges: Vec<Edge>,
    pub(super) renames: Vec<Rename>,
}

/// The `type:` of a block.
pub(super) fn type_entry(entry: &Entry) -> Option<&Entry> {
    entry.value.as_map()?.iter().find(|field| field.key == "type")
}

/// What is wrong with the name of a resource, variable or output.
pub(super) fn bad_name(entry: &Entry, what: &str) -> Option<Diagnostic> {
    if !is_name(&entry.key) {
        let message = format!("`{}` cannot name {what}", entry.key);
        let rule = "a letter or `_`, then letters, digits, `_` and `-`";
        let mut proper: String = entry
            .key
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        if !proper.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            proper.insert(0, '_');
        }
        return Some(
            Diagnostic::error("PGF0110", message)
                .at(entry.key_span, rule)
                .help(format!("write `{proper}:`")),
        );
    }
    None
}

/// Reads every block, and lets go of it; what is wrong goes to the checker.
pub(super) fn read<'a>(
    checker: &mut Checker<'a>,
    entries: Vec<Entry>,
    mut each: FxHashMap<String, Vec<Each>>,
) -> Blocks {
    let mut blocks = Blocks {
        resources: super::Blocks::with_capacity_and_hasher(entries.len(), Default::default()),
        ..Blocks::default()
    };
    for entry in entries {
        let entry = &entry;
        let name = entry.key.as_str();
        if RESERVED_NAMES.contains(&name) {
            let message = format!("`{name}` cannot name a resource");
            let text = format!("`${{{name}.…}}` has a meaning of its own");
            checker.mistakes.push(
                Diagnostic::error("PGF0110", message)
                    .at(entry.key_span, text)
                    .help("choose another name"),
            );
        } else {
            checker.mistakes.extend(bad_name(entry, "a resource"));
        }
        let Some(fields) = entry.value.as_map() else {
            let kind = entry.value.kind();
            let typed = entry.value.as_str().filter(|text| checker.scope.types.contains_key(text));
            let help = match typed {
                Some(type_name) => format!("write `{name}: {{ type: {type_name} }}`"),
                None => format!("write a line `type: …` below `{name}:`"),
            };
            checker.mistakes.push(
                Diagnostic::error("PGF0106", format!("resource `{name}` wants a map, not {kind}"))
                    .at(entry.key_span, format!("its value is {kind}"))
                    .help(help),
            );
            continue;
        };
        match each.remove(name) {
            Some(each) => expanded(checker, entry, fields, each, &mut blocks),
            None => {
                let declared = checker.scope.resources.get(name);
                let address = declared
                    .map_or_else(|| Address::new(name), |declared| declared.address.clone());
                let block = block(checker, entry, fields, address, &mut blocks);
                blocks.resources.insert(block.address.clone(), block);
            }
        }
    }
    lifecycle::renames(checker, &blocks);
    blocks
}

/// The instances of a block with `for_each`; if there are none, what is wrong with it whatever they are.
fn expanded<'a>(
    checker: &mut Checker<'a>,
    entry: &Entry,
    fields: &[Entry],
    each: Vec<Each>,
    blocks: &mut Blocks,
) {
    if each.is_empty() {
        checker.each = Some(Each::unknown());
        block(checker, entry, fields, Address::new(&entry.key), &mut Blocks::default());
    }
    blocks.resources.reserve(each.len());
    checker.scope.read.borrow_mut().clear();
    let declared = checker.scope.resources.get(entry.key.as_str());
    let mut told = HashSet::new();
    for one in each {
        let Some(key) = &one.key else { continue };
        let address = match declared {
            Some(declared) => declared.address(&entry.key, Some(key)),
            None => for_each::address(&entry.key, key),
        };
        let key_span = one.key_span;
        let (mistakes, suspects) = (checker.mistakes.len(), checker.suspects.len());
        let masked = checker.masked.len();
        checker.each = Some(one);
        let block = block(checker, entry, fields, address, blocks);
        blocks.resources.insert(block.address.clone(), block);
        let mistakes = checker.mistakes.split_off(mistakes);
        let suspects = checker.suspects.split_off(suspects);
        if mistakes.is_empty() && suspects.is_empty() {
            checker.masked.truncate(masked);
            continue;
        }
        // What is wrong at one place is told once, of the first instance that it is wrong with.
        let place = |mistake: &Diagnostic| {
            (mistake.code, mistake.primary.as_ref().map(|label| (label.span.start, label.span.end)))
        };
        let source = checker.scope.source;
        let of_it = |mistake: Diagnostic| {
            let span = mistake.primary.as_ref().map(|label| label.span);
            match span.filter(|at| *at != key_span && source.slice(*at).contains("each.")) {
                Some(_) => mistake.context(key_span, "for this one"),
                None => mistake,
            }
        };
        let mistakes: Vec<_> =
            mistakes.into_iter().filter(|mistake| !told.contains(&place(mistake))).collect();
        told.extend(mistakes.iter().map(place));
        checker.mistakes.extend(mistakes.into_iter().map(of_it));
        checker
            .suspects
            .extend(suspects.into_iter().map(|(address, found)| (address, of_it(found))));
    }
    checker.each = None;
}

fn block<'a>(
    checker: &mut Checker<'a>,
    entry: &Entry,
    fields: &[Entry],
    address: Address,
    blocks: &mut Blocks,
) -> Block {
    static ANYTHING: Json = Json::Bool(true);
    let name = entry.key.as_str();
    let info = checker.scope.resources.get(name).and_then(|declared| declared.info);
    let type_name = block_type(checker, entry, info);
    let label = match &type_name {
        Some(type_name) => format!("`{name}` ({type_name})"),
        None => format!("`{name}`"),
    };
    let schema = info.map_or(&ANYTHING, |info| &info.spec);
    let owner = Owner {
        label,
        span: entry.key_span,
        said: Owner::RESOURCE,
        references: References::Allowed,
        schema,
    };
    let place = Place::root(&owner);
    let declared = info.and_then(|info| info.spec.get("properties")).and_then(Json::as_object);
    let own = |field: &str| declared.is_some_and(|declared| declared.contains_key(field));
    let mut skip = COMMON_FIELDS.to_vec();
    skip.retain(|field| !own(field));
    // Of an unknown type nothing is known, so nothing but its references is checked.
    let place_of_fields = if info.is_none() { &place.unknown() } else { &place };
    let templates = checker.object(fields, schema, &skip, place_of_fields);
    let find = |key: &str| {
        let said = |field: &&Entry| field.key == key && field.value.value != Value::Null;
        fields.iter().find(said).filter(|_| !own(key))
    };
    let on_remove =
        find("on_remove").and_then(|field| lifecycle::on_remove(checker, field, info, &place));
    let on_exists =
        find("on_exists").and_then(|field| lifecycle::on_exists(checker, field, info, &place));
    let lifecycle =
        find("lifecycle").map(|field| lifecycle::lifecycle(checker, field, info, &owner));
    let renamed_from = find("renamed_from").and_then(|field| {
        let from = lifecycle::renamed_from(checker, field, &place)?;
        let rename = Rename { from: from.clone(), to: address.clone(), span: field.value.span };
        blocks.renames.push(rename);
        Some(from)
    });
    let timeouts = find("timeouts").map(|field| timeouts::read(checker, field, info, &owner));
    let depends_on = find("depends_on").map_or_else(Vec::new, |field| {
        depends_on(checker, &address, field, &place, &mut blocks.edges)
    });
    Block {
        address,
        type_name: type_name.unwrap_or_default(),
        fields: templates,
        depends_on,
        on_remove,
        lifecycle: Lifecycle::of(lifecycle),
        on_exists: on_exists.unwrap_or_default(),
        renamed_from,
        timeouts: timeouts.unwrap_or_default(),
        span: entry.key_span,
    }
}

/// The type as written; `None` if that is no text.
fn block_type(checker: &mut Checker<'_>, entry: &Entry, info: Option<&TypeInfo>) -> Option<String> {
    if let Some(info) = info {
        return Some(info.name.to_owned());
    }
    let name = &entry.key;
    let Some(field) = type_entry(entry) else {
        let mistake = Diagnostic::error("PGF0105", format!("`{name}` needs `type`"));
        let known = |field: &&Entry| {
            field.value.as_str().is_some_and(|text| checker.scope.types.contains_key(text))
        };
        let fields = entry.value.as_map().unwrap_or_default();
        checker.mistakes.push(match fields.iter().find(known) {
            Some(meant) => mistake
                .at(meant.key_span, "no such field")
                .context(entry.key_span, Owner::RESOURCE)
                .help("did you mean `type`?"),
            None => mistake
                .at(entry.key_span, "`type` is missing here")
                .help("add `type: provider.noun`, such as `type: postgres.dump`"),
        });
        return None;
    };
    let Some(written) = field.value.as_str() else {
        let kind = field.value.kind();
        checker.mistakes.push(
            Diagnostic::error("PGF0106", format!("`type` of `{name}` wants text, not {kind}"))
                .at(field.key_span, format!("its value is {kind}")),
        );
        return None;
    };
    if written.contains("${") {
        let message = format!("the type of `{name}` cannot be a reference");
        checker.mistakes.push(
            Diagnostic::error("PGF0127", message)
                .at(field.value.span, "needed before anything is put in")
                .help("write the type itself, such as `type: postgres.dump`"),
        );
        return None;
    }
    let known = checker.scope.types.keys().copied();
    let noun = known.clone().find(|known| known.rsplit('.').next() == Some(written));
    let prefix = written.split('.').next().unwrap_or_default();
    let of_provider: Vec<&str> =
        known.clone().filter(|t| t.split('.').next() == Some(prefix)).collect();
    // Within a provider the nouns alone are compared: a long prefix makes any two of its types look alike.
    let meant = match written.split_once('.').filter(|_| !of_provider.is_empty()) {
        Some((_, noun)) => {
            let nouns = of_provider.iter().filter_map(|t| t.split_once('.').map(|(_, noun)| noun));
            did_you_mean(noun, nouns).map(|noun| format!("{prefix}.{noun}"))
        }
        None => did_you_mean(written, known.clone()).map(str::to_owned),
    };
    let help = match noun.map(str::to_owned).or(meant) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if of_provider.is_empty() => {
            format!("the types are {}", listed(&known.collect::<Vec<_>>()))
        }
        None => format!("the types of `{prefix}` are {}", listed(&of_provider)),
    };
    checker.mistakes.push(
        Diagnostic::error("PGF0103", format!("unknown type `{written}` of `{name}`"))
            .at(field.value.span, "no such type")
            .help(help),
    );
    Some(written.to_owned())
}

fn depends_on(
    checker: &mut Checker<'_>,
    from: &Address,
    field: &Entry,
    place: &Place<'_, '_>,
    edges: &mut Vec<Edge>,
) -> Vec<Address> {
    let owner = &place.owner.label;
    let Value::Seq(items) = &field.value.value else {
        let kind = field.value.kind();
        let help = field.value.as_str().map(|name| format!("write `depends_on: [{name}]`"));
        checker.mistakes.push(
            Diagnostic::error(
                "PGF0106",
                format!("`depends_on` of {owner} wants a list, not {kind}"),
            )
            .at(field.key_span, format!("its value is {kind}"))
            .maybe_help(help),
        );
        return Vec::new();
    };
    let mut addresses = Vec::with_capacity(items.len());
    for item in items {
        match depended_on(checker, item, owner, edges.len()) {
            Ok(found) => {
                let (span, how) = (item.span, How::Lists);
                let edge = |to: &Address| Edge { from: from.clone(), to: to.clone(), span, how };
                edges.extend(found.iter().map(edge));
                addresses.extend(found);
            }
            Err(mistake) => checker.mistakes.push(*mistake),
        }
    }
    addresses
}

fn depended_on(
    checker: &Checker<'_>,
    item: &Node,
    owner: &str,
    edges: usize,
) -> Result<Vec<Address>, Box<Diagnostic>> {
    let Some(name) = item.as_str() else {
        let message = format!("`depends_on` of {owner} lists names of resources");
        return Err(Box::new(
            Diagnostic::error("PGF0106", message).at(item.span, format!("this is {}", item.kind())),
        ));
    };
    if let Some(inner) = name.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        let bare = inner.split(['.', '[']).next().unwrap_or(inner).trim();
        let known = checker.scope.resources.keys().map(AsRef::as_ref);
        let meant = match checker.scope.resources.contains_key(bare) {
            true => bare,
            false => did_you_mean(bare, known).unwrap_or(bare),
        };
        let message = format!("`depends_on` of {owner} lists names, not references");
        return Err(Box::new(
            Diagnostic::error("PGF0111", message)
                .at(item.span, "a reference")
                .help(format!("write `{meant}`")),
        ));
    }
    let block = name.split('[').next().unwrap_or(name);
    let Some(declared) = checker.scope.resources.get(block) else {
        return Err(Box::new(checker.scope.no_resource(name, item.span)));
    };
    if let Some(instances) = &declared.instances {
        return depended_instances(checker, item, name, (block, declared), instances, edges);
    }
    if block != name {
        return Err(Box::new(
            Diagnostic::error("PGF0112", format!("`{block}` is one resource, not several"))
                .at(item.span, "this asks for one of several")
                .help(format!("write `{block}`")),
        ));
    }
    Ok(vec![declared.address.clone()])
}

/// One instance of a block with `for_each`, or all of them.
fn depended_instances(
    checker: &Checker<'_>,
    item: &Node,
    name: &str,
    (block, declared): (&str, &Declared<'_>),
    instances: &Instances,
    edges: usize,
) -> Result<Vec<Address>, Box<Diagnostic>> {
    if name == block {
        if edges + instances.keys.len() > MOST_EDGES {
            let message = format!("every instance waits for every instance of `{block}`");
            return Err(Box::new(
                Diagnostic::error("PGF0133", message)
                    .at(item.span, format!("more than {MOST_EDGES} dependencies in all"))
                    .help(format!("write `{block}[each.key]`")),
            ));
        }
        return Ok(instances.keys.values().cloned().collect());
    }
    let key = for_each::named(name).and_then(|found| found.key).ok_or_else(|| {
        Box::new(
            Diagnostic::error("PGF0111", "a malformed reference")
                .at(item.span, "no name, and no name with a key")
                .help(format!("write `{block}[\"key\"]` or `{block}[each.key]`")),
        )
    })?;
    let Some(key) = for_each::key_text(&key, checker.each.as_ref(), item.span)? else {
        return Ok(Vec::new());
    };
    match checker.scope.no_instance(block, &key, instances, item.span) {
        Some(mistake) => Err(Box::new(mistake)),
        None => Ok(vec![declared.address(block, Some(&key))]),
    }
}
