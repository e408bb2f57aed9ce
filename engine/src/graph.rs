//! Who waits for whom, from references and `depends_on`.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;

/// The dependencies of a spec, free of cycles.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Every address after all that it depends on; ties in address order.
    pub order: Vec<Address>,
    /// Direct dependencies.
    pub dependencies: BTreeMap<Address, BTreeSet<Address>>,
    /// Direct dependents.
    pub dependents: BTreeMap<Address, BTreeSet<Address>>,
}
