//! Maps: unknown fields, missing ones, and alternatives among them.

use serde_json::Value as Json;

use super::shape::mentions_secret;
use super::{Checker, Place, Shape};
use crate::diag::{Diagnostic, did_you_mean, listed, suggestion};
use crate::source::{Entry, Value};
use crate::template::Templates;

impl<'a> Checker<'a> {
    /// The fields of a map, which should be as `schema` says.
    ///
    /// Keys in `skip` are somebody else's. A declared field that is null is left out. A schema with `properties` is
    /// closed unless it says otherwise: a field that nobody reads is a wish that nobody fulfils.
    pub(crate) fn object(
        &mut self,
        entries: &[Entry],
        schema: &'a Json,
        skip: &[&str],
        place: &Place<'_, 'a>,
    ) -> Templates {
        let properties = schema.get("properties").and_then(Json::as_object);
        let more = match schema.get("additionalProperties") {
            Some(Json::Bool(false)) => None,
            Some(more) => Some(more),
            None if properties.is_some() => None,
            None => Some(&Json::Bool(true)),
        };
        let own = || entries.iter().filter(|entry| !skip.contains(&entry.key.as_str()));
        let mut fields = Templates::with_capacity_and_hasher(own().count(), Default::default());
        let mut misspelt = Vec::new();
        for entry in own() {
            let inner = place.field(&entry.key, entry.key_span);
            let declared = properties.and_then(|fields| fields.get(&entry.key));
            if declared.is_some() && entry.value.value == Value::Null {
                continue;
            }
            match declared.or(more) {
                Some(schema) => {
                    let template = self.value(&entry.value, schema, &inner);
                    fields.insert(entry.key.clone(), template);
                }
                None => {
                    let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    let meant = did_you_mean(&entry.key, known.clone());
                    misspelt.extend(meant);
                    let meant = meant.and_then(|name| properties?.get(name));
                    let referred = entry.value.as_str().is_some_and(|text| text.starts_with("${"));
                    if meant.is_some_and(mentions_secret) && !referred {
                        self.masked.push(entry.value.span);
                    }
                    self.unknown_field(entry, known, place);
                    self.anything(&entry.value, &inner);
                }
            }
        }
        self.missing(entries, &misspelt, schema, place);
        self.alternatives(entries, schema, place);
        fields
    }

    fn unknown_field<'k>(
        &mut self,
        entry: &Entry,
        known: impl Iterator<Item = &'k str> + Clone,
        place: &Place<'_, 'a>,
    ) {
        let common = place.is_resource().then_some(crate::spec::COMMON_FIELDS);
        let common = common.into_iter().flatten().copied();
        // What every resource takes is a guess like any other, but no news in a list.
        let help = match did_you_mean(&entry.key, known.clone().chain(common)) {
            Some(meant) => Some(format!("did you mean `{meant}`?")),
            None => suggestion(&entry.key, known, "the fields are"),
        };
        let message = format!("unknown field `{}` in {place}", entry.key);
        self.mistakes.push(
            Diagnostic::error("PGF0104", message)
                .at(entry.key_span, "no such field")
                .context(place.owner.span, place.owner.said)
                .maybe_help(help),
        );
    }

    /// `misspelt` are there, but for a letter or two, which is reported already.
    fn missing(
        &mut self,
        entries: &[Entry],
        misspelt: &[&str],
        schema: &'a Json,
        place: &Place<'_, 'a>,
    ) {
        let required = schema.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            if has(entries, name) || misspelt.contains(&name) {
                continue;
            }
            let example = example(schema, name, place.owner.schema);
            let meaning = meaning(schema, name).map(|text| format!(" ({text})"));
            self.mistakes.push(
                Diagnostic::error("PGF0105", format!("{place} needs `{name}`"))
                    .at(place.span, format!("`{name}` is missing here"))
                    .help(format!("add `{name}: {example}`{}", meaning.unwrap_or_default())),
            );
        }
    }

    /// `oneOf` and `anyOf` whose alternatives are lists of `required` fields.
    fn alternatives(&mut self, entries: &[Entry], schema: &'a Json, place: &Place<'_, 'a>) {
        for (word, exactly) in [("oneOf", true), ("anyOf", false)] {
            let Some(branches) = schema.get(word).and_then(Json::as_array) else { continue };
            let needs: Option<Vec<Vec<&str>>> = branches
                .iter()
                .map(|branch| {
                    let list = branch.get("required")?.as_array()?;
                    branch.get("properties").is_none().then_some(())?;
                    Some(list.iter().filter_map(Json::as_str).collect())
                })
                .collect();
            let Some(needs) = needs else { continue };
            let given = needs.iter().filter(|n| n.iter().all(|name| has(entries, name))).count();
            let names = needs
                .iter()
                .map(|names| listed(names).replace("`, `", "` with `"))
                .collect::<Vec<_>>()
                .join(" or ");
            let message = match given {
                0 => format!("{place} needs {names}"),
                1 => continue,
                _ if !exactly => continue,
                _ => format!("{place} takes only one of {names}"),
            };
            let (text, help) = match given {
                0 => ("none of them is here", "add one of them"),
                _ => ("more than one is here", "take all but one away"),
            };
            let mistake = Diagnostic::error("PGF0131", message).at(place.span, text);
            self.mistakes.push(mistake.help(help));
        }
    }
}

/// What a value of field `name` looks like.
pub(super) fn example(schema: &Json, name: &str, root: &Json) -> &'static str {
    let field = schema.get("properties").and_then(|fields| fields.get(name));
    match field.map(|field| Shape::of(field, root)) {
        Some(shape) if shape.only_reference() => "${…}",
        Some(shape) if shape.secret => "${env.…}",
        _ => "…",
    }
}

/// The first sentence of what the type says of its field `name`.
fn meaning(schema: &Json, name: &str) -> Option<String> {
    let text = schema.get("properties")?.get(name)?.get("description")?.as_str()?;
    let sentence = text.split(". ").next().unwrap_or(text).trim_end_matches('.');
    let mut letters = sentence.chars();
    let first = letters.next()?;
    // A word that is all capitals (`PEM`) keeps them.
    let lower = letters.clone().next().is_none_or(|second| !second.is_uppercase());
    let first = if lower { first.to_ascii_lowercase() } else { first };
    Some(format!("{first}{}", letters.as_str()).replace('\n', " "))
}

fn has(entries: &[Entry], name: &str) -> bool {
    entries.iter().any(|entry| entry.key == name && entry.value.value != Value::Null)
}
