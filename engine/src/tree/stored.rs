//! Values as they are stored: read from JSON as they stand there, and made fit to be written.
//!
//! What is stored holds no secret, no unknown and no whole resource: a mask, `null`, and an identity stand for them. In
//! memory it is a [`Tree`] all the same, so that what is remembered is handed on and compared without a copy.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};

use super::{ADDRESS, ID, MASK, Tree};

impl Tree {
    /// As it is stored and compared between plans; shared where nothing has to be replaced. [`Tree::storable`] is the
    /// same as JSON.
    pub fn stored(&self) -> Self {
        if self.is_stored() {
            return self.clone();
        }
        match self {
            Self::Secret(_) => Self::text(MASK),
            Self::Unknown => Self::Null,
            Self::List(items) => Self::List(items.iter().map(Self::stored).collect()),
            Self::Map(map) => {
                Self::Map(map.iter().map(|(name, value)| (name.clone(), value.stored())).collect())
            }
            Self::Resource(handle) => Self::Map(
                [
                    (ADDRESS.to_owned(), Self::text(handle.address.as_str())),
                    (ID.to_owned(), handle.id.clone().map_or(Self::Null, Self::Text)),
                ]
                .into(),
            ),
            plain => plain.clone(),
        }
    }

    fn is_stored(&self) -> bool {
        match self {
            Self::Secret(_) | Self::Unknown | Self::Resource(_) => false,
            Self::List(items) => items.iter().all(Self::is_stored),
            Self::Map(map) => map.values().all(Self::is_stored),
            _ => true,
        }
    }

    /// What a stored value says: what was blanked out because it was secret is unknown. Shared where nothing was.
    pub fn recalled(&self) -> Self {
        if !self.is_masked() {
            return self.clone();
        }
        match self {
            Self::List(items) => Self::List(items.iter().map(Self::recalled).collect()),
            Self::Map(map) => Self::Map(
                map.iter().map(|(name, value)| (name.clone(), value.recalled())).collect(),
            ),
            _ => Self::Unknown,
        }
    }

    fn is_masked(&self) -> bool {
        match self {
            Self::Text(text) => text.contains(MASK),
            Self::List(items) => items.iter().any(Self::is_masked),
            Self::Map(map) => map.values().any(Self::is_masked),
            _ => false,
        }
    }

    /// What a stored JSON value says, as it stands there.
    pub fn from_stored(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(value) => Self::Number(value.clone()),
            Json::String(value) => Self::Text(value.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_stored).collect()),
            Json::Object(map) => {
                Self::Map(map.iter().map(|(k, v)| (k.clone(), Self::from_stored(v))).collect())
            }
        }
    }
}

impl From<Json> for Tree {
    /// As it stands there: see [`Tree::from_stored`].
    fn from(json: Json) -> Self {
        Self::from_stored(&json)
    }
}

impl PartialEq<Json> for Tree {
    /// Whether it is stored as `json`.
    fn eq(&self, json: &Json) -> bool {
        self.storable() == *json
    }
}

/// From what is stored; see [`Tree::from_stored`].
impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Stored)
    }
}

struct Stored;

impl<'de> Visitor<'de> for Stored {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::text(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        list.shrink_to_fit();
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = members.next_entry::<String, Tree>()? {
            fields.push(field);
        }
        Ok(Tree::Map(fields.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;

    #[test]
    fn what_is_stored_comes_back_as_it_stands() {
        let json = json!({"a": [1, -2, 1.5, null, true], "$secret": "x", "b": {"$unknown": true, "c": "d"}});
        let text = json.to_string();
        let read: Tree = serde_json::from_str(&text).expect("reads");
        assert_eq!(read, Tree::from_stored(&json));
        assert_eq!(serde_json::to_string(&read).expect("writes"), text);
        let twice: Tree = serde_json::from_str(r#"{"a": 1, "a": 2}"#).expect("reads");
        assert_eq!(twice, json!({"a": 2}));
    }

    #[test]
    fn what_cannot_be_stored_is_replaced() {
        let secret = Tree::Secret(Secret::new("s3cr3t-s3cr3t"));
        let tree = Tree::List(vec![secret, Tree::Unknown, Tree::text("x")]);
        assert_eq!(tree.stored(), Tree::from_stored(&tree.storable()));
        let back = tree.stored().recalled();
        assert_eq!(back, Tree::List(vec![Tree::Unknown, Tree::Null, Tree::text("x")]));
    }
}
