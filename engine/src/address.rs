//! The name of a resource in a spec: `dump`, or `dump["eu"]` for one instance of a block with `for_each`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Unique within one spec and its state. Ordered as text, which is the order of every list we print. Cheap to clone:
/// graph, plan, state and journal all speak of the same ones.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Address(Arc<str>);

/// The text is no address: names are a letter or `_`, then letters, digits, `_` and `-`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no address of a resource; write `name`, or `name[\"key\"]` for one of several")]
pub struct NotAnAddress(String);

impl Address {
    /// The address of a block called `name`; the caller has checked [`is_name`].
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// The block's name, without an instance key.
    pub fn name(&self) -> &str {
        self.0.split('[').next().unwrap_or(&self.0)
    }

    /// The instance key, if it is one of several.
    pub fn key(&self) -> Option<&str> {
        self.0[self.name().len()..].strip_prefix("[\"")?.strip_suffix("\"]")
    }

    /// The whole address, shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The whole address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` may name a resource, a variable or an output.
pub fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Whether `text` may be an address: a name, or a name with a key in brackets.
pub(crate) fn is_address(text: &str) -> bool {
    let (name, rest) = text.split_at(text.find('[').unwrap_or(text.len()));
    let keyed =
        rest.is_empty() || (rest.len() > 4 && rest.starts_with("[\"") && rest.ends_with("\"]"));
    is_name(name) && keyed
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if is_address(text) { Ok(Self(text.into())) } else { Err(NotAnAddress(text.to_owned())) }
    }
}
