//! References to resources: whole ones where a field wants one, attributes of the right kind elsewhere.

use serde_json::Value as Json;

use super::shape::{Kinds, Shape};
use super::{Checker, Place};
use crate::diag::{Diagnostic, Span, listed};
use crate::info::TypeInfo;
use crate::secret::Secret;
use crate::spec::scope::Target;
use crate::template::{Part, Reference, Template};

impl<'a> Checker<'a> {
    /// A reference that is the whole value of a field.
    pub(super) fn reference(
        &mut self,
        reference: Reference,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
    ) -> Template {
        if reference.path.is_empty() {
            self.whole(&reference, shape, place);
            return Template::Reference(reference);
        }
        if shape.only_reference() {
            let name = reference.address.as_str();
            self.whole_resource_wanted(
                reference.span,
                shape,
                place,
                &format!("an attribute of `{name}`"),
            );
            return Template::Reference(reference);
        }
        let Ok(target) = self.scope.target(&reference) else {
            return Template::Reference(reference);
        };
        if let Some((kinds, wanted)) = unfit(&target, shape, place.owner.schema) {
            let (told, name) = (told(&reference), self.type_name(&reference));
            let message = format!("{place} wants {wanted}, but `{told}` is {kinds}");
            let text = format!("an attribute of `{name}`");
            self.mistakes.push(Diagnostic::error("PGF0121", message).at(reference.span, text));
        }
        if !shape.secret && !place.secrets {
            if target.secret {
                self.secret_in_plain(reference.span, place);
            } else if target.passes {
                let mistake = self.secret_told(reference.span, place);
                self.suspects.push((reference.address.clone(), mistake));
            }
        }
        if shape.secret && !target.secret {
            // Masked like every value of this field, though it comes from a plain attribute.
            return Template::Join(vec![Part::Secret(Secret::new("")), Part::Reference(reference)]);
        }
        let plain = Kinds::NUMBER.with(Kinds::BOOLEAN);
        if shape.kinds() == Kinds::TEXT
            && target.kinds().fits(plain)
            && target.kinds() != Kinds::ANY
        {
            // As inside longer text: the field takes text only, and these have a form as text.
            return Template::Join(vec![Part::Reference(reference)]);
        }
        Template::Reference(reference)
    }

    /// A reference inside longer text, which is for a secret if `accepted`: whether it is secret.
    pub(super) fn in_text(
        &mut self,
        reference: &Reference,
        accepted: bool,
        place: &Place<'_, 'a>,
    ) -> bool {
        if reference.path.is_empty() {
            self.value_wanted(reference, place);
            return false;
        }
        let Ok(target) = self.scope.target(reference) else { return false };
        let kinds = target.kinds();
        let textual = Kinds::TEXT.with(Kinds::NUMBER).with(Kinds::BOOLEAN);
        if !kinds.fits(textual) {
            let message = format!("`{}` is {kinds} and has no form as text", told(reference));
            let text = "inside longer text";
            let help = (kinds == Kinds::LIST)
                .then(|| format!("take one element: `${{{}[0]}}`", told(reference)));
            self.mistakes.push(
                Diagnostic::error("PGF0121", message).at(reference.span, text).maybe_help(help),
            );
        }
        if target.passes && !accepted {
            let mistake = self.secret_told(reference.span, place);
            self.suspects.push((reference.address.clone(), mistake));
        }
        target.secret
    }

    fn whole(&mut self, reference: &Reference, shape: &Shape<'a>, place: &Place<'_, 'a>) {
        if place.unknown {
            return;
        }
        let Some(needs) = shape.reference() else {
            self.value_wanted(reference, place);
            return;
        };
        let Some(info) = self.scope.info(reference) else { return };
        let lacking: Vec<&str> =
            needs.iter().copied().filter(|need| info.attribute(need).is_none()).collect();
        if lacking.is_empty() {
            return;
        }
        let name = reference.address.as_str();
        let message = format!(
            "{place} needs a resource with {}, which `{name}` does not have",
            listed(&lacking)
        );
        self.mistakes.push(
            Diagnostic::error("PGF0119", message)
                .at(reference.span, format!("a `{}` has no {}", info.name, listed(&lacking)))
                .help(self.would_do(&needs, place)),
        );
    }

    /// A whole resource where a value is wanted.
    fn value_wanted(&mut self, reference: &Reference, place: &Place<'_, 'a>) {
        let name = reference.address.as_str();
        let help = self.scope.info(reference).map(|info| {
            let known: Vec<&str> = info.attributes().collect();
            match likely(info, &place.path()) {
                Some(attribute) => format!("write `${{{name}.{attribute}}}`"),
                None if known.is_empty() => format!("a `{}` has no attributes", info.name),
                None => format!("refer to one of its attributes: {}", listed(&known)),
            }
        });
        self.mistakes.push(
            Diagnostic::error("PGF0120", format!("{place} wants a value, not a whole resource"))
                .at(reference.span, format!("all of `{name}`"))
                .maybe_help(help),
        );
    }

    /// Something else where a whole resource is wanted.
    pub(super) fn whole_resource_wanted(
        &mut self,
        span: Span,
        shape: &Shape<'a>,
        place: &Place<'_, 'a>,
        found: &str,
    ) {
        let needs = shape.reference().unwrap_or_default();
        self.mistakes.push(
            Diagnostic::error("PGF0119", format!("{place} wants a whole resource"))
                .at(span, found)
                .help(self.would_do(&needs, place)),
        );
    }

    /// Resources that the field could be given; its own block is none.
    fn would_do(&self, needs: &[&str], place: &Place<'_, 'a>) -> String {
        let own = format!("${{{}}}", place.owner_name());
        let mut fitting = self.scope.fitting(needs);
        fitting.retain(|other| *other != own);
        match fitting.len() {
            0 => format!("refer to a resource with {}", listed(needs)),
            1..=8 => format!("these would do: {}", listed(&fitting)),
            _ => format!("these would do, for instance: {}", listed(&fitting[..8])),
        }
    }

    fn type_name(&self, reference: &Reference) -> &'static str {
        self.scope.info(reference).map_or("resource", |info| info.name)
    }
}

/// What `target` is and what is wanted, if no value of it can be one of `shape`.
fn unfit(target: &Target<'_>, shape: &Shape<'_>, schema: &Json) -> Option<(String, String)> {
    let (kinds, wanted) = (target.kinds(), shape.kinds());
    if kinds == Kinds::NONE || wanted == Kinds::NONE {
        return None;
    }
    let scalar = Kinds::TEXT.with(Kinds::NUMBER).with(Kinds::BOOLEAN);
    let as_text = wanted == Kinds::TEXT && kinds.fits(scalar);
    if !as_text && !kinds.fits(wanted) {
        return Some((kinds.to_string(), wanted.to_string()));
    }
    if kinds != Kinds::LIST || wanted != Kinds::LIST {
        return None;
    }
    let items = |shape: &Shape<'_>, root| {
        let items = shape.branches.first()?.get("items")?;
        Some(Shape::of(items, root).kinds())
    };
    let given = items(target.shape.as_ref()?, target.root?)?;
    let wanted = items(shape, schema)?;
    let told = |kinds: Kinds| format!("a list, each element {kinds}");
    (!given.fits(wanted)).then(|| (told(given), told(wanted)))
}

/// The attribute that is meant when a field is given a whole resource.
fn likely(info: &TypeInfo, path: &str) -> Option<&'static str> {
    let field = path.rsplit('.').next().unwrap_or(path).to_ascii_lowercase();
    if info.attribute("url").is_some() && field.contains("url") {
        return Some("url");
    }
    ["name", "label", "id"].into_iter().find(|name| info.attribute(name).is_some())
}

fn told(reference: &Reference) -> String {
    use crate::template::Step;
    let mut told = reference.address.to_string();
    for step in reference.path.iter() {
        match step {
            Step::Member(name) => told.push_str(&format!(".{name}")),
            Step::Index(index) => told.push_str(&format!("[{index}]")),
        }
    }
    told
}
