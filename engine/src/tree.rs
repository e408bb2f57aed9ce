//! The engine's value: what a field is, before or after it is known.
//!
//! Fields and attributes are compared, shown and stored as trees; typed Rust structs exist only while a resource
//! acts. A tree also holds what JSON cannot: values known after apply, secrets, and whole resources.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value as Json};

use crate::address::Address;
use crate::secret::{MARKER, MASK, Secret, revealing};

mod fields;
mod stored;

pub use fields::Fields;

const UNKNOWN: &str = "$unknown";
const ADDRESS: &str = "$address";
const ID: &str = "$id";

/// Shown wherever a value is decided by the apply.
pub const KNOWN_AFTER_APPLY: &str = "(known after apply)";

/// A value, known or not. `Serialize` is safe to store: secrets become `(sensitive)`, unknowns `null`, a whole
/// resource its identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Tree {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Map(Fields),
    Secret(Secret),
    /// Known after apply.
    Unknown,
    /// A reference to a whole resource: `${source}`.
    Resource(Arc<Handle>),
}

/// Whole resources by address, for looking up.
pub type Handles = FxHashMap<Address, Arc<Handle>>;

/// A whole resource handed on. Only `address` and `id` are compared between plans.
#[derive(Clone, Debug, PartialEq)]
pub struct Handle {
    pub address: Address,
    /// The remote id; `None` while it is known after apply.
    pub id: Option<String>,
    /// Attributes by name; those not known yet are [`Tree::Unknown`].
    pub attrs: Fields,
}

impl Tree {
    /// A piece of text.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// The text in it, if it is plain text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The number, if it is a whole one that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Member `key` of a map, or attribute `key` of a whole resource.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.get(key),
            Self::Resource(handle) => handle.attrs.get(key),
            _ => None,
        }
    }

    /// Whether anything in it is known only after apply. A whole resource counts by its attributes.
    pub fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::List(items) => items.iter().any(Self::has_unknown),
            Self::Map(map) => map.values().any(Self::has_unknown),
            Self::Resource(handle) => {
                handle.id.is_none() || handle.attrs.values().any(Self::has_unknown)
            }
            _ => false,
        }
    }

    /// Whether a secret is anywhere in it.
    pub fn has_secret(&self) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::List(items) => items.iter().any(Self::has_secret),
            Self::Map(map) => map.values().any(Self::has_secret),
            _ => false,
        }
    }

    /// What a JSON value says, in-memory markers included.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => Self::Number(value.clone()),
            Json::String(value) => Self::Text(value.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => match map.get(MARKER) {
                Some(Json::String(secret)) if map.len() == 1 => Self::Secret(Secret::new(secret)),
                _ if map.contains_key(UNKNOWN) => Self::Unknown,
                _ => Self::Map(map.iter().map(|(k, v)| (k.clone(), Self::from_json(v))).collect()),
            },
        }
    }

    /// Carries a typed value over, secrets and all.
    ///
    /// # Errors
    /// The type's own `Serialize` failed, which for our types is a bug.
    pub fn from_typed<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::from_json(&revealing(|| serde_json::to_value(value))?))
    }

    /// Decodes into a resource's own type. A [`Tree::Secret`] fits only a field of type [`Secret`].
    ///
    /// # Errors
    /// A value is missing, still unknown, or of another type than the field.
    pub fn to_typed<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.marked())
    }

    /// JSON with in-memory markers; must not leave the process.
    fn marked(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Number(value) => Json::Number(value.clone()),
            Self::Text(value) => Json::String(value.clone()),
            Self::List(items) => Json::Array(items.iter().map(Self::marked).collect()),
            Self::Map(map) => object(map),
            Self::Secret(secret) => one(MARKER, Json::String(secret.expose().to_owned())),
            Self::Unknown => one(UNKNOWN, Json::Bool(true)),
            Self::Resource(handle) => {
                let Json::Object(mut map) = object(&handle.attrs) else { return Json::Null };
                map.retain(|_, value| value.get(UNKNOWN).is_none());
                map.insert(ADDRESS.to_owned(), Json::String(handle.address.to_string()));
                map.insert(ID.to_owned(), handle.id.clone().map_or(Json::Null, Json::String));
                Json::Object(map)
            }
        }
    }

    /// As inside a longer text: `a-${b}-c`.
    ///
    /// `None` for lists, maps, whole resources and unknowns, which have no text.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::Null => Some(String::new()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(value) => Some(value.to_string()),
            Self::Text(value) => Some(value.clone()),
            Self::Secret(value) => Some(value.expose().to_owned()),
            Self::List(_) | Self::Map(_) | Self::Unknown | Self::Resource(_) => None,
        }
    }

    /// As it is stored and compared between plans: secrets masked, a whole resource reduced to its identity.
    pub fn storable(&self) -> Json {
        match self {
            Self::Secret(_) => Json::String(MASK.to_owned()),
            Self::Unknown => Json::Null,
            Self::List(items) => Json::Array(items.iter().map(Self::storable).collect()),
            Self::Map(map) => {
                Json::Object(map.iter().map(|(k, v)| (k.clone(), v.storable())).collect())
            }
            Self::Resource(handle) => {
                let mut map = Map::new();
                map.insert(ADDRESS.to_owned(), Json::String(handle.address.to_string()));
                map.insert(ID.to_owned(), handle.id.clone().map_or(Json::Null, Json::String));
                Json::Object(map)
            }
            plain => plain.marked(),
        }
    }
}

impl Tree {
    /// As it is shown in a plan: like [`Tree::stored`], with what is not known yet said in words.
    pub fn shown(&self) -> Self {
        match self {
            Self::Unknown => Self::text(KNOWN_AFTER_APPLY),
            Self::List(items) => Self::List(items.iter().map(Self::shown).collect()),
            Self::Map(map) => Self::Map(map.iter().map(|(k, v)| (k.clone(), v.shown())).collect()),
            other => other.stored(),
        }
    }
}

fn object(map: &Fields) -> Json {
    Json::Object(map.iter().map(|(k, v)| (k.clone(), v.marked())).collect())
}

fn one(key: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), value)]))
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Unknown => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => value.serialize(serializer),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(map) => serializer.collect_map(map),
            Self::Secret(_) | Self::Resource(_) => self.storable().serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    struct Attrs {
        name: String,
        url: Secret,
    }

    #[test]
    fn secrets_travel_in_memory_and_are_masked_in_files() {
        let attrs = Attrs { name: "db".into(), url: Secret::new("postgres://u:p@h/db") };
        let tree = Tree::from_typed(&attrs).expect("converts");
        assert_eq!(
            serde_json::to_string(&tree).expect("serialises"),
            r#"{"name":"db","url":"(sensitive)"}"#
        );
        let back: Attrs = tree.to_typed().expect("decodes");
        assert_eq!(back.url.expose(), "postgres://u:p@h/db");
        assert_eq!(back.name, "db");
    }

    #[test]
    fn a_secret_does_not_fit_plain_text() {
        let tree = Tree::Map(
            [
                ("name".to_owned(), Tree::Secret(Secret::new("s"))),
                ("url".to_owned(), Tree::text("u")),
            ]
            .into(),
        );
        assert!(tree.to_typed::<Attrs>().is_err());
    }
}
