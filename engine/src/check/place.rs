//! Where the walk is, for messages: `` `to.bucket` of `dump` (postgres.dump) ``.

use std::fmt;

use serde_json::Value as Json;

use crate::diag::Span;
use crate::spec::interpolate::References;

/// The block whose fields are checked.
pub(crate) struct Owner<'a> {
    /// `` `dump` (postgres.dump) `` or ``provider `linode` ``.
    pub(crate) label: String,
    /// Of its name.
    pub(crate) span: Span,
    /// What stands there: `resource declared here`.
    pub(crate) said: &'static str,
    pub(crate) references: References,
    /// The schema of all its fields, which `$ref` starts from.
    pub(crate) schema: &'a Json,
}

impl Owner<'_> {
    /// What stands at the name of a resource.
    pub(crate) const RESOURCE: &'static str = "resource declared here";
}

#[derive(Clone, Copy)]
enum Name<'p> {
    /// The block itself.
    Root,
    Field(&'p str),
    Element(usize),
}

/// A value inside a block.
pub(crate) struct Place<'p, 'a> {
    pub(crate) owner: &'p Owner<'a>,
    name: Name<'p>,
    parent: Option<&'p Self>,
    /// Of its key, or of the element itself.
    pub(crate) span: Span,
    /// Secrets may stand here though the schema does not say that it is one.
    pub(crate) secrets: bool,
    /// Nothing is known of what may stand here, so only what is wrong anywhere is a mistake.
    pub(crate) unknown: bool,
}

impl<'p, 'a> Place<'p, 'a> {
    pub(crate) fn root(owner: &'p Owner<'a>) -> Self {
        let span = owner.span;
        Self { owner, name: Name::Root, parent: None, span, secrets: false, unknown: false }
    }

    pub(crate) fn field<'q>(&'q self, name: &'q str, span: Span) -> Place<'q, 'a>
    where
        'p: 'q,
    {
        Place {
            owner: self.owner,
            name: Name::Field(name),
            parent: Some(self),
            span,
            secrets: self.secrets,
            unknown: self.unknown,
        }
    }

    pub(crate) fn element<'q>(&'q self, index: usize, span: Span) -> Place<'q, 'a>
    where
        'p: 'q,
    {
        Place {
            owner: self.owner,
            name: Name::Element(index),
            parent: Some(self),
            span,
            secrets: self.secrets,
            unknown: self.unknown,
        }
    }

    /// The same place, where secrets are accepted if `accepted` or if they were before.
    pub(crate) fn secretly(&self, accepted: bool) -> Place<'_, 'a> {
        Place { secrets: self.secrets || accepted, ..*self }
    }

    /// The same place, if nothing is known of what may stand there.
    pub(crate) fn unknown(&self) -> Place<'_, 'a> {
        Place { secrets: true, unknown: true, ..*self }
    }

    /// The name of the block.
    pub(crate) fn owner_name(&self) -> &str {
        self.owner.label.split('`').nth(1).unwrap_or_default()
    }

    /// Whether it is a resource's block itself.
    pub(crate) fn is_resource(&self) -> bool {
        matches!(self.name, Name::Root) && self.owner.said == Owner::RESOURCE
    }

    /// `to.objects[0]`; empty for the block itself.
    pub(crate) fn path(&self) -> String {
        let mut path = self.parent.map(Place::path).unwrap_or_default();
        match self.name {
            Name::Root => {}
            Name::Field(name) if path.is_empty() => path.push_str(name),
            Name::Field(name) => {
                path.push('.');
                path.push_str(name);
            }
            Name::Element(index) => path.push_str(&format!("[{index}]")),
        }
        path
    }

    /// A name for an environment variable that could hold the value: `LINODE_TOKEN`.
    pub(crate) fn environment_name(&self) -> String {
        format!("{}_{}", self.owner_name(), self.path())
            .chars()
            .filter(|c| *c != ']')
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect()
    }

    /// Whether it is in the block's field `name`.
    pub(crate) fn within(&self, name: &str) -> bool {
        matches!(self.name, Name::Field(own) if own == name)
            || self.parent.is_some_and(|parent| parent.within(name))
    }
}

impl fmt::Display for Place<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        match path.is_empty() {
            true => f.write_str(&self.owner.label),
            false => write!(f, "`{path}` of {}", self.owner.label),
        }
    }
}
