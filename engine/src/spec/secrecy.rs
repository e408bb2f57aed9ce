//! Secrets that pass through a resource: a `core.value` is secret if what is put into it is.
//!
//! Known only when all fields are read, so what would be a mistake then waits in the checker as a suspect.

use std::collections::HashSet;

use super::Blocks;
use super::scope::Scope;
use crate::address::Address;
use crate::check::shape::flag;
use crate::graph::Graph;
use crate::template::{Part, Reference, Template};

/// The resources of `graph` that hand on a secret that was put into them.
pub(super) fn handing_on(graph: &Graph, resources: &Blocks, scope: &Scope<'_>) -> HashSet<Address> {
    let mut found = HashSet::new();
    for address in &graph.order {
        let Some(block) = resources.get(address) else { continue };
        let info = scope.types.get(block.type_name.as_str());
        let passes = info.is_some_and(|info| {
            info.attributes()
                .filter_map(|name| info.attribute(name))
                .any(|schema| flag(schema, "x-accepts-secrets"))
        });
        if passes && block.fields.values().any(|field| carries(field, scope, &found)) {
            found.insert(address.clone());
        }
    }
    found
}

fn carries(template: &Template, scope: &Scope<'_>, found: &HashSet<Address>) -> bool {
    let secret = |reference: &Reference| {
        scope.target(reference).is_ok_and(|target| {
            target.secret || (target.passes && found.contains(&reference.address))
        })
    };
    match template {
        Template::Value(tree) => tree.has_secret(),
        Template::List(items) => items.iter().any(|item| carries(item, scope, found)),
        Template::Map(fields) => fields.values().any(|field| carries(field, scope, found)),
        Template::Reference(reference) => secret(reference),
        Template::Join(parts) => parts.iter().any(|part| match part {
            Part::Text(_) => false,
            Part::Secret(_) => true,
            Part::Reference(reference) => secret(reference),
        }),
    }
}
