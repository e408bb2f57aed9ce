//! `import`: a thing that exists already is taken into the state under an address of the spec, by its id.
//!
//! Reads only; the caller writes down what comes of it. Tested in `tests/planning` of this crate.

use std::collections::BTreeMap;

use crate::address::Address;
use crate::apply::without_secrets;
use crate::cx::World;
use crate::fault::{Class, Fault};
use crate::info::{Kind, TypeInfo};
use crate::plan::{Answer, Ask, Input, Options, Question, Refresh};
use crate::refresh::{Resources, answer, refresh};
use crate::resource::{Live, Remembered};
use crate::spec::Block;
use crate::state::{Entry, Expanded};
use crate::tree::{Fields, Tree};

/// What the state is to remember of the thing with this id, as it is there now.
///
/// # Errors
/// The address stands for nothing that can be taken in, the state knows it or the thing already, nothing of this id is
/// there, or it could not be read. Nothing was changed.
pub async fn adopt(
    input: &Input<'_>,
    resources: &Resources,
    world: &World,
    address: &Address,
    id: &str,
) -> Result<Entry, Fault> {
    let (block, info) = adoptable(input, address)?;
    let mut fields = fields(input, resources, world, address, block, info).await?;
    let expanded = expanded(input, resources, world, address, info, &mut fields).await;
    let live = look(input, resources, world, address, info, &fields, id).await?;
    let taken = input.state.resources.iter().find(|(_, entry)| {
        entry.kind == Kind::Managed
            && entry.type_name == info.name
            && entry.remembered.id == live.id
    });
    if let Some((other, _)) = taken {
        return Err(refused(format!("`{id}` is in the state already, as `{other}`"))
            .help(format!("to call it `{address}`: `renamed_from: {other}` in its block")));
    }
    let entry = entry(input, address, block, info, &fields, &live);
    Ok(Entry { expanded: expanded.map(Box::new), ..entry })
}

fn refused(message: String) -> Fault {
    Fault::new(Class::Rejected, message)
}

/// The block of something managed that the state does not know.
fn adoptable<'a>(input: &Input<'a>, address: &Address) -> Result<(&'a Block, &'a TypeInfo), Fault> {
    let Some(block) = input.spec.resources.get(address) else {
        return Err(refused(format!("the spec has no resource `{address}`")).help(
            "write its block first, then import what it stands for; `pgferry validate` checks it",
        ));
    };
    let Some(info) = input.catalog.get(&block.type_name) else {
        return Err(refused(format!("`{address}` is of an unknown type `{}`", block.type_name)));
    };
    let what = match info.kind {
        Kind::Managed if info.traits.internal => "has nothing outside the state",
        Kind::Managed => "",
        Kind::Lookup => "is looked up, never changed, and needs no import",
        Kind::Run => "is something done, which cannot be taken over",
        Kind::Scoped => "is open only within an apply",
    };
    if !what.is_empty() {
        let message = format!("`{address}` cannot be imported: a `{}` {what}", info.name);
        return Err(refused(message).help("import managed resources"));
    }
    if input.state.knows(address) {
        return Err(refused(format!("`{address}` is in the state already")).help(format!(
            "`pgferry state show '{address}'` shows it; to let go of it: `pgferry state rm '{address}'`"
        )));
    }
    if let Some(from) = block.renamed_from.as_ref().filter(|from| input.state.knows(from)) {
        return Err(refused(format!("`{address}` is what the state knows as `{from}`"))
            .help("apply the rename, or leave `renamed_from` out"));
    }
    Ok((block, info))
}

/// The fields of the block, as far as what they refer to is remembered and there.
async fn fields(
    input: &Input<'_>,
    resources: &Resources,
    world: &World,
    address: &Address,
    block: &Block,
    info: &TypeInfo,
) -> Result<Tree, Fault> {
    let targets = [address.clone()].into();
    let options = Options { targets, refresh: Refresh::Only, ..Options::default() };
    let (draft, _) = refresh(&Input { options: &options, ..*input }, resources, world).await?;
    let resolve = |address: &Address| draft.handles.get(address);
    let fields = block.fields.iter();
    let mut fields: Fields =
        fields.map(|(name, field)| (name.clone(), field.evaluate(&resolve))).collect();
    info.put_defaults(&mut fields);
    Ok(Tree::Map(fields))
}

/// Puts in what `like` stands for, if that can be told now; else the next plan does.
async fn expanded(
    input: &Input<'_>,
    resources: &Resources,
    world: &World,
    address: &Address,
    info: &TypeInfo,
    fields: &mut Tree,
) -> Option<Expanded> {
    let Tree::Map(map) = &*fields else { return None };
    let whole: Vec<&Tree> = map.values().filter(|tree| matches!(tree, Tree::Resource(_))).collect();
    if whole.is_empty() || whole.iter().any(|tree| tree.has_unknown()) {
        return None;
    }
    let question = Question {
        address: address.clone(),
        type_name: info.name.to_owned(),
        ask: Ask::Expand,
        want: fields.clone(),
        remembered: None,
        intent: None,
    };
    let Answer::Expanded(Some(found)) = answer(&question, input, resources, world).await else {
        return None;
    };
    if let Tree::Map(map) = fields {
        for (name, json) in &found {
            map.entry(name.clone()).or_insert_with(|| Tree::from_json(json));
        }
    }
    Some(Expanded { run: input.spec.run.clone(), fields: found })
}

/// The thing, read by its id.
async fn look(
    input: &Input<'_>,
    resources: &Resources,
    world: &World,
    address: &Address,
    info: &TypeInfo,
    fields: &Tree,
    id: &str,
) -> Result<Live<Tree>, Fault> {
    // Where a type reads by more than an id, the block says the rest.
    let mut attrs = Fields::new();
    if let Tree::Map(fields) = fields {
        let plain = fields.iter().filter(|(_, tree)| !tree.has_unknown() && !tree.has_secret());
        attrs.extend(plain.map(|(name, tree)| (name.clone(), tree.stored())));
    }
    attrs.insert("id".to_owned(), Tree::text(id));
    let remembered = Remembered {
        id: id.to_owned(),
        inputs: fields.stored(),
        attrs: Tree::Map(attrs),
        memory: Tree::Null,
    };
    let question = Question {
        address: address.clone(),
        type_name: info.name.to_owned(),
        ask: Ask::Read,
        want: fields.clone(),
        remembered: Some(remembered),
        intent: None,
    };
    let live = match answer(&question, input, resources, world).await {
        Answer::Live(Some(live)) => live,
        Answer::Failed(finding) => {
            let message = format!("looking at `{id}` for `{address}`: {}", finding.message);
            let fault = Fault::failed(message);
            return Err(match finding.help {
                Some(help) => fault.help(help),
                None => fault,
            });
        }
        _ => {
            return Err(Fault::new(Class::Gone, format!("there is no `{}` `{id}`", info.name))
                .help(format!(
                    "check the id, and the fields of `{address}`: what the id does not say, they do"
                )));
        }
    };
    let named = ["id", "name", "label"]
        .iter()
        .any(|name| live.attrs.get(name).and_then(Tree::as_text) == Some(id));
    if live.id == id || named {
        return Ok(live);
    }
    Err(refused(format!("the fields of `{address}` lead to `{}`, not to `{id}`", live.id))
        .help(format!(
            "if that is the one: `pgferry import '{address}' '{}'`; else change the fields of `{address}`",
            live.id
        )))
}

/// As if it had been found when planning: fields that cannot be read count as they are wanted.
fn entry(
    input: &Input<'_>,
    address: &Address,
    block: &Block,
    info: &TypeInfo,
    fields: &Tree,
    live: &Live<Tree>,
) -> Entry {
    let mut inputs = fields.stored();
    if let Tree::Map(inputs) = &mut inputs {
        inputs
            .extend(live.fields.iter().map(|(name, json)| (name.clone(), Tree::from_stored(json))));
    }
    let dependencies = input.graph.direct_dependencies(address).cloned().collect();
    Entry {
        type_name: info.name.to_owned(),
        kind: info.kind,
        remembered: Remembered {
            id: live.id.clone(),
            inputs,
            attrs: without_secrets(info, &live.attrs),
            memory: Tree::Null,
        },
        dependencies,
        on_remove: block.on_remove.unwrap_or(info.traits.on_remove),
        prevent_destroy: block.lifecycle.prevent_destroy,
        // Learned by the next apply, as of any resource that begins to watch a value.
        replace_when: BTreeMap::new(),
        expanded: None,
        removal: None,
        cut_over: info.traits.cutover.then_some(input.now),
        done: None,
        pace: None,
    }
}
