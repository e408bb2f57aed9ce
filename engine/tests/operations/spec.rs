//! Random specs: each resource is one draw, and may depend on those before it.

use proptest::prelude::*;

pub(crate) const MOST: usize = 12;

/// One resource: its type, which of the earlier ones it depends on, how, and what else it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    kind: u8,
    edges: u16,
    refers: u8,
    more: u8,
}

impl Arbitrary for Draw {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;
    fn arbitrary_with((): ()) -> Self::Strategy {
        // Fewer edges than not, or everything is a chain.
        let edges = (any::<u16>(), any::<u16>()).prop_map(|(a, b)| a & b);
        let all = (0_u8..14, edges, any::<u8>(), any::<u8>());
        all.prop_map(|(kind, edges, refers, more)| Self { kind, edges, refers, more }).boxed()
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("r{index:02}")
}

fn is_there(index: usize, missing: u16) -> bool {
    missing & (1 << index) == 0
}

/// The addresses of the spec.
pub(crate) fn addresses(draws: &[Draw], missing: u16) -> Vec<String> {
    (0..draws.len()).filter(|index| is_there(*index, missing)).map(name).collect()
}

fn kind(draws: &[Draw], index: usize, missing: u16) -> &'static str {
    match draws[index].kind {
        0..=3 => "thing",
        4 | 5 => "command",
        6 | 7 => "window",
        8 => "key",
        9 => "value",
        10 => "bucket",
        11 => "dump",
        // A restore needs a dump and a thing to restore into.
        _ if first(draws, index, missing, "dump", !0).is_some()
            && first(draws, index, missing, "thing", !0).is_some() =>
        {
            "restore"
        }
        _ => "command",
    }
}

/// The first of the earlier resources of that type that `edges` has.
fn first(draws: &[Draw], index: usize, missing: u16, wanted: &str, edges: u16) -> Option<String> {
    (0..index)
        .filter(|earlier| is_there(*earlier, missing) && edges & (1 << earlier) != 0)
        .find(|earlier| kind(draws, *earlier, missing) == wanted)
        .map(name)
}

/// The resources of a spec, without those that `missing` has. `salt` changes values, not the shape.
pub(crate) fn text(draws: &[Draw], missing: u16, salt: u8) -> String {
    let mut text = String::new();
    for (index, draw) in draws.iter().enumerate().filter(|(index, _)| is_there(*index, missing)) {
        let (own, kind) = (name(index), kind(draws, index, missing));
        let said = |bit: u8| draw.more & (1 << bit) != 0;
        let refers = |bit: u8| draw.refers & (1 << bit) != 0;
        let earlier = |wanted: &str, edges| first(draws, index, missing, wanted, edges);
        let mut fields = Vec::new();
        if matches!(kind, "thing" | "bucket" | "window" | "key") {
            fields.push(format!("name: {own}"));
        }
        let thing = earlier("thing", draw.edges);
        match kind {
            "thing" => {
                fields.push(format!("size: {}", if said(0) { u8::from(said(1)) } else { salt }));
                fields.extend(
                    thing.as_ref().filter(|_| refers(0)).map(|t| format!("owner: '${{{t}.id}}'")),
                );
                fields.extend(
                    thing.as_ref().filter(|_| refers(1)).map(|t| format!("on: '${{{t}}}'")),
                );
                fields.extend(said(2).then(|| "slow: true".to_owned()));
                fields.extend(
                    (said(3) && said(4)).then(|| "lifecycle: { prevent_destroy: true }".to_owned()),
                );
                fields.extend((said(5) && said(6)).then(|| "on_remove: destroy".to_owned()));
            }
            "command" => {
                fields.extend(thing.filter(|_| refers(0)).map(|t| format!("input: '${{{t}.id}}'")));
                fields.extend((said(0) && said(1) && said(2)).then(|| "when: always".to_owned()));
            }
            "value" => match thing.filter(|_| refers(0)) {
                Some(thing) => fields.push(format!("input: '${{{thing}.id}}'")),
                None => fields.push(format!("input: text-{salt}")),
            },
            "window" | "key" => {
                fields.extend((said(0) && said(1)).then(|| "on_success: hold".to_owned()));
                fields.extend((said(2) && said(3)).then(|| "on_failure: hold".to_owned()));
                fields.extend(thing.filter(|_| refers(0)).map(|t| format!("of: '${{{t}}}'")));
            }
            "dump" => {
                fields.push(format!("object: {own}.dump"));
                let key = earlier("key", draw.edges);
                fields.extend(key.map(|key| format!("credentials: '${{{key}}}'")));
            }
            "restore" => {
                let into = thing.or_else(|| earlier("thing", !0)).unwrap_or_default();
                let from = earlier("dump", !0).unwrap_or_default();
                fields.push(format!("into: '${{{into}}}', from: '${{{from}}}'"));
            }
            _ => {}
        }
        let after: Vec<String> = (0..index)
            .filter(|earlier| is_there(*earlier, missing) && draw.edges & (1 << earlier) != 0)
            .map(name)
            .collect();
        if !after.is_empty() {
            fields.push(format!("depends_on: [{}]", after.join(", ")));
        }
        let fields: String = fields.iter().map(|field| format!(", {field}")).collect();
        text.push_str(&format!("  {own}: {{ type: sim.{kind}{fields} }}\n"));
    }
    text
}
