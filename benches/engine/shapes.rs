//! Specs of any size for pgferry, and the same for Terraform: values with a small map each.

use std::fmt::Write;

/// Resources of a layer, and how many of the layer before each refers to.
const WIDTH: usize = 100;
const FAN_IN: usize = 3;
/// Steps between those of the layer before.
const STRIDE: usize = 37;

/// Who refers to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nobody.
    Wide,
    /// Each to the one before.
    Chain,
    /// Each to three of the layer before.
    Layered,
}

/// How many are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Each a block of its own.
    Blocks,
    /// As few blocks as possible, by `for_each`. A chain cannot be written so.
    ForEach,
}

/// Every combination that there is.
pub(crate) const ALL: [(Shape, Form); 5] = [
    (Shape::Wide, Form::Blocks),
    (Shape::Chain, Form::Blocks),
    (Shape::Layered, Form::Blocks),
    (Shape::Wide, Form::ForEach),
    (Shape::Layered, Form::ForEach),
];

/// Those that resource `index` refers to.
fn above(shape: Shape, index: usize) -> Vec<usize> {
    match shape {
        Shape::Wide => Vec::new(),
        Shape::Chain => index.checked_sub(1).into_iter().collect(),
        Shape::Layered if index < WIDTH => Vec::new(),
        Shape::Layered => {
            let (layer, place) = (index / WIDTH, index % WIDTH);
            (0..FAN_IN).map(|step| (layer - 1) * WIDTH + (place + step * STRIDE) % WIDTH).collect()
        }
    }
}

/// A spec of `count` resources.
pub(crate) fn spec(shape: Shape, form: Form, count: usize) -> String {
    let mut out = "pgferry: 1\nname: bench\nresources:\n".to_owned();
    let mut block = |label: &str, each: Option<&str>, name: &str, index: &str, up: &[String]| {
        let _ = write!(out, "  {label}:\n    type: core.value\n");
        if let Some(each) = each {
            let _ = writeln!(out, "    for_each: {each}");
        }
        let _ = write!(
            out,
            "    input:\n      name: \"{name}\"\n      idx: {index}\n      role: bench\n      size: 7\n"
        );
        if !up.is_empty() {
            let _ = writeln!(out, "      up: [{}]", up.join(", "));
        }
    };
    match (form, shape) {
        (Form::Blocks, _) => {
            for index in 0..count {
                let up: Vec<String> = above(shape, index)
                    .into_iter()
                    .map(|other| format!("\"${{n{other}.output.name}}\""))
                    .collect();
                block(
                    &format!("n{index}"),
                    None,
                    &format!("node-{index}"),
                    &index.to_string(),
                    &up,
                );
            }
        }
        (Form::ForEach, Shape::Layered) => {
            for layer in 0..count.div_ceil(WIDTH) {
                let width = WIDTH.min(count - layer * WIDTH);
                let each: Vec<String> = (0..width)
                    .map(|place| {
                        let up: Vec<String> = above(shape, layer * WIDTH + place)
                            .into_iter()
                            .enumerate()
                            .map(|(number, other)| format!("u{number}: {}", other % WIDTH))
                            .collect();
                        format!("\"{place}\": {{ {} }}", up.join(", "))
                    })
                    .collect();
                let up: Vec<String> = (0..if layer == 0 { 0 } else { FAN_IN })
                    .map(|number| {
                        format!("\"${{l{}[each.value.u{number}].output.name}}\"", layer - 1)
                    })
                    .collect();
                let each = format!("{{ {} }}", each.join(", "));
                block(
                    &format!("l{layer}"),
                    Some(&each),
                    "node-${each.key}",
                    "\"${each.key}\"",
                    &up,
                );
            }
        }
        (Form::ForEach, _) => {
            let keys: Vec<String> = (0..count).map(|index| index.to_string()).collect();
            let each = format!("[{}]", keys.join(", "));
            block("n", Some(&each), "node-${each.key}", "\"${each.key}\"", &[]);
        }
    }
    out
}

/// The same for Terraform, in its own language.
pub(crate) fn terraform(shape: Shape, form: Form, count: usize) -> String {
    let mut out = String::new();
    let mut block = |label: &str, each: Option<&str>, name: &str, index: &str, up: &[String]| {
        let _ = writeln!(out, "resource \"terraform_data\" \"{label}\" {{");
        if let Some(each) = each {
            let _ = writeln!(out, "  for_each = {each}");
        }
        let _ = write!(
            out,
            "  input = {{\n    name = \"{name}\"\n    idx  = {index}\n    role = \"bench\"\n    size = 7\n"
        );
        if !up.is_empty() {
            let _ = writeln!(out, "    up   = [{}]", up.join(", "));
        }
        out.push_str("  }\n}\n");
    };
    let keys = |count: usize| format!("toset([for i in range({count}) : tostring(i)])");
    match (form, shape) {
        (Form::Blocks, _) => {
            for index in 0..count {
                let up: Vec<String> = above(shape, index)
                    .into_iter()
                    .map(|other| format!("terraform_data.n{other}.output.name"))
                    .collect();
                block(
                    &format!("n{index}"),
                    None,
                    &format!("node-{index}"),
                    &index.to_string(),
                    &up,
                );
            }
        }
        (Form::ForEach, Shape::Layered) => {
            for layer in 0..count.div_ceil(WIDTH) {
                let up: Vec<String> = (0..if layer == 0 { 0 } else { FAN_IN })
                    .map(|step| {
                        let other =
                            format!("tostring((tonumber(each.key) + {}) % {WIDTH})", step * STRIDE);
                        format!("terraform_data.l{}[{other}].output.name", layer - 1)
                    })
                    .collect();
                let each = keys(WIDTH.min(count - layer * WIDTH));
                let index = "tonumber(each.key)";
                block(&format!("l{layer}"), Some(&each), "node-${each.key}", index, &up);
            }
        }
        (Form::ForEach, _) => {
            block("n", Some(&keys(count)), "node-${each.key}", "tonumber(each.key)", &[]);
        }
    }
    out
}

/// A spec of `count` commands that each do something outside: the least that there is.
pub(crate) fn commands(count: usize) -> String {
    let mut out = "pgferry: 1\nname: bench\nresources:\n".to_owned();
    for index in 0..count {
        let _ = write!(out, "  n{index}:\n    type: core.command\n    command: [\"true\"]\n");
    }
    out
}
