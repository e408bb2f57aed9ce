//! The members of a map: names and values in the order written, shared until somebody changes them.
//!
//! Plans hold the same values many times: as written, as wanted, as remembered, as handed on. Copies cost nothing here,
//! and a value is as small as its largest plain part. Used through [`IndexMap`]'s own methods.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::Tree;

type Members = IndexMap<String, Tree, FxBuildHasher>;

/// Values by name. A clone shares them; whoever changes one changes a copy of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Arc<Members>);

impl Fields {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Deref for Fields {
    type Target = Members;
    fn deref(&self) -> &Members {
        &self.0
    }
}

impl DerefMut for Fields {
    fn deref_mut(&mut self) -> &mut Members {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(String, Tree)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Tree)>>(fields: I) -> Self {
        let mut members: Members = fields.into_iter().collect();
        if members.capacity() > members.len() {
            members.shrink_to_fit();
        }
        Self(Arc::new(members))
    }
}

impl<const N: usize> From<[(String, Tree); N]> for Fields {
    fn from(fields: [(String, Tree); N]) -> Self {
        fields.into_iter().collect()
    }
}

impl IntoIterator for Fields {
    type Item = (String, Tree);
    type IntoIter = indexmap::map::IntoIter<String, Tree>;
    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a String, &'a Tree);
    type IntoIter = indexmap::map::Iter<'a, String, Tree>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
